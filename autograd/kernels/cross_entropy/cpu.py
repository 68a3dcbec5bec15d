"""Cross-entropy with numba: forward reads the logits once, backward reads and writes them once.

Neither the probabilities nor the one-hot matrix is ever stored.
"""

import math

import numpy as np

from autograd.kernels._functions import exp, exp_or_zero, maximum, minus_both
from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part


def forward(xp, logits, targets, ignore_index, reduction):
    N, V = logits.shape
    targets = targets.astype(np.int64, copy=False)  # one compiled version for every integer type
    dtype = logits.dtype
    losses, top, rest = np.empty(N, dtype), np.empty(N, dtype), np.empty(N, dtype)
    arrays = (logits, targets, ignore_index, losses, top, rest)
    parallel_rows(row_losses, N, rows_per_part(N, V), *arrays)
    return reduce(losses, targets, ignore_index, reduction), (top, rest)


def backward(xp, g, logits, targets, ignore_index, reduction, cache=None):
    N, V = logits.shape
    if cache is None:
        cache = forward(xp, logits, targets, ignore_index, "none")[1]
    targets = targets.astype(np.int64, copy=False)
    g_row = row_gradients(g, targets, ignore_index, reduction, logits.dtype)
    g_logits = np.empty_like(logits)
    arrays = (logits, targets, ignore_index, *cache, g_row, g_logits)
    parallel_rows(_backward, N, rows_per_part(N, V), *arrays)
    return g_logits


def reduce(losses, targets, ignore_index, reduction):
    """The losses of the rows, or their sum or mean."""
    if reduction == "none":
        return losses
    total = losses.sum()
    return total / max(1, count(targets, ignore_index)) if reduction == "mean" else total


def row_gradients(g, targets, ignore_index, reduction, dtype):
    """The gradient of each row's loss (N,), ignored rows included."""
    if reduction == "none":
        return g
    if reduction == "mean":
        g = g / max(1, count(targets, ignore_index))
    return np.full(len(targets), g, dtype)


def count(targets, ignore_index):
    return int(np.count_nonzero(targets != ignore_index))


@jit
def row_losses(logits, targets, ignore_index, losses, top, rest, start, stop):
    """The loss of each row, and its log-sum-exp in two parts, as in reference.py."""
    V = logits.shape[1]
    for i in range(start, stop):
        if targets[i] == ignore_index:
            losses[i], top[i], rest[i] = 0, 0, math.log(V)  # as if the row were zeros
            continue
        row = logits[i]
        largest = logits.dtype.type(-np.inf)
        for j in range(V):
            largest = maximum(largest, row[j])
        total = logits.dtype.type(0)
        for j in range(V):
            total += exp_or_zero(row[j] - largest)
        top[i], rest[i] = largest, np.log(total)
        losses[i] = minus_both(largest, row[targets[i]], -rest[i])


@jit
def _backward(logits, targets, ignore_index, top, rest, g_row, g_logits, start, stop):
    V = logits.shape[1]
    for i in range(start, stop):
        row, out = logits[i], g_logits[i]
        if targets[i] == ignore_index:
            out[:] = 0
            continue
        largest, more, g = top[i], rest[i], g_row[i]
        for j in range(V):
            out[j] = exp(minus_both(row[j], largest, more)) * g
        # The one-hot row, at its one place; p - 1 before the product, as p may be close to 1.
        p = exp(minus_both(row[targets[i]], largest, more))
        out[targets[i]] = (p - logits.dtype.type(1)) * g
