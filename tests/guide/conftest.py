"""The guide's builder can be imported; the sample guide, with its figure made, a copy a test."""

import io
import shutil
import sys
from pathlib import Path

import pytest
from rich.console import Console

sys.path.append(str(Path(__file__).parents[2] / "docs" / "guide"))

from builder.check import check  # noqa: E402
from builder.progress import Progress  # noqa: E402
from guide_book import write_guide  # noqa: E402


@pytest.fixture
def progress():
    """Progress that is written nowhere."""
    return Progress(Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The sample guide after ``check --update``."""
    folder = write_guide(tmp_path_factory.mktemp("guide"))
    check(folder, (), True, Progress(Console(file=io.StringIO())))
    return folder


@pytest.fixture
def guide(made, tmp_path):
    """A copy of the sample guide that a test may spoil."""
    shutil.copytree(made.parent.parent, tmp_path / "project")
    return tmp_path / "project" / "docs" / "guide"


@pytest.fixture
def change(guide):
    """change(file, old, new): replace what stands there once; change(file, None): remove it."""

    def replace(file: str, old: str | None, new: str = "") -> None:
        path: Path = guide / file
        if old is None:
            path.unlink()
            return
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands in {file} {text.count(old)} times"
        path.write_text(text.replace(old, new))

    return replace
