"""Softmax and the normalizations: what brings the numbers along an axis to one size.

Their kernels work on the last axis. Another axis, or several that count as one, is brought there
and back.
"""

import math

import numpy as np

from autograd._tensor import Tensor
from autograd._types import Axis, Operand, TensorLike
from autograd.device import namespace
from autograd.engine import Op
from autograd.kernels import (
    layer_norm as layer_norm_kernel,
    rms_norm as rms_norm_kernel,
    softmax as softmax_kernel,
)
from autograd.ops.arguments import floating, reduced_axes
from autograd.ops.piecewise import astype
from autograd.ops.shape import reshape, transpose

__all__ = ["layer_norm", "log_softmax", "rms_norm", "softmax"]


class Softmax(Op):
    """y_i = exp(x_i) / sum_j exp(x_j) over the last axis.

    Shapes: x (..., C) -> (..., C)
    Saves: y
    Derivative: g_x = y * (g - sum(g * y))
    Derivation: autograd/kernels/softmax/README.md
    """

    save_output = True
    fresh_gradients = True

    def forward(self, xp, x):
        return softmax_kernel.forward(xp, x)

    def backward(self, xp, g, y):
        return softmax_kernel.backward(xp, g, y)


def softmax(x: TensorLike, axis: Axis = -1) -> Tensor:
    """exp(x) / sum(exp(x)) over ``axis``, computed without overflow.

    ``axis`` is an integer, a tuple of them that count as one, or None for all, as SciPy's. Of a
    single number, of shape (), softmax is 1. A row of nothing but minus infinity gives NaN, as
    PyTorch's. Raises AxisError for an axis that x has not got.
    """
    x = floating(x)
    return _over_axes(Softmax(), x, _axes("softmax", x, axis))


class LogSoftmax(Op):
    """y_i = x_i - log sum_j exp(x_j) over the last axis.

    Shapes: x (..., C) -> (..., C)
    Saves: y
    Derivative: g_x = g - exp(y) * sum(g)
    """

    save_output = True

    def forward(self, xp, x):
        if x.size == 0:
            return xp.exp(x)  # nothing in, nothing out: there is no maximum to take
        top = xp.max(x, axis=-1, keepdims=True)
        x = x - xp.where(xp.isfinite(top), top, 0)  # exact where the numbers are large and alike
        return x - xp.logsumexp(x, axis=-1, keepdims=True)

    def backward(self, xp, g, y):
        return g - xp.exp(y) * xp.sum(g, axis=-1, keepdims=True)


def log_softmax(x: TensorLike, axis: Axis = -1) -> Tensor:
    """log(softmax(x)) over ``axis``, computed without overflow and without taking the log.

    ``axis`` as for softmax. Of a single number, of shape (), it is 0.
    """
    x = floating(x)
    if x.dtype == np.float16:  # the sum of the exponentials is beyond it from 65,504 terms on
        return astype(log_softmax(astype(x, np.float32), axis), np.float16)
    return _over_axes(LogSoftmax(), x, _axes("log_softmax", x, axis))


class LayerNorm(Op):
    """Normalize the last axis to mean 0 and variance 1, then scale and shift.

    Shapes: x (..., C), weight (C,), bias (C,) -> (..., C)
    Saves: x, weight; caches the mean of each row, in two parts, and 1/std
    Derivative: g_x = rstd * (h - mean(h) - n * mean(h * n)), g_weight = g * n, g_bias = g
        with h = g * weight, n = (x - mean(x)) * rstd, rstd = 1 / sqrt(var(x) + eps)
    Derivation: autograd/kernels/layer_norm/README.md
    """

    save_inputs = (0, 1)
    fresh_gradients = True
    works_in_place = True

    def __init__(self, eps):
        self.eps = eps

    def forward(self, xp, x, weight, bias):
        y, self.cache = layer_norm_kernel.forward(xp, x, weight, bias, self.eps)
        return y

    def backward(self, xp, g, x, weight, room=None):
        return layer_norm_kernel.backward(
            xp, g, x, weight, self.eps, self.cache, self.needs, room=room
        )


def layer_norm(
    x: TensorLike,
    weight: TensorLike | None = None,
    bias: TensorLike | None = None,
    eps: float = 1e-5,
    axis: Axis = -1,
) -> Tensor:
    """(x - mean(x)) / sqrt(var(x) + eps) weight + bias over ``axis`` (Ba, Kiros and Hinton 2016).

    x (..., C), weight (C,), bias (C,); without a weight nothing is scaled, without a bias nothing
    is shifted. ``axis`` is an integer, a tuple of axes that are normalized together, or None for
    all: (-2, -1) is what PyTorch calls a normalized_shape of two lengths. weight and bias have the
    lengths of these axes, from the first to the last of them.

    Raises ValueError when the lengths differ, AxisError for an axis that x has not got.
    """
    x = floating(x)
    axes = _axes("layer_norm", x, axis)
    weight = _for_each_row("layer_norm", "weight", weight, x, axes, 1)
    bias = _for_each_row("layer_norm", "bias", bias, x, axes, 0)
    if not weight.size:  # rows of no numbers have no mean
        return _over_axes(lambda rows: rows * weight + bias, x, axes)
    return _over_axes(lambda rows: LayerNorm(float(eps))(rows, weight, bias), x, axes)


class RMSNorm(Op):
    """Divide the last axis by its root mean square, then scale.

    Shapes: x (..., C), weight (C,) -> (..., C)
    Saves: x, weight; caches 1/rms of each row
    Derivative: g_x = r * (h - n * mean(h * n)), g_weight = g * n
        with h = g * weight, n = x * r, r = 1 / sqrt(mean(x^2) + eps)
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


def rms_norm(
    x: TensorLike, weight: TensorLike | None = None, eps: float = 1e-5, axis: Axis = -1
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) weight over ``axis`` (Zhang and Sennrich 2019).

    x (..., C), weight (C,) or None; ``axis``, and what is raised, as for layer_norm.
    """
    x = floating(x)
    axes = _axes("rms_norm", x, axis)
    weight = _for_each_row("rms_norm", "weight", weight, x, axes, 1)
    if not weight.size:
        return _over_axes(lambda rows: rows * weight, x, axes)
    return _over_axes(lambda rows: RMSNorm(float(eps))(rows, weight), x, axes)


def _axes(name, x, axis):
    """``axis`` as the numbers of x's axes, in their order; of shape () x has none, named or not."""
    axes = reduced_axes(name, axis, x)
    if isinstance(axes, int):
        return (axes,)
    return tuple(range(x.ndim)) if axes is None else tuple(sorted(axes))


def _over_axes(call, x, axes):
    """``call``, which works on the last axis, on rows that run over all of ``axes``."""
    if axes == (x.ndim - 1,):
        return call(x)
    order = (*[i for i in range(x.ndim) if i not in axes], *axes)
    moved = transpose(x, order)
    lead = moved.shape[: x.ndim - len(axes)]
    rows = reshape(moved, (*lead, math.prod(moved.shape[len(lead) :])))
    y = reshape(call(rows), moved.shape)
    return transpose(y, tuple([order.index(i) for i in range(x.ndim)]))


def _for_each_row(name, what, values, x, axes, default) -> Operand:
    """A weight or bias as the row that ``_over_axes`` makes; of the ``default`` where it is None.

    Raises ValueError when it has not the lengths of these axes.
    """
    lengths = x.shape[-1:] if axes == (x.ndim - 1,) else tuple([x.shape[i] for i in axes])
    if values is None:
        raw = x.data if isinstance(x, Tensor) else x
        return namespace(raw).full(math.prod(lengths), default, dtype=x.dtype)
    values = floating(values)
    if values.shape != lengths:
        raise ValueError(
            f"{name}: the {what} has shape {values.shape}, but must have the lengths of the axes "
            f"that are normalized, {lengths}, of x {x.shape}"
        )
    return values if len(lengths) == 1 else reshape(values, (math.prod(lengths),))
