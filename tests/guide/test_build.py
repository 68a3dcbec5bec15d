"""The whole guide is built, as its page says: every snippet is run, and every check holds."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pypdf import PdfReader

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide"
CHAPTERS = sorted(path.stem for path in GUIDE.glob("[0-9][0-9]-*.md"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the PDF, the archive and the site, and what was said on the way."""
    out = tmp_path_factory.mktemp("built")
    command = [sys.executable, GUIDE / "build.py", "all", "--out", out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return out, done.stdout


def test_it_says_what_it_made(built):
    out, said = built
    for name in ("guide.pdf", "guide-markdown.zip", "index.html"):
        assert name in said.replace("\n", "")
    assert len(CHAPTERS) == 16


def test_the_pdf_has_all_chapters(built):
    reader = PdfReader(built[0] / "guide.pdf")
    assert 120 <= len(reader.pages) <= 200
    titles = [entry.title for entry in reader.outline if not isinstance(entry, list)]
    assert [title.split()[0] for title in titles[:16]] == [str(n) for n in range(1, 17)]
    assert titles[16:] == ["A Answers", "B Solutions", "C Sources", "Index"]


def test_the_archive_has_all_chapters(built):
    with zipfile.ZipFile(built[0] / "guide-markdown.zip") as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
    assert {f"{name}.md" for name in CHAPTERS} <= names
    others = "README.md requirements.txt code/train.py figures/training-stages.svg"
    assert set(others.split()) <= names


def test_the_site_has_all_pages(built):
    site = built[0] / "site"
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert {f"{name}.html" for name in CHAPTERS} <= pages
    assert {"index.html", "explorer.html", "docs/questions.html", "api/autograd.html"} <= pages
    formulas = (site / "08-the-transformer.html").read_text().count("<math")
    assert formulas > 50
