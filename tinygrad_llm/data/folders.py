"""The files of a folder, at any depth, with a report of the folders that were skipped.

A linked folder (``ln -s /data/books here/books``) is followed, after everything that is really
here; no folder is entered twice, so loops end. The report names the folders that were skipped:
hidden ones, unreadable ones, those entered under another name, runs of this project (their profile
is not a corpus) and its cache.
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

# A link can lead to the root of the disk: a mistaken path is refused instead of followed for hours.
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
    """Every file below ``root``, sorted by name; the report notes the folders that were skipped.

    ``skip(name)`` says which folders to skip silently. With ``links`` False, linked folders are
    skipped. Raises UserError for more than MAXIMUM_ENTRIES files and folders.
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
    """The folders still to enter, and the files so far."""

    def __init__(self, root: Path, skip: Callable[[str], bool]) -> None:
        self.files: list[Found] = []
        self.notes: dict[str, list[str]] = {}
        self.folders: list[Found] = [Found("", root)]
        self.links: list[Found] = []  # a heap of links to folders, entered last
        self._root = root
        self._skip = skip
        self._seen: set[tuple[int, int]] = set()
        self._entries = 0
        try:
            self._cache = _identity(cache_folder())
        except ValueError:  # there is none, and reading a folder does not need it
            self._cache = None

    def enter(self, folder: Found) -> None:
        """Sort a folder's entries into files, folders and links, unless it must be skipped."""
        try:
            identity = _identity(folder.path, strict=True)
            if identity in self._seen:
                self.note(READ_ALREADY, folder.name)
                return
            if folder.name and identity == self._cache:
                self.note(CACHE, folder.name)
                return
            with os.scandir(folder.path) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.note(f"Folders that cannot be read ({error.strerror})", folder.name or ".")
            return
        if identity is not None:
            self._seen.add(identity)
        names = {entry.name for entry in listed}
        if folder.name and {RUN_FILE, CHECKPOINTS} <= names:
            self.note(RUN, folder.name)
            return
        self._entries += len(listed)
        if self._entries > MAXIMUM_ENTRIES:
            raise UserError(
                f"there are more than {MAXIMUM_ENTRIES:,} files and folders below {self._root}; "
                "name a smaller folder"
            )
        for entry in listed:
            self._sort(entry, f"{folder.name}/{entry.name}" if folder.name else entry.name)

    def _sort(self, entry: os.DirEntry, name: str) -> None:
        one = Found(name, Path(entry.path))
        try:
            is_folder = entry.is_dir()
        except OSError:
            is_folder = False  # a link to itself: opening it will give the reason
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
        """Remember a folder for the report."""
        self.notes.setdefault(sentence, []).append(name)


def _identity(path: Path, strict: bool = False) -> tuple[int, int] | None:
    """The same for all names of one folder; None if the system has no such number."""
    try:
        info = os.stat(path)
    except OSError:
        if strict:
            raise
        return None
    return (info.st_dev, info.st_ino) if info.st_ino else None
