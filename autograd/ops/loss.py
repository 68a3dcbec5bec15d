"""Cross-entropy, from logits or directly from the last hidden state.

Targets equal to ``ignore_index`` do not count. "mean" divides by the number of targets that do, or
by the sum of their classes' weights, and gives 0 when that is 0 (PyTorch gives NaN), so a fully
masked batch does no harm.
"""

from typing import Any

import numpy as np

from autograd._tensor import Tensor, TensorLike
from autograd.device import bring, namespace
from autograd.engine import Op
from autograd.kernels import (
    cross_entropy as cross_entropy_kernel,
    linear_cross_entropy as linear_cross_entropy_kernel,
)
from autograd.ops.arguments import (
    floating,
    integer,
    integer_array,
    of_one_type,
    operand,
    real,
)
from autograd.ops.conversion import astype
from autograd.ops.reduce import sum
from autograd.ops.shape import reshape
from autograd.precision import at_current_precision
from autograd.questions import see

__all__ = ["cross_entropy", "linear_cross_entropy"]


class CrossEntropy(Op):
    """loss_n = log sum_v exp(logits_nv) - logits_n,target(n), then mean, sum or none of it.

    Shapes: logits (N, V) -> () or (N,)
    Saves: logits; caches the log-sum-exp of each row, in two parts; keeps the targets
    Derivative: g_logits = g * w * (softmax(logits) - one_hot(targets))
    Note: w is how much a row counts: 0 if its target is ignored, else the weight of its class (or
        1), which "mean" divides by the sum of them all
    Derivation: autograd/kernels/cross_entropy/README.md
    """

    save_inputs = (0,)
    fresh_gradients = True

    def __init__(self, targets, ignore_index, reduction, weight=None, label_smoothing=0.0):
        self.options = targets, ignore_index, reduction
        self.weight, self.label_smoothing = weight, label_smoothing

    def further(self):
        """Those options that no kernel supports, if they were passed."""
        options = {} if self.weight is None else {"weight": self.weight}
        if self.label_smoothing:
            options["label_smoothing"] = self.label_smoothing
        return options

    def forward(self, xp, logits):
        loss, self.cache = cross_entropy_kernel.forward(xp, logits, *self.options, **self.further())
        return loss

    def backward(self, xp, g, logits):
        return cross_entropy_kernel.backward(
            xp, g, logits, *self.options, self.cache, **self.further()
        )


def cross_entropy(
    logits: TensorLike,
    targets: TensorLike,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    weight: TensorLike | None = None,
) -> Tensor:
    """The negative log-likelihood of ``targets`` under ``logits`` (..., V), in nats.

    ``targets`` (...) are integer classes, or (..., V) floating-point probabilities of all classes,
    which may be a Tensor that requires a gradient. ``reduction`` is "mean", "sum" or "none" (one
    loss per target). ``label_smoothing``, in [0, 1], spreads this share of each target evenly over
    all classes. ``weight`` (V,), a constant, says how much each class counts: for classes "mean" is
    then the weighted mean, for probabilities still the mean over rows. All this is as in PyTorch's
    function of this name, except that the classes are the last axis.

    Raises ValueError for shapes and options that do not fit, TypeError for targets that are
    neither integers nor probabilities, IndexError for a target that is neither a class nor
    ``ignore_index``.
    """
    logits, targets = floating(logits), operand(targets)
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(
            f"cross_entropy: logits have shape {logits.shape}, expected (..., V) with at least one "
            "class"
        )
    n_classes = logits.shape[-1]
    if not 0 <= real("cross_entropy", "label_smoothing", label_smoothing) <= 1:
        raise ValueError(
            f"cross_entropy: label_smoothing is {label_smoothing}, but must be from 0 to 1"
        )
    if weight is not None:
        weight = _class_weights(weight, n_classes, logits)
    if targets.dtype.kind == "f" and targets.shape == logits.shape:
        if ignore_index != -100:
            raise ValueError(
                "cross_entropy: ignore_index works with classes, and the targets are "
                "probabilities: use a row of zeros, which adds nothing"
            )
        return _soft_cross_entropy(logits, targets, reduction, float(label_smoothing), weight)
    classes, ignore_index = _checked(
        "cross_entropy", targets, logits.shape[:-1], n_classes, ignore_index, reduction
    )
    flat = reshape(logits, (classes.size, n_classes))
    op = CrossEntropy(classes.reshape(-1), ignore_index, reduction, weight, float(label_smoothing))
    loss = op.reading(targets)(flat)
    return reshape(loss, classes.shape) if reduction == "none" else loss


class SoftCrossEntropy(Op):
    """loss_n = sum_v q_nv (log sum_w exp(logits_nw) - logits_nv): the targets are probabilities.

    Shapes: logits (N, V), q (N, V) -> (N,)
    Saves: logits, q
    Derivative: g_logits = g * (sum(q) * softmax(logits) - q),
        g_q = g * (logsumexp(logits) - logits)
    Note: a class of probability 0 adds 0, also where its logit is minus infinity
    """

    save_inputs = (0, 1)

    def forward(self, xp, logits, q):
        if logits.size == 0:
            return xp.sum(logits, axis=-1)
        return xp.sum(q * xp.where(q == 0, 0, self.surprise(xp, logits)), axis=-1)

    @staticmethod
    def surprise(xp, logits):
        """-log p (N, V), exact where the logits are large and alike."""
        below = logits - xp.max(logits, axis=-1, keepdims=True)
        return xp.log(xp.sum(xp.exp(below), axis=-1, keepdims=True)) - below

    def backward(self, xp, g, logits, q):
        if logits.size == 0:
            return logits, q
        g, surprise = g[:, None], self.surprise(xp, logits)
        g_logits = g * (xp.sum(q, axis=-1, keepdims=True) * xp.exp(-surprise) - q)
        return g_logits, g * surprise if self.needs[1] else None


def _soft_cross_entropy(logits, targets, reduction, label_smoothing, weight):
    _check_reduction("cross_entropy", reduction)
    if logits.dtype == np.float16:
        loss = _soft_cross_entropy(
            astype(logits, np.float32), targets, reduction, label_smoothing, weight
        )
        return astype(loss, np.float16)
    lead, n_classes = logits.shape[:-1], logits.shape[-1]
    q = astype(targets, logits.dtype)
    if label_smoothing:
        q = q * (1 - label_smoothing) + label_smoothing / n_classes
    if weight is not None:
        q = q * astype(weight, logits.dtype)
    n_rows = logits.size // n_classes
    losses = SoftCrossEntropy()(
        reshape(logits, (n_rows, n_classes)), reshape(q, (n_rows, n_classes))
    )
    if reduction == "none":
        return reshape(losses, lead)
    return sum(losses) / max(1, n_rows) if reduction == "mean" else sum(losses)


class LinearCrossEntropy(Op):
    """Cross-entropy of the logits H W^T, which are never stored.

    Shapes: h (N, C), weight (V, C) -> () or (N,)
    Saves: h, weight; caches their gradients for the first backward, computed while the logits of a
        block were in memory; keeps the targets
    Derivative: g_h = d @ weight, g_weight = d^T @ h
        with d = g * w * (softmax(h @ weight^T) - one_hot(targets))
    Note: w is how much a row counts, as in CrossEntropy
    Derivation: autograd/kernels/linear_cross_entropy/README.md
    """

    save_inputs = (0, 1)
    fresh_gradients = True
    multiplied = (0,)
    precision = "float32"

    def __init__(self, targets, ignore_index, reduction):
        self.options = targets, ignore_index, reduction

    def forward(self, xp, h, weight):
        loss, self.cache = linear_cross_entropy_kernel.forward(
            xp, h, weight, *self.options, self.needs, precision=self.precision
        )
        return loss

    def backward(self, xp, g, h, weight):
        # The returned gradients may be the cached arrays, so the cache goes; a second backward
        # computes them again. (pop is one step: only one of two threads gets them.)
        cache = vars(self).pop("cache", None)
        return linear_cross_entropy_kernel.backward(
            xp, g, h, weight, *self.options, cache, self.needs, precision=self.precision
        )


def linear_cross_entropy(
    h: TensorLike,
    weight: TensorLike,
    targets: TensorLike,
    ignore_index: int = -100,
    reduction: str = "mean",
    **others: Any,
) -> Tensor:
    """``cross_entropy(h @ weight.T, targets)`` without storing all the logits.

    h (..., C), weight (V, C), targets (...), integer classes. The logits are computed, used and
    dropped in blocks of rows. Only cross_entropy takes probabilities as targets, label smoothing
    and class weights. Raises as cross_entropy does, and TypeError for these ``others``.
    """
    (h, weight), targets = of_one_type(h, weight), operand(targets)
    if others or targets.dtype.kind == "f":
        refused = next(iter(others), f"targets of {targets.dtype}")
        raise TypeError(
            f"linear_cross_entropy takes classes, ignore_index and reduction, not {refused}: "
            "use cross_entropy(linear(h, weight), targets, ...)"
        )
    if weight.ndim != 2 or h.ndim == 0 or h.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"linear_cross_entropy: h has shape {h.shape} and weight {weight.shape}: their last "
            "axes must be equally long"
        )
    if not len(weight):
        raise ValueError("linear_cross_entropy: weight has no rows, which are the classes")
    classes, ignore_index = _checked(
        "linear_cross_entropy", targets, h.shape[:-1], weight.shape[0], ignore_index, reduction
    )
    flat = reshape(h, (classes.size, h.shape[-1]))
    op = at_current_precision(LinearCrossEntropy(classes.reshape(-1), ignore_index, reduction))
    loss = op.reading(targets)(flat, weight)
    return reshape(loss, classes.shape) if reduction == "none" else loss


def _check_reduction(op, reduction):
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'{op}: reduction is {reduction!r}, but must be "mean", "sum" or "none"')


def _class_weights(weight, n_classes, logits):
    """The weight of each class as an array of the logits' library and type."""
    weight = operand(weight)
    if weight.shape != (n_classes,):
        raise ValueError(
            f"cross_entropy: weight has shape {weight.shape}, expected one number for each of the "
            f"{n_classes} classes, ({n_classes},)"
        )
    if isinstance(weight, Tensor):
        if weight.requires_grad:
            raise ValueError(
                "cross_entropy: weight is a constant and gets no gradient: pass weight.detach()"
                + see("When do I detach?")
            )
        weight = weight.data
    library = namespace(logits.data if isinstance(logits, Tensor) else logits)
    return bring(library, weight).astype(logits.dtype)


def _checked(op, targets, shape, n_classes, ignore_index, reduction):
    """The targets as integers, each a class or ``ignore_index``, and ``ignore_index`` itself."""
    _check_reduction(op, reduction)
    ignore_index = integer(op, "ignore_index", ignore_index)
    if not -(2**63) <= ignore_index < 2**63:
        raise ValueError(f"{op}: ignore_index is {ignore_index}, which no integer type can hold")
    if targets.shape == (*shape, n_classes):
        raise ValueError(
            f"{op}: targets have shape {targets.shape} and type {targets.dtype}: classes have "
            f"shape {shape}, and probabilities are floating-point numbers"
        )
    targets = integer_array(f"{op}: targets", targets)
    if targets.shape != shape:
        raise ValueError(f"{op}: targets have shape {targets.shape}, expected {shape}")
    wrong = ((targets < 0) | (targets >= n_classes)) & (targets != ignore_index)
    if wrong.any():
        raise IndexError(
            f"{op}: target {int(targets[wrong][0])} is neither one of the {n_classes} classes nor "
            f"ignore_index ({ignore_index})"
        )
    return targets, ignore_index
