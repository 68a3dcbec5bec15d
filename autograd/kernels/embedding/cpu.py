"""The embedding's backward with numba: rows are added where they belong, in the owned buffer.

Threads share the columns, not the rows: two rows may have the same id, two columns never meet,
and each number is summed in the order of the rows, however many threads there are.
"""

import numpy as np

from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part


def backward(xp, g, ids, shape, into=None):
    g_weight = np.zeros(shape, g.dtype) if into is None else into
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
