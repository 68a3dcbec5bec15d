"""Causal attention in tiles: a few rows of queries of one head, against the keys they may see.

A tile's scores (n, J) are made by BLAS, become weights and are used while they are in cache: the
matrix (T, T) exists nowhere, and what lies above the diagonal tiles is never computed. Forward
keeps two numbers per row, the largest score and the sum of the exponentials; backward makes the
tile's weights again. The threads share the B H heads between them.

q, k, v and their gradients are views of the packed projection, whose rows are 3 C apart: BLAS takes
and writes them where they are. Only keys (in backward, values) are copied, head by head, so that
they lie as columns: OpenBLAS multiplies small matrices half as fast when the second is transposed.
The loops between the products are given single rows, which the compiler knows to be contiguous; of
a view with two axes it does not know it, and makes slower code.
"""

import math

import numpy as np

from autograd.kernels import _blas
from autograd.kernels._gemm import available, product
from autograd.kernels._numba import exp, jit, maximum, parallel_rows, rows_per_part

FEWEST, MOST = 32, 96  # rows of a tile: products want many, and the diagonal wastes half a tile


def forward(xp, qkv, n_head):
    B, T, C3 = qkv.shape
    y = np.empty((B, T, C3 // 3), qkv.dtype)
    top, total = (np.empty((B, n_head, T), qkv.dtype) for _ in range(2))
    _each_head(_forward, n_head, _packed(qkv, n_head), _heads(y, n_head), top, total)
    return y, (top, total)


def backward(xp, g, qkv, y, n_head, cache=None):
    top, total = cache if cache is not None else forward(xp, qkv, n_head)[1]
    g_qkv = np.empty_like(qkv)
    arrays = _heads(y, n_head), top, total, _heads(g, n_head), _packed(g_qkv, n_head)
    _each_head(_backward, n_head, _packed(qkv, n_head), *arrays)
    return g_qkv


def _packed(qkv, n_head):
    B, T, C3 = qkv.shape
    return qkv.reshape(B, T, 3, n_head, C3 // 3 // n_head)


def _heads(y, n_head):
    B, T, C = y.shape
    return y.reshape(B, T, n_head, C // n_head)


def _each_head(kernel, n_head, qkv, *arrays):
    B, T, _, H, D = qkv.shape
    scale = qkv.dtype.type(1 / math.sqrt(max(1, D)))
    n = min(MOST, max(FEWEST, T // 8))
    if not available():  # the same loops in Python, with NumPy's products
        kernel.py_func(qkv, *arrays, scale, n, 0, B * H)
        return
    with _blas.one_thread_each():
        parallel_rows(kernel, B * H, rows_per_part(B * H, T * T), qkv, *arrays, scale, n)


@jit
def _forward(qkv, y, top, total, scale, n, start, stop):
    T, _, H, D = qkv.shape[1:]
    one = y.dtype.type(1)
    scores, k_columns = np.empty((n, T), y.dtype), np.empty((D, T), y.dtype)
    for head in range(start, stop):
        b, h = head // H, head % H
        q, v = qkv[b, :, 0, h], qkv[b, :, 2, h]  # (T, D)
        k_columns[:] = qkv[b, :, 1, h].T
        for i in range(0, T, n):
            J = min(i + n, T)
            tile = scores[: J - i, :J]
            product(q[i:J], k_columns[:, :J], tile, scale, False)
            for t in range(i, J):
                top[b, h, t], total[b, h, t] = _exponentials(scores[t - i], t + 1, J)
            product(tile, v[:J], y[b, i:J, h], one, False)
            for t in range(i, J):
                _divide(y[b, t, h], total[b, h, t])


@jit
def _backward(qkv, y, top, total, g, g_qkv, scale, n, start, stop):
    T, _, H, D = qkv.shape[1:]
    one = y.dtype.type(1)
    weights, g_scores = np.empty((n, T), y.dtype), np.empty((n, T), y.dtype)
    k_columns, v_columns = np.empty((D, T), y.dtype), np.empty((D, T), y.dtype)
    for head in range(start, stop):
        b, h = head // H, head % H
        q, k, v = qkv[b, :, 0, h], qkv[b, :, 1, h], qkv[b, :, 2, h]
        g_q, g_k, g_v = g_qkv[b, :, 0, h], g_qkv[b, :, 1, h], g_qkv[b, :, 2, h]
        k_columns[:], v_columns[:] = k.T, v.T
        last = (T - 1) // n * n
        for i in range(last, -1, -n):  # the last tile sees all keys: it begins g_k and g_v
            J = min(i + n, T)
            p, g_s, g_tile = weights[: J - i, :J], g_scores[: J - i, :J], g[b, i:J, h]
            product(q[i:J], k_columns[:, :J], p, scale, False)
            product(g_tile, v_columns[:, :J], g_s, one, False)  # gradients of p until the kernel
            for t in range(i, J):
                along = _inner(g[b, t, h], y[b, t, h])
                largest, sum_ = top[b, h, t], total[b, h, t]
                _gradients(weights[t - i], g_scores[t - i], along, largest, sum_, t + 1, J)
            product(p.T, g_tile, g_v[:J], one, i < last)
            product(g_s.T, q[i:J], g_k[:J], scale, i < last)
            product(g_s, k[:J], g_q[i:J], scale, False)


@jit
def _exponentials(row, seen, J):
    """exp(score - the largest) in place, 0 from ``seen`` on; returns the largest and the sum."""
    largest = row.dtype.type(-np.inf)
    for j in range(seen):
        largest = maximum(largest, row[j])
    total = row.dtype.type(0)
    for j in range(seen):
        e = exp(row[j] - largest)
        row[j] = e
        total += e
    future = row.dtype.type(0) * total  # 0, and NaN in a row that is, as in reference.py
    for j in range(seen, J):
        row[j] = future
    return largest, total


@jit
def _divide(y, total):
    weight = y.dtype.type(1) / total
    for d in range(len(y)):
        y[d] *= weight


@jit
def _inner(g, y):
    total = y.dtype.type(0)
    for d in range(len(y)):
        total += g[d] * y[d]
    return total


@jit
def _gradients(row, g_row, along, largest, total, seen, J):
    """Scores become weights; the gradients of weights become those of scores, short of scale."""
    weight = row.dtype.type(1) / total
    for j in range(seen):
        p = exp(row[j] - largest) * weight
        row[j] = p
        g_row[j] = p * (g_row[j] - along)
    future = row.dtype.type(0) * weight
    for j in range(seen, J):
        row[j] = future
        g_row[j] = future * (g_row[j] - along)
