"""Cross-entropy, from logits or straight from the last hidden state.

Targets equal to ``ignore_index`` do not count. "mean" divides by the number of targets that do,
and gives 0 when there is none (PyTorch gives NaN), so that a fully masked batch is harmless.
"""

from autograd.engine import Op
from autograd.kernels import (
    cross_entropy as cross_entropy_kernel,
    linear_cross_entropy as linear_cross_entropy_kernel,
)
from autograd.ops.nn import integers
from autograd.ops.shape import reshape

__all__ = ["cross_entropy", "linear_cross_entropy"]


class CrossEntropy(Op):
    """loss_n = log sum_v exp(logits_nv) - logits_n,target(n), then mean, sum or none of it.

    Shapes: logits (N, V) -> () or (N,)
    Saves:  logits; caches the log-sum-exp of each row
    Derivation: autograd/kernels/cross_entropy/README.md
    """

    save_inputs = (0,)
    fresh_gradients = True

    def __init__(self, targets, ignore_index, reduction):
        self.options = targets, ignore_index, reduction

    def forward(self, xp, logits):
        loss, self.cache = cross_entropy_kernel.forward(xp, logits, *self.options)
        return loss

    def backward(self, xp, g, logits):
        return cross_entropy_kernel.backward(xp, g, logits, *self.options, self.cache)


class LinearCrossEntropy(Op):
    """The cross-entropy of logits H W^T that nobody else sees.

    Shapes: h (N, C), weight (V, C) -> () or (N,)
    Saves:  h, weight; caches their gradients, computed while the logits of a block were at hand,
            for the first backward
    Derivation: autograd/kernels/linear_cross_entropy/README.md
    """

    save_inputs = (0, 1)
    fresh_gradients = True

    def __init__(self, targets, ignore_index, reduction):
        self.options = targets, ignore_index, reduction

    def forward(self, xp, h, weight):
        loss, self.cache = linear_cross_entropy_kernel.forward(
            xp, h, weight, *self.options, self.needs
        )
        return loss

    def backward(self, xp, g, h, weight):
        # Given away: the gradients that are returned may be the cached arrays. Should backward run
        # again, it computes them again. (pop is one step: two threads do not both get them.)
        cache = vars(self).pop("cache", None)
        return linear_cross_entropy_kernel.backward(
            xp, g, h, weight, *self.options, cache, self.needs
        )


def cross_entropy(logits, targets, ignore_index=-100, reduction="mean"):
    """The negative log-likelihood of integer ``targets`` (...) under ``logits`` (..., V), in nats.

    ``reduction`` is "mean", "sum" or "none" (a loss per target). Raises ValueError for shapes that
    do not fit, IndexError for a target that is neither a class nor ``ignore_index``.
    """
    n_classes = logits.shape[-1]
    targets = _checked(targets, logits.shape[:-1], n_classes, ignore_index, reduction)
    flat = reshape(logits, (targets.size, n_classes))
    loss = CrossEntropy(targets.reshape(-1), ignore_index, reduction)(flat)
    return reshape(loss, targets.shape) if reduction == "none" else loss


def linear_cross_entropy(h, weight, targets, ignore_index=-100, reduction="mean"):
    """``cross_entropy(h @ weight.T, targets)`` without ever holding all the logits.

    h (..., C), weight (V, C), targets (...). The logits are made, used and dropped in blocks of
    rows. Raises as cross_entropy does.
    """
    if weight.ndim != 2 or h.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"linear_cross_entropy: h has shape {h.shape} and weight {weight.shape}: their last "
            "axes must be equally long"
        )
    targets = _checked(targets, h.shape[:-1], weight.shape[0], ignore_index, reduction)
    flat = reshape(h, (targets.size, h.shape[-1]))
    loss = LinearCrossEntropy(targets.reshape(-1), ignore_index, reduction)(flat, weight)
    return reshape(loss, targets.shape) if reduction == "none" else loss


def _checked(targets, shape, n_classes, ignore_index, reduction):
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'reduction is {reduction!r}, but must be "mean", "sum" or "none"')
    targets = integers(targets, "targets")
    if targets.shape != shape:
        raise ValueError(f"targets have shape {targets.shape}, the predictions {shape}")
    wrong = ((targets < 0) | (targets >= n_classes)) & (targets != ignore_index)
    if wrong.any():
        raise IndexError(
            f"target {int(targets[wrong][0])} is neither one of the {n_classes} classes nor "
            f"ignore_index ({ignore_index})"
        )
    return targets
