import functools
import math
from typing import NamedTuple

import numpy as np

from autograd.kernels import _processor
from autograd.kernels._jit import jit, part
from autograd.kernels._threads import n_threads, parallel_rows
from autograd.kernels.product.block import INSTRUCTIONS, SIDE, STEP, begin, end, multiply_block
from autograd.kernels.product.tiles import (
    TILE, a_across, a_along, b_across, b_along, number_at, put_number,
)  # fmt: skip

LONGEST = 24
BLOCK = 16

class Packed(NamedTuple):
    memory: np.ndarray
    steps: int
    columns: int
    rows: int


def empty(shape, dtype=np.float32):
    """A new array that begins with a cache line, as rows of 16 numbers do then."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    first = -memory.ctypes.data % 64
    return memory[first : first + size].view(dtype).reshape(shape)


def _lying(matrix):
    """(address, bytes from row to row, whether the first axis runs across the rows of memory)."""
    size = matrix.itemsize
    (rows, columns), (down, along) = matrix.shape, matrix.strides
    if along == size or columns == 1:
        return matrix.ctypes.data, down, False
    return matrix.ctypes.data, along, True


def pack(b, instructions):
    """The panels of a matrix B (K, N)."""
    K, N = b.shape
    width = 16 if instructions == "float32" else 32
    panels, steps = -(-N // SIDE), -(-K // width)
    memory = empty((panels * steps * STEP,), np.uint8)
    address, stride, turned = _lying(b)
    across = not turned
    kind = INSTRUCTIONS[instructions]
    count = 4 * n_threads()
    to = memory.ctypes.data
    if across:
        parallel_rows(_pack_b_steps, steps, max(1, -(-steps // count)), kind, address, stride, K, N, width, to)
    else:
        parallel_rows(_pack_b_panels, panels, max(1, -(-panels // count)), kind, address, stride, K, N, width, to)
    return Packed(memory, steps, N, K)


def multiply(a, packed, out, instructions, bias=None, add=False, block=None, longest=None, order=0):
    (M, K), N = a.shape, packed.columns
    width = 16 if instructions == "float32" else 32
    address, stride, across = _lying(a)
    start = ZEROS if bias is None else bias
    panels, threads = -(-M // SIDE), n_threads()
    block, longest = block or BLOCK, longest or LONGEST
    longest = -(-packed.steps // -(-packed.steps // longest))
    parts = threads * -(-panels // (threads * block))
    step = -(-panels // parts)
    parallel_rows(
        _multiply_panels, panels, step, INSTRUCTIONS[instructions],
        address, stride, across, M, K, width, packed.memory.ctypes.data, packed.steps,
        start.ctypes.data, 0 if bias is None else 4, add, out.ctypes.data, out.strides[0], N, min(block, step), longest, order
    )  # fmt: skip

ZEROS = empty((SIDE,))
ZEROS[:] = 0

@jit
def _pack_b_panels(instructions, b, stride, K, N, width, to, start, stop):
    edge = np.zeros((16, 32), np.float32)
    steps = (K + width - 1) // width
    for n in range(start, stop):
        for k in range(steps):
            for half in range(2):
                tile = to + (n * steps + k) * STEP + half * TILE
                first = SIDE * n + 16 * half
                if first + 16 <= N and width * (k + 1) <= K:
                    b_along(instructions, b + first * stride + 4 * width * k, stride, tile)
                else:
                    _copy_edge(edge, b, stride, 4, first, N, width * k, K)
                    b_along(instructions, edge.ctypes.data, 128, tile)


@jit
def _pack_b_steps(instructions, b, stride, K, N, width, to, start, stop):
    edge = np.zeros((16, 32), np.float32)
    panels, steps = (N + SIDE - 1) // SIDE, (K + width - 1) // width
    for k in range(start, stop):
        for n in range(panels):
            for half in range(2):
                tile = to + (n * steps + k) * STEP + half * TILE
                first = SIDE * n + 16 * half
                if first + 16 <= N and width * (k + 1) <= K:
                    b_across(instructions, b + width * k * stride + 4 * first, stride, tile)
                else:
                    _copy_edge(edge, b, 4, stride, first, N, width * k, K)
                    b_along(instructions, edge.ctypes.data, 128, tile)


@part
def _copy_edge(edge, source, side, along, first, count, k, K):
    """Numbers of 16 rows (columns) from ``first`` on, 32 of the contraction from k on, or zeros."""
    for i in range(16):
        for j in range(32):
            inside = first + i < count and k + j < K
            edge[i, j] = number_at(source + (first + i) * side + (k + j) * along) if inside else 0


@part
def _pack_a_step(instructions, a, stride, across, M, K, width, p, k, to, edge):
    for half in range(2):
        first = SIDE * p + 16 * half
        if first + 16 <= M and width * (k + 1) <= K:
            if across:
                a_across(instructions, a + width * k * stride + 4 * first, stride, to)
            else:
                a_along(instructions, a + first * stride + 4 * width * k, stride, to)
        else:
            if across:
                _copy_edge(edge, a, 4, stride, first, M, width * k, K)
            else:
                _copy_edge(edge, a, stride, 4, first, M, width * k, K)
            a_along(instructions, edge.ctypes.data, 128, to)
        to += TILE


@jit
def _multiply_panels(
    instructions, a, a_stride, across, M, K, width, b, steps,
    bias, bias_step, add, out, out_stride, N, block, longest, order, start, stop,
):  # fmt: skip
    begin(instructions)
    memory = np.empty(block * longest * STEP + 64, np.uint8)
    work = (memory.ctypes.data + 63) // 64 * 64
    edge = np.zeros((16, 32), np.float32)
    corner = np.zeros((SIDE, SIDE), np.float32)
    panels = (N + SIDE - 1) // SIDE
    for p0 in range(start, stop, block):
        p1 = min(p0 + block, stop)
        for k0 in range(0, steps, longest):
            length = min(longest, steps - k0)
            if across:
                for k in range(k0, k0 + length):
                    for p in range(p0, p1):
                        to = work + ((p - p0) * length + k - k0) * STEP
                        _pack_a_step(instructions, a, a_stride, True, M, K, width, p, k, to, edge)
            else:
                for p in range(p0, p1):
                    for k in range(k0, k0 + length):
                        to = work + ((p - p0) * length + k - k0) * STEP
                        _pack_a_step(instructions, a, a_stride, False, M, K, width, p, k, to, edge)
            more = add or k0 > 0
            if order == 0:
                for n in range(panels):
                    y = b + (n * steps + k0) * STEP
                    for p in range(p0, p1):
                        x = work + (p - p0) * length * STEP
                        _place(instructions, x, y, length, bias, bias_step, more, out, out_stride, M, N, p, n, corner)
            else:
                for n0 in range(0, panels, order):
                    for p in range(p0, p1):
                        x = work + (p - p0) * length * STEP
                        for n in range(n0, min(n0+order, panels)):
                            y = b + (n * steps + k0) * STEP
                            _place(instructions, x, y, length, bias, bias_step, more, out, out_stride, M, N, p, n, corner)
    end(instructions)
    return memory[0]


@part
def _place(instructions, a, b, steps, bias, bias_step, add, out, out_stride, M, N, p, n, corner):
    to = out + SIDE * p * out_stride + 4 * SIDE * n
    row = bias + SIDE * n * bias_step
    rows, columns = min(SIDE, M - SIDE * p), min(SIDE, N - SIDE * n)
    whole = rows == SIDE and columns == SIDE
    before, before_stride, c, c_stride = (to, out_stride, to, out_stride)
    if not whole:
        for i in range(rows):
            for j in range(columns):
                corner[i, j] = number_at(to + i * out_stride + 4 * j) if add else number_at(row + j * bias_step)
        before, before_stride, c, c_stride = corner.ctypes.data, 128, corner.ctypes.data, 128
    elif not add:
        before, before_stride = row, 0
    multiply_block(instructions, a, b, steps, before, before_stride, c, c_stride)
    if not whole:
        for i in range(rows):
            for j in range(columns):
                put_number(to + i * out_stride + 4 * j, corner[i, j])
