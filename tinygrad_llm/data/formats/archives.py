"""The files in a zip or a tar, one after the other, without writing any of them to disk.

A member's name is only a name here: "../../etc/passwd" is the name of a document. What the archive
says about sizes is checked before anything is read.
"""

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from tinygrad_llm.data.formats.compressed import RATIO, SMALL, buffered
from tinygrad_llm.data.formats.unreadable import Unreadable, damaged

MEMBERS = 1_000_000  # more files in one archive are refused


class Member(NamedTuple):
    """A file in an archive: its name there, its bytes, and how many they are."""

    name: str
    stream: io.BufferedReader
    size: int


def read_zip(stream: BinaryIO, size: int) -> Iterator[Member]:
    """The files in a zip of ``size`` bytes, sorted by name; raises Unreadable for a bad one."""
    try:
        with zipfile.ZipFile(stream) as archive:
            infos = sorted(
                (info for info in archive.infolist() if not info.is_dir()),
                key=lambda info: info.filename,
            )
            _check(len(infos), sum(info.file_size for info in infos), size, "zip file")
            if any(info.flag_bits & 1 for info in infos):
                raise Unreadable("a zip file that needs a password", "unpack it first")
            for info in infos:
                with archive.open(info) as member:
                    whole = buffered(member, "zip file", info.file_size, zipfile.BadZipFile)
                    yield Member(info.filename, whole, info.file_size)
    except _ZIP_ERRORS as error:
        raise damaged("zip file", error) from None


# NotImplementedError is a method of compression that Python has not.
_ZIP_ERRORS = (
    zipfile.BadZipFile, OSError, EOFError, zlib.error, struct.error, NotImplementedError,
    UnicodeDecodeError, RuntimeError,
)  # fmt: skip


def read_tar(stream: BinaryIO) -> Iterator[Member]:
    """The regular files in a tar, in its order; raises Unreadable for a bad one."""
    count = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for info in archive:
                count += 1
                _check(count, 0, 0, "tar file")
                if info.isreg() and (member := archive.extractfile(info)) is not None:
                    whole = buffered(member, "tar file", info.size, tarfile.TarError)
                    yield Member(info.name, whole, info.size)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise damaged("tar file", error) from None


def _check(members: int, unpacked: int, size: int, what: str) -> None:
    if members > MEMBERS:
        raise Unreadable(f"a {what} with more than {MEMBERS:,} files", "unpack it first")
    if unpacked > max(SMALL, RATIO * size):
        raise Unreadable(
            f"a {what} of {size:,} bytes that says it holds {unpacked:,}, at least {RATIO} times "
            "as many, which no text has",
            "unpack it first if it is right",
        )
