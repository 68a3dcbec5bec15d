"""Causal attention, one head at a time: BLAS for the products, numba for the softmax between them.

A head's weights (T, T) are made, normalized and used while they are in cache, by one thread; the
threads share the B H heads between them. q, k, v and their gradients are views of the packed
projection, whose rows are 3 C apart: BLAS takes and writes them where they are, nothing is copied.
"""

import math

import numpy as np

from autograd.kernels import _blas
from autograd.kernels._numba import exp, jit, maximum, parallel_rows, rows_per_part


def forward(xp, qkv, n_head):
    B, T, C3 = qkv.shape
    q, k, v = _split(qkv, n_head)
    p = np.empty((B, n_head, T, T), qkv.dtype)
    y = np.empty((B, T, n_head, q.shape[-1]), qkv.dtype)
    _each_head(_forward_head, q, k, v, p, y.transpose(0, 2, 1, 3))
    return y.reshape(B, T, C3 // 3), (p,)


def backward(xp, g, qkv, n_head, cache=None):
    B, T, C3 = qkv.shape
    q, k, v = _split(qkv, n_head)
    (p,) = cache if cache is not None else forward(xp, qkv, n_head)[1]
    g = g.reshape(B, T, n_head, q.shape[-1]).transpose(0, 2, 1, 3)  # (B, H, T, D)
    g_qkv = np.empty_like(qkv)
    _each_head(_backward_head, q, k, v, p, g, *_split(g_qkv, n_head))
    return g_qkv


def _split(qkv, n_head):
    B, T, C3 = qkv.shape
    return qkv.reshape(B, T, 3, n_head, C3 // 3 // n_head).transpose(2, 0, 3, 1, 4)


def _each_head(function, *arrays):
    """Call ``function`` with the (T, ...) arrays of every batch and head, several at once."""
    B, H, T, _ = arrays[0].shape
    step = rows_per_part(B * H, T * T) if _blas.can_limit() else max(1, B * H)

    def heads(start, stop):
        for i in range(start, stop):
            function(*(a[i // H, i % H] for a in arrays))

    with _blas.one_thread_each():
        parallel_rows(heads, B * H, step)


def _forward_head(q, k, v, p, y):
    np.matmul(q, k.T, out=p)  # (T, T), products of q and k until the kernel
    _weights(p, p.dtype.type(1 / math.sqrt(q.shape[-1])))
    np.matmul(p, v, out=y)  # (T, D)


def _backward_head(q, k, v, p, g, g_q, g_k, g_v):
    np.matmul(p.T, g, out=g_v)  # (T, D)
    g_s = np.matmul(g, v.T)  # (T, T), gradients of p until the kernel
    _scores_gradient(p, g_s, p.dtype.type(1 / math.sqrt(q.shape[-1])))
    np.matmul(g_s, k, out=g_q)
    np.matmul(g_s.T, q, out=g_k)


@jit
def _weights(s, scale):
    T = s.shape[1]
    for i in range(T):
        row = s[i]
        seen = i + 1  # query i looks at keys 0 to i
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
def _scores_gradient(p, g_p, scale):
    T = p.shape[1]
    for i in range(T):
        row, g_row = p[i], g_p[i]
        along = p.dtype.type(0)
        for j in range(T):
            along += g_row[j] * row[j]
        for j in range(T):
            g_row[j] = row[j] * (g_row[j] - along) * scale
