"""Operations that reorder, repeat or surround elements.

What was copied gets the sum of its copies' gradients; what was added from outside gives its away.
Most of these are compositions of operations on shapes, and have no backward of their own.
"""

import itertools

import numpy as np

from autograd.engine import Op
from autograd.ops.index import raw, take
from autograd.ops.shape import broadcast_to, expand_dims, reshape

__all__ = ["flip", "pad", "ravel", "repeat", "roll", "tile"]

COPYING_MODES = ("edge", "reflect", "symmetric", "wrap")


class Flip(Op):
    """y is x read backwards along an axis.  Saves: nothing.  Back: the same."""

    returns_view = True

    def __init__(self, axis):
        self.axis = axis

    def forward(self, xp, x):
        return xp.flip(x, self.axis)

    def backward(self, xp, g):
        return xp.flip(g, self.axis)


class Roll(Op):
    """y_{i + shift} = x_i, around the end.  Saves: nothing.  Back: roll by -shift."""

    def __init__(self, shift, axis):
        self.shift, self.axis = shift, axis

    def forward(self, xp, x):
        return xp.roll(x, self.shift, self.axis)

    def backward(self, xp, g):
        back = tuple(-n for n in self.shift) if isinstance(self.shift, tuple) else -self.shift
        return xp.roll(g, back, self.axis)


class Pad(Op):
    """y is x with a constant around it.  Saves: nothing.  Back: the part of g where x stood."""

    def __init__(self, widths, value):
        self.widths, self.value = widths, value

    def forward(self, xp, x):
        return xp.pad(x, self.widths or 0, constant_values=self.value)

    def backward(self, xp, g):
        shape = self.inputs[0].shape
        inside = zip(self.widths, shape, strict=True)
        return g[tuple(slice(before, before + n) for (before, _), n in inside)]


def flip(x, axis=None):
    """x backwards along ``axis``: an integer, a tuple of them, or None for every axis."""
    return Flip(axis)(x)


def roll(x, shift, axis=None):
    """The elements moved on by ``shift`` places along ``axis``; what leaves the end enters at the
    start. ``shift`` and ``axis`` may be tuples; with axis None the flattened x is rolled."""
    shift = tuple(shift) if isinstance(shift, (tuple, list)) else shift
    return Roll(shift, axis)(x)


def pad(x, pad_width, mode="constant", constant_values=0):
    """x with ``pad_width`` elements added at the ends of every axis.

    ``pad_width`` is n, (before, after), or one such pair per axis. ``mode`` is "constant" (all new
    elements are the number ``constant_values``), or one that repeats elements of x: "edge",
    "reflect", "symmetric" or "wrap", as in np.pad. Raises ValueError for another mode.
    """
    widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    if mode == "constant":
        return Pad(widths, constant_values)(x)
    if mode not in COPYING_MODES:
        known = ", ".join(("constant", *COPYING_MODES))
        raise ValueError(f"pad: mode is {mode!r}, but only these have a gradient: {known}")
    for axis, width in enumerate(widths):
        if any(width):
            x = take(x, np.pad(np.arange(x.shape[axis]), width, mode), axis)
    return x


def ravel(x):
    """All elements in one axis, in row-major order."""
    return reshape(x, (x.size,))


def repeat(x, repeats, axis=None):
    """Each element of ``axis`` (None: of the flattened x) ``repeats`` times in a row.

    ``repeats`` is an integer, or integers, one per element of the axis.
    """
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis % x.ndim
    n = x.shape[axis]
    if np.ndim(raw(repeats)) == 0:
        times = int(raw(repeats))
        apart = expand_dims(x, axis + 1)
        copies = broadcast_to(apart, (*x.shape[: axis + 1], times, *x.shape[axis + 1 :]))
        return reshape(copies, (*x.shape[:axis], n * times, *x.shape[axis + 1 :]))
    return take(x, np.repeat(np.arange(n), np.asarray(raw(repeats))), axis)


def tile(x, reps):
    """x repeated as a whole, ``reps`` times along each axis: an integer (the last axis) or one per
    axis, counted from the last."""
    reps = (reps,) if isinstance(reps, (int, np.integer)) else tuple(reps)
    ndim = max(len(reps), x.ndim)
    reps = (1,) * (ndim - len(reps)) + reps
    shape = (1,) * (ndim - x.ndim) + x.shape
    apart = reshape(x, tuple(itertools.chain(*((1, n) for n in shape))))
    copies = broadcast_to(apart, tuple(itertools.chain(*zip(reps, shape, strict=True))))
    return reshape(copies, tuple(r * n for r, n in zip(reps, shape, strict=True)))
