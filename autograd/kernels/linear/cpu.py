"""x W^T + b, by the product of autograd/kernels/product.

The bias is where the product's sums begin, and the gradient of the weight is added to the buffer of
an earlier gradient, if there is one: neither needs a pass of its own over memory.
"""

import math

import numpy as np

from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part
from autograd.kernels.product.cpu import Weight, empty, multiply


def forward(xp, x, weight, bias, precision="float32"):
    *lead, K = x.shape
    N, M = math.prod(lead), len(weight)
    y = empty((N, M), x.dtype)
    multiply(x.reshape(N, K), Weight(weight, turned=True), y, precision, bias)
    return y.reshape(*lead, M)


def backward(xp, g, x, weight, needs=(True, True, True), room=None, precision="float32"):
    *lead, M = g.shape
    N = math.prod(lead)
    g = g.reshape(N, M)
    g_x = g_weight = g_bias = None
    if needs[2]:  # first, while g is in cache
        step = rows_per_part(N, M)
        parts = np.zeros((-(-N // step), M), g.dtype)
        parallel_rows(_sum_rows, N, step, g, parts, step)
        g_bias = parts.sum(axis=0)
    if needs[1]:
        g_weight = weight_gradient(g, x.reshape(N, x.shape[-1]), room, 1, precision)
    if needs[0]:  # last: the next backward finds it in cache
        g_x = empty((N, weight.shape[1]), g.dtype)
        multiply(g, Weight(weight), g_x, precision)
        g_x = g_x.reshape(*lead, weight.shape[1])
    return g_x, g_weight, g_bias


def weight_gradient(g, rows, room, i, precision, buffer=None):
    """g^T rows, added to ``buffer`` or to the gradient that input ``i``, the weight, has so far."""
    if buffer is None and room is not None:
        buffer = room.claim_buffer(i)
    g_weight = empty((g.shape[1], rows.shape[1]), g.dtype) if buffer is None else buffer
    multiply(g.T, rows, g_weight, precision, add=buffer is not None)
    return g_weight


@jit
def _sum_rows(g, parts, step, start, stop):
    total = parts[start // step]
    for i in range(start, stop):
        row = g[i]
        for j in range(len(row)):
            total[j] += row[j]
