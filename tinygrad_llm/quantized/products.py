"""Products with weights as they are stored: y = W x, for a few x, without a float32 copy of W.

A generator multiplies every weight by one number for each token, so its time is that of reading the
weights: a format of 4 bits is read in an eighth of the time of float32. The numbers of x and the
sums stay float32, so y is, but for rounding, what the dequantized matrix would give.

A format is a function that decodes a group of 32 weights into two Vectors, next to its formula
(docs/gguf.md draws the bytes). The loops around it are the same for all.
"""

import numpy as np

from autograd.kernels._jit import jit, part
from autograd.kernels._threads import parallel_rows, rows_per_part
from autograd.kernels.dispatch import kernel_lock
from tinygrad_llm.quantized import vectors as v
from tinygrad_llm.quantized.matrix import STORED, QuantizedMatrix

GROUP = 32

# The columns of a table of matrices: one row of int64 for each matrix.
FORMAT, ADDRESS, ROW_BYTES, N_ROWS, N_COLUMNS, SCALES = range(6)
N_FIELDS = 6
F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K, Q6_K, INT8 = range(9)
CODES = {name: code for code, name in enumerate(STORED)}
"""The numbers of the formats in the column FORMAT."""


def table_row(matrix: QuantizedMatrix) -> list[int]:
    """The row of a table that describes a matrix, which must live as long as the table is used."""
    scales = 0 if matrix.scales is None else matrix.scales.ctypes.data
    data = matrix.data
    return [CODES[matrix.format], data.ctypes.data, data.strides[0], *matrix.shape, scales]


# --- one weight, where a row may end within a group -----------------------------------------------


@part
def one_f32(row, c):
    return v.float32_at(row + 4 * c)


@part
def one_f16(row, c):
    return v.float16_at(row + 2 * c)


@part
def one_bf16(row, c):
    return v.bfloat16_at(row + 2 * c)


@part
def one_int8(row, c):
    return v.int8_at(row + c)


@part
def none(row, c):
    """Rows of blocks have no such weights."""
    return np.float32(0)


# --- one group of 32 weights: address of the row, number of the group -> two Vectors --------------


@part
def f32(row, k):
    at = row + 128 * k
    return v.load_float32(at), v.load_float32(at + 64)


@part
def f16(row, k):
    at = row + 64 * k
    return v.load_float16(at), v.load_float16(at + 32)


@part
def bf16(row, k):
    at = row + 64 * k
    return v.load_bfloat16(at), v.load_bfloat16(at + 32)


@part
def int8(row, k):
    """w = q; the scale of the row multiplies its sum."""
    at = row + 32 * k
    return v.load_int8(at), v.load_int8(at + 16)


@part
def q8_0(row, k):
    """w = d q."""
    at = row + 34 * k
    d = v.splat(v.float16_at(at))
    return v.multiply(d, v.load_int8(at + 2)), v.multiply(d, v.load_int8(at + 18))


@part
def q4_0(row, k):
    """w = d (q - 8) = d q - 8 d."""
    at = row + 18 * k
    d = v.float16_at(at)
    return _halves(at + 2, v.splat(d), v.splat(np.float32(-8) * d))


@part
def q4_1(row, k):
    """w = d q + m."""
    at = row + 20 * k
    return _halves(at + 4, v.splat(v.float16_at(at)), v.splat(v.float16_at(at + 2)))


@part
def _halves(at, scale, offset):
    """scale q + offset: the low halves of 16 bytes, and the high ones."""
    low, high = v.load_bits(at, 0, 15), v.load_bits(at, 4, 15)
    return v.multiply_add(scale, low, offset), v.multiply_add(scale, high, offset)


@part
def q4_k(row, k):
    """w = (d s) q - m t; group g = k mod 8 of block k // 8 has s and t of 6 bits.

    Groups 2 i and 2 i + 1 are the low and the high halves of the same 32 bytes.
    """
    block, g = row + 144 * (k // 8), k % 8
    scales, i = block + 4, g & 3
    if g < 4:
        s, t = v.byte_at(scales + i) & 63, v.byte_at(scales + 4 + i) & 63
    else:
        both = v.byte_at(scales + 8 + i)
        s = both & 15 | v.byte_at(scales + i) >> 6 << 4
        t = both >> 4 | v.byte_at(scales + 4 + i) >> 6 << 4
    scale = v.splat(v.float16_at(block) * np.float32(s))
    offset = v.splat(-v.float16_at(block + 2) * np.float32(t))
    at, shift = block + 16 + 32 * (g >> 1), 4 * (g & 1)
    return (
        v.multiply_add(scale, v.load_bits(at, shift, 15), offset),
        v.multiply_add(scale, v.load_bits(at + 16, shift, 15), offset),
    )


@part
def q6_k(row, k):
    """w = (d s) (q - 32); q is 4 bits of ``low`` and 2 of ``high``, s a number for 16 weights."""
    block, g = row + 210 * (k // 8), k % 8
    half, j = g >> 2, g & 3
    low, high = block + 64 * half + 32 * (j & 1), block + 128 + 32 * half
    scales, d = block + 192 + 2 * g, v.float16_at(block + 208)
    return (
        _six_bits(low, 4 * (j >> 1), high, 2 * j, d * v.int8_at(scales)),
        _six_bits(low + 16, 4 * (j >> 1), high + 16, 2 * j, d * v.int8_at(scales + 1)),
    )


@part
def _six_bits(low, low_shift, high, high_shift, scale):
    q = v.multiply_add(
        v.splat(np.float32(16)), v.load_bits(high, high_shift, 3), v.load_bits(low, low_shift, 15)
    )
    return v.multiply(v.splat(scale), v.add(q, v.splat(np.float32(-32))))


# --- the loops around a group ---------------------------------------------------------------------


def rows_of(group, one):
    """y[m, r] = sum_c W[r, c] x[m, c], for rows begin <= r < end of a format.

    The weights of a row are decoded once for four x: the more x, the less a weight costs. Each row
    keeps 32 sums (for four x, 16 each) that are added at its end, in an order that depends on the
    sizes alone.
    """

    @part
    def dot(row, n, x):
        a, b = v.zeros(), v.zeros()
        for k in range(n // GROUP):
            first, second = group(row, k)
            a = v.multiply_add(first, v.load_float32(x), a)
            b = v.multiply_add(second, v.load_float32(x + 64), b)
            x += 128
        return v.total(v.add(a, b))

    @part
    def four_dots(row, n, x, step):
        a, b, c, d = v.zeros(), v.zeros(), v.zeros(), v.zeros()
        for k in range(n // GROUP):
            first, second = group(row, k)
            a = _two(first, second, x, a)
            b = _two(first, second, x + step, b)
            c = _two(first, second, x + 2 * step, c)
            d = _two(first, second, x + 3 * step, d)
            x += 128
        return v.total(a), v.total(b), v.total(c), v.total(d)

    @part
    def rest(row, n, x, m):
        """What the columns after the last whole group add."""
        s = np.float32(0)
        for c in range(n // GROUP * GROUP, n):
            s += one(row, c) * x[m, c]
        return s

    def rows(address, row_bytes, x, y, begin, end):
        n, step, start = x.shape[1], 4 * x.shape[1], x.ctypes.data
        for r in range(begin, end):
            row, m = address + r * row_bytes, 0
            while m + 4 <= len(x):
                a, b, c, d = four_dots(row, n, start + m * step, step)
                y[m, r], y[m + 1, r] = a + rest(row, n, x, m), b + rest(row, n, x, m + 1)
                y[m + 2, r], y[m + 3, r] = c + rest(row, n, x, m + 2), d + rest(row, n, x, m + 3)
                m += 4
            while m < len(x):
                y[m, r] = dot(row, n, start + m * step) + rest(row, n, x, m)
                m += 1

    return jit(rows)


@part
def _two(first, second, x, total):
    total = v.multiply_add(first, v.load_float32(x), total)
    return v.multiply_add(second, v.load_float32(x + 64), total)


f32_rows = rows_of(f32, one_f32)
f16_rows = rows_of(f16, one_f16)
bf16_rows = rows_of(bf16, one_bf16)
int8_rows = rows_of(int8, one_int8)
q8_0_rows = rows_of(q8_0, none)
q4_0_rows = rows_of(q4_0, none)
q4_1_rows = rows_of(q4_1, none)
q4_k_rows = rows_of(q4_k, none)
q6_k_rows = rows_of(q6_k, none)


@jit
def multiply(matrix, x, y, begin, end):
    """y[m, r] = sum_c W[r, c] x[m, c] for rows begin <= r < end.

    Shapes: matrix (N_FIELDS,), a row of a table; x (M, C) and y (M, R), float32, C-contiguous
    """
    code, address, row_bytes = matrix[FORMAT], matrix[ADDRESS], matrix[ROW_BYTES]
    if code == F32:
        f32_rows(address, row_bytes, x, y, begin, end)
    elif code == F16:
        f16_rows(address, row_bytes, x, y, begin, end)
    elif code == BF16:
        bf16_rows(address, row_bytes, x, y, begin, end)
    elif code == Q8_0:
        q8_0_rows(address, row_bytes, x, y, begin, end)
    elif code == Q4_0:
        q4_0_rows(address, row_bytes, x, y, begin, end)
    elif code == Q4_1:
        q4_1_rows(address, row_bytes, x, y, begin, end)
    elif code == Q4_K:
        q4_k_rows(address, row_bytes, x, y, begin, end)
    elif code == Q6_K:
        q6_k_rows(address, row_bytes, x, y, begin, end)
    else:
        int8_rows(address, row_bytes, x, y, begin, end)
        for r in range(begin, end):
            scale = v.float32_at(matrix[SCALES] + 4 * r)
            for m in range(len(x)):
                y[m, r] *= scale


def product(matrix: QuantizedMatrix, x: np.ndarray, y: np.ndarray) -> None:
    """Write x W^T into y: x (M, C) and y (M, R), float32, contiguous."""
    row = np.array(table_row(matrix), np.int64)
    with kernel_lock:
        n_rows, n_columns = matrix.shape
        parallel_rows(multiply, n_rows, rows_per_part(n_rows, n_columns), row, x, y)
