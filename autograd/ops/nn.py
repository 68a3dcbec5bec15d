"""The operations of layers that hold a matrix or a table, and dropout.

Functions have PyTorch's names and options where NumPy has none. Token ids and class targets are
integers: arrays, or Tensors that hold integers.
"""

import numpy as np

from autograd._tensor import Tensor
from autograd.device import namespace
from autograd.engine import Op
from autograd.kernels import (
    dropout as dropout_kernel,
    embedding as embedding_kernel,
    gelu as gelu_kernel,
    linear as linear_kernel,
)
from autograd.ops.activation import known_gelu
from autograd.ops.arguments import integer, of_one_type, operand, real

__all__ = ["dropout", "embedding", "gelu_linear", "linear"]


class Linear(Op):
    """Y = X W^T + b.

    Shapes: x (..., K), weight (M, K), bias (M,) -> (..., M)
    Saves:  x, weight
    Derivation: autograd/kernels/linear/README.md
    """

    save_inputs = (0, 1)
    saved_for = {0: (1,), 1: (0,)}
    fresh_gradients = True
    works_in_place = True

    def forward(self, xp, x, weight, bias=None):
        return linear_kernel.forward(xp, x, weight, bias)

    def backward(self, xp, g, x, weight, room=None):
        needs = self.needs if len(self.needs) == 3 else (*self.needs, False)
        gradients = linear_kernel.backward(xp, g, x, weight, needs, room=room)
        return gradients[: len(self.needs)]


class GELULinear(Op):
    """y = GELU(x + shift) W^T + b, which keeps x and makes GELU(x + shift) again in backward.

    Shapes: x (..., M), weight (C, M), shift (M,), bias (C,) -> (..., C)
    Saves:  x, weight, shift
    Derivation: autograd/kernels/gelu/README.md and autograd/kernels/linear/README.md
    """

    save_inputs = (0, 1, 2)
    fresh_gradients = True
    works_in_place = True

    def __init__(self, approximate):
        self.approximate = approximate

    def forward(self, xp, x, weight, shift, bias):
        a = gelu_kernel.forward(xp, x, self.approximate, shift)
        return linear_kernel.forward(xp, a, weight, bias)

    def backward(self, xp, g, x, weight, shift, room=None):
        needs_weight, needs_bias = self.needs[1], self.needs[3]
        g_a, _, g_bias = linear_kernel.backward(xp, g, None, weight, (True, False, needs_bias))
        g_x, g_shift, a = gelu_kernel.backward(xp, g_a, x, self.approximate, shift, g_a, True)
        only_weight = (False, needs_weight, False)
        _, g_weight, _ = linear_kernel.backward(xp, g, a, weight, only_weight, room=room)
        return g_x, g_weight, g_shift, g_bias


class Embedding(Op):
    """y = weight[ids]. What arrives at a row of the id ``padding``, if there is one, is dropped.

    Shapes: weight (V, C), ids (...) -> (..., C)
    Saves:  the ids
    Derivation: autograd/kernels/embedding/README.md
    """

    fresh_gradients = True
    works_in_place = True

    def __init__(self, ids, padding=None):
        self.ids, self.padding = ids, padding

    def forward(self, xp, weight):
        return embedding_kernel.forward(xp, weight, self.ids)

    def backward(self, xp, g, room=None):
        shape = self.inputs[0].shape
        if self.padding is not None:
            g = xp.where((self.ids == self.padding)[..., None], 0, g)
        return embedding_kernel.backward(xp, g, self.ids, shape, room=room)


class Dropout(Op):
    """y = x keep / (1 - p), where the mask ``keep`` is 0 with probability p.

    Saves: the mask
    Derivation: autograd/kernels/dropout/README.md
    """

    fresh_gradients = True

    def __init__(self, keep, p):
        self.keep, self.p = keep, p

    def forward(self, xp, x):
        return dropout_kernel.forward(xp, x, self.keep, self.p)

    def backward(self, xp, g):
        return dropout_kernel.backward(xp, g, self.keep, self.p)


def linear(x, weight, bias=None):
    """x W^T + b, with the weight (out, in) as in PyTorch: x (..., K), weight (M, K), bias (M,).

    Raises ValueError when the shapes do not fit.
    """
    given = (x, weight) if bias is None else (x, weight, bias)
    x, weight, *biases = of_one_type(*given)
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"linear: x has shape {x.shape} and weight {weight.shape}: the last axis of x must be "
            "as long as the last axis of weight (out, in)"
        )
    if not biases:
        return Linear()(x, weight)
    (bias,) = biases
    if bias.shape != weight.shape[:1]:
        raise ValueError(f"linear: the bias has shape {bias.shape}, expected {weight.shape[:1]}")
    return Linear()(x, weight, bias)


def gelu_linear(x, weight, shift, bias, approximate="none"):
    """``linear(gelu(x + shift), weight, bias)``, with one large array less kept for backward.

    The second half of a transformer's MLP: x (..., M) is what the first matrix gave, ``shift`` (M,)
    the bias that belongs to it, then weight (C, M) and bias (C,) as in ``linear``. Raises
    ValueError for shapes that do not fit, and as gelu does.
    """
    x, weight, shift, bias = of_one_type(x, weight, shift, bias)
    if weight.ndim != 2 or not (x.shape[-1:] == shift.shape == weight.shape[1:]):
        raise ValueError(
            f"gelu_linear: x has shape {x.shape}, weight {weight.shape} and shift {shift.shape}: "
            "their last axes must be equally long"
        )
    if bias.shape != weight.shape[:1]:
        raise ValueError(
            f"gelu_linear: the bias has shape {bias.shape}, expected {weight.shape[:1]}"
        )
    return GELULinear(known_gelu(approximate, "gelu_linear"))(x, weight, shift, bias)


def embedding(weight, ids, padding_idx=None):
    """The rows of ``weight`` (V, C) named by the integers ``ids`` (...), each in [0, V).

    The row ``padding_idx``, which may count from the end, gets no gradient: tokens that only fill
    up a sequence teach nothing. Raises TypeError for ids that are not integers, IndexError for one
    outside the table, ValueError for a table that is no matrix.
    """
    weight = operand(weight)
    if weight.ndim != 2:
        raise ValueError(f"embedding: the table has shape {weight.shape}, expected (V, C)")
    n_rows = weight.shape[0]
    given, ids = ids, integers(ids, "embedding ids")
    if ids.size and (ids.min() < 0 or ids.max() >= n_rows):
        wrong = ids[(ids < 0) | (ids >= n_rows)][0]
        raise IndexError(f"embedding: id {int(wrong)} is outside the table of {n_rows} rows")
    if padding_idx is not None:
        row = integer("embedding", "padding_idx", padding_idx)
        if not -n_rows <= row < n_rows:
            raise IndexError(f"embedding: padding_idx {row} is outside the table of {n_rows} rows")
        padding_idx = row % n_rows
    return Embedding(ids, padding_idx).reading(given)(weight)


def dropout(x, p=0.5, training=True, rng=None):
    """Zero each element with probability ``p`` and scale the others by 1/(1 - p).

    Without ``training``, or with p = 0, x itself. The mask is drawn from ``rng``, a
    np.random.Generator. Raises ValueError when p is not in [0, 1) or when there is no rng.
    """
    p = probability("dropout", "p", p)
    if not training or p == 0:
        return x
    x = operand(x)
    keep = kept("dropout", x.shape, p, rng)
    xp = namespace(x.data if isinstance(x, Tensor) else x)
    return Dropout(xp.asarray(keep), p)(x)


def probability(op, what, p):
    """``p`` as a Python number. Raises ValueError when it is not in [0, 1)."""
    if not 0 <= real(op, what, p) < 1:
        raise ValueError(f"{op}: {what} is {p}, but must be at least 0 and below 1")
    return float(p)


def kept(op, shape, p, rng):
    """A mask of ``shape``, False with probability ``p``, drawn from the Generator ``rng``."""
    if not isinstance(rng, np.random.Generator):
        found = "" if rng is None else f", not {type(rng).__name__}"
        raise ValueError(
            f"{op}: pass rng=np.random.default_rng(seed){found}, so that runs can repeat"
        )
    return rng.random(shape, dtype=np.float32) >= p


def integers(values, what):
    """``values`` as a raw array of integers. Raises TypeError when they are not integers."""
    values = operand(values)
    values = values.data if isinstance(values, Tensor) else values
    if values.dtype.kind not in "iu":
        raise TypeError(f"{what} must be integers, not {values.dtype}")
    return values
