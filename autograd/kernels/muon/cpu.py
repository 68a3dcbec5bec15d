"""Muon with BLAS: an iteration is three products, and no array is made in it.

The polynomial is gathered in the smaller of the matrices, so that x is only multiplied by it:

    x <- (a + b s + c s^2) x        s = x x^T, or for a tall x:  x <- x (a + b s + c s^2), s = x^T x

s and s^2 are symmetric products m m^T, of which BLAS computes one half (NumPy calls its syrk). The
momentum and the step are one pass each, in place.
"""

import numpy as np

from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part
from autograd.kernels.adamw.cpu import square_sum


def update(
    xp, p, g, buffer, lr, momentum, nesterov, weight_decay, grad_scale, steps, factor, parts
):
    direction = np.empty_like(p)
    constants = np.array((momentum, 1 - momentum, grad_scale), p.dtype)
    rows = rows_per_part(p.size, 1)
    arrays = (g.reshape(-1), buffer.reshape(-1), direction.reshape(-1))
    parallel_rows(_momentum, p.size, rows, *arrays, constants, nesterov)

    matrices = direction.reshape(parts, p.shape[0] // parts, p.shape[1])  # (P, R, K)
    direction = orthogonalize(xp, matrices, steps).reshape(-1)
    constants = np.array((1 - lr * weight_decay, lr * factor), p.dtype)
    parallel_rows(_move, p.size, rows, p.reshape(-1), direction, constants)
    return p, buffer


def orthogonalize(xp, x, steps):
    result = np.empty_like(x)
    R, K = x.shape[-2:]
    if x.size:
        n = min(R, K)
        room = np.empty((R, K), x.dtype), np.empty((n, n), x.dtype), np.empty((n, n), x.dtype)
        for matrix, out in zip(x.reshape(-1, R, K), result.reshape(-1, R, K), strict=True):
            _newton_schulz(xp, matrix, steps, out, *room)
    return result


def _newton_schulz(xp, x, steps, out, other, s, polynomial):
    """``out`` becomes x (R, K) after ``steps`` iterations; the last three arrays are room."""
    tall = x.shape[0] > x.shape[1]
    a, b, c = (x.dtype.type(number) for number in (3.4445, -4.7750, 2.0315))
    diagonal = polynomial.reshape(-1)[:: len(polynomial) + 1]
    now, new = (out, other) if steps % 2 == 0 else (other, out)  # so that it ends in ``out``
    np.divide(x, x.dtype.type(max(np.sqrt(square_sum(xp, x)), 1e-7)), out=now)
    for _ in range(steps):
        np.matmul(*((now.T, now) if tall else (now, now.T)), out=s)
        np.matmul(s, s.T, out=polynomial)
        polynomial *= c
        s *= b
        polynomial += s
        diagonal += a
        np.matmul(*((now, polynomial) if tall else (polynomial, now)), out=new)
        now, new = new, now


@jit
def _momentum(g, buffer, direction, constants, nesterov, start, stop):
    g, buffer, direction = g[start:stop], buffer[start:stop], direction[start:stop]
    momentum, new, grad_scale = constants[0], constants[1], constants[2]
    for j in range(g.size):
        gj = g[j] * grad_scale
        buffer[j] = momentum * buffer[j] + new * gj
        direction[j] = momentum * buffer[j] + new * gj if nesterov else buffer[j]


@jit
def _move(p, direction, constants, start, stop):
    p, direction = p[start:stop], direction[start:stop]
    decay, rate = constants[0], constants[1]
    for j in range(p.size):
        p[j] = p[j] * decay - rate * direction[j]
