"""Products with weights as they are stored: y = W x, for a few x, without a float32 copy of W.

A generator multiplies every weight by one number for each token, so its time is that of reading the
weights, of which a format of 8 bits has a quarter of the bytes. The numbers of x and the sums stay
float32, so y is, but for rounding, what the dequantized matrix would give.

A format is a function that decodes a group of weights into Vectors, next to its formula
(docs/block_formats.md draws the bytes). The loops around it are the same for all.
"""

import numpy as np

from autograd.kernels._jit import inner_part, jit
from autograd.kernels._threads import parallel_rows, rows_per_part
from autograd.kernels.dispatch import kernel_lock
from tinygrad_llm.quantized import vectors as v
from tinygrad_llm.quantized.matrix import STORED, QuantizedMatrix

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


@inner_part
def one_f32(row, c):
    return v.float32_at(row + 4 * c)


@inner_part
def one_f16(row, c):
    return v.float16_at(row + 2 * c)


@inner_part
def one_bf16(row, c):
    return v.bfloat16_at(row + 2 * c)


@inner_part
def one_int8(row, c):
    return v.int8_at(row + c)


@inner_part
def none(row, c):
    """Rows of blocks have no such weights."""
    return np.float32(0)


# --- one group: address of the row, number of the group -> its weights, as Vectors ----------------


@inner_part
def f32(row, k):
    at = row + 128 * k
    return v.load_float32(at), v.load_float32(at + 64)


@inner_part
def f16(row, k):
    at = row + 64 * k
    return v.load_float16(at), v.load_float16(at + 32)


@inner_part
def bf16(row, k):
    at = row + 64 * k
    return v.load_bfloat16(at), v.load_bfloat16(at + 32)


@inner_part
def int8(row, k):
    """w = q; the scale of the row multiplies its sum."""
    at = row + 32 * k
    return v.load_int8(at), v.load_int8(at + 16)


@inner_part
def q8_0(row, k):
    """w = d q."""
    at = row + 34 * k
    d = v.two_float16(at)[0]
    return v.multiply(d, v.load_int8(at + 2)), v.multiply(d, v.load_int8(at + 18))


@inner_part
def q4_0(row, k):
    """w = d (q - 8) = d q - 8 d."""
    at = row + 18 * k
    d = v.two_float16(at)[0]
    m = v.multiply(v.splat(np.float32(-8)), d)
    return v.four_bits(at + 2, 0, d, m), v.four_bits(at + 2, 4, d, m)


@inner_part
def q4_1(row, k):
    """w = d q + m."""
    at = row + 20 * k
    d, m = v.two_float16(at)
    return v.four_bits(at + 4, 0, d, m), v.four_bits(at + 4, 4, d, m)


@inner_part
def q4_k(row, k):
    """w = (d s) q - m t, s and t of 6 bits; quarter i of a block is two groups of 32.

    They are the low and the high halves of the same 32 bytes.
    """
    block, i = row + 144 * (k // 4), k % 4
    (d, m), scales = v.two_float16(block), block + 4 + 2 * (i & 1)
    first, second, third = (
        v.two_bytes_at(scales),
        v.two_bytes_at(scales + 4),
        v.two_bytes_at(scales + 8),
    )
    if i < 2:
        s, t = first & 0x3F3F, second & 0x3F3F
    else:
        s = third & 0x0F0F | first >> 2 & 0x3030
        t = third >> 4 & 0x0F0F | second >> 2 & 0x3030
    low_scale, high_scale = _times(d, s & 255), _times(d, s >> 8)
    low_offset, high_offset = _times(m, -(t & 255)), _times(m, -(t >> 8))
    at = block + 16 + 32 * i
    return (
        v.four_bits(at, 0, low_scale, low_offset),
        v.four_bits(at + 16, 0, low_scale, low_offset),
        v.four_bits(at, 4, high_scale, high_offset),
        v.four_bits(at + 16, 4, high_scale, high_offset),
    )


@inner_part
def _times(a, whole):
    return v.multiply(a, v.splat(np.float32(whole)))


@inner_part
def q6_k(row, k):
    """w = (d s) (q - 32), s for 16 weights; half i of a block is four groups of 32.

    Its 64 bytes with four bits serve twice, its 32 bytes with two bits four times.
    """
    block, i = row + 210 * (k // 2), k % 2
    d, scales = v.two_float16(block + 206)[1], block + 192 + 8 * i
    low, high = block + 64 * i, block + 128 + 32 * i
    return (
        _six_bits(d, scales, low, 0, high, 0)
        + _six_bits(d, scales + 2, low + 32, 0, high, 2)
        + _six_bits(d, scales + 4, low, 4, high, 4)
        + _six_bits(d, scales + 6, low + 32, 4, high, 6)
    )


@inner_part
def _six_bits(d, scales, low, low_shift, high, high_shift):
    s, t = v.two_int8(scales)
    return (
        v.multiply(v.multiply(d, s), v.six_bits(low, low_shift, high, high_shift)),
        v.multiply(v.multiply(d, t), v.six_bits(low + 16, low_shift, high + 16, high_shift)),
    )


# --- the loops around a group ---------------------------------------------------------------------


def rows_of(group, one, size=32):
    """y[m, r] = sum_c W[r, c] x[m, c] for rows begin <= r < end of a format.

    ``group`` decodes ``size`` weights, ``one`` a single one. Two rows, one from each half of the
    range, are multiplied by up to eight x at a time: a weight is decoded once for eight x, and a
    number of x is read once for two rows. Each product has a Vector of sums of its own, to which
    its terms are added in the order of the columns. So it has the same bits whatever other products
    are computed with it.
    """

    def tile(count):
        @inner_part
        def products(p_row, q_row, x, y, m, p, q):
            """Rows p and q of W times x[m], ..., x[m + count - 1]."""
            n, R = x.shape[1], y.shape[1]
            p_sums, q_sums = v.zeros(count), v.zeros(count)
            at = x.ctypes.data + 4 * m * n
            for k in range(n // size):
                p_sums = v.add_products(p_sums, group(p_row, k), at, 4 * n)
                q_sums = v.add_products(q_sums, group(q_row, k), at, 4 * n)
                at += 4 * size
            at = y.ctypes.data + 4 * m * R
            v.write_totals(p_sums, at + 4 * p, 4 * R)
            v.write_totals(q_sums, at + 4 * q, 4 * R)

        return products

    eight, four, two, single = tile(8), tile(4), tile(2), tile(1)

    def rows(address, row_bytes, x, y, begin, end):
        M, n = x.shape
        # Two neighbours, read by turns, would take two to three times as long: memory is fast where
        # it is read from the first byte to the last, as both halves of the rows are.
        half = (end - begin + 1) // 2
        for p in range(begin, begin + half):
            q = min(p + half, end - 1)  # the last of an odd number of rows is computed twice
            p_row, q_row, m = address + p * row_bytes, address + q * row_bytes, 0
            while m + 8 <= M:
                eight(p_row, q_row, x, y, m, p, q)
                m += 8
            if m + 4 <= M:
                four(p_row, q_row, x, y, m, p, q)
                m += 4
            if m + 2 <= M:
                two(p_row, q_row, x, y, m, p, q)
                m += 2
            if m < M:
                single(p_row, q_row, x, y, m, p, q)
        for r in range(begin, end):  # the columns after the last whole group
            row = address + r * row_bytes
            for m in range(M):
                at = x.ctypes.data + 4 * m * n
                for c in range(n // size * size, n):
                    y[m, r] += one(row, c) * v.float32_at(at + 4 * c)

    return jit(rows)


f32_rows = rows_of(f32, one_f32)
f16_rows = rows_of(f16, one_f16)
bf16_rows = rows_of(bf16, one_bf16)
int8_rows = rows_of(int8, one_int8)
q8_0_rows = rows_of(q8_0, none)
q4_0_rows = rows_of(q4_0, none)
q4_1_rows = rows_of(q4_1, none)
q4_k_rows = rows_of(q4_k, none, 64)
q6_k_rows = rows_of(q6_k, none, 128)


@jit
def multiply(matrix, x, y, begin, end):
    """y[m, r] = sum_c W[r, c] x[m, c] for rows begin <= r < end; to be fast, dozens of rows.

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
