"""x W^T + b, where y is filled with b first and the product is added to it.

BLAS fills its output with zeros before it adds the first products. Filling it with the bias instead
saves a pass that would read and write y again. For the same reason BLAS adds the gradient of the
weight to the buffer of an earlier gradient, if there is one.
"""

import math

import numpy as np

from autograd.kernels._gemm import gemm_all_threads
from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part


def forward(xp, x, weight, bias):
    *lead, K = x.shape
    N, M = math.prod(lead), len(weight)
    y = np.empty((N, M), x.dtype)
    if bias is None:
        np.matmul(x.reshape(N, K), weight.T, out=y)
    else:
        parallel_rows(_fill, N, rows_per_part(N, M), y, bias)
        gemm_all_threads(x.reshape(N, K), weight.T, y, True)
    return y.reshape(*lead, M)


def backward(xp, g, x, weight, needs=(True, True, True), room=None):
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
        g_weight = weight_gradient(g, x.reshape(N, x.shape[-1]), room, 1)
    if needs[0]:  # last: the next backward finds it in cache
        g_x = np.matmul(g, weight).reshape(*lead, weight.shape[1])
    return g_x, g_weight, g_bias


def weight_gradient(g, rows, room, i):
    """g^T rows, added into the gradient that input ``i``, the weight, has so far, if it has one."""
    buffer = None if room is None else room.claim_buffer(i)
    g_weight = np.empty((g.shape[1], rows.shape[1]), g.dtype) if buffer is None else buffer
    gemm_all_threads(g.T, rows, g_weight, buffer is not None)
    return g_weight


@jit
def _fill(y, bias, start, stop):
    for i in range(start, stop):
        row = y[i]
        for j in range(len(row)):
            row[j] = bias[j]


@jit
def _sum_rows(g, parts, step, start, stop):
    total = parts[start // step]
    for i in range(start, stop):
        row = g[i]
        for j in range(len(row)):
            total[j] += row[j]
