"""Compressed files as streams of what is in them: gzip, bzip2, xz and Zstandard.

Nothing is unpacked to disk, and only what is being read is in memory. A small file may hold
terabytes of zeros, so what comes out is compared with what went in: text shrinks to a tenth, so
more than RATIO times the size is refused, once it is more than SMALL.
"""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

from tinygrad_llm.data.formats.unreadable import Unreadable, damaged, missing_extra

RATIO = 200
SMALL = 64 << 20


def open_compressed(kind: str, stream: BinaryIO, size: int) -> io.BufferedReader:
    """The uncompressed bytes of a stream of ``size`` bytes; reading raises Unreadable."""
    if kind == "zstandard":
        return _open_zstandard(stream, size)
    openers: dict[str, Callable[[Any], Any]] = {
        "gzip": lambda file: gzip.GzipFile(fileobj=file),
        "bzip2": bz2.BZ2File,
        "xz": lzma.LZMAFile,
    }
    return buffered(openers[kind](stream), f"{kind} file", size)


def _open_zstandard(stream: BinaryIO, size: int) -> io.BufferedReader:
    try:
        import zstandard
    except ImportError:
        raise missing_extra("a Zstandard file", "zstandard", "zstd") from None
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        stream, read_across_frames=True
    )
    return buffered(reader, "zstandard file", size, zstandard.ZstdError)


def buffered(
    stream: Any, what: str, size: int, error: type[Exception] = zlib.error
) -> io.BufferedReader:
    """A stream with limits and with errors as sentences; ``error`` is one that it raises."""
    return io.BufferedReader(_Checked(stream, what, size, error), 1 << 16)


class _Checked(io.RawIOBase):
    """The bytes of a decompressor, as long as they are whole and not too many."""

    def __init__(self, stream: Any, what: str, size: int, error: type[Exception]) -> None:
        self._stream, self._what, self._error = stream, what, error
        self._most = max(SMALL, RATIO * size)
        self._done = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        filled = 0
        try:
            while filled < len(view) and (data := self._stream.read(len(view) - filled)):
                view[filled : filled + len(data)] = data
                filled += len(data)
        except (OSError, EOFError, zlib.error, lzma.LZMAError, self._error) as error:
            raise damaged(self._what, error) from None
        self._done += filled
        if self._done > self._most:
            raise Unreadable(
                f"a {self._what} with more than {self._most:,} bytes in it, at least {RATIO} times "
                "its size, which no text has",
                "unpack it first if it is right",
            )
        return filled
