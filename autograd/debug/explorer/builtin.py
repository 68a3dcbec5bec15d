"""BUILTIN: small graphs that show one effect each, for a page that can be read to the last digit.

Each entry is a function without arguments that returns a ``Builtin``. Its loss may be computed any
number of times: the leaves lie outside, so that finite differences can change them. The numbers
have one digit after the point, so that what is computed from them can be followed by hand.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autograd import ops
from autograd._tensor import Tensor
from autograd.backward import grad
from autograd.call_site import OWN_FILES

OWN_FILES.discard(__file__)  # the lines that a user would write are here: sites point at them


class Builtin(NamedTuple):
    """A graph to explore: a function that computes its loss, and what the page says about it."""

    loss: Callable[[], Tensor]
    names: dict[str, Tensor]
    """What the page calls the leaves."""
    title: str
    about: str


def neuron() -> Builtin:
    x = _leaf([1.0, 2.0, -1.0])
    w = _leaf([0.5, -0.2, 0.8])
    b = _leaf(0.6)

    def loss():
        products = w * x
        total = ops.sum(products) + b
        y = ops.tanh(total)
        error = y - 1.0
        return error * error

    return Builtin(
        loss,
        {"x": x, "w": w, "b": b},
        "A neuron",
        "Three inputs, three weights and a bias go through tanh, and the output should be 1. Each "
        "weight's gradient is its input times the one gradient that reaches the sum.",
    )


def used_twice() -> Builtin:
    a = _leaf(3.0)

    def loss():
        b = a + a
        c = b * b
        return c

    return Builtin(
        loss,
        {"a": a},
        "b = a + a; c = b * b",
        "The smallest graph in which order and accumulation matter: a and b are both used twice. "
        "The gradient of b is 6 + 6, that of a is 12 + 12. A walk that follows each edge as soon "
        "as it is met uses b's gradient before it is complete.",
    )


def residual() -> Builtin:
    x = _leaf([[1.0, -0.5, 2.0], [0.5, 1.5, -1.0]])
    first = _leaf([[0.5, -0.3, 0.2], [0.4, 0.6, -0.5], [-0.2, 0.1, 0.7]])
    second = _leaf([[0.3, 0.2, -0.4], [-0.6, 0.5, 0.1], [0.2, -0.7, 0.4]])

    def loss():
        branch = ops.tanh(x @ first)  # (2, 3)
        h = x + branch
        branch = ops.tanh(h @ second)  # (2, 3)
        y = h + branch
        return ops.mean(y * y)

    return Builtin(
        loss,
        {"x": x, "first": first, "second": second},
        "A residual stream",
        "Two branches are added to a stream, as in a transformer. Each point of the stream is used "
        "twice, by a branch and by the sum that follows. So its gradient has two contributions, "
        "and one of them is the gradient of the sum, unchanged.",
    )


def broadcasting() -> Builtin:
    x = _leaf([[1.0, 2.0, 3.0, 4.0], [0.5, -1.0, 1.5, 2.0], [-2.0, 0.0, 1.0, -0.5]])
    row = _leaf([0.1, -0.2, 0.3, 0.4])
    column = _leaf([[2.0], [-1.0], [0.5]])

    def loss():
        shifted = x + row  # (3, 4) + (4,)
        y = shifted * column  # (3, 4) * (3, 1)
        return ops.sum(y)

    return Builtin(
        loss,
        {"x": x, "row": row, "column": column},
        "Broadcasting",
        "A row is added to every row of a matrix, and a column multiplies every column. A number "
        "that was copied along an axis gets the sum of the gradients of its copies.",
    )


def softmax_cross_entropy() -> Builtin:
    logits = _leaf([[1.0, 2.0, 0.5, -1.0], [0.2, -0.3, 1.5, 0.1], [-0.5, 0.4, 0.3, 2.0]])
    targets = np.array([1, 3, 3])

    def loss():
        fused = ops.cross_entropy(logits, targets)
        p = ops.softmax(logits)  # (3, 4)
        chosen = p[np.arange(3), targets]  # (3,)
        separate = -ops.mean(ops.log(chosen))
        return fused + separate

    return Builtin(
        loss,
        {"logits": logits},
        "Softmax with cross-entropy",
        "The same loss twice: as one operation, whose gradient is p - y, and as softmax, logarithm "
        "and mean, whose gradient goes through the Jacobian of softmax. The logits get one "
        "contribution from each path, and the two are equal but for rounding.",
    )


def layer_norm() -> Builtin:
    x = _leaf([[1.0, 2.0, -1.0, 0.5], [10.0, 12.0, 11.0, 13.0]])
    weight = _leaf([1.0, 0.5, 2.0, 1.5])
    bias = _leaf([0.0, 0.1, -0.2, 0.3])
    target = np.array([[1, 0, 0, 1], [0, 1, 1, 0]], np.float32)

    def loss():
        y = ops.layer_norm(x, weight, bias)  # (2, 4)
        error = y - target
        return ops.mean(error * error)

    return Builtin(
        loss,
        {"x": x, "weight": weight, "bias": bias},
        "Layer normalization",
        "Two rows of very different size are normalized, scaled and shifted. In each row of x the "
        "gradients sum to zero, since adding a constant to a row changes nothing. Multiplying it "
        "hardly changes anything either, so a row of large numbers gets small gradients.",
    )


def attention() -> Builtin:
    x = _leaf(
        [
            [
                [1.0, 0.5, -0.5, 0.2],
                [-0.3, 1.2, 0.8, -1.0],
                [0.7, -0.9, 1.1, 0.4],
                [0.0, 0.6, -1.2, 1.0],
            ]
        ]
    )
    weight = _leaf(_digits((12, 4)))  # the rows of queries, keys and values
    target = _digits((1, 4, 4))

    def loss():
        qkv = ops.linear(x, weight)  # (1, 4, 12)
        y = ops.causal_attention(qkv, 2)  # (1, 4, 4): 2 heads of 2 channels
        error = y - target
        return ops.mean(error * error)

    return Builtin(
        loss,
        {"x": x, "weight": weight},
        "Causal attention",
        "Four tokens, two heads of two channels. The first token sees itself alone, so the one "
        "weight in its row is 1 whatever the scores, and its query gets no gradient but a rounding "
        "error. The values of early tokens get contributions from all that look back at them.",
    )


def tape_of_a_tape() -> Builtin:
    x = _leaf([2.0, 1.0, -0.5])
    w = _leaf([0.5, -1.0, 3.0])

    def loss():
        y = ops.sum(w * x**3)
        (g_x,) = grad(y, [x], create_graph=True)
        return ops.sum(g_x * g_x)

    return Builtin(
        loss,
        {"x": x, "w": w},
        "A tape of a tape",
        "The loss is the squared length of a gradient. The gradient of y = sum w x^3 is 3 w x^2, "
        "and it is recorded like any other computation. So the loss is the sum of 9 w^2 x^4, and a "
        "second pass back finds 36 w^2 x^3 for x and 18 w x^4 for w.",
    )


def micro_batches() -> Builtin:
    w = _leaf([[0.5, -0.2], [0.3, 0.8], [-0.4, 0.1]])
    first, second = _digits((3, 2)), _digits((1, 2)) + 1
    targets = np.array([2, 0, 1]), np.array([1])

    def loss():
        a = ops.cross_entropy(ops.linear(first, w), targets[0], reduction="sum")
        b = ops.cross_entropy(ops.linear(second, w), targets[1], reduction="sum")
        return (a + b) / 4.0

    return Builtin(
        loss,
        {"w": w},
        "Micro-batches",
        "A batch of four rows as one of three and one of one. Each returns a contribution to the "
        "gradient of w, and they add up to that of the whole batch, because both sums are divided "
        "by the four rows of all. The mean of the two means would count the last row three times.",
    )


def dropout() -> Builtin:
    x = _leaf([[1.0, 2.0, -1.0, 0.5], [0.5, -1.5, 2.0, 1.0]])
    w = _leaf([[0.5, -1.0, 2.0, 0.3]])

    def loss():
        h = ops.dropout(x, 0.5, rng=np.random.default_rng(8))  # (2, 4): the same mask every time
        y = ops.linear(h, w)  # (2, 1)
        return ops.sum(y * y)

    return Builtin(
        loss,
        {"x": x, "w": w},
        "Dropout",
        "Half of the numbers are dropped, and the others doubled. The mask is kept: backward drops "
        "the same places, and doubles the same gradients.",
    )


def depth() -> Builtin:
    x = _leaf([[1.0, -0.5, 0.8]])
    weights = [_leaf(_digits((3, 3)) * 0.3) for _ in range(6)]

    def loss():
        plain, stream = x, x
        for w in weights:
            plain = ops.tanh(plain @ w)
            stream = stream + ops.tanh(stream @ w)
        return ops.sum(plain) + ops.sum(stream)

    return Builtin(
        loss,
        {"x": x} | {f"w{i}": w for i, w in enumerate(weights)},
        "Depth",
        "Six layers with small weights, twice: each layer in place of what came before, and each "
        "added to it. Along the plain chain the gradient shrinks at every layer. Along the stream "
        "it also has the way around each layer, and reaches the input undiminished.",
    )


BUILTIN: dict[str, Callable[[], Builtin]] = {
    "neuron": neuron,
    "twice": used_twice,
    "residual": residual,
    "broadcasting": broadcasting,
    "softmax": softmax_cross_entropy,
    "layer-norm": layer_norm,
    "attention": attention,
    "tape-of-a-tape": tape_of_a_tape,
    "micro-batches": micro_batches,
    "dropout": dropout,
    "depth": depth,
}


def _leaf(values: Any) -> Tensor:
    return Tensor(np.asarray(values, np.float32), requires_grad=True)


def _digits(shape: tuple[int, ...]) -> np.ndarray:
    """Random numbers with one digit after the point, the same in every run."""
    rng = np.random.default_rng(3)
    return np.round(rng.standard_normal(shape), 1).astype(np.float32)
