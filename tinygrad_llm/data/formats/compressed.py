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
    return buffered(_Frames(zstandard, stream), "zstandard file", size, zstandard.ZstdError)


class _Frames:
    """The content of the frames of a Zstandard file.

    The package's own stream reader takes the end of a file that was cut short for its end. One
    decompression is of FED bytes, which may become 128 KiB for every four.
    """

    FED = 512

    def __init__(self, zstandard: Any, stream: BinaryIO) -> None:
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        self._stream = stream
        self._frame: Any = None
        self._rest = b""  # decompressed and not yet read
        self._fed = b""  # read and not yet decompressed

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; none at the end. Raises EOFError in the middle of a frame."""
        while not self._rest:
            data = self._fed or self._stream.read(self.FED)
            self._fed = b""
            if not data:
                if self._frame is not None:
                    raise EOFError("it was cut short")
                return b""
            if self._frame is None:
                self._frame = self._decompressor.decompressobj()
            self._rest = self._frame.decompress(data)
            if self._frame.eof:
                self._fed = self._frame.unused_data
                self._frame = None
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


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
