"""Finding and decoding text: the standard library, files, folders, and every way to be wrong."""

import os
import platform
import sys
import sysconfig

import pytest

from tinygrad_llm.data import load_corpus, sources as sources_module
from tinygrad_llm.errors import UserError

LINES = "".join(f"line {i} of a text that is long enough\n" for i in range(20))


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A small standard library of our own, so that the rules can be seen one by one."""
    root = tmp_path / "lib"
    root.mkdir()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(root))
    return root


def put(root, name, content):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def names(corpus):
    return [document.name for document in corpus.documents]


def modules(corpus):
    return [name for name in names(corpus) if not name.startswith("pydoc_data.topics/")]


def test_stdlib_of_this_python():
    corpus = load_corpus("stdlib")
    assert names(corpus) == sorted(names(corpus))
    assert len(set(names(corpus))) == len(corpus.documents)
    assert {"argparse.py", "json/decoder.py", "pydoc_data.topics/assert"} <= set(names(corpus))
    folders = {part for name in modules(corpus) for part in name.split("/")[:-1]}
    assert not folders & sources_module.STDLIB_SKIPPED_FOLDERS
    assert not any("_sysconfigdata" in name for name in modules(corpus))
    assert corpus.details == {"python": platform.python_version()}
    assert corpus.bytes == corpus.report.kept_bytes > 5_000_000
    assert platform.python_version() in str(corpus)


def test_stdlib_rules(library):
    put(library, "b.py", LINES)
    put(library, "a/z.py", LINES)
    put(library, "a/readme.txt", LINES)
    put(library, "_sysconfigdata__linux_.py", LINES)
    for folder in sources_module.STDLIB_SKIPPED_FOLDERS:
        put(library, f"{folder}/in_it.py", LINES)
        put(library, f"a/{folder}/in_it.py", LINES)
    assert modules(load_corpus("stdlib")) == ["a/z.py", "b.py"]


def test_stdlib_with_links_and_a_pipe(library):
    put(library, "real/a.py", LINES)
    os.symlink(library, library / "real" / "loop")  # a folder inside itself
    os.symlink("self.py", library / "self.py")  # a link to itself
    os.symlink(library / "gone", library / "broken.py")
    if hasattr(os, "mkfifo"):
        os.mkfifo(library / "pipe.py")  # reading it would wait for ever
    corpus = load_corpus("stdlib")
    assert modules(corpus) == ["real/a.py"]
    dropped = {reason: tally.examples for reason, tally in corpus.report.dropped.items()}
    assert dropped["unreadable (No such file or directory)"] == ["broken.py"]
    assert dropped["unreadable (Too many levels of symbolic links)"] == ["self.py"]
    assert "Linked folders were not entered: real/loop." in corpus.report.notes
    if hasattr(os, "mkfifo"):
        assert dropped["a named pipe, not a file"] == ["pipe.py"]


@pytest.mark.parametrize("exists", [True, False])
def test_python_without_sources(library, exists):
    if not exists:
        library.rmdir()
    with pytest.raises(UserError, match="has no source files of its standard library in .*lib"):
        load_corpus("stdlib")


def test_python_without_topics_says_so(library, monkeypatch):
    put(library, "a.py", LINES)
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    corpus = load_corpus("stdlib")
    assert names(corpus) == ["a.py"]
    assert "no help topics" in str(corpus.report)


def test_file(tmp_path):
    path = put(tmp_path, "story.xyz", LINES.encode() + "caf\u00e9\n".encode())
    corpus = load_corpus(path)
    assert [(d.name, d.text) for d in corpus.documents] == [("story.xyz", LINES + "caf\u00e9\n")]
    assert corpus.source == str(path) and corpus.report.changed == {}


def test_latin_1_is_reported(tmp_path):
    corpus = load_corpus(put(tmp_path, "old.txt", LINES.encode() + b"caf\xe9\n"))
    assert corpus.documents[0].text.endswith("caf\u00e9\n")
    assert "read as latin-1 (old.txt)" in str(corpus.report)
    assert corpus.report.kept_bytes == corpus.report.found_bytes + 1  # e acute is two in UTF-8


def test_folder(tmp_path):
    for name in ("b.txt", "sub/a.MD", "sub/c.rst", ".hidden.txt", ".git/x.txt", "data.xyz"):
        put(tmp_path, name, LINES)
    put(tmp_path, "picture.txt", b"\x89PNG\0\0")
    put(tmp_path, "data.txt", b"abc\0\0\0")
    corpus = load_corpus(str(tmp_path))
    assert names(corpus) == ["b.txt", "sub/a.MD", "sub/c.rst"]
    report = corpus.report
    assert report.dropped[sources_module.SUFFIX].examples == [".hidden.txt", "data.xyz"]
    binary = "binary (contains NUL bytes)"
    picture = "a PNG picture, not text; save its text as a text file, or leave it out"
    assert report.dropped[binary].examples == ["data.txt"]
    assert report.dropped[picture].examples == ["picture.txt"]
    assert report.found_documents == 7 and report.found_bytes == 5 * len(LINES) + 12
    assert ".git" in str(report)


def test_folder_wins_over_no_name_but_not_over_stdlib(tmp_path, monkeypatch):
    put(tmp_path, "stdlib/only.txt", LINES)
    monkeypatch.chdir(tmp_path)
    assert names(load_corpus("./stdlib")) == ["only.txt"]
    assert len(load_corpus("stdlib").documents) > 100


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"", "is empty, expected at least 200 bytes"),
        (b"too short\n", "has only 10 bytes of text, expected at least 200"),
        (b"\x7fELF\0\0" * 100, "is a binary program, not text"),
        (b"abc\0\0" * 100, "is binary"),
        (LINES.encode("utf-16-le"), "is binary .*looks like UTF-16, so try --encoding utf-16-le"),
    ],
)
def test_bad_file(tmp_path, content, sentence):
    path = put(tmp_path, "bad.txt", content)
    with pytest.raises(UserError, match=sentence) as error:
        load_corpus(str(path))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_missing_source_names_the_choices(tmp_path):
    with pytest.raises(UserError, match="no file or folder .*nothing.*stdlib, tinyshakespeare"):
        load_corpus(str(tmp_path / "nothing"))
    path = put(tmp_path, "file.txt", LINES)
    with pytest.raises(UserError, match="no file or folder"):
        load_corpus(str(path / "below"))
    with pytest.raises(UserError, match="contains a zero byte"):
        load_corpus("nul\0byte")


def test_link_loop_as_source(tmp_path):
    os.symlink("loop", tmp_path / "loop")
    with pytest.raises(UserError, match="cannot open .*loop"):
        load_corpus(str(tmp_path / "loop"))


def test_folder_without_text(tmp_path):
    put(tmp_path, "a.bin", LINES)
    with pytest.raises(
        UserError, match=r"\(1 skipped: unknown extension \(a.bin\)\); expected .txt"
    ):
        load_corpus(str(tmp_path))
    with pytest.raises(UserError, match="neither a file nor a folder"):
        load_corpus(os.devnull)


def test_too_large_is_refused_before_reading(tmp_path, monkeypatch):
    path = put(tmp_path, "big.txt", LINES)
    monkeypatch.setattr(sources_module, "MAXIMUM_BYTES", 100)
    monkeypatch.setattr(type(path), "read_bytes", lambda self: pytest.fail("it was read"))
    with pytest.raises(UserError, match=f"has {len(LINES)} bytes of text, expected at most 100"):
        load_corpus(path)


@pytest.mark.parametrize("name", ["tinyshakespeare", "the-verdict"])
def test_downloaded_texts_are_the_pinned_ones(tmp_path, name):
    """A cache that already holds the file needs no network: the size and sha256 are right."""
    folder = os.environ.get("TINYGRAD_LLM_TEST_DATA")
    if not folder:
        pytest.skip("TINYGRAD_LLM_TEST_DATA does not name a folder with the real texts")
    with open(os.path.join(folder, f"{name}.txt"), "rb") as file:
        content = file.read()
    put(tmp_path, f"downloads/{name}.txt", content)
    corpus = load_corpus(name, cache_dir=tmp_path)
    assert corpus.documents[0].text == content.decode()
    assert corpus.source == name and corpus.details["url"].startswith("https://")
