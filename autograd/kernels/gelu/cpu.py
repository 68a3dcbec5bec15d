"""GELU with numba, one pass: NumPy makes eighteen for tanh, with the bias, and forty for erf.

The bias of the linear layer before it is added on the way in, and the sum over rows that is its
gradient on the way out: either would be a pass over the largest array of a transformer. Backward
multiplies the gradient that came in, in place: ``spare`` is that array where nobody else needs it.
Where the output is wanted ``again`` it makes it while the row of x is in cache.

Infinity is clipped as in reference.py, to where the curve is straight.
"""

import math

import numpy as np

from autograd.kernels._functions import erf, exp
from autograd.kernels._jit import jit, part
from autograd.kernels._threads import parallel_rows, rows_per_part

FAR = 40.0
ROW = 4096
TWICE_ROOT = 2 * math.sqrt(2 / math.pi)
CUBIC = 0.044715
PER_ROOT_2 = 1 / math.sqrt(2)
PER_ROOT_2_PI = 1 / math.sqrt(2 * math.pi)


def forward(xp, x, approximate, bias=None):
    y = np.empty_like(x)
    rows, added = _rows(x, bias)
    kernel = _forward_tanh if approximate == "tanh" else _forward_erf
    arrays = (rows, added, y.reshape(rows.shape))
    parallel_rows(kernel, len(rows), rows_per_part(*rows.shape), *arrays)
    return y


def backward(xp, g, x, approximate, bias=None, spare=None, again=False, room=None):
    if room is not None:
        spare = room.reusable_g
    g_x = np.empty_like(g) if spare is None else spare
    rows, added = _rows(x, bias)
    step = rows_per_part(*rows.shape)
    parts = np.zeros((-(-len(rows) // step), len(added)), x.dtype)  # g_bias of each part
    y = np.empty(rows.shape if again else (0, 0), x.dtype)
    arrays = (spare is None, g_x.reshape(rows.shape), rows, added, y, parts, step)
    kernel = _backward_tanh if approximate == "tanh" else _backward_erf
    parallel_rows(kernel, len(rows), step, g.reshape(rows.shape), *arrays)
    g_bias = None if bias is None else parts.sum(axis=0)
    return g_x, g_bias, y.reshape(x.shape) if again else None


def _rows(x, bias):
    """x as rows, and what is added to each: the bias, or zeros for rows of a handy length."""
    if bias is None:
        length = max(math.gcd(x.size, ROW), x.shape[-1] if x.ndim else 1)
        bias = np.zeros(length, x.dtype)
    return x.reshape(x.size // max(1, len(bias)), len(bias)), bias


@part
def _clip_left(x):
    far = type(x)(-FAR)
    return far if x < far else x


@part
def _clip(x):
    far = type(x)(FAR)
    x = far if x > far else x
    return -far if x < -far else x


@part
def _sigmoid_2u(x):
    """(1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3)."""
    one = type(x)(1)
    return one / (one + exp(-type(x)(TWICE_ROOT) * (x + type(x)(CUBIC) * x * x * x)))


@part
def _tanh_pair(u):
    """GELU(u) and its slope. The compiler drops the one that is not used."""
    F = type(u)
    v = _clip(u)
    s = _sigmoid_2u(v)
    slope = F(TWICE_ROOT) * (F(1) + F(3 * CUBIC) * v * v)
    return _clip_left(u) * s, s + v * s * (F(1) - s) * slope


@part
def _erf_pair(u):
    F = type(u)
    v = _clip(u)
    below = F(0.5) * (F(1) + erf(v * F(PER_ROOT_2)))
    return _clip_left(u) * below, below + v * exp(F(-0.5) * v * v) * F(PER_ROOT_2_PI)


@jit
def _forward_tanh(x, bias, y, start, stop):
    for i in range(start, stop):
        row, out = x[i], y[i]
        for j in range(len(row)):
            out[j] = _tanh_pair(row[j] + bias[j])[0]


@jit
def _backward_tanh(g, copied, g_x, x, bias, y, parts, step, start, stop):
    g_bias = parts[start // step]
    for i in range(start, stop):
        row, g_row = x[i], g_x[i]
        if copied:
            g_row[:] = g[i]
        if len(y):
            out = y[i]
            for j in range(len(row)):
                out[j], slope = _tanh_pair(row[j] + bias[j])
                g_row[j] *= slope
        else:
            for j in range(len(row)):
                g_row[j] *= _tanh_pair(row[j] + bias[j])[1]
        for j in range(len(row)):
            g_bias[j] += g_row[j]


@jit
def _forward_erf(x, bias, y, start, stop):
    for i in range(start, stop):
        row, out = x[i], y[i]
        for j in range(len(row)):
            out[j] = _erf_pair(row[j] + bias[j])[0]


@jit
def _backward_erf(g, copied, g_x, x, bias, y, parts, step, start, stop):
    g_bias = parts[start // step]
    for i in range(start, stop):
        row, g_row = x[i], g_x[i]
        if copied:
            g_row[:] = g[i]
        if len(y):
            out = y[i]
            for j in range(len(row)):
                out[j], slope = _erf_pair(row[j] + bias[j])
                g_row[j] *= slope
        else:
            for j in range(len(row)):
                g_row[j] *= _erf_pair(row[j] + bias[j])[1]
        for j in range(len(row)):
            g_bias[j] += g_row[j]
