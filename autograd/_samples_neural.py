"""Samples of the operations of neural networks."""

import math
from typing import Any

import numpy as np

from autograd import ops
from autograd._sample import Sample
from autograd._samples_array import IDS
from autograd._samples_elementwise import erf
from autograd.kernels.attention import reference as attention
from autograd.kernels.cross_entropy import reference as cross_entropy
from autograd.kernels.dropout import reference as dropout
from autograd.kernels.embedding import reference as embedding
from autograd.kernels.gelu import reference as gelu
from autograd.kernels.layer_norm import reference as layer_norm
from autograd.kernels.linear import reference as linear
from autograd.kernels.linear_cross_entropy import reference as linear_cross_entropy
from autograd.kernels.rms_norm import reference as rms_norm
from autograd.kernels.softmax import reference as softmax


def _gelu(x, approximate):
    if approximate == "none":
        return 0.5 * x * (1 + erf(x / math.sqrt(2)))
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _layer_norm(x, weight, bias):
    deviation = x - x.mean(axis=-1, keepdims=True)
    return deviation / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5) * weight + bias


def _attention(qkv, n_head):
    b, t, c = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    y = np.zeros((b, t, c))
    d = c // n_head
    for i in range(b):
        for h in range(n_head):
            q, k, v = (qkv[i, :, j * c + h * d : j * c + (h + 1) * d] for j in range(3))
            for s in range(t):
                weights = _softmax(q[s] @ k[: s + 1].T / math.sqrt(d))
                y[i, s, h * d : (h + 1) * d] = weights @ v[: s + 1]
    return y


def _sdpa(q, k, v, mask=None, is_causal=False):
    s = q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1])
    if is_causal:
        mask = np.tri(*s.shape[-2:], dtype=bool)
    if mask is not None:
        s = np.where(mask, s, -np.inf) if mask.dtype == bool else s + mask
    return _softmax(s) @ v


def _sdpa_definition(q, k, v, bias=0.0):
    return ops.softmax(q @ ops.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1]) + bias) @ v


TARGETS = np.array([2, -100, 0, 4])


def _cross_entropy(logits, targets, reduction):
    picked = np.where(targets == -100, 0, targets)
    losses = -np.log(_softmax(logits))[np.arange(len(targets)), picked]
    losses = np.where(targets == -100, 0.0, losses)
    if reduction == "none":
        return losses
    return losses.sum() / (max(1, (targets != -100).sum()) if reduction == "mean" else 1)


def _dropout(x):
    return x * (np.random.default_rng(3).random(x.shape, dtype=np.float32) >= 0.3) / 0.7


_unary: dict[str, Any] = {"shapes": ((3, 4),), "empty": ((0, 4),)}

NEURAL = [
    Sample(
        "relu",
        ops.relu,
        lambda x: np.maximum(x, 0),
        **_unary,
        domain="nonzero",
        keeps=(0,),
    ),
    Sample(
        "silu",
        ops.silu,
        lambda x: x / (1 + np.exp(-x)),
        **_unary,
        keeps=(0,),
        definition=lambda x: x * ops.sigmoid(x),
    ),
    *[
        Sample(
            "gelu",
            lambda x, a=approximate: ops.gelu(x, a),
            lambda x, a=approximate: _gelu(x, a),
            ((5, 7),),
            empty=((0, 4),),
            keeps=(0,),
            definition=lambda x, a=approximate: gelu.forward(ops, x, a),
            kernel=True,
            note=approximate,
        )
        for approximate in ("none", "tanh")
    ],
    *[
        Sample(
            "gelu_linear",
            lambda x, w, s, b, a=approximate: ops.gelu_linear(x, w, s, b, a),
            lambda x, w, s, b, a=approximate: _gelu(x + s, a) @ w.T + b,
            ((2, 5, 7), (3, 7), (7,), (3,)),
            keeps=(0, 1, 2),
            definition=lambda x, w, s, b, a=approximate: linear.forward(
                ops, gelu.forward(ops, x, a, s), w, b
            ),
            note=approximate,
        )
        for approximate in ("none", "tanh")
    ],
    Sample(
        "softmax",
        ops.softmax,
        _softmax,
        ((3, 5),),
        empty=((0, 4),),
        keeps=("y",),
        definition=lambda x: softmax.forward(ops, x),
        kernel=True,
    ),
    Sample(
        "softmax",
        lambda x: ops.softmax(x, axis=0),
        lambda x: _softmax(x, axis=0),
        ((3, 2, 2),),
        keeps=("y",),
        note="axis 0",
    ),
    Sample(
        "log_softmax",
        ops.log_softmax,
        lambda x: np.log(_softmax(x)),
        ((3, 5),),
        empty=((0, 4),),
        keeps=("y",),
        definition=lambda x: ops.log(ops.softmax(x)),
    ),
    Sample(
        "layer_norm",
        ops.layer_norm,
        _layer_norm,
        ((2, 3, 5), (5,), (5,)),
        empty=((0, 5), (5,), (5,)),
        keeps=(0, 1),
        cache=2 * 2 * 3,
        definition=lambda x, w, b: layer_norm.forward(ops, x, w, b, 1e-5)[0],
        kernel=True,
    ),
    Sample(
        "rms_norm",
        ops.rms_norm,
        lambda x, weight: x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5) * weight,
        ((2, 3, 5), (5,)),
        empty=((0, 5), (5,)),
        keeps=(0, 1),
        cache=2 * 3,
        definition=lambda x, w: rms_norm.forward(ops, x, w, 1e-5)[0],
        kernel=True,
    ),
    Sample(
        "linear",
        ops.linear,
        lambda x, w, b: x @ w.T + b,
        ((2, 3, 4), (5, 4), (5,)),
        empty=((0, 4), (5, 4), (5,)),
        keeps=(0, 1),
        definition=lambda x, w, b: linear.forward(ops, x, w, b),
        kernel=True,
    ),
    Sample(
        "linear",
        ops.linear,
        lambda x, w: x @ w.T,
        ((3, 4), (5, 4)),
        keeps=(0, 1),
        note="no bias",
    ),
    Sample(
        "embedding",
        lambda w: ops.embedding(w, IDS),
        lambda w: w[IDS],
        ((5, 3),),
        definition=lambda w: embedding.forward(ops, w, IDS),
        kernel=True,
    ),
    Sample(
        "dropout",
        lambda x: ops.dropout(x, 0.3, rng=np.random.default_rng(3)),
        _dropout,
        ((3, 4),),
        empty=((0, 4),),
        definition=lambda x: dropout.forward(
            ops,
            x,
            np.random.default_rng(3).random(x.shape, dtype=np.float32) >= 0.3,
            0.3,
        ),
        kernel=True,
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
]

LOSSES = [
    *[
        Sample(
            "cross_entropy",
            lambda x, r=reduction: ops.cross_entropy(x, TARGETS[: len(x)], reduction=r),
            lambda x, r=reduction: _cross_entropy(x, TARGETS[: len(x)], r),
            ((4, 5),),
            empty=((0, 5),),
            keeps=(0,),
            cache=4,
            definition=lambda x, r=reduction: cross_entropy.forward(
                ops, x, TARGETS[: len(x)], -100, r
            )[0],
            kernel=True,
            note=reduction,
        )
        for reduction in ("mean", "sum", "none")
    ],
    *[
        Sample(
            "linear_cross_entropy",
            lambda h, w, r=reduction: ops.linear_cross_entropy(
                h, w, TARGETS[: len(h)], reduction=r
            ),
            lambda h, w, r=reduction: _cross_entropy(h @ w.T, TARGETS[: len(h)], r),
            ((4, 3), (5, 3)),
            empty=((0, 3), (5, 3)),
            keeps=(0, 1),
            cache=0 if reduction == "none" else 4 * 3 + 5 * 3,
            definition=lambda h, w, r=reduction: linear_cross_entropy.forward(
                ops, h, w, TARGETS[: len(h)], -100, r
            )[0],
            kernel=True,
            note=reduction,
        )
        for reduction in ("mean", "sum", "none")
    ],
]
