"""Products of large matrices, packed and computed in blocks: float32, or bf16 with float32 sums.

    multiply(a, b, out, precision)      out = a b + bias, or out += a b

Both operands lie in memory as they like: a matrix, its transpose, a view with one contiguous axis.
They are copied into panels, and rounded on the way (``tiles.py``); two panels are multiplied by
``block.py``. B is packed first, by all threads. Then each thread takes rows of A, and for them:

    for each stretch of the contraction:
        pack the rows of A                  they stay in the second-level cache
        for each panel of B:                the next one is on its way meanwhile
            for each panel of A:
                a block of 32 x 32          its sums are in registers

The sums of a block are added up in an order that depends on the sizes alone, so a row of the result
depends neither on the other rows nor on the threads.
"""

import math
from typing import NamedTuple

import numpy as np

from autograd._bfloat16 import rounded
from autograd.kernels import _mkl, _processor
from autograd.kernels._gemm import gemm_all_threads
from autograd.kernels._jit import jit, part
from autograd.kernels._threads import n_threads, parallel_rows, rows_per_part
from autograd.kernels.product.block import INSTRUCTIONS, SIDE, STEP, begin, end, multiply_block
from autograd.kernels.product.choice import is_chosen, method
from autograd.kernels.product.held import held, packed_weight
from autograd.kernels.product.tiles import (
    TILE,
    a_across,
    a_along,
    b_across,
    b_along,
    fetch_line,
    number_at,
    put_number,
)  # fmt: skip

FEWEST = 64
"""Least rows, columns and contraction of a float32 product that is not left to BLAS."""
LEAST_WORK = 1 << 23
"""Least multiply-adds of such a product."""
LINE = 64
"""Bytes of a cache line."""
SMALL = 1 << 16
"""Bytes of an array that need not begin with a cache line."""


class Packed(NamedTuple):
    """The panels of a matrix (K, N) for these instructions."""

    memory: np.ndarray
    shape: tuple[int, int]
    instructions: str


class Weight(NamedTuple):
    """A weight, or with ``turned`` its transpose, as an operand that may be kept packed."""

    array: np.ndarray
    turned: bool = False


def product(xp, a, b, bias=None, precision="float32"):
    out = empty((len(a), b.shape[1]), a.dtype)
    multiply(a, b, out, precision, bias)
    return out


def multiply(a, b, out, precision="float32", bias=None, add=False):
    """out = a b + bias, or with ``add`` out += a b: a (M, K), b (K, N), out (M, N).

    ``b`` may also be a ``Weight``. The last axis of ``out`` is contiguous, and it shares no memory
    with the others.
    """
    weight, turned = b if isinstance(b, Weight) else (None, False)
    if weight is not None:
        b = weight.T if turned else weight
    instructions = _instructions(*a.shape, b.shape[1], a.dtype, precision)
    if instructions is None:
        _multiply_with_blas(a, b, out, precision, bias, add)
        return
    stretch = _evenly(-(-len(b) // numbers_per_step(instructions)), longest_stretch(instructions))
    if weight is not None and held():
        packed = packed_weight(weight, turned, instructions, pack)
        _multiply_packed(a, packed, out, bias, add, stretch)
        return
    for rows, columns in _slices(b.shape, stretch, instructions):
        first = rows.start == 0
        start = bias[columns] if first and bias is not None else None
        packed = pack(b[rows, columns], instructions)
        _multiply_packed(a[:, rows], packed, out[:, columns], start, add or not first, stretch)


def _multiply_with_blas(a, b, out, precision, bias, add):
    if precision == "bf16":
        a, b = rounded(np, a), rounded(np, b)
    if bias is not None:  # BLAS would fill its output with zeros: with the bias it costs no more
        parallel_rows(_fill, len(out), rows_per_part(*out.shape), out, bias)
    gemm_all_threads(_for_blas(a), _for_blas(b), out, add or bias is not None)


def _for_blas(matrix):
    """The matrix, or a copy where neither its rows nor its columns lie one after the other."""
    size, step = min(matrix.strides), max(matrix.strides)
    one_axis = size == matrix.itemsize and step >= size * matrix.shape[matrix.strides.index(size)]
    return matrix if one_axis else np.ascontiguousarray(matrix)


def _instructions(M, K, N, dtype, precision):
    if dtype != np.float32 or 0 in (M, K, N) or precision == "float32" and not _is_ours(M, K, N):
        return None
    return method(precision)


def _is_ours(M, K, N):
    """Whether a float32 product is not BLAS's: it is large, and no wider than it is high.

    B is packed before anything is multiplied: the more rows use its panels, the less that costs.
    """
    if M * K * N < LEAST_WORK or min(M, K, N) < FEWEST:
        return False
    return is_chosen() or _mkl.chosen() == "auto" and N <= M


def empty(shape, dtype=np.float32):
    """A new array that begins with a cache line: NumPy's begin anywhere.

    A row of 16 numbers that lies in two lines takes twice as long to write.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    memory = np.empty(size + LINE, np.uint8)
    first = -memory.ctypes.data % LINE
    return memory[first : first + size].view(dtype).reshape(shape)


_zeros = np.zeros(SIDE, np.float32)


# --- blocks ---------------------------------------------------------------------------------------


def longest_stretch(instructions):
    """Steps of the contraction of which a panel of B is kept in the first-level cache.

    Tiles are multiplied so fast that a panel has to fit in. Vector instructions read it so slowly
    that the second level keeps up, and a longer stretch means fewer passes over the result.
    """
    share = 0.7 if instructions == "amx" else 1.5
    return max(1, int(share * _processor.cache_bytes(1)) // STEP)


def block_panels(stretch):
    """Panels of A, of this many steps, that fill three eighths of the second-level cache."""
    return max(1, _processor.cache_bytes(2) * 3 // 8 // (stretch * STEP))


def _slices(shape, stretch, instructions):
    """Parts of B, (rows, columns), whose panels fit in a quarter of the last level of cache.

    Packed whole, a large matrix would take as much memory again. The rows of a part are so many
    stretches: what is added up in which order does not depend on the parts.
    """
    (K, N), depth = shape, stretch * numbers_per_step(instructions)
    most = max(1, _processor.cache_bytes(3) // 4 // (stretch * STEP))  # panels, of one stretch each
    width = SIDE * min(most, -(-N // SIDE))
    depth *= max(1, most // (width // SIDE))
    for n in range(0, N, width):
        for k in range(0, K, depth):
            yield slice(k, min(k + depth, K)), slice(n, min(n + width, N))


def pack(b, instructions):
    """The panels of a matrix B (K, N): for each 32 columns, step by step, two tiles."""
    (K, N), numbers = b.shape, numbers_per_step(instructions)
    panels, steps = -(-N // SIDE), -(-K // numbers)
    memory = empty((panels * steps * STEP,), np.uint8)
    b, address, stride, across = _as_rows(b.T)
    arguments = (INSTRUCTIONS[instructions], address, stride, K, N, numbers, memory.ctypes.data)
    if across:  # row by row of memory
        parallel_rows(_pack_steps, steps, _part(steps), *arguments)
    else:
        parallel_rows(_pack_panels, panels, _part(panels), *arguments)
    return Packed(memory, (K, N), instructions)


def numbers_per_step(instructions):
    """Numbers of the contraction in a step of 16 elements."""
    return 16 if instructions == "float32" else 32


def _part(n):
    return -(-n // (4 * n_threads()))


def _as_rows(matrix):
    """(matrix, address, bytes from row to row of memory, whether the last axis runs across them).

    The matrix is a copy where neither of its axes is contiguous.
    """
    size = matrix.itemsize
    if matrix.strides[1] == size or matrix.shape[1] == 1:
        return matrix, matrix.ctypes.data, matrix.strides[0], False
    if matrix.strides[0] == size or matrix.shape[0] == 1:
        return matrix, matrix.ctypes.data, matrix.strides[1], True
    return _as_rows(np.ascontiguousarray(matrix))


def _multiply_packed(a, b, out, bias, add, stretch):
    (M, K), (_, N), numbers = a.shape, b.shape, numbers_per_step(b.instructions)
    a, address, stride, across = _as_rows(a)
    panels, threads = -(-M // SIDE), n_threads()
    block = block_panels(stretch)
    part = _panels_of_a_part(panels, block, threads)
    once = not add and K <= stretch * numbers  # each number of out is written once, and not read
    past = once and _goes_past_the_caches(out)
    first = _zeros if bias is None else np.ascontiguousarray(bias)
    parallel_rows(
        _multiply_panels, panels, part, INSTRUCTIONS[b.instructions],
        address, stride, across, M, K, numbers, b.memory.ctypes.data, N,
        first.ctypes.data, 0 if bias is None else first.itemsize, add, past,
        out.ctypes.data, out.strides[0], min(block, part), stretch,
    )  # fmt: skip


def _goes_past_the_caches(out):
    """Whether a result is better written to memory past the caches: it would fill half of the last.

    A line that is written in the usual way is read first. Of so large a result hardly anything is
    still in the caches when it is used, and without that reading memory has half as much to do.
    """
    whole_lines = out.ctypes.data % LINE == 0 and out.strides[0] % LINE == 0
    return whole_lines and out.nbytes > _processor.cache_bytes(3) // 2


def _panels_of_a_part(panels, block, threads):
    """Panels of A that a thread takes at a time: no more than a block, and as many for each.

    Each part goes over all of B, which costs about as much as a third of a panel more.
    """

    def cost(part):
        parts = -(-panels // part)
        return -(-parts // threads) * (part + 1 / 3)

    return min(range(1, block + 1), key=cost)


def _evenly(n, most):
    """The size of parts of n, as equal as can be and none above ``most``."""
    return -(-n // -(-n // most))


# --- compiled -------------------------------------------------------------------------------------


@jit
def _fill(y, bias, start, stop):
    for i in range(start, stop):
        row = y[i]
        for j in range(len(row)):
            row[j] = bias[j]


@jit
def _pack_panels(instructions, b, stride, K, N, numbers, to, start, stop):
    """Panels start to stop of B, whose contraction runs along the rows of memory."""
    steps, edge = (K + numbers - 1) // numbers, np.zeros((16, 32), np.float32)
    for n in range(start, stop):
        for k in range(steps):
            for half in range(2):
                tile = to + (n * steps + k) * STEP + half * TILE
                first = SIDE * n + 16 * half
                if first + 16 <= N and numbers * (k + 1) <= K:
                    b_along(instructions, b + first * stride + 4 * numbers * k, stride, tile)
                else:
                    _copy_edge(edge, b, stride, 4, first, N, numbers * k, K)
                    b_along(instructions, edge.ctypes.data, 128, tile)


@jit
def _pack_steps(instructions, b, stride, K, N, numbers, to, start, stop):
    """Steps start to stop of B, whose contraction runs across the rows of memory."""
    steps, edge = (K + numbers - 1) // numbers, np.zeros((16, 32), np.float32)
    for k in range(start, stop):
        for n in range((N + SIDE - 1) // SIDE):
            for half in range(2):
                tile = to + (n * steps + k) * STEP + half * TILE
                first = SIDE * n + 16 * half
                if first + 16 <= N and numbers * (k + 1) <= K:
                    b_across(instructions, b + numbers * k * stride + 4 * first, stride, tile)
                else:
                    _copy_edge(edge, b, 4, stride, first, N, numbers * k, K)
                    b_along(instructions, edge.ctypes.data, 128, tile)


@part
def _copy_edge(edge, source, down, along, first, count, k, K):
    """16 rows (columns) from ``first`` on, 32 numbers of the contraction from k on, else zeros."""
    for i in range(16):
        for j in range(32):
            inside = first + i < count and k + j < K
            edge[i, j] = number_at(source + (first + i) * down + (k + j) * along) if inside else 0


@jit
def _multiply_panels(
    instructions, a, a_stride, across, M, K, numbers, b, N,
    bias, bias_step, add, past, out, out_stride, block, stretch, start, stop,
):  # fmt: skip
    """Rows of out, by panels of A from start to stop."""
    begin(instructions)
    memory = np.empty(block * stretch * STEP + LINE, np.uint8)
    packed = (memory.ctypes.data + LINE - 1) // LINE * LINE
    edge, corner = np.zeros((16, 32), np.float32), np.zeros((SIDE, SIDE), np.float32)
    steps = (K + numbers - 1) // numbers
    for p0 in range(start, stop, block):
        p1 = min(p0 + block, stop)
        for k0 in range(0, steps, stretch):
            k1 = min(k0 + stretch, steps)
            size = (k1 - k0) * STEP  # of a panel
            if across:  # row by row of memory
                for k in range(k0, k1):
                    for p in range(p0, p1):
                        to = packed + (p - p0) * size + (k - k0) * STEP
                        _pack_a(instructions, a, a_stride, True, M, K, numbers, p, k, to, edge)
            else:
                for p in range(p0, p1):
                    for k in range(k0, k1):
                        to = packed + (p - p0) * size + (k - k0) * STEP
                        _pack_a(instructions, a, a_stride, False, M, K, numbers, p, k, to, edge)
            panels = (N + SIDE - 1) // SIDE
            for n in range(panels):
                y, row = b + (n * steps + k0) * STEP, bias + SIDE * n * bias_step
                following = y + steps * STEP if n + 1 < panels else b + k1 % steps * STEP
                for p in range(p0, p1):
                    _fetch_share(following, size // LINE, p - p0, p1 - p0)
                    x, c = packed + (p - p0) * size, out + SIDE * p * out_stride + 4 * SIDE * n
                    rows, columns = min(SIDE, M - SIDE * p), min(SIDE, N - SIDE * n)
                    if rows == SIDE and columns == SIDE:
                        before, stride = (c, out_stride) if add or k0 > 0 else (row, 0)
                        to, to_stride = c, out_stride
                    else:
                        before, stride = corner.ctypes.data, 4 * SIDE
                        to, to_stride = before, stride
                        for i in range(rows):
                            for j in range(columns):
                                more = add or k0 > 0
                                at = c + i * out_stride + 4 * j if more else row + j * bias_step
                                corner[i, j] = number_at(at)
                    multiply_block(
                        instructions, x, y, k1 - k0, before, stride, to, to_stride,
                        past and to == c,
                    )  # fmt: skip
                    if rows < SIDE or columns < SIDE:
                        for i in range(rows):
                            for j in range(columns):
                                put_number(c + i * out_stride + 4 * j, corner[i, j])
    end(instructions)
    return memory[0]  # alive until here


@part
def _fetch_share(address, lines, share, shares):
    """Ask for one of so many shares of a panel, which will be needed next."""
    for line in range(lines * share // shares, lines * (share + 1) // shares):
        fetch_line(address + line * LINE)


@part
def _pack_a(instructions, a, stride, across, M, K, numbers, p, k, to, edge):
    """A step of a panel of A: two tiles."""
    for half in range(2):
        first = SIDE * p + 16 * half
        if first + 16 <= M and numbers * (k + 1) <= K:
            if across:
                a_across(instructions, a + numbers * k * stride + 4 * first, stride, to)
            else:
                a_along(instructions, a + first * stride + 4 * numbers * k, stride, to)
        else:
            down, along = (4, stride) if across else (stride, 4)
            _copy_edge(edge, a, down, along, first, M, numbers * k, K)
            a_along(instructions, edge.ctypes.data, 128, to)
        to += TILE
