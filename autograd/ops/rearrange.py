"""Operations that reorder, repeat or surround elements.

An element that was copied gets the sum of its copies' gradients; the gradient of an element that
was added is dropped. Most of these are compositions of operations on shapes, without a backward of
their own.
"""

import itertools
from typing import Any

import numpy as np

from autograd._tensor import Tensor, TensorLike
from autograd._types import Axis, Integers
from autograd.engine import Op
from autograd.ops.arguments import integers, normalize_axes, normalize_axis, operand
from autograd.ops.index import raw, take
from autograd.ops.shape import broadcast_to, expand_dims, reshape

__all__ = ["copy", "flip", "pad", "ravel", "repeat", "roll", "tile"]

COPYING_MODES = ("edge", "reflect", "symmetric", "wrap")


class Copy(Op):
    """y is x in memory of its own.

    Shapes: x (...) -> (...)
    Saves: nothing
    Derivative: g_x = g
    """

    def forward(self, xp, x):
        return xp.array(x)

    def backward(self, xp, g):
        return g


def copy(x: TensorLike) -> Tensor:
    """x in memory of its own, as part of the graph: the gradient goes through."""
    return Copy()(x)


class Flip(Op):
    """y is x read backwards along some axes.

    Shapes: x (...) -> (...)
    Saves: nothing
    Derivative: g_x = flip(g, axis)
    """

    returns_view = True

    def __init__(self, axis):
        self.axis = axis

    def forward(self, xp, x):
        return xp.flip(x, self.axis)

    def backward(self, xp, g):
        return xp.flip(g, self.axis)


def flip(x: TensorLike, axis: Axis = None) -> Tensor:
    """x reversed along ``axis``: an integer, a tuple of integers, or None for every axis."""
    return Flip(None if axis is None else normalize_axes("flip", axis, operand(x).ndim))(x)


class Roll(Op):
    """y_{i + shift} = x_i, where what leaves the end enters at the start.

    Shapes: x (...) -> (...)
    Saves: nothing
    Derivative: g_x = roll(g, -shift, axis)
    """

    returns_view = True  # without axes

    def __init__(self, shift, axis):
        self.shift, self.axis = shift, axis

    def forward(self, xp, x):
        return x if self.axis == () else xp.roll(x, self.shift, self.axis)

    def backward(self, xp, g):
        back = tuple(-n for n in self.shift) if isinstance(self.shift, tuple) else -self.shift
        return g if self.axis == () else xp.roll(g, back, self.axis)


def roll(x: TensorLike, shift: Integers, axis: Integers | None = None) -> Tensor:
    """The elements moved by ``shift`` places along ``axis``; those that leave the end enter at the
    start. ``shift`` and ``axis`` may be tuples; with axis None the flattened x is rolled.

    Raises ValueError when both are tuples of different lengths.
    """
    shifts = integers("roll", "shift", shift)
    if axis is None:
        return Roll(sum(shifts), None)(x)
    ndim = operand(x).ndim
    axes = [normalize_axis("roll", i, ndim) for i in integers("roll", "axis", axis)]
    if len(shifts) != len(axes) and 1 not in (len(shifts), len(axes)):
        raise ValueError(f"roll: {len(shifts)} shifts for {len(axes)} axes")
    together = dict.fromkeys(axes, 0)  # an axis may be named twice
    for n, i in zip(*np.broadcast_arrays(shifts, axes), strict=True):
        together[int(i)] += int(n)
    return Roll(tuple(together.values()), tuple(together))(x)


class Pad(Op):
    """y is x surrounded by a constant.

    Shapes: x (N, ...) -> (before + N + after, ...)
    Saves: nothing
    Derivative: the part of g where x is in y
    """

    def __init__(self, widths, value):
        self.widths, self.value = widths, value

    def forward(self, xp, x):
        return xp.pad(x, self.widths or 0, constant_values=self.value)

    def backward(self, xp, g):
        shape = self.inputs[0].shape
        inside = zip(self.widths, shape, strict=True)
        return g[tuple(slice(before, before + n) for (before, _), n in inside)]


def pad(
    x: TensorLike,
    pad_width: Any,
    mode: str = "constant",
    constant_values: float = 0,
) -> Tensor:
    """x with ``pad_width`` elements added at the ends of every axis.

    ``pad_width`` is n, (before, after), or one such pair per axis. ``mode`` is "constant" (all new
    elements are the number ``constant_values``), or one that repeats elements of x: "edge",
    "reflect", "symmetric" or "wrap", as in np.pad. Raises ValueError for another mode.
    """
    x = operand(x)
    sides = np.asarray(raw(pad_width))
    for n in sides.ravel().tolist():
        _not_negative("pad", "pad_width", n)
    widths = np.broadcast_to(sides, (x.ndim, 2)).tolist()
    if mode == "constant":
        return Pad(widths, constant_values)(x)
    if mode not in COPYING_MODES:
        known = ", ".join(("constant", *COPYING_MODES))
        raise ValueError(f"pad: mode is {mode!r}, but only these have a gradient: {known}")
    for axis, width in enumerate(widths):
        if any(width):
            places = np.pad(np.arange(x.shape[axis]), width, mode)  # type: ignore[call-overload]
            x = take(x, places, axis)
    return x if isinstance(x, Tensor) else Tensor(x)


def ravel(x: TensorLike) -> Tensor:
    """All elements in one axis, in row-major order."""
    return reshape(x, (operand(x).size,))


def repeat(x: TensorLike, repeats: TensorLike, axis: int | None = None) -> Tensor:
    """Each element along ``axis`` (None: of the flattened x) ``repeats`` times in a row.

    ``repeats`` is one integer, or one for each element of the axis. An array of shape () is treated
    as one of shape (1,). Raises ValueError for a negative number.
    """
    x = operand(x)
    if axis is None or x.ndim == 0:
        axis = normalize_axis("repeat", 0 if axis is None else axis, 1)
        x = ravel(x)
    axis = normalize_axis("repeat", axis, x.ndim)
    times = raw(repeats)
    if operand(times).ndim:
        times = _not_negative("repeat", "repeats", times)
        return take(x, np.repeat(np.arange(x.shape[axis]), times), axis)
    (times,) = _not_negative("repeat", "repeats", times)
    before, (n, *after) = x.shape[:axis], x.shape[axis:]
    copies = broadcast_to(expand_dims(x, axis + 1), (*before, n, times, *after))
    return reshape(copies, (*before, n * times, *after))


def tile(x: TensorLike, reps: Integers) -> Tensor:
    """x as a whole, ``reps`` times along each axis: an integer (the last axis), or one for each
    axis, counted from the last. Raises ValueError for a negative number."""
    x = operand(x)
    times = _not_negative("tile", "reps", reps)
    ndim = max(len(times), x.ndim)
    times = (1,) * (ndim - len(times)) + times
    shape = (1,) * (ndim - x.ndim) + x.shape
    spaced = reshape(x, tuple(itertools.chain(*((1, n) for n in shape))))
    copies = broadcast_to(spaced, tuple(itertools.chain(*zip(times, shape, strict=True))))
    return reshape(copies, tuple(r * n for r, n in zip(times, shape, strict=True)))


def _not_negative(op, what, values):
    values = integers(op, what, values)
    if any(n < 0 for n in values):
        raise ValueError(f"{op}: {what} must not be negative, got {min(values)}")
    return values
