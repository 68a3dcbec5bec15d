"""A GGUF file: named tensors, many of them quantized, and metadata, in one file.

The format (versions 2 and 3, little-endian; docs/gguf.md draws it): the letters GGUF, the version,
the numbers of tensors and of metadata; the metadata, each a key, a type and a value; for each
tensor its name, shape, type and offset; then, from a multiple of the alignment on, the data.

The file is mapped into memory, and only the header is read when it is opened. A tensor is decoded
when it is asked for, piece by piece, so that reading one takes hardly more than its own memory.
"""

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.mapping import forget_pages
from tinygrad_llm.files.regular import open_regular
from tinygrad_llm.pretrained.gguf_values import Broken, Values, named
from tinygrad_llm.quantized.blocks import FORMATS, dequantize

TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1",
    10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS",
    17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS",
    24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16", 34: "TQ1_0",
    35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
}  # fmt: skip
"""GGUF's types of tensors. Those in FORMATS are read, the others are named in messages."""
MAX_DIMENSIONS = 4
PIECE = 1 << 16  # weights that are decoded at once: they fit in the processor's cache


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor is, and what it is.

    ``shape`` is NumPy's: the last axis is contiguous. (The file lists it the other way round.)
    ``begin`` is the position of its first byte in the file.
    """

    name: str
    format: str
    shape: tuple[int, ...]
    begin: int
    nbytes: int


class GGUFFile:
    """An open file: ``metadata`` (key -> value), ``tensors`` (name -> TensorInfo), and the data.

    Values are int, float, bool and str; arrays of numbers or booleans are NumPy's, arrays of
    strings are lists. The file stays mapped as long as this object or an array from ``stored``
    exists.
    """

    def __init__(
        self, path: Path, data: mmap.mmap, metadata: dict[str, Any], tensors: dict[str, TensorInfo]
    ):
        self.path = path
        self.metadata = metadata
        self.tensors = tensors
        self._data = data

    def stored(self, name: str) -> np.ndarray:
        """A tensor's bytes as they are in the file: uint8 (..., bytes of a row), read-only."""
        info = self.info(name)
        data = np.frombuffer(self._data, np.uint8, info.nbytes, info.begin)
        return data.reshape(*info.shape[:-1], -1)

    def read(self, name: str, dtype: Any = np.float32) -> np.ndarray:
        """A tensor as numbers: a new array of ``dtype``, decoded in float32."""
        weights = np.empty(self.info(name).shape, dtype)
        flat, at = weights.reshape(-1), 0
        for piece in self.pieces(name):
            flat[at : at + len(piece)] = piece
            at += len(piece)
        return weights

    def pieces(self, name: str, size: int = PIECE) -> Iterator[np.ndarray]:
        """A tensor's weights in order, float32 (size,) at a time; the last piece may be shorter.

        ``size`` is a multiple of the format's block.
        """
        form = self.info(name).format
        return (dequantize(piece, form) for piece in self.stored_pieces(name, size))

    def stored_pieces(self, name: str, size: int = PIECE) -> Iterator[np.ndarray]:
        """The bytes of a tensor's weights, uint8, those of ``size`` weights at a time.

        The memory of a piece is given back to the system when the next one is asked for.
        """
        info = self.info(name)
        form, stored = FORMATS[info.format], self.stored(name).reshape(-1)
        step = size // form.size * form.layout.itemsize  # bytes
        for begin in range(0, info.nbytes, step):
            yield stored[begin : begin + step]
            forget_pages(self._data, info.begin + begin, info.begin + begin + step)

    def forget(self, name: str) -> None:
        """Let the system take back the memory of a tensor that was read through ``stored``."""
        info = self.info(name)
        forget_pages(self._data, info.begin, info.begin + info.nbytes)

    def info(self, name: str) -> TensorInfo:
        """Raises UserError if there is no tensor of this name."""
        if name not in self.tensors:
            raise UserError(f"{self.path} has no {named('tensor', name)}")
        return self.tensors[name]


def read_gguf(path: str | os.PathLike) -> GGUFFile:
    """Open a GGUF file: its header is read, and checked against the length of the file.

    Raises UserError for a file that is missing, truncated or something else, that contradicts
    itself, or that has tensors of a type that is not in FORMATS. Nothing of the size that a file
    claims to have is allocated before the file is known to be that long.
    """
    path = Path(path)
    data = _map(path)
    values = Values(memoryview(data))
    try:
        n_tensors = _start(values, path)
        metadata = _metadata(values)
        tensors = _tensors(values, n_tensors, metadata, path)
    except Broken as error:
        raise UserError(f"{path} is not a whole GGUF file ({error}): download it again") from None
    forget_pages(data, 0, values.at)
    return GGUFFile(path, data, metadata, tensors)


def _map(path: Path) -> mmap.mmap:
    with open_regular(path, "a GGUF file") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise UserError(f"{path} is empty, expected a GGUF file: download it again")
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise UserError(f"cannot read {path} ({error.strerror})") from None


def _start(values: Values, path: Path) -> int:
    """Magic number and version, checked; the number of tensors."""
    if (magic := bytes(values.take(4, "its beginning"))) != b"GGUF":
        raise Broken(f"it starts with {magic!r}, expected b'GGUF'")
    version = int(values.number("<u4", "the version"))
    if version and version & 0xFFFF == 0:
        raise UserError(f"{path} is big-endian, and only little-endian GGUF files are read")
    if version not in (2, 3):
        raise UserError(
            f"{path} is a GGUF file of version {version}, and only versions 2 and 3 are read: "
            "download a newer one"
        )
    return values.count("tensors", 24)


def _metadata(values: Values) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for _ in range(values.count("metadata", 13)):
        key = values.string("a key of the metadata")
        if key in metadata:
            raise Broken(f"the {named('key', key)} appears twice")
        metadata[key] = values.value(named("key", key))
    return metadata


def _tensors(
    values: Values, count: int, metadata: dict[str, Any], path: Path
) -> dict[str, TensorInfo]:
    """The tensors. Their data fill the file: each starts at the next multiple of the alignment."""
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise Broken("general.alignment is not a power of two")

    def aligned(position: int) -> int:
        return -(-position // alignment) * alignment

    tensors: dict[str, TensorInfo] = {}
    for _ in range(count):
        info = _tensor(values, path)
        if info.name in tensors:
            raise Broken(f"the {named('tensor', info.name)} appears twice")
        tensors[info.name] = info
    start = at = aligned(values.at)
    for info in sorted(tensors.values(), key=lambda info: info.begin):
        what = f"{named('tensor', info.name)} of type {info.format} and shape {list(info.shape)}"
        if start + info.begin != aligned(at):
            expected = aligned(at) - start
            raise Broken(f"{what} starts at byte {info.begin:,} of the data, expected {expected:,}")
        at = aligned(at) + info.nbytes
        if at > values.size:
            left = max(values.size - start - info.begin, 0)
            raise Broken(f"{what} needs {info.nbytes:,} bytes, but {left:,} are left")
        tensors[info.name] = replace(info, begin=start + info.begin)
    if values.size > aligned(at):
        raise Broken(f"its tensors end at byte {at:,}, but it has {values.size:,} bytes")
    return tensors


def _tensor(values: Values, path: Path) -> TensorInfo:
    """One entry of the list of tensors; ``begin`` is still counted from the start of the data."""
    name = values.string("the name of a tensor")
    what = named("tensor", name)
    n_dimensions = int(values.number("<u4", f"the number of dimensions of {what}"))
    if n_dimensions > MAX_DIMENSIONS:
        raise Broken(f"{what} has {n_dimensions:,} dimensions, expected at most {MAX_DIMENSIONS}")
    sizes = [int(values.number("<u8", f"the shape of {what}")) for _ in range(n_dimensions)]
    kind = int(values.number("<u4", f"the type of {what}"))
    begin = int(values.number("<u8", f"the offset of {what}"))
    if kind not in TYPES:
        raise Broken(f"{what} is of type {kind}, and there is no such type")
    form, shape = TYPES[kind], tuple(reversed(sizes))
    if form not in FORMATS:
        raise UserError(
            f"{path}: {what} is of type {form}, which is not supported: supported are "
            f"{', '.join(FORMATS)}"
        )
    if 0 in shape:
        raise Broken(f"{what} has shape {list(shape)}, expected no dimension of 0")
    size = FORMATS[form].size
    if (row := shape[-1] if shape else 1) % size:
        raise Broken(f"{what} has rows of {row:,}, expected a multiple of {size}, as {form} needs")
    nbytes = prod(shape) // size * FORMATS[form].layout.itemsize
    return TensorInfo(name, form, shape, begin, nbytes)
