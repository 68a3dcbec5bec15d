"""The block formats of GGUF: from packed bits to float32, one function for each layout.

A quantized row of weights is a sequence of blocks. A block stores 32 or 256 weights as small whole
numbers q, and a scale d (in some formats also a minimum m) that turns them back into numbers:

    w = d (q - z)     or     w = d q - m

The *K formats* put 256 weights into a block and divide it into groups of 16 or 32, whose scales are
themselves small whole numbers times one scale of the block. docs/block_formats.md derives each
layout.

A layout is a NumPy type with the block's fields in the order of its bytes. In a function, n is the
number of blocks, and the fields of all blocks are arrays (n, ...).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FLOAT16, BYTE, INT8 = "<f2", "u1", "i1"


def unpack(packed: np.ndarray, bits: int) -> np.ndarray:
    """Fields of 1, 2 or 4 bits: uint8 (..., m) -> (..., 8 / bits * m).

    First come the lowest bits of all m bytes, then the next higher ones: so the formats store them.
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    parts = packed[..., None, :] >> shifts & np.uint8(2**bits - 1)  # (..., 8 / bits, m)
    return parts.reshape(*packed.shape[:-1], -1)


def number(field: np.ndarray) -> np.ndarray:
    """A field with one number for each block: float32 (n, 1)."""
    return field.astype(np.float32)[:, None]


def groups(q: np.ndarray, size: int) -> np.ndarray:
    """The 256 numbers of a K block, as float32 (n, 256 / size, size)."""
    return q.reshape(len(q), -1, size).astype(np.float32)


# --- 32 weights -----------------------------------------------------------------------------------


def q4_0(block: np.ndarray) -> np.ndarray:
    """w = d (q - 8), q of 4 bits."""
    q = unpack(block["q"], 4)  # (n, 32)
    return number(block["d"]) * (q.astype(np.float32) - 8)


def q4_1(block: np.ndarray) -> np.ndarray:
    """w = d q + m, q of 4 bits."""
    q = unpack(block["q"], 4)  # (n, 32)
    return number(block["d"]) * q.astype(np.float32) + number(block["m"])


def five_bits(block: np.ndarray) -> np.ndarray:
    """q of 5 bits, uint8: four in ``q``, and the highest in ``high``, 32 bits for 32 weights."""
    high = np.unpackbits(block["high"], axis=-1, bitorder="little")  # (n, 32)
    return unpack(block["q"], 4) | high << 4


def q5_0(block: np.ndarray) -> np.ndarray:
    """w = d (q - 16), q of 5 bits."""
    return number(block["d"]) * (five_bits(block).astype(np.float32) - 16)


def q5_1(block: np.ndarray) -> np.ndarray:
    """w = d q + m, q of 5 bits."""
    return number(block["d"]) * five_bits(block).astype(np.float32) + number(block["m"])


def q8_0(block: np.ndarray) -> np.ndarray:
    """w = d q, q of 8 bits with a sign."""
    return number(block["d"]) * block["q"].astype(np.float32)


# --- 256 weights ----------------------------------------------------------------------------------


def q2_k(block: np.ndarray) -> np.ndarray:
    """w = (d s) q - (m t), 16 groups of 16; q of 2 bits, s and t of 4."""
    q = unpack(block["q"].reshape(-1, 2, 32), 2)  # (n, 2, 128)
    s = number(block["d"]) * (block["scales"] & 15).astype(np.float32)  # (n, 16)
    t = number(block["m"]) * (block["scales"] >> 4).astype(np.float32)
    return s[..., None] * groups(q, 16) - t[..., None]


def q3_k(block: np.ndarray) -> np.ndarray:
    """w = (d (s - 32)) (q - 4), 16 groups of 16; q of 3 bits, s of 6."""
    high = unpack(block["high"], 1)  # (n, 256)
    q = unpack(block["q"].reshape(-1, 2, 32), 2).reshape(high.shape) | high << 2
    low, high = unpack(block["scales"][:, :8], 4), unpack(block["scales"][:, 8:], 2)  # (n, 16)
    s = number(block["d"]) * ((low | high << 4).astype(np.float32) - 32)
    return s[..., None] * (groups(q, 16) - 4)


def _scales_and_minima(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """d s and m t of the 8 groups, float32 (n, 8, 1); s and t have 6 bits, 12 bytes in all.

    Bytes 0 to 3 end with s of groups 0 to 3, bytes 4 to 7 with t of these groups. Bytes 8 to 11
    contain the low four bits of s and of t of groups 4 to 7, whose two high bits are the ones that
    are left in bytes 0 to 3 (s) and 4 to 7 (t).
    """
    first, second, third = np.split(block["scales"], 3, axis=-1)  # (n, 4) each
    s = np.concatenate([first & 63, third & 15 | first >> 6 << 4], axis=-1)  # (n, 8)
    t = np.concatenate([second & 63, third >> 4 | second >> 6 << 4], axis=-1)
    s, t = number(block["d"]) * s.astype(np.float32), number(block["m"]) * t.astype(np.float32)
    return s[..., None], t[..., None]


def q4_k(block: np.ndarray) -> np.ndarray:
    """w = (d s) q - (m t), 8 groups of 32; q of 4 bits, s and t of 6."""
    q = unpack(block["q"].reshape(-1, 4, 32), 4)  # (n, 4, 64)
    s, t = _scales_and_minima(block)
    return s * groups(q, 32) - t


def q5_k(block: np.ndarray) -> np.ndarray:
    """w = (d s) q - (m t), 8 groups of 32; q of 5 bits, s and t of 6."""
    high = unpack(block["high"], 1)  # (n, 256)
    q = unpack(block["q"].reshape(-1, 4, 32), 4).reshape(high.shape) | high << 4
    s, t = _scales_and_minima(block)
    return s * groups(q, 32) - t


def q6_k(block: np.ndarray) -> np.ndarray:
    """w = (d s) (q - 32), 16 groups of 16; q of 6 bits, s of 8 with a sign."""
    low = unpack(block["q"].reshape(-1, 2, 64), 4)  # (n, 2, 128)
    high = unpack(block["high"].reshape(-1, 2, 32), 2)
    s = number(block["d"]) * block["scales"].astype(np.float32)  # (n, 16)
    return s[..., None] * (groups(low | high << 4, 16) - 32)


# --- not quantized --------------------------------------------------------------------------------


def f32(block: np.ndarray) -> np.ndarray:
    return block["w"]


def f16(block: np.ndarray) -> np.ndarray:
    return block["w"].astype(np.float32)


def bf16(block: np.ndarray) -> np.ndarray:
    """The upper half of a float32: sign, exponent and 7 bits of the mantissa."""
    return (block["w"].astype(np.uint32) << 16).view(np.float32)


# --- table ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """A way to store weights: ``size`` weights in each block of type ``layout``."""

    layout: np.dtype
    size: int
    decode: Callable[[np.ndarray], np.ndarray]

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.layout.itemsize / self.size


def _format(size: int, decode: Callable[[np.ndarray], np.ndarray], **fields) -> Format:
    """``fields`` are NumPy types, or pairs (type, count), in the order of the bytes."""
    layout = [(name, *(f if isinstance(f, tuple) else (f,))) for name, f in fields.items()]
    return Format(np.dtype(layout), size, decode)


FORMATS = {
    "F32": _format(1, f32, w="<f4"),
    "F16": _format(1, f16, w=FLOAT16),
    "BF16": _format(1, bf16, w="<u2"),
    "Q8_0": _format(32, q8_0, d=FLOAT16, q=(INT8, 32)),
    "Q4_0": _format(32, q4_0, d=FLOAT16, q=(BYTE, 16)),
    "Q4_1": _format(32, q4_1, d=FLOAT16, m=FLOAT16, q=(BYTE, 16)),
    "Q5_0": _format(32, q5_0, d=FLOAT16, high=(BYTE, 4), q=(BYTE, 16)),
    "Q5_1": _format(32, q5_1, d=FLOAT16, m=FLOAT16, high=(BYTE, 4), q=(BYTE, 16)),
    "Q2_K": _format(256, q2_k, scales=(BYTE, 16), q=(BYTE, 64), d=FLOAT16, m=FLOAT16),
    "Q3_K": _format(256, q3_k, high=(BYTE, 32), q=(BYTE, 64), scales=(BYTE, 12), d=FLOAT16),
    "Q4_K": _format(256, q4_k, d=FLOAT16, m=FLOAT16, scales=(BYTE, 12), q=(BYTE, 128)),
    "Q5_K": _format(
        256, q5_k, d=FLOAT16, m=FLOAT16, scales=(BYTE, 12), high=(BYTE, 32), q=(BYTE, 128)
    ),
    "Q6_K": _format(256, q6_k, q=(BYTE, 128), high=(BYTE, 64), scales=(INT8, 16), d=FLOAT16),
}
"""GGUF's names for types of tensors, and what is known of each."""


def dequantize(data: np.ndarray, name: str) -> np.ndarray:
    """The weights stored in ``data``: uint8 (..., bytes of a row) -> float32 (..., weights of one).

    ``name`` is a key of FORMATS. A scale that is NaN or infinite gives weights that are. Raises
    ValueError if the bytes are not whole blocks.
    """
    form = FORMATS[name]
    blocks = np.ascontiguousarray(data).reshape(-1).view(form.layout)
    with np.errstate(invalid="ignore"):  # infinity times 0
        return form.decode(blocks).reshape(*data.shape[:-1], -1)
