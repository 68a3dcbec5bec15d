"""Reductions: many numbers along an axis become one, with NumPy's names and arguments.

The derivative of every reduction spreads the gradient back over the axes that were reduced away,
so each backward starts by giving the gradient these axes again, with length 1.

For float16, sum, mean, var, std and logsumexp are computed in float32 and rounded once at the end;
prod and the running sums of ``cumulative.py`` are NumPy's own, rounded at every step.
"""

import math

from autograd._tensor import Tensor, TensorLike
from autograd._types import Axis
from autograd.engine import Op
from autograd.ops.arguments import normalize_axis, operand, real, reduced_axes
from autograd.ops.unsmooth import unsmooth

__all__ = ["logsumexp", "max", "mean", "min", "prod", "std", "sum", "var"]


class Reduction(Op):
    """Base class of reductions. ``axis`` is None (all), an integer or a tuple of them."""

    def __init__(self, axis, keepdims):
        self.axis, self.keepdims = axis, keepdims

    def reduced(self):
        """The axes of the input that are reduced away, as a set of numbers from 0 on."""
        ndim = len(self.inputs[0].shape)
        axes = range(ndim) if self.axis is None else self.axis
        return {i % ndim for i in ((axes,) if isinstance(axes, int) else axes)}

    def restore_axes(self, a):
        """``a``, of the output's shape, with every reduced axis put back as length 1."""
        axes, shape = self.reduced(), self.inputs[0].shape
        return a.reshape(tuple([1 if i in axes else n for i, n in enumerate(shape)]))

    def count(self):
        """How many numbers went into each number of the output."""
        shape = self.inputs[0].shape
        return math.prod([shape[i] for i in self.reduced()])


class Sum(Reduction):
    """y = sum_i x_i.

    Shapes: x (..., N) -> (...), or other axes
    Saves: nothing
    Derivative: g_x = g
    """

    def forward(self, xp, x):
        return xp.sum(x, axis=self.axis, keepdims=self.keepdims)

    def backward(self, xp, g):
        return xp.broadcast_to(self.restore_axes(g), self.inputs[0].shape)


def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over ``axis``: None (all elements), an integer, or a tuple of integers."""
    return Sum(reduced_axes("sum", axis, x), keepdims)(x)


class Mean(Reduction):
    """y = (1/N) sum_i x_i.

    Shapes: x (..., N) -> (...), or other axes
    Saves: nothing
    Derivative: g_x = g / N
    """

    def forward(self, xp, x):
        return xp.mean(x, axis=self.axis, keepdims=self.keepdims)

    def backward(self, xp, g):
        return xp.broadcast_to(self.restore_axes(g) / (self.count() or 1), self.inputs[0].shape)


def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over ``axis``.

    As in NumPy it is the sum divided by N: where the sum overflows, so does the mean.
    """
    return Mean(_averaged("mean", axis, x), keepdims)(x)


class Prod(Reduction):
    """y = prod_i x_i.

    Shapes: x (..., N) -> (...), or other axes
    Saves: x
    Derivative: g_x = g * y / x
    Note: that is 0/0 where an x_i is 0; it is computed as the product of the elements before i, a
        running product from the front, times that of those after i, one from the back
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.prod(x, axis=self.axis, keepdims=self.keepdims)

    def backward(self, xp, g, x):
        axes = self.reduced()
        order = (*(i for i in range(x.ndim) if i not in axes), *sorted(axes))
        moved = xp.transpose(x, order)
        rows = xp.reshape(moved, (math.prod(self.shape), self.count()))  # one row per product
        one = xp.ones_like(rows[:, :1])
        before = xp.cumprod(xp.concatenate([one, rows[:, :-1]], axis=1), axis=1)
        back = xp.concatenate([one, xp.flip(rows[:, 1:], axis=1)], axis=1)
        after = xp.flip(xp.cumprod(back, axis=1), axis=1)
        others = xp.reshape(before * after, moved.shape)
        return self.restore_axes(g) * xp.transpose(others, tuple(map(order.index, range(x.ndim))))


def prod(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The product over ``axis``. The gradient is right where factors are 0, too."""
    return Prod(reduced_axes("prod", axis, x), keepdims)(x)


class Var(Reduction):
    """y = 1/(N - ddof) sum_i (x_i - mean)^2.

    Shapes: x (..., N) -> (...), or other axes
    Saves: x
    Derivative: g_x = g * 2 * (x - mean(x)) / (N - ddof)
    Note: the mean depends on x too, but that term vanishes, since the deviations sum to zero
    """

    save_inputs = (0,)

    def __init__(self, axis, keepdims, ddof):
        super().__init__(axis, keepdims)
        self.ddof = ddof

    def forward(self, xp, x):
        return self.spread(xp, xp.var, x)

    def spread(self, xp, function, x):
        """xp.var or xp.std of x, in float32 for float16, whose squares overflow from 256 on.

        Both subtract the mean themselves. Subtracting it here first leaves them only its rounding
        error, which for large numbers that hardly differ would otherwise be the whole result.
        """
        x = xp.asarray(x)
        wide = xp.astype(x, xp.float32) if x.dtype.char == "e" else x
        wide = wide - xp.mean(wide, axis=self.axis, keepdims=True)
        y = function(wide, axis=self.axis, keepdims=self.keepdims, ddof=self.ddof)
        return xp.astype(y, x.dtype) if x.dtype.kind == "f" else y

    def deviations(self, xp, x):
        """x minus its mean, twice: the second removes the rounding error of the first."""
        d = x - xp.mean(x, axis=self.axis, keepdims=True)
        rest = xp.mean(d, axis=self.axis, keepdims=True)
        return d - xp.where(xp.isfinite(rest), rest, 0)

    def backward(self, xp, g, x):
        return self.restore_axes(g) * (2 / self.divisor()) * self.deviations(xp, x)

    def divisor(self):
        """N - ddof. With too few numbers forward was NaN or infinite, and so is the gradient; with
        none at all the gradient is empty, and the divisor does not matter."""
        n = self.count()
        return n - self.ddof if n > self.ddof else (math.nan if n else 1)


def var(x: TensorLike, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
    """The variance over ``axis``, dividing by N - ``ddof`` (N by default, as NumPy does)."""
    return Var(_averaged("var", axis, x), keepdims, real("var", "ddof", ddof))(x)


class Std(Var):
    """y = sqrt(var(x)).

    Shapes: x (..., N) -> (...), or other axes
    Saves: x, y
    Derivative: g_x = g * (x - mean(x)) / ((N - ddof) * y)
    Note: 0 where y = 0; the second derivative is NaN there

    Forward divides the deviations by the largest: their squares neither overflow nor vanish.
    """

    save_output = True

    def forward(self, xp, x):
        def scaled_std(d, axis, keepdims, ddof):
            if d.size == 0:
                return xp.std(d, axis=axis, keepdims=keepdims, ddof=ddof)
            scale = xp.max(xp.abs(d), axis=axis, keepdims=True)
            scale = xp.where(xp.isfinite(scale) & (scale > 0), scale, 1)
            y = scale * xp.std(d / scale, axis=axis, keepdims=True, ddof=ddof)
            return y if keepdims else xp.squeeze(y, axis=axis)

        return self.spread(xp, scaled_std, x)

    def backward(self, xp, g, x, y):
        y = self.restore_axes(y)
        constant = y == 0  # every deviation is 0, and may be divided by anything
        slope = self.deviations(xp, x) / xp.where(constant, 1, y) / self.divisor()
        return unsmooth(self.restore_axes(g) * slope, constant, x)


def std(x: TensorLike, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
    """The standard deviation, the square root of ``var``.

    Where it is 0 the gradient is 0 and the second derivative is NaN.
    """
    return Std(_averaged("std", axis, x), keepdims, real("std", "ddof", ddof))(x)


class Extremum(Reduction):
    """Base class of the largest and the smallest element.

    Saves: x, y
    Derivative: g_x = where(x == y, g, 0) / sum(x == y)
    Note: ties share the gradient equally
    """

    save_inputs = (0,)
    save_output = True
    compares = True

    def backward(self, xp, g, x, y):
        chosen = x == self.restore_axes(y)  # nothing equals NaN: 0/0 makes the gradient NaN
        share = chosen / chosen.sum(axis=self.axis, keepdims=True)
        return self.restore_axes(g) * share.astype(self.dtype)


class Max(Extremum):
    """y = max_i x_i.

    Shapes: x (..., N) -> (...), or other axes
    Saves: x, y
    Derivative: g_x = where(x == y, g, 0) / sum(x == y)
    Note: ties share the gradient equally
    """

    def forward(self, xp, x):
        return xp.max(x, axis=self.axis, keepdims=self.keepdims)


def max(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest value over ``axis`` (values only). Ties share the gradient equally."""
    return Max(reduced_axes("max", axis, x), keepdims)(x)


class Min(Extremum):
    """y = min_i x_i.

    Shapes: x (..., N) -> (...), or other axes
    Saves: x, y
    Derivative: g_x = where(x == y, g, 0) / sum(x == y)
    Note: ties share the gradient equally
    """

    def forward(self, xp, x):
        return xp.min(x, axis=self.axis, keepdims=self.keepdims)


def min(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest value over ``axis`` (values only). Ties share the gradient equally."""
    return Min(reduced_axes("min", axis, x), keepdims)(x)


class LogSumExp(Reduction):
    """y = log sum_i exp(x_i).

    Shapes: x (..., N) -> (...), or other axes
    Saves: x, y
    Derivative: g_x = g * exp(x - y)
    Note: exp(x - y) is the softmax of x; a row of minus infinities has gradient 0, not NaN
    """

    save_inputs = (0,)
    save_output = True

    def forward(self, xp, x):
        return xp.logsumexp(x, axis=self.axis, keepdims=self.keepdims)

    def backward(self, xp, g, x, y):
        y = xp.where(y == -math.inf, 0, y)  # a row of -inf has gradient 0, not NaN
        p = xp.exp(x - self.restore_axes(y))
        total = xp.sum(p, axis=self.axis, keepdims=True)  # 1, but for the rounding of a large y
        return self.restore_axes(g) * p / xp.where(total > 0, total, 1)


def logsumexp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over ``axis``, computed without overflow.

    A row of minus infinities has gradient 0 (PyTorch gives NaN).
    """
    return LogSumExp(reduced_axes("logsumexp", axis, x), keepdims)(x)


def _averaged(op, axis, x):
    """``reduced_axes``, except that NumPy does not average an array of shape () over an axis."""
    if isinstance(axis, (tuple, list)) or axis is None:
        return reduced_axes(op, axis, x)
    return normalize_axis(op, axis, operand(x).ndim)
