"""The guide's archive as a reader has it: unzipped, installed, run in an environment of its own."""

import os
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest
from builder.archive import INSTALL, RUN, write_archive
from builder.book import read_book

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
OFFLINE = ("Could not find a version", "No matching distribution", "Connection", "Network")
"""What pip says where it cannot reach the index."""


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """The archive's folder, and the environment in which its first command was run."""
    from builder.progress import Progress

    home = tmp_path_factory.mktemp("reader")
    write_archive(read_book(GUIDE), home / "guide.zip", Progress())
    with zipfile.ZipFile(home / "guide.zip") as archive:
        archive.extractall(home)
    venv.create(home / "venv", with_pip=True, symlinks=os.name != "nt")
    scripts = home / "venv" / ("Scripts" if os.name == "nt" else "bin")
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = kept | {"PATH": f"{scripts}{os.pathsep}{kept['PATH']}"}

    def run(command):
        return subprocess.run(
            command.split(),
            cwd=home / "guide",
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    done = run(INSTALL)
    if done.returncode != 0 and any(word in done.stderr for word in OFFLINE):
        pytest.skip(f"pip cannot reach its index: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return home / "guide", run


def test_its_two_commands_train_a_model(reader):
    folder, run = reader
    assert f"```sh\n{INSTALL}\n{RUN}\n```" in (folder / "README.md").read_text()
    done = run(f"{RUN} --steps 20")
    assert done.returncode == 0, done.stderr
    assert "step   19  loss " in done.stdout
    assert "perplexity on texts held out " in done.stdout


def test_its_solutions_hold(reader):
    folder, run = reader
    done = run("pip install matplotlib pytest")
    assert done.returncode == 0, done.stderr
    first = sorted(path.name for path in (folder / "solutions").glob("test_*.py"))[0]
    done = run(f"python -m pytest -q solutions/{first}")
    assert done.returncode == 0, done.stdout + done.stderr
