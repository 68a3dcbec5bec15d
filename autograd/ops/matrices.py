"""Parts of matrices: triangles, the diagonal and its sum, and the matrix with a given diagonal."""

import numpy as np

from autograd._tensor import Tensor, TensorLike
from autograd.engine import Op
from autograd.ops.arguments import integer, normalize_axis, operand
from autograd.ops.index import scatter_add
from autograd.ops.reduce import sum
from autograd.ops.shape import reshape

__all__ = ["diag", "diagflat", "diagonal", "trace", "tril", "triu"]


class Tril(Op):
    """y = x on and below diagonal k, and 0 above it.

    Shapes: x (..., N, M) -> (..., N, M)
    Saves: nothing
    Derivative: g_x = tril(g, k)
    """

    def __init__(self, k):
        self.k = k

    def forward(self, xp, x):
        return xp.tril(x, self.k)

    def backward(self, xp, g):
        return xp.tril(g, self.k)


def tril(x: TensorLike, k: int = 0) -> Tensor:
    """The lower triangle of the last two axes: 0 above diagonal ``k``."""
    return Tril(integer("tril", "k", k))(_matrices(x, "tril"))


class Triu(Op):
    """y = x on and above diagonal k, and 0 below it.

    Shapes: x (..., N, M) -> (..., N, M)
    Saves: nothing
    Derivative: g_x = triu(g, k)
    """

    def __init__(self, k):
        self.k = k

    def forward(self, xp, x):
        return xp.triu(x, self.k)

    def backward(self, xp, g):
        return xp.triu(g, self.k)


def triu(x: TensorLike, k: int = 0) -> Tensor:
    """The upper triangle of the last two axes: 0 below diagonal ``k``."""
    return Triu(integer("triu", "k", k))(_matrices(x, "triu"))


class Diagonal(Op):
    """y_i = x_{i, i + offset}.

    Shapes: x (..., N, M) -> (..., K), or two other axes
    Saves: nothing; keeps where x was read
    Derivative: zeros, with g on the diagonal
    """

    returns_view = True

    def __init__(self, offset, axis1, axis2):
        self.offset, self.axes = offset, (axis1, axis2)

    def forward(self, xp, x):
        y = xp.diagonal(x, self.offset, *self.axes)
        i = xp.arange(y.shape[-1])
        self.index = (..., i + max(-self.offset, 0), i + max(self.offset, 0))
        return y

    def backward(self, xp, g):
        shape = self.inputs[0].shape
        n, m = (shape[axis] for axis in self.axes)
        g_x = xp.scatter_add((*g.shape[:-1], n, m), self.index, g)
        return xp.moveaxis(g_x, (-2, -1), self.axes)


def diagonal(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The diagonal of the matrices in ``axis1`` and ``axis2``, ``offset`` places above the main
    one (below, when negative), as the last axis: a read-only view.

    Raises ValueError when the two axes are the same.
    """
    return _diagonal("diagonal", x, offset, axis1, axis2)


def trace(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sum of ``diagonal``."""
    return sum(_diagonal("trace", x, offset, axis1, axis2), axis=-1)


def diag(x: TensorLike, k: int = 0) -> Tensor:
    """For a vector, the matrix with it on the diagonal and 0 elsewhere; for a matrix, its diagonal.

    The diagonal lies ``k`` places above the main one (below, when negative). Raises ValueError for
    other shapes.
    """
    x, k = operand(x), integer("diag", "k", k)
    if x.ndim == 2:
        return _diagonal("diag", x, k, 0, 1)
    if x.ndim != 1:
        raise ValueError(f"diag takes a vector or a matrix, got shape {x.shape}")
    n, i = x.shape[0] + abs(k), np.arange(x.shape[0])
    return scatter_add((n, n), (i + max(-k, 0), i + max(k, 0)), x)


def diagflat(x: TensorLike, k: int = 0) -> Tensor:
    """The matrix with all elements of x, in row-major order, on its diagonal ``k``."""
    x = operand(x)
    return diag(reshape(x, (x.size,)), integer("diagflat", "k", k))


def _diagonal(op, x, offset, axis1, axis2):
    ndim = operand(x).ndim
    first, second = (normalize_axis(op, axis, ndim) for axis in (axis1, axis2))
    if first == second:
        raise ValueError(f"{op}: axis1 and axis2 must differ, and both are {first}")
    return Diagonal(integer(op, "offset", offset), first, second)(x)


def _matrices(x, name):
    x = operand(x)
    if x.ndim < 2:
        raise ValueError(f"{name} takes matrices (..., N, M), got shape {x.shape}")
    return x
