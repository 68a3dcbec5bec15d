"""Files that are either whole or absent, even after a crash or on a full disk.

A file is written under another name, forced to disk, and renamed, which is atomic. ``fsync`` comes
first, because otherwise a file system may put the new name on disk before the content.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tinygrad_llm.errors import UserError

PARTIAL = ".partial-"


def user_path(text: str | os.PathLike) -> Path:
    """A path as a user writes it: a leading ~ is their home folder, ~name that of ``name``.

    Raises UserError for a text that cannot be a path: empty, with a zero byte, an unknown name.
    """
    text = os.fspath(text)
    if not text or "\0" in text:
        what = "is empty" if not text else f"{text!r} contains a zero byte"
        raise UserError(f"the path {what}: expected the name of a file or folder")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        user = text.partition("/")[0]
        raise UserError(
            f"the path {text} cannot be found: there is no home folder for {user}; write ./{text} "
            "for a file of that name"
        ) from None


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which gets the name ``path`` at the end of the block, replacing any file
    there. If the block raises, nothing of it is left."""
    partial = path.with_name(f"{PARTIAL}{path.name}")
    try:
        partial.unlink(missing_ok=True)
        with open(partial, "xb") as file:  # a new file, never one that a link points to
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file with this content to ``path``, replacing any file there."""
    with atomic_file(path) as file:
        file.write(data)


def write_folder_atomically(path: Path, fill: Callable[[Path], None]) -> None:
    """Make the folder ``path``, which must not exist; ``fill(folder)`` writes its files.

    A folder cannot be renamed over another that has files, and moving that one away first would
    leave a moment in which neither is there. So nothing is replaced: choose a new name instead. The
    parent folder must exist: if it was moved away, it is not made again.

    Raises FileExistsError, and whatever ``fill`` raises; then the partial folder is removed.
    """
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    partial = path.with_name(f"{PARTIAL}{path.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        fill(partial)
        for file in partial.iterdir():
            sync_file(file)
        sync_folder(partial)
        os.rename(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    sync_folder(path.parent)


def remove_partials(folder: Path) -> None:
    """Remove the partial files and folders of a killed process."""
    for leftover in folder.glob(f"{PARTIAL}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Wait until a file's content is on disk."""
    with open(path, "r+b") as file:  # Windows syncs only what is open for writing
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until a folder's list of names is on disk (Windows cannot, and need not)."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
