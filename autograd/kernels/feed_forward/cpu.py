"""The feed-forward layer with numba: one pass over the hidden array, a block's largest, each way.

The products are those of autograd/kernels/product, whose sums begin with the bias. Backward
computes GELU again, multiplies the gradient by the slope in place, and sums its rows for the bias,
while a row is in cache. At bf16 it takes a quarter of many rows at a time, and multiplies what GELU
gave before it goes on: that is a quarter of the hidden array's memory, instead of as much again.
(BLAS would be 1 % of a step slower with products in quarters.)
"""

import math

import numpy as np

from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part
from autograd.kernels.gelu.cpu import gelu_and_slope
from autograd.kernels.linear import cpu as linear
from autograd.kernels.product.cpu import Weight, empty, multiply

FEWEST = 1024
"""Rows whose activations are multiplied at a time, at least."""


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
    g_up_bias = np.zeros(hidden.shape[1], g.dtype)
    g_down_weight = g_up_weight = g_x = None
    for part in _parts(len(hidden), precision):
        activation, g_bias = _through_gelu(g_hidden[part], hidden[part], approximate)
        g_up_bias += g_bias
        if needs[3]:
            add_to = g_down_weight
            g_down_weight = linear.weight_gradient(g[part], activation, room, 3, precision, add_to)
        del activation  # before there is another
    if needs[1]:
        g_up_weight = linear.weight_gradient(g_hidden, rows, room, 1, precision)
    if needs[0]:  # last: the next backward finds it in cache
        g_x = empty(rows.shape, g.dtype)
        multiply(g_hidden, Weight(up_weight), g_x, precision)
        g_x = g_x.reshape(x.shape)
    return g_x, g_up_weight, g_up_bias, g_down_weight, g_down_bias


def _parts(N, precision):
    rows = max(FEWEST, -(-N // 4)) if precision == "bf16" else max(1, N)
    return [slice(i, min(i + rows, N)) for i in range(0, max(1, N), rows)]


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
