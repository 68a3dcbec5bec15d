"""The whole model for a few new tokens, in one compiled call per thread: the fused decode path.

It computes what the models' pages define (model/llama.py, model/gpt.py), for M tokens, each of some
row of a batch at some position:

    x = x + after(attention(before(x)))        n_layer times; x is the residual stream (M, C)
    x = x + after(mlp(before(x)))
    logits = norm(x) W^T                       of the tokens whose successors are asked for

Nearly all the time goes to reading the weights, once for all M tokens. The work in between is
little, but it must not make the threads wait: the stages of autograd/kernels/_stages.py divide it
among them.

Records (step_records.py) say where in memory everything is. Arrays would do, but each function that
gets one counts its references, and the kernel would take minutes to compile.
"""

import numpy as np
from numba import float32, int64

from autograd.kernels._calls import caller
from autograd.kernels._jit import inner_part, jit
from autograd.kernels._stages import chunks
from tinygrad_llm.generation.step_parts import (
    activate,
    add,
    add_vector,
    array_at,
    attend,
    cap_all,
    copy,
    gate,
    integer_at,
    normalize,
    turn,
)
from tinygrad_llm.generation.step_records import ALL_NORM, HEAD_NORM
from tinygrad_llm.quantized.products import N_COLUMNS, N_ROWS, ROW_BYTES

PER_LAYER = 8
"""Stages of a layer; the output layer has two more."""
CHUNK = 1 << 17
"""Bytes of the weights in a chunk of a product: with fewer, memory is read in pieces too short to
be fast."""

MATRIX, FLOATS = int64[::1], float32[:, ::1]
MULTIPLY = (MATRIX, FLOATS, FLOATS, int64, int64)
"""The types of the arguments of quantized/products.py's ``multiply``."""
_multiply = caller(*MULTIPLY)


# --- what a chunk of a stage does -----------------------------------------------------------------


@inner_part
def row_at(address, i, n):
    """Row i of an array (..., n) at an address."""
    return array_at(address + 4 * i * n, (n,))


@inner_part
def add_branch(model, work, m, after, bias):
    """x = x + after(branch), for token m."""
    C = model.n_embd
    x, branch = row_at(work.x, m, C), row_at(work.branch, m, C)
    if after != 0:
        normalize(model, branch, branch, after, bias, branch)
    add(x, branch)


@inner_part
def start_branch(model, work, m, to, before, bias):
    """h = before(x), for token m, in row ``to`` of h."""
    C = model.n_embd
    x, h = row_at(work.x, m, C), row_at(work.h, to, C)
    if before != 0:
        normalize(model, x, x, before, bias, h)
    else:
        copy(x, h)


@inner_part
def rows_per_chunk(matrix):
    return max(1, CHUNK // matrix[ROW_BYTES])


@inner_part
def n_chunks(matrix):
    """How many chunks the product with a matrix has."""
    step = rows_per_chunk(matrix)
    return (matrix[N_ROWS] + step - 1) // step


@inner_part
def product(model, matrix, M, x, y, chunk, bias):
    """y = x W^T + b, for some rows of W; returns the first and the one after the last.

    x and y are addresses of (M, C) and (M, R).
    """
    R, C = matrix[N_ROWS], matrix[N_COLUMNS]
    begin = chunk * rows_per_chunk(matrix)
    end = min(begin + rows_per_chunk(matrix), R)
    outputs = array_at(y, (M, R))
    _multiply(model.multiply, (matrix, array_at(x, (M, C)), outputs, begin, end))
    if bias != 0:
        for m in range(M):
            add_vector(outputs[m, begin:end], bias + 4 * begin)
    return begin, end


@inner_part
def project(model, layer, matrices, work, chunk, n_q, n_k):
    """Queries, keys and values: one of n_q + n_k + n_k chunks."""
    M = work.n_tokens
    if chunk < n_q:
        product(model, matrices[layer.q], M, work.h, work.q, chunk, layer.q_bias)
    elif chunk < n_q + n_k:
        product(model, matrices[layer.k], M, work.h, work.k, chunk - n_q, layer.k_bias)
    else:
        product(model, matrices[layer.v], M, work.h, work.v, chunk - n_q - n_k, layer.v_bias)


@inner_part
def gated(model, layer, matrices, work, chunk):
    """gates = act(h W_gate^T) * (h W_up^T), or without a gate act(h W_up^T)."""
    M = work.n_tokens
    if layer.gate >= 0:
        product(model, matrices[layer.gate], M, work.h, work.gates, chunk, layer.gate_bias)
    begin, end = product(
        model, matrices[layer.up], M, work.h,
        work.ups if layer.gate >= 0 else work.gates, chunk, layer.up_bias,
    )  # fmt: skip
    for m in range(M):
        gates = row_at(work.gates, m, model.n_hidden)[begin:end]
        activate(gates, model.activation)
        if layer.gate >= 0:
            gate(gates, row_at(work.ups, m, model.n_hidden)[begin:end])


@inner_part
def make_query(model, layer, work, m, head):
    """The query of a token and a head, normalized and turned."""
    H, D = model.n_head, model.head_dim
    q = row_at(work.queries, m * H + head, D)
    finish(model, layer, work, m, row_at(work.q, m, H * D), head, layer.q_norm, q)


@inner_part
def store_key_and_value(model, layer, work, cache, m, head):
    """The key, normalized and turned, and the value go to the token's slot of the cache."""
    G, D, R = model.n_kv_head, model.head_dim, cache.slots
    row, position = integer_at(work.rows, m), integer_at(work.positions, m)
    slot = (row * G + head) * R + position % R
    key, value = row_at(cache.keys, slot, D), row_at(cache.values, slot, D)
    finish(model, layer, work, m, row_at(work.k, m, G * D), head, layer.k_norm, key)
    copy(row_at(work.v, m * G + head, D), value)


@inner_part
def finish(model, layer, work, m, heads, head, norm, y):
    """y = one of the heads of token m, normalized, and turned by the angles of its position."""
    D, half = model.head_dim, model.n_turned // 2
    x = heads[head * D : (head + 1) * D]
    if model.qk_norm == HEAD_NORM:
        normalize(model, x, x, norm, 0, y)
    elif model.qk_norm == ALL_NORM:
        normalize(model, x, heads, norm + 4 * head * D, 0, y)
    else:
        copy(x, y)
    if layer.angles >= 0:
        angles = layer.angles * work.n_tokens + m
        turn(y, row_at(work.cos, angles, half), row_at(work.sin, angles, half))


@inner_part
def look_back(model, layer, work, cache, m, head, scores):
    """What a head of a token finds among the tokens up to its own, or in its window of them."""
    H, G, D, R = model.n_head, model.n_kv_head, model.head_dim, cache.slots
    row, last = integer_at(work.rows, m), integer_at(work.positions, m)
    block = (row * G + head // (H // G)) * R
    keys = array_at(cache.keys + 4 * block * D, (R, D))
    values = array_at(cache.values + 4 * block * D, (R, D))
    first = 0 if layer.window == 0 else max(0, last - layer.window + 1)
    q, y = row_at(work.queries, m * H + head, D), row_at(work.y, m * H + head, D)
    attend(q, keys, values, first, last, model.scale, model.softcap, scores, y)


# --- the model ------------------------------------------------------------------------------------


@jit
def step(model, layers, matrices, caches, work, counters, start, stop):
    """A whole step. ``start`` and ``stop`` number the thread, and do not matter."""
    M, H, G, s = work.n_tokens, model.n_head, model.n_kv_head, 0
    scores = np.empty(work.longest, np.float32)
    for i in range(len(layers)):
        layer, cache = layers[i], caches[i]
        n_q, n_k = n_chunks(matrices[layer.q]), n_chunks(matrices[layer.k])

        for m in chunks(counters[s], M):
            previous = layers[max(0, i - 1)]
            after, bias = previous.after_mlp, previous.after_mlp_bias
            if i == 0:
                after = 0
            add_branch(model, work, m, after, bias)
            start_branch(model, work, m, m, layer.before_attention, layer.before_attention_bias)
        for c in chunks(counters[s + 1], n_q + 2 * n_k):
            project(model, layer, matrices, work, c, n_q, n_k)
        for c in chunks(counters[s + 2], M * (H + G)):
            m, head = c // (H + G), c % (H + G)
            if head < H:
                make_query(model, layer, work, m, head)
            else:
                store_key_and_value(model, layer, work, cache, m, head - H)
        for c in chunks(counters[s + 3], M * H):
            look_back(model, layer, work, cache, c // H, c % H, scores)
        for c in chunks(counters[s + 4], n_chunks(matrices[layer.out])):
            product(model, matrices[layer.out], M, work.y, work.branch, c, layer.out_bias)

        for m in chunks(counters[s + 5], M):
            add_branch(model, work, m, layer.after_attention, layer.after_attention_bias)
            start_branch(model, work, m, m, layer.before_mlp, layer.before_mlp_bias)
        for c in chunks(counters[s + 6], n_chunks(matrices[layer.up])):
            gated(model, layer, matrices, work, c)
        for c in chunks(counters[s + 7], n_chunks(matrices[layer.down])):
            product(model, matrices[layer.down], M, work.gates, work.branch, c, layer.down_bias)
        s += PER_LAYER

    for n in chunks(counters[s], work.n_asked):
        m, last = integer_at(work.asked, n), layers[len(layers) - 1]
        add_branch(model, work, m, last.after_mlp, last.after_mlp_bias)
        start_branch(model, work, m, n, model.last_norm, model.last_norm_bias)
    head = matrices[model.head]
    for c in chunks(counters[s + 1], n_chunks(head)):
        begin, end = product(model, head, work.n_asked, work.h, work.logits, c, 0)
        for n in range(work.n_asked):
            cap_all(row_at(work.logits, n, model.vocab_size)[begin:end], model.logit_softcap)
