"""Norms of vectors and matrices under the names of numpy.linalg.

Where a norm is 0 its gradient is 0 by convention, as in PyTorch, and its second derivative is NaN:
|x| has a kink there. |x|^2 has none, but the derivative rule of |x| cannot know of the square
(``ops.sum(ops.square(x))`` has every derivative).
"""

import math
from typing import Any

import numpy as np

from autograd._tensor import Operand, Tensor, TensorLike
from autograd._types import Axis
from autograd.device import namespace
from autograd.ops import reduce
from autograd.ops.arguments import described, operand, reduced_axes
from autograd.ops.decompositions import svd
from autograd.ops.piecewise import abs
from autograd.ops.reduce import Reduction
from autograd.ops.shape import expand_dims, moveaxis
from autograd.ops.unsmooth import unsmooth

__all__ = ["matrix_norm", "norm", "vector_norm"]


class Norm(Reduction):
    """y = (sum_i |x_i|^p)^(1/p).

    Shapes: x (..., N) -> (...), or other axes
    Saves: x, y
    Derivative: g_x = g * sign(x) * (abs(x) / y)^(p - 1)
    Note: x / y for p = 2; 0 where y is 0, and for p <= 1, where |x_i|^p has a kink, where x_i is 0

    The powers are taken of x / max|x| (min|x| for p < 0), of which the largest is 1: they neither
    overflow nor all vanish.
    """

    save_inputs = (0,)
    save_output = True

    def __init__(self, p, axis, keepdims):
        super().__init__(axis, keepdims)
        self.p = p

    def forward(self, xp, x):
        size = xp.abs(x)
        scale = self.scale(xp, size)
        with np.errstate(divide="ignore"):  # for p < 0 the power of a 0 is infinite, and the norm 0
            total = xp.sum((size / scale) ** self.p, axis=self.axis, keepdims=True)
            y = scale * (xp.sqrt(total) if self.p == 2 else total ** (1 / self.p))
        return y if self.keepdims else xp.squeeze(y, axis=self.axis)

    def scale(self, xp, size):
        """The divisor used before taking powers: 1 instead of 0 or infinity."""
        if size.size == 0:
            return xp.sum(size, axis=self.axis, keepdims=True) + 1
        extreme = (xp.max if self.p > 0 else xp.min)(size, axis=self.axis, keepdims=True)
        return xp.where(xp.isfinite(extreme) & (extreme > 0), extreme, 1)

    def backward(self, xp, g, x, y):
        g, y = self.restore_axes(g), self.restore_axes(y)
        corner = y == 0
        g, y = xp.where(corner, 0, g), xp.where(corner, 1, y)
        if self.p == 2:
            return unsmooth(g * (x / y), corner, x)
        sign = xp.sign(x)
        size = sign * x / y
        if self.p <= 1:
            corner = corner | (x == 0)
            size = xp.where(x == 0, 1, size)
        return unsmooth(g * (sign * size ** (self.p - 1)), corner, x)


def norm(
    x: TensorLike, ord: float | str | None = None, axis: Axis = None, keepdims: bool = False
) -> Tensor:
    """The norm of vectors (``axis`` an integer) or matrices (``axis`` two integers).

    With axis None x is one vector or matrix; if ord is None too, all elements of x form one vector.
    ``ord`` and the gradients are those of ``vector_norm`` and ``matrix_norm``; None is 2 for
    vectors and "fro" for matrices. Raises ValueError for another ``ord`` or number of axes.
    """
    x, axis = _floating("norm", x, axis)
    if axis is None and ord is None:
        return Norm(2, None, keepdims)(x)
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if len(axes) == 1:
        return _of_vectors("norm", x, 2 if ord is None else ord, axes[0], keepdims)
    if len(axes) != 2:
        raise ValueError(
            f"linalg.norm takes one or two axes, got {len(axes)}: use vector_norm for vectors that "
            "extend over several axes"
        )
    return _of_matrices("norm", x, "fro" if ord is None else ord, axes, keepdims)


def vector_norm(
    x: TensorLike, *, axis: Axis = None, keepdims: bool = False, ord: float = 2
) -> Tensor:
    """The p-norm of the vectors along ``axis``: None (all elements), an integer or several.

    ``ord`` is any number p, (sum |x|^p)^(1/p); inf, the largest |x|; -inf, the smallest; or 0, the
    number of nonzero elements, which is piecewise constant and has no gradient.

    Where the norm is 0, and for p <= 1 where an element is 0, the gradient is 0 and the second
    derivative is NaN. Ties in a maximum or minimum share the gradient equally.
    """
    x, axis = _floating("vector_norm", x, axis)
    return _of_vectors("vector_norm", x, ord, axis, keepdims)


def matrix_norm(x: TensorLike, *, keepdims: bool = False, ord: float | str = "fro") -> Tensor:
    """The norm of the matrices x (..., M, N).

    ``ord`` is "fro", the root of the sum of squares; "nuc", 2 or -2, the sum, the largest or the
    smallest of the singular values (float32 and float64 only); 1 or -1, the largest or smallest sum
    of |x| over a column; inf or -inf, that over a row. Raises ValueError for another one.

    Ties share the gradient equally. "nuc", 2 and -2 have a kink where a singular value they use is
    0: the gradient is that of one side. Their second derivatives go through the singular vectors,
    and are not finite where two singular values are equal (see ``svd``).
    """
    x, _ = _floating("matrix_norm", x, None)
    if x.ndim < 2:
        raise ValueError(f"linalg.matrix_norm takes matrices (..., M, N), got shape {x.shape}")
    return _of_matrices("matrix_norm", x, ord, (x.ndim - 2, x.ndim - 1), keepdims)


def _of_vectors(name, x, p, axis, keepdims):
    if isinstance(p, str) or not isinstance(p, (int, float, np.number)) or math.isnan(p):
        raise ValueError(f"linalg.{name}: ord of a vector must be a number, not {p!r}")
    if p in (math.inf, -math.inf):
        return (reduce.max if p > 0 else reduce.min)(abs(x), axis, keepdims)
    if p == 0:
        data = x.data if isinstance(x, Tensor) else x
        count = namespace(data).sum(data != 0, axis=axis, keepdims=keepdims)
        return Tensor(namespace(data).asarray(count, dtype=data.dtype))
    return Norm(int(p) if p == int(p) else float(p), axis, keepdims)(x)


def _of_matrices(name, x, ord, axes, keepdims):
    rows, columns = axes
    ord = ord.item() if isinstance(ord, np.number) else ord
    if not isinstance(ord, (str, int, float)):
        raise ValueError(f"linalg.{name}: ord must be a number or a name, not {described(ord)}")
    if ord == "fro":
        return Norm(2, axes, keepdims)(x)
    if ord in (1, -1, math.inf, -math.inf):
        summed, compared = (rows, columns) if ord in (1, -1) else (columns, rows)
        y = reduce.sum(abs(x), summed, keepdims=True)
        y = (reduce.max if ord > 0 else reduce.min)(y, compared, keepdims=True)
        return y if keepdims else reduce.sum(y, axes)
    if ord not in ("nuc", 2, -2):
        raise ValueError(
            f"linalg.{name}: ord of a matrix is 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, "
            f"not {ord!r}"
        )
    s = svd(moveaxis(x, axes, (-2, -1)), compute_uv=False)
    y = {"nuc": reduce.sum, 2: reduce.max, -2: reduce.min}[ord](s, -1)
    return expand_dims(y, axes) if keepdims else y


def _floating(name: str, x: TensorLike, axis: Any) -> tuple[Operand, Axis]:
    x = operand(x)
    if x.dtype.kind != "f":
        raise TypeError(f"linalg.{name} takes floating-point numbers, not {x.dtype}")
    return x, reduced_axes(f"linalg.{name}", axis, x)
