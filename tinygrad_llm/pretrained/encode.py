"""Weights on their way into a file: float32 as F32, F16, BF16 or Q8_0.

``quantized/blocks.py`` is the way back. F16 and BF16 take the nearest number of their type, and of
two equally near ones the even one. Q8_0 stores 32 weights as whole numbers q from -127 to 127 and
one scale d:

    d = max |w| / 127,    q = round(w / d),    so that w = d q up to d / 2

The largest weight of a block gets q = 127 or -127. A half is rounded away from zero, and d itself
is stored as float16, after the division: so ggml does it, and the bytes here are the same.
"""

from collections.abc import Iterator

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.quantized.blocks import FORMATS

DTYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0"}
"""The names of the command line -> those of the file formats."""

PIECE = 1 << 20  # numbers that are encoded at once; a multiple of every block


def encoded(weights: np.ndarray, form: str, name: str) -> Iterator[np.ndarray]:
    """The bytes of ``weights``, in C order, as arrays of uint8, one piece after another.

    ``form`` is "F32", "F16", "BF16" or "Q8_0"; for Q8_0 the last axis is a multiple of 32. ``name``
    is for the message: UserError, for a number that is too large for the format, and for one that
    is NaN or infinite in Q8_0.
    """
    flat = np.ascontiguousarray(weights, np.float32).reshape(-1)
    for begin in range(0, flat.size, PIECE):
        piece = flat[begin : begin + PIECE]
        try:
            stored = _ENCODERS[form](piece)
        except OverflowError as error:
            raise UserError(
                f"tensor {name} cannot be stored as {form}: {error}; use f32, which holds any "
                "weight"
            ) from None
        yield stored.view(np.uint8)


def size_in_bytes(shape: tuple[int, ...], form: str) -> int:
    """How many bytes ``encoded`` gives."""
    return int(np.prod(shape)) // FORMATS[form].size * FORMATS[form].layout.itemsize


def f32(w: np.ndarray) -> np.ndarray:
    return w.astype("<f4", copy=False)


def f16(w: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        stored = w.astype("<f2")
    _check(w, np.isinf(stored))
    return stored


def bf16(w: np.ndarray) -> np.ndarray:
    """The upper half of the float32, after half a unit of it is added (a little less if even)."""
    bits = w.view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    stored = np.where(np.isnan(w), bits >> 16 | 0x40, rounded).astype("<u2")
    _check(w, stored & 0x7FFF == 0x7F80)
    return stored


def q8_0(w: np.ndarray) -> np.ndarray:
    form = FORMATS["Q8_0"]
    w = w.reshape(-1, form.size)
    if not np.isfinite(w).all():
        raise OverflowError("it contains NaN or an infinity")
    d = np.abs(w).max(axis=1, keepdims=True) / np.float32(127)
    inverse = np.divide(1, d, out=np.zeros_like(d), where=d != 0)
    stored = np.empty(len(w), form.layout)
    stored["d"] = f16(d[:, 0])
    stored["q"] = _round(w * inverse)
    return stored


_ENCODERS = {"F32": f32, "F16": f16, "BF16": bf16, "Q8_0": q8_0}


def _round(x: np.ndarray) -> np.ndarray:
    """The nearest whole number; halves away from zero, unlike np.round."""
    size = np.abs(x)
    whole = np.floor(size)
    return np.copysign(whole + (size - whole >= 0.5), x)


def _check(w: np.ndarray, infinite: np.ndarray) -> None:
    """Raise OverflowError for finite numbers that became infinite."""
    if (lost := infinite & np.isfinite(w)).any():
        raise OverflowError(f"it contains {w[lost][0]:.6g}, beyond the largest number of that type")
