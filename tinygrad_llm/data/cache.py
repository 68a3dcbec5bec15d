"""The cache folder, and how an entry gets into it without ever being half there.

An entry is a folder named after the hash of everything that determines its content, so it is
never updated, only built. It is built under a name that nobody else has and then renamed, which
the file system does at once or not at all: a reader sees a whole entry or none, and two processes
that build the same one both succeed. An entry that does not read back is built again.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from autograd import _cache_folder
from autograd._cache_folder import VARIABLE
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import file_sha256

__all__ = ["VARIABLE", "cache_folder", "file_sha256", "get_or_build", "hash_parts"]

Entry = TypeVar("Entry")


def cache_folder(cache_dir: str | os.PathLike | None = None) -> Path:
    """The given folder, else the variable TINYGRAD_LLM_CACHE, else the user's cache folder.

    It is made if need be; raises UserError where that cannot be. One that can only be read will do
    as long as everything is in it.
    """
    try:
        path = _cache_folder.cache_folder(cache_dir)
        path.mkdir(parents=True, exist_ok=True)
    except ValueError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        reason = "it is no folder" if path.exists() else error.strerror
        raise UserError(
            f"cannot make the cache folder {path} ({reason}); set {VARIABLE} to a folder that can "
            "be written"
        ) from None
    return path


def hash_parts(parts: Iterable[str | bytes]) -> str:
    """sha256 of a sequence of parts; each is preceded by its length, so ("ab", "c") and
    ("a", "bc") differ."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def get_or_build(
    entry: Path, read: Callable[[Path], Entry], build: Callable[[Path], None]
) -> tuple[Entry, bool]:
    """The entry as ``read`` returns it, and whether it was there already.

    ``read(folder)`` raises UserError or OSError for an entry that is missing something or damaged;
    ``build(folder)`` fills an empty folder. Raises UserError where the cache cannot be written.
    """
    try:
        if entry.exists():
            return read(entry), True
    except (UserError, OSError):
        pass  # damaged: built again below, and replaced
    partial = _unique(entry, "partial")
    try:
        partial.mkdir(parents=True)
        build(partial)
        _publish(partial, entry, read)
    except OSError as error:
        raise UserError(
            f"cannot write the cache entry {entry} ({error.strerror or error}); free some space, "
            f"or set {VARIABLE} to a folder that can be written"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return read(entry), False


def _publish(partial: Path, entry: Path, read: Callable[[Path], Entry]) -> None:
    """Rename partial to entry, unless another process has put a sound entry there first."""
    try:
        os.rename(partial, entry)
        return
    except OSError:
        if not entry.exists():
            raise
    try:
        read(entry)
    except (UserError, OSError):
        # A damaged entry is moved away first: a folder cannot be renamed over a full one.
        aside = _unique(entry, "damaged")
        os.rename(entry, aside)
        os.rename(partial, entry)
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.unlink()


def _unique(entry: Path, kind: str) -> Path:
    return entry.with_name(f".{kind}-{entry.name[:16]}-{os.getpid()}-{secrets.token_hex(4)}")
