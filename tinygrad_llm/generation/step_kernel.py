"""The whole model for a few new tokens, in one compiled call per thread: the fused decode path.

It computes what the models' pages define (model/llama.py, model/gpt.py), for M tokens, each of some
row of a batch at some position:

    x = x + after(attention(before(x)))        n_layer times; x is the residual stream (M, C)
    x = x + after(mlp(before(x)))
    logits = norm(x) W^T                       of the tokens whose successors are asked for

Nearly all the time goes to reading the weights, once for all M tokens. The work in between is
little, but it must not make the threads wait for each other. They share it in stages
(autograd/kernels/_stages.py), five in each layer:

    q, k, v | attention | out | gate, up | down

What the first and the fourth need of the residual stream is so few numbers that each thread
computes them for itself, before its first chunk.

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

PER_LAYER = 6
"""Stages of a layer, of which one is empty in most models; the output layer is one more."""
CHUNK = 1 << 18
"""The most bytes of weights in a chunk of a product: with far fewer, memory is read in pieces too
short to be fast."""
EVEN = 4
"""A product of more than two chunks has a multiple of this, so that two or four threads get equally
many."""

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
def enter(model, work, tokens, n, x, after, after_bias, before, before_bias, h, new_x):
    """h = before(x + after(branch)) for n tokens: what a branch, or the output layer, works on.

    ``tokens`` is the address of their numbers. new_x becomes the sum, unless it is 0.
    """
    C = model.n_embd
    for i in range(n):
        m = integer_at(tokens, i)
        branch, h_m = row_at(work.branch, m, C), row_at(h, i, C)
        if after != 0:
            normalize(model, branch, branch, after, after_bias, h_m)
        else:
            copy(branch, h_m)
        add(h_m, row_at(x, m, C))
        if new_x != 0:
            copy(h_m, row_at(new_x, m, C))
        if before != 0:
            normalize(model, h_m, h_m, before, before_bias, h_m)


@inner_part
def rows_per_chunk(matrix, unit):
    """A multiple of ``unit``, of which the matrix has a whole number."""
    n = (matrix[N_ROWS] * matrix[ROW_BYTES] + CHUNK - 1) // CHUNK
    if n > 2:
        n = (n + EVEN - 1) // EVEN * EVEN
    units = matrix[N_ROWS] // unit
    return (units + n - 1) // n * unit


@inner_part
def n_chunks(matrix, unit):
    """How many chunks the product with a matrix has."""
    step = rows_per_chunk(matrix, unit)
    return (matrix[N_ROWS] + step - 1) // step


@inner_part
def product(model, matrix, M, x, y, chunk, bias, unit):
    """y = x W^T + b, for some rows of W; returns the first and the one after the last.

    x and y are addresses of (M, C) and (M, R).
    """
    R, C = matrix[N_ROWS], matrix[N_COLUMNS]
    begin = chunk * rows_per_chunk(matrix, unit)
    end = min(begin + rows_per_chunk(matrix, unit), R)
    outputs = array_at(y, (M, R))
    _multiply(model.multiply, (matrix, array_at(x, (M, C)), outputs, begin, end))
    if bias != 0:
        for m in range(M):
            add_vector(outputs[m, begin:end], bias + 4 * begin)
    return begin, end


@inner_part
def project(model, layer, matrices, work, cache, h, chunk, n_q, n_k):
    """Queries, keys and values: one of n_q + n_k + n_k chunks. Keys and values go to the cache."""
    M, D = work.n_tokens, model.head_dim
    if chunk < n_q:
        product(model, matrices[layer.q], M, h, work.q, chunk, layer.q_bias, 1)
    elif chunk < n_q + n_k:
        chunk -= n_q
        begin, end = product(model, matrices[layer.k], M, h, work.k, chunk, layer.k_bias, D)
        if model.qk_norm != ALL_NORM:
            for m in range(M):
                for head in range(begin // D, end // D):
                    store_key(model, layer, work, cache, m, head)
    else:
        chunk -= n_q + n_k
        begin, end = product(model, matrices[layer.v], M, h, work.v, chunk, layer.v_bias, D)
        for m in range(M):
            for head in range(begin // D, end // D):
                value = row_at(work.v, m * model.n_kv_head + head, D)
                copy(value, row_at(cache.values, slot_of(model, work, cache, m, head), D))


@inner_part
def slot_of(model, work, cache, m, head):
    """Where the cache stores a head's key and value of token m."""
    row, position = integer_at(work.rows, m), integer_at(work.positions, m)
    return (row * model.n_kv_head + head) * cache.slots + position % cache.slots


@inner_part
def store_key(model, layer, work, cache, m, head):
    """The key of a token and a head, normalized and turned, goes to the cache."""
    G, D = model.n_kv_head, model.head_dim
    key = row_at(cache.keys, slot_of(model, work, cache, m, head), D)
    finish(model, layer, work, m, row_at(work.k, m, G * D), head, layer.k_norm, key)


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
        position = integer_at(work.positions, m)
        cos = integer_at(work.angles, 2 * layer.angles)
        sin = integer_at(work.angles, 2 * layer.angles + 1)
        turn(y, row_at(cos, position, half), row_at(sin, position, half))


@inner_part
def look_back(model, layer, work, cache, m, head, q, scores):
    """What a head of a token finds among the tokens up to its own, or in its window of them."""
    H, G, D, R = model.n_head, model.n_kv_head, model.head_dim, cache.slots
    finish(model, layer, work, m, row_at(work.q, m, H * D), head, layer.q_norm, q)
    row, last = integer_at(work.rows, m), integer_at(work.positions, m)
    block = (row * G + head // (H // G)) * R
    keys = array_at(cache.keys + 4 * block * D, (R, D))
    values = array_at(cache.values + 4 * block * D, (R, D))
    first = 0 if layer.window == 0 else max(0, last - layer.window + 1)
    y = row_at(work.y, m * H + head, D)
    attend(q, keys, values, first, last, model.scale, model.softcap, scores, y)


@inner_part
def gated(model, layer, matrices, work, h, chunk):
    """gates = act(h W_gate^T) * (h W_up^T), or without a gate act(h W_up^T)."""
    M = work.n_tokens
    if layer.gate >= 0:
        product(model, matrices[layer.gate], M, h, work.gates, chunk, layer.gate_bias, 1)
    begin, end = product(
        model, matrices[layer.up], M, h,
        work.ups if layer.gate >= 0 else work.gates, chunk, layer.up_bias, 1,
    )  # fmt: skip
    for m in range(M):
        gates = row_at(work.gates, m, model.n_hidden)[begin:end]
        activate(gates, model.activation)
        if layer.gate >= 0:
            gate(gates, row_at(work.ups, m, model.n_hidden)[begin:end])


# --- the model ------------------------------------------------------------------------------------


@jit
def step(models, layers, matrices, caches, works, counters, start, stop):
    """A whole step, by thread number ``start``. There is one model, and one record of the work."""
    model, work = models[0], works[0]
    M, H, G, s = work.n_tokens, model.n_head, model.n_kv_head, 0
    h = work.h + 4 * start * M * model.n_embd
    q, scores = np.empty(model.head_dim, np.float32), np.empty(work.longest, np.float32)
    for i in range(len(layers)):
        layer, cache = layers[i], caches[i]
        n_q = n_chunks(matrices[layer.q], 1)
        n_k = n_chunks(matrices[layer.k], model.head_dim)

        previous = layers[max(0, i - 1)]
        entered, after = False, 0 if i == 0 else previous.after_mlp
        for c in chunks(counters[s], n_q + 2 * n_k):
            if not entered:
                enter(
                    model, work, work.tokens, M, work.x, after, previous.after_mlp_bias,
                    layer.before_attention, layer.before_attention_bias, h,
                    work.middle if c == 0 else 0,
                )  # fmt: skip
                entered = True
            project(model, layer, matrices, work, cache, h, c, n_q, n_k)
        for c in chunks(counters[s + 1], M * G if model.qk_norm == ALL_NORM else 0):
            store_key(model, layer, work, cache, c // G, c % G)  # it needed the keys of all heads
        for c in chunks(counters[s + 2], M * H):
            look_back(model, layer, work, cache, c // H, c % H, q, scores)
        for c in chunks(counters[s + 3], n_chunks(matrices[layer.out], 1)):
            product(model, matrices[layer.out], M, work.y, work.branch, c, layer.out_bias, 1)

        entered = False
        for c in chunks(counters[s + 4], n_chunks(matrices[layer.up], 1)):
            if not entered:
                enter(
                    model, work, work.tokens, M, work.middle,
                    layer.after_attention, layer.after_attention_bias,
                    layer.before_mlp, layer.before_mlp_bias, h, work.x if c == 0 else 0,
                )  # fmt: skip
                entered = True
            gated(model, layer, matrices, work, h, c)
        for c in chunks(counters[s + 5], n_chunks(matrices[layer.down], 1)):
            product(model, matrices[layer.down], M, work.gates, work.branch, c, layer.down_bias, 1)
        s += PER_LAYER

    head, last, entered = matrices[model.head], layers[len(layers) - 1], False
    for c in chunks(counters[s], n_chunks(head, 1) if work.n_asked > 0 else 0):
        if not entered:
            enter(
                model, work, work.asked, work.n_asked, work.x, last.after_mlp, last.after_mlp_bias,
                model.last_norm, model.last_norm_bias, h, 0,
            )  # fmt: skip
            entered = True
        begin, end = product(model, head, work.n_asked, h, work.logits, c, 0, 1)
        for n in range(work.n_asked):
            cap_all(row_at(work.logits, n, model.vocab_size)[begin:end], model.logit_softcap)
