"""x W^T + b: a product of BLAS, cut into parts for the kernel's own threads, with the bias.

OpenBLAS could share the product between its own threads, as fast. But those then spin for some
milliseconds in wait of the next one, on the cores that the kernels in between want to use. So each
of our threads takes parts of it, with one BLAS thread each, and adds the bias to what it has
written. A few rows, as in generation, are left to NumPy: such a product mostly reads W.

There is no backward: its products follow each other, and BLAS may as well share them; cut in parts
here they were slower, those of the weights' gradients above all.
"""

import math

import numpy as np

from autograd.kernels import _blas
from autograd.kernels._gemm import available, product
from autograd.kernels._numba import jit, n_threads, parallel_rows

FEW = 256  # rows: below, a part would be too small a product
SMALLEST_PART = 1 << 22  # multiplications: some 30 microseconds, above the cost of a hand-over


def forward(xp, x, weight, bias):
    *lead, K = x.shape
    N, M = math.prod(lead), len(weight)
    x = x.reshape(N, K)
    if N < FEW or not available():
        y = np.matmul(x, weight.T)
        if bias is not None:
            y += bias
    else:
        y = np.empty((N, M), x.dtype)
        step = -(-N // (2 * n_threads()))  # two parts each: a thread may be late
        step = max(step, -(-SMALLEST_PART // max(1, K * M)))
        with _blas.one_thread_each():
            parallel_rows(_rows, N, step, x, weight, bias, y)
    return y.reshape(*lead, M)


@jit
def _rows(x, weight, bias, y, start, stop):
    product(x[start:stop], weight.T, y[start:stop], y.dtype.type(1), False)
    if bias is not None:
        for i in range(start, stop):
            row = y[i]
            for j in range(len(row)):
                row[j] += bias[j]
