"""Layer normalization with numba: a row stays in cache while it is read two or three times.

NumPy makes twelve passes over memory and as many temporaries; here x is read once and y written
once. The gradients of weight and bias are sums over rows: each part of the rows computes its own
sum, in the same pass as g_x, and these are added at the end in the order of the parts.

If it may work in place, backward writes g_x over the incoming gradient (``spare``) and adds the
gradient that x has received so far (``plus``): in a transformer that is the gradient of the whole
residual stream, and adding it later would be one more pass over both.

The mean has two parts, as in reference.py; ``minus_both`` subtracts them in the right order.
"""

import math

import numpy as np

from autograd.kernels._functions import maximum, minus_both
from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part


def forward(xp, x, weight, bias, eps):
    *lead, C = x.shape
    rows = x.reshape(math.prod(lead), C)
    y = np.empty_like(rows)
    N = len(rows)
    mean, rest, rstd = np.empty(N, x.dtype), np.empty(N, x.dtype), np.empty(N, x.dtype)
    step = rows_per_part(N, C)
    eps = x.dtype.type(eps)
    parallel_rows(_forward, N, step, rows, weight, bias, eps, y, mean, rest, rstd)
    one = (*lead, 1)
    return y.reshape(x.shape), (mean.reshape(one), rest.reshape(one), rstd.reshape(one))


def backward(xp, g, x, weight, eps, cache=None, needs=(True, True, True), room=None):
    *lead, C = x.shape
    N = math.prod(lead)
    if cache is None:
        cache = forward(xp, x, weight, weight, eps)[1]  # any bias will do: only y depends on it
    mean, rest, rstd = cache[0].reshape(N), cache[1].reshape(N), cache[2].reshape(N)
    step = rows_per_part(N, C)
    spare, plus = (None, None) if room is None else (room.reusable_g, room.claim_partial(0))
    g_x = (np.empty_like(g) if spare is None else spare).reshape(N, C)
    parts = np.zeros((2, -(-N // step), C), x.dtype)  # g_weight and g_bias of each part
    plus_rows = np.empty((0, C), x.dtype) if plus is None else plus.reshape(N, C)
    arrays = (x.reshape(N, C), weight, mean, rest, rstd, plus_rows, parts[0], parts[1], step)
    parallel_rows(_backward, N, step, g.reshape(N, C), spare is None, g_x, *arrays)
    return (
        g_x.reshape(x.shape) if needs[0] else None,
        parts[0].sum(axis=0) if needs[1] else None,
        parts[1].sum(axis=0) if needs[2] else None,
    )


@jit
def _forward(x, weight, bias, eps, y, mean, rest, rstd, start, stop):
    C = x.shape[1]
    zero, size = x.dtype.type(0), x.dtype.type(C)
    for i in range(start, stop):
        row, out = x[i], y[i]
        total = zero
        for j in range(C):
            total += row[j]
        m = total / size
        total, squares = zero, zero
        for j in range(C):
            d = minus_both(row[j], m, zero)
            total += d
            squares += d * d
        m2 = total / size
        var = maximum(squares / size - m2 * m2, zero)  # around m + m2, not around m
        r = x.dtype.type(1) / np.sqrt(var + eps)
        for j in range(C):
            out[j] = minus_both(row[j], m, m2) * r * weight[j] + bias[j]
        mean[i], rest[i], rstd[i] = m, m2, r


@jit
def _backward(
    g, copied, g_x, x, weight, mean, rest, rstd, plus, weight_parts, bias_parts, step, start, stop
):
    """Each row of g, ``copied`` to g_x unless it is there already, becomes a row of g_x."""
    C = x.shape[1]
    zero, size = x.dtype.type(0), x.dtype.type(C)
    g_weight, g_bias = weight_parts[start // step], bias_parts[start // step]
    for i in range(start, stop):
        row, g_row = x[i], g_x[i]
        if copied:
            g_row[:] = g[i]
        m, m2, r = mean[i], rest[i], rstd[i]
        along_ones, along_norm = zero, zero
        for j in range(C):
            norm = minus_both(row[j], m, m2) * r
            g_norm = g_row[j] * weight[j]
            along_ones += g_norm
            along_norm += g_norm * norm
            g_weight[j] += g_row[j] * norm
            g_bias[j] += g_row[j]
        along_ones /= size
        along_norm /= size
        for j in range(C):
            norm = minus_both(row[j], m, m2) * r
            g_row[j] = r * (g_row[j] * weight[j] - along_ones - norm * along_norm)
        if len(plus):
            more = plus[i]
            for j in range(C):
                g_row[j] += more[j]
