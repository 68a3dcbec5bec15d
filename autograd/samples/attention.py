"""Samples of rope and of attention: GPT-2's packed one, the general one with each option."""

import math

import numpy as np

from autograd import ops
from autograd.kernels.attention import reference as attention
from autograd.kernels.grouped_query_attention import reference as gqa
from autograd.kernels.rope import reference as rope
from autograd.samples.neural import softmax_of
from autograd.samples.sample import Sample


def _attention(qkv, n_head):
    b, t, c = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    y = np.zeros((b, t, c))
    d = c // n_head
    for i in range(b):
        for h in range(n_head):
            q, k, v = (qkv[i, :, j * c + h * d : j * c + (h + 1) * d] for j in range(3))
            for s in range(t):
                weights = softmax_of(q[s] @ k[: s + 1].T / math.sqrt(d))
                y[i, s, h * d : (h + 1) * d] = weights @ v[: s + 1]
    return y


def _sdpa(q, k, v, mask=None, is_causal=False):
    s = q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1])
    if is_causal:
        mask = np.tri(*s.shape[-2:], dtype=bool)
    if mask is not None:
        s = np.where(mask, s, -np.inf) if mask.dtype == bool else s + mask
    return softmax_of(s) @ v


def _repeated(x):
    """Each head twice: (2, 2, 5, D) -> (2, 4, 5, D)."""
    return ops.stack([x, x], axis=2).reshape(2, 4, 5, x.shape[-1])


def _sdpa_with_dropout(q, k, v):
    weights = softmax_of(q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1]))
    keep = np.random.default_rng(3).random(weights.shape, dtype=np.float32) >= 0.25
    return weights * keep / 0.75 @ v


def _sdpa_definition(q, k, v, bias=0.0):
    return ops.softmax(q @ ops.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1]) + bias) @ v


ANGLES = np.linspace(-3, 3, 8).reshape(4, 2)


def _rope(layout):
    return lambda x: ops.rope(x, np.cos(ANGLES), np.sin(ANGLES), layout)


def _turned(x, a, b):
    """x with the channels a and b as the real and imaginary parts of complex numbers, turned."""
    y, turned = x.copy(), (x[..., a] + 1j * x[..., b]) * np.exp(1j * ANGLES)
    y[..., a], y[..., b] = turned.real, turned.imag
    return y


DOCUMENTS = np.array([[0, 0, 2, 2, 2, 2], [0, 1, 1, 1, 1, 5]])


def _gqa(q, k, v, window=9, cap=None, documents=None):
    """Row by row: the query at position p sees the keys from p - window + 1 to p.

    But none before its document.
    """
    y, (heads, T), (groups, S) = np.zeros(q.shape), q.shape[1:3], k.shape[1:3]
    for b, h, t in np.ndindex(q.shape[:3]):
        p, i = S - T + t, h * groups // heads
        document = 0 if documents is None else documents[b, t]
        seen = slice(max(document, p - window + 1), p + 1)
        scores = k[b, i, seen] @ q[b, h, t] / math.sqrt(q.shape[-1])
        scores = cap * np.tanh(scores / cap) if cap else scores
        y[b, h, t] = softmax_of(scores) @ v[b, i, seen]
    return y


def _gqa_definition(q, k, v):
    return gqa.forward(ops, q, k, v, 1 / math.sqrt(q.shape[-1]), None, None)[0]


ATTENTION = [
    Sample(
        "grouped_query_attention",
        ops.grouped_query_attention,
        _gqa,
        ((2, 4, 3, 2), (2, 2, 3, 2), (2, 2, 3, 2)),
        empty=((0, 4, 3, 2), (0, 2, 3, 2), (0, 2, 3, 2)),
        keeps=(0, 1, 2, "y"),
        cache=2 * 2 * 4 * 3,
        definition=_gqa_definition,
        kernel=True,
    ),
    Sample(
        "grouped_query_attention",
        lambda q, k, v: ops.grouped_query_attention(q, k, v, window=2, softcap=0.8),
        lambda q, k, v: _gqa(q, k, v, 2, 0.8),
        ((1, 3, 3, 2), (1, 1, 5, 2), (1, 1, 5, 2)),
        empty=((1, 3, 0, 2), (1, 1, 5, 2), (1, 1, 5, 2)),
        keeps=(0, 1, 2, "y"),
        cache=2 * 3 * 3,
        kernel=True,
        note="window, cap, old keys",
    ),
    Sample(
        "grouped_query_attention",
        lambda q, k, v: ops.grouped_query_attention(q, k, v, window=3, documents=DOCUMENTS),
        lambda q, k, v: _gqa(q, k, v, 3, documents=DOCUMENTS),
        ((2, 2, 6, 2), (2, 1, 6, 2), (2, 1, 6, 2)),
        empty=((2, 0, 6, 2), (2, 1, 6, 2), (2, 1, 6, 2)),
        keeps=(0, 1, 2, "y"),
        cache=2 * 2 * 2 * 6,
        kernel=True,
        note="documents and a window",
    ),
    Sample(
        "rope",
        _rope("half"),
        lambda x: _turned(x, [0, 1], [2, 3]),
        ((2, 3, 4, 5),),
        empty=((0, 4, 5),),
        cache=2 * 4 * 2,  # cos and sin
        definition=lambda x: rope.forward(ops, x, np.cos(ANGLES), np.sin(ANGLES), "half"),
        kernel=True,
    ),
    Sample(
        "rope",
        _rope("interleaved"),
        lambda x: _turned(x, [0, 2], [1, 3]),
        ((3, 4, 4),),
        empty=((0, 4, 4),),
        cache=2 * 4 * 2,
        definition=lambda x: rope.forward(ops, x, np.cos(ANGLES), np.sin(ANGLES), "interleaved"),
        kernel=True,
        note="interleaved",
    ),
    Sample(
        "causal_attention",
        lambda qkv: ops.causal_attention(qkv, 2),
        lambda qkv: _attention(qkv, 2),
        ((2, 5, 12),),
        empty=((0, 5, 12),),
        keeps=(0, "y"),
        cache=2 * 2 * 2 * 5,
        definition=lambda qkv: attention.forward(ops, qkv, 2)[0],
        kernel=True,
    ),
    Sample(
        "scaled_dot_product_attention",
        ops.scaled_dot_product_attention,
        _sdpa,
        ((2, 3, 4), (2, 5, 4), (2, 5, 2)),
        empty=((0, 3, 4), (0, 5, 4), (0, 5, 2)),
        keeps=(0, 1, 2),
        cache=2 * 3 * 5,
        definition=_sdpa_definition,
    ),
    Sample(
        "scaled_dot_product_attention",
        lambda q, k, v: ops.scaled_dot_product_attention(q, k, v, is_causal=True),
        lambda q, k, v: _sdpa(q, k, v, is_causal=True),
        ((4, 3), (5, 3), (5, 2)),
        keeps=(0, 1, 2),
        cache=4 * 5,
        note="causal",
    ),
    Sample(
        "scaled_dot_product_attention",
        lambda q, k, v: ops.scaled_dot_product_attention(q, k, v, np.arange(15).reshape(3, 5) != 7),
        lambda q, k, v: _sdpa(q, k, v, np.arange(15).reshape(3, 5) != 7),
        ((2, 1, 3, 4), (3, 5, 4), (5, 2)),
        keeps=(0, 1, 2),
        cache=2 * 3 * 3 * 5,
        note="mask, broadcast",
    ),
    Sample(
        "scaled_dot_product_attention",
        ops.scaled_dot_product_attention,
        _sdpa,
        ((2, 3, 4), (2, 5, 4), (2, 5, 2), (3, 5)),
        keeps=(0, 1, 2, 3),
        cache=2 * 3 * 5,
        definition=_sdpa_definition,
        note="added mask",
    ),
    Sample(
        "scaled_dot_product_attention",
        lambda q, k, v: ops.scaled_dot_product_attention(
            q, k, v, dropout_p=0.25, rng=np.random.default_rng(3)
        ),
        _sdpa_with_dropout,
        ((2, 3, 4), (2, 5, 4), (2, 5, 2)),
        keeps=(0, 1, 2),
        cache=2 * 3 * 5,
        note="dropout",
    ),
    Sample(
        "scaled_dot_product_attention",
        lambda q, k, v, m: ops.scaled_dot_product_attention(q, k, v, m, enable_gqa=True),
        lambda q, k, v, m: _sdpa(q, np.repeat(k, 2, axis=1), np.repeat(v, 2, axis=1), m),
        ((2, 4, 3, 4), (2, 2, 5, 4), (2, 2, 5, 2), (4, 3, 5)),
        keeps=(0, 1, 2, 3),
        cache=2 * 4 * 3 * 5,
        definition=lambda q, k, v, m: _sdpa_definition(q, _repeated(k), _repeated(v), m),
        note="grouped heads, added mask",
    ),
]
