"""What tells duplicates: the same as a dictionary, in memory and in a file."""

import tempfile

import pytest
from hypothesis import given, settings, strategies as st

from tinygrad_llm.data import hash_table
from tinygrad_llm.data.digests import Digests
from tinygrad_llm.data.hash_table import HashTable
from tinygrad_llm.data.near_duplicates import find_near_duplicates
from tinygrad_llm.errors import UserError

# Few keys, many of which want the same place, whatever the size of the table; and any others.
keys = st.sampled_from([bytes([0, 0, 0, 0, 0, 0, 0, n]) for n in range(5)]) | st.binary(
    min_size=8, max_size=8
)


@settings(deadline=None, max_examples=60)
@given(st.sets(st.tuples(keys, st.integers(1, 40))), st.integers(0, 300), st.integers(1, 50))
def test_a_table_is_a_dictionary(records, memory, block):
    expected: dict[bytes, set[bytes]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_table, "_FIRST", 2)
        patch.setattr(hash_table, "MEMORY", memory)
        patch.setattr(hash_table, "_BLOCK", block)
        table = HashTable()
        for key, number in records:
            value = number.to_bytes(8, "little")
            table.add(key, value)
            expected.setdefault(key, set()).add(value)
    for key, values in expected.items():
        found = table.find(key)
        assert set(found) == values and len(found) == len(values)
    assert table.find(b"not there") == []


@pytest.mark.parametrize("memory", [0, 1 << 26], ids=["in a file", "in memory"])
def test_many_texts(monkeypatch, memory):
    monkeypatch.setattr(hash_table, "MEMORY", memory)
    digests = Digests()
    assert all(digests.add(f"text {i}") for i in range(5000))
    assert not any(digests.add(f"text {i}") for i in range(5000))
    assert digests.add("text 5000") and not digests.add("text 5000")


def test_near_duplicates_are_the_same_from_a_file(monkeypatch):
    words = [f"w{i * i % 997}" for i in range(3000)]
    texts = [" ".join(words[7 * i : 7 * i + 60 + i % 9]) for i in range(300)]
    expected = find_near_duplicates(texts)
    monkeypatch.setattr(hash_table, "MEMORY", 0)
    monkeypatch.setattr("tinygrad_llm.data.near_duplicates.MEMORY", 1)
    assert find_near_duplicates(texts) == expected
    assert len(set(expected)) > 20


class FullDisk:
    """A temporary file for which there is no room."""

    def __init__(self, *arguments, **options):
        pass

    def write(self, data):
        raise OSError(28, "No space left on device")

    def seek(self, *place):
        pass

    def tell(self):
        return 0


@pytest.mark.parametrize("kind", ["TemporaryFile", "SpooledTemporaryFile"])
def test_a_full_disk_is_one_sentence(monkeypatch, kind):
    monkeypatch.setattr(hash_table, "MEMORY", 0)
    monkeypatch.setattr(tempfile, kind, FullDisk)
    with pytest.raises(UserError, match="tells duplicates in .* .No space .*; free some space"):
        find_near_duplicates(["one two three four five six"] * 3)
