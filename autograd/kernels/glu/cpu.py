"""Gated linear units with numba: one pass over memory each way.

Backward reads g, a and b once and writes both gradients: that of b over g, where no one else needs
it, and otherwise over a copy of it.
"""

import numpy as np

from autograd.kernels._functions import exp_or_zero
from autograd.kernels._jit import jit, part
from autograd.kernels._threads import parallel_rows, rows_per_part
from autograd.kernels.gelu.cpu import gelu_and_slope

SILU_FAR = 800.0


def forward(xp, a, b, activation):
    y = np.empty_like(a)
    _in_parts(_forward, a, b, y, activation)
    return y


def backward(xp, g, a, b, activation, room=None):
    in_place = room is not None and room.reusable_g is not None
    g_b = g if in_place else g.copy()
    g_a = np.empty_like(a)
    _in_parts(_backward, g_b, a, b, g_a, activation)
    return g_a, g_b


def _in_parts(kernel, *arrays_and_activation):
    *arrays, activation = arrays_and_activation
    n, flat = arrays[0].size, [array.reshape(-1) for array in arrays]
    options = activation == "silu", activation == "gelu_tanh"
    parallel_rows(kernel, n, rows_per_part(n, 1), *flat, *options)


@part
def _act(a, silu, tanh):
    """The activation and its slope; which one is asked once, outside of the loop."""
    return silu_and_slope(a) if silu else gelu_and_slope(a, tanh)


@part
def silu_and_slope(x):
    F = type(x)
    far = F(SILU_FAR)
    left = -far if x < -far else x
    inside = far if left > far else left
    s = F(1) / (F(1) + exp_or_zero(-inside))
    return left * s, s + inside * s * (F(1) - s)


@jit
def _forward(a, b, y, silu, tanh, start, stop):
    a, b, y = a[start:stop], b[start:stop], y[start:stop]  # indices from 0 on can be vectorized
    for i in range(len(y)):
        y[i] = _act(a[i], silu, tanh)[0] * b[i]


@jit
def _backward(g, a, b, g_a, silu, tanh, start, stop):
    g, a, b, g_a = g[start:stop], a[start:stop], b[start:stop], g_a[start:stop]
    for i in range(len(g)):
        value, slope = _act(a[i], silu, tanh)
        g_a[i] = g[i] * b[i] * slope
        g[i] *= value
