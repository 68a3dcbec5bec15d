"""Writing a file of token ids piece by piece, so that a killed process need not begin again.

The ids go into ``train.npy.partial`` in the order of the documents, and now and then the journal
``train.npy.journal`` says how many documents and bytes of it are safely on the disk. A later writer
cuts the file off there and goes on with the next document. Every document has the same ids whenever
it is encoded, so the whole file has the same bytes as one written without a break. The journal has
a hash of the ids, so that those of a damaged file are not taken over.

The header of a .npy file has the number of ids, which is not known before the end; NumPy leaves so
much room in it that it can be written again.
"""

import hashlib
import io
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import write_atomically
from tinygrad_llm.files.json_file import Text, Whole, read_json

PARTIAL, JOURNAL = ".partial", ".journal"
NOTED = 1 << 24
"""Ids after which the journal is written: some seconds of work."""


@dataclass
class Written:
    """What a token file holds so far."""

    documents: int = 0
    bytes: int = 0  # of their texts
    tokens: int = 0
    sha256: str = ""  # of the ids


_SCHEMA = {
    "documents": Whole(0),
    "bytes": Whole(0),
    "tokens": Whole(0),
    "sha256": Text("[0-9a-f]{64}", like="a sha256"),
}


class TokenWriter:
    """Appends ids to a file in a folder, unfinished until ``publish`` moves it to its place.

    ``written`` says what an earlier process has left there: go on with the document after it.
    """

    def __init__(self, folder: Path, name: str, dtype: np.dtype) -> None:
        self._dtype = dtype
        self._partial = folder / (name + PARTIAL)
        self._journal = folder / (name + JOURNAL)
        self._header = len(self._npy_header(0))
        self._digest = hashlib.sha256()
        self.written = self._read_journal()
        self._noted = self.written.tokens
        self._file = open(self._partial, "r+b" if self._partial.exists() else "w+b")  # noqa: SIM115
        self._file.truncate(self._header + self.written.tokens * dtype.itemsize)
        self._file.seek(0, os.SEEK_END)

    def write(self, rows: list[np.ndarray], size: int) -> None:
        """Append the ids of as many documents, whose texts have ``size`` bytes together."""
        data = np.concatenate(rows).astype(self._dtype, copy=False).tobytes()
        self._file.write(data)
        self._digest.update(data)
        self.written.documents += len(rows)
        self.written.bytes += size
        self.written.tokens += sum(map(len, rows))
        if self.written.tokens - self._noted >= NOTED:
            self._note()

    def finish(self) -> Written:
        """Complete the file; it may still be gone on with, should the process be killed."""
        self._file.seek(0)
        self._file.write(self._npy_header(self.written.tokens))
        if self._journal.exists():
            self._note()
        self.close()
        return self.written

    def close(self) -> None:
        """Stop here."""
        self._file.close()

    def _npy_header(self, length: int) -> bytes:
        header = io.BytesIO()
        about = {"descr": self._dtype.str, "fortran_order": False, "shape": (length,)}
        np.lib.format.write_array_header_1_0(header, about)
        return header.getvalue()

    def _note(self) -> None:
        """Write the journal, after the ids that it speaks of."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self.written.sha256 = self._digest.hexdigest()
        write_atomically(self._journal, json.dumps(asdict(self.written)).encode())
        self._noted = self.written.tokens

    def _read_journal(self) -> Written:
        """What the journal says, if the file begins with those ids; otherwise nothing."""
        digest = hashlib.sha256()
        try:
            noted = Written(**read_json(self._journal, _SCHEMA))
            with open(self._partial, "rb") as file:
                file.seek(self._header)
                left = noted.tokens * self._dtype.itemsize
                while left > 0 and (data := file.read(min(left, 1 << 20))):
                    digest.update(data)
                    left -= len(data)
        except (UserError, OSError):
            return Written()
        if left or digest.hexdigest() != noted.sha256:
            return Written()
        self._digest = digest
        return noted


def publish(work: Path, name: str, folder: Path) -> None:
    """Move a complete file from the folder where it was written to ``folder``."""
    os.replace(work / (name + PARTIAL), folder / name)
