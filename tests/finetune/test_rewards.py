"""Reward functions: ours, those of a user's file, how they are called, and what is wrong in one."""

import numpy as np
import pytest

from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.rewards import Reward, Rewards, file_of, load_reward


def called(spec, completions, **columns):
    return load_reward(spec)({"completions": completions, **columns}).tolist()


@pytest.fixture
def reward_file(tmp_path):
    def write(text, name="score"):
        path = tmp_path / "my_rewards.py"
        path.write_text(text)
        return f"{path}:{name}"

    return write


def test_ours():
    gold = {"answer": ["2 + 2 = <<2+2=4>>4\n#### 4"] * 4}
    texts = ["#### 4.0", "It is 4", "#### 5", "4 or 5"]
    assert called("gsm8k_strict", texts, **gold) == [1, 0, 0, 0]
    assert called("gsm8k_flexible", texts, **gold) == [1, 1, 0, 0]
    assert called("format:^[a-z]+$", [" yes\n", "Yes", "yes no"]) == [1, 0, 0]
    assert called("format:(?s)a.*b", ["ca\nbc", "ba"]) == [1, 0]
    assert called("length:3", ["abc", "a", "abcde"]) == [0, -2, -2]
    message = [{"role": "assistant", "content": "abc"}]
    assert called("length:4", [message, [*message, *message]]) == [-1, -1]


def test_a_function_of_a_file_receives_the_columns(reward_file):
    spec = reward_file(
        "import math\n\n\ndef score(prompts, completions, answer, **more):\n"
        "    assert sorted(more) == ['completion_ids']\n"
        "    return [math.pi * (a == c) for a, c in zip(answer, completions)]\n"
    )
    one = load_reward(spec)
    arguments = {"prompts": ["p", "p"], "completions": ["x", "y"], "completion_ids": [[1], [2]]}
    np.testing.assert_array_equal(one({**arguments, "answer": ["x", "z"]}), [np.pi, 0])
    assert one.name == "score" and str(file_of(spec)) == one.file


def test_the_reward_is_the_weighted_sum():
    first = Reward("one", lambda completions: [1.0, 2.0, None])
    second = Reward("one", lambda completions: [True, None, np.float32(0.5)])
    total, metrics = Rewards([first, second], [2.0, 10.0])({"completions": "abc"})
    np.testing.assert_allclose(total, [12, 4, 5])
    assert metrics == pytest.approx({
        "rewards/one/mean": 1.5, "rewards/one/std": 0.5**0.5,
        "rewards/one_2/mean": 0.75, "rewards/one_2/std": 0.125**0.5,
    })  # fmt: skip
    nothing = Reward("none", lambda completions: [None, None, None])
    total, metrics = Rewards([nothing, Reward("all", lambda completions: [1, 1, 1])])(
        {"completions": "abc"}
    )
    assert total.tolist() == [1, 1, 1] and "rewards/none/mean" not in metrics


DIVIDES = """
def score(completions):
    return [one / 0 for one in helper(completions)]

def helper(completions):
    return [1.0] * len(completions)
"""
FAULTS = [
    (DIVIDES, "my_rewards.py, line 3: the reward function score raised ZeroDivisionError: float"),
    (DIVIDES.replace("[1.0]", "[1.0] / 0"), "line 6: the reward function score raised TypeError"),
    ("def score(prompts):\n    return []\n",
     "line 1: the reward function score raised TypeError: .*unexpected keyword argument"),
    ("import math\n\ndef score(completions):\n    return [1.0, math.nan]\n",
     "my_rewards.py, line 3: the reward function score returned nan for answer 2, expected a "),
    ("def score(completions):\n    return [1.0, 'much']\n", "returned 'much' for answer 2, expec"),
    ("def score(completions):\n    return [1.0, [2.0]]\n", r"returned \[2.0\] for answer 2"),
    ("def score(completions):\n    return [1.0]\n", "line 1: .* returned 1 rewards for 2 answers"),
    ("def score(completions):\n    return 1.0\n", "returned 1.0, expected a list of 2 numbers"),
    ("def score(completions):\n    return None\n", "returned None, expected a list of 2 numbers"),
]  # fmt: skip


@pytest.mark.parametrize("text, sentence", FAULTS)
def test_a_fault_is_one_sentence_with_file_line_and_function(reward_file, text, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        load_reward(reward_file(text))({"completions": ["a", "b"]})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("def score(:\n", "my_rewards.py, line 1: reading the reward functions raised SyntaxError"),
        ("x = 1\ny = x.z\n", "my_rewards.py, line 2: reading the reward functions raised Attrib"),
        ("def other():\n    pass\n", "my_rewards.py has no function score"),
        ("score = 3\n", "my_rewards.py has no function score"),
    ],
)
def test_a_file_that_cannot_be_used(reward_file, text, sentence):
    with pytest.raises(UserError, match=sentence):
        load_reward(reward_file(text))


@pytest.mark.parametrize(
    "spec, sentence",
    [
        ("gsm8k", "the reward 'gsm8k' is not known, expected one of gsm8k_strict"),
        ("length:long", "is not known"),
        ("format:", "is not known"),
        ("format:(", r"format:\( is not a regular expression of Python: missing \)"),
        ("nowhere.py:score", "cannot read nowhere.py"),
    ],
)
def test_a_reward_that_is_none(spec, sentence):
    with pytest.raises(UserError, match=sentence):
        load_reward(spec)


def test_what_does_not_fit_together():
    one = Reward("one", lambda completions: [None, 1.0])
    with pytest.raises(UserError, match="one: no reward function returned a number for answer 1"):
        Rewards([one])({"completions": "ab"})
    with pytest.raises(UserError, match="there are 2 reward weights for 1 reward functions"):
        Rewards([one], [1.0, 2.0])
    with pytest.raises(UserError, match="the reward gsm8k_strict needs a column answer"):
        called("gsm8k_strict", ["1"])
