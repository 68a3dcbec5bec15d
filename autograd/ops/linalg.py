"""Linear algebra under the names of numpy.linalg: ``ops.linalg.inv``, as ``np.linalg.inv``.

Matrices are the last two axes, the others are batches. The factorizations take float32 and float64
only, and raise TypeError for another type; numpy.linalg.LinAlgError where a matrix is singular or
not positive definite. ``norm`` is a reduction and takes float16 as well.

Derivatives after M. Giles, Collected matrix derivative results for forward and reverse mode
algorithmic differentiation (2008); that of the Cholesky factor after I. Murray (arXiv:1602.07527).
"""

import math

from autograd._tensor import Tensor
from autograd.engine import Op
from autograd.ops import reduce
from autograd.ops.piecewise import abs
from autograd.ops.reduce import Reduction
from autograd.ops.shape import expand_dims, squeeze

__all__ = ["cholesky", "det", "inv", "norm", "solve"]


class Inv(Op):
    """Y = A^-1.  Saves: Y.  dL/dA = -Y^T G Y^T.

    Shapes: A (..., N, N) -> (..., N, N)
    """

    save_output = True

    def forward(self, xp, a):
        return xp.linalg.inv(a)

    def backward(self, xp, g, y):
        y_t = xp.swapaxes(y, -1, -2)
        return -(y_t @ g @ y_t)


class Solve(Op):
    """X with A X = B.  Saves: A, X.  dL/dB = A^-T G, dL/dA = -(dL/dB) X^T.

    Shapes: A (..., N, N), B (..., N, K) -> (..., N, K); the leading axes broadcast.
    """

    broadcasts = True
    save_inputs = (0,)
    save_output = True

    def forward(self, xp, a, b):
        return xp.linalg.solve(a, b)

    def backward(self, xp, g, a, x):
        g_b = xp.linalg.solve(xp.swapaxes(a, -1, -2), g)  # (..., N, K)
        return -(g_b @ xp.swapaxes(x, -1, -2)) if self.needs[0] else None, g_b


class Det(Op):
    """y = det(A).  Saves: A, y.  dy/dA = the cofactors of A, which are y A^-T.

    Shapes: A (..., N, N) -> (...)
    A singular matrix has cofactors and no inverse. With A = U diag(s) V^T they are
    det(U) det(V) U diag(product of the other s) V^T.
    """

    save_inputs = (0,)
    save_output = True

    def forward(self, xp, a):
        return xp.linalg.det(a)

    def backward(self, xp, g, a, y):
        if isinstance(a, Tensor) or (y != 0).all():
            cofactors = y[..., None, None] * xp.swapaxes(xp.linalg.inv(a), -1, -2)
        else:
            u, s, v_t = xp.linalg.svd(a)
            own = xp.eye(s.shape[-1], dtype=bool)
            others = xp.prod(xp.where(own, 1, s[..., None, :]), axis=-1)  # (..., N)
            signs = xp.linalg.det(u) * xp.linalg.det(v_t)
            cofactors = signs[..., None, None] * ((u * others[..., None, :]) @ v_t)
        return g[..., None, None] * cofactors


class Cholesky(Op):
    """The lower triangular L with L L^T = A.  Saves: L.

    Shapes: A (..., N, N) -> (..., N, N)
    dL/dA = (X + X^T) / 2  with  X = L^-T P L^-1,  P = the lower triangle of L^T G, diagonal halved
    """

    save_output = True

    def forward(self, xp, a):
        return xp.linalg.cholesky(a)

    def backward(self, xp, g, y):
        y_t = xp.swapaxes(y, -1, -2)
        s = y_t @ g
        p = 0.5 * (xp.tril(s) + xp.tril(s, -1))
        right = xp.swapaxes(xp.linalg.solve(y_t, xp.swapaxes(p, -1, -2)), -1, -2)  # P L^-1
        x = xp.linalg.solve(y_t, right)
        return 0.5 * (x + xp.swapaxes(x, -1, -2))


class Norm(Reduction):
    """y = (sum_i |x_i|^p)^(1/p).  Saves: x, y.  dy/dx_i = sign(x_i) (|x_i| / y)^(p-1), 0 at y = 0.

    For the usual p = 2 that is x_i / y.
    """

    save_inputs = (0,)
    save_output = True

    def __init__(self, p, axis, keepdims):
        super().__init__(axis, keepdims)
        self.p = p

    def forward(self, xp, x):
        if self.p == 2:
            return xp.sqrt(xp.sum(x * x, axis=self.axis, keepdims=self.keepdims))
        return xp.sum(xp.abs(x) ** self.p, axis=self.axis, keepdims=self.keepdims) ** (1 / self.p)

    def backward(self, xp, g, x, y):
        g = self.kept(xp, xp.where(y == 0, 0, g))
        y = self.kept(xp, xp.where(y == 0, 1, y))
        if self.p == 2:
            return g * (x / y)
        size = xp.where(x == 0, 0, (xp.abs(xp.where(x == 0, 1, x)) / y) ** (self.p - 1))
        return g * xp.sign(x) * size


def inv(a):
    """The inverse of the matrices a (..., N, N). Raises LinAlgError where one is singular."""
    return Inv()(_square(a, "inv"))


def solve(a, b):
    """x with a x = b. ``a`` is (..., N, N); ``b`` is one vector (N,) or matrices (..., N, K).

    Raises LinAlgError where a matrix is singular.
    """
    _square(a, "solve")
    _floating(b, "solve")
    if b.ndim == 1:
        return squeeze(Solve()(a, expand_dims(b, 1)), axis=-1)
    return Solve()(a, b)


def det(a):
    """The determinant of the matrices a (..., N, N).

    Its gradient, the matrix of cofactors, is right for singular matrices too; its second derivative
    is not computed there, and raises LinAlgError.
    """
    return Det()(_square(a, "det"))


def cholesky(a):
    """The Cholesky factor, lower triangular, of symmetric positive definite matrices (..., N, N).

    As in PyTorch the gradient is symmetric: it is that of a change which keeps ``a`` symmetric.
    Only the lower triangle of ``a`` is read. Raises LinAlgError where it is not positive definite.
    """
    return Cholesky()(_square(a, "cholesky"))


def norm(x, ord=None, axis=None, keepdims=False):
    """The norm of vectors (``axis`` an integer) or matrices (``axis`` two integers).

    Of vectors: ``ord`` is 2 (also None), 1, any other positive p, inf or -inf. Of matrices: "fro"
    (also None), 1, -1, inf or -inf, the extreme sums of |x| over columns (1) and rows. With axis
    None x is one vector or matrix, and with ord None besides all its elements one vector. Where
    the norm is 0 its gradient is 0; ties in a maximum share it equally.

    Raises ValueError for any other ``ord``: 0 counts elements and has no gradient; 2, -2 and "nuc"
    of a matrix would need the derivative of a singular value decomposition.
    """
    if x.dtype.kind != "f":
        raise TypeError(f"linalg.norm takes floating-point numbers, not {x.dtype}")
    if axis is None and ord is None:
        return Norm(2, None, keepdims)(x)
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    if len(axes) == 1:
        return _vector_norm(x, ord, axes[0], keepdims)
    if len(axes) != 2:
        raise ValueError(f"linalg.norm is of vectors or matrices, and got {len(axes)} axes")
    return _matrix_norm(x, ord, *(i % x.ndim for i in axes), keepdims)


def _vector_norm(x, ord, axis, keepdims):
    if ord in (math.inf, -math.inf):
        return (reduce.max if ord > 0 else reduce.min)(abs(x), axis, keepdims)
    if ord is not None and (isinstance(ord, str) or not ord > 0):
        raise ValueError(f"linalg.norm: ord {ord!r} of a vector has no gradient here")
    return Norm(2 if ord is None else ord, axis, keepdims)(x)


def _matrix_norm(x, ord, rows, columns, keepdims):
    if ord in (None, "fro"):
        return Norm(2, (rows, columns), keepdims)(x)
    if ord not in (1, -1, math.inf, -math.inf):
        raise ValueError(f"linalg.norm: ord {ord!r} of a matrix has no gradient here")
    summed, compared = (rows, columns) if ord in (1, -1) else (columns, rows)
    sums = reduce.sum(abs(x), summed, keepdims=True)
    y = (reduce.max if ord > 0 else reduce.min)(sums, compared, keepdims=True)
    return y if keepdims else squeeze(y, (rows, columns))


def _square(a, name):
    _floating(a, name)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ValueError(f"linalg.{name} takes square matrices (..., N, N), and got {a.shape}")
    return a


def _floating(a, name):
    if a.dtype.kind != "f" or a.dtype.itemsize not in (4, 8):
        raise TypeError(f"linalg.{name} takes float32 and float64 only, not {a.dtype}")
