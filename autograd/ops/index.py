"""Reading elements by index, and its mirror image: adding elements at an index.

Each is the derivative of the other: what was read from a place gives its gradient back to that
place, and where one place was read twice both gradients add up.
"""

import numpy as np

from autograd import device
from autograd._tensor import Tensor
from autograd.device import is_array
from autograd.engine import Op, Scatter
from autograd.ops.shape import reshape

__all__ = ["getitem", "scatter_add", "take", "take_along_axis"]


class GetItem(Op):
    """y = x[index].  Saves: the index.  The gradient is zero but at the index.

    It is returned as a Scatter, which the engine adds into one buffer: not a zero array per slice.
    """

    def __init__(self, index):
        self.index = index
        self.returns_view = device.is_basic_index(index)

    def forward(self, xp, x):
        return x[self.index]

    def backward(self, xp, g):
        return Scatter(self.inputs[0].shape, self.index, g)


class ScatterAdd(Op):
    """y = zeros, with y[index] += x.  Saves: the index.  dL/dx = g[index]."""

    def __init__(self, new_shape, index):
        self.new_shape, self.index = new_shape, index

    def forward(self, xp, x):
        return xp.scatter_add(self.new_shape, self.index, x)

    def backward(self, xp, g):
        return g[self.index]


class TakeAlongAxis(Op):
    """y[.., i, ..] = x[.., indices[.., i, ..], ..].  Saves: the indices.  Back: scatter-add."""

    def __init__(self, indices, axis):
        self.indices, self.axis = indices, axis

    def forward(self, xp, x):
        return xp.take_along_axis(x, self.indices, axis=self.axis)

    def backward(self, xp, g):
        shape = self.inputs[0].shape
        axis = self.axis % len(shape)
        # every other axis is indexed by its own position, broadcast against the indices
        index = [
            device.namespace(self.indices).arange(n).reshape((-1,) + (1,) * (len(shape) - 1 - i))
            for i, n in enumerate(self.indices.shape)
        ]
        index[axis] = self.indices
        return xp.scatter_add(shape, tuple(index), g)


def getitem(x, index):
    """x[index]: slices, integers, None, Ellipsis, integer arrays and boolean masks, as in NumPy."""
    if isinstance(index, tuple):
        index = tuple(raw(i) for i in index)
    return GetItem(raw(index))(x)


def scatter_add(shape, index, values):
    """Zeros of ``shape`` with ``values`` added at ``index``; repeated places add up."""
    return ScatterAdd(shape, index)(values)


def take(x, indices, axis=None):
    """The elements at ``indices`` (integers of any shape) along ``axis``; None: of the flattened x.

    Raises TypeError when the indices are not integers, IndexError for one outside the axis.
    """
    if axis is None:
        x, axis = reshape(x, (x.size,)), 0
    indices = raw(indices)
    if not is_array(indices):
        indices = np.asarray(indices)
    if indices.dtype.kind not in "iu":
        raise TypeError(f"take: the indices must be integers, not {indices.dtype}")
    indices = device.namespace(raw(x)).asarray(indices)
    return GetItem((slice(None),) * (axis % x.ndim) + (indices,))(x)


def take_along_axis(x, indices, axis):
    """Along ``axis``, the elements at ``indices`` (integers, of x's number of axes)."""
    return TakeAlongAxis(raw(indices), axis)(x)


def raw(index):
    """An index as raw arrays: integer and boolean Tensors have no derivative."""
    return index.data if isinstance(index, Tensor) else index
