"""The last layer and its loss, a block of rows at a time: the logits (N, V) never exist whole.

A block's logits become their own gradient in place, and the two products that use it follow while
it is in cache. So forward ends with the gradients for an upstream gradient of 1, and backward
returns these arrays, multiplied in place unless the factor is 1. With reduction "none" each row
has its own upstream gradient, which only backward knows: it computes the blocks again.
"""

import numpy as np

from autograd.kernels._functions import exp_or_zero, maximum, minus_both
from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part
from autograd.kernels.cross_entropy.cpu import reduce, row_gradients, row_losses
from autograd.kernels.product.cpu import Weight, empty, multiply

BLOCK_BYTES = 16 << 20  # of logits: what fits in a last-level cache
SMALLEST_BLOCK = 512  # rows: each block reads the whole weight and g_weight


def forward(
    xp, h, weight, targets, ignore_index, reduction, needs=(True, True), precision="float32"
):
    targets = targets.astype(np.int64, copy=False)
    losses = np.empty(len(h), h.dtype)
    if reduction == "none" or not any(needs):
        unused = np.empty(len(h), h.dtype)
        for rows, logits in _blocks(h, weight, precision):
            arrays = (logits, targets[rows], ignore_index, losses[rows], unused[rows], unused[rows])
            parallel_rows(row_losses, len(logits), rows_per_part(*logits.shape), *arrays)
        return reduce(losses, targets, ignore_index, reduction), None
    g_row = row_gradients(h.dtype.type(1), targets, ignore_index, reduction, h.dtype)
    cache = _gradients(g_row, h, weight, targets, ignore_index, losses, needs, precision)
    return reduce(losses, targets, ignore_index, reduction), cache


def backward(
    xp, g, h, weight, targets, ignore_index, reduction, cache=None, needs=(True, True),
    precision="float32",
):  # fmt: skip
    if cache is not None:
        gradients = tuple(unit if need else None for unit, need in zip(cache, needs, strict=True))
        if g != 1:
            for unit in gradients:
                if unit is not None:
                    factor = unit.dtype.type(g)
                    parallel_rows(_scale, len(unit), rows_per_part(*unit.shape), unit, factor)
        return gradients
    targets = targets.astype(np.int64, copy=False)
    g_row = row_gradients(g, targets, ignore_index, reduction, h.dtype)
    losses = np.empty(len(h), h.dtype)
    return _gradients(g_row, h, weight, targets, ignore_index, losses, needs, precision)


def _blocks(h, weight, precision):
    """(slice of rows, their logits) for one block at a time, all in the same buffer."""
    N, V = len(h), len(weight)
    size = max(SMALLEST_BLOCK, BLOCK_BYTES // max(1, V * h.itemsize))
    buffer = empty((min(N, size), V), h.dtype)
    for start in range(0, N, size):
        rows = slice(start, min(start + size, N))
        logits = buffer[: rows.stop - start]
        multiply(h[rows], Weight(weight, turned=True), logits, precision)
        yield rows, logits


def _gradients(g_row, h, weight, targets, ignore_index, losses, needs, precision):
    """(g_h, g_weight) for the gradients ``g_row`` of the row losses; the losses are written too."""
    g_h = np.empty_like(h) if needs[0] else None
    g_weight = None
    if needs[1]:
        g_weight = empty(weight.shape, h.dtype) if len(h) else np.zeros_like(weight)
    for rows, logits in _blocks(h, weight, precision):
        arrays = (logits, targets[rows], ignore_index, g_row[rows], losses[rows])
        parallel_rows(_in_place, len(logits), rows_per_part(*logits.shape), *arrays)
        if g_h is not None:
            multiply(logits, Weight(weight), g_h[rows], precision)
        if needs[1]:
            counts = targets[rows] != ignore_index
            h_rows = h[rows]
            if not counts.all():  # 0 times infinity is NaN: ignored rows are left out
                h_rows = np.where(counts[:, None], h_rows, 0)
            multiply(logits.T, h_rows, g_weight, precision, add=rows.start > 0)
    return g_h, g_weight


@jit
def _in_place(logits, targets, ignore_index, g_row, losses, start, stop):
    """Turn logits into their gradients, row by row, and write the loss of each row."""
    V = logits.shape[1]
    for i in range(start, stop):
        row = logits[i]
        if targets[i] == ignore_index:
            losses[i] = 0
            row[:] = 0
            continue
        top = logits.dtype.type(-np.inf)
        for j in range(V):
            top = maximum(top, row[j])
        picked = row[targets[i]]
        total = logits.dtype.type(0)
        for j in range(V):
            e = exp_or_zero(row[j] - top)
            row[j] = e
            total += e
        losses[i] = minus_both(top, picked, -np.log(total))
        p = row[targets[i]] / total
        scale = g_row[i] / total
        for j in range(V):
            row[j] *= scale
        row[targets[i]] = (p - logits.dtype.type(1)) * g_row[i]


@jit
def _scale(unit, factor, start, stop):
    for i in range(start, stop):
        row = unit[i]
        for j in range(len(row)):
            row[j] *= factor
