"""Matrices to multiply, and whether their product is within the bound of its derivation."""

import numpy as np

from autograd._bfloat16 import rounded

EPS = 2.0**-24


def normal(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(np.float32)


def check(found, a, b, precision, start=0.0):
    """The sums of K rounded products and a start, up to gamma_K of their sizes (README.md).

    One more where BLAS rounds its float32 products before it adds them.
    """
    if precision == "bf16":
        a, b = rounded(np, a), rounded(np, b)
    a, b = a.astype(np.float64), b.astype(np.float64)
    n = a.shape[1] + (precision == "float32")
    size = np.abs(a) @ np.abs(b) + np.abs(start)
    error = np.abs(found - (a @ b + start))
    assert (error <= n * EPS / (1 - n * EPS) * size).all(), (error / size).max() / EPS
    return True
