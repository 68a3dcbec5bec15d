"""Samples of the activations: relu and its relatives, gated units, and the feed-forward layer."""

import math
from typing import Any

import numpy as np

from autograd import ops
from autograd.kernels.feed_forward import reference as feed_forward
from autograd.kernels.gelu import reference as gelu
from autograd.kernels.glu import reference as glu
from autograd.samples.elementwise import erf
from autograd.samples.sample import Sample


def _gelu(x, approximate):
    if approximate == "none":
        return 0.5 * x * (1 + erf(x / math.sqrt(2)))
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


_unary: dict[str, Any] = {"shapes": ((3, 4),), "empty": ((0, 4),)}

ACTIVATIONS = [
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
    Sample(
        "leaky_relu",
        lambda x: ops.leaky_relu(x, 0.1),
        lambda x: np.where(x > 0, x, 0.1 * x),
        **_unary,
        domain="nonzero",
        keeps=(0,),
        definition=lambda x: ops.relu(x) - 0.1 * ops.relu(-x),
    ),
    Sample(
        "elu",
        lambda x: ops.elu(x, 1.5),
        lambda x: np.where(x > 0, x, 1.5 * np.expm1(x)),
        **_unary,
        domain="nonzero",
        keeps=(0,),
        definition=lambda x: ops.relu(x) + 1.5 * ops.expm1(-ops.relu(-x)),
    ),
    Sample(
        "softplus",
        lambda x: ops.softplus(x, 2.0),
        lambda x: np.log(1 + np.exp(2 * x)) / 2,
        **_unary,
        keeps=(0,),
        definition=lambda x: ops.log1p(ops.exp(2 * x)) / 2,
    ),
    Sample(
        "log_sigmoid",
        ops.log_sigmoid,
        lambda x: -np.log(1 + np.exp(-x)),
        **_unary,
        keeps=(0,),
        definition=lambda x: ops.log(ops.sigmoid(x)),
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
    Sample(
        "swiglu",
        ops.swiglu,
        lambda a, b: a / (1 + np.exp(-a)) * b,
        ((3, 4), (3, 4)),
        empty=((0, 4), (0, 4)),
        keeps=(0, 1),
        definition=lambda a, b: glu.forward(ops, a, b, "silu"),
        kernel=True,
    ),
    *[
        Sample(
            "geglu",
            lambda a, b, form=approximate: ops.geglu(a, b, form),
            lambda a, b, form=approximate: _gelu(a, form) * b,
            ((3, 4), (3, 4)),
            empty=((0, 4), (0, 4)),
            keeps=(0, 1),
            definition=lambda a, b, form=approximate: ops.gelu(a, form) * b,
            kernel=True,
            note=approximate,
        )
        for approximate in ("none", "tanh")
    ],
    *[
        Sample(
            "feed_forward",
            lambda x, u, b, w, c, a=approximate: ops.feed_forward(x, u, b, w, c, a),
            lambda x, u, b, w, c, a=approximate: _gelu(x @ u.T + b, a) @ w.T + c,
            ((2, 5, 4), (7, 4), (7,), (3, 7), (3,)),
            empty=((0, 4), (7, 4), (7,), (3, 7), (3,)),
            keeps=(0, 1, 2, 3),
            cache=2 * 5 * 7,
            definition=lambda x, u, b, w, c, a=approximate: feed_forward.forward(
                ops, x, u, b, w, c, a
            )[0],
            kernel=True,
            note=approximate,
        )
        for approximate in ("none", "tanh")
    ],
]
