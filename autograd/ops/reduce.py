"""Reductions: many numbers into one along an axis, NumPy's names and arguments.

The derivative of every reduction spreads the gradient back over the axes that were reduced away,
so each backward starts by giving the gradient those axes again, with length 1.
"""

import math

from autograd.engine import Op

__all__ = ["logsumexp", "max", "mean", "min", "sum", "var"]


class Reduction(Op):
    """What reductions share. ``axis`` is None (all), an integer or a tuple of them."""

    def __init__(self, axis, keepdims):
        self.axis, self.keepdims = axis, keepdims

    def kept(self, xp, a):
        """``a``, of the output's shape, with every reduced axis put back as length 1."""
        shape = self.inputs[0].shape
        axes = range(len(shape)) if self.axis is None else self.axis
        axes = {i % len(shape) for i in ((axes,) if isinstance(axes, int) else axes)}
        return xp.reshape(a, tuple(1 if i in axes else n for i, n in enumerate(shape)))


class Sum(Reduction):
    """y = sum_i x_i.  Saves: nothing.  dy/dx_i = 1."""

    def forward(self, xp, x):
        return xp.sum(x, axis=self.axis, keepdims=self.keepdims)

    def backward(self, xp, g):
        return xp.broadcast_to(self.kept(xp, g), self.inputs[0].shape)


class Mean(Reduction):
    """y = (1/N) sum_i x_i.  Saves: nothing.  dy/dx_i = 1/N."""

    def forward(self, xp, x):
        return xp.mean(x, axis=self.axis, keepdims=self.keepdims)

    def backward(self, xp, g):
        shape = self.inputs[0].shape
        n = math.prod(shape) // (math.prod(self.shape) or 1)
        return xp.broadcast_to(self.kept(xp, g) / (n or 1), shape)


class Var(Reduction):
    """y = (1/N) sum_i (x_i - mean)^2.  Saves: x.  dy/dx_i = 2/N (x_i - mean).

    The mean depends on x too, but that term vanishes: the deviations from the mean sum to zero.
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.var(x, axis=self.axis, keepdims=self.keepdims)

    def backward(self, xp, g, x):
        n = math.prod(x.shape) // (math.prod(self.shape) or 1)
        deviation = x - xp.mean(x, axis=self.axis, keepdims=True)
        return self.kept(xp, g) * deviation * (2 / (n or 1))


class Extremum(Reduction):
    """Saves: x, y.  Elements equal to the extremum share the gradient equally."""

    save_inputs = (0,)
    save_output = True

    def backward(self, xp, g, x, y):
        chosen = x == self.kept(xp, y)
        share = chosen / chosen.sum(axis=self.axis, keepdims=True)
        return self.kept(xp, g) * share.astype(self.dtype)


class Max(Extremum):
    """y = max_i x_i.  dy/dx_i = 1/(number of maxima) where x_i is one, else 0."""

    def forward(self, xp, x):
        return xp.max(x, axis=self.axis, keepdims=self.keepdims)


class Min(Extremum):
    """y = min_i x_i.  dy/dx_i = 1/(number of minima) where x_i is one, else 0."""

    def forward(self, xp, x):
        return xp.min(x, axis=self.axis, keepdims=self.keepdims)


class LogSumExp(Reduction):
    """y = log sum_i exp(x_i).  Saves: x, y.  dy/dx_i = exp(x_i - y), the softmax of x."""

    save_inputs = (0,)
    save_output = True

    def forward(self, xp, x):
        return xp.logsumexp(x, axis=self.axis, keepdims=self.keepdims)

    def backward(self, xp, g, x, y):
        y = xp.where(xp.isfinite(y), y, 0)  # a row of -inf has gradient 0, not NaN
        return self.kept(xp, g) * xp.exp(x - self.kept(xp, y))


def sum(x, axis=None, keepdims=False):
    """The sum over ``axis``: None (all elements), an integer, or a tuple of integers."""
    return Sum(axis, keepdims)(x)


def mean(x, axis=None, keepdims=False):
    """The arithmetic mean over ``axis``."""
    return Mean(axis, keepdims)(x)


def var(x, axis=None, keepdims=False):
    """The variance over ``axis``, dividing by N (NumPy's default, ddof = 0)."""
    return Var(axis, keepdims)(x)


def max(x, axis=None, keepdims=False):
    """The largest value over ``axis`` (values only). Ties share the gradient equally."""
    return Max(axis, keepdims)(x)


def min(x, axis=None, keepdims=False):
    """The smallest value over ``axis`` (values only). Ties share the gradient equally."""
    return Min(axis, keepdims)(x)


def logsumexp(x, axis=None, keepdims=False):
    """log(sum(exp(x))) over ``axis``, computed without overflow."""
    return LogSumExp(axis, keepdims)(x)
