"""Files that are either whole or not there, also after a crash or on a full disk.

A file is written under another name, forced to the disk, and renamed; a rename happens at once or
not at all. ``fsync`` before it, because a file system may otherwise put the new name on the disk
before the content.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

PARTIAL = ".partial-"


def write_atomically(path: Path, data: bytes) -> None:
    """Put a file with this content at ``path``, in place of any that is there."""
    partial = path.with_name(f"{PARTIAL}{path.name}")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_folder_atomically(path: Path, fill: Callable[[Path], None]) -> None:
    """Put a folder at ``path``, in place of any that is there; ``fill(folder)`` writes its files.

    Whatever goes wrong in between, what ``path`` was stays, and the partial folder is removed.
    """
    partial = path.with_name(f"{PARTIAL}{path.name}")
    old = path.with_name(f"{PARTIAL}old-{path.name}")
    for folder in (partial, old):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        fill(partial)
        for file in partial.iterdir():
            sync_file(file)
        sync_folder(partial)
        if path.exists():
            os.rename(path, old)  # a folder cannot be renamed over another that holds files
        os.rename(partial, path)
    finally:
        if old.exists() and not path.exists():
            os.rename(old, path)
        for folder in (partial, old):
            shutil.rmtree(folder, ignore_errors=True)
    sync_folder(path.parent)


def remove_partials(folder: Path) -> None:
    """Remove what a killed process has left behind."""
    for leftover in folder.glob(f"{PARTIAL}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    with open(path, "r+b") as file:  # Windows syncs only what is open for writing
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until a folder's list of names is on the disk (Windows cannot, and need not)."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
