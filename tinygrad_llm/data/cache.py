"""The cache folder, and how an entry gets into it without ever being half there.

An entry is a folder named after the hash of everything that determines its content, so it is
never updated, only built. It is built under a name that nobody else has and then renamed, which
the file system does at once or not at all: a reader sees a whole entry or none, and two processes
that build the same one both succeed. Beside its files lie their checksums and its own name: an
entry that is damaged, or that belongs elsewhere, is noticed and built again.
"""

import contextlib
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from autograd import _cache_folder
from autograd._cache_folder import VARIABLE
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.checksums import SUMS, verify, write_sums
from tinygrad_llm.files.json_file import read_bounded

__all__ = [
    "AGAIN",
    "VARIABLE",
    "cache_folder",
    "check_entry",
    "get_or_build",
    "hash_parts",
    "remove_leftovers",
]

KEY = "key"  # the file that holds an entry's own name
AGAIN = "delete the folder, and it is made again"
DAY = 24 * 3600.0

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

    ``build(folder)`` fills an empty folder; the checksums of its files are written beside them.
    ``read(folder)`` raises UserError or OSError for an entry that is missing something or damaged
    (``check_entry`` compares checksums). Such an entry, or one that was made for another name, is
    built again, with a warning that says why. Raises UserError where the cache cannot be written.
    """
    remove_leftovers(entry.parent)
    problem: Exception | None = None
    if os.path.lexists(entry):
        try:
            return _read_own(entry, entry.name, read), True
        except (UserError, OSError) as error:
            problem = error
    partial = _unique(entry, "partial")
    try:
        partial.mkdir(parents=True)
        build(partial)
        (partial / KEY).write_text(entry.name + "\n", encoding="utf-8")
        write_sums(partial)
        _publish(partial, entry, read)
    except OSError as error:
        raise UserError(
            f"cannot write the cache entry {entry} ({error.strerror or error}); free some space, "
            f"or set {VARIABLE} to a folder that can be written"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if problem is not None:
        reason = str(problem).removesuffix(f"; {AGAIN}")
        warnings.warn(f"a damaged entry of the cache was built again: {reason}", stacklevel=2)
    return _read_published(entry, read), False


def check_entry(folder: Path, names: Sequence[str]) -> None:
    """Raise UserError unless these files of an entry are the ones that were written."""
    if not verify(folder, names, advice=AGAIN):
        raise UserError(f"{folder} has no {SUMS}; {AGAIN}")


def _read_own(folder: Path, key: str, read: Callable[[Path], Entry]) -> Entry:
    """What is read from an entry, which must have been made for this key."""
    check_entry(folder, [KEY])
    found = read_bounded(folder / KEY, 1 << 10).decode("utf-8", "replace").strip()
    if found != key:
        raise UserError(f"{folder} is a copy of the entry {found[:16]}...; {AGAIN}")
    return read(folder)


def _read_published(entry: Path, read: Callable[[Path], Entry]) -> Entry:
    """The entry, also if another process is just putting its own, equal one in its place."""
    for _ in range(20):
        try:
            return _read_own(entry, entry.name, read)
        except (UserError, OSError):
            time.sleep(0.05)
    return _read_own(entry, entry.name, read)


def _publish(partial: Path, entry: Path, read: Callable[[Path], Entry]) -> None:
    """Rename partial to entry, unless another process has put a sound entry there first."""
    try:
        os.rename(partial, entry)
        return
    except OSError:
        if not os.path.lexists(entry):
            raise
    try:
        _read_own(entry, entry.name, read)
    except (UserError, OSError):
        # A damaged entry is moved away first: a folder cannot be renamed over a full one.
        aside = _unique(entry, "damaged")
        os.rename(entry, aside)
        os.rename(partial, entry)
        _remove(aside)


def _unique(entry: Path, kind: str) -> Path:
    who = f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    return entry.with_name(f".{kind}-{entry.name[:16]}-{who}")


def _host() -> str:
    return hashlib.sha256(platform.node().encode("utf-8", "surrogateescape")).hexdigest()[:8]


_LEFTOVER = re.compile(r"\.(?:partial|damaged)-.*?(?:-([0-9a-f]{8})-([0-9]{1,9}))?-[0-9a-f]{8}")


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes have left in a folder of entries.

    That is what a process of this machine made that is no longer there, and anything older than a
    day: another machine that shares the cache may be at work on what is younger.
    """
    with contextlib.suppress(OSError):  # there is no folder yet, or it is not ours to tidy
        for path in folder.iterdir():
            name = _LEFTOVER.fullmatch(path.name)
            if name is None:
                continue
            ours = name[1] == _host() and not _is_running(int(name[2]))
            if ours or time.time() - path.lstat().st_mtime > DAY:
                _remove(path)


def _is_running(pid: int) -> bool:
    if os.name == "nt":  # os.kill would end the process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
