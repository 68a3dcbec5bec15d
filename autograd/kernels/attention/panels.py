"""Packing and multiplying small matrices at bf16: what attention's kernels do with their tiles.

The panels and blocks are those of ../product. Here the matrices are parts of a head, which one
thread packs and uses at once. Packing and multiplying are compiled once, and called by address:
copies of them in each kernel would take as long to compile as the kernels themselves.
"""

import functools

import numpy as np
from numba import boolean, float32, typeof

from autograd.kernels._calls import address_of, caller
from autograd.kernels._jit import inner_part, jit
from autograd.kernels.product.block import INSTRUCTIONS, SIDE, STEP, multiply_block
from autograd.kernels.product.choice import method
from autograd.kernels.product.cpu import LINE
from autograd.kernels.product.tiles import (
    TILE,
    a_across,
    a_along,
    b_across,
    b_along,
    copy_numbers,
)  # fmt: skip


@jit
def _pack(instructions, matrix, of_b, across, panels, edge):
    (rows, columns), row = matrix.shape, matrix.strides[0]
    lines, K = (columns, rows) if across else (rows, columns)
    for p in range(blocks(lines)):
        for k in range(blocks(K)):
            for half in range(2):
                line, tile = SIDE * p + 16 * half, panels[p, k].ctypes.data + half * TILE
                i, j = (SIDE * k, line) if across else (line, SIDE * k)
                source, stride = matrix.ctypes.data + i * row + 4 * j, row
                if line + 16 > lines or SIDE * (k + 1) > K:
                    _copy_edge(source, stride, rows - i, columns - j, edge)
                    source, stride = edge.ctypes.data, edge.strides[0]
                if of_b and across:
                    b_across(instructions, source, stride, tile)
                elif of_b:
                    b_along(instructions, source, stride, tile)
                elif across:
                    a_across(instructions, source, stride, tile)
                else:
                    a_along(instructions, source, stride, tile)


@inner_part
def _copy_edge(source, stride, rows, columns, edge):
    """A block of 32 x 32 numbers of which there are only so many rows and columns, else zeros."""
    for i in range(SIDE):
        for half in range(2):
            count = columns - 16 * half if i < rows else 0
            copy_numbers(source + i * stride + 64 * half, count, edge[i, 16 * half :].ctypes.data)


@jit
def _multiply(instructions, a, b, out, zeros, add):
    steps, stride = a.shape[1], out.strides[0]
    for n in range(len(b)):
        for p in range(len(a)):
            block = out[SIDE * p, SIDE * n :].ctypes.data
            start, start_stride = (block, stride) if add else (zeros.ctypes.data, 0)
            x, y = a[p].ctypes.data, b[n].ctypes.data
            multiply_block(instructions, x, y, steps, start, start_stride, block, stride, 0)


@inner_part
def blocks(n):
    """How many blocks, or steps, n numbers need: both are of 32."""
    return (n + SIDE - 1) // SIDE


@jit
def new_rows(n, length):
    """New memory for n rows of ``length`` float32 numbers, which begins with a cache line.

    Not a part: a kernel would have ten copies of it.
    """
    memory = np.empty(n * length + LINE // 4, np.float32)
    first = (LINE - memory.ctypes.data % LINE) % LINE // 4
    return memory[first : first + n * length].reshape(n, length)


@inner_part
def new_panels(lines, K):
    """New memory for the panels of a matrix of at most so many lines, with K numbers each."""
    steps = blocks(K)
    return new_rows(blocks(lines) * steps, STEP // 4).reshape(-1, steps, STEP // 4)


A, B, ALONG, ACROSS = False, True, False, True
_instructions = INSTRUCTIONS[method() or "avx512-bf16"]
_matrix, _panels = float32[:, :], float32[:, :, :]
_PACK = typeof(_instructions), _matrix, boolean, boolean, _panels, float32[:, ::1]
_MULTIPLY = typeof(_instructions), _panels, _panels, _matrix, float32[::1], boolean
_call_pack, _call_multiply = caller(*_PACK), caller(*_MULTIPLY)


@functools.cache
def tools():
    """What ``pack`` and ``multiply`` need, as an argument for a kernel."""
    addresses = address_of(_pack, *_PACK), address_of(_multiply, *_MULTIPLY)
    return _instructions, *addresses


@inner_part
def pack(tools, matrix, of_b, across, panels, edge):
    """Round a float32 matrix into panels of A, or of B (``A``, ``B``; ``ALONG``, ``ACROSS``).

    A row of ``matrix`` is one of A (a column of B), and the contraction runs along it; ``ACROSS``,
    a column is. Beyond the matrix, panels are filled with zeros. ``edge`` is (32, 32) to work in.
    """
    instructions, address, _ = tools
    _call_pack(address, (instructions, matrix, of_b, across, panels, edge))


@inner_part
def multiply(tools, a, b, out, zeros, add):
    """out = A B, or with ``add`` out += A B, from panels; ``out`` has room for whole blocks."""
    instructions, _, address = tools
    _call_multiply(address, (instructions, a, b, out, zeros, add))
