"""Dropout with numba: one pass; NumPy makes two and needs a temporary."""

import numpy as np

from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part


def forward(xp, x, keep, p):
    scale = x.dtype.type(1 / (1 - p) if p < 1 else 0.0)
    y = np.empty_like(x)
    arrays = (x.reshape(-1), keep.reshape(-1), scale, y.reshape(-1))
    parallel_rows(_scale, x.size, rows_per_part(x.size, 1), *arrays)
    return y


def backward(xp, g, keep, p):
    return forward(xp, g, keep, p)


@jit
def _scale(x, keep, scale, y, start, stop):
    x, keep, y = x[start:stop], keep[start:stop], y[start:stop]
    for j in range(x.size):
        y[j] = x[j] * scale if keep[j] else x.dtype.type(0)
