"""The cache folder, and how an entry gets into it without ever being incomplete.

An entry is a folder named after the hash of everything that determines its content, so it is
never updated, only built. It is built under a unique name and then renamed, which is atomic: a
reader sees a whole entry or none, and two processes that build the same one both succeed. Next to
its files are their checksums and its own name: an entry that is damaged, or that belongs elsewhere,
is noticed and built again.
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from autograd import _cache_folder
from autograd._cache_folder import VARIABLE
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.checksums import SUMS, verify, write_sums
from tinygrad_llm.files.json_file import read_bounded
from tinygrad_llm.files.lock import RunLock

__all__ = [
    "AGAIN",
    "VARIABLE",
    "cache_folder",
    "check_entry",
    "get_or_build",
    "hash_parts",
    "remove_leftovers",
    "unique_name",
    "work_folder",
]

KEY = "key"  # the file with an entry's own name
AGAIN = "delete the folder, and it will be built again"
DAY = 24 * 3600.0

Entry = TypeVar("Entry")


def cache_folder(cache_dir: str | os.PathLike | None = None) -> Path:
    """``cache_dir``, or the variable TINYGRAD_LLM_CACHE, or the user's cache folder.

    It is created if need be; raises UserError if that is impossible. A read-only one will do as
    long as everything is in it.
    """
    try:
        path = _cache_folder.cache_folder(cache_dir)
        path.mkdir(parents=True, exist_ok=True)
    except ValueError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        reason = "it is not a folder" if path.exists() else error.strerror
        raise UserError(
            f"cannot create the cache folder {path} ({reason}); set {VARIABLE} to a folder that "
            "can be written to"
        ) from None
    return path


def hash_parts(parts: Iterable[str | bytes]) -> str:
    """sha256 (hex) of a sequence of parts, each after its length: ("ab", "c") and ("a", "bc")
    differ."""
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

    ``build(folder)`` fills an empty folder; the checksums of its files are written next to them.
    ``read(folder)`` raises UserError or OSError for an entry that is incomplete or damaged
    (``check_entry`` compares checksums). Such an entry, or one that was made for another name, is
    built again, with a warning that says why. Raises UserError if the cache cannot be written.
    """
    remove_leftovers(entry.parent)
    problem: Exception | None = None
    if os.path.lexists(entry):
        try:
            return _read_own(entry, entry.name, read), True
        except (UserError, OSError) as error:
            problem = error
    partial = unique_name(entry, "partial")
    try:
        partial.mkdir(parents=True)
        build(partial)
        (partial / KEY).write_text(entry.name + "\n", encoding="utf-8")
        write_sums(partial)
        _publish(partial, entry, read)
    except OSError as error:
        raise UserError(
            f"cannot write the cache entry {entry} ({error.strerror or error}); free some space, "
            f"or set {VARIABLE} to a folder that can be written to"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if problem is not None:
        reason = str(problem).removesuffix(f"; {AGAIN}")
        warnings.warn(f"a damaged cache entry was built again: {reason}", stacklevel=2)
    return _read_published(entry, read), False


def check_entry(folder: Path, names: Sequence[str]) -> None:
    """Raise UserError if any of these files of an entry has changed since it was written."""
    if not verify(folder, names, advice=AGAIN):
        raise UserError(f"{folder} has no {SUMS}; {AGAIN}")


def _read_own(folder: Path, key: str, read: Callable[[Path], Entry]) -> Entry:
    """The entry as ``read`` returns it, if it was made for this key."""
    check_entry(folder, [KEY])
    own_key = read_bounded(folder / KEY, 1 << 10).decode("utf-8", "replace").strip()
    if own_key != key:
        raise UserError(f"{folder} is a copy of the entry {own_key[:16]}...; {AGAIN}")
    return read(folder)


def _read_published(entry: Path, read: Callable[[Path], Entry]) -> Entry:
    """The entry, even while another process is replacing it with an equal one."""
    for _ in range(20):
        try:
            return _read_own(entry, entry.name, read)
        except (UserError, OSError):
            time.sleep(0.05)
    return _read_own(entry, entry.name, read)


def _publish(partial: Path, entry: Path, read: Callable[[Path], Entry]) -> None:
    """Rename partial to entry, unless another process has published a sound one first."""
    try:
        os.rename(partial, entry)
        return
    except OSError:
        if not os.path.lexists(entry):
            raise
    try:
        _read_own(entry, entry.name, read)
    except (UserError, OSError):
        # A folder cannot be renamed over one with files in it: move the damaged entry away first.
        damaged = unique_name(entry, "damaged")
        os.rename(entry, damaged)
        os.rename(partial, entry)
        _remove(damaged)


@contextlib.contextmanager
def work_folder(entry: Path, fallback: Path, worth_keeping: str) -> Iterator[Path]:
    """A folder for unfinished files of an entry, which outlives this process if it is killed.

    It is removed at the end of the block, unless that raises and the folder has a file whose name
    ends in ``worth_keeping``. While another process has it, ``fallback`` takes its place.
    """
    folder = entry.with_name(f"{_RESUMED}{entry.name[:16]}")
    with contextlib.ExitStack() as stack:
        locked = False
        with contextlib.suppress(UserError, OSError):
            folder.mkdir(parents=True, exist_ok=True)
            locked = stack.enter_context(RunLock(folder)).held
        try:
            yield folder if locked else fallback
        except BaseException:
            if locked and not any(name.name.endswith(worth_keeping) for name in folder.iterdir()):
                _remove(folder)
            raise
        if locked:
            _remove(folder)


def unique_name(entry: Path, kind: str) -> Path:
    """A name next to ``entry`` that no other process uses; ``remove_leftovers`` knows it."""
    process = f"{_host()}-{os.getpid()}"
    return entry.with_name(f".{kind}-{entry.name[:16]}-{process}-{secrets.token_hex(4)}")


def _host() -> str:
    return hashlib.sha256(platform.node().encode("utf-8", "surrogateescape")).hexdigest()[:8]


_RESUMED = ".unfinished-"
_LEFTOVER = re.compile(r"\.(?:partial|damaged)-.*?(?:-([0-9a-f]{8})-([0-9]{1,9}))?-[0-9a-f]{8}")


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes have left in a folder of entries.

    That is anything made by a process of this machine that no longer runs, and anything older than
    a day: another machine that shares the cache may still be working on newer ones. Files that a
    later process can go on with stay for a week.
    """
    with contextlib.suppress(OSError):  # there is no folder yet, or we may not write to it
        for path in folder.iterdir():
            age = time.time() - path.lstat().st_mtime
            if path.name.startswith(_RESUMED) and age > 7 * DAY:
                _remove(path)
            name = _LEFTOVER.fullmatch(path.name)
            if name is None:
                continue
            abandoned = name[1] == _host() and not _is_running(int(name[2]))
            if abandoned or age > DAY:
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
