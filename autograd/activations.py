"""Activations as bf16: half the memory that a graph keeps for backward.

What only products at bf16 read is kept so in any case (``OPERANDS``): they round it anyway, and no
bit of a gradient changes.
"""

from typing import Any

import numpy as np

from autograd import _bfloat16
from autograd._tensor import Tensor
from autograd.device import is_array, namespace
from autograd.kernels.dispatch import compiling, kernel_lock, runs_reference
from autograd.saved_tensors import computed_by, saved_tensors_hooks, source_of

TYPES = ("float32", "bf16")
"""What activations may be kept as."""
SMALLEST = 64
"""Arrays of fewer numbers stay as they are: a loss, a temperature, the statistics of a row. So do
views that repeat numbers (a broadcast): packed, every repetition would take memory."""


class save_activations(saved_tensors_hooks):  # noqa: N801 (a context manager, named as no_grad is)
    """Within this context, what operations keep for backward is kept in this type.

    "bf16": float32 arrays of at least 64 numbers are rounded to bf16, and take half the bytes.
    Forward computes as before; backward computes from the rounded values, in float32. "float32": no
    number changes. (What only products under ``matmul_precision("bf16")`` read takes half the bytes
    with both, and their gradients stay the same to the last bit.)

    Operations that compare what they saved (``Op.compares``: max, clip, maximum) keep it as it is.
    Others see a value that is at most 1/257 of itself off: near the end of a domain (log1p at -1)
    that is much, and may be an infinity.

    Raises ValueError for another type.
    """

    def __init__(self, dtype: str = "bf16") -> None:
        if dtype not in TYPES:
            raise ValueError(
                f"unknown type of activations {dtype!r}: choose one of {', '.join(TYPES)}"
            )
        super().__init__(_pack, _unpack)
        self.packs = dtype != "float32"

    def pack(self, node):
        if not node.compares:
            super().pack(node)


class _Operands(saved_tensors_hooks):
    """Keeps as bf16 what an Op saves and then multiplies alone (``Op.multiplied``).

    Not what the Op that computed it keeps as well, as exp does: that would be one copy more.
    """

    def __init__(self) -> None:
        super().__init__(_pack, _unpack)

    def pack(self, node):
        wanted = [i for i in node.multiplied if _shrinks(node.saved[i])]
        wanted = [i for i in wanted if not _kept(source_of(node, i))]
        if wanted:
            self._pack_saved(node, wanted)


def _kept(node):
    """Whether the Op that computed this value keeps it as it is."""
    op = computed_by(node)
    if op is None or not getattr(op, "save_output", False):
        return False
    return op.packing is None or len(op.save_inputs) not in op.multiplied


def _pack(x: Tensor) -> Any:
    array = x._data
    if not _shrinks(array):
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


def _shrinks(array):
    """Whether this is an array that takes half the bytes as bf16."""
    if not is_array(array) or array.dtype != np.float32:
        return False
    return array.size >= SMALLEST and not _repeats(array)


def _repeats(array):
    """Whether this is a view that shows numbers more than once."""
    return any(step == 0 and n > 1 for step, n in zip(array.strides, array.shape, strict=True))


def _compiled(array):
    """Whether a compiled loop converts this array."""
    return type(array) is np.ndarray and not runs_reference() and compiling()


OPERANDS = _Operands()
"""The hooks of Ops whose products are at bf16, in a context without others."""
