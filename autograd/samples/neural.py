"""Samples of the normalizations and of the layers that hold a matrix or a table."""

import numpy as np

from autograd import ops
from autograd.kernels.dropout import reference as dropout
from autograd.kernels.embedding import reference as embedding
from autograd.kernels.layer_norm import reference as layer_norm
from autograd.kernels.linear import reference as linear
from autograd.kernels.rms_norm import reference as rms_norm
from autograd.kernels.softmax import reference as softmax
from autograd.samples.array import IDS
from autograd.samples.sample import Sample


def softmax_of(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _layer_norm(x, weight=1.0, bias=0.0, axis=-1):
    deviation = x - x.mean(axis=axis, keepdims=True)
    return deviation / np.sqrt(x.var(axis=axis, keepdims=True) + 1e-5) * weight + bias


def _rms_norm(x, weight=1.0):
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5) * weight


def _padded(xp, weight):
    """The table below a row of zeros, whose derivative is 0 like that of padding."""
    return xp.concatenate([0 * weight[:1], weight])


def _dropout(x):
    return x * (np.random.default_rng(3).random(x.shape, dtype=np.float32) >= 0.3) / 0.7


NEURAL = [
    Sample(
        "softmax",
        ops.softmax,
        softmax_of,
        ((3, 5),),
        empty=((0, 4),),
        keeps=("y",),
        definition=lambda x: softmax.forward(ops, x),
        kernel=True,
    ),
    Sample(
        "softmax",
        lambda x: ops.softmax(x, axis=0),
        lambda x: softmax_of(x, axis=0),
        ((3, 2, 2),),
        keeps=("y",),
        note="axis 0",
    ),
    Sample(
        "softmax",
        lambda x: ops.softmax(x, axis=(0, 2)),
        lambda x: softmax_of(x, axis=(0, 2)),
        ((3, 2, 2),),
        keeps=("y",),
        note="two axes",
    ),
    Sample(
        "log_softmax",
        ops.log_softmax,
        lambda x: np.log(softmax_of(x)),
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
        cache=3 * 2 * 3,
        definition=lambda x, w, b: layer_norm.forward(ops, x, w, b, 1e-5)[0],
        kernel=True,
    ),
    Sample(
        "layer_norm",
        ops.layer_norm,
        _layer_norm,
        ((2, 3, 5),),
        empty=((0, 5),),
        keeps=(0,),
        cache=3 * 2 * 3 + 5,  # a row of ones stands in for the weight
        note="no weight, no bias",
    ),
    Sample(
        "layer_norm",
        lambda x, w, b: ops.layer_norm(x, w, b, axis=(0, 2)),
        lambda x, w, b: _layer_norm(x, w[:, None], b[:, None], axis=(0, 2)),
        ((2, 3, 4), (2, 4), (2, 4)),
        keeps=(0, 1),
        cache=3 * 3,
        note="two axes",
    ),
    Sample(
        "rms_norm",
        ops.rms_norm,
        _rms_norm,
        ((2, 3, 5),),
        empty=((0, 5),),
        keeps=(0,),
        cache=2 * 3 + 5,
        note="no weight",
    ),
    Sample(
        "rms_norm",
        ops.rms_norm,
        _rms_norm,
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
        "embedding",
        lambda w: ops.embedding(_padded(ops, w), IDS, padding_idx=0),
        lambda w: _padded(np, w)[IDS],
        ((4, 3),),
        note="padding",
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
]
