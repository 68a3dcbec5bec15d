"""Advantages and metrics, where TRL's loss methods do not cover them (test_losses_trl.py)."""

import numpy as np
import pytest

from tinygrad_llm.finetune.advantages import advantages, reward_metrics
from tinygrad_llm.finetune.logps import token_statistics
from tinygrad_llm.finetune.metrics import (
    completion_metrics,
    kto_metrics,
    pair_token_metrics,
    policy_metrics,
    preference_metrics,
    sft_metrics,
)


def test_advantages_by_hand():
    found = advantages([1.0, 0.0, 3.0, 3.0], 2)
    std = np.sqrt(0.5)  # of 0 and 1, with n - 1
    np.testing.assert_allclose(found, [0.5 / (std + 1e-4), -0.5 / (std + 1e-4), 0, 0])
    np.testing.assert_allclose(advantages([1, 0, 3, 3], 2, "none"), [0.5, -0.5, 0, 0])
    std = np.std([1, 0, 3, 3], ddof=1)
    np.testing.assert_allclose(advantages([1, 0, 3, 3], 2, "batch")[0], 0.5 / (std + 1e-4))


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_equal_rewards_have_advantage_zero_exactly(scale):
    """Also 0.1, of which the rounded mean of seven is another number."""
    rewards = np.full(14, 0.1)
    assert not advantages(rewards, 7, scale).any()
    metrics = reward_metrics(rewards, 7, scale)
    assert metrics["frac_reward_zero_std"] == 1 and metrics["reward"] == pytest.approx(0.1)


def test_a_group_of_one_has_no_advantage():
    assert not advantages([1.0, 5.0], 1).any()
    assert reward_metrics([1.0, 5.0], 1)["frac_reward_zero_std"] == 1
    assert reward_metrics([5.0], 1)["reward_std"] == 0


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (([1.0, 2.0, 3.0], 2), r"rewards have shape \(3,\), expected one row of whole groups of 2"),
        (([[1.0, 2.0]], 2), r"rewards have shape \(1, 2\)"),
        (([1.0, np.nan], 2), "reward 1 is nan, but must be a finite number"),
        (([1.0, 2.0], 2, "rows"), "scale_rewards is 'rows', expected one of group, batch, none"),
    ],
)
def test_rewards_that_do_not_fit(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        advantages(*arguments)


def test_completions():
    found = completion_metrics([3, 8, 5], [True, False, True])
    assert found == {
        "completions/clipped_ratio": pytest.approx(1 / 3),
        "completions/mean_length": pytest.approx(16 / 3),
        "completions/min_length": 3,
        "completions/max_length": 8,
        "completions/mean_terminated_length": 4,
        "completions/min_terminated_length": 3,
        "completions/max_terminated_length": 5,
    }
    none = completion_metrics([8, 8], [False, False])
    assert none["completions/clipped_ratio"] == 1
    assert none["completions/max_terminated_length"] == 0


def test_clipping_is_counted_where_it_acts():
    """Above with a positive advantage, below with a negative one; masked tokens do not count."""
    ratio = np.array([[1.5, 0.5, 1.0, 9.0], [1.5, 0.5, 0.5, 9.0]])
    mask = np.array([[1, 1, 1, 0], [1, 1, 1, 0]])
    found = policy_metrics(np.log(ratio), np.zeros((2, 4)), None, np.array([1.0, -1.0]), mask)
    assert found == {
        "clip_ratio/high_mean": pytest.approx(1 / 6),
        "clip_ratio/low_mean": pytest.approx(2 / 6),
        "clip_ratio/region_mean": pytest.approx(3 / 6),
        "clip_ratio/high_max": pytest.approx(1 / 3),
        "clip_ratio/low_min": 0,
    }


def test_nothing_to_measure_is_zero():
    nothing = np.zeros((2, 4))
    found = policy_metrics(nothing, nothing, nothing, np.ones(2), nothing, beta=0.1)
    assert set(found.values()) == {0} and "kl" in found
    statistics = token_statistics(np.zeros((2, 4, 3)), np.full((2, 4), -100))
    assert set({**sft_metrics(statistics), **pair_token_metrics(statistics)}.values()) == {0}
    assert set(preference_metrics([], [], [], []).values()) == {0}


def test_kto_without_one_kind_of_answers():
    found = kto_metrics([1.0, 2.0], [-3.0, -4.0], [True, True], 0.5)
    assert found == {"kl": 0.5, "rewards/chosen": 1.5, "logps/chosen": -3.5}
