"""Gradient descent with numba: parameter and buffer are read and written once, in place.

NumPy makes eight passes and an array for each. There is hardly any arithmetic: the cost is that of
the memory.
"""

import numpy as np

from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part


def update(xp, p, g, buffer, lr, momentum, nesterov, weight_decay, grad_scale):
    constants = np.array((lr, momentum, weight_decay, grad_scale), p.dtype)
    arrays = (p.reshape(-1), g.reshape(-1), buffer.reshape(-1))
    parallel_rows(_update, p.size, rows_per_part(p.size, 1), *arrays, constants, nesterov)
    return p, buffer


@jit
def _update(p, g, buffer, constants, nesterov, start, stop):
    p, g, buffer = p[start:stop], g[start:stop], buffer[start:stop]
    rate, momentum, decay, grad_scale = constants[0], constants[1], constants[2], constants[3]
    for j in range(p.size):
        gj = g[j] * grad_scale + decay * p[j]
        buffer[j] = momentum * buffer[j] + gj
        p[j] -= rate * (gj + momentum * buffer[j] if nesterov else buffer[j])
