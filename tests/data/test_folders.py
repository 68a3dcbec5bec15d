"""Entries of a folder that are not texts: links, pipes, devices, depth, runs, the cache."""

import os
import socket

import pytest

from tinygrad_llm.data import folders, load_corpus
from tinygrad_llm.data.corpus import CleanReport
from tinygrad_llm.data.folders import find_files
from tinygrad_llm.errors import UserError

LINES = "".join(f"line {i} of a text that is long enough\n" for i in range(20))


def put(root, name, content=LINES):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def names(corpus):
    return [document.name for document in corpus.documents]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "here").mkdir()
    put(tmp_path, "here/a.txt")
    return tmp_path / "here"


def test_a_linked_folder_is_followed(root, tmp_path):
    put(tmp_path, "elsewhere/b.txt")
    put(tmp_path, "elsewhere/deep/c.txt")
    os.symlink(tmp_path / "elsewhere", root / "books")
    corpus = load_corpus(root)
    assert names(corpus) == ["a.txt", "books/b.txt", "books/deep/c.txt"]
    assert corpus.report.notes == []


def test_no_folder_is_entered_twice_and_what_lies_here_keeps_its_name(root):
    put(root, "sub/b.txt")
    put(root, "sub/deep/c.txt")
    os.symlink(root, root / "aaa")  # a loop, and the first name of all
    os.symlink(root / "sub", root / "sub" / "deep" / "up")
    os.symlink("deep", root / "sub" / "again")
    corpus = load_corpus(root)
    assert names(corpus) == ["a.txt", "sub/b.txt", "sub/deep/c.txt"]
    assert corpus.report.notes == [
        "Linked folders that were entered under another name already: aaa, sub/again, sub/deep/up."
    ]


def test_links_that_lead_nowhere_are_named(root):
    os.symlink(root / "gone", root / "broken.txt")
    os.symlink("self.txt", root / "self.txt")
    os.symlink("other", root / "loop")
    os.symlink("loop", root / "other")
    report = str(load_corpus(root).report)
    assert (
        "dropped 1 document, 0 bytes: unreadable (No such file or directory) (broken.txt)" in report
    )
    assert "unreadable (Too many levels of symbolic links) (self.txt)" in report
    assert "unknown extension (loop, other)" in report


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file_is_named_and_not_opened(root):
    os.mkfifo(root / "pipe.txt")
    os.symlink("/dev/zero", root / "zero.txt")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "s.txt"))
        corpus = load_corpus(root)
    dropped = {reason: tally.examples for reason, tally in corpus.report.dropped.items()}
    assert dropped == {
        "a named pipe, not a file": ["pipe.txt"],
        "a socket, not a file": ["s.txt"],
        "a device, not a file": ["zero.txt"],
    }


def test_a_file_that_says_it_is_empty_is_not_read(root, monkeypatch):
    """Some of the system's files say 0 bytes and never end."""
    put(root, "kmsg.txt", "")
    opened = []
    real = open
    monkeypatch.setattr(
        "builtins.open", lambda path, *a, **k: opened.append(str(path)) or real(path, *a, **k)
    )
    assert names(load_corpus(root)) == ["a.txt", "kmsg.txt"]
    assert str(root / "a.txt") in opened and str(root / "kmsg.txt") not in opened


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_cannot_be_read_is_named_with_the_reason(root, monkeypatch, what):
    """The system's refusal is simulated, since the tests may run as root."""
    put(root, "locked/b.txt")
    put(root, "locked.txt")
    real_scandir, real_open = os.scandir, open

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    if what == "folder":
        monkeypatch.setattr(
            os, "scandir", lambda p: refuse(p) if str(p).endswith("locked") else real_scandir(p)
        )
        report = load_corpus(root).report
        assert report.notes == ["Folders that cannot be read (Permission denied): locked."]
        return
    monkeypatch.setattr(
        "builtins.open",
        lambda p, *a, **k: refuse(p) if str(p).endswith("locked.txt") else real_open(p, *a, **k),
    )
    report = load_corpus(root).report
    assert report.dropped["unreadable (Permission denied)"].examples == ["locked.txt"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_really_locked(root):
    put(root, "locked/b.txt")
    (root / "locked").chmod(0)
    try:
        assert "(Permission denied): locked." in str(load_corpus(root).report)
    finally:
        (root / "locked").chmod(0o700)


def test_fifteen_hundred_nested_folders(root):
    path = root
    for _ in range(1500):
        path = path / "d"
        path.mkdir()
    put(path, "z.txt")
    try:
        corpus = load_corpus(root)
        assert names(corpus) == ["a.txt", "d/" * 1500 + "z.txt"]
    finally:  # pytest's own removal is recursive
        (path / "z.txt").unlink()
        while path != root:
            path.rmdir()
            path = path.parent


def test_a_run_inside_the_data_is_no_corpus(root):
    for name in ("run.json", "profile.txt", "checkpoints/step-000001/notes.txt"):
        put(root, f"runs/tiny/{name}")
    put(root, "project/run.json")  # a file of that name alone makes no run
    put(root, "project/p.txt")
    corpus = load_corpus(root)
    assert names(corpus) == ["a.txt", "project/p.txt"]
    assert "Folders of runs were not entered: runs/tiny." in corpus.report.notes
    assert names(load_corpus(root / "runs" / "tiny")) == [  # asked for by name
        "checkpoints/step-000001/notes.txt",
        "profile.txt",
    ]


def test_a_cache_inside_the_data_is_no_corpus(root, monkeypatch):
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", str(root / "cache"))
    put(root, "cache/downloads/tinyshakespeare.txt")
    corpus = load_corpus(root)
    assert names(corpus) == ["a.txt"]
    assert "The cache was not entered: cache." in corpus.report.notes


def test_a_link_to_everything_is_refused(root, monkeypatch):
    monkeypatch.setattr(folders, "MAXIMUM_ENTRIES", 5)
    for i in range(6):
        put(root, f"{i}.txt")
    with pytest.raises(UserError, match=f"more than 5 files and folders below {root}; name"):
        load_corpus(root)


def test_a_folder_without_text_says_what_was_not_entered(root):
    (root / "a.txt").unlink()
    put(root, ".git/x.txt")
    with pytest.raises(UserError, match=r"\(Hidden folders were not entered: .git\); exp"):
        load_corpus(root)


def test_the_order_does_not_depend_on_the_disk(root):
    for name in ("b/1.txt", "b.txt", "a/2.txt", "Z.txt"):
        put(root, name)
    found = [file.name for file in find_files(root, CleanReport())]
    assert found == sorted(found) == ["Z.txt", "a.txt", "a/2.txt", "b.txt", "b/1.txt"]
