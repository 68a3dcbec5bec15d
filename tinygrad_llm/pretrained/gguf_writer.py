"""The bytes of a GGUF file: header, metadata and tensors (docs/gguf.md draws them).

A file is described before it is written: a ``Draft`` has the metadata and the tensors that its
reader will find, and can be asked the same things as an open file. The numbers of a tensor are made
when they are written, one tensor at a time.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.files import atomic_file
from tinygrad_llm.pretrained.encode import encoded, size_in_bytes
from tinygrad_llm.pretrained.gguf_file import TYPES, GGUFFile, TensorInfo
from tinygrad_llm.pretrained.gguf_values import ARRAY, BOOLEAN, NUMBERS, STRING

ALIGNMENT = 32
UINT32, FLOAT32 = 4, 6
_CODES = {np.dtype(dtype): code for code, dtype in NUMBERS.items()}
_TYPE_CODES = {name: code for code, name in TYPES.items()}


@dataclass(frozen=True)
class DraftTensor:
    """A tensor that is not written yet: its shape, its format, and how to make its numbers."""

    shape: tuple[int, ...]
    format: str
    make: Callable[[], np.ndarray]


class Draft(GGUFFile):
    """A file before it is written: ``metadata`` (key -> value), and ``drafts`` of its tensors.

    A value is an int (written as uint32), float (as float32), bool, str, list of str, or a NumPy
    array of numbers.
    """

    def __init__(self, path: Path, metadata: dict[str, Any], drafts: dict[str, DraftTensor]):
        infos = {
            name: TensorInfo(
                name, draft.format, draft.shape, 0, size_in_bytes(draft.shape, draft.format)
            )
            for name, draft in drafts.items()
        }
        self.path, self.metadata, self.tensors, self.drafts = path, metadata, infos, drafts

    def read(self, name: str, dtype: Any = np.float32) -> np.ndarray:
        """A tensor's numbers, before they are rounded to its format."""
        return self.drafts[name].make().astype(dtype)


def write_gguf(draft: Draft) -> None:
    """Write the file, which appears whole or not at all.

    Raises OSError if the disk is full, and UserError for a number that is too large for its format.
    """
    with atomic_file(draft.path) as file:
        for piece in _pieces(draft):
            file.write(piece)


def _pieces(draft: Draft) -> Iterator[bytes | memoryview]:
    """The bytes of the file, from its beginning."""
    header = _header(draft)
    yield header + _padding(len(header))
    for name, info in draft.tensors.items():
        for piece in encoded(draft.drafts[name].make(), info.format, name):
            yield piece.data
        yield _padding(info.nbytes)


def _header(draft: Draft) -> bytes:
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(draft.tensors), len(draft.metadata))]
    parts += [_string(key) + _value(value) for key, value in draft.metadata.items()]
    offset = 0
    for name, info in draft.tensors.items():
        sizes = info.shape[::-1]  # the file lists the contiguous axis first
        parts.append(_string(name) + struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes))
        parts.append(struct.pack("<IQ", _TYPE_CODES[info.format], offset))
        offset += info.nbytes + len(_padding(info.nbytes))
    return b"".join(parts)


def _padding(size: int) -> bytes:
    """Zeros after ``size`` bytes, up to a multiple of the alignment."""
    return bytes(-size % ALIGNMENT)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    """A value of the metadata, preceded by its type."""
    if isinstance(value, bool):
        return struct.pack("<I?", BOOLEAN, value)
    if isinstance(value, int):
        return struct.pack("<II", UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", FLOAT32, value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _string(value)
    if isinstance(value, np.ndarray):
        dtype = value.dtype.newbyteorder("<")
        start = struct.pack("<IIQ", ARRAY, _CODES[dtype], value.size)
        return start + value.astype(dtype).tobytes()
    start = struct.pack("<IIQ", ARRAY, STRING, len(value))
    return start + b"".join(map(_string, value))
