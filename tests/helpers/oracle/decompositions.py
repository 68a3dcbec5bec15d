"""Factorizations and norms, compared with PyTorch's; vectors of arbitrary sign are squared."""

import math

import numpy as np
import torch
from oracle.drawing import case, shape, some_axes

from autograd import ops


def distinct_singular_values(n, m):
    """A matrix that keeps the singular values distinct if a small random matrix is added to it."""
    return 2 * np.eye(n, m) * np.arange(1, m + 1)


def ours_of(f, d):
    return lambda x: f(0.3 * x + d.astype(x.dtype))


def theirs_of(f, d):
    return lambda x: f(0.3 * x + torch.tensor(d, dtype=x.dtype))


@case("linalg.eigh")
def linalg_eigh(rng):
    n, k = int(rng.integers(1, 4)), int(rng.integers(2))
    d = distinct_singular_values(n, n)

    def ours(x):
        return ops.linalg.eigh(x + ops.swapaxes(x, -1, -2))[k] ** 2

    def theirs(x):
        return torch.linalg.eigh(x + x.mT)[k] ** 2

    return [(*shape(rng, 0, 1), n, n)], ours_of(ours, d), theirs_of(theirs, d)


@case("linalg.svd")
def linalg_svd(rng):
    n, m, k = (int(i) for i in (*rng.integers(1, 5, 2), rng.integers(3)))
    d = distinct_singular_values(n, m)
    return (
        [(*shape(rng, 0, 1), n, m)],
        ours_of(lambda x: ops.linalg.svd(x)[k] ** 2, d),
        theirs_of(lambda x: torch.linalg.svd(x, full_matrices=False)[k] ** 2, d),
    )


@case("linalg.qr")
def linalg_qr(rng):
    m = int(rng.integers(1, 4))
    n, k = m + int(rng.integers(3)), int(rng.integers(2))
    d = distinct_singular_values(n, m)
    return (
        [(*shape(rng, 0, 1), n, m)],
        ours_of(lambda x: ops.linalg.qr(x)[k], d),
        theirs_of(lambda x: torch.linalg.qr(x)[k], d),
    )


@case("linalg.pinv")
def linalg_pinv(rng):
    n, m = (int(i) for i in rng.integers(1, 5, 2))
    d = distinct_singular_values(n, m)
    return (
        [(*shape(rng, 0, 1), n, m)],
        ours_of(ops.linalg.pinv, d),
        theirs_of(torch.linalg.pinv, d),
    )


@case("linalg.slogdet", "invertible")
def linalg_slogdet(rng):
    n = int(rng.integers(0, 5))
    return (
        [(*shape(rng, 0, 2), n, n)],
        lambda x: ops.linalg.slogdet(x).logabsdet,
        lambda x: torch.linalg.slogdet(x)[1],
    )


@case("linalg.matrix_norm")
def linalg_matrix_norm(rng):
    ord = ["fro", 1, -1, math.inf, -math.inf][rng.integers(5)]
    keepdims = bool(rng.integers(2))
    return (
        [(*shape(rng, 0, 2, smallest=1), 3, 4)],
        lambda x: ops.linalg.matrix_norm(x, ord=ord, keepdims=keepdims),
        lambda x: torch.linalg.matrix_norm(x, ord, keepdim=keepdims),
    )


@case("linalg.vector_norm", "nonzero")
def linalg_vector_norm(rng):
    s = shape(rng, 1, smallest=1)
    ord = [0.5, 1, 2, 3, -1, -2.5, math.inf, -math.inf][rng.integers(8)]
    axis, keepdims = some_axes(rng, len(s)), bool(rng.integers(2))
    return (
        [s],
        lambda x: ops.linalg.vector_norm(x, ord=ord, axis=axis, keepdims=keepdims),
        lambda x: torch.linalg.vector_norm(x, ord, axis, keepdims),
    )
