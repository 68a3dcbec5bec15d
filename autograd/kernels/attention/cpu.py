"""Causal attention in tiles: some queries of one head, against one block of keys at a time.

BLAS computes a tile's scores (n, J); they become weights and are used while they are in cache. The
matrix (T, T) never exists, and nothing above the diagonal tiles is computed. Forward keeps two
numbers per row, the largest score and the sum of the exponentials; backward computes the tile's
weights again. The threads share the B H heads.

Products have ``TILE`` rows and columns, 64: then both factors and the result (48 KB for 64
channels) fit into the first-level cache, where OpenBLAS is fastest; with tiles twice as large, it
is a quarter slower. q, k, v and their gradients are views of the packed projection, whose rows are
3 C apart: BLAS reads and writes them in place. Only keys (in backward also values) are copied,
head by head, into columns: OpenBLAS multiplies small matrices half as fast if the second is
transposed.

The loops between the products work on single rows, which the compiler knows to be contiguous; for
a view with two axes it does not know this and produces slower code. They run over whole blocks,
with minus infinity in place of the future, because vector instructions take 16 numbers and any
others would be computed one by one. Each loop runs over all rows of the tile before the next loop
begins, so that the processor can work on other rows while the sum of one is not ready.
"""

import math

import numpy as np

from autograd.kernels import _blas
from autograd.kernels._gemm import available, gemm_in_kernel, transpose
from autograd.kernels._jit import jit, part
from autograd.kernels._threads import parallel_rows, rows_per_part
from autograd.kernels.attention import bf16, reference
from autograd.kernels.attention.rows import (
    divide,
    exponentials,
    gradients,
    hide_after,
    inner,
    largest_of,
)  # fmt: skip

TILE = 64


def forward(xp, qkv, n_head, precision="float32"):
    B, T, C3 = qkv.shape
    y = np.empty((B, T, C3 // 3), qkv.dtype)
    if bf16.suits(precision, y):
        arrays = *_as_one_array(qkv, n_head), _heads(y, n_head)
        return y, bf16.forward(*arrays, *_options(qkv, n_head))
    if bf16.rounds(precision, y):
        return reference.forward(xp, qkv, n_head, precision)
    top, total = (np.empty((B, n_head, T), qkv.dtype) for _ in range(2))
    _each_head(_forward, n_head, _packed(qkv, n_head), _heads(y, n_head), top, total)
    return y, (top, total)


def backward(xp, g, qkv, y, n_head, cache=None, precision="float32"):
    if cache is None:
        cache = forward(xp, qkv, n_head, precision)[1]
    g_qkv = np.empty_like(qkv)
    if bf16.suits(precision, y):
        arrays = *_as_one_array(qkv, n_head), cache, _heads(g, n_head)
        g_parts = _as_one_array(g_qkv, n_head)[:3]
        bf16.backward(*arrays, *g_parts, *_options(qkv, n_head))
        return g_qkv
    if bf16.rounds(precision, y):
        return reference.backward(xp, g, qkv, y, n_head, cache, precision)
    arrays = _heads(y, n_head), *cache, _heads(g, n_head), _packed(g_qkv, n_head)
    _each_head(_backward, n_head, _packed(qkv, n_head), *arrays)
    return g_qkv


def _as_one_array(qkv, n_head):
    """q, k and v for bf16.py: 3 H heads in one array, and which of them are whose."""
    B, T, C3 = qkv.shape
    heads = qkv.reshape(B, T, 3 * n_head, C3 // 3 // n_head)
    return heads, heads, heads, (n_head, 0, n_head, 2 * n_head)


def _options(qkv, n_head):
    """For bf16.py the first key of each query, the scale, the window, and no cap."""
    B, T, C3 = qkv.shape
    return np.zeros((B, T), np.int64), _scale(C3 // 3 // n_head), T, 0.0


def _scale(D):
    return 1 / math.sqrt(max(1, D))


def _packed(qkv, n_head):
    B, T, C3 = qkv.shape
    return qkv.reshape(B, T, 3, n_head, C3 // 3 // n_head)


def _heads(y, n_head):
    B, T, C = y.shape
    return y.reshape(B, T, n_head, C // n_head)


def _each_head(kernel, n_head, qkv, *arrays):
    B, T, _, H, D = qkv.shape
    scale = qkv.dtype.type(_scale(D))
    if not available():  # the same loops in Python, with NumPy's products
        kernel.py_func(qkv, *arrays, scale, 0, B * H)
        return
    with _blas.one_thread_each():
        parallel_rows(kernel, B * H, rows_per_part(B * H, T * T), qkv, *arrays, scale)


@jit
def _forward(qkv, y, top, total, scale, start, stop):
    T, _, H, D = qkv.shape[1:]
    one = y.dtype.type(1)
    width = row_length(T)
    scores, k_columns = np.empty((TILE, width), y.dtype), np.empty((D, width), y.dtype)
    for head in range(start, stop):
        b, h = head // H, head % H
        q, k, v = qkv[b, :, 0, h], qkv[b, :, 1, h], qkv[b, :, 2, h]  # (T, D)
        transpose(k, k_columns[:, :T])
        for i in range(0, T, TILE):
            J = min(i + TILE, T)
            p, y_tile = scores[: J - i], y[b, i:J, h]
            for j in range(0, J, TILE):
                to = min(j + TILE, J)
                gemm_in_kernel(q[i:J], k_columns[:, j:to], p[:, j:to], scale, False)
            for t in range(i, J):
                hide_after(scores[t - i, i : i + TILE], t - i)
            for t in range(i, J):
                top[b, h, t] = largest_of(scores[t - i, : i + TILE])
            for t in range(i, J):
                total[b, h, t] = exponentials(scores[t - i, : i + TILE], top[b, h, t])
            for j in range(0, J, TILE):
                to = min(j + TILE, J)
                gemm_in_kernel(p[:, j:to], v[j:to], y_tile, one, j > 0)
            for t in range(i, J):
                divide(y[b, t, h], total[b, h, t])


@jit
def _backward(qkv, y, top, total, g, g_qkv, scale, start, stop):
    T, _, H, D = qkv.shape[1:]
    one, width = y.dtype.type(1), row_length(T)
    weights, g_scores = np.empty((TILE, width), y.dtype), np.zeros((TILE, width), y.dtype)
    k_columns, v_columns = np.empty((D, width), y.dtype), np.empty((D, width), y.dtype)
    along = np.empty(TILE, y.dtype)
    for head in range(start, stop):
        b, h = head // H, head % H
        q, k, v = qkv[b, :, 0, h], qkv[b, :, 1, h], qkv[b, :, 2, h]
        g_q, g_k, g_v = g_qkv[b, :, 0, h], g_qkv[b, :, 1, h], g_qkv[b, :, 2, h]
        transpose(k, k_columns[:, :T])
        transpose(v, v_columns[:, :T])
        last = (T - 1) // TILE * TILE
        for i in range(last, -1, -TILE):  # the last tile sees all keys: it begins g_k and g_v
            J = min(i + TILE, T)
            p, g_s, q_tile, g_tile = weights[: J - i], g_scores[: J - i], q[i:J], g[b, i:J, h]
            for j in range(0, J, TILE):
                to = min(j + TILE, J)
                gemm_in_kernel(q_tile, k_columns[:, j:to], p[:, j:to], scale, False)
                # for now g_s is the gradient of the weights p
                gemm_in_kernel(g_tile, v_columns[:, j:to], g_s[:, j:to], one, False)
            for t in range(i, J):
                hide_after(weights[t - i, i : i + TILE], t - i)
            for t in range(i, J):
                along[t - i] = inner(g[b, t, h], y[b, t, h])
            for t in range(i, J):
                row, g_row = weights[t - i, : i + TILE], g_scores[t - i, : i + TILE]
                gradients(row, g_row, along[t - i], top[b, h, t], total[b, h, t])
            for j in range(0, J, TILE):
                to = min(j + TILE, J)
                gemm_in_kernel(p[:, j:to].T, g_tile, g_v[j:to], one, i < last)
                gemm_in_kernel(g_s[:, j:to].T, q_tile, g_k[j:to], scale, i < last)
                gemm_in_kernel(g_s[:, j:to], k[j:to], g_q[i:J], scale, j > 0)


@part
def row_length(T):
    """Whole blocks for T keys, and 16 more: rows a power of two apart would fight for cache."""
    return (T + TILE - 1) // TILE * TILE + 16
