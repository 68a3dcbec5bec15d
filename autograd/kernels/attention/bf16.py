"""Attention at bf16 in tiles, where the processor multiplies bf16 numbers: for both attentions.

The tiles are those of cpu.py: some queries of a head, against the keys that they see. Products are
those of ../product, whose operands are rounded while they are packed into panels. Keys and values
are packed once for a head, queries and their gradients once for a tile. Between the products,
scores are rows of float32. A product fills whole blocks; beyond a matrix, its panels are 0.

The sums of a product run along the rows of a matrix as it lies in memory, or across them:

    scores = Q K^T      Q along,    K along         over the channels
    Y = P V             P along,    V across        over the keys
    g_P = g V^T         g along,    V along         over the channels
    g_Q = g_S K         g_S along,  K across        over the keys
    g_K = g_S^T Q       g_S across, Q across        over the queries of the tile
    g_V = P^T g         P across,   g across        over the queries of the tile

The threads share the heads of queries in forward, and the heads of keys in backward: a thread adds
up what all queries of a group give to their keys, in a fixed order.
"""

import numpy as np

from autograd.kernels._jit import inner_part, jit
from autograd.kernels._threads import parallel_rows, rows_per_part
from autograd.kernels.attention.panels import (
    ACROSS,
    ALONG,
    SIDE,
    A,
    B,
    blocks,
    multiply,
    new_panels,
    new_rows,
    pack,
    tools,
)  # fmt: skip
from autograd.kernels.attention.rows import (
    cap_scores,
    divide,
    exponentials,
    hide_after,
    hide_before,
    largest_of,
    multiply_by,
    multiply_rows,
    slopes,
    times_jacobian,
    weigh,
)  # fmt: skip
from autograd.kernels.product.block import begin, end
from autograd.kernels.product.choice import method

ROWS = SIDE
"""Queries of a tile: one panel, so that little of the future is computed and thrown away."""
APART = 16
"""Numbers between two rows of scores: rows a power of two apart would fight for cache."""


def rounds(precision, y):
    """Whether the products of an attention with the output y have rounded operands."""
    return precision == "bf16" and y.dtype == np.float32


def suits(precision, y):
    """Whether it is computed here. If not, its reference is: no other kernel rounds."""
    return rounds(precision, y) and y.size > 0 and method() is not None


def forward(q, k, v, heads, y, first, scale, window, cap):
    """Fill y (N, T, H, D), and return the two numbers per row, (N, H, T) each.

    q, k and v are contiguous, (N, T, ., D) and twice (N, S, ., D), and may be one array: ``heads``
    says how many heads the keys have, and which heads are the first of q, k and v. ``first`` (N, T)
    is the first key that a query sees, ``window`` the most keys, ``cap`` that of the scores, or 0.
    """
    N, T, H, _ = y.shape
    top, total = (np.empty((N, H, T), y.dtype) for _ in range(2))
    arrays = q, k, v, heads, y, top, total, first
    _each_head(_forward, N * H, T * window, *arrays, scale, window, cap)
    return top, total


def backward(q, k, v, heads, cache, g, g_q, g_k, g_v, first, scale, window, cap):
    """Fill g_q, g_k and g_v, which are like q, k and v."""
    (N, T, H, _), G = g.shape, heads[0]
    arrays = q, k, v, heads, *cache, g, g_q, g_k, g_v, first
    _each_head(_backward, N * G, H // G * T * window, *arrays, scale, window, cap)


def _each_head(kernel, n_heads, head_size, *arrays_and_options):
    *arrays, scale, window, cap = arrays_and_options
    arguments = tools(), *arrays, np.float32(scale), window, np.float32(cap)
    parallel_rows(kernel, n_heads, rows_per_part(n_heads, head_size), *arguments)


@jit
def _forward(tools, q, k, v, heads, y, top, total, first, scale, window, cap, start, stop):
    (T, H, D), S = y.shape[1:], k.shape[1]
    G, q0, k0, v0 = heads
    widest, width = blocks(window + ROWS) + 1, SIDE * blocks(D)
    scores, out = new_rows(ROWS, SIDE * widest + APART), new_rows(ROWS, width)
    q_along, p_along = new_panels(ROWS, D), new_panels(ROWS, SIDE * widest)
    k_along, v_across = new_panels(S, D), new_panels(D, S)
    edge, zeros = np.empty((SIDE, SIDE), np.float32), np.zeros(SIDE, np.float32)
    begin(tools[0])
    for head in range(start, stop):
        b, h = head // H, head % H
        kv = h // (H // G)
        if head == start or h % (H // G) == 0:
            pack(tools, k[b, :, k0 + kv], B, ALONG, k_along, edge)
            pack(tools, v[b, :, v0 + kv], B, ACROSS, v_across, edge)
        for i in range(0, T, ROWS):
            J = min(i + ROWS, T)
            p0, p1 = first[b, i:J].min() // SIDE, blocks(S - T + J)  # the panels of its keys
            n, position = SIDE * (p1 - p0), S - T + i - SIDE * p0
            pack(tools, q[b, i:J, q0 + h], A, ALONG, q_along, edge)
            multiply(tools, q_along, k_along[p0:p1], scores, zeros, False)
            for t in range(J - i):
                hidden = first[b, i + t] - SIDE * p0
                _finish(scores[t, :n], scale, cap, hidden, position + t, position)
            for t in range(J - i):
                top[b, h, i + t] = largest_of(scores[t, :n])
            for t in range(J - i):
                total[b, h, i + t] = exponentials(scores[t, :n], top[b, h, i + t])
            for t in range(J - i):
                divide(scores[t, :n], total[b, h, i + t])
            p, p_tile = scores[: J - i, : position + J - i], p_along[:, : p1 - p0]
            pack(tools, p, A, ALONG, p_tile, edge)
            multiply(tools, p_tile, v_across[:, p0:p1], out, zeros, False)
            for t in range(J - i):
                _copy(out[t], y[b, i + t, h])
    end(tools[0])


@jit
def _backward(
    tools, q, k, v, heads, top, total, g, g_q, g_k, g_v, first, scale, window, cap, start, stop
):
    (T, H, D), S = g.shape[1:], k.shape[1]
    G, q0, k0, v0 = heads
    widest, width = blocks(window + ROWS) + 1, SIDE * blocks(D)
    scores, g_scores = new_rows(ROWS, SIDE * widest + APART), new_rows(ROWS, SIDE * widest + APART)
    out, slope = new_rows(ROWS, width), np.empty(SIDE * widest, np.float32)
    g_keys, g_values = new_rows(SIDE * blocks(S), width), new_rows(SIDE * blocks(S), width)
    k_along, k_across, v_along = new_panels(S, D), new_panels(D, S), new_panels(S, D)
    q_along, q_across = new_panels(ROWS, D), new_panels(D, ROWS)
    g_along, g_across = new_panels(ROWS, D), new_panels(D, ROWS)
    s_along, s_across = new_panels(ROWS, SIDE * widest), new_panels(SIDE * widest, ROWS)
    edge, zeros = np.empty((SIDE, SIDE), np.float32), np.zeros(SIDE, np.float32)
    begin(tools[0])
    for head in range(start, stop):
        b, kv = head // G, head % G
        pack(tools, k[b, :, k0 + kv], B, ALONG, k_along, edge)
        pack(tools, k[b, :, k0 + kv], B, ACROSS, k_across, edge)
        pack(tools, v[b, :, v0 + kv], B, ALONG, v_along, edge)
        g_keys[:] = 0
        g_values[:] = 0
        for h in range(kv * (H // G), (kv + 1) * (H // G)):
            for i in range(0, T, ROWS):
                J = min(i + ROWS, T)
                p0, p1 = first[b, i:J].min() // SIDE, blocks(S - T + J)
                n, position = SIDE * (p1 - p0), S - T + i - SIDE * p0
                pack(tools, q[b, i:J, q0 + h], A, ALONG, q_along, edge)
                pack(tools, q[b, i:J, q0 + h], B, ACROSS, q_across, edge)
                pack(tools, g[b, i:J, h], A, ALONG, g_along, edge)
                pack(tools, g[b, i:J, h], B, ACROSS, g_across, edge)
                multiply(tools, q_along, k_along[p0:p1], scores, zeros, False)
                multiply(tools, g_along, v_along[p0:p1], g_scores, zeros, False)  # g_P, for now
                for t in range(J - i):
                    hidden = first[b, i + t] - SIDE * p0
                    _finish(scores[t, :n], scale, cap, hidden, position + t, position)
                for t in range(J - i):
                    row, g_row = scores[t, :n], g_scores[t, :n]
                    if cap > 0:
                        slopes(row, slope[:n], cap)
                    weigh(row, top[b, h, i + t], total[b, h, i + t])
                    times_jacobian(row, g_row)
                    if cap > 0:
                        multiply_rows(g_row, slope[:n])
                    multiply_by(g_row, scale)
                seen = position + J - i
                p, g_s = scores[: J - i, :seen], g_scores[: J - i, :seen]
                pack(tools, g_s, A, ALONG, s_along[:, : p1 - p0], edge)
                multiply(tools, s_along[:, : p1 - p0], k_across[:, p0:p1], out, zeros, False)
                for t in range(J - i):
                    _copy(out[t], g_q[b, i + t, q0 + h])
                pack(tools, g_s, A, ACROSS, s_across, edge)
                multiply(tools, s_across[: p1 - p0], q_across, g_keys[SIDE * p0 :], zeros, True)
                pack(tools, p, A, ACROSS, s_across, edge)
                multiply(tools, s_across[: p1 - p0], g_across, g_values[SIDE * p0 :], zeros, True)
        for s in range(S):
            _copy(g_keys[s], g_k[b, s, k0 + kv])
            _copy(g_values[s], g_v[b, s, v0 + kv])
    end(tools[0])


@inner_part
def _finish(row, scale, cap, first, last, tile):
    """Scale and cap the products, and hide what is not in the columns from ``first`` to ``last``.

    The tile's first query sees all keys from its own first to column ``tile``, and no later one.
    """
    multiply_by(row, scale)
    if cap > 0:
        cap_scores(row, cap)
    if first > 0:
        hide_before(row, first)
    future = tile // SIDE * SIDE
    hide_after(row[future:], last - future)


@inner_part
def _copy(row, to):
    for d in range(len(to)):
        to[d] = row[d]
