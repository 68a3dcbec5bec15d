"""Softmax and the normalizations, which bring the numbers along an axis to a common scale.

Their kernels work on the last axis. Another axis, or several that count as one, is moved there and
back.
"""

import math

import numpy as np

from autograd._tensor import Operand, Tensor, TensorLike
from autograd._types import Axis
from autograd.device import namespace
from autograd.engine import Op
from autograd.kernels import (
    layer_norm as layer_norm_kernel,
    rms_norm as rms_norm_kernel,
    softmax as softmax_kernel,
)
from autograd.ops.arguments import floating, reduced_axes
from autograd.ops.conversion import astype
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

    ``axis`` is an integer, a tuple of axes that count as one, or None for all, as in SciPy. The
    softmax of a single number, of shape (), is 1. A row of minus infinities gives NaN, as in
    PyTorch. Raises AxisError for an axis that x does not have.
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
            return xp.exp(x)  # no elements: there is no maximum to take
        top = xp.max(x, axis=-1, keepdims=True)
        x = x - xp.where(
            xp.isfinite(top), top, 0
        )  # exact for numbers that are large and close together
        return x - xp.logsumexp(x, axis=-1, keepdims=True)

    def backward(self, xp, g, y):
        return g - xp.exp(y) * xp.sum(g, axis=-1, keepdims=True)


def log_softmax(x: TensorLike, axis: Axis = -1) -> Tensor:
    """log(softmax(x)) over ``axis``, computed without overflow and without the log of 0.

    ``axis`` is as for softmax. For a single number, of shape (), the result is 0.
    """
    x = floating(x)
    if x.dtype == np.float16:  # a sum of 65,504 exponentials or more may overflow
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

    x (..., C), weight (C,) or None (no scaling), bias (C,) or None (no shift). ``axis`` is an
    integer, a tuple of axes that are normalized together, or None for all: (-2, -1) is what PyTorch
    calls a normalized_shape of two lengths. weight and bias have the lengths of these axes, from
    first to last.

    Raises ValueError when the lengths differ, AxisError for an axis that x does not have.
    """
    x = floating(x)
    axes = _axes("layer_norm", x, axis)
    weight = _for_each_row("layer_norm", "weight", weight, x, axes, 1)
    bias = _for_each_row("layer_norm", "bias", bias, x, axes, 0)
    if not weight.size:  # empty rows have no mean
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

    x (..., C), weight (C,) or None; ``axis`` and the errors are as for layer_norm.
    """
    x = floating(x)
    axes = _axes("rms_norm", x, axis)
    weight = _for_each_row("rms_norm", "weight", weight, x, axes, 1)
    if not weight.size:
        return _over_axes(lambda rows: rows * weight, x, axes)
    return _over_axes(lambda rows: RMSNorm(float(eps))(rows, weight), x, axes)


def _axes(name, x, axis):
    """``axis`` as an ascending tuple of x's axes; an x of shape () has none, named or not."""
    axes = reduced_axes(name, axis, x)
    if isinstance(axes, int):
        return (axes,)
    return tuple(range(x.ndim)) if axes is None else tuple(sorted(axes))


def _over_axes(call, x, axes):
    """Apply ``call``, which works on the last axis, to rows that run over all of ``axes``."""
    if axes == (x.ndim - 1,):
        return call(x)
    order = (*[i for i in range(x.ndim) if i not in axes], *axes)
    moved = transpose(x, order)
    lead = moved.shape[: x.ndim - len(axes)]
    rows = reshape(moved, (*lead, math.prod(moved.shape[len(lead) :])))
    y = reshape(call(rows), moved.shape)
    return transpose(y, tuple([order.index(i) for i in range(x.ndim)]))


def _for_each_row(name, what, values, x, axes, default) -> Operand:
    """A weight or bias as a row of ``_over_axes``; if it is None, a row of ``default``.

    Raises ValueError when it does not have the lengths of these axes.
    """
    lengths = x.shape[-1:] if axes == (x.ndim - 1,) else tuple([x.shape[i] for i in axes])
    if values is None:
        raw = x.data if isinstance(x, Tensor) else x
        return namespace(raw).full(math.prod(lengths), default, dtype=x.dtype)
    values = floating(values)
    if values.shape != lengths:
        raise ValueError(
            f"{name}: the {what} has shape {values.shape}, expected {lengths}, the lengths of the "
            f"normalized axes of x {x.shape}"
        )
    return values if len(lengths) == 1 else reshape(values, (math.prod(lengths),))
