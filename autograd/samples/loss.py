"""Samples of the losses."""

import numpy as np

from autograd import ops
from autograd.kernels.cross_entropy import reference as cross_entropy
from autograd.kernels.linear_cross_entropy import reference as linear_cross_entropy
from autograd.samples.neural import softmax_of
from autograd.samples.sample import Sample

TARGETS = np.array([2, -100, 0, 4])


WEIGHT = np.array([0.5, 1.0, 3.0, 0.0, 2.0])


def _cross_entropy(logits, targets, reduction, weight=None, label_smoothing=0.0):
    """PyTorch's definition: each class gets ``label_smoothing`` / V of the target."""
    weight = np.ones(logits.shape[1]) if weight is None else weight
    counts = targets != -100
    one_hot = np.eye(logits.shape[1])[np.where(counts, targets, 0)]
    q = (1 - label_smoothing) * one_hot + label_smoothing / logits.shape[1]
    losses = counts * _soft_cross_entropy(logits, q * weight, "none") if logits.size else counts
    if reduction == "none":
        return losses
    return losses.sum() / (max(1, (one_hot @ weight * counts).sum()) if reduction == "mean" else 1)


def _soft_cross_entropy(logits, q, reduction):
    losses = -(q * np.log(softmax_of(logits))).sum(axis=1)
    return losses if reduction == "none" else losses.sum() / len(losses)


LOSSES = [
    *[
        Sample(
            "cross_entropy",
            lambda x, r=reduction: ops.cross_entropy(x, TARGETS[: len(x)], reduction=r),
            lambda x, r=reduction: _cross_entropy(x, TARGETS[: len(x)], r),
            ((4, 5),),
            empty=((0, 5),),
            keeps=(0,),
            cache=2 * 4,
            definition=lambda x, r=reduction: cross_entropy.forward(
                ops, x, TARGETS[: len(x)], -100, r
            )[0],
            kernel=True,
            note=reduction,
        )
        for reduction in ("mean", "sum", "none")
    ],
    *[
        Sample(
            "cross_entropy",
            lambda x, r=reduction, o=options: ops.cross_entropy(x, TARGETS, reduction=r, **o),
            lambda x, r=reduction, o=options: _cross_entropy(x, TARGETS, r, **o),
            ((4, 5),),
            keeps=(0,),
            cache=2 * 4 + (5 if "weight" in options else 0),
            definition=lambda x, r=reduction, o=options: cross_entropy.forward(
                ops, x, TARGETS, -100, r, **o
            )[0],
            note=f"{', '.join(options)}, {reduction}".replace("_", " "),
        )
        for reduction in ("mean", "none")
        for options in (
            {"weight": WEIGHT},
            {"label_smoothing": 0.2},
            {"weight": WEIGHT, "label_smoothing": 0.2},
        )
    ],
    Sample(
        "cross_entropy",
        ops.cross_entropy,
        lambda x, q: _soft_cross_entropy(x, q, "mean"),
        ((4, 5), (4, 5)),
        keeps=(0, 1),
        definition=lambda x, q: ops.sum(-q * ops.log_softmax(x)) / 4,
        note="probabilities, mean",
    ),
    Sample(
        "cross_entropy",
        lambda x, q: ops.cross_entropy(x, q, reduction="none", weight=WEIGHT, label_smoothing=0.2),
        lambda x, q: _soft_cross_entropy(x, (0.8 * q + 0.04) * WEIGHT, "none"),
        ((4, 5), (4, 5)),
        keeps=(0,),
        cache=4 * 5 + 5,  # the effective probabilities, and the weight
        note="probabilities, weight, label smoothing, none",
    ),
    *[
        Sample(
            "linear_cross_entropy",
            lambda h, w, r=reduction: ops.linear_cross_entropy(
                h, w, TARGETS[: len(h)], reduction=r
            ),
            lambda h, w, r=reduction: _cross_entropy(h @ w.T, TARGETS[: len(h)], r),
            ((4, 3), (5, 3)),
            empty=((0, 3), (5, 3)),
            keeps=(0, 1),
            cache=0 if reduction == "none" else 4 * 3 + 5 * 3,
            definition=lambda h, w, r=reduction: linear_cross_entropy.forward(
                ops, h, w, TARGETS[: len(h)], -100, r
            )[0],
            kernel=True,
            note=reduction,
        )
        for reduction in ("mean", "sum", "none")
    ],
]
