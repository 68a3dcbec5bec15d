"""Stored weights as numbers, some rows at a time: what a product with many x does first.

Reading a weight is then only a part of the work, and BLAS does the rest faster than ``multiply``
(products.py), whose formats these are.
"""

import numpy as np

from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part
from autograd.kernels.dispatch import kernel_lock
from tinygrad_llm.quantized import products as p, vectors as v
from tinygrad_llm.quantized.matrix import QuantizedMatrix


def writer_of(group, one, size=32):
    """out[r - first] = row r of W for rows begin <= r < end; the arguments are ``rows_of``'s."""

    def rows(address, row_bytes, out, first, begin, end):
        n = out.shape[1]
        for r in range(begin, end):
            row, at = address + r * row_bytes, out.ctypes.data + 4 * (r - first) * n
            for k in range(n // size):
                v.write(group(row, k), at)
                at += 4 * size
            for c in range(n // size * size, n):
                out[r - first, c] = one(row, c)

    return jit(rows)


f16_rows = writer_of(p.f16, p.one_f16)
bf16_rows = writer_of(p.bf16, p.one_bf16)
int8_rows = writer_of(p.int8, p.one_int8)
q8_0_rows = writer_of(p.q8_0, p.none)
q4_0_rows = writer_of(p.q4_0, p.none)
q4_1_rows = writer_of(p.q4_1, p.none)
q4_k_rows = writer_of(p.q4_k, p.none, 64)
q6_k_rows = writer_of(p.q6_k, p.none, 128)
f32_rows = writer_of(p.f32, p.one_f32)


@jit
def decode(matrix, out, first, start, stop):
    """out[i] = row first + i of W, for start <= i < stop.

    Shapes: matrix (N_FIELDS,), a row of a table; out (rows, C), float32, C-contiguous
    """
    code, address, row_bytes = matrix[p.FORMAT], matrix[p.ADDRESS], matrix[p.ROW_BYTES]
    begin, end = first + start, first + stop
    if code == p.F32:
        f32_rows(address, row_bytes, out, first, begin, end)
    elif code == p.F16:
        f16_rows(address, row_bytes, out, first, begin, end)
    elif code == p.BF16:
        bf16_rows(address, row_bytes, out, first, begin, end)
    elif code == p.Q8_0:
        q8_0_rows(address, row_bytes, out, first, begin, end)
    elif code == p.Q4_0:
        q4_0_rows(address, row_bytes, out, first, begin, end)
    elif code == p.Q4_1:
        q4_1_rows(address, row_bytes, out, first, begin, end)
    elif code == p.Q4_K:
        q4_k_rows(address, row_bytes, out, first, begin, end)
    elif code == p.Q6_K:
        q6_k_rows(address, row_bytes, out, first, begin, end)
    else:
        int8_rows(address, row_bytes, out, first, begin, end)
        for i in range(start, stop):
            scale = v.float32_at(matrix[p.SCALES] + 4 * (first + i))
            for c in range(out.shape[1]):
                out[i, c] *= scale


def decode_rows(matrix: QuantizedMatrix, first: int, out: np.ndarray) -> None:
    """Write the rows from ``first`` on into out (rows, C), float32, contiguous."""
    row = np.array(p.table_row(matrix), np.int64)
    with kernel_lock:
        n_rows, n_columns = out.shape
        parallel_rows(decode, n_rows, rows_per_part(n_rows, n_columns), row, out, first)
