"""Activations as bf16: half the memory that a graph keeps for backward."""

from typing import Any

import numpy as np

from autograd import _bfloat16
from autograd._tensor import Tensor
from autograd.device import namespace
from autograd.kernels.dispatch import compiling, kernel_lock, runs_reference
from autograd.precision import PRECISIONS
from autograd.saved_tensors import saved_tensors_hooks

SMALLEST = 64
"""Arrays of fewer numbers stay as they are: a loss, a temperature, the statistics of a row. So do
views that repeat numbers (a broadcast): packed, every repetition would take memory."""


class save_activations(saved_tensors_hooks):  # noqa: N801 (a context manager, named as no_grad is)
    """Within this context, what operations keep for backward is kept in this type.

    "bf16": float32 arrays of at least 64 numbers are rounded to bf16, and take half the bytes.
    Forward computes as before; backward computes from the rounded values, in float32. Of products
    under ``matmul_precision("bf16")`` the gradients stay the same to the last bit, since those
    round their operands anyway. "float32": everything stays as it is.

    Operations that compare what they saved (``Op.compares``: max, clip, maximum) keep it as it is.
    Others see a value that is at most 1/257 of itself off: near the end of a domain (log1p at -1)
    that is much, and may be an infinity.

    Raises ValueError for another type.
    """

    def __init__(self, dtype: str = "bf16") -> None:
        if dtype not in PRECISIONS:
            raise ValueError(
                f"unknown type of activations {dtype!r}: choose one of {', '.join(PRECISIONS)}"
            )
        super().__init__(_pack, _unpack)
        self.packs = dtype != "float32"

    def pack(self, node):
        if not node.compares:
            super().pack(node)


def _pack(x: Tensor) -> Any:
    array = x._data
    if array.dtype != np.float32 or array.size < SMALLEST or _repeats(array):
        return array
    if not _compiled(array):
        return _bfloat16.to_bf16(namespace(array), array)
    from autograd.kernels import _bfloat16 as kernel  # loads numba

    with kernel_lock:
        return kernel.to_bf16(array)


def _unpack(kept: Any) -> Any:
    if kept.dtype != np.uint16:
        return kept
    if not _compiled(kept):
        return _bfloat16.from_bf16(kept)
    from autograd.kernels import _bfloat16 as kernel

    with kernel_lock:
        return kernel.from_bf16(kept)


def _repeats(array):
    """Whether this is a view that shows numbers more than once."""
    return any(step == 0 and n > 1 for step, n in zip(array.strides, array.shape, strict=True))


def _compiled(array):
    """Whether a compiled loop converts this array."""
    return type(array) is np.ndarray and not runs_reference() and compiling()
