"""AdamW with numba: parameter and moments are read and written once, in place, with no temporary.

NumPy makes sixteen passes. The arithmetic is negligible: the cost is that of the memory.
"""

import numpy as np

from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part


def update(xp, p, g, m, v, lr, beta1, beta2, eps, weight_decay, step, grad_scale):
    scalars = (
        beta1,
        beta2,
        1 - beta1,
        1 - beta2,
        eps,
        1 - lr * weight_decay,
        lr / (1 - beta1**step),
        1 / (1 - beta2**step),
        grad_scale,
    )
    arrays = (p.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1))
    constants = np.array(scalars, p.dtype)  # one argument instead of nine
    parallel_rows(_update, p.size, rows_per_part(p.size, 1), *arrays, constants)
    return p, m, v


def square_sum(xp, g):
    step = rows_per_part(g.size, 1)
    parts = np.zeros(-(-g.size // step))
    parallel_rows(_square_sum, g.size, step, g.reshape(-1), parts, step)
    return parts.sum()


@jit
def _square_sum(g, parts, step, start, stop):
    g, total = g[start:stop], 0.0
    for j in range(g.size):
        number = np.float64(g[j])
        total += number * number
    parts[start // step] = total


@jit
def _update(p, g, m, v, constants, start, stop):
    p, g, m, v = p[start:stop], g[start:stop], m[start:stop], v[start:stop]
    beta1, beta2 = constants[0], constants[1]
    new1, new2 = constants[2], constants[3]
    eps, decay, rate = constants[4], constants[5], constants[6]
    per_correction2, grad_scale = constants[7], constants[8]
    for j in range(p.size):
        gj = g[j] * grad_scale
        mj = beta1 * m[j] + new1 * gj
        vj = beta2 * v[j] + new2 * gj * gj
        m[j], v[j] = mj, vj
        p[j] = p[j] * decay - rate * mj / (np.sqrt(vj * per_correction2) + eps)
