"""Documents on disk: a list of documents that may be longer than memory.

Cleaning reads a source once and keeps what is left here; splitting, training a tokenizer and
encoding then read that as often as they need, one document at a time. While the documents are few
they stay in memory, and no file is written.

The file is a row of records: three lengths, the name, the kind, the text. It is named like an
unfinished cache entry, so that one left by a killed process is removed (``cache.py``).
"""

import os
import struct
import sys
import weakref
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from tinygrad_llm.data.cache import VARIABLE, remove_leftovers, unique_name
from tinygrad_llm.data.corpus import Document
from tinygrad_llm.errors import UserError

MEMORY = 1 << 26  # bytes that texts may take up in memory, one to four for each character

_LENGTHS = struct.Struct("<IIQ")  # of the name, the kind and the text
_BUFFER = 1 << 20


class Documents(Collection[Document]):
    """Documents that may be read as often as needed, one at a time."""

    def marked(self, start: int = 0) -> Iterator[tuple[int, Document]]:
        """(mark, document), from the document on whose mark is ``start``; 0 is the first one."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Document]:
        return (document for _, document in self.marked())

    def __contains__(self, document: object) -> bool:
        return any(document == mine for mine in self)


class Spool(Documents):
    """Documents in the order in which they were added. Iterate as often as you like.

    folder: where a file is written, if there is more text than MEMORY.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._documents: list[Document] = []
        self._size = 0
        self._length = 0
        self._path: Path | None = None
        self._file: BinaryIO | None = None

    def add(self, document: Document) -> None:
        """Add a document at the end; raises UserError if the disk is full."""
        self._length += 1
        if self._path is None:
            self._documents.append(document)
            self._size += sys.getsizeof(document.text)
            if self._size <= MEMORY:
                return
            self._begin_file()
            for earlier in self._documents:
                self._write(earlier)
            self._documents = []
        else:
            self._write(document)

    def __len__(self) -> int:
        return self._length

    def marked(
        self, start: int = 0, wanted: Callable[[str], bool] = lambda name: True
    ) -> Iterator[tuple[int, Document]]:
        """(mark, document) of those whose names are wanted; the texts of others are not read."""
        if self._path is None:
            for i in range(start, len(self._documents)):
                if wanted(self._documents[i].name):
                    yield i, self._documents[i]
            return
        self._guard(lambda: self._file.flush() if self._file else None)
        with open(self._path, "rb", buffering=_BUFFER) as file:
            mark = file.seek(start)
            while head := file.read(_LENGTHS.size):
                name_length, kind_length, text_length = _LENGTHS.unpack(head)
                name = file.read(name_length).decode("utf-8", "surrogatepass")
                if wanted(name):
                    kind = file.read(kind_length).decode()
                    yield mark, Document(name, file.read(text_length).decode(), kind)
                else:
                    file.seek(kind_length + text_length, os.SEEK_CUR)
                mark += _LENGTHS.size + name_length + kind_length + text_length

    def _begin_file(self) -> None:
        remove_leftovers(self._folder)
        self._path = unique_name(self._folder / "documents", "partial")
        self._guard(self._open)
        # The file is deleted with this object, or when Python ends.
        assert self._file is not None
        weakref.finalize(self, _delete, self._file, self._path)

    def _open(self) -> None:
        assert self._path is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = open(self._path, "wb", buffering=_BUFFER)  # noqa: SIM115 - _delete closes it

    def _write(self, document: Document) -> None:
        name, kind = document.name.encode("utf-8", "surrogatepass"), document.kind.encode()
        text = document.text.encode()
        lengths = _LENGTHS.pack(len(name), len(kind), len(text))
        assert self._file is not None
        file = self._file
        self._guard(lambda: file.write(lengths + name + kind + text))

    def _guard(self, work: Callable[[], object]) -> None:
        try:
            work()
        except OSError as error:
            raise UserError(
                f"cannot write the cleaned text to {self._folder} ({error.strerror or error}); "
                f"free some space, or set {VARIABLE} to a folder with enough"
            ) from None


def _delete(file: BinaryIO, path: Path) -> None:
    try:
        file.close()
    except OSError:  # what was still to be written has no room; it is not needed
        pass
    path.unlink(missing_ok=True)


class View(Documents):
    """Some documents, perhaps altered, read anew each time.

    wanted: whether a document of this name belongs to it.
    change: the document to take in place of one, or None to leave it out.
    """

    def __init__(
        self,
        documents: Collection[Document],
        wanted: Callable[[str], bool] = lambda name: True,
        change: Callable[[Document], Document | None] | None = None,
    ) -> None:
        self._documents, self._wanted, self._change = documents, wanted, change
        self._length: int | None = None

    def marked(self, start: int = 0) -> Iterator[tuple[int, Document]]:
        """(mark, document), from the document on whose mark is ``start``; 0 is the first one."""
        if isinstance(self._documents, Spool):
            marked = self._documents.marked(start, self._wanted)
        else:
            every = islice(enumerate(self._documents), start, None)
            marked = ((i, document) for i, document in every if self._wanted(document.name))
        if self._change is None:
            return marked
        changed = ((mark, self._change(document)) for mark, document in marked)
        return ((mark, document) for mark, document in changed if document is not None)

    def __len__(self) -> int:
        if self._length is None:
            self._length = sum(1 for _ in self)
        return self._length
