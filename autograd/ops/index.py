"""Reading elements by index, and its mirror image: adding elements at an index.

Each is the derivative of the other: an element that was read returns its gradient to its place, and
where one place was read twice the gradients add up.
"""

from typing import Any

import numpy as np

from autograd import device
from autograd._conversions import raw
from autograd._namespace import is_basic_index
from autograd._tensor import Tensor, TensorLike
from autograd._types import Integers
from autograd.accumulate import Scatter
from autograd.device import is_array
from autograd.engine import Op
from autograd.ops.arguments import normalize_axis, operand
from autograd.ops.shape import reshape
from autograd.plain import plain_array

__all__ = ["getitem", "scatter_add", "take", "take_along_axis"]


class GetItem(Op):
    """y = x[index].

    Shapes: x (...) -> what NumPy's index gives
    Saves: nothing; keeps the index
    Derivative: g_x = scatter_add(x.shape, index, g)
    Note: returned as a Scatter, which the engine adds into one buffer: no array of zeros per slice
    """

    def __init__(self, index):
        self.index = index
        self.returns_view = is_basic_index(index)

    def forward(self, xp, x):
        return x[self.index]

    def backward(self, xp, g):
        return Scatter(self.inputs[0].shape, self.index, g)


def getitem(x: TensorLike, index: Any) -> Tensor:
    """x[index]: slices, integers, None, Ellipsis, integer arrays and boolean masks, as in NumPy."""
    return GetItem(_plain(index)).reading(index)(operand(x))


TAKE_MODES = ("raise", "wrap", "clip")


def take(
    x: TensorLike, indices: TensorLike, axis: int | None = None, mode: str = "raise"
) -> Tensor:
    """The elements at ``indices`` (integers of any shape) along ``axis``; None: of the flattened x.

    For an index outside the axis, ``mode`` "raise" raises IndexError, "wrap" continues from the
    other end, and "clip" takes the nearest (the first for a negative one). An array of shape () is
    treated as one of shape (1,). Raises TypeError when the indices are not integers.
    """
    x = operand(x)
    if axis is None or x.ndim == 0:
        axis = normalize_axis("take", 0 if axis is None else axis, 1)
        x = reshape(x, (x.size,))
    axis = normalize_axis("take", axis, x.ndim)
    places = device.namespace(raw(x)).asarray(_integers("take", indices, TypeError))
    if mode not in TAKE_MODES:
        raise ValueError(f"take: mode is {mode!r}, but must be one of {', '.join(TAKE_MODES)}")
    if mode != "raise" and places.size:
        n = x.shape[axis]
        if n == 0:
            raise IndexError("take: nothing to take from an axis of length 0")
        places = places % n if mode == "wrap" else places.clip(0, n - 1)
    return GetItem((slice(None),) * axis + (places,)).reading(indices)(x)


class ScatterAdd(Op):
    """y = zeros, with y[index] += x.

    Shapes: x -> the given shape; x broadcasts to the shape of y[index]
    Saves: nothing; keeps the index
    Derivative: g_x = g[index]
    """

    broadcasts = True

    def __init__(self, new_shape, index):
        self.new_shape, self.index = new_shape, index

    def forward(self, xp, x):
        return xp.scatter_add(self.new_shape, self.index, x)

    def backward(self, xp, g):
        return g[self.index]


def scatter_add(shape: Integers, index: Any, values: TensorLike) -> Tensor:
    """Zeros of ``shape`` with ``values`` added at ``index``; repeated places add up.

    The index may be any that can be read; values broadcast to the shape of what it selects.
    """
    return ScatterAdd(shape, _plain(index)).reading(index)(operand(values))


class TakeAlongAxis(Op):
    """y[.., i, ..] = x[.., indices[.., i, ..], ..].

    Shapes: x (..., N), indices (..., M) -> (..., M), or another axis; the others broadcast
    Saves: nothing; keeps the indices
    Derivative: each element of g is added at the place in x that it was read from
    """

    def __init__(self, indices, axis):
        self.indices, self.axis = indices, axis

    def forward(self, xp, x):
        return xp.take_along_axis(x, self.indices, axis=self.axis)

    def backward(self, xp, g):
        shape = self.inputs[0].shape
        # every other axis is indexed by its own position, broadcast against the indices
        index = [
            device.namespace(self.indices).arange(n).reshape((-1,) + (1,) * (len(shape) - 1 - i))
            for i, n in enumerate(shape)
        ]
        index[self.axis] = self.indices
        return xp.scatter_add(shape, tuple(index), g)


def take_along_axis(x: TensorLike, indices: TensorLike, axis: int | None = -1) -> Tensor:
    """The elements at ``indices``, integers, along ``axis`` (None: of the flattened x).

    The indices have as many axes as x, and the two broadcast on all but ``axis``. Raises ValueError
    when they do not fit, IndexError for an index that is not an integer or outside the axis.
    """
    x = operand(x)
    if axis is None:
        x, axis = reshape(x, (x.size,)), 0
    axis = normalize_axis("take_along_axis", axis, x.ndim)
    places = _integers("take_along_axis", indices, IndexError)
    if places.ndim != x.ndim:
        raise ValueError(
            f"take_along_axis: the indices have shape {places.shape} and x {x.shape}: they "
            "must have equally many axes"
        )
    return TakeAlongAxis(places, axis).reading(indices)(x)


def _integers(op, indices, error):
    """``indices`` as a raw array of integers (an empty list is allowed)."""
    indices = _plain(raw(indices))
    if not is_array(indices):
        indices = plain_array(indices, f"{op}: the indices")
    if indices.dtype.kind not in "iu":
        raise error(f"{op}: the indices must be integers, not {indices.dtype}")
    return indices


def _plain(index):
    """An index with Tensors and lists as plain arrays: they have no derivative.

    Lists are copied, so that they may be changed before backward.
    """
    if type(index) is tuple:
        return tuple([_plain(i) for i in index])
    if isinstance(index, Tensor):
        return index.data
    if isinstance(index, list):
        array = plain_array(index, "an index")
        return array if array.size else array.astype(np.intp)
    return plain_array(index, "an index") if is_array(index) else index
