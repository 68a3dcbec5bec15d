"""What the fused step needs to know: records of whole numbers and addresses (``step_tables.py`` and
``step.py`` fill them in, ``step_kernel.py`` reads them).

Matrices are numbers of rows in the table of matrices (quantized/products.py); -1 means that there
is none. Vectors and arrays are addresses of contiguous float32 numbers; 0: there is none.
"""

import numpy as np

RMS, LAYER_NORM = range(2)
"""Kinds of normalization."""
NO_NORM, HEAD_NORM, ALL_NORM = range(3)
"""What is normalized of queries and keys."""
SILU, GELU, GELU_TANH = range(3)
"""Activations."""


def _record(integers: str, reals: str = "") -> np.dtype:
    fields = [(name, np.int64) for name in integers.split()]
    return np.dtype([*fields, *((name, np.float32) for name in reals.split())], align=True)


MODEL = _record(
    "n_embd n_head n_kv_head head_dim n_turned n_hidden vocab_size norm_kind qk_norm activation "
    "head last_norm last_norm_bias multiply",
    "norm_offset norm_eps scale softcap logit_softcap",
)
"""A model. ``head``: the matrix of the output layer; ``multiply``: the address of the function."""

LAYER = _record(
    "q k v out gate up down q_bias k_bias v_bias out_bias gate_bias up_bias down_bias "
    "before_attention before_attention_bias after_attention after_attention_bias "
    "before_mlp before_mlp_bias after_mlp after_mlp_bias q_norm k_norm window angles"
)
"""One layer: matrices, their biases, weights and biases of the normalizations, the window (0: none)
and which of the rotary tables (-1: none)."""

CACHE = _record("keys values slots")
"""One layer's part of a cache: two arrays (B, G, R, D), and R."""

WORK = _record(
    "n_tokens n_asked longest tokens rows positions asked angles "
    "x middle branch h q k v y gates ups logits"
)
"""One step for M tokens, of which N are asked for their successors.

    longest               the most positions of a row
    rows, positions       int64 (M,): where each token stands
    tokens, asked         int64 (M,) and (N,): the numbers of all tokens, 0 to M - 1, and of those
                          that are asked
    angles                int64: for each kind of layer the addresses of the rotary tables, cos and
                          sin, (T, R/2)
    x, middle             (M, C): the residual stream before a layer, at first the embeddings, and
                          between its attention and its mlp
    branch                (M, C): what a branch adds to it, at first 0
    h                     (threads, M, C): the residual stream, normalized
    q, k, v               (M, H D), (M, G D), (M, G D)
    y                     (M, H D): what the heads found
    gates, ups            (M, n_hidden): within the mlp
    logits                (N, V)
"""
