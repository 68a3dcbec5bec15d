"""Lines of a stream of bytes as text, of which each is known to be whole or damaged.

A reader of tables takes one line after the other. After each row it asks how many bytes the row's
lines had and what is wrong with them, so a wrong byte costs one row, and the report can say how
much that was.
"""

import io
from collections.abc import Iterator

LONGEST = 32 << 20  # bytes of a line that are kept in memory
_PIECE = 1 << 16


class Lines:
    """An iterator of lines with their ends, decoded; wrong bytes become U+FFFD.

    ``encoding`` names the order of its bytes, as utf-16-le does. A line ends with \\n, \\r or both.
    """

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._encoding = encoding
        self._lines = _split(stream, "\r".encode(encoding), "\n".encode(encoding))
        self._first = True
        self._size, self._problem = 0, ""

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line, size = next(self._lines)
        text = line.decode(self._encoding, "replace")
        if not line:
            text = "\ufffd"
            self._problem = f"more than {LONGEST:,} bytes in a line"
        elif "\ufffd" in text and not self._is_whole(line):
            self._problem = f"bytes that are not {self._encoding} text (--encoding names another)"
        if self._first:
            text, self._first = text.removeprefix("\ufeff"), False
        if self._size or not text.isspace():  # an empty line before a row is not part of it
            self._size += size
        return text

    def row(self) -> tuple[int, str]:
        """The bytes of the lines since the last call, and what is wrong with them, if anything."""
        row = self._size, self._problem
        self._size, self._problem = 0, ""
        return row

    def _is_whole(self, line: bytes) -> bool:
        try:
            line.decode(self._encoding)
        except UnicodeDecodeError:
            return False
        return True


def _split(stream: io.BufferedReader, cr: bytes, lf: bytes) -> Iterator[tuple[bytes, int]]:
    """Each line and its number of bytes; the line is empty if it is longer than LONGEST."""
    unit = len(lf)
    data, seen, lost = bytearray(), 0, 0  # there is no end of a line in the first ``seen`` bytes
    while True:
        end = _line_end(data, seen, cr, lf)
        if end < 0 or (len(data) < end + unit and data[end - unit : end] == cr):  # lf may follow
            piece = stream.read1(_PIECE)
            if piece:
                seen = max(0, len(data) // unit - 1) * unit
                if len(data) > LONGEST:
                    lost += seen
                    del data[:seen]
                    seen = 0
                data += piece
                continue
            end = len(data)
            if not end:
                return
        yield (b"" if lost else bytes(data[:end])), lost + end
        del data[:end]
        seen = lost = 0


def _line_end(data: bytearray, start: int, cr: bytes, lf: bytes) -> int:
    """Where the first line ends, which has no end before ``start``; -1 if it goes on."""
    newline = _find(data, lf, start, len(data))
    first = _find(data, cr, start, newline if newline >= 0 else len(data))
    if first < 0:
        return newline if newline < 0 else newline + len(lf)
    end = first + len(cr)
    return end + len(lf) if newline == end else end


def _find(data: bytearray, mark: bytes, start: int, stop: int) -> int:
    """Where a character is; its bytes may also be half of one character and half of the next."""
    at = data.find(mark, start, stop)
    while at >= 0 and at % len(mark):
        at = data.find(mark, at + 1, stop)
    return at
