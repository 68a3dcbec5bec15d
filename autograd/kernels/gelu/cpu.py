"""GELU with numba, one pass: NumPy makes about ten for tanh and forty for erf.

Infinity is clipped as in reference.py, to where the curve is straight.
"""

import math

import numpy as np

from autograd.kernels._numba import erf, exp, jit, parallel_rows, rows_per_part

FAR = 40.0
TWICE_ROOT = 2 * math.sqrt(2 / math.pi)
CUBIC = 0.044715
PER_ROOT_2 = 1 / math.sqrt(2)
PER_ROOT_2_PI = 1 / math.sqrt(2 * math.pi)


def forward(xp, x, approximate):
    y = np.empty_like(x)
    kernel = _forward_tanh if approximate == "tanh" else _forward_erf
    parallel_rows(kernel, x.size, rows_per_part(x.size, 1), x.reshape(-1), y.reshape(-1))
    return y


def backward(xp, g, x, approximate):
    g_x = np.empty_like(x)
    kernel = _backward_tanh if approximate == "tanh" else _backward_erf
    arrays = (g.reshape(-1), x.reshape(-1), g_x.reshape(-1))
    parallel_rows(kernel, x.size, rows_per_part(x.size, 1), *arrays)
    return g_x


@jit
def _clip_left(x):
    far = type(x)(-FAR)
    return far if x < far else x


@jit
def _clip(x):
    far = type(x)(FAR)
    x = far if x > far else x
    return -far if x < -far else x


@jit
def _sigmoid_2u(x):
    """(1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3)."""
    one = type(x)(1)
    return one / (one + exp(-type(x)(TWICE_ROOT) * (x + type(x)(CUBIC) * x * x * x)))


@jit
def _forward_tanh(x, y, start, stop):
    x, y = x[start:stop], y[start:stop]  # from 0 up: no index can be negative
    for j in range(x.size):
        y[j] = _clip_left(x[j]) * _sigmoid_2u(_clip(x[j]))


@jit
def _backward_tanh(g, x, g_x, start, stop):
    g, x, g_x = g[start:stop], x[start:stop], g_x[start:stop]
    F = x.dtype.type
    for j in range(x.size):
        v = _clip(x[j])
        s = _sigmoid_2u(v)
        slope = F(TWICE_ROOT) * (F(1) + F(3 * CUBIC) * v * v)
        g_x[j] = g[j] * (s + v * s * (F(1) - s) * slope)


@jit
def _forward_erf(x, y, start, stop):
    x, y = x[start:stop], y[start:stop]
    F = x.dtype.type
    for j in range(x.size):
        v = _clip_left(x[j])
        y[j] = v * (F(0.5) * (F(1) + erf(v * F(PER_ROOT_2))))


@jit
def _backward_erf(g, x, g_x, start, stop):
    g, x, g_x = g[start:stop], x[start:stop], g_x[start:stop]
    F = x.dtype.type
    for j in range(x.size):
        v = _clip(x[j])
        below = F(0.5) * (F(1) + erf(v * F(PER_ROOT_2)))
        g_x[j] = g[j] * (below + v * exp(F(-0.5) * v * v) * F(PER_ROOT_2_PI))
