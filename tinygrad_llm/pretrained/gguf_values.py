"""The values in the header of a GGUF file: numbers, strings and arrays, one after another.

Each says in the file how long it is, and any of these lengths may be a lie. So every length is
compared with the bytes that are left before memory is allocated for it, and what is read takes no
more than a small multiple of its bytes in the file.
"""

from typing import Any

import numpy as np

from tinygrad_llm.files.json_file import short

NUMBERS = {
    0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 10: "<u8", 11: "<i8",
    12: "<f8",
}  # fmt: skip
"""GGUF's types of numbers, as NumPy's."""
BOOLEAN, STRING, ARRAY = 7, 8, 9
MAX_HEADER = 64 << 20  # bytes; a vocabulary of 262,144 tokens has 6.5 million
MAX_DEPTH = 4  # of arrays in arrays; no known file has any


class Broken(Exception):
    """What is wrong with the bytes, to be said with the file's name."""


class Values:
    """Reads values from ``data``, the bytes of a file from its beginning; ``at`` is the position.

    Raises Broken for bytes that cannot be what they should be.
    """

    def __init__(self, data: memoryview):
        self.size = len(data)
        self.data = data[:MAX_HEADER]
        self.at = 0

    def take(self, size: int, what: str) -> memoryview:
        """The next ``size`` bytes."""
        left = len(self.data) - self.at
        if size > left:
            raise Broken(f"{what} needs {size:,} bytes, but {left:,} are left{self._of_what()}")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, dtype: str, what: str) -> int | float:
        return np.frombuffer(self.take(np.dtype(dtype).itemsize, what), dtype)[0].item()

    def count(self, what: str, smallest: int) -> int:
        """The number of values that follow, each of at least ``smallest`` bytes."""
        count = int(self.number("<u8", f"the number of {what}"))
        left = len(self.data) - self.at
        if count * smallest > left:
            raise Broken(
                f"{count:,} {what} cannot be in the {left:,} bytes that are left{self._of_what()}"
            )
        return count

    def string(self, what: str) -> str:
        length = int.from_bytes(self.take(8, f"the length of {what}"), "little")
        try:
            return str(self.take(length, what), "utf-8")
        except UnicodeDecodeError as error:
            raise Broken(f"{what} is not UTF-8 at its byte {error.start:,}") from None

    def value(self, what: str) -> Any:
        """A value preceded by its type: int, float, bool, str or what ``array`` returns."""
        kind = int(self.number("<u4", f"the type of {what}"))
        if kind in NUMBERS:
            return self.number(NUMBERS[kind], what)
        if kind == BOOLEAN:
            return bool(self._booleans(1, what)[0])
        if kind == STRING:
            return self.string(what)
        if kind == ARRAY:
            return self.array(what)
        raise Broken(f"{what} is of type {kind}, and there is no such type")

    def array(self, what: str, depth: int = 1) -> Any:
        """An array: of numbers or booleans as NumPy's; of strings or arrays as a list."""
        if depth > MAX_DEPTH:
            raise Broken(f"{what} has arrays nested more than {MAX_DEPTH} deep")
        kind = int(self.number("<u4", f"the type of the elements of {what}"))
        if kind in NUMBERS:
            dtype = np.dtype(NUMBERS[kind])
            count = self.count(f"elements of {what}", dtype.itemsize)
            elements = np.frombuffer(self.take(count * dtype.itemsize, what), dtype)
            return elements.astype(dtype.newbyteorder("="))  # a copy
        if kind == BOOLEAN:
            return self._booleans(self.count(f"elements of {what}", 1), what)
        if kind == STRING:
            name = f"an element of {what}"
            return [self.string(name) for _ in range(self.count(f"elements of {what}", 8))]
        if kind == ARRAY:
            return [
                self.array(what, depth + 1) for _ in range(self.count(f"elements of {what}", 12))
            ]
        raise Broken(f"the elements of {what} are of type {kind}, and there is no such type")

    def _of_what(self) -> str:
        return f" of the {MAX_HEADER:,} that a header may have" if self.size > MAX_HEADER else ""

    def _booleans(self, count: int, what: str) -> np.ndarray:
        values = np.frombuffer(self.take(count, what), np.uint8)
        if count and values.max() > 1:
            raise Broken(f"{what} is a boolean of value {values.max()}, expected 0 or 1")
        return values.astype(bool)


def named(what: str, name: str) -> str:
    """``what`` and its name, cut short and in ASCII, for a sentence."""
    return f"{what} {short(name)}"
