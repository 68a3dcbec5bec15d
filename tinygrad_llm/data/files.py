"""Documents of files on disk, opened one after the other; what gives no text is counted."""

import io
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tinygrad_llm.data.corpus import CleanReport, Document
from tinygrad_llm.data.folders import Found
from tinygrad_llm.data.formats.read import drop, file_kind, read_file
from tinygrad_llm.data.formats.unreadable import Unreadable
from tinygrad_llm.data_options import ReadOptions
from tinygrad_llm.errors import UserError

BUFFER = 1 << 16  # bytes of a file that can be looked at before it is read

# Things that look like files by name, but reading them would never end, or never start.
KINDS = {
    stat.S_IFIFO: "a named pipe, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
    stat.S_IFDIR: "a folder, not a file",
}


def read_paths(
    files: Iterable[Found], report: CleanReport, options: ReadOptions, alone: bool = False
) -> Iterator[Document]:
    """The documents of files, in order.

    A file that cannot be read goes into the report and raises nothing, unless it is ``alone``. At
    the end the report notes how much text each format gave, except plain text.
    """
    gave: dict[str, _Gave] = {}
    for name, path in files:
        try:
            yield from _read_path(name, path, report, options, gave)
        except Unreadable as error:
            if alone:
                end = "" if error.remedy else "; expected readable text"
                raise UserError(f"the file {path} is {error}{end}") from None
    for kind, one in gave.items():
        report.note(
            f"{kind}: {one.files:,} file{'s' * (one.files != 1)} of {one.size:,} bytes gave "
            f"{one.text:,} bytes of text in {one.documents:,} document{'s' * (one.documents != 1)}."
        )


@dataclass
class _Gave:
    """What the files of one format gave."""

    files: int = 0
    size: int = 0
    documents: int = 0
    text: int = 0


def _read_path(
    name: str, path: Path, report: CleanReport, options: ReadOptions, gave: dict[str, _Gave]
) -> Iterator[Document]:
    """The documents of a file; if it cannot be read, counts it and raises Unreadable."""
    size = documents = text = 0
    try:
        info = path.stat()
        # It is examined first: opening a pipe would wait for its writer for ever.
        if not stat.S_ISREG(info.st_mode):
            kind = KINDS.get(stat.S_IFMT(info.st_mode), "not a regular file")
            raise Unreadable(kind)
        size = info.st_size
        if size == 0:  # empty, or one of the system's files that never end
            report.find(0)
            report.keep(0)
            yield Document(name, "")
            return
        with open(path, "rb", buffering=BUFFER) as opened:
            file = cast(io.BufferedReader, opened)
            kind = file_kind(name, file, options)
            for document in read_file(name, file, size, report, options):
                documents += 1
                if kind not in ("text", "code"):
                    text += len(document.text.encode())
                yield document
    except OSError as error:
        problem = Unreadable(f"unreadable ({error.strerror or error})")
    except Unreadable as error:
        problem = error
    else:
        if kind not in ("text", "code"):
            one = gave.setdefault(kind, _Gave())
            one.files += 1
            one.size += size
            one.documents += documents
            one.text += text
        return
    drop(report, problem, name, 0 if documents else size)
    raise problem


def size_of(path: Path) -> int:
    """The bytes of a regular file; 0 for anything else."""
    try:
        info = path.stat()
    except OSError:
        return 0
    return info.st_size if stat.S_ISREG(info.st_mode) else 0
