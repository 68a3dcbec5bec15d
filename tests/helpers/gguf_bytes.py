"""GGUF files made byte by byte, so that tests can write what no library would."""

import struct

import numpy as np

from tinygrad_llm.pretrained.gguf_file import TYPES
from tinygrad_llm.quantized.blocks import FORMATS

CODES = {name: code for code, name in TYPES.items()}


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def u32(value):
    return struct.pack("<I", value)


def u64(*values):
    return struct.pack(f"<{len(values)}Q", *values)


def pair(key, kind, value):
    """One entry of the metadata; ``value`` is bytes."""
    return string(key) + u32(kind) + value


def info(name, shape, form, offset):
    """One entry of the list of tensors; ``shape`` in NumPy's order, ``form`` a name or a number."""
    code = CODES.get(form, form)
    return string(name) + u32(len(shape)) + u64(*reversed(shape)) + u32(code) + u64(offset)


START = b"GGUF" + u32(3)


def file(pairs=(), infos=(), data=b"", *, start=START, counts=None, alignment=32):
    """A file of these parts; ``counts`` are the numbers of tensors and of metadata it claims."""
    head = start + u64(*(counts or (len(infos), len(pairs)))) + b"".join([*pairs, *infos])
    return head + bytes(-len(head) % alignment if data else 0) + data


def random_blocks(rng, form, *shape):
    """Random bytes of a tensor (..., weights in a row): uint8 (..., bytes in a row)."""
    *rows, row = shape
    size = row // FORMATS[form].size * FORMATS[form].layout.itemsize
    return rng.integers(0, 256, (*rows, size), dtype=np.uint8)


def small_file():
    """A file with metadata of every type, and tensors of four formats in three shapes."""
    rng = np.random.default_rng(0)
    pairs = [
        pair("general.architecture", 8, string("llama")),
        pair("u8", 0, b"\xff"), pair("i8", 1, b"\xff"),
        pair("u16", 2, b"\xff\xff"), pair("i16", 3, b"\xff\xff"),
        pair("u32", 4, b"\xff" * 4), pair("i32", 5, b"\xff" * 4),
        pair("f32", 6, struct.pack("<f", 0.5)), pair("bool", 7, b"\1"),
        pair("u64", 10, b"\xff" * 8), pair("i64", 11, b"\xff" * 8),
        pair("f64", 12, struct.pack("<d", 0.1)),
        pair("numbers", 9, u32(5) + u64(3) + struct.pack("<3i", 1, -2, 3)),
        pair("flags", 9, u32(7) + u64(2) + b"\1\0"),
        pair("words", 9, u32(8) + u64(3) + string("a") + string("é") + string("")),
        pair("nested", 9, u32(9) + u64(2) + 2 * (u32(0) + u64(2) + b"\7\x08")),
    ]  # fmt: skip
    infos, data = [], b""
    for name, shape, form in (
        ("scalar", (), "F32"), ("a.weight", (3, 64), "Q4_1"), ("b.weight", (2, 256), "Q6_K"),
        ("c", (2, 2, 5), "F16"),
    ):  # fmt: skip
        infos.append(info(name, shape, form, len(data)))
        data += random_blocks(rng, form, *(shape or (1,))).tobytes()
        data += bytes(-len(data) % 32)
    return file(pairs, infos, data)
