"""Documents on disk: the same as in a list, in little memory, and nothing is left behind."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from tinygrad_llm.data import (
    DataOptions,
    Document,
    clean_corpus,
    encode_corpus,
    load_corpus,
    read_corpus,
    split,
    spool as spool_module,
)
from tinygrad_llm.data.corpus import CleanReport, Corpus
from tinygrad_llm.data.splitting import is_validation
from tinygrad_llm.data.spool import Spool, View
from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import train_bpe

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
documents = st.lists(st.builds(Document, texts, texts, st.sampled_from(["text", "code"])))


@settings(deadline=None, max_examples=60)
@given(documents, st.integers(0, 300))
def test_a_spool_is_a_list(tmp_path_factory, listed, memory):
    folder = tmp_path_factory.mktemp("spool")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "MEMORY", memory)
        spool = Spool(folder)
        for i, document in enumerate(listed):
            spool.add(document)
            assert len(spool) == i + 1 and list(spool) == listed[: i + 1]
        for one, other in zip(spool, spool, strict=True):  # two readers at once
            assert one == other
        wanted = [d for d in listed if len(d.name) % 2]
        marked = list(spool.marked(wanted=lambda name: len(name) % 2 == 1))
        assert [document for _, document in marked] == wanted
        for i, (mark, _) in enumerate(marked):  # reading can begin again at every document
            assert list(spool.marked(mark, lambda name: len(name) % 2 == 1)) == marked[i:]
    assert bool(list(folder.iterdir())) == (sum(sys.getsizeof(d.text) for d in listed) > memory)
    del spool
    gc.collect()
    assert list(folder.iterdir()) == []


def test_a_view_reads_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "MEMORY", 0)
    spool = Spool(tmp_path)
    listed = [Document(f"d{i}", f"text {i}") for i in range(9)]
    for document in listed:
        spool.add(document)
    view = View(spool, lambda name: name > "d3")
    assert list(view) == listed[4:] == list(view) and len(view) == 5
    assert listed[5] in view and listed[0] not in view
    shorter = View(spool, change=lambda d: Document(d.name, d.text[-1]) if d.name > "d6" else None)
    assert [d.text for d in shorter] == ["7", "8"] and len(shorter) == 2


@pytest.mark.parametrize("count", [1, 3, 60])
def test_both_ways_give_the_same_corpus(tmp_path, monkeypatch, count):
    """Whole documents held out, or the end of each, from disk as from a list."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(count):
        (folder / f"{i}.txt").write_text(
            f"This is text {i}.\r\n\n\n\nIt is good.\n" * (20 + i % 50)
        )
    listed = clean_corpus(load_corpus(folder))
    monkeypatch.setattr(spool_module, "MEMORY", 1000)
    spooled = read_corpus(folder, cache_dir=tmp_path / "cache")
    assert isinstance(spooled.documents, Spool) and list(spooled.documents) == listed.documents
    assert any(is_validation(document.name) for document in listed.documents) == (count == 60)
    sides = split(listed)
    views = split(spooled)
    assert [list(view) for view in views] == list(sides)
    assert spooled.about() == listed.about()
    tokenizer = train_bpe([document.text for document in views[0]], 270)
    one = encode_corpus(*views, tokenizer, tmp_path / "cache")
    other = encode_corpus(*sides, tokenizer, tmp_path / "cache")
    assert other.cached and one.folder == other.folder


def test_too_little_text(tmp_path):
    (tmp_path / "a.txt").write_text("short")
    with pytest.raises(UserError, match="has only 5 bytes of text, expected at least 200"):
        read_corpus(tmp_path / "a.txt", cache_dir=tmp_path)
    (tmp_path / "a.txt").write_text("long enough " * 50)
    with pytest.raises(UserError, match="1 dropped: shorter than 1,000 characters"):
        read_corpus(tmp_path / "a.txt", DataOptions(min_characters=1000), cache_dir=tmp_path)


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "MEMORY", 0)
    monkeypatch.setattr(spool_module, "_BUFFER", 16)
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    spool = Spool(tmp_path)
    monkeypatch.setattr(spool_module, "unique_name", lambda *_: Path("/dev/full"))
    monkeypatch.setattr(spool_module, "_delete", lambda file, path: None)
    with pytest.raises(UserError, match=r"cleaned text to .*No space left on device.; free some"):
        for i in range(100):
            spool.add(Document(f"d{i}", "text " * 100))


SCRIPT = """
import sys
from pathlib import Path
from tinygrad_llm.data import spool
from tinygrad_llm.data.corpus import Document
spool.MEMORY = 0
documents = spool.Spool(Path(sys.argv[1]))
documents.add(Document("a", "text"))
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_leaves_a_file_that_the_next_removes(tmp_path, monkeypatch):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    assert len(list(tmp_path.iterdir())) == 1
    process.kill()
    process.communicate()
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(spool_module, "MEMORY", 0)
    spool = Spool(tmp_path)
    spool.add(Document("b", "text"))
    assert len(list(tmp_path.iterdir())) == 1 and list(spool) == [Document("b", "text")]


def test_split_of_a_list_gives_lists():
    listed = [Document(f"d{i}", "text") for i in range(100)]
    train, validation = split(Corpus("test", listed, CleanReport()))
    assert isinstance(train, list) and isinstance(validation, list)
