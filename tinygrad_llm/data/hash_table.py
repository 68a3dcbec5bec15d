"""A hash table for more keys than fit into memory: what tells duplicates in a corpus of any length.

A record is a key and a value of eight bytes each. Its place follows from the key; if that is taken,
the next free one has it (open addressing). At most half of the places are used. An element of a
Python set takes some 100 bytes, a record here 32 to 64, and none of memory once the table is larger
than MEMORY: then it is in a temporary file without a name, which disappears with the process,
however that ends. It is mapped, so the system keeps in memory what there is room for.
"""

import mmap
import tempfile
from typing import IO

import numpy as np

from tinygrad_llm.errors import UserError

MEMORY = 1 << 26  # bytes up to which a table is in memory
RECORD = 16  # bytes: eight of the key and eight of the value
_FIRST = 1 << 10  # places at the beginning; always a power of two
_BLOCK = 1 << 20  # places moved at once
_EMPTY = bytes(RECORD)


class HashTable:
    """Values by key; one key may have several different values. Nothing is ever removed.

    The record of 16 zero bytes cannot be added: it stands for an empty place. Raises UserError if
    the disk is full.
    """

    def __init__(self) -> None:
        self._places = _FIRST
        self._used = 0
        self._table = _zeros(_FIRST * RECORD)

    def find(self, key: bytes) -> list[bytes]:
        """All values that were added with this key."""
        values = []
        at = self._place(key)
        while (record := self._table[at : at + RECORD]) != _EMPTY:
            if record[:8] == key:
                values.append(bytes(record[8:]))
            at = (at + RECORD) % (self._places * RECORD)
        return values

    def add(self, key: bytes, value: bytes) -> None:
        """Add a record."""
        if 2 * (self._used + 1) > self._places:
            self._grow()
        at = self._place(key)
        while self._table[at : at + RECORD] != _EMPTY:
            at = (at + RECORD) % (self._places * RECORD)
        self._table[at : at + RECORD] = key + value
        self._used += 1

    def _place(self, key: bytes) -> int:
        """Where a record of this key would be best, in bytes."""
        return int.from_bytes(key, "little") % self._places * RECORD

    def _grow(self) -> None:
        old = np.frombuffer(self._table, np.uint64).reshape(-1, 2)
        self._places *= 2
        self._table = _zeros(self._places * RECORD)
        new = np.frombuffer(self._table, np.uint64).reshape(-1, 2)
        for start in range(0, len(old), _BLOCK):
            block = old[start : start + _BLOCK]
            _insert(new, block[block.any(axis=1)])


def _insert(table: np.ndarray, records: np.ndarray) -> None:
    """Put records (n, 2) into a table (places, 2) that has room, all at once."""
    last = np.uint64(len(table) - 1)
    places = records[:, 0] & last
    while len(records):
        free = ~table[places].any(axis=1)
        # Of several that want one free place, whichever is written last gets it.
        table[places[free]] = records[free]
        left = (table[places] != records).any(axis=1)
        records, places = records[left], (places[left] + np.uint64(1)) & last


def _zeros(size: int) -> "bytearray | mmap.mmap":
    if size <= MEMORY:
        return bytearray(size)
    file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the map keeps it
    try:
        # Written, not only made longer: a file with holes would end the process on a full disk.
        for _ in range(0, size, _BLOCK):
            file.write(bytes(min(_BLOCK, size)))
        return mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise disk_full(error) from None


def disk_full(error: OSError) -> UserError:
    """The error for a temporary file that cannot be written."""
    return UserError(
        f"cannot keep what tells duplicates in {tempfile.gettempdir()} "
        f"({error.strerror or error}); free some space, or set TMPDIR to a folder with enough"
    )
