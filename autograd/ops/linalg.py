"""Linear algebra under the names of numpy.linalg: ``ops.linalg.inv`` is ``np.linalg.inv``.

Matrices are the last two axes; the other axes are batches. The functions take float32 and float64
(the norms, which are reductions, float16 as well) and raise TypeError for another type, and
numpy.linalg.LinAlgError where a matrix is singular or not positive definite. This file has the
functions of square matrices, decompositions.py eigh, svd, qr and pinv, and norms.py the norms.

Derivatives after M. Giles, Collected matrix derivative results for forward and reverse mode
algorithmic differentiation (2008); that of the Cholesky factor after I. Murray (arXiv:1602.07527).
"""

from typing import NamedTuple

import numpy as np

from autograd._tensor import Tensor, TensorLike
from autograd.device import namespace
from autograd.engine import Op
from autograd.ops.arguments import lapack_type, operand, square_matrices
from autograd.ops.decompositions import eigh, pinv, qr, svd
from autograd.ops.norms import matrix_norm, norm, vector_norm
from autograd.ops.shape import broadcast_to, expand_dims, squeeze

__all__ = [
    "cholesky", "det", "eigh", "inv", "matrix_norm", "norm", "pinv", "qr", "slogdet", "solve",
    "svd", "vector_norm",
]  # fmt: skip


class SlogdetResult(NamedTuple):
    sign: Tensor
    logabsdet: Tensor


class Inv(Op):
    """Y = A^-1.

    Shapes: A (..., N, N) -> (..., N, N)
    Saves: Y
    Derivative: g_A = -Y^T @ g @ Y^T
    """

    save_output = True

    def forward(self, xp, a):
        return xp.linalg.inv(a)

    def backward(self, xp, g, y):
        y_t = xp.swapaxes(y, -1, -2)
        return -(y_t @ g @ y_t)


def inv(a: TensorLike) -> Tensor:
    """The inverse of the matrices a (..., N, N). Raises LinAlgError where one is singular."""
    return Inv()(square_matrices("linalg.inv", a))


class Solve(Op):
    """X with A X = B.

    Shapes: A (..., N, N), B (..., N, K) -> (..., N, K), with the same leading axes
    Saves: A, X
    Derivative: g_A = -g_B @ X^T, g_B = A^-T @ g
    """

    save_inputs = (0,)
    save_output = True

    def forward(self, xp, a, b):
        return xp.linalg.solve(a, b)

    def backward(self, xp, g, a, x):
        g_b = xp.linalg.solve(xp.swapaxes(a, -1, -2), g)  # (..., N, K)
        return -(g_b @ xp.swapaxes(x, -1, -2)) if self.needs[0] else None, g_b


def solve(a: TensorLike, b: TensorLike) -> Tensor:
    """x with a x = b. ``a`` is (..., N, N); ``b`` is one vector (N,) or matrices (..., N, K).

    The leading axes broadcast. Raises LinAlgError where a matrix is singular.
    """
    a, b = square_matrices("linalg.solve", a), operand(b)
    lapack_type("linalg.solve", b)
    if b.ndim == 1:
        return squeeze(solve(a, expand_dims(b, 1)), axis=-1)
    if a.shape[:-2] != b.shape[:-2]:
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (broadcast_to(m, lead + m.shape[-2:]) for m in (a, b))
    return Solve()(a, b)


class Det(Op):
    """y = det(A).

    Shapes: A (..., N, N) -> (...)
    Saves: A
    Derivative: g_A = g * y * A^-T
    Note: y A^-T is the matrix of cofactors, which a singular A has too; it is computed without A^-1
    """

    save_inputs = (0,)

    def forward(self, xp, a):
        return xp.linalg.det(a)

    def backward(self, xp, g, a):
        return g[..., None, None] * cofactors(xp, a)


def det(a: TensorLike) -> Tensor:
    """The determinant of the matrices a (..., N, N).

    Its gradient, the matrix of cofactors, is right for singular matrices too, and so is the second
    derivative. The third raises LinAlgError where a matrix is singular.
    """
    return Det()(square_matrices("linalg.det", a))


class Cofactors(Op):
    """Y_ij = (-1)^(i+j) det(A without row i and column j), which is det(A) A^-T where A^-1 exists.

    Shapes: A (..., N, N) -> (..., N, N)
    Saves: A; caches U, s, Vh
    Derivative: g_A = sum(g * B) * Y - Y @ g^T @ B with B = A^-T
    Note: that needs an inverse; the first derivative is computed from the singular values instead

    With A = U diag(s) V^T:

        Y = d U diag(p) V^T,  p_i = the product of all s but s_i,  d = det(U) det(V)

    for the cofactors of a product are the product of the cofactors. Those of diag(s) change with E
    by  dY_ii = sum_j P_ij E_jj  and  dY_ij = -P_ij E_ji,  where P_ij is the product of all s but
    s_i and s_j (0 for i = j). With H = d U^T G V that gives

        dL/dA = U X V^T,  X_ii = sum_j P_ij H_jj,  X_ij = -P_ij H_ji

    To differentiate that in turn would be to differentiate the singular vectors, which have no
    derivative where s_i = s_j: there the rule of det(A) A^-T is used.
    """

    save_inputs = (0,)

    def forward(self, xp, a):
        u, s, v_t = self.cache = xp.linalg.svd(a)
        own = xp.eye(s.shape[-1], dtype=bool)
        others = xp.prod(xp.where(own, 1, s[..., None, :]), axis=-1)  # (..., N)
        return orientation(xp, u, v_t) * ((u * others[..., None, :]) @ v_t)

    def backward(self, xp, g, a):
        if self.cache is None:  # to be differentiated again: the rule of det(A) A^-T
            a_t = xp.swapaxes(xp.linalg.inv(a), -1, -2)  # A^-T
            along = xp.sum(g * a_t, axis=(-2, -1), keepdims=True) * a_t
            y = xp.linalg.det(a)[..., None, None]
            return y * (along - a_t @ xp.swapaxes(g, -1, -2) @ a_t)
        u, s, v_t = self.cache
        h = orientation(xp, u, v_t) * (xp.swapaxes(u, -1, -2) @ g @ xp.swapaxes(v_t, -1, -2))
        p = but_two(xp, s)
        own = xp.eye(s.shape[-1], dtype=bool)
        on_diagonal = p @ xp.diagonal(h, 0, -2, -1)[..., None]  # (..., N, 1)
        return u @ xp.where(own, on_diagonal, -p * xp.swapaxes(h, -1, -2)) @ v_t


def orientation(xp, u, v_t):
    """det(U) det(V), 1 or -1, of shape (..., 1, 1)."""
    return xp.sign(xp.linalg.det(u) * xp.linalg.det(v_t))[..., None, None]


def but_two(xp, s):
    """P_ij, the product of all numbers s (..., N) but s_i and s_j; 0 for i = j. Divides by none.

    Between i and j > i it is a running product that starts after i; before i and after j, one from
    either end.
    """
    n = s.shape[-1]
    i, j = xp.arange(n)[:, None], xp.arange(n)
    one = xp.ones_like(s[..., :1])
    before = xp.cumprod(xp.concatenate([one, s], -1), -1)[..., :-1]
    after = xp.flip(xp.cumprod(xp.concatenate([one, xp.flip(s, -1)], -1), -1)[..., :-1], -1)
    running = xp.cumprod(xp.where(j > i, s[..., None, :], 1), -1)  # s_{i+1} ... s_j
    between = xp.concatenate([xp.ones_like(running[..., :1]), running[..., :-1]], -1)
    upper = xp.triu(before[..., :, None] * between * after[..., None, :], 1)
    return upper + xp.swapaxes(upper, -1, -2)


def cofactors(xp, a):
    return Cofactors()(a) if isinstance(a, Tensor) else Cofactors().forward(xp, a)


class LogAbsDet(Op):
    """y = log |det(A)|.

    Shapes: A (..., N, N) -> (...)
    Saves: A
    Derivative: g_A = g * A^-T
    """

    save_inputs = (0,)

    def __init__(self, value):
        self.value = value

    def forward(self, xp, a):
        return vars(self).pop("value")  # computed together with the sign

    def backward(self, xp, g, a):
        return g[..., None, None] * xp.swapaxes(xp.linalg.inv(a), -1, -2)


def slogdet(a: TensorLike) -> SlogdetResult:
    """The sign of the determinants of a (..., N, N), and the logarithm of their absolute values.

    Returns a named tuple: sign (...) and logabsdet (...). The logarithm and its gradient are right
    where the determinant itself would overflow or vanish. The sign is a constant. A singular matrix
    has sign 0 and logarithm minus infinity; its backward raises LinAlgError.
    """
    a = square_matrices("linalg.slogdet", a)
    raw = a.data if isinstance(a, Tensor) else a
    xp = namespace(raw)
    sign, value = xp.linalg.slogdet(raw)
    return SlogdetResult(Tensor(xp.asarray(sign)), LogAbsDet(xp.asarray(value))(a))


class Cholesky(Op):
    """The lower triangular Y with Y Y^T = A.

    Shapes: A (..., N, N) -> (..., N, N)
    Saves: Y
    Derivative: g_A = (X + X^T) / 2 with X = Y^-T @ P @ Y^-1, P = (tril(S) + tril(S, -1)) / 2,
        S = Y^T @ g
    Note: P is the lower triangle of S with its diagonal halved; the gradient is symmetric, as A is
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


def cholesky(a: TensorLike) -> Tensor:
    """The Cholesky factor, lower triangular, of symmetric positive definite matrices (..., N, N).

    As in PyTorch the gradient is symmetric: it is that of a change that keeps ``a`` symmetric.
    Only the lower triangle of ``a`` is read. Raises LinAlgError where it is not positive definite.
    """
    return Cholesky()(square_matrices("linalg.cholesky", a))
