"""Random operands for a call of NumPy: shapes, types, layouts in memory, lists and numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd import Tensor

DTYPES = np.array("d d d d d d f f f e e l l i b B ?".split())


def pick(rng, values):
    """One of the values, which may be of any type."""
    return values[rng.integers(len(values))]


def shape(rng, low=0, high=3, lengths=(0, 1, 2, 2, 3, 3, 4)):
    return tuple(int(n) for n in rng.choice(lengths, rng.integers(low, high + 1)))


def array(rng, shape, dtype):
    """Numbers of both signs, no two floats equal; small integers and larger ones."""
    if dtype == "?":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype in "efd":
        return np.asarray(rng.standard_normal(shape)).astype(dtype)
    high = 100 if rng.random() < 0.2 else 4  # products of 100 leave an int8
    return np.asarray(rng.integers(0 if dtype == "B" else -high, high + 1, shape)).astype(dtype)


def laid_out(rng, x):
    """x in another memory layout, and whether some of its elements share memory."""
    kind = rng.integers(7)
    if kind == 0:
        return np.asfortranarray(x), False
    if kind == 1 and x.ndim:  # with gaps
        wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2], False
    if kind == 2 and x.ndim:  # backwards
        return np.ascontiguousarray(x[::-1])[::-1], False
    if kind == 3 and x.size > 1:  # strides of 0
        return np.broadcast_to(x[..., :1], x.shape), x.shape[-1] > 1
    if kind == 4:
        x = x.copy()
        x.flags.writeable = False
    return x, False


@dataclass
class Operand:
    """One operand as NumPy receives it and as we do."""

    theirs: Any
    ours: Any
    alike: bool = False
    """Whether elements share memory: an operation that compares them has a kink there."""

    @property
    def wants_gradient(self):
        return isinstance(self.ours, Tensor) and self.ours.requires_grad


def operand(rng, shape, dtypes=DTYPES):
    """An array, Tensor, nested list or number of this shape, in any type and layout."""
    x = array(rng, shape, pick(rng, dtypes))
    form = rng.random()
    if form < 0.1 and x.size:  # an empty list has no type
        plain = x.tolist()  # shape (): a number, which is weak
        return Operand(plain, plain)
    x, alike = laid_out(rng, x)
    if form < 0.2:
        return Operand(x, x)
    return Operand(x, Tensor(x, requires_grad=x.dtype.kind == "f"), alike)
