"""Operations that only move elements about. Their derivatives move the gradient back.

None of them saves anything but shapes and axes, which have no derivative.
"""

import itertools

from autograd._tensor import Tensor
from autograd.engine import Op

__all__ = [
    "broadcast_to", "concatenate", "expand_dims", "moveaxis", "reshape", "split", "squeeze",
    "stack", "swapaxes", "transpose",
]  # fmt: skip


class Reshape(Op):
    """y has x's elements in x's order, in another shape.  Saves: nothing.  Back: reshape."""

    returns_view = True

    def __init__(self, new_shape):
        self.new_shape = new_shape

    def forward(self, xp, x):
        return xp.reshape(x, self.new_shape)

    def backward(self, xp, g):
        return xp.reshape(g, self.inputs[0].shape)


class Transpose(Op):
    """y's axis i is x's axis axes[i].  Saves: nothing.  Back: the inverse permutation."""

    returns_view = True

    def __init__(self, axes):
        self.axes = axes

    def forward(self, xp, x):
        return xp.transpose(x, self.axes)

    def backward(self, xp, g):
        if self.axes is None:
            return xp.transpose(g)
        axes = [axis % len(self.axes) for axis in self.axes]
        return xp.transpose(g, tuple(sorted(range(len(axes)), key=axes.__getitem__)))


class BroadcastTo(Op):
    """y repeats x along new or length-1 axes.  Saves: nothing.  Back: the sum over the copies."""

    broadcasts = True
    returns_view = True

    def __init__(self, new_shape):
        self.new_shape = new_shape

    def forward(self, xp, x):
        return xp.broadcast_to(x, self.new_shape)

    def backward(self, xp, g):
        return g


class Concatenate(Op):
    """y is the inputs one after the other along an axis.  Saves: lengths.  Back: slices of g."""

    def __init__(self, axis):
        self.axis = axis

    def forward(self, xp, *xs):
        self.lengths = [x.shape[self.axis] for x in xs]
        return xp.concatenate(xs, axis=self.axis)

    def backward(self, xp, g):
        ends = itertools.accumulate(self.lengths)
        before = (slice(None),) * (self.axis % g.ndim)
        return tuple(
            g[(*before, slice(end - n, end))] if need else None
            for end, n, need in zip(ends, self.lengths, self.needs, strict=True)
        )


def reshape(x, shape):
    """The same elements in another shape; one length may be -1."""
    return Reshape(shape)(x)


def transpose(x, axes=None):
    """The axes permuted, or reversed when ``axes`` is None."""
    return Transpose(axes)(x)


def swapaxes(x, axis1, axis2):
    """Two axes exchanged."""
    axes = list(range(x.ndim))
    axes[axis1], axes[axis2] = axes[axis2], axes[axis1]
    return Transpose(tuple(axes))(x)


def moveaxis(x, source, destination):
    """The axes ``source`` moved to the places ``destination``; the others keep their order.

    Both are integers or equally long tuples. Raises ValueError when they do not match.
    """
    source = (source,) if isinstance(source, int) else tuple(source)
    destination = (destination,) if isinstance(destination, int) else tuple(destination)
    source = tuple(i % x.ndim for i in source)
    if len(set(source)) != len(source) or len(source) != len(destination):
        raise ValueError(
            f"moveaxis: cannot move axes {source} to {destination}: one place per axis"
        )
    axes = [i for i in range(x.ndim) if i not in source]
    places = (i % x.ndim for i in destination)
    for place, axis in sorted(zip(places, source, strict=True)):
        axes.insert(place, axis)
    return Transpose(tuple(axes))(x)


def expand_dims(x, axis):
    """A new axis of length 1 at position ``axis`` (an integer) of the result."""
    axis = axis if axis >= 0 else axis + x.ndim + 1
    return Reshape((*x.shape[:axis], 1, *x.shape[axis:]))(x)


def squeeze(x, axis=None):
    """Axes of length 1 removed: all of them, or those in ``axis``.

    Raises ValueError when a named axis is not of length 1.
    """
    if axis is None:
        axes = {i for i, n in enumerate(x.shape) if n == 1}
    else:
        axes = {i % x.ndim for i in ((axis,) if isinstance(axis, int) else axis)}
    for i in axes:
        if x.shape[i] != 1:
            raise ValueError(f"cannot squeeze axis {i} of shape {x.shape}: its length is not 1")
    return Reshape(tuple(n for i, n in enumerate(x.shape) if i not in axes))(x)


def broadcast_to(x, shape):
    """x repeated to ``shape`` by NumPy's broadcasting rules (a read-only view)."""
    return BroadcastTo(tuple(shape))(x)


def concatenate(tensors, axis=0):
    """The tensors joined along an existing axis."""
    return Concatenate(axis)(*tensors)


def stack(tensors, axis=0):
    """The tensors, all of one shape, joined along a new axis."""
    return Concatenate(axis)(*[expand_dims(x, axis) for x in tensors])


def split(x, indices_or_sections, axis=0):
    """A list of slices along ``axis``: n equal ones, or cut at the given indices.

    Raises ValueError when n does not divide the axis.
    """
    length = x.shape[axis]
    cuts = indices_or_sections
    if isinstance(cuts, int):
        if length % cuts:
            raise ValueError(f"cannot split an axis of length {length} into {cuts} equal parts")
        cuts = range(length // cuts, length, length // cuts)
    x = x if isinstance(x, Tensor) else Tensor(x)
    before = (slice(None),) * (axis % x.ndim)
    edges = [0, *cuts, length]
    return [x[(*before, slice(a, b))] for a, b in itertools.pairwise(edges)]
