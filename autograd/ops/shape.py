"""Operations that only move elements. Their derivatives move the gradient back.

They save only shapes and axes, which have no derivative.
"""

import itertools
from collections.abc import Iterable, Sequence

from autograd._tensor import Tensor, TensorLike
from autograd._types import Axis, Integers
from autograd.engine import Op
from autograd.ops.arguments import (
    integer,
    integers,
    normalize_axes,
    normalize_axis,
    operand,
    reduced_axes,
)  # fmt: skip

__all__ = [
    "broadcast_to", "concatenate", "expand_dims", "moveaxis", "reshape", "split", "squeeze",
    "stack", "swapaxes", "transpose",
]  # fmt: skip


class Reshape(Op):
    """y has x's elements in x's order, in another shape.

    Shapes: x -> the given shape
    Saves: nothing
    Derivative: g_x = reshape(g, x.shape)
    """

    returns_view = True

    def __init__(self, new_shape):
        self.new_shape = new_shape

    def forward(self, xp, x):
        try:
            return xp.reshape(x, self.new_shape)
        except TypeError:
            integers(
                "reshape", "the shape", self.new_shape
            )  # raises the error that says what is wrong
            raise

    def backward(self, xp, g):
        return xp.reshape(g, self.inputs[0].shape)


def reshape(x: TensorLike, shape: Integers) -> Tensor:
    """The same elements in another shape; one length may be -1."""
    return Reshape(shape)(x)


def expand_dims(x: TensorLike, axis: Integers) -> Tensor:
    """New axes of length 1 at the positions ``axis`` (an integer or several) of the result."""
    shape = operand(x).shape
    axis = integers("expand_dims", "axis", axis)
    ndim = len(shape) + len(axis)
    axes = normalize_axes("expand_dims", axis, ndim)
    lengths = iter(shape)
    return Reshape(tuple(1 if i in axes else next(lengths) for i in range(ndim)))(x)


def squeeze(x: TensorLike, axis: Axis = None) -> Tensor:
    """Axes of length 1 removed: all of them, or those in ``axis``.

    Raises ValueError when a named axis is not of length 1.
    """
    shape = operand(x).shape
    if axis is None:
        axes = {i for i, n in enumerate(shape) if n == 1}
    else:
        named = reduced_axes("squeeze", axis, x)
        axes = {named} if isinstance(named, int) else set(named or ())
    for i in axes:
        if shape[i] != 1:
            raise ValueError(
                f"squeeze: cannot remove axis {i} of shape {shape}: its length is not 1"
            )
    return Reshape(tuple(n for i, n in enumerate(shape) if i not in axes))(x)


class Transpose(Op):
    """Axis i of y is axis axes[i] of x.

    Shapes: x (...) -> its lengths in another order
    Saves: nothing
    Derivative: g_x = transpose(g, argsort(axes))
    Note: argsort(axes) is the inverse permutation
    """

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


def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """The axes permuted, or reversed when ``axes`` is None.

    Raises ValueError when ``axes`` does not name each axis once.
    """
    if axes is not None:
        ndim = operand(x).ndim
        axes = normalize_axes("transpose", axes, ndim)
        if len(axes) != ndim:
            raise ValueError(f"transpose: {len(axes)} axes for an array that has {ndim}")
    return Transpose(axes)(x)


def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged."""
    ndim = operand(x).ndim
    first, second = (normalize_axis("swapaxes", axis, ndim) for axis in (axis1, axis2))
    axes = list(range(ndim))
    axes[first], axes[second] = axes[second], axes[first]
    return Transpose(tuple(axes))(x)


def moveaxis(x: TensorLike, source: Integers, destination: Integers) -> Tensor:
    """The axes ``source`` moved to the places ``destination``; the others keep their order.

    Both are integers or equally long tuples. Raises ValueError when they do not match.
    """
    ndim = operand(x).ndim
    source = normalize_axes("moveaxis", source, ndim)
    destination = normalize_axes("moveaxis", destination, ndim)
    if len(source) != len(destination):
        raise ValueError(
            f"moveaxis: cannot move axes {source} to {destination}: one place per axis"
        )
    axes = [i for i in range(ndim) if i not in source]
    for place, axis in sorted(zip(destination, source, strict=True)):
        axes.insert(place, axis)
    return Transpose(tuple(axes))(x)


class BroadcastTo(Op):
    """y repeats x along new axes and axes of length 1.

    Shapes: x -> the given shape
    Saves: nothing
    Derivative: g_x = g
    """

    broadcasts = True
    returns_view = True

    def __init__(self, new_shape):
        self.new_shape = new_shape

    def forward(self, xp, x):
        return xp.broadcast_to(x, self.new_shape)

    def backward(self, xp, g):
        return g


def broadcast_to(x: TensorLike, shape: Integers) -> Tensor:
    """x repeated to ``shape`` by NumPy's broadcasting rules (a read-only view)."""
    return BroadcastTo(integers("broadcast_to", "the shape", shape))(x)


class Concatenate(Op):
    """y is the inputs, joined in order along an axis.

    Shapes: x_0 (N_0, ...), x_1 (N_1, ...), ... -> (N_0 + N_1 + ..., ...), or another axis
    Saves: nothing; keeps the lengths
    Derivative: g, cut where the inputs meet
    """

    def __init__(self, axis):
        self.axis = axis

    def forward(self, xp, *xs):
        y = xp.concatenate(xs, axis=self.axis)
        self.lengths = [x.shape[self.axis] for x in xs]
        return y

    def backward(self, xp, g):
        ends = itertools.accumulate(self.lengths)
        before = (slice(None),) * (self.axis % g.ndim)
        return tuple(
            g[(*before, slice(end - n, end))] if need else None
            for end, n, need in zip(ends, self.lengths, self.needs, strict=True)
        )


def concatenate(tensors: Iterable[TensorLike], axis: int | None = 0) -> Tensor:
    """The tensors joined along an existing axis; with axis None, all are flattened first."""
    xs = [operand(x) for x in tensors]
    if axis is None:
        xs, axis = [reshape(x, (x.size,)) for x in xs], 0
    if not xs or xs[0].ndim == 0:
        what = "arrays of shape () have no axis to join along" if xs else "no arrays"
        raise ValueError(f"concatenate: {what}")
    return Concatenate(normalize_axis("concatenate", axis, xs[0].ndim))(*xs)


def stack(tensors: Iterable[TensorLike], axis: int = 0) -> Tensor:
    """The tensors, all of the same shape, joined along a new axis."""
    xs = [operand(x) for x in tensors]
    shapes = {x.shape: None for x in xs}
    if len(shapes) != 1:
        got = f"shapes {' and '.join(map(str, shapes))}" if shapes else "no arrays"
        raise ValueError(f"stack: the arrays must have the same shape, got {got}")
    axis = normalize_axis("stack", axis, xs[0].ndim + 1)
    return Concatenate(axis)(*[expand_dims(x, axis) for x in xs])


def split(x: TensorLike, indices_or_sections: TensorLike, axis: int = 0) -> list[Tensor]:
    """A list of slices along ``axis``: n equal parts, or parts that begin at these indices.

    Raises ValueError when n does not divide the axis.
    """
    x = operand(x)
    axis = normalize_axis("split", axis, x.ndim)
    length = x.shape[axis]
    if operand(indices_or_sections).ndim == 0:
        n = integer("split", "the number of parts", indices_or_sections)
        if n < 1 or length % n:
            raise ValueError(
                f"split: an axis of length {length} cannot be cut into {n} equal parts"
            )
        edges = [i * (length // n) for i in range(n + 1)]
    else:
        edges = [0, *integers("split", "the indices", indices_or_sections), length]
    x = x if isinstance(x, Tensor) else Tensor(x)
    before = (slice(None),) * axis
    return [x[(*before, slice(a, b))] for a, b in itertools.pairwise(edges)]
