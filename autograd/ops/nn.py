"""The operations of neural networks; the fused ones have a folder in ``autograd/kernels``.

Functions have PyTorch's names and options where NumPy has none. Token ids and class targets are
integers: arrays, or Tensors that hold integers.
"""

import numpy as np

from autograd._tensor import Tensor
from autograd.device import is_array, namespace
from autograd.engine import Op
from autograd.kernels import (
    dropout as dropout_kernel,
    embedding as embedding_kernel,
    gelu as gelu_kernel,
    layer_norm as layer_norm_kernel,
    linear as linear_kernel,
    rms_norm as rms_norm_kernel,
    softmax as softmax_kernel,
)
from autograd.ops.shape import swapaxes

__all__ = [
    "dropout", "embedding", "gelu", "gelu_linear", "layer_norm", "linear", "log_softmax", "relu",
    "rms_norm", "silu", "softmax",
]  # fmt: skip


SILU_FAR = 800.0
"""Beyond it exp(-|x|) is 0 in every type, and would meet infinity."""


class ReLU(Op):
    """y = max(x, 0).

    Saves: x
    dy/dx = 0 where x <= 0 (at the kink too), else 1
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.maximum(x, 0)

    def backward(self, xp, g, x):
        return xp.where(x <= 0, 0, g)


class GELU(Op):
    """y = x Phi(x), Phi the normal distribution function or its tanh approximation.

    Saves: x
    Derivation: autograd/kernels/gelu/README.md
    """

    save_inputs = (0,)
    fresh_gradients = True

    def __init__(self, approximate):
        self.approximate = approximate

    def forward(self, xp, x):
        return gelu_kernel.forward(xp, x, self.approximate)

    def backward(self, xp, g, x):
        return gelu_kernel.backward(xp, g, x, self.approximate, spare=self.spare())[0]


class SiLU(Op):
    """y = x sigmoid(x).

    Saves: x
    dy/dx = s (1 + x (1 - s))  with  s = sigmoid(x): 0 at minus infinity, 1 at infinity
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.where(x < -SILU_FAR, 0, x) * xp.sigmoid(x)

    def backward(self, xp, g, x):
        s = xp.sigmoid(x)
        near = xp.where(xp.abs(x) > SILU_FAR, 0, x)
        return g * s * (1 + near * (1 - s))


class Softmax(Op):
    """y_i = exp(x_i) / sum_j exp(x_j) over the last axis.

    Saves: y
    Derivation: autograd/kernels/softmax/README.md
    """

    save_output = True
    fresh_gradients = True

    def forward(self, xp, x):
        return softmax_kernel.forward(xp, x)

    def backward(self, xp, g, y):
        return softmax_kernel.backward(xp, g, y)


class LogSoftmax(Op):
    """y_i = x_i - log sum_j exp(x_j) over the last axis.

    Saves: y
    dL/dx_i = g_i - exp(y_i) sum_j g_j
    """

    save_output = True

    def forward(self, xp, x):
        return x - xp.logsumexp(x, axis=-1, keepdims=True)

    def backward(self, xp, g, y):
        return g - xp.exp(y) * xp.sum(g, axis=-1, keepdims=True)


class LayerNorm(Op):
    """Normalize the last axis to mean 0 and variance 1, then scale and shift.

    Shapes: x (..., C), weight (C,), bias (C,) -> (..., C)
    Saves:  x, weight; caches the mean and 1/std, two numbers per row
    Derivation: autograd/kernels/layer_norm/README.md
    """

    save_inputs = (0, 1)
    fresh_gradients = True

    def __init__(self, eps):
        self.eps = eps

    def forward(self, xp, x, weight, bias):
        y, self.cache = layer_norm_kernel.forward(xp, x, weight, bias, self.eps)
        return y

    def backward(self, xp, g, x, weight):
        in_place = self.spare(), self.take(0)
        return layer_norm_kernel.backward(
            xp, g, x, weight, self.eps, self.cache, self.needs, *in_place
        )


class RMSNorm(Op):
    """Divide the last axis by its root mean square, then scale.

    Shapes: x (..., C), weight (C,) -> (..., C)
    Saves:  x, weight; caches 1/rms, one number per row
    Derivation: autograd/kernels/rms_norm/README.md
    """

    save_inputs = (0, 1)
    fresh_gradients = True

    def __init__(self, eps):
        self.eps = eps

    def forward(self, xp, x, weight):
        y, self.cache = rms_norm_kernel.forward(xp, x, weight, self.eps)
        return y

    def backward(self, xp, g, x, weight):
        return rms_norm_kernel.backward(xp, g, x, weight, self.eps, self.cache, self.needs)


class Linear(Op):
    """Y = X W^T + b.

    Shapes: x (..., K), weight (M, K), bias (M,) -> (..., M)
    Saves:  x, weight
    Derivation: autograd/kernels/linear/README.md
    """

    save_inputs = (0, 1)
    saved_for = {0: (1,), 1: (0,)}
    fresh_gradients = True

    def forward(self, xp, x, weight, bias=None):
        return linear_kernel.forward(xp, x, weight, bias)

    def backward(self, xp, g, x, weight):
        needs = self.needs if len(self.needs) == 3 else (*self.needs, False)
        found = linear_kernel.backward(xp, g, x, weight, needs, self.into(1))
        return found[: len(self.needs)]


class GELULinear(Op):
    """y = GELU(x + shift) W^T + b, which keeps x and makes GELU(x + shift) again in backward.

    Shapes: x (..., M), weight (C, M), shift (M,), bias (C,) -> (..., C)
    Saves:  x, weight, shift
    Derivation: autograd/kernels/gelu/README.md and autograd/kernels/linear/README.md
    """

    save_inputs = (0, 1, 2)
    fresh_gradients = True

    def __init__(self, approximate):
        self.approximate = approximate

    def forward(self, xp, x, weight, shift, bias):
        a = gelu_kernel.forward(xp, x, self.approximate, shift)
        return linear_kernel.forward(xp, a, weight, bias)

    def backward(self, xp, g, x, weight, shift):
        needs_weight, needs_bias = self.needs[1], self.needs[3]
        g_a, _, g_bias = linear_kernel.backward(xp, g, None, weight, (True, False, needs_bias))
        g_x, g_shift, a = gelu_kernel.backward(xp, g_a, x, self.approximate, shift, g_a, True)
        only_weight = (False, needs_weight, False)
        _, g_weight, _ = linear_kernel.backward(xp, g, a, weight, only_weight, self.into(1))
        return g_x, g_weight, g_shift, g_bias


class Embedding(Op):
    """y = weight[ids].

    Shapes: weight (V, C), ids (...) -> (..., C)
    Saves:  the ids
    Derivation: autograd/kernels/embedding/README.md
    """

    fresh_gradients = True

    def __init__(self, ids):
        self.ids = ids

    def forward(self, xp, weight):
        return embedding_kernel.forward(xp, weight, self.ids)

    def backward(self, xp, g):
        shape = self.inputs[0].shape
        return embedding_kernel.backward(xp, g, self.ids, shape, self.into(0))


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


def relu(x):
    """max(x, 0). At 0 the gradient is 0."""
    return ReLU()(x)


def gelu(x, approximate="none"):
    """The Gaussian error linear unit (Hendrycks and Gimpel 2016).

    ``approximate="none"`` is x Phi(x), exact; ``"tanh"`` is the approximation GPT-2 was trained
    with. Raises ValueError for anything else.
    """
    return GELU(_known(approximate, "gelu"))(x)


def _known(approximate, op):
    if approximate not in ("none", "tanh"):
        raise ValueError(f'{op}: approximate is {approximate!r}, but must be "none" or "tanh"')
    return approximate


def silu(x):
    """x sigmoid(x), the sigmoid-weighted linear unit, also called swish (Elfwing et al. 2017)."""
    return SiLU()(x)


def softmax(x, axis=-1):
    """exp(x) / sum(exp(x)) over ``axis``, computed without overflow."""
    return _over_last_axis(Softmax, x, axis)


def log_softmax(x, axis=-1):
    """log(softmax(x)) over ``axis``, computed without overflow and without taking the log."""
    return _over_last_axis(LogSoftmax, x, axis)


def _over_last_axis(op, x, axis):
    if axis in (-1, x.ndim - 1):
        return op()(x)
    return swapaxes(op()(swapaxes(x, axis, -1)), axis, -1)


def layer_norm(x, weight, bias, eps=1e-5):
    """Layer normalization over the last axis (Ba, Kiros and Hinton 2016).

    x (..., C), weight (C,), bias (C,). Raises ValueError when the lengths differ.
    """
    if not x.shape[-1:] == weight.shape == bias.shape:
        raise ValueError(
            f"layer_norm: x has shape {x.shape}, weight {weight.shape}, bias {bias.shape}: "
            "weight and bias must have the length of x's last axis"
        )
    return LayerNorm(eps)(x, weight, bias)


def rms_norm(x, weight, eps=1e-5):
    """x / sqrt(mean(x^2) + eps) over the last axis, times weight (Zhang and Sennrich 2019).

    x (..., C), weight (C,). Raises ValueError when the lengths differ.
    """
    if not x.shape[-1:] == weight.shape:
        raise ValueError(
            f"rms_norm: x has shape {x.shape} and weight {weight.shape}: the weight must have the "
            "length of x's last axis"
        )
    return RMSNorm(eps)(x, weight)


def linear(x, weight, bias=None):
    """x W^T + b, with the weight (out, in) as in PyTorch: x (..., K), weight (M, K), bias (M,).

    Raises ValueError when the shapes do not fit.
    """
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"linear: x has shape {x.shape} and weight {weight.shape}: the last axis of x must be "
            "as long as the last axis of weight (out, in)"
        )
    if bias is None:
        return Linear()(x, weight)
    if bias.shape != weight.shape[:1]:
        raise ValueError(f"linear: the bias has shape {bias.shape}, expected {weight.shape[:1]}")
    return Linear()(x, weight, bias)


def gelu_linear(x, weight, shift, bias, approximate="none"):
    """``linear(gelu(x + shift), weight, bias)``, with one large array less kept for backward.

    The second half of a transformer's MLP: x (..., M) is what the first matrix gave, ``shift`` (M,)
    the bias that belongs to it, then weight (C, M) and bias (C,) as in ``linear``. Raises
    ValueError for shapes that do not fit, and as gelu does.
    """
    if weight.ndim != 2 or not (x.shape[-1:] == shift.shape == weight.shape[1:]):
        raise ValueError(
            f"gelu_linear: x has shape {x.shape}, weight {weight.shape} and shift {shift.shape}: "
            "their last axes must be equally long"
        )
    if bias.shape != weight.shape[:1]:
        raise ValueError(
            f"gelu_linear: the bias has shape {bias.shape}, expected {weight.shape[:1]}"
        )
    return GELULinear(_known(approximate, "gelu_linear"))(x, weight, shift, bias)


def embedding(weight, ids):
    """The rows of ``weight`` (V, C) named by the integers ``ids`` (...), each in [0, V).

    Raises TypeError for ids that are not integers, IndexError for one outside the table.
    """
    ids = integers(ids, "embedding ids")
    if ids.size and (ids.min() < 0 or ids.max() >= weight.shape[0]):
        wrong = ids[(ids < 0) | (ids >= weight.shape[0])][0]
        raise IndexError(
            f"embedding: id {int(wrong)} is outside the table of {weight.shape[0]} rows"
        )
    return Embedding(ids)(weight)


def dropout(x, p=0.5, training=True, rng=None):
    """Zero each element with probability ``p`` and scale the others by 1/(1 - p).

    Without ``training``, or with p = 0, x itself. The mask is drawn from ``rng``, a
    np.random.Generator. Raises ValueError when p is not in [0, 1) or when there is no rng.
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p is {p}, but must be at least 0 and below 1")
    if not training or p == 0:
        return x
    if rng is None:
        raise ValueError("dropout: pass rng=np.random.default_rng(seed), so that runs can repeat")
    keep = rng.random(x.shape, dtype=np.float32) >= p
    xp = namespace(x.data if isinstance(x, Tensor) else x)
    return Dropout(xp.asarray(keep), p)(x)


def integers(values, what):
    """``values`` as a raw array of integers. Raises TypeError when they are not integers."""
    values = values.data if isinstance(values, Tensor) else values
    values = values if is_array(values) else np.asarray(values)
    if values.dtype.kind not in "iu":
        raise TypeError(f"{what} must be integers, not {values.dtype}")
    return values
