"""The tensors of a model directory: one .safetensors file, or several and an index.

The index, model.safetensors.index.json, says which file has which tensor. All headers are checked
before any number is read. Files are mapped into memory and tensors are converted one at a time, in
pieces whose pages are given back to the system: what loading takes is the model itself and one
piece.
"""

import contextlib
import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autograd import Parameter
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import Text, read_json, short
from tinygrad_llm.files.mapping import forget_pages
from tinygrad_llm.pretrained.directory import CONFIG, WEIGHTS
from tinygrad_llm.pretrained.tensor_file import check_finite, read_header
from tinygrad_llm.quantized.matrix import STORED, QuantizedMatrix

INDEX = "model.safetensors.index.json"
INDEX_SCHEMA = {
    "metadata?": dict,
    "weight_map": {
        ...: Text(r"[A-Za-z0-9_.-]{1,200}\.safetensors", "model-00001-of-00002.safetensors")
    },
    ...: object,
}
MAX_INDEX = 16 << 20  # bytes

NEEDED = f"the {CONFIG} next to it asks for"

FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""The types that are read, and how their bytes are read: NumPy has no BF16."""

PIECE = 1 << 20  # numbers that are converted at once


@dataclass(frozen=True)
class StoredTensor:
    """Where the bytes of a tensor are."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int


def stored_tensors(directory: Path) -> dict[str, StoredTensor]:
    """Every tensor of a model directory, by name; only headers are read.

    Raises UserError for files that are missing, damaged or not what the index says.
    """
    if (directory / WEIGHTS).is_file():
        return tensors_in(directory / WEIGHTS)
    index = directory / INDEX
    if not index.is_file():
        raise UserError(
            f"there is no file {directory / WEIGHTS}, nor {INDEX}: only weights in safetensors "
            "format are read"
        )
    where = read_json(index, INDEX_SCHEMA, max_bytes=MAX_INDEX)["weight_map"]
    if not where:
        raise UserError(f"{index} lists no tensor: download or save it again")
    found: dict[str, StoredTensor] = {}
    for file in sorted(set(where.values())):
        path = directory / file
        if not path.is_file():
            raise UserError(f"there is no file {path}, which {index} names: download it again")
        tensors = tensors_in(path)
        for name in tensors:
            if where.get(name) != file:
                place = f"in {short(where[name])}" if name in where else "nowhere"
                raise UserError(
                    f"{path} has a tensor {short(name)}, which according to {index} is {place}: "
                    "they do not belong together"
                )
        found |= tensors
    for name, file in where.items():
        if name not in found:
            raise UserError(
                f"{directory / file} has no tensor {short(name)}, which according to {index} it "
                "has: they do not belong together"
            )
    return found


def tensors_in(path: Path) -> dict[str, StoredTensor]:
    """Every tensor of one file, by name; only the header is read."""
    header = read_header(path)
    with open(path, "rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")  # where the data begins
    return {
        name: StoredTensor(
            path, entry["dtype"], tuple(entry["shape"]), start + entry["data_offsets"][0]
        )
        for name, entry in header.items()
    }


def check_tensor(
    stored: dict[str, StoredTensor],
    name: str | None,
    shape: tuple[int, ...],
    directory: Path,
    known_as: str = "",
) -> None:
    """Raise UserError unless there is a tensor ``name`` of this shape that holds floats.

    ``known_as`` is what it is called if no file has it (then ``name`` is None).
    """
    if name not in stored:
        raise UserError(
            f"{directory} has no tensor {name or known_as} of shape {shape}, which {NEEDED}: it is "
            "another model, or a part of one"
        )
    tensor = stored[name]
    if tensor.shape != shape:
        raise UserError(
            f"{tensor.path}: tensor {name} has shape {tensor.shape}, but {NEEDED} {shape}"
        )
    if tensor.dtype not in FLOATS:
        raise UserError(
            f"{tensor.path}: tensor {name} is of type {tensor.dtype}: supported are "
            f"{', '.join(FLOATS)}; convert the model to one of them"
        )


def check_tied(
    reader: "Reader", stored: dict[str, StoredTensor], table: str, head: str, reason: str
) -> None:
    """Raise UserError unless a stored output layer is the token table; ``reason`` says why."""
    ours, theirs = stored[table], stored[head]
    same = theirs.shape == ours.shape and theirs.dtype in FLOATS
    for row in range(0, ours.shape[0] if same else 0, 1024):
        rows = slice(row, row + 1024)
        one = reader.read(table, ours, rows, "float64", finite=False)
        other = reader.read(head, theirs, rows, "float64", finite=False)
        same = same and np.array_equal(one, other, equal_nan=True)
    if not same:
        raise UserError(f"{theirs.path}: {head} differs from the token table, but {reason}")


class Reader:
    """Reads tensors of mapped files; a file is mapped when its first tensor is read.

    ``close`` unmaps them.
    """

    def __init__(self) -> None:
        self._maps: dict[Path, mmap.mmap] = {}

    def read(
        self, name: str, tensor: StoredTensor, rows: slice, dtype: str, finite: bool = True
    ) -> np.ndarray:
        """Some rows of a tensor (of its first axis), as a new array of type ``dtype``.

        Raises UserError, unless ``finite`` is False, for numbers that are NaN or infinite.
        """
        first, last, _ = rows.indices(tensor.shape[0])
        row = math.prod(tensor.shape[1:])
        stored = np.dtype(FLOATS[tensor.dtype])
        array = np.empty((last - first, *tensor.shape[1:]), dtype)
        flat = array.reshape(-1)
        data = self._map(tensor.path)
        for begin in range(0, flat.size, PIECE):
            piece = flat[begin : begin + PIECE]
            offset = tensor.offset + (first * row + begin) * stored.itemsize
            numbers = np.frombuffer(data, stored, piece.size, offset)
            if tensor.dtype == "BF16":  # the first half of a float32
                numbers = (numbers.astype("<u4") << 16).view("<f4")
            with np.errstate(over="ignore"):  # from float64: check_finite says it in words
                piece[:] = numbers
            del numbers
            forget_pages(data, offset, offset + piece.size * stored.itemsize)
            if finite:
                check_finite(piece, name, tensor.path)
        return array

    def matrix(self, tensor: StoredTensor, rows: slice) -> QuantizedMatrix:
        """Some rows of a matrix of F32, F16 or BF16, as they lie in the mapped file."""
        n_rows, n_columns = rows.stop - rows.start, tensor.shape[1]
        size = np.dtype(FLOATS[tensor.dtype]).itemsize * n_columns
        offset = tensor.offset + rows.start * size
        data = np.frombuffer(self._map(tensor.path), np.uint8, n_rows * size, offset)
        return QuantizedMatrix(data.reshape(n_rows, size), tensor.dtype, (n_rows, n_columns))

    def forget(self, tensor: StoredTensor) -> None:
        """Let the system take back the memory of a tensor that was read through ``matrix``."""
        size = np.dtype(FLOATS[tensor.dtype]).itemsize * math.prod(tensor.shape)
        forget_pages(self._map(tensor.path), tensor.offset, tensor.offset + size)

    def _map(self, path: Path) -> mmap.mmap:
        if path not in self._maps:
            try:
                with open(path, "rb") as file:
                    self._maps[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise UserError(f"cannot read {path} ({error})") from error
        return self._maps[path]

    def close(self) -> None:
        """Unmap the files, but for those of which a matrix is still in use."""
        for data in self._maps.values():
            with contextlib.suppress(BufferError):
                data.close()


class RowsSource:
    """A parameter of a model: some rows of a tensor, or (``transposed``) all of it, as columns.

    With ``finite=False`` numbers may be NaN or infinite.
    """

    def __init__(
        self,
        reader: Reader,
        name: str,
        tensor: StoredTensor,
        rows: slice,
        finite: bool,
        transposed: bool = False,
    ) -> None:
        self.reader, self.name, self.tensor, self.finite = reader, name, tensor, finite
        self.rows = slice(*rows.indices(tensor.shape[0])[:2])
        self.transposed = transposed
        shape = (self.rows.stop - self.rows.start, *tensor.shape[1:])
        self.shape = shape[::-1] if transposed else shape

    def numbers(self, dtype: str) -> np.ndarray:
        """All of it, a new array."""
        numbers = self.reader.read(self.name, self.tensor, self.rows, dtype, self.finite)
        return np.ascontiguousarray(numbers.T) if self.transposed else numbers

    def blocks(self) -> Iterator[np.ndarray]:
        """The rows of a matrix in order, float32, some at a time."""
        if self.transposed:
            yield self.numbers("float32")
            return
        step = max(1, PIECE // self.shape[1])
        for begin in range(self.rows.start, self.rows.stop, step):
            rows = slice(begin, min(begin + step, self.rows.stop))
            yield self.reader.read(self.name, self.tensor, rows, "float32", self.finite)

    def matrix(self) -> QuantizedMatrix | Parameter:
        """A matrix as it lies in the mapped file; a copy, if it is transposed."""
        if self.tensor.dtype not in STORED:
            return Parameter(self.numbers("float32"))
        if self.finite:
            for _ in self.blocks():  # it checks them
                pass
        matrix = self.reader.matrix(self.tensor, self.rows)
        if not self.transposed:
            return matrix
        numbers = matrix.data.view(f"u{matrix.data.shape[1] // matrix.shape[1]}")
        data = np.ascontiguousarray(numbers.T).view(np.uint8)
        self.reader.forget(self.tensor)
        return QuantizedMatrix(data, matrix.format, (self.shape[0], self.shape[1]))
