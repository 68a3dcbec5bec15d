"""Version, earlier names, and the clash with the other project that is named autograd."""

import subprocess
import sys
from pathlib import Path

import tinygrad_llm
from autograd import device, functional

ROOT = Path(__file__).parent.parent


def test_the_changelog_has_the_version():
    assert f"\n## [{tinygrad_llm.__version__}] - " in (ROOT / "CHANGELOG.md").read_text()


def test_earlier_names_of_functions_still_work():
    assert device.on_device is device.namespace_on
    assert functional.checkpoint is functional.recompute


def test_another_projects_autograd_is_noticed(tmp_path):
    (tmp_path / "autograd").mkdir()
    (tmp_path / "autograd" / "__init__.py").write_text("def grad(f): ...\n")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"
         "import tinygrad_llm"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: the `autograd` that Python finds")
    assert "pip uninstall autograd" in last and "--force-reinstall --no-deps" in last
