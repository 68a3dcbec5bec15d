"""The files of a folder, at any depth, with an account of what was not entered.

A folder that is linked (``ln -s /data/books here/books``) is followed, after everything that really
lies here; no folder is entered twice, so loops end. What is not entered is said in the report:
hidden folders, folders that cannot be read, folders that were entered under another name, runs of
this project (their profile is no corpus) and its cache.
"""

import os
from collections.abc import Callable
from heapq import heappop, heappush
from pathlib import Path
from typing import NamedTuple

from autograd._cache_folder import cache_folder
from tinygrad_llm.data.corpus import CleanReport, some
from tinygrad_llm.errors import UserError
from tinygrad_llm.training.runs import CHECKPOINTS, RUN_FILE

# A link can lead to the root of the disk: a mistaken path is refused, however far it goes.
MAXIMUM_ENTRIES = 2_000_000

HIDDEN = "Hidden folders were not entered"
READ_ALREADY = "Linked folders that were entered under another name already"
NOT_FOLLOWED = "Linked folders were not entered"
RUN = "Folders of runs were not entered"
CACHE = "The cache was not entered"


class Found(NamedTuple):
    """A file: its name below the root, with "/" between folders, and its path."""

    name: str
    path: Path


def find_files(
    root: Path,
    report: CleanReport,
    skip: Callable[[str], bool] = lambda name: False,
    links: bool = True,
) -> list[Found]:
    """Every file below ``root``, sorted by name; what was not entered is noted in the report.

    ``skip(name)`` says which folders to leave out without a word. ``links`` False leaves linked
    folders out. Raises UserError for more than MAXIMUM_ENTRIES files and folders.
    """
    walk = _Walk(root, skip)
    while walk.folders or (links and walk.links):
        walk.enter(walk.folders.pop() if walk.folders else heappop(walk.links))
    for link in walk.links:
        walk.note(NOT_FOLLOWED, link.name)
    for sentence, names in sorted(walk.notes.items()):
        report.note(f"{sentence}: {some(sorted(names))}.")
    return sorted(walk.files)


class _Walk:
    """The folders still to enter, and what has been found so far."""

    def __init__(self, root: Path, skip: Callable[[str], bool]):
        self.files: list[Found] = []
        self.notes: dict[str, list[str]] = {}
        self.folders: list[Found] = [Found("", root)]
        self.links: list[Found] = []  # a heap of those to folders, entered after all else
        self._root = root
        self._skip = skip
        self._seen: set[tuple[int, int]] = set()
        self._entries = 0
        try:
            self._cache = _identity(cache_folder())
        except ValueError:  # there is none, and it is not needed to read a folder
            self._cache = None

    def enter(self, folder: Found) -> None:
        try:
            identity = _identity(folder.path, strict=True)
            if identity in self._seen:
                self.note(READ_ALREADY, folder.name)
                return
            if folder.name and identity == self._cache:
                self.note(CACHE, folder.name)
                return
            with os.scandir(folder.path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.note(f"Folders that cannot be read ({error.strerror})", folder.name or ".")
            return
        if identity is not None:
            self._seen.add(identity)
        names = {entry.name for entry in found}
        if folder.name and {RUN_FILE, CHECKPOINTS} <= names:
            self.note(RUN, folder.name)
            return
        self._entries += len(found)
        if self._entries > MAXIMUM_ENTRIES:
            raise UserError(
                f"there are more than {MAXIMUM_ENTRIES:,} files and folders below {self._root}; "
                "name a smaller folder"
            )
        for entry in found:
            self._sort(entry, f"{folder.name}/{entry.name}" if folder.name else entry.name)

    def _sort(self, entry: os.DirEntry, name: str) -> None:
        one = Found(name, Path(entry.path))
        try:
            is_folder = entry.is_dir()
        except OSError:
            is_folder = False  # a link to itself: whoever opens it will get the reason
        if not is_folder:
            self.files.append(one)
        elif self._skip(entry.name):
            pass
        elif entry.name.startswith("."):
            self.note(HIDDEN, name)
        elif entry.is_symlink():
            heappush(self.links, one)
        else:
            self.folders.append(one)

    def note(self, sentence: str, name: str) -> None:
        self.notes.setdefault(sentence, []).append(name)


def _identity(path: Path, strict: bool = False) -> tuple[int, int] | None:
    """What two names of one folder have in common; None where the system knows no such thing."""
    try:
        info = os.stat(path)
    except OSError:
        if strict:
            raise
        return None
    return (info.st_dev, info.st_ino) if info.st_ino else None
