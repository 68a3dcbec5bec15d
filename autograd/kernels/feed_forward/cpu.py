"""The feed-forward layer with numba: one pass over the hidden array, a block's largest, each way.

The products are those of autograd/kernels/product, whose sums begin with the bias. Backward
computes GELU again, multiplies the gradient by the slope in place, and sums its rows for the bias,
while a row is in cache.
"""

import math

import numpy as np

from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part
from autograd.kernels.gelu.cpu import gelu_and_slope
from autograd.kernels.linear import cpu as linear
from autograd.kernels.product.cpu import Weight, empty, multiply


def forward(xp, x, up_weight, up_bias, down_weight, down_bias, approximate, precision="float32"):
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    hidden = linear.forward(xp, rows, up_weight, up_bias, precision)  # (N, M)
    N, M = hidden.shape
    activation = empty((N, M), hidden.dtype)
    parallel_rows(_gelu, N, rows_per_part(N, M), hidden, activation, approximate == "tanh")
    y = linear.forward(xp, activation, down_weight, down_bias, precision)  # (N, C)
    return y.reshape(*x.shape[:-1], len(down_weight)), hidden


def backward(
    xp, g, x, up_weight, up_bias, down_weight, approximate, cache=None, needs=(True,) * 5,
    room=None, precision="float32",
):  # fmt: skip
    rows, g = (a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) for a in (x, g))
    hidden = cache
    if hidden is None:
        hidden = linear.forward(xp, rows, up_weight, up_bias, precision)
    only_x_and_bias = (True, False, needs[4])
    g_hidden, _, g_down_bias = linear.backward(
        xp, g, None, down_weight, only_x_and_bias, precision=precision
    )
    activation, g_up_bias = _through_gelu(g_hidden, hidden, approximate)
    g_down_weight = g_up_weight = g_x = None
    if needs[3]:
        g_down_weight = linear.weight_gradient(g, activation, room, 3, precision)
    del activation  # as large as the hidden array: not longer than needed
    if needs[1]:
        g_up_weight = linear.weight_gradient(g_hidden, rows, room, 1, precision)
    if needs[0]:  # last: the next backward finds it in cache
        g_x = empty(rows.shape, g.dtype)
        multiply(g_hidden, Weight(up_weight), g_x, precision)
        g_x = g_x.reshape(x.shape)
    return g_x, g_up_weight, g_up_bias, g_down_weight, g_down_bias


def _through_gelu(g, hidden, approximate):
    """GELU(hidden), and the gradient of the bias; ``g`` becomes the gradient of ``hidden``."""
    N, M = hidden.shape
    activation = empty((N, M), hidden.dtype)
    step = rows_per_part(N, M)
    parts = np.zeros((-(-N // step), M), g.dtype)  # the bias's gradient of each part
    arrays = (g, hidden, activation, parts, step)
    parallel_rows(_times_slope, N, step, *arrays, approximate == "tanh")
    return activation, parts.sum(axis=0)


@jit
def _gelu(hidden, activation, tanh, start, stop):
    for i in range(start, stop):
        row, out = hidden[i], activation[i]
        for j in range(len(row)):
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
