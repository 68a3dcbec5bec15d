"""Batches against the definition, exact resumption, and each id scored exactly once."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, strategies as st

from tinygrad_llm.data import (
    IGNORE,
    Loader,
    check_tokens,
    evaluation_windows,
    loader,
    open_tokens,
    scored_bytes,
    token_file,
)
from tinygrad_llm.errors import UserError


@given(
    st.integers(2, 60), st.integers(1, 59), st.integers(1, 5), st.integers(0, 2**32), st.booleans()
)
def test_batches_are_windows_of_the_data(n, block_size, batch_size, seed, wide):
    block_size = min(block_size, n - 1)
    data = np.arange(n, dtype=np.uint32 if wide else np.uint16)  # the id is its own position
    loader = Loader(data, batch_size, block_size, seed)
    starts = np.random.Generator(np.random.PCG64(seed))
    for _ in range(3):
        x, y = loader.next_batch()
        first = starts.integers(0, n - block_size, size=batch_size)
        assert x.shape == y.shape == (batch_size, block_size)
        assert x.dtype == y.dtype == np.int64
        assert x.flags.c_contiguous and y.flags.c_contiguous
        np.testing.assert_array_equal(x, first[:, None] + np.arange(block_size))
        np.testing.assert_array_equal(y, x + 1)
    (x, y), again = (
        Loader(data, 2, block_size, seed=1).next_batch(),
        Loader(data.tolist(), 2, block_size, seed=1).next_batch(),
    )
    np.testing.assert_array_equal(x, again[0])
    np.testing.assert_array_equal(y, again[1])


def test_every_start_is_drawn_and_equally_often():
    n, T, count = 12, 5, 7000
    x, y = Loader(np.arange(n), count, T, seed=0).next_batch()
    drawn = np.bincount(x[:, 0], minlength=n)
    assert drawn[n - T :].sum() == 0 and y.max() == n - 1  # the last start is n - T - 1
    expected = count / (n - T)
    chi_squared = ((drawn[: n - T] - expected) ** 2 / expected).sum()
    assert chi_squared < 22.5  # the 0.999 quantile for 6 degrees of freedom


def test_resume_is_exact_through_json():
    data = np.arange(1000, dtype=np.uint16)
    loader = Loader(data, 3, 8, seed=5)
    for _ in range(3):  # an odd number of 32-bit draws: half a word is kept in the state
        loader.next_batch()
    saved = json.loads(json.dumps(loader.state_dict()))
    expected = [loader.next_batch() for _ in range(4)]
    other = Loader(data, 3, 8, seed=99)
    other.load_state_dict(saved)
    for batch in expected:
        for a, b in zip(batch, other.next_batch(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert other.state_dict() == loader.state_dict()


def test_state_is_a_copy():
    loader = Loader(np.arange(100), 2, 4, seed=0)
    before = loader.state_dict()
    frozen = json.dumps(before)
    loader.next_batch()
    assert json.dumps(before) == frozen != json.dumps(loader.state_dict())


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"tokens": 99}, "saved loader has tokens = 99, this one has 100"),
        ({"block_size": 5}, "block_size = 5, this one has 4"),
        ({"batch_size": None}, "batch_size = None"),
        ({"bit_generator": None}, "not a whole PCG64 state"),
        ({"bit_generator": {"bit_generator": "MT19937"}}, "not a whole PCG64 state"),
        ({"bit_generator": {"bit_generator": "PCG64", "state": {}}}, "not a whole PCG64 state"),
    ],
)
def test_foreign_state_changes_nothing(change, sentence):
    loader = Loader(np.arange(100), 2, 4, seed=0)
    before = loader.state_dict()
    with pytest.raises(UserError, match=sentence):
        loader.load_state_dict({**before, **change})
    assert loader.state_dict() == before
    with pytest.raises(UserError, match="is a dictionary, found list"):
        loader.load_state_dict([])


@pytest.mark.parametrize("value", [-1, 2**128, 1.5, "1", None])
def test_damaged_numbers_in_the_state(value):
    loader = Loader(np.arange(100), 2, 4, seed=0)
    state = loader.state_dict()
    state["bit_generator"]["state"]["state"] = value
    with pytest.raises(UserError, match="not a whole PCG64 state"):
        loader.load_state_dict(state)


def test_too_short_and_wrong_sizes(tmp_path):
    with pytest.raises(UserError, match="has 8 ids, expected more than block_size = 8"):
        Loader(np.arange(8), 1, 8, seed=0)
    x, y = Loader(np.arange(9), 1, 8, seed=0).next_batch()
    assert x.tolist() == [list(range(8))] and y.tolist() == [list(range(1, 9))]
    with pytest.raises(UserError, match="batch_size is 0"):
        Loader(np.arange(9), 0, 8, seed=0)
    np.save(tmp_path / "short.npy", np.arange(3, dtype=np.uint16))
    with pytest.raises(UserError, match="short.npy has 3 ids, expected more than block_size = 8"):
        Loader(tmp_path / "short.npy", 1, 8, seed=0)


def test_file_is_mapped_and_gives_the_same_batches(tmp_path):
    data = np.random.default_rng(0).integers(0, 50_000, 500).astype(np.uint16)
    np.save(tmp_path / "t.npy", data)
    from_file = Loader(tmp_path / "t.npy", 4, 16, seed=1, vocab_size=50_000)
    assert isinstance(from_file.tokens, np.memmap) and not from_file.tokens.flags.writeable
    from_array = Loader(data, 4, 16, seed=1)
    for a, b in zip(from_file.next_batch(), from_array.next_batch(), strict=True):
        np.testing.assert_array_equal(a, b)
        assert type(a) is np.ndarray


def save_pickled(path):
    np.save(path, np.array([{}, []], dtype=object), allow_pickle=True)


def save_truncated(path):
    np.save(path, np.arange(1000, dtype=np.uint16))
    path.write_bytes(path.read_bytes()[:-10])


def save_huge(path):
    """A header that promises more ids than any machine has bytes."""
    header = b"{'descr': '<u2', 'fortran_order': False, 'shape': (99999999999999999999,), }\n"
    path.write_bytes(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header)


def save_archive(path):
    with open(path, "wb") as file:
        np.savez(file, tokens=np.arange(10))


@pytest.mark.parametrize(
    "save, sentence",
    [
        (lambda path: None, "there is no token file .*t.npy"),
        (lambda path: path.mkdir(), "t.npy is not a whole .npy file"),
        (lambda path: path.write_bytes(b""), "t.npy is not a whole .npy file"),
        (lambda path: path.write_text("some text"), "t.npy is not a whole .npy file"),
        (lambda path: path.write_bytes(b"\x93NUMPY\1\0\5\0{'a':"), "not a whole .npy file"),
        (save_truncated, "t.npy is not a whole .npy file"),
        (save_pickled, "t.npy is not a whole .npy file"),
        (save_huge, "t.npy is not a whole .npy file"),
        (save_archive, "t.npy is a .npz archive"),
        (lambda path: np.save(path, np.zeros((2, 3), int)), r"shape \(2, 3\) and dtype int64"),
        (lambda path: np.save(path, np.zeros(3)), "dtype float64, expected one row of integer"),
        (lambda path: np.save(path, np.zeros(3, bool)), "dtype bool"),
    ],
)
def test_foreign_files(tmp_path, save, sentence):
    path = tmp_path / "t.npy"
    save(path)
    with pytest.raises(UserError, match=sentence):
        open_tokens(path)


def test_check_tokens(monkeypatch):
    monkeypatch.setattr(token_file, "CHUNK", 4)  # the wrong id is in a later chunk
    data = np.arange(10, dtype=np.uint16)
    check_tokens(data, 10)
    check_tokens(data, 100_000)  # more than uint16 can hold
    with pytest.raises(UserError, match="id 7 at position 7, expected ids from 0 to 6"):
        check_tokens(data, 7)
    with pytest.raises(UserError, match="id -1 at position 5"):
        check_tokens(np.array([0, 1, 2, 3, 4, -1]), 10)
    with pytest.raises(UserError, match="made with another tokenizer"):
        Loader(data, 1, 4, seed=0, vocab_size=5)


@given(st.integers(2, 80), st.integers(1, 20), st.data(), st.integers(1, 4))
def test_each_id_is_scored_exactly_once(n, T, data, batch_size):
    stride = data.draw(st.none() | st.integers(1, T))
    tokens = np.arange(n, dtype=np.uint16)
    step = stride or T
    scored = []
    batches = list(evaluation_windows(tokens, T, stride, batch_size))
    for x, y in batches:
        assert x.shape == y.shape and x.shape[1] == T and 1 <= len(x) <= batch_size
        assert x.dtype == y.dtype == np.int64
        for inputs, targets in zip(x, y, strict=True):
            (at,) = np.nonzero(targets != IGNORE)
            assert len(at) > 0  # no window without a target
            np.testing.assert_array_equal(targets[at], inputs[at] + 1)
            # The window is a stretch of the data up to its last target, whatever pads it.
            np.testing.assert_array_equal(inputs[: at[-1] + 1], inputs[0] + np.arange(at[-1] + 1))
            if inputs[0] > 0:
                assert at[0] + 1 > T - step  # ids of context, the one just before included
            scored += targets[at].tolist()
    assert scored == list(range(1, n))
    assert all(len(x) == batch_size for x, _ in batches[:-1])


def test_windows_by_hand():
    tokens = np.array([5, 6, 7, 8, 9, 3], dtype=np.uint16)
    ((x, y),) = evaluation_windows(tokens, 4, batch_size=8)
    assert x.tolist() == [[5, 6, 7, 8], [9, 0, 0, 0]]
    assert y.tolist() == [[6, 7, 8, 9], [3, -100, -100, -100]]
    ((x, y),) = evaluation_windows(tokens, 4, stride=2, batch_size=8)
    assert x.tolist() == [[5, 6, 7, 8], [7, 8, 9, 0]]
    assert y.tolist() == [[6, 7, 8, 9], [-100, -100, 3, -100]]


def test_windows_bad_input():
    """Raised by the call, not at the first batch."""
    with pytest.raises(UserError, match="stride 5"):
        evaluation_windows(np.arange(9), 4, stride=5)
    with pytest.raises(UserError, match="stride 0"):
        evaluation_windows(np.arange(9), 4, stride=0)
    with pytest.raises(UserError, match="has 1 ids, expected at least 2"):
        evaluation_windows(np.arange(1), 4)


def test_scored_bytes(monkeypatch):
    monkeypatch.setattr(loader, "CHUNK", 3)
    token_bytes = np.array([1, 2, 3, 0])  # the last is end of text
    tokens = np.array([2, 0, 1, 3, 2, 2, 0, 1], dtype=np.uint16)
    assert scored_bytes(tokens, token_bytes) == 1 + 2 + 0 + 3 + 3 + 1 + 2
    scored = [
        int(token_bytes[y[y != IGNORE]].sum()) for _, y in evaluation_windows(tokens, 3, stride=2)
    ]
    assert sum(scored) == scored_bytes(tokens, token_bytes)
    with pytest.raises(UserError, match="id 2 at position 0"):
        scored_bytes(tokens, token_bytes[:2])


def test_what_is_no_file_is_not_opened(tmp_path):
    (tmp_path / "folder.npy").mkdir()
    os.mkfifo(tmp_path / "pipe.npy") if hasattr(os, "mkfifo") else None
    for path in tmp_path.iterdir():
        with pytest.raises(
            UserError, match=f"{path.name} is not a whole .npy file .* .it is not a regular file."
        ):
            open_tokens(path)
