"""Attention between its products: loops over one row of scores, of one query.

The compiler knows that a row is contiguous, and takes 16 numbers at a time.
"""

import numpy as np

from autograd.kernels._functions import exp_or_zero, maximum, tanh
from autograd.kernels._jit import inner_part, part


@part
def largest_of(row):
    largest = row.dtype.type(-np.inf)
    for j in range(len(row)):
        largest = maximum(largest, row[j])
    return largest


@part
def exponentials(row, largest):
    """Scores become exp(score - largest), 0 for the future; returns their sum."""
    total = row.dtype.type(0)
    for j in range(len(row)):
        e = exp_or_zero(row[j] - largest)
        row[j] = e
        total += e
    return total


@part
def divide(y, total):
    weight = y.dtype.type(1) / total
    for d in range(len(y)):
        y[d] *= weight


@inner_part
def multiply_by(row, factor):
    for j in range(len(row)):
        row[j] *= factor


@part
def inner(g, y):
    total = y.dtype.type(0)
    for d in range(len(y)):
        total += g[d] * y[d]
    return total


@part
def gradients(row, g_row, along, largest, total):
    """Scores become weights, and their gradients those of the scores, but for the scale."""
    weight = row.dtype.type(1) / total
    for j in range(len(row)):
        p = exp_or_zero(row[j] - largest) * weight
        row[j] = p
        g_row[j] = p * (g_row[j] - along)


@part
def weigh(row, largest, total):
    """Scores become weights."""
    weight = row.dtype.type(1) / total
    for j in range(len(row)):
        row[j] = exp_or_zero(row[j] - largest) * weight


@part
def times_jacobian(row, g_row):
    """Gradients of the weights in ``row`` become those of the scores: the softmax's rule."""
    along = inner(row, g_row)
    for j in range(len(row)):
        g_row[j] = row[j] * (g_row[j] - along)


@part
def cap_scores(row, cap):
    per_cap = row.dtype.type(1) / cap
    for j in range(len(row)):
        row[j] = cap * tanh(row[j] * per_cap)


@part
def hide_after(row, key):
    """Set the scores of the keys after column ``key`` to minus infinity."""
    for j in range(len(row)):
        row[j] = row[j] if j <= key else row.dtype.type(-np.inf)


@part
def hide_before(row, key):
    for j in range(len(row)):
        row[j] = row[j] if j >= key else row.dtype.type(-np.inf)


@part
def slopes(row, to, cap):
    """The slope of the cap at every score: 1 - c^2 with c = score / cap (0 where it is hidden)."""
    per_cap = row.dtype.type(1) / cap
    for j in range(len(row)):
        c = (row[j] if row[j] > -cap else -cap) * per_cap
        to[j] = row.dtype.type(1) - c * c


@part
def multiply_rows(row, other):
    for j in range(len(row)):
        row[j] *= other[j]
