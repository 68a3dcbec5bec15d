"""Causal attention: BLAS for the products, numba for scale, mask and softmax in one pass.

q, k and v are views of the packed projection: a matrix (T, D) with rows 3 C apart is one that BLAS
takes as it is. The products are written straight into the packed layout, so nothing is copied.
"""

import math

import numpy as np

from autograd.kernels._numba import exp, jit, maximum, parallel_rows, rows_per_part


def forward(xp, qkv, n_head):
    B, T, C3 = qkv.shape
    q, k, v = _split(qkv, n_head)
    p = np.matmul(q, k.swapaxes(-1, -2))  # (B, H, T, T), products of q and k until the kernel
    scale = qkv.dtype.type(1 / math.sqrt(q.shape[-1]))
    rows = B * n_head * T
    parallel_rows(_weights, rows, rows_per_part(rows, T), p.reshape(rows, T), scale)
    y = np.empty((B, T, n_head, q.shape[-1]), qkv.dtype)
    np.matmul(p, v, out=y.transpose(0, 2, 1, 3))
    return y.reshape(B, T, C3 // 3), (p,)


def backward(xp, g, qkv, n_head, cache=None):
    B, T, C3 = qkv.shape
    q, k, v = _split(qkv, n_head)
    (p,) = cache if cache is not None else forward(xp, qkv, n_head)[1]
    g = g.reshape(B, T, n_head, q.shape[-1]).transpose(0, 2, 1, 3)  # (B, H, T, D)
    g_s = np.matmul(g, v.swapaxes(-1, -2))  # (B, H, T, T), gradients of p until the kernel
    scale = qkv.dtype.type(1 / math.sqrt(q.shape[-1]))
    rows = B * n_head * T
    arrays = (p.reshape(rows, T), g_s.reshape(rows, T), scale)
    parallel_rows(_scores_gradient, rows, rows_per_part(rows, T), *arrays)
    g_qkv = np.empty_like(qkv)
    g_q, g_k, g_v = _split(g_qkv, n_head)
    np.matmul(g_s, k, out=g_q)
    np.matmul(g_s.swapaxes(-1, -2), q, out=g_k)
    np.matmul(p.swapaxes(-1, -2), g, out=g_v)
    return g_qkv


def _split(qkv, n_head):
    B, T, C3 = qkv.shape
    return qkv.reshape(B, T, 3, n_head, C3 // 3 // n_head).transpose(2, 0, 3, 1, 4)


@jit
def _weights(s, scale, start, stop):
    T = s.shape[1]
    for i in range(start, stop):
        row = s[i]
        seen = i % T + 1  # query t looks at keys 0 to t
        top = s.dtype.type(-np.inf)
        for j in range(seen):
            row[j] *= scale
            top = maximum(top, row[j])
        total = s.dtype.type(0)
        for j in range(seen):
            e = exp(row[j] - top)
            row[j] = e
            total += e
        weight = s.dtype.type(1) / total
        for j in range(seen):
            row[j] *= weight
        future = s.dtype.type(0) * weight  # 0, and NaN in a row that is NaN, as in reference.py
        for j in range(seen, T):
            row[j] = future


@jit
def _scores_gradient(p, g_p, scale, start, stop):
    T = p.shape[1]
    for i in range(start, stop):
        row, g_row = p[i], g_p[i]
        along = p.dtype.type(0)
        for j in range(T):
            along += g_row[j] * row[j]
        for j in range(T):
            g_row[j] = row[j] * (g_row[j] - along) * scale
