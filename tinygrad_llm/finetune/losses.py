"""The losses of fine-tuning, as functions of log-probabilities and rewards.

    sft_loss      imitate the answers                          a mean over tokens
    dpo_loss      prefer one answer to another                 a loss for each pair
    orpo_loss     the same, without a reference model
    kto_loss      like some answers and dislike others         a loss for each answer
    reward_loss   score the better answer higher               a loss for each pair
    grpo_loss     make answers of high reward more likely      a mean over tokens or answers

None knows a model. Policy, reference and old log-probabilities come from logps.py; those of the
reference and the old policy are constants, and get no gradient even if they are Tensors that could
have one. docs/finetuning.md derives each loss and its gradient.
"""

from typing import Any

import numpy as np

from autograd import Tensor, ops
from tinygrad_llm.finetune.logps import (
    IGNORE,
    as_array,
    as_tensor,
    hidden_sft_loss,
    hidden_token_logps,
    sequence_logps,
    token_logps,
)

__all__ = [
    "dpo_loss",
    "grpo_loss",
    "hidden_sft_loss",
    "hidden_token_logps",
    "kto_loss",
    "orpo_loss",
    "reward_loss",
    "sequence_logps",
    "sft_loss",
    "token_logps",
]

DPO_LOSSES = ("sigmoid", "sigmoid_norm", "hinge", "ipo", "ipo_sum")
GRPO_LOSSES = ("grpo", "dapo", "dr_grpo")

Losses = tuple[Tensor, Tensor, Tensor]
"""The losses (B,), and the rewards of the chosen and the rejected answers (B,), constants."""


def sft_loss(logits: Tensor, labels: Any) -> Tensor:
    """-log p(label), averaged over the labels that are not -100; 0 where nothing counts.

    logits (B, T, V), labels (B, T), already shifted.
    """
    return ops.cross_entropy(logits, labels, IGNORE)


def dpo_loss(
    policy_chosen: Any,
    policy_rejected: Any,
    reference_chosen: Any,
    reference_rejected: Any,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    loss_type: str = "sigmoid",
    lengths: tuple[Any, Any] | None = None,
) -> Losses:
    """Direct preference optimization (Rafailov et al. 2023) and its relatives.

        reward of an answer   beta (policy - reference)
        z                     (policy - reference) of the chosen - that of the rejected answer

        sigmoid               -(1 - s) log sigmoid(beta z) - s log sigmoid(-beta z)
        sigmoid_norm          the same with log-probabilities per token
        hinge                 max(0, 1 - beta z)
        ipo, ipo_sum          (z - 1 / (2 beta))^2, per token and summed

    The log-probabilities are those of whole answers, (B,) each. The reference's may be None: the
    loss is then reference-free, as if they were 0. s is ``label_smoothing``, the share of pairs
    whose labels are expected to be exchanged; it works with the first two.

    With ``lengths``, the numbers of tokens of the chosen and of the rejected answers (B,),
    sigmoid_norm and ipo divide the sums by them, and the rewards are still sums, as in TRL. Without
    it, they take the log-probabilities as averages already.

    Raises ValueError for options and shapes that do not fit.
    """
    _check_choice("loss_type", loss_type, DPO_LOSSES)
    _check_positive("beta", beta)
    _check_label_smoothing(label_smoothing, loss_type)
    chosen, rejected = as_tensor(policy_chosen), as_tensor(policy_rejected)
    chosen = chosen - _constant("reference_chosen", reference_chosen, chosen)  # log-ratios
    rejected = rejected - _constant("reference_rejected", reference_rejected, rejected)
    _check_shapes("chosen", chosen, "rejected", rejected)
    z = chosen - rejected
    if lengths is not None and loss_type in ("sigmoid_norm", "ipo"):
        n_chosen, n_rejected = (np.maximum(_array(n, chosen), 1) for n in lengths)
        z = chosen / n_chosen - rejected / n_rejected
    if loss_type in ("sigmoid", "sigmoid_norm"):
        losses = -ops.log_sigmoid(beta * z)
        if label_smoothing:
            flipped = -ops.log_sigmoid(-beta * z)
            losses = (1 - label_smoothing) * losses + label_smoothing * flipped
    elif loss_type == "hinge":
        losses = ops.relu(1 - beta * z)
    else:
        losses = ops.square(z - 1 / (2 * beta))
    return losses, beta * chosen.detach(), beta * rejected.detach()


def orpo_loss(chosen: Any, rejected: Any, beta: float = 0.1, nll: Any = None) -> Losses:
    """Odds ratio preference optimization (Hong et al. 2024), without a reference model.

        loss = nll - beta log sigmoid(log odds(chosen) - log odds(rejected)),  odds(p) = p / (1 - p)

    ``chosen`` and ``rejected`` (B,) are log-probabilities *per token*. ``nll`` is what keeps the
    chosen answer likely: the paper's -chosen, unless it is passed, (B,) or one number (TRL's is the
    mean over all tokens of prompts and chosen answers).
    """
    _check_positive("beta", beta)
    chosen, rejected = as_tensor(chosen), as_tensor(rejected)
    _check_shapes("chosen", chosen, "rejected", rejected)
    nll = -chosen if nll is None else nll
    losses = nll - beta * ops.log_sigmoid(log_odds(chosen) - log_odds(rejected))
    return losses, beta * chosen.detach(), beta * rejected.detach()


def log_odds(logp: Tensor) -> Tensor:
    """log(p / (1 - p)) from log p. A p that rounds to 1 counts as the largest number below 1."""
    logp = ops.minimum(logp, -float(np.finfo(logp.dtype).eps))
    return logp - ops.log(-ops.expm1(logp))


def kto_loss(
    policy: Any,
    reference: Any,
    desirable: Any,
    kl: float,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Kahneman-Tversky optimization (Ethayarajh et al. 2024): (losses (B,), rewards (B,)).

        loss = weight * sigmoid(-beta (policy - reference - kl))    of a desirable answer
        loss = weight * sigmoid(beta (policy - reference - kl))     of an undesirable one

    ``policy`` and ``reference`` (B,) are the log-probabilities of whole answers, ``desirable`` (B,)
    is boolean. ``kl``, a constant, is how far the policy is from the reference (``kto_kl``).
    """
    _check_positive("beta", beta)
    policy = as_tensor(policy)
    desirable = as_array(desirable).astype(bool)
    if desirable.shape != policy.shape:
        raise ValueError(f"desirable has shape {desirable.shape}, expected {policy.shape}")
    ratio = policy - _constant("reference", reference, policy)
    sign = np.where(desirable, beta, -beta).astype(policy.dtype)
    weight = np.where(desirable, desirable_weight, undesirable_weight).astype(policy.dtype)
    losses = weight * ops.sigmoid(-sign * (ratio - float(kl)))
    return losses, beta * ratio.detach()


def kto_kl(policy: Any, reference: Any) -> float:
    """An estimate of KL(policy || reference) from mismatched pairs of prompt and answer.

    ``policy`` and ``reference`` (B,) are their log-probabilities. It is at least 0.
    """
    return max(0.0, float(np.mean(as_array(policy) - as_array(reference))))


def reward_loss(chosen: Any, rejected: Any, margin: Any = None, center: float = 0.0) -> Tensor:
    """The loss (B,) of a reward model, after Bradley and Terry (1952).

        loss = -log sigmoid(chosen - rejected - margin) + center (chosen + rejected)^2

    ``chosen`` and ``rejected`` (B,) are the model's rewards. ``margin`` (B,) is by how much they
    should differ at least. ``center`` keeps the rewards around 0, which the first term ignores.
    """
    chosen, rejected = as_tensor(chosen), as_tensor(rejected)
    _check_shapes("chosen", chosen, "rejected", rejected)
    losses = -ops.log_sigmoid(chosen - rejected - _constant("margin", margin, chosen))
    return losses + center * ops.square(chosen + rejected) if center else losses


def grpo_loss(
    logps: Any,
    old_logps: Any,
    reference_logps: Any,
    advantages: Any,
    mask: Any,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    beta: float = 0.0,
    loss_type: str = "dapo",
    *,
    n_tokens: float | None = None,
    max_length: int | None = None,
    use_bias_correction_kl: bool = True,
) -> Tensor:
    """Group relative policy optimization (Shao et al. 2024): one number.

        ratio         exp(logps - old_logps)
        token's loss  -min(ratio A, clip(ratio, 1 - epsilon, 1 + epsilon_high) A) + beta kl
        kl            exp(d) - d - 1 with d = reference_logps - logps, times ratio

        grpo          the mean of each answer's tokens, then of the answers
        dapo          the sum over all tokens / n_tokens (Yu et al. 2025)
        dr_grpo       the sum over all tokens / (B max_length) (Liu et al. 2025)

    The log-probabilities of the tokens of B answers are (B, T) each, ``mask`` (B, T) says which
    count, and A is the answer's of the ``advantages`` (B,). ``old_logps`` are those of the policy
    that wrote the answers; None if that is this one. ``reference_logps`` may be None if ``beta`` is
    0. ``n_tokens`` is the number of tokens of the whole step, by default of this batch, and
    ``max_length`` the longest answer that could be written, by default T. The factor ratio of kl is
    left out with ``use_bias_correction_kl=False``.

    Where the mask is 0, nothing that the arrays hold has an effect. Raises ValueError for options
    and shapes that do not fit.
    """
    _check_choice("loss_type", loss_type, GRPO_LOSSES)
    logps, keep = as_tensor(logps), as_array(mask).astype(bool)
    if logps.ndim != 2 or keep.shape != logps.shape:
        raise ValueError(
            f"logps have shape {logps.shape} and mask {keep.shape}, expected (B, T) for both"
        )
    A = _array(advantages, logps)[:, None]  # (B, 1)
    if A.shape != (len(logps), 1):
        raise ValueError(f"advantages have shape {A.shape[:1]}, expected ({len(logps)},)")
    logps = ops.where(keep, logps, 0)
    old = logps.detach() if old_logps is None else _constant("old_logps", old_logps, logps, keep)
    ratio = ops.exp(logps - old)  # (B, T)
    high = 1 + (epsilon if epsilon_high is None else epsilon_high)
    # min(ratio A, clip(ratio) A): only the bound on the side to which A pushes can matter
    clipped = ops.where(A >= 0, ops.minimum(ratio, high), ops.maximum(ratio, 1 - epsilon))
    loss = -clipped * A
    if beta:
        if reference_logps is None:
            raise ValueError("beta is not 0, so reference_logps are needed")
        d = _constant("reference_logps", reference_logps, logps, keep) - logps
        kl = ops.exp(d) - d - 1
        loss = loss + beta * (kl * ratio if use_bias_correction_kl else kl)
    loss, B = ops.where(keep, loss, 0), max(1, len(logps))
    if loss_type == "grpo":
        lengths = np.maximum(keep.sum(axis=-1), 1).astype(loss.dtype)
        return ops.sum(ops.sum(loss, axis=-1) / lengths) / B
    if loss_type == "dapo":
        return ops.sum(loss) / float(max(1, keep.sum() if n_tokens is None else n_tokens))
    return ops.sum(loss) / float(B * max(1, logps.shape[1] if max_length is None else max_length))


# --- arguments ------------------------------------------------------------------------------------


def _array(x: Any, like: Tensor) -> np.ndarray:
    return as_array(x).astype(like.dtype)


def _constant(name: str, x: Any, like: Tensor, keep: np.ndarray | None = None) -> Any:
    """x without a gradient, of the other's shape and type; 0 for None, and where not ``keep``."""
    if x is None:
        return 0.0
    x = _array(x, like)
    if x.shape != like.shape:
        raise ValueError(f"{name} has shape {x.shape}, expected {like.shape}")
    return x if keep is None else np.where(keep, x, 0)


def _check_shapes(one: str, a: Tensor, other: str, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ValueError(f"{one} has shape {a.shape} and {other} {b.shape}: expected the same")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(choices)}")


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} is {value}, but must be greater than 0")


def _check_label_smoothing(value: float, loss_type: str) -> None:
    if not 0 <= value <= 0.5:
        raise ValueError(f"label_smoothing is {value}, but must be from 0 to 0.5")
    if value and loss_type not in ("sigmoid", "sigmoid_norm"):
        raise ValueError(f"label_smoothing works with sigmoid and sigmoid_norm, not {loss_type}")
