"""Which texts were seen before, by digests of 16 bytes."""

import hashlib

from tinygrad_llm.data.hash_table import HashTable


class Digests:
    """The digests of the texts so far: 32 to 64 bytes for each."""

    def __init__(self) -> None:
        self._table = HashTable()

    def add(self, text: str) -> bool:
        """Remember a text; returns whether it is new.

        Half of a sha256 tells texts apart: no two of 10^15 would have the same.
        """
        digest = hashlib.sha256(text.encode()).digest()
        key, value = digest[:8], digest[8:16]
        if value in self._table.find(key):
            return False
        self._table.add(key, value)
        return True
