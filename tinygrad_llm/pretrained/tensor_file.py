"""Named arrays in a .safetensors file.

The format: eight bytes with the length of a JSON header, the header (for each name its type, shape
and the range of its bytes), then the bytes of all arrays end to end. There is no code in it to
run, and its reader can check every size before it takes memory.

Writing is done here and not by the safetensors library, so that arrays go to disk one by one, the
file is synced before it gets its name, and a full disk is the OSError that it is. Reading is the
library's: it checks the header against itself and against the length of the file.
"""

import json
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import PARTIAL, sync_folder

DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16",
    "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
"""NumPy's names for types, and the file format's."""


def write_tensors(path, tensors, metadata=None):
    """Write a dictionary of arrays as a .safetensors file, which appears whole or not at all.

    ``metadata`` maps strings to strings. Any memory layout will do: each array is written in C
    order, copied only if it must be. Raises OSError, and TypeError for a type the format lacks.
    """
    # Larger elements first: then each array begins at a multiple of its element size.
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header, offset = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name in names:
        array = tensors[name]
        if array.dtype.name not in DTYPES:
            raise TypeError(f"tensor {name} is {array.dtype}: a .safetensors file cannot hold that")
        end = offset + array.nbytes
        header[name] = {
            "dtype": DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)  # the data begins aligned

    path = Path(path)
    partial = path.with_name(f"{PARTIAL}{path.name}")
    try:
        with open(partial, "wb") as file:
            file.write(len(head).to_bytes(8, "little") + head)
            for name in names:
                array = np.ascontiguousarray(tensors[name])
                file.write(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def open_tensors(path):
    """Open a .safetensors file: yields safetensors' reader (keys, get_slice, get_tensor).

    Only the header has been read then, and found to fit the file's length. Raises UserError for a
    file that is missing, truncated or something else.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is not a whole .safetensors file ({error}): fetch or save it again"
        ) from error


def read_tensors(path):
    """All arrays of a .safetensors file, by name. Raises UserError as open_tensors does."""
    with open_tensors(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}
