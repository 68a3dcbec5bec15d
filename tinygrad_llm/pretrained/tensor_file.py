"""Named arrays in a .safetensors file.

The format: eight bytes with the length of a JSON header, the header (for each name its type, shape
and the range of its bytes), then the bytes of all arrays end to end. It contains no code, and a
reader can check every size before it allocates memory.

Files are written here and not by the safetensors library, so that arrays go to disk one by one, the
file is synced before it gets its name, and a full disk raises a plain OSError. The library reads
them, after the header has been checked here for consistency and against the length of the file: a
reader never allocates more memory than the file is long.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import atomic_file
from tinygrad_llm.files.json_file import Text, Whole, parse_json, short
from tinygrad_llm.pretrained.encode import encoded

DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16",
    "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
"""NumPy's names for types, and the file format's."""
SIZES = {code: np.dtype(name).itemsize for name, code in DTYPES.items()}
SIZES |= {"BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}  # types that NumPy lacks
"""Bytes of one element, by the file format's name."""

MAX_HEADER = 16 << 20  # bytes; a model of 100,000 tensors has 10 million
MAX_SIZE = 2**60
PIECE = 1 << 20  # numbers that are checked at once
MAX_DIMENSIONS = 64  # as many as NumPy can have
HEADER_SCHEMA = {
    "__metadata__?": {...: str},
    ...: {
        "dtype": Text("[A-Z][A-Z0-9_]{0,30}", "F32"),
        "shape": [Whole(0, MAX_SIZE)],
        "data_offsets": [Whole(0, MAX_SIZE)],
    },
}


def write_tensors(
    path: str | os.PathLike,
    tensors: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
    form: str | None = None,
) -> None:
    """Write named arrays to a .safetensors file, which appears whole or not at all.

    Arrays may have any memory layout: each is written in C order, copied only if it must be. With
    ``form``, "F32", "F16" or "BF16", all are stored as that, converted one at a time. Raises
    OSError, TypeError for a type that the format lacks, and UserError for a number that is too
    large for ``form``.
    """
    # Larger elements first: then each array starts at a multiple of its element size.
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, Any] = {}
    offset = 0
    if metadata:
        header["__metadata__"] = metadata
    for name in names:
        array = tensors[name]
        if array.dtype.name not in DTYPES:
            raise TypeError(f"tensor {name} is {array.dtype}: a .safetensors file cannot hold that")
        code = form or DTYPES[array.dtype.name]
        end = offset + array.size * SIZES[code]
        header[name] = {
            "dtype": code,
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)  # to align the data

    with atomic_file(Path(path)) as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for name in names:
            for piece in _stored(tensors[name], form, name):
                file.write(piece.data)


def _stored(array: np.ndarray, form: str | None, name: str) -> Iterator[np.ndarray]:
    """The bytes of an array: its own numbers, or those of another type."""
    if form is not None:
        return encoded(array, form, name)
    array = np.ascontiguousarray(array)
    return iter([array.astype(array.dtype.newbyteorder("<"), copy=False)])


def read_header(path: Path) -> dict[str, Any]:
    """The header of a .safetensors file: name -> {"dtype", "shape", "data_offsets"}, checked.

    The arrays fill the file from the header to its end: no byte belongs to two of them or to none,
    and each has as many bytes as its shape needs. Raises UserError if that is not so.
    """
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            left = path.stat().st_size - 8
            if not 2 <= length <= min(left, MAX_HEADER):
                raise _broken(path, f"its header would have {length:,} of {max(left, 0):,} bytes")
            data = file.read(length)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from None
    advice = f"{path} is not a whole .safetensors file: download or save it again"
    header = parse_json(data, f"the header of {path}", HEADER_SCHEMA, advice=advice)
    header.pop("__metadata__", None)
    at = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        if (n := len(entry["shape"])) > MAX_DIMENSIONS:
            raise _broken(
                path,
                f"tensor {short(name)} has {n:,} dimensions, expected at most {MAX_DIMENSIONS}",
            )
        if entry["dtype"] not in SIZES:  # of four or six bits, for example
            raise UserError(
                f"{path}: tensor {short(name)} is of type {entry['dtype']}, which is not read: "
                "convert the model to F32, F16 or BF16"
            )
        begin, end = entry["data_offsets"] if len(entry["data_offsets"]) == 2 else (-1, -1)
        size = math.prod(entry["shape"]) * SIZES[entry["dtype"]]
        what = f"tensor {short(name)} of type {entry['dtype']} and shape {entry['shape']}"
        if end - begin != size:
            raise _broken(path, f"{what} needs {size:,} bytes and has {end - begin:,}")
        if begin != at:
            raise _broken(path, f"{what} starts at byte {begin:,} of the data, expected {at:,}")
        at = end
    if at != left - length:
        raise _broken(path, f"its tensors have {at:,} bytes, but its data has {left - length:,}")
    return header


def _broken(path: Path, reason: object) -> UserError:
    return UserError(
        f"{path} is not a whole .safetensors file ({reason}): download or save it again"
    )


@contextmanager
def open_tensors(path: str | os.PathLike) -> Iterator[Any]:
    """Open a .safetensors file: yields safetensors' reader (keys, get_slice, get_tensor).

    By then only the header has been read and checked against the file's length. Raises UserError
    for a file that is missing, truncated or something else.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    read_header(path)
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise _broken(path, error) from error


def read_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """All arrays of a .safetensors file, by name. Raises UserError as open_tensors does."""
    with open_tensors(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def check_finite(array: np.ndarray, name: str, path: Path) -> None:
    """Raise UserError if an array of floating-point numbers contains NaN or an infinity."""
    if array.dtype.kind != "f":
        return
    flat = array.ravel(order="K")  # no copy
    pieces = (flat[begin : begin + PIECE] for begin in range(0, flat.size, PIECE))
    if bad := array.size - sum(int(np.isfinite(piece).sum()) for piece in pieces):
        raise UserError(
            f"{path}: {bad:,} of the {array.size:,} numbers of tensor {name} are NaN or infinite, "
            "and so would be everything computed with them: use another file"
        )
