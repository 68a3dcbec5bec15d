"""Shards: the same ids in several files, in any order of work, and after a real kill."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from encoded_corpora import MANY, VAL, ByteTokenizer, Killed, KilledAt, ids, several_batches
from hypothesis import given, strategies as st

from tinygrad_llm.data import (
    DataLoader,
    Document,
    check_tokens,
    encode_corpus,
    evaluation_windows,
    scored_bytes,
    shards,
)
from tinygrad_llm.data.token_row import ShardedTokens
from tinygrad_llm.errors import UserError

SCRIPT = Path(__file__).parent.parent / "scripts" / "prepare_and_be_killed.py"


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "SHARD", 100)


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_long_side_is_several_files(tmp_path, small_shards):
    prepared = encode_corpus(MANY, VAL, ByteTokenizer(), tmp_path)
    names = sorted(prepared.meta["files"])
    assert names[:2] == ["train-00001.npy", "train-00002.npy"] and names[-1] == "val.npy"
    each = [np.load(prepared.folder / name).tolist() for name in names[:-1]]
    assert sum(each, []) == ids(*MANY) and all(part[-1] == 256 for part in each)
    # A shard ends with the document that fills it.
    sizes = [sum(i != 256 for i in part) for part in each]
    assert all(100 <= size < 200 for size in sizes[:-1]) and len(each) == 3
    assert prepared.train[:].tolist() == ids(*MANY) and prepared.train.dtype == np.uint16
    assert prepared.meta["tokens"]["train"] == len(prepared.train) == len(ids(*MANY))
    assert prepared.meta["documents"]["train"] == len(MANY)


def test_what_was_one_file_is_still_found(tmp_path, monkeypatch):
    """As an entry of an earlier version, which had one file however long it was."""
    one = encode_corpus(MANY, VAL, ByteTokenizer(), tmp_path)
    monkeypatch.setattr(shards, "SHARD", 100)
    again = encode_corpus(MANY, VAL, ByteTokenizer(), tmp_path)
    assert again.cached and again.folder == one.folder and isinstance(again.train, np.memmap)


def test_any_executor_writes_the_same(tmp_path, small_shards):
    def backwards(write, tasks):
        return [write(task) for task in reversed(tasks)][::-1]

    usual = files(encode_corpus(MANY, VAL, ByteTokenizer(), tmp_path / "a").folder)
    with ThreadPoolExecutor(2) as pool:
        for i, executor in enumerate((backwards, pool.map)):
            other = encode_corpus(MANY, VAL, ByteTokenizer(), tmp_path / str(i), executor=executor)
            assert files(other.folder) == usual


@pytest.mark.parametrize("at", [3, 8])
def test_finished_shards_are_not_begun_again(tmp_path, small_shards, monkeypatch, at):
    several_batches(monkeypatch)
    whole = encode_corpus(MANY, VAL, ByteTokenizer(), tmp_path / "whole")
    with pytest.raises(Killed):
        encode_corpus(MANY, VAL, KilledAt(MANY[at].text), tmp_path)
    second = KilledAt()
    resumed = encode_corpus(MANY, VAL, second, tmp_path)
    assert second.seen == [document.text for document in [*MANY[at:], *VAL]]
    assert files(resumed.folder) == files(whole.folder)


def test_a_missing_shard_is_noticed(tmp_path, small_shards):
    folder = encode_corpus(MANY, VAL, ByteTokenizer(), tmp_path).folder
    before = files(folder)
    (folder / "train-00002.npy").unlink()
    with pytest.warns(UserWarning, match="built again: .*train-00002.npy"):
        encode_corpus(MANY, VAL, ByteTokenizer(), tmp_path)
    assert files(folder) == before


lengths = st.lists(st.integers(0, 7), min_size=1, max_size=6).filter(any)


@given(lengths, st.data())
def test_a_row_in_shards_is_an_array(sizes, data):
    whole = np.arange(sum(sizes), dtype=np.uint16) + 7
    row = ShardedTokens(np.split(whole, np.cumsum(sizes)[:-1]))
    n = len(whole)
    assert len(row) == n and row.shape == whole.shape and row.dtype == whole.dtype
    bound = st.none() | st.integers(-n - 2, n + 2)
    for step in (None, data.draw(st.integers(-3, 3).filter(bool))):
        part = slice(data.draw(bound), data.draw(bound), step)
        assert row[part].tolist() == whole[part].tolist()
        assert row[part].dtype == whole.dtype
    at = np.array(data.draw(st.lists(st.integers(-n, n - 1), max_size=6)), np.int64)
    assert np.array_equal(row[at[:, None] + 0 * at], whole[at[:, None] + 0 * at])
    assert row[n - 1] == whole[n - 1]
    for outside in (n, -n - 1):
        with pytest.raises(IndexError, match="outside the row"):
            row[np.array([0, outside])]


def test_everything_reads_over_shards():
    whole = np.random.default_rng(0).integers(0, 50, 997).astype(np.uint16)
    row = ShardedTokens(np.split(whole, [10, 11, 500]))
    loaders = [DataLoader(tokens, 4, 16, seed=3, vocab_size=50) for tokens in (whole, row)]
    for _ in range(40):
        for one, other in zip(*(loader.next_batch() for loader in loaders), strict=True):
            assert np.array_equal(one, other)
    windows = [list(evaluation_windows(tokens, 16, 9, 5)) for tokens in (whole, row)]
    for one, other in zip(*windows, strict=True):
        assert all(map(np.array_equal, one, other))
    sizes = np.arange(50)
    assert scored_bytes(row, sizes) == scored_bytes(whole, sizes)
    with pytest.raises(UserError, match="id 49 at position"):
        check_tokens(row, 49)


def prepare(corpus, cache, stage="none"):
    return subprocess.run(
        [sys.executable, SCRIPT, corpus, cache, stage], capture_output=True, text=True
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")
def test_a_killed_process_is_gone_on_with(tmp_path):
    """SIGKILL while cleaning, counting and encoding: the next one gives the same bytes."""
    corpus = tmp_path / "texts"
    corpus.mkdir()
    for i in range(60):
        (corpus / f"{i}.txt").write_text(
            f"Text number {i} goes on.\n\n\n\nIt ends.\n" * (9 + i % 7)
        )
    whole = prepare(corpus, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    expected = files(Path(whole.stdout.strip()))
    assert "train-00002.npy" in expected
    cache = tmp_path / "cache"
    for stage in ("cleaning", "counting", "encoding"):
        killed = prepare(corpus, cache, stage)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list((cache / "tokens").glob(".unfinished-*/*.journal"))
    resumed = prepare(corpus, cache)
    assert resumed.returncode == 0, resumed.stderr
    assert files(Path(resumed.stdout.strip())) == expected
    assert not list(cache.rglob(".*")) and not list((cache / "work").iterdir())


def test_documents_without_text_do_not_make_shards(tmp_path, small_shards):
    empty = [Document(f"e{i}", "") for i in range(9)]
    prepared = encode_corpus([*empty, *VAL], VAL, ByteTokenizer(), tmp_path)
    assert sorted(prepared.meta["files"]) == ["train.npy", "val.npy"]
    assert prepared.train.tolist() == [256] * 9 + ids(*VAL)
