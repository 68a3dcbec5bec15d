"""How many floating-point operations an op does, counted by the usual convention.

A product of (N, K) and (K, M) is 2 N K M: a multiplication and an addition for each term. Every
other op counts one per element of the largest array it reads or writes, whatever that operation
costs (an exponential counts as one); moving elements counts nothing. A backward counts
its forward once more for every input that wants a gradient: for a product that is exact.
"""

from math import prod

import numpy as np

from autograd.device import namespace

MOVES = {
    "AsType", "BroadcastTo", "Concatenate", "Diagonal", "Embedding", "Flip", "GetItem", "Pad",
    "Reshape", "Roll", "Sort", "TakeAlongAxis", "Transpose", "Tril", "Triu",
}  # fmt: skip


def _matmul(op, shapes, out):
    return 2 * prod(out) * shapes[0][-1]


def _linear(op, shapes, out):
    return 2 * prod(out) * shapes[0][-1] + (prod(out) if len(shapes) > 2 else 0)


def _feed_forward(op, shapes, out):
    rows, (hidden, width) = prod(shapes[0][:-1]), shapes[1]  # a sum and a GELU per hidden channel
    return 2 * rows * hidden * (width + out[-1]) + 2 * rows * hidden + prod(out)


def _linear_cross_entropy(op, shapes, out):
    rows, (vocabulary, width) = prod(shapes[0][:-1]), shapes[1]
    return 2 * rows * vocabulary * width + rows * vocabulary


def _causal_attention(op, shapes, out):
    batch, time, packed = shapes[0]  # q k^T and weights v, over the lower triangle
    return 2 * batch * time * (time + 1) * (packed // 3)


def _grouped_query_attention(op, shapes, out):
    time, keys = out[2], shapes[1][2]
    _, window, _, documents = op.options
    xp = np if documents is None else namespace(documents)
    seen = xp.arange(keys - time, keys)[None, :] + 1  # a query sees keys up to its own position
    if documents is not None:
        seen = seen - documents
    if window is not None:
        seen = xp.minimum(seen, window)
    return 4 * int(xp.sum(seen)) * prod(out[:2]) // len(seen) * out[3]


def _attention(op, shapes, out):
    return 2 * (prod(shapes[0]) + prod(out)) * shapes[1][-2]  # q k^T, and weights v


def _einsum(op, shapes, out):
    lengths: dict[str, int] = {}
    for letters, shape in zip(op.letters, shapes, strict=True):
        for letter, n in zip(letters, shape, strict=True):
            lengths[letter] = max(n, lengths.get(letter, 1))
    return len(shapes) * prod(lengths.values())  # a multiplication per further operand, and a sum


PRODUCTS = {
    "Einsum": _einsum,
    "MatMul": _matmul,
    "Linear": _linear,
    "FeedForward": _feed_forward,
    "LinearCrossEntropy": _linear_cross_entropy,
    "CausalAttention": _causal_attention,
    "GroupedQueryAttention": _grouped_query_attention,
    "ScaledDotProductAttention": _attention,
}


def flops(op, shapes, out):
    """The operations of a forward: ``shapes`` of its array inputs, ``out`` of its output."""
    name = type(op).__name__
    if name in MOVES or not shapes:
        return 0
    if name in PRODUCTS:
        return PRODUCTS[name](op, shapes, out)
    return max(prod(shape) for shape in (*shapes, out))


def backward_flops(op, forward):
    """The operations of a backward, from those of the forward."""
    name = type(op).__name__
    if name == "FeedForward":  # two products forward; backward one for GELU, one per gradient
        x, up_weight, _, down_weight, _ = op.needs
        return (1 + x + up_weight + down_weight) * forward // 2
    if name in ("Linear", "LinearCrossEntropy"):
        return sum(op.needs[:2]) * forward  # the bias costs next to nothing
    if name in ("CausalAttention", "GroupedQueryAttention", "ScaledDotProductAttention"):
        return 2 * forward  # two products forward, four backward
    return sum(op.needs) * forward
