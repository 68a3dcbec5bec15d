"""Root mean square normalization with numba: a row stays in cache while it is read twice.

NumPy makes four passes over memory and as many temporaries; here x is read once and y written once.
The gradient of the weight is a sum over rows: each part of the rows computes its own sum, in the
same pass as g_x, and these are added at the end in the order of the parts.
"""

import math

import numpy as np

from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part


def forward(xp, x, weight, eps):
    *lead, C = x.shape
    rows = x.reshape(math.prod(lead), C)
    y, r = np.empty_like(rows), np.empty(len(rows), x.dtype)
    arrays = (rows, weight, x.dtype.type(eps), y, r)
    parallel_rows(_forward, len(rows), rows_per_part(len(rows), C), *arrays)
    return y.reshape(x.shape), (r.reshape(*lead, 1),)


def backward(xp, g, x, weight, eps, cache=None, needs=(True, True)):
    *lead, C = x.shape
    N = math.prod(lead)
    if cache is None:
        cache = forward(xp, x, weight, eps)[1]
    step = rows_per_part(N, C)
    g_x = np.empty((N, C), x.dtype)
    parts = np.zeros((-(-N // step), C), x.dtype)  # g_weight of each part
    arrays = (g.reshape(N, C), x.reshape(N, C), weight, cache[0].reshape(N), g_x, parts, step)
    parallel_rows(_backward, N, step, *arrays)
    return (
        g_x.reshape(x.shape) if needs[0] else None,
        parts.sum(axis=0) if needs[1] else None,
    )


@jit
def _forward(x, weight, eps, y, r, start, stop):
    C = x.shape[1]
    size = x.dtype.type(C)
    for i in range(start, stop):
        row, out = x[i], y[i]
        total = x.dtype.type(0)
        for j in range(C):
            total += row[j] * row[j]
        r[i] = x.dtype.type(1) / np.sqrt(total / size + eps)
        for j in range(C):
            out[j] = row[j] * r[i] * weight[j]


@jit
def _backward(g, x, weight, r, g_x, weight_parts, step, start, stop):
    C = x.shape[1]
    size = x.dtype.type(C)
    g_weight = weight_parts[start // step]
    for i in range(start, stop):
        row, g_row, out, scale = x[i], g[i], g_x[i], r[i]
        along_norm = x.dtype.type(0)
        for j in range(C):
            norm = row[j] * scale
            along_norm += g_row[j] * weight[j] * norm
            g_weight[j] += g_row[j] * norm
        along_norm /= size
        for j in range(C):
            out[j] = scale * (g_row[j] * weight[j] - row[j] * scale * along_norm)
