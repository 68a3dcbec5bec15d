"""Factorizations of matrices under the names of numpy.linalg: eigh, svd, qr and pinv.

A factorization has several results, and an operation has one output. So each factor is an operation
of its own on the same matrix, and all of them receive the one factorization that was computed, as
their cache. Under ``create_graph`` the cache is None: they factorize again, on Tensors, and the
result has derivatives of its own.

**What is not determined has no derivative.** A singular vector is determined up to its sign, which
LAPACK chooses: the gradient is right for the sign that it chose, and a function should not depend
on it. Where two eigenvalues or singular values are equal, their vectors can be rotated into each
other: the gradient of eigenvectors and singular vectors divides by the difference and is not finite
there, even if the function does not depend on the rotation. The gradient of the values themselves
exists everywhere and divides by nothing. Values that are equal up to rounding (the zero singular
values of most matrices of low rank are computed as 1e-17) are different numbers, and the gradient
divides by their difference: the result is large, of the order of 1e16, or noise.

Derivatives after M. Giles, Collected matrix derivative results for forward and reverse mode
algorithmic differentiation (2008); J. Townsend, Differentiating the singular value decomposition
(2016); S. Walter and L. Lehmann, Algorithmic differentiation of linear algebra functions (2010)
for QR; G. Golub and V. Pereyra, The differentiation of pseudo-inverses and nonlinear least squares
problems whose variables separate (1973).
"""

from typing import Any, NamedTuple

import numpy as np

from autograd._tensor import Tensor, TensorLike
from autograd.device import namespace
from autograd.engine import Op
from autograd.ops.arguments import matrices, square_matrices
from autograd.ops.products import matmul
from autograd.ops.shape import concatenate, swapaxes

__all__ = ["eigh", "pinv", "qr", "svd"]


class EighResult(NamedTuple):
    eigenvalues: Tensor
    eigenvectors: Tensor


class SVDResult(NamedTuple):
    U: Tensor
    S: Tensor
    Vh: Tensor


class QRResult(NamedTuple):
    Q: Tensor
    R: Tensor


class Factor(Op):
    """One result of a factorization that has been computed: number ``which`` of ``cache``."""

    save_inputs = (0,)
    which = 0

    def __init__(self, *options, cache):
        self.options, self.cache = options, cache

    def forward(self, xp, a):
        return self.cache[self.which]


def t(xp, a):
    return xp.swapaxes(a, -1, -2)


def skew(xp, a):
    """A - A^T."""
    return a - t(xp, a)


def over_differences(xp, a, values):
    """a_ij / (values_j - values_i), and 0 on the diagonal."""
    own = diagonal_of(xp, values)
    difference = values[..., None, :] - values[..., :, None]
    return xp.where(own, 0, a) / xp.where(own, 1, difference)


def diagonal_of(xp, values):
    """True on the diagonal of the matrices that have these eigenvalues: (N, N)."""
    own = np.eye(values.shape[-1], dtype=bool)
    return own if isinstance(values, Tensor) else xp.asarray(own)


class EigenValues(Factor):
    """w of A = V diag(w) V^T, A symmetric.

    Shapes: A (..., N, N) -> (..., N)
    Saves: A; caches w, V
    Derivative: g_A = V @ diag(g) @ V^T
    Note: dw is the diagonal of V^T dA V: the terms with dV vanish, since V^T dV is skew
    """

    def backward(self, xp, g, a):
        _, v = self.cache or xp.linalg.eigh(a, *self.options)
        return (v * g[..., None, :]) @ t(xp, v)


class EigenVectors(Factor):
    """V of A = V diag(w) V^T, A symmetric.

    Shapes: A (..., N, N) -> (..., N, N)
    Saves: A; caches w, V
    Derivative: g_A = V @ (F * (S - S^T) / 2) @ V^T with S = V^T @ g, F = over_differences(w)
    Note: F_ij = 1 / (w_j - w_i), 0 on the diagonal: not finite where two eigenvalues are equal

    dV = V (F * (V^T dA V)), so dL/dA = V (F * (V^T G)) V^T, of which the symmetric part is taken: F
    is skew, and the half of V^T G that matters is skew too.
    """

    which = 1

    def backward(self, xp, g, a):
        w, v = self.cache or xp.linalg.eigh(a, *self.options)
        inner = over_differences(xp, 0.5 * skew(xp, t(xp, v) @ g), w)
        return v @ inner @ t(xp, v)


def eigh(a: TensorLike, UPLO: str = "L") -> EighResult:
    """Eigenvalues, ascending, and eigenvectors of symmetric matrices a (..., N, N).

    Returns a named tuple: eigenvalues (..., N) and eigenvectors (..., N, N), one in each column.
    Only the lower triangle of ``a`` is read (the upper with UPLO "U"); the gradient is symmetric,
    that of a change which keeps ``a`` symmetric. The sign of each eigenvector is LAPACK's choice.
    Where two eigenvalues are equal, the gradient of the eigenvectors is not finite, and that of the
    eigenvalues is one of several possible ones (only their sum has a single one).
    """
    a = square_matrices("linalg.eigh", a)
    if UPLO not in ("L", "U"):
        raise ValueError(f'linalg.eigh: UPLO is {UPLO!r}, but must be "L" or "U"')
    raw = a.data if isinstance(a, Tensor) else a
    factors = tuple(namespace(raw).linalg.eigh(raw, UPLO))
    return EighResult(EigenValues(UPLO, cache=factors)(a), EigenVectors(UPLO, cache=factors)(a))


class SingularValues(Factor):
    """s of A = U diag(s) V^T.

    Shapes: A (..., M, N) -> (..., K), K = min(M, N)
    Saves: A; caches U, s, Vh
    Derivative: g_A = U @ diag(g) @ Vh
    """

    which = 1

    def backward(self, xp, g, a):
        u, _, v_t = self.cache or xp.linalg.svd(a, full_matrices=False)
        return (u * g[..., None, :]) @ v_t


class LeftVectors(Factor):
    """U of A = U diag(s) V^T.

    Shapes: A (..., M, N) -> (..., M, K), K = min(M, N)
    Saves: A; caches U, s, Vh
    Derivative: g_A = (U @ (F * (S - S^T)) @ diag(s) + (g - U @ S) @ diag(1 / s)) @ Vh
        with S = U^T @ g, F = over_differences(s^2)
    Note: F_ij = 1 / (s_j^2 - s_i^2), 0 on the diagonal; the second term is there for M > K only
    """

    def backward(self, xp, g, a):
        u, s, v_t = self.cache or xp.linalg.svd(a, full_matrices=False)
        return self.of(xp, g, u, s) @ v_t

    @staticmethod
    def of(xp, g, u, s):
        """dL/dA V, for the vectors on the left; with A^T they are those on the right."""
        u_g = t(xp, u) @ g
        s_row = s[..., None, :]
        # F_ij s_j without the squares, which could overflow or vanish
        share = s_row / xp.where(diagonal_of(xp, s), 1, s_row + s[..., :, None])
        turned = u @ over_differences(xp, skew(xp, u_g) * share, s)
        return turned + (g - u @ u_g) / s_row if u.shape[-2] > u.shape[-1] else turned


class RightVectors(Factor):
    """Vh = V^T of A = U diag(s) V^T.

    Shapes: A (..., M, N) -> (..., K, N), K = min(M, N)
    Saves: A; caches U, s, Vh
    Derivative: g_A = U @ X^T
        with X = Vh^T @ (F * (S - S^T)) @ diag(s) + (g^T - Vh^T @ S) @ diag(1 / s),
        S = Vh @ g^T, F = over_differences(s^2)
    Note: that of LeftVectors, transposed: A^T = V diag(s) U^T has V on the left
    """

    which = 2

    def backward(self, xp, g, a):
        u, s, v_t = self.cache or xp.linalg.svd(a, full_matrices=False)
        return u @ t(xp, LeftVectors.of(xp, t(xp, g), t(xp, v_t), s))


def svd(a: TensorLike, full_matrices: bool = False, compute_uv: bool = True) -> Any:
    """The singular value decomposition a = U diag(S) Vh of matrices a (..., M, N), reduced.

    Returns a named tuple: U (..., M, K), S (..., K) in descending order and Vh (..., K, N), where
    K = min(M, N); with ``compute_uv=False`` S alone. The common sign of each pair of singular
    vectors is LAPACK's choice. Where two singular values are equal, or one is 0 and M differs from
    N, the gradients of U and Vh are not finite; that of S is right (at a singular value of 0, which
    is a kink, it is that of one side).

    Raises ValueError for ``full_matrices=True``, NumPy's default, unless M = N: the additional
    vectors only have to complete a basis, and have no derivative.
    """
    a = matrices("linalg.svd", a)
    if full_matrices and a.shape[-1] != a.shape[-2]:
        raise ValueError(
            f"linalg.svd: with full_matrices=True the additional singular vectors of a matrix of "
            f"shape {a.shape[-2:]} are arbitrary and have no derivative: pass full_matrices=False"
        )
    raw = a.data if isinstance(a, Tensor) else a
    factors = tuple(namespace(raw).linalg.svd(raw, full_matrices=False))
    s = SingularValues(cache=factors)(a)
    if not compute_uv:
        return s
    return SVDResult(LeftVectors(cache=factors)(a), s, RightVectors(cache=factors)(a))


class QFactor(Factor):
    """Q of A = Q R.

    Shapes: A (..., M, N), M >= N -> (..., M, N)
    Saves: A; caches Q, R
    Derivative: g_A = (g + Q @ (tril(X) + tril(X, -1)^T)) @ R^-T with X = -g^T @ Q
    """

    def backward(self, xp, g, a):
        q, r = self.cache or xp.linalg.qr(a)
        return solved(xp, g + q @ mirrored(xp, -(t(xp, g) @ q)), r)


class RFactor(Factor):
    """R of A = Q R.

    Shapes: A (..., M, N), M >= N -> (..., N, N)
    Saves: A; caches Q, R
    Derivative: g_A = Q @ (tril(X) + tril(X, -1)^T) @ R^-T with X = R @ triu(g)^T
    """

    which = 1

    def backward(self, xp, g, a):
        q, r = self.cache or xp.linalg.qr(a)
        return solved(xp, q @ mirrored(xp, r @ t(xp, xp.triu(g))), r)


def qr(a: TensorLike, mode: str = "reduced") -> QRResult:
    """a = Q R with orthonormal columns in Q and R upper triangular, of matrices a (..., M, N).

    Returns a named tuple: Q (..., M, K) and R (..., K, N), K = min(M, N). The signs of R's diagonal
    are LAPACK's choice. The first K columns of ``a`` must be independent: otherwise R has no
    inverse, and backward raises numpy.linalg.LinAlgError, or returns a meaningless gradient if
    rounding has turned the 0 on R's diagonal into 1e-17. Of NumPy's modes only "reduced" exists
    (ValueError for another): "complete" appends columns that are arbitrary.
    """
    a = matrices("linalg.qr", a)
    if mode != "reduced":
        raise ValueError(f'linalg.qr: mode is {mode!r}, but only "reduced" has a gradient')
    m, n = a.shape[-2:]
    if m < n:  # Q comes from the first m columns, and Q^T maps the others to R's
        q, r = qr(a[..., :m])
        return QRResult(q, concatenate([r, matmul(swapaxes(q, -1, -2), a[..., m:])], -1))
    raw = a.data if isinstance(a, Tensor) else a
    factors = tuple(namespace(raw).linalg.qr(raw))
    return QRResult(QFactor(cache=factors)(a), RFactor(cache=factors)(a))


def mirrored(xp, x):
    """The symmetric matrix with the lower triangle of x."""
    return xp.tril(x) + t(xp, xp.tril(x, -1))


def solved(xp, x, r):
    """X R^-T."""
    return t(xp, xp.linalg.solve(r, t(xp, x)))


class PInv(Op):
    """Y = A^+, the pseudo-inverse.

    Shapes: A (..., M, N) -> (..., N, M)
    Saves: A, Y
    Derivative: g_A = -Y^T @ g @ Y^T + (X - A @ Y @ X) + (Z - Z @ Y @ A)
        with X = g^T @ Y @ Y^T, Z = Y^T @ Y @ g^T
    Note: for changes that keep the rank

        dY = -Y dA Y + Y Y^T dA^T (I - A Y) + (I - Y A) dA^T Y^T Y
    """

    save_inputs = (0,)
    save_output = True

    def __init__(self, *options):
        self.options = options

    def forward(self, xp, a):
        return xp.linalg.pinv(a, *self.options)

    def backward(self, xp, g, a, y):
        y_t, g_t = t(xp, y), t(xp, g)
        left, right = (g_t @ y) @ y_t, y_t @ (y @ g_t)  # (..., M, N)
        return -(y_t @ g @ y_t) + (left - (a @ y) @ left) + (right - right @ (y @ a))


def pinv(a: TensorLike, rcond: float | None = None) -> Tensor:
    """The (Moore-Penrose) pseudo-inverse, (..., N, M), of matrices a (..., M, N).

    Singular values up to ``rcond`` times the largest count as 0 (None: NumPy's limit). The gradient
    is that of a change that keeps the rank: where the rank jumps there is none.
    """
    a = matrices("linalg.pinv", a)
    return PInv(*(() if rcond is None else (rcond,)))(a)
