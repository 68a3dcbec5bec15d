"""Grouped-query attention in tiles: some queries of one head, against the keys that they see.

The tiles are those of ../attention/cpu.py, which explains them: products of 64 rows and columns by
BLAS, and between two products loops over single rows. What is different:

- Keys that the whole tile does not see, behind it or before its window and its documents, are
  skipped. Positions need not begin where tiles do, so the edges of what is visible cross blocks,
  and the loops that hide what is beyond an edge run over these blocks alone. A window and documents
  are the same to the loops: each query has a first key.
- A cap on the scores is one more loop over each row.
- Heads that share keys work independently: backward makes the gradients of keys and values for each
  query head, and adds up those of a group at the end. The threads then have B H heads to share,
  however few groups there are, and the order of the sum is fixed.

Arrays are read by token, (B, T, H, D), as a linear layer leaves them: what the caller transposed to
(B, H, T, D) is not copied, and the results are transposed in the same way.
"""

import numpy as np

from autograd.kernels import _blas
from autograd.kernels._gemm import available, gemm_in_kernel, transpose
from autograd.kernels._jit import jit, part
from autograd.kernels._threads import parallel_rows, rows_per_part
from autograd.kernels.attention import bf16
from autograd.kernels.attention.cpu import TILE, row_length
from autograd.kernels.attention.rows import (
    cap_scores,
    divide,
    exponentials,
    gradients,
    hide_after,
    hide_before,
    inner,
    largest_of,
    multiply_rows,
    slopes,
)  # fmt: skip
from autograd.kernels.grouped_query_attention import reference


def forward(xp, q, k, v, scale, window, softcap, documents=None, precision="float32"):
    if bf16.rounds(precision, q) and not bf16.suits(precision, q):
        return reference.forward(xp, q, k, v, scale, window, softcap, documents, precision)
    q, k, v = map(_by_token, (q, k, v))
    B, T, H, _ = q.shape
    y, options = np.empty_like(q), _options(q, k, scale, window, softcap, documents)
    if bf16.suits(precision, q):
        cache = bf16.forward(q, k, v, (k.shape[2], 0, 0, 0), y, *options)
    else:
        cache = tuple(np.empty((B, H, T), q.dtype) for _ in range(2))
        _each_head(_forward, q, k, v, y, *cache, *options)
    return y.swapaxes(1, 2), cache


def backward(
    xp, g, q, k, v, y, scale, window, softcap, documents=None, cache=None, precision="float32"
):
    options = scale, window, softcap, documents
    if cache is None:
        cache = forward(xp, q, k, v, *options, precision)[1]
    if bf16.rounds(precision, q) and not bf16.suits(precision, q):
        return reference.backward(xp, g, q, k, v, y, *options, cache, precision)
    g, q, k, v, y = map(_by_token, (g, q, k, v, y))
    (B, T, H, D), (S, G) = q.shape, k.shape[1:3]
    cache, options = [np.reshape(a, (B, H, T)) for a in cache], _options(q, k, *options)
    g_q = np.empty_like(q)
    if bf16.suits(precision, q):
        g_k, g_v = np.empty_like(k), np.empty_like(v)
        bf16.backward(q, k, v, (G, 0, 0, 0), cache, g, g_q, g_k, g_v, *options)
    else:
        g_k, g_v = np.zeros((2, B, S, H, D), q.dtype)
        _each_head(_backward, q, k, v, y, *cache, g, g_q, g_k, g_v, *options)
        if G != H:
            g_k, g_v = (a.reshape(B, S, G, H // G, D).sum(axis=3) for a in (g_k, g_v))
    return tuple(a.swapaxes(1, 2) for a in (g_q, g_k, g_v))


def _by_token(x):
    """(B, H, T, D) as contiguous (B, T, H, D): a copy only if it was not made from that."""
    return np.ascontiguousarray(x.swapaxes(1, 2))


def _options(q, k, scale, window, softcap, documents):
    """The first key that each query sees (B, T), the scale, the window, and the cap or 0."""
    (B, T), S = q.shape[:2], k.shape[1]
    window = S if window is None else min(window, S)
    first = np.maximum(0, np.arange(S - T, S) - window + 1)
    first = np.tile(first, (B, 1)) if documents is None else np.maximum(first, documents)
    return first, q.dtype.type(scale), window, q.dtype.type(softcap or 0)


def _each_head(kernel, q, k, *arguments):
    (B, T, H, _), S, window = q.shape, k.shape[1], arguments[-2]
    if not available():  # the same loops in Python, with NumPy's products
        kernel.py_func(q, k, *arguments, 0, B * H)
        return
    with _blas.one_thread_each():
        step = rows_per_part(B * H, T * min(S, window + TILE))
        parallel_rows(kernel, B * H, step, q, k, *arguments)


@jit
def _forward(q, k, v, y, top, total, first, scale, window, cap, start, stop):
    T, H, D = q.shape[1:]
    S, G = k.shape[1:3]
    one = y.dtype.type(1)
    scores = np.empty((TILE, row_length(min(S, window + 2 * TILE))), y.dtype)
    k_columns = np.empty((D, row_length(S)), y.dtype)
    for head in range(start, stop):
        b, h = head // H, head % H
        kv = h // (H // G)
        transpose(k[b, :, kv], k_columns[:, :S])
        for i in range(0, T, TILE):
            J = min(i + TILE, T)
            begin, end = first[b, i:J].min() // TILE * TILE, S - T + J
            p, y_tile = scores[: J - i], y[b, i:J, h]
            for j in range(begin, end, TILE):
                to = min(j + TILE, end)
                block = p[:, j - begin : to - begin]
                gemm_in_kernel(q[b, i:J, h], k_columns[:, j:to], block, scale, False)
            n = _cap_and_hide(scores, S - T + i, end, begin, first[b, i:J], cap)
            for t in range(J - i):
                top[b, h, i + t] = largest_of(scores[t, :n])
            for t in range(J - i):
                total[b, h, i + t] = exponentials(scores[t, :n], top[b, h, i + t])
            for j in range(begin, end, TILE):
                to = min(j + TILE, end)
                gemm_in_kernel(p[:, j - begin : to - begin], v[b, j:to, kv], y_tile, one, j > begin)
            for t in range(i, J):
                divide(y[b, t, h], total[b, h, t])


@jit
def _backward(q, k, v, y, top, total, g, g_q, g_k, g_v, first, scale, window, cap, start, stop):
    T, H, D = q.shape[1:]
    S, G = k.shape[1:3]
    one, width = y.dtype.type(1), row_length(min(S, window + 2 * TILE))
    weights, g_scores = np.empty((TILE, width), y.dtype), np.zeros((TILE, width), y.dtype)
    k_columns, v_columns = np.empty((2, D, row_length(S)), y.dtype)
    along, slope = np.empty(TILE, y.dtype), np.empty(width, y.dtype)
    for head in range(start, stop):
        b, h = head // H, head % H
        kv = h // (H // G)
        transpose(k[b, :, kv], k_columns[:, :S])
        transpose(v[b, :, kv], v_columns[:, :S])
        for i in range(0, T, TILE):
            J = min(i + TILE, T)
            begin, end = first[b, i:J].min() // TILE * TILE, S - T + J
            p, g_s, q_tile, g_tile = weights[: J - i], g_scores[: J - i], q[b, i:J, h], g[b, i:J, h]
            for j in range(begin, end, TILE):
                to = min(j + TILE, end)
                near, far = j - begin, to - begin
                gemm_in_kernel(q_tile, k_columns[:, j:to], p[:, near:far], scale, False)
                # for now g_s is the gradient of the weights p
                gemm_in_kernel(g_tile, v_columns[:, j:to], g_s[:, near:far], one, False)
            n = _cap_and_hide(weights, S - T + i, end, begin, first[b, i:J], cap)
            for t in range(i, J):
                along[t - i] = inner(g[b, t, h], y[b, t, h])
            for t in range(i, J):
                row, g_row = weights[t - i, :n], g_scores[t - i, :n]
                if cap > 0:
                    slopes(row, slope[:n], cap)
                gradients(row, g_row, along[t - i], top[b, h, t], total[b, h, t])
                if cap > 0:
                    multiply_rows(g_row, slope[:n])
            for j in range(begin, end, TILE):
                to = min(j + TILE, end)
                near, far = j - begin, to - begin
                gemm_in_kernel(p[:, near:far].T, g_tile, g_v[b, j:to, h], one, True)
                gemm_in_kernel(g_s[:, near:far].T, q_tile, g_k[b, j:to, h], scale, True)
                gemm_in_kernel(g_s[:, near:far], k[b, j:to, kv], g_q[b, i:J, h], scale, j > begin)


@part
def _cap_and_hide(scores, position, end, begin, first, cap):
    """Cap the scores, and set those that are not visible to minus infinity.

    Column 0 is key ``begin``, row 0 the query at ``position``, which sees no key before first[0].
    Returns the number of columns, whole blocks: those from key ``end`` on, never computed, are
    hidden like the rest of the future.
    """
    n = (end - begin + TILE - 1) // TILE * TILE
    future = (position - begin) // TILE * TILE  # all columns before it are no row's future
    past = (first.max() - begin + TILE - 1) // TILE * TILE  # and no row's past from here on
    for t in range(end - position):
        if cap > 0:
            cap_scores(scores[t, :n], cap)
        hide_after(scores[t, future:n], position + t - begin - future)
        hide_before(scores[t, :past], first[t] - begin)
    return n
