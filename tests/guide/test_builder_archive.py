"""The Markdown archive of the sample guide: what is in it, and that it is the same every time."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from builder.archive import contents, project_address, write_archive, zipped
from builder.book import read_book
from builder.problems import GuideError

FIRST, SECOND = "01-what-a-language-model-is.md", "02-gradients-by-hand.md"
D = "docs/guide"


def pages(guide):
    """The archive's Markdown files, as text."""
    return {name: c.decode() for name, c in contents(read_book(guide)).items() if ".md" in name}


def test_what_is_in_it(guide, progress, tmp_path):
    (guide / "code" / "ruff.toml").write_text("")
    write_archive(read_book(guide), tmp_path / "guide.zip", progress)
    with zipfile.ZipFile(tmp_path / "guide.zip") as archive:
        names = archive.namelist()
    assert names == sorted(names)
    chapters = [f"guide/{path.name}" for path in guide.glob("*.md")]
    solutions = [f"guide/solutions/{path.name}" for path in guide.glob("solutions/*")]
    code = ["engine.py", "requirements.txt", "train.py"]
    assert set(names) == {
        *chapters,
        *solutions,
        *(f"guide/code/{name}" for name in code),
        "guide/figures/curve.svg",
        "guide/requirements.txt",
    }


def test_headings_have_numbers_and_links_follow(guide):
    found = pages(guide)
    headings = re.findall(r"^#+ .*", found[FIRST], re.MULTILINE)
    assert headings == [
        "# 1 First words",
        "## 1.1 Why twice?",
        "## 1.2 The program",
        "## 1.3 Questions",
        "## 1.4 Exercises",
        "### Exercise 1.1: count",
        "### Exercise 1.2: count",
        "### Exercise 1.3: count",
    ]
    assert "[the rule](#11-why-twice)" in found[FIRST]
    assert f"[next]({SECOND}#21-the-curve)." in found[FIRST]
    assert "[the source](sources.md#somebody-1999)" in found[FIRST]
    assert "[solution](solutions/test_01_what_a_language_model_is.py)" in found[FIRST]
    assert "# A Answers" in found["answers.md"] and "# C Sources" in found["sources.md"]
    assert f"- [1 First words]({FIRST})" in found["README.md"]


def test_links_out_of_the_guide_become_words(guide):
    found = pages(guide)[FIRST]
    assert "See the tensor (`autograd/_tensor.py`), its page (`docs/page.md`),\n" in found
    assert 'two walks (`tinygrad-llm explore --at "graph=twice&view=order"`), ' in found


def test_links_out_of_the_guide_lead_to_the_projects_address(guide, change):
    change("../../setup.cfg", "name = small", "name = small\nurl = https://github.com/a/small/")
    found = pages(guide)[FIRST]
    base = "https://github.com/a/small/blob/main"
    assert f"[the tensor]({base}/autograd/_tensor.py)" in found
    assert f"[its page]({base}/docs/page.md#a-heading)" in found


def test_the_projects_address(guide, change):
    assert project_address(guide) is None
    change("../../setup.cfg", "name = small", "name = small\nurl = https://example.org/small")
    assert project_address(guide) is None
    urls = "name = small\nproject_urls =\n    Source = https://github.com/b/c"
    change("../../setup.cfg", "name = small", urls)
    assert project_address(guide) == "https://github.com/b/c"


def test_figures_have_their_number_and_caption(guide):
    found = pages(guide)[SECOND]
    assert "[the curve rises](figures/curve.svg) (figure 2.1)." in found
    caption = "A line that rises from `1` to 2."
    assert f"![{caption}](figures/curve.svg)\n\n*Figure 2.1.* {caption}\n" in found


def test_code_is_left_alone(guide, change):
    """What looks like a link or a heading inside code is neither."""
    code = "```python\n# [a](b.md)\nx = [twice](SECOND)\n```\n\n`[a](b.md)` and `` [`c`](d) ``\n"
    change(FIRST, "It can be used at once.", code)
    found = pages(guide)[FIRST]
    assert code in found
    original = (guide / FIRST).read_text()
    blocks = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
    assert blocks.findall(found) == blocks.findall(original)


def test_the_same_guide_makes_the_same_bytes(guide, progress, tmp_path):
    """Whatever the files' times and the seed of hashes."""
    write_archive(read_book(guide), tmp_path / "one.zip", progress)
    for path in guide.rglob("*.md"):
        os.utime(path, (1e9, 1e9))
    program = (
        "import sys; from pathlib import Path; from builder.archive import *\n"
        "from builder.book import read_book\n"
        "sys.stdout.buffer.write(zipped(contents(read_book(Path(sys.argv[1])))))"
    )
    builder = str(Path(__file__).parents[2] / "docs" / "guide")
    environment = os.environ | {"PYTHONPATH": builder, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(guide)],
        env=environment,
        capture_output=True,
        check=True,
    )
    assert done.stdout == (tmp_path / "one.zip").read_bytes()
    assert zipped({"a": b"1", "b": b"2"}) == zipped({"b": b"2", "a": b"1"})


PLANTED = {
    "a link by reference": (
        (FIRST, "[next](02-gradients-by-hand.md#the-curve).", "[next].\n\n[next]: README.md"),
        f"{D}/{FIRST}:63: the link README.md cannot be rewritten: write it as [text](target)",
    ),
    "a missing program": (
        ("code/train.py", None),
        "docs/guide: the archive needs code/train.py and code/requirements.txt",
    ),
    "a missing figure": (
        ("figures/curve.svg", None),
        f"guide-markdown.zip/{SECOND}:5: figures/curve.svg leads nowhere\n"
        f"guide-markdown.zip/{SECOND}:23: figures/curve.svg leads nowhere",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_named(name, guide, change):
    planted, expected = PLANTED[name]
    change(*planted)
    with pytest.raises(GuideError) as raised:
        contents(read_book(guide))
    assert str(raised.value) == expected
