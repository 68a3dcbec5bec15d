"""The embedding's backward with numba: each row of g is added to its place in the gradient.

Threads share the columns, not the rows. Two rows may have the same id, but two columns never meet,
and each number is summed in the order of the rows, whatever the number of threads.
"""

import numpy as np

from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part


def backward(xp, g, ids, shape, room=None):
    buffer = None if room is None else room.claim_buffer(0)
    g_weight = np.zeros(shape, g.dtype) if buffer is None else buffer
    C = shape[1]
    ids = ids.reshape(-1).astype(np.int64, copy=False)
    step = max(rows_per_part(C, ids.size), 64)  # columns: a few cache lines at least
    parallel_rows(_add, C, step, g.reshape(ids.size, C), ids, g_weight)
    return g_weight


@jit
def _add(g, ids, g_weight, start, stop):
    for i in range(ids.size):
        row, out = g[i, start:stop], g_weight[ids[i], start:stop]
        for j in range(row.size):
            out[j] += row[j]
