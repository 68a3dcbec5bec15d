"""Softmax with numba: maximum, exponentials, sum and quotient while the row is in cache."""

import math

import numpy as np

from autograd.kernels._functions import exp, maximum
from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part


def forward(xp, x):
    *lead, V = x.shape
    y = np.empty_like(x)
    N = math.prod(lead)
    parallel_rows(_forward, N, rows_per_part(N, V), x.reshape(N, V), y.reshape(N, V))
    return y


def backward(xp, g, y):
    *lead, V = y.shape
    g_x = np.empty_like(y)
    N = math.prod(lead)
    arrays = (g.reshape(N, V), y.reshape(N, V), g_x.reshape(N, V))
    parallel_rows(_backward, N, rows_per_part(N, V), *arrays)
    return g_x


@jit
def _forward(x, y, start, stop):
    V = x.shape[1]
    for i in range(start, stop):
        row, out = x[i], y[i]
        # The sum comes from a loop over out alone. A loop that reads row and writes out runs one
        # number at a time where out lies right behind row, and would add up in another order.
        top = x.dtype.type(-np.inf)
        for j in range(V):
            out[j] = row[j]
            top = maximum(top, row[j])
        total = x.dtype.type(0)
        for j in range(V):
            e = exp(out[j] - top)
            out[j] = e
            total += e
        scale = x.dtype.type(1) / total
        for j in range(V):
            out[j] *= scale


@jit
def _backward(g, y, g_x, start, stop):
    V = y.shape[1]
    for i in range(start, stop):
        g_row, row, out = g[i], y[i], g_x[i]
        along = y.dtype.type(0)
        for j in range(V):
            along += g_row[j] * row[j]
        for j in range(V):
            out[j] = row[j] * (g_row[j] - along)
