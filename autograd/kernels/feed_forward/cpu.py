"""The feed-forward layer with numba: one pass over the hidden array, a block's largest, each way.

Forward adds the first bias in the loop that computes GELU. Backward computes GELU again, multiplies
the gradient by the slope in place, and sums its rows for that bias, while a row is in cache. The
matrix products are BLAS's.
"""

import math

import numpy as np

from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part
from autograd.kernels.gelu.cpu import gelu_and_slope
from autograd.kernels.linear import cpu as linear


def forward(xp, x, up_weight, up_bias, down_weight, down_bias, approximate):
    *lead, K = x.shape
    hidden = np.matmul(x.reshape(math.prod(lead), K), up_weight.T)  # (N, M), without its bias
    N, M = hidden.shape
    activation = np.empty_like(hidden)
    arrays = (hidden, up_bias, activation)
    parallel_rows(_add_bias, N, rows_per_part(N, M), *arrays, approximate == "tanh")
    y = linear.forward(xp, activation, down_weight, down_bias)  # (N, C)
    return y.reshape(*lead, len(down_weight)), hidden


def backward(
    xp, g, x, up_weight, up_bias, down_weight, approximate, cache=None, needs=(True,) * 5, room=None
):
    rows, g = (a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) for a in (x, g))
    hidden = np.matmul(rows, up_weight.T) + up_bias if cache is None else cache
    g_hidden, _, g_down_bias = linear.backward(xp, g, None, down_weight, (True, False, needs[4]))
    activation, g_up_bias = _through_gelu(g_hidden, hidden, approximate)
    g_down_weight = g_up_weight = g_x = None
    if needs[3]:
        g_down_weight = linear.weight_gradient(g, activation, room, 3)
    del activation  # as large as the hidden array: not longer than needed
    if needs[1]:
        g_up_weight = linear.weight_gradient(g_hidden, rows, room, 1)
    if needs[0]:  # last: the next backward finds it in cache
        g_x = np.matmul(g_hidden, up_weight).reshape(x.shape)
    return g_x, g_up_weight, g_up_bias, g_down_weight, g_down_bias


def _through_gelu(g, hidden, approximate):
    """GELU(hidden), and the gradient of the bias; ``g`` becomes the gradient of ``hidden``."""
    N, M = hidden.shape
    activation = np.empty_like(hidden)
    step = rows_per_part(N, M)
    parts = np.zeros((-(-N // step), M), g.dtype)  # the bias's gradient of each part
    arrays = (g, hidden, activation, parts, step)
    parallel_rows(_times_slope, N, step, *arrays, approximate == "tanh")
    return activation, parts.sum(axis=0)


@jit
def _add_bias(hidden, bias, activation, tanh, start, stop):
    """Add the bias to ``hidden``, in place, and compute GELU of the sum."""
    for i in range(start, stop):
        row, out = hidden[i], activation[i]
        for j in range(len(row)):
            row[j] += bias[j]
            out[j] = gelu_and_slope(row[j], tanh)[0]


@jit
def _times_slope(g, hidden, activation, parts, step, tanh, start, stop):
    """Multiply ``g`` by GELU's slope, in place, sum its rows, and compute GELU of ``hidden``."""
    g_bias = parts[start // step]
    for i in range(start, stop):
        g_row, row, out = g[i], hidden[i], activation[i]
        for j in range(len(row)):
            out[j], slope = gelu_and_slope(row[j], tanh)
            g_row[j] *= slope
        for j in range(len(row)):
            g_bias[j] += g_row[j]
