"""What is logged besides the loss, under the names that TRL gives it.

Each function takes arrays or Tensors and returns numbers. A mean over nothing is 0.
"""

from typing import Any

import numpy as np

from autograd import no_grad, ops
from tinygrad_llm.finetune.logps import TokenStatistics, as_array, as_tensor
from tinygrad_llm.finetune.losses import log_odds

Numbers = dict[str, float]


def sft_metrics(statistics: TokenStatistics) -> Numbers:
    """``entropy`` and ``mean_token_accuracy``, means over the tokens that count."""
    return {
        "entropy": statistics.mean(statistics.entropy),
        "mean_token_accuracy": statistics.mean(statistics.correct),
    }


# --- preferences ----------------------------------------------------------------------------------


def preference_metrics(
    chosen_rewards: Any, rejected_rewards: Any, chosen_logps: Any, rejected_logps: Any
) -> Numbers:
    """``rewards/...`` and ``logps/...``, means over the pairs: (B,) each.

    ``rewards/accuracies`` is the share of pairs whose chosen answer has the larger reward.
    """
    chosen, rejected = as_array(chosen_rewards), as_array(rejected_rewards)
    return {
        "rewards/chosen": _mean(chosen),
        "rewards/rejected": _mean(rejected),
        "rewards/accuracies": _mean(chosen > rejected),
        "rewards/margins": _mean(chosen - rejected),
        "logps/chosen": _mean(as_array(chosen_logps)),
        "logps/rejected": _mean(as_array(rejected_logps)),
    }


def pair_token_metrics(statistics: TokenStatistics) -> Numbers:
    """``logits/...``, ``entropy`` and ``mean_token_accuracy`` of pairs.

    The statistics are those of the B chosen answers, followed by those of the B rejected ones. The
    accuracy is that of the chosen answers.
    """
    half = len(statistics.counts) // 2
    chosen, rejected = slice(half), slice(half, None)
    return {
        "logits/chosen": statistics.mean(statistics.mean_logit, chosen),
        "logits/rejected": statistics.mean(statistics.mean_logit, rejected),
        "entropy": statistics.mean(statistics.entropy),
        "mean_token_accuracy": statistics.mean(statistics.correct, chosen),
    }


def orpo_metrics(chosen: Any, rejected: Any, nll: Any = None) -> Numbers:
    """``nll_loss``, ``log_odds_ratio`` and ``log_odds_chosen``; the arguments of ``orpo_loss``."""
    with no_grad():
        ratio = log_odds(as_tensor(chosen)) - log_odds(as_tensor(rejected))
        return {
            "nll_loss": _mean(-as_array(chosen) if nll is None else as_array(nll)),
            "log_odds_ratio": _mean(ops.log_sigmoid(ratio).numpy()),
            "log_odds_chosen": _mean(ratio.numpy()),
        }


def kto_metrics(rewards: Any, logps: Any, desirable: Any, kl: float) -> Numbers:
    """``kl``, ``rewards/...`` and ``logps/...``: chosen is what is desirable, rejected the rest.

    Of a batch without one of the two, its numbers and the margin are left out.
    """
    rewards, logps = as_array(rewards), as_array(logps)
    desirable = as_array(desirable).astype(bool)
    found = {"kl": float(kl)}
    for name, rows in (("chosen", desirable), ("rejected", ~desirable)):
        if rows.any():
            found[f"rewards/{name}"] = _mean(rewards[rows])
            found[f"logps/{name}"] = _mean(logps[rows])
    if desirable.any() and not desirable.all():
        found["rewards/margins"] = found["rewards/chosen"] - found["rewards/rejected"]
    return found


def reward_model_metrics(chosen: Any, rejected: Any) -> Numbers:
    """``min_reward``, ``mean_reward``, ``max_reward``, ``accuracy``, ``margin`` of B > 0 pairs."""
    chosen, rejected = as_array(chosen), as_array(rejected)
    rewards = np.concatenate([chosen, rejected])
    return {
        "min_reward": float(rewards.min()),
        "mean_reward": _mean(rewards),
        "max_reward": float(rewards.max()),
        "accuracy": _mean(chosen > rejected),
        "margin": _mean(chosen - rejected),
    }


# --- policies -------------------------------------------------------------------------------------


def policy_metrics(
    logps: Any,
    old_logps: Any,
    reference_logps: Any,
    advantages: Any,
    mask: Any,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    beta: float = 0.0,
    *,
    use_bias_correction_kl: bool = True,
) -> Numbers:
    """``clip_ratio/...`` and, with ``beta``, ``kl``; the arguments of ``grpo_loss``.

    ``clip_ratio/low_mean`` is the share of tokens whose loss was clipped below, ``high_mean`` above
    and ``region_mean`` both; ``low_min`` and ``high_max`` are the extremes over answers.
    """
    keep, A = as_array(mask).astype(bool), as_array(advantages)[:, None]
    logps = as_array(logps)
    old = logps if old_logps is None else as_array(old_logps)
    ratio = np.exp(np.where(keep, logps - old, 0))  # (B, T)
    high = 1 + (epsilon if epsilon_high is None else epsilon_high)
    low_clipped = keep & (ratio < 1 - epsilon) & (A < 0)
    high_clipped = keep & (ratio > high) & (A > 0)
    lengths = keep.sum(axis=-1)
    answers = lengths > 0
    found = {
        "clip_ratio/low_mean": _mean(low_clipped[keep]),
        "clip_ratio/high_mean": _mean(high_clipped[keep]),
        "clip_ratio/region_mean": _mean((low_clipped | high_clipped)[keep]),
        "clip_ratio/low_min": 0.0,
        "clip_ratio/high_max": 0.0,
    }
    if answers.any():
        lengths = lengths[answers]
        found["clip_ratio/low_min"] = float((low_clipped[answers].sum(-1) / lengths).min())
        found["clip_ratio/high_max"] = float((high_clipped[answers].sum(-1) / lengths).max())
    if beta:
        d = np.where(keep, as_array(reference_logps) - logps, 0)
        kl = np.exp(d) - d - 1
        found["kl"] = _mean((kl * ratio if use_bias_correction_kl else kl)[keep])
    return found


def completion_metrics(lengths: Any, terminated: Any) -> Numbers:
    """``completions/...``: the lengths (N,) of N > 0 answers, and whether each came to its end.

    ``clipped_ratio`` is the share of those that did not. Of lengths of terminated answers there is
    0 if no answer is.
    """
    lengths, terminated = np.asarray(lengths), np.asarray(terminated, dtype=bool)
    found = {"completions/clipped_ratio": _mean(~terminated)}
    ended = lengths[terminated] if terminated.any() else np.zeros(1)
    for name, some in (("", lengths), ("terminated_", ended)):
        found[f"completions/mean_{name}length"] = _mean(some)
        found[f"completions/min_{name}length"] = float(some.min())
        found[f"completions/max_{name}length"] = float(some.max())
    return found


def _mean(x: np.ndarray) -> float:
    return float(np.mean(x)) if x.size else 0.0
