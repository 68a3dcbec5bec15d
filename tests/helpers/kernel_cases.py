"""Every kernel on inputs of any size: one entry each, for the tests of sizes and of range ends.

An entry gives the shapes of its inputs for a number of rows and of columns, and calls forward and
backward on them: backward with what forward cached, and without. The functions come in as ``f``:
``compared(op, dtype)``, whose calls are compared with the reference's, or those of one of the two.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from kernel_checks import REDUCTIONS, normal, xp

IGNORED = -7


@dataclass(frozen=True)
class Case:
    op: str
    """The folder in autograd/kernels."""
    run: Callable
    """(f, **inputs) -> nested tuples of arrays."""
    shapes: Callable
    """(x, c) -> the shapes of the inputs by name, the main one first: x (..., c), c columns."""
    note: str = ""

    @property
    def name(self):
        return f"{self.op}{f' {self.note}' if self.note else ''}"

    def inputs(self, rows, columns, dtype):
        """Random arrays by name. ``rows`` is their number, or the lengths of several axes."""
        lead = (rows,) if isinstance(rows, int) else rows
        shapes = self.shapes((*lead, columns), columns).items()
        return {name: normal(*shape, dtype=dtype, seed=k) for k, (name, shape) in enumerate(shapes)}


def layer_norm(f, x, weight, bias, g):
    y, cache = f.forward(xp, x, weight, bias, 1e-5)
    return y, f.backward(xp, g, x, weight, 1e-5, cache=cache), f.backward(xp, g, x, weight, 1e-5)


def rms_norm(f, x, weight, g):
    y, cache = f.forward(xp, x, weight, 1e-5)
    return y, f.backward(xp, g, x, weight, 1e-5, cache=cache), f.backward(xp, g, x, weight, 1e-5)


def softmax(f, x, g):
    y = f.forward(xp, x)
    return y, f.backward(xp, g, y)


def gelu(approximate):
    def run(f, x, g):
        return f.forward(xp, x, approximate), f.backward(xp, g, x, approximate)

    return run


def glu(activation):
    def run(f, a, b, g):
        return f.forward(xp, a, b, activation), f.backward(xp, g, a, b, activation)

    return Case("glu", run, lambda x, c: dict(a=x, b=x, g=x), activation)


def feed_forward(approximate):
    def run(f, x, up_weight, up_bias, down_weight, down_bias, g):
        inputs = (x, up_weight, up_bias, down_weight)
        y, hidden = f.forward(xp, *inputs, down_bias, approximate)
        backward = [f.backward(xp, g, *inputs, approximate, cache=kept) for kept in (hidden, None)]
        return y, hidden, *backward

    def shapes(x, c):
        return dict(x=x, up_weight=(c + 2, c), up_bias=(c + 2,), down_weight=(3, c + 2),
                    down_bias=(3,), g=(*x[:-1], 3))  # fmt: skip

    return Case("feed_forward", run, shapes, approximate)


def dropout(f, x, g):
    keep = np.random.default_rng(0).random(x.shape) >= 0.3
    return f.forward(xp, x, keep, 0.3), f.backward(xp, g, keep, 0.3)


def embedding(f, weight, g):
    ids = np.arange(math.prod(g.shape[:-1])).reshape(g.shape[:-1])
    ids = ids * 3 % len(weight)  # most of them several times
    return f.forward(xp, weight, ids), f.backward(xp, g, ids, weight.shape)


def linear(f, x, weight, g, bias=None):
    return f.forward(xp, x, weight, bias), f.backward(xp, g, x, weight)


def linear_with_bias(x, c):
    return dict(x=x, weight=(c + 2, c), bias=(c + 2,), g=(*x[:-1], c + 2))


def rope(layout):
    def run(f, x, cos, sin, g):
        return f.forward(xp, x, cos, sin, layout), f.backward(xp, g, cos, sin, layout)

    def shapes(x, c):  # any numbers will do for cos and sin; the last channel is not turned
        x, table = (*x[:-1], 2 * c + 1), (*x[-2:-1], c)
        return dict(x=x, cos=table, sin=table, g=x)

    return Case("rope", run, shapes, layout)


def attention(f, qkv, g, n_head=2):
    y, cache = f.forward(xp, qkv, n_head)
    return y, f.backward(xp, g, qkv, y, n_head, cache=cache), f.backward(xp, g, qkv, y, n_head)


def grouped_query_attention(note, window=None, softcap=None, old=2, document=None):
    """Two query heads for one of keys; ``old`` keys come before those of the queries' positions.

    So no query sees only one key: its gradient would be 0, or nothing but rounding. With
    ``document``, a row is documents of about this length, and only the first query of each does.
    """

    def run(f, q, k, v, g):
        starts = None if document is None else documents_of(document, q.shape, old)
        options = (q.shape[-1] ** -0.5, window, softcap, starts)
        y, cache = f.forward(xp, q, k, v, *options)
        backward = [f.backward(xp, g, q, k, v, y, *options, cache=kept) for kept in (cache, None)]
        return y, *backward

    def shapes(x, c):
        q, k = (2, 2, x[0], c), (2, 1, x[0] + old, c)
        return dict(q=q, k=k, v=k, g=q)

    return Case("grouped_query_attention", run, shapes, note)


def documents_of(length, shape, old):
    """(B, T): a document of row b begins every length + b positions."""
    B, _, T, _ = shape
    positions, lengths = np.arange(old, old + T), length + np.arange(B)[:, None]
    return positions // lengths * lengths


def some_targets(n, classes):
    """Every third row is ignored, and not the first."""
    targets = np.arange(n) * 7 % classes
    targets[1::3] = IGNORED
    return targets


def cross_entropy(reduction):
    def run(f, logits, g):
        options = (some_targets(*logits.shape), IGNORED, reduction)
        loss, cache = f.forward(xp, logits, *options)
        backward = [f.backward(xp, g, logits, *options, cache=kept) for kept in (cache, None)]
        return loss, *backward

    def shapes(x, c):
        return dict(logits=x, g=x[:1] if reduction == "none" else ())

    return Case("cross_entropy", run, shapes, reduction)


def linear_cross_entropy(reduction):
    def run(f, h, weight, g):
        options = (h, weight, some_targets(len(h), len(weight)), IGNORED, reduction)
        loss, cache = f.forward(xp, *options)
        only_loss, _ = f.forward(xp, *options, (False, False))
        backward = [f.backward(xp, g, *options, cache=kept) for kept in (cache, None)]
        return loss, only_loss, *backward

    def shapes(x, c):
        return dict(h=(x[0], 6), weight=(c, 6), g=x[:1] if reduction == "none" else ())

    return Case("linear_cross_entropy", run, shapes, reduction)


def adamw(f, p, g, m, v):
    # the kernel works in place, on copies
    updated = f.update(xp, p.copy(), g, m.copy(), v * v, 0.01, 0.9, 0.95, 1e-8, 0.1, 3, 0.5)
    norm = np.sqrt(f.square_sum(xp, g))  # float64
    return *updated, norm.astype(g.dtype)


def muon(f, p, g, buffer):
    # two iterations of Newton-Schulz: five raise the rounding of small singular values to 1e-4
    def run(nesterov):
        options = (0.01, 0.9, nesterov, 0.1, 0.5, 2, 1.5, 1)
        return f.update(xp, p.copy(), g, buffer.copy(), *options)

    return run(False), run(True)


def sgd(f, p, g, buffer):
    def run(nesterov):
        return f.update(xp, p.copy(), g, buffer.copy(), 0.01, 0.9, nesterov, 0.1, 0.5)

    return run(False), run(True)


CASES = [
    Case("softmax", softmax, lambda x, c: dict(x=x, g=x)),
    Case("rms_norm", rms_norm, lambda x, c: dict(x=x, weight=(c,), g=x)),
    Case("layer_norm", layer_norm, lambda x, c: dict(x=x, weight=(c,), bias=(c,), g=x)),
    Case("gelu", gelu("none"), lambda x, c: dict(x=x, g=x), "none"),
    Case("gelu", gelu("tanh"), lambda x, c: dict(x=x, g=x), "tanh"),
    *map(glu, ("silu", "gelu", "gelu_tanh")),
    feed_forward("none"),
    feed_forward("tanh"),
    Case("dropout", dropout, lambda x, c: dict(x=x, g=x)),
    Case("embedding", embedding, lambda x, c: dict(weight=(6, c), g=x)),
    Case("linear", linear, lambda x, c: dict(x=x, weight=(3, c), g=(*x[:-1], 3))),
    Case("linear", linear, linear_with_bias, "with bias"),
    rope("half"),
    rope("interleaved"),
    Case("attention", attention, lambda x, c: dict(qkv=(1, x[0], 6 * c), g=(1, x[0], 2 * c))),
    grouped_query_attention(""),
    grouped_query_attention("with window", window=3),
    grouped_query_attention("with wide window and old keys", window=70, old=21),
    grouped_query_attention("with cap and window", window=17, softcap=1.5, old=3),
    grouped_query_attention("with cap and old keys", softcap=2.0, old=70),
    grouped_query_attention("with documents", document=23),
    grouped_query_attention("with long documents, cap and window", 50, 2.0, 30, document=100),
    *map(cross_entropy, REDUCTIONS),
    *map(linear_cross_entropy, REDUCTIONS),
    Case("adamw", adamw, lambda x, c: dict(g=x, p=x, m=x, v=x)),
    Case("muon", muon, lambda x, c: dict(g=x, p=x, buffer=x)),
    Case("sgd", sgd, lambda x, c: dict(g=x, p=x, buffer=x)),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
