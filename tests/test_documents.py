"""The documents agree with the code: the files, folders, names and links in them exist.

A document is any Markdown file of the project. A file or name that is renamed, moved or deleted
fails here until the pages that mention it follow.
"""

import builtins
import importlib
import io
import keyword
import os
import re
import tokenize
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import autograd
from autograd import ops

ROOT = Path(__file__).parent.parent
PACKAGES = ("autograd", "tinygrad_llm")
MADE = "_build"  # the folder of what the guide's builder makes, perhaps at this moment
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted(path for path in ROOT.glob("docs/**/*.md") if MADE not in path.parts),
    *sorted(ROOT.glob("autograd/**/*.md")),
]
GUIDE = ROOT / "docs" / "guide"  # a book, whose pages speak of its own code as well
PRESENT = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]  # not about the past

every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
every_page = pytest.mark.parametrize("path", PRESENT, ids=lambda p: str(p.relative_to(ROOT)))


def prose(text):
    """The text without its code blocks, fenced or indented."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


def spans(text):
    """What stands between backticks in the prose."""
    return {" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))}


# --- Files ----------------------------------------------------------------------------------------

FILE = re.compile(r"[\w.*/<>-]+\.(?:py|md|toml|cfg|html)|(?:\w[\w.*<>-]*/)+")
NOT_OURS = {
    "cuda.py",  # a kernel for CuPy: the dispatcher looks for one, and there is none yet
    "train_mine.py",  # the reader's
    "runs/",
}


@cache
def files():
    """Every file and folder of the project, as paths from its root."""
    tops = ("autograd", "tinygrad_llm", "examples", "tests", "docs", "benchmarks", ".ci")
    found = [ROOT / top for top in tops] + [p for p in ROOT.iterdir() if p.is_file()]
    for top in tops:
        for folder, folders, names in os.walk(ROOT / top):
            folders[:] = [name for name in folders if name not in ("__pycache__", MADE)]
            found += [Path(folder, name) for name in [*folders, *names]]
    return [str(p.relative_to(ROOT)) + "/" * p.is_dir() for p in found]


def missing_files(text):
    """The files and folders named in backticks or commands that do not exist.

    A name may be short (``cpu.py``, ``kernels/dispatch.py``): the end of a path is enough.
    ``<op>`` and ``*`` stand for anything.
    """
    commands = re.findall(r"^ {4}((?:pytest|python|\.ci/run)\b[^#\n]*)", text, re.M)
    words = {word for piece in [*spans(text), *commands] for word in piece.split()}
    named = {word for word in words if FILE.fullmatch(word)}
    missing = []
    for name in sorted(named - NOT_OURS):
        if name.startswith("docs/guide/_build/"):
            continue  # what the guide's builder makes
        pattern = re.sub(r"<\w+>|\\\*", r"[^/]+", re.escape(name))
        if not any(re.search(rf"(?:^|/){pattern}$", path) for path in files()):
            missing.append(name)
    return missing


@every_page
def test_files_that_are_named_exist(path):
    assert missing_files(path.read_text()) == []


def test_a_file_that_is_gone_is_noticed():
    text = "See `autograd/engine.py`, `backward.py`, `autograd/kernels/<op>/` and `examples/0*.py`."
    assert missing_files(text) == []
    for gone in ("elementwise_.py", "autograd/elementwise_.py", "gone/", "autograd/gone_*.py"):
        assert missing_files(f"{text} And `{gone}`.") == [gone]
        assert missing_files(f"{text}\n\n    pytest {gone} -k x  # `notes`") == [gone]


# --- Names ----------------------------------------------------------------------------------------

BEGINNINGS = {
    "autograd": autograd,
    "ops": ops,
    "functional": autograd.functional,
    "Tensor": autograd.Tensor,
    "Op": autograd.Op,
    "np": np,
}
ELSEWHERE = {  # names of other projects
    "nolock", "parallel=True", "torch.func", "transformers", "Conv1D",
    "add_module", "register_buffer", "register_parameter",
    "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_",
}  # fmt: skip
DATA = re.compile(r"[\w*]*\.(?:json|jsonl|npy|safetensors|lock)")


@cache
def words_of_the_code():
    """Every identifier in the source, in names and in strings of one word, and in setup.cfg."""
    words = {*dir(builtins), *keyword.kwlist, *dir(np)}
    words |= set(re.findall(r"\w+", (ROOT / "setup.cfg").read_text()))
    return words | words_of([p for package in PACKAGES for p in (ROOT / package).rglob("*.py")])


@cache
def words_of_the_guide():
    """The same of the guide's program and solutions, and the words of its chapters' blocks."""
    words = words_of([*GUIDE.glob("code/*.py"), *GUIDE.glob("solutions/*.py")])
    for page in GUIDE.glob("[0-9]*.md"):
        blocks = re.findall(r"^```.*?^```", page.read_text(), re.M | re.S)
        words |= set(re.findall(r"\w+", "".join(blocks)))
    return words


def words_of(paths):
    """Every identifier in files of Python, in names and in strings of one word."""
    words = set()
    for path in paths:
        words |= {path.stem, path.parent.name}
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            if token.type == tokenize.NAME:
                words.add(token.string)
            elif token.type == tokenize.STRING:
                words.add(token.string.strip("\"'"))
    return words


def unknown_names(text, more=frozenset()):
    """Identifiers in backticks, dotted or called or not, that are no name of the code.

    more: words that are names on this page too.
    """
    own = set(re.findall(r"\w+", "".join(re.findall(r"^```.*?^```", text, re.M | re.S)))) | more
    unknown = []
    for span in sorted(spans(text) - ELSEWHERE):
        match = re.fullmatch(r"\.?([A-Za-z_][\w.]*\w)(?:\(.*\)| ?= ?[\w.]*)?", span)
        if match is None or FILE.fullmatch(span) or DATA.fullmatch(span):
            continue
        first, *rest = parts = match[1].split(".")
        if first in BEGINNINGS and rest:
            known = resolves(BEGINNINGS[first], rest)
        else:
            known = all(part in words_of_the_code() | own for part in parts)
        if not known:
            unknown.append(span)
    return unknown


def resolves(value, names):
    for name in names:
        if not hasattr(value, name):
            try:
                importlib.import_module(f"{value.__name__}.{name}")
            except (ImportError, AttributeError):
                return False
        value = getattr(value, name)
    return True


@every_page
def test_names_in_backticks_exist(path):
    if path.name == "derivatives.md":
        return  # its backticks are formulas, which test_derivatives.py evaluates
    more = words_of_the_guide() if path.is_relative_to(GUIDE) else frozenset()
    assert unknown_names(path.read_text(), more) == []


def test_a_name_that_is_gone_is_noticed():
    text = "`autograd.debug.detect_changes()`, `Op.forward`, `saved_for`, `ops.exp`, `LayerNorm`"
    assert unknown_names(text) == []
    for gone in ("autograd.elementwise", "Op.spare_()", "LayerNorm_", "fresh_gradient=True"):
        assert unknown_names(f"{text} `{gone}`") == [gone]
        assert unknown_names(f"{text} `{gone}`", words_of_the_guide()) == [gone]
    assert unknown_names("`letter_prompt`") == ["letter_prompt"]  # the guide's alone
    assert unknown_names("`letter_prompt`, `dpo.prefer()`", words_of_the_guide()) == []


# --- Links ----------------------------------------------------------------------------------------


def anchors(text):
    """The anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path, text):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        if path.is_relative_to(GUIDE) and target.startswith("explorer.html#graph="):
            continue  # made by the guide's builder, which checks the graph and the view
        name, _, anchor = target.partition("#")
        page = path.parent / name if name else path
        if not page.exists():
            broken.append(target)
        elif anchor and anchor not in anchors(page.read_text() if name else text):
            broken.append(target)
    return broken


@every_document
def test_links_lead_somewhere(path):
    assert broken_links(path, path.read_text()) == []


def test_a_broken_link_is_noticed():
    text = "# The page: `a`, b\n[here](#the-page-a-b) [there](docs/architecture.md#names)"
    assert broken_links(ROOT / "README.md", text) == []
    for gone in ("docs/gone.md", "#gone", "docs/architecture.md#gone"):
        assert broken_links(ROOT / "README.md", f"{text} [gone]({gone})") == [gone]


def not_linked(text):
    """The guides and derivations to which a page has no link."""
    pages = [*ROOT.glob("docs/*.md"), *ROOT.glob("autograd/kernels/*/README.md")]
    return [name for p in pages if f"]({(name := p.relative_to(ROOT).as_posix())})" not in text]


def test_the_readme_links_to_every_guide_and_derivation():
    text = (ROOT / "README.md").read_text()
    assert not_linked(text) == []
    assert not_linked(text.replace("](docs/gpu.md)", "]")) == ["docs/gpu.md"]


# --- Trees ----------------------------------------------------------------------------------------


def trees(text):
    """The listings of folders in a page: {folder: the files and folders named below it}.

    A folder of ours stands alone or with its description; what it holds is indented by two more,
    several names to a line if need be, and descriptions begin after two spaces.
    """
    found, inside = {}, None
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        names = re.split(r" {2,}", line.strip())[0].split()
        if indent == 4 and names and re.fullmatch(r"(?:[\w.]+/)+", names[0]):
            inside = names[0] if names[0].split("/")[0] in (*PACKAGES, "docs") else None
            if inside:
                found[inside] = set()
        elif indent < 4:
            inside = None
        elif inside and indent == 6:
            found[inside] |= set(names)
    return found


def present(folder):
    """What a folder holds that a tree can name: modules, folders, pages."""
    names = {path.name + "/" * path.is_dir() for path in (ROOT / folder).iterdir()}
    return names - {"__init__.py", "__main__.py", "__pycache__/", "py.typed"}


def tree_problems(text):
    """What the trees name that does not exist."""
    return sorted(
        folder + name
        for folder, names in trees(text).items()
        for name in names - present(folder) - {"__init__.py"}
    )


@every_page
def test_trees_name_what_exists(path):
    assert tree_problems(path.read_text()) == []


def test_the_architecture_leaves_out_no_file():
    named = trees((ROOT / "docs" / "architecture.md").read_text())
    for package in PACKAGES:
        left_out = present(f"{package}/") - named[f"{package}/"]
        assert left_out == set(), f"docs/architecture.md says nothing of these parts of {package}"


def test_the_architecture_leaves_out_no_part_of_the_guide():
    """Its pages have a front page of their own; ``_build`` is what the builder makes."""
    named = trees((ROOT / "docs" / "architecture.md").read_text())["docs/guide/"]
    parts = {name for name in present("docs/guide/") if not name.endswith(".md")}
    assert parts - {"_build/"} == named


def test_the_readme_leaves_out_no_folder():
    named = trees((ROOT / "README.md").read_text())
    for package in PACKAGES:
        folders = {name for name in present(f"{package}/") if name.endswith("/")}
        left_out = folders - named[f"{package}/"]
        assert left_out == set(), f"README.md says nothing of these parts of {package}"


def test_a_wrong_tree_is_noticed():
    text = (
        "    autograd/    the engine\n      engine.py backward.py   the graph\n      ops/    all\n"
    )
    assert trees(text) == {"autograd/": {"engine.py", "backward.py", "ops/"}}
    assert tree_problems(text) == []
    assert tree_problems(text + "      elementwise_.py  gone") == ["autograd/elementwise_.py"]


def test_the_files_that_autograd_ops_lists_are_its_files():
    folder = ROOT / "autograd" / "ops"
    listed = re.findall(r"\w+\.py", (folder / "__init__.py").read_text().split('"""')[1])
    helpers = ["__init__.py", "arguments.py"]
    assert sorted(listed + helpers) == sorted(path.name for path in folder.glob("*.py"))
