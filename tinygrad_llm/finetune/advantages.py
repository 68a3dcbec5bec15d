"""From the rewards of answers to their advantages: how much better each is than its group."""

from typing import Any

import numpy as np

SCALES = ("group", "batch", "none")


def advantages(rewards: Any, num_generations: int, scale_rewards: str = "group") -> np.ndarray:
    """(reward - mean) / (std + 1e-4) of each answer (Shao et al. 2024): (N,) -> (N,), float64.

    A group is ``num_generations`` answers to the same prompt, one after another. The mean is always
    that of the group. The standard deviation, with n - 1 in its denominator, is that of the group,
    or with ``scale_rewards="batch"`` that of all N rewards; with "none" nothing is divided by it.

    In a group of equal rewards every advantage is exactly 0: nothing can be learned from it. Raises
    ValueError for rewards that are no numbers, or no whole groups.
    """
    groups = _groups(rewards, num_generations)  # (N / n, n)
    if scale_rewards not in SCALES:
        raise ValueError(f"scale_rewards is {scale_rewards!r}, expected one of {', '.join(SCALES)}")
    # of two equal rewards the difference is 0; of a reward and a rounded mean it need not be
    above = groups - groups[:, :1]
    above = above - above.mean(axis=1, keepdims=True)
    if scale_rewards == "group":
        above = above / (_std(groups, axis=1)[:, None] + 1e-4)
    elif scale_rewards == "batch":
        above = above / (_std(groups) + 1e-4)
    return above.ravel()


def reward_metrics(
    rewards: Any, num_generations: int, scale_rewards: str = "group"
) -> dict[str, float]:
    """``reward``, ``reward_std`` and ``frac_reward_zero_std``, as TRL logs them.

    The last is the share of groups without spread, or with ``scale_rewards="batch"`` 1 where all
    rewards are equal. A group without spread adds nothing to the gradient.
    """
    groups = _groups(rewards, num_generations)
    spread = _std(groups) if scale_rewards == "batch" else _std(groups, axis=1)
    return {
        "reward": float(groups.mean()),
        "reward_std": float(_std(groups)),
        "frac_reward_zero_std": float(np.mean(np.isclose(spread, 0))),
    }


def _groups(rewards, num_generations):
    rewards = np.asarray(rewards, dtype=np.float64)
    if rewards.ndim != 1 or num_generations < 1 or len(rewards) % num_generations:
        raise ValueError(
            f"rewards have shape {rewards.shape}, expected one row of whole groups of "
            f"{num_generations}"
        )
    if not np.isfinite(rewards).all():
        wrong = int(np.flatnonzero(~np.isfinite(rewards))[0])
        raise ValueError(f"reward {wrong} is {rewards[wrong]}, but must be a finite number")
    return rewards.reshape(-1, num_generations)


def _std(x, axis=None):
    """The standard deviation with n - 1, and 0 for a single number."""
    n = x.size if axis is None else x.shape[axis]
    return x.std(axis=axis, ddof=1) if n > 1 else np.zeros(() if axis is None else len(x))
