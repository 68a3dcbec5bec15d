"""The task of a reward model: its loss, metrics, padding, accumulation, and resuming."""

import numpy as np
import pytest
from small_models import VOCAB_SIZE, small_model
from task_steps import continues_bit_for_bit, row, steps, trainer_of

from tinygrad_llm.finetune.losses import reward_loss
from tinygrad_llm.finetune.metrics import reward_model_metrics
from tinygrad_llm.finetune.reward import LABELS, Reward, ScoredPairs
from tinygrad_llm.model.classifier import Classifier

RNG = np.random.default_rng(0)
SIZES = [(3, 4, 7), (5, 9, 1), (2, 1, 3), (8, 3, 3)]


def some_pairs():
    chosen = [row(RNG, VOCAB_SIZE, prompt, size) for prompt, size, _ in SIZES]
    rejected = [row(RNG, VOCAB_SIZE, prompt, size) for prompt, _, size in SIZES]
    return ScoredPairs(chosen, rejected)


TRAIN, HELD_OUT = some_pairs(), some_pairs()


def model_of(kind="llama", dtype="float64"):
    model = Classifier(small_model(kind), LABELS, seed=3)
    model.body.astype(dtype)
    model.score.astype(dtype)
    return model.train()


def task_of(model, **options):
    return Reward(model, TRAIN, HELD_OUT, **{"batch_size": 2, **options})


def alone(model, rows):
    """The rewards of answers that are read one by one."""
    return np.array([model(ids[None], np.array([len(ids)])).numpy()[0, 0] for ids in rows])


def test_answers_are_read_to_their_last_token():
    assert [len(ids) for ids in TRAIN.chosen] == [p + n for p, n, _ in SIZES]
    assert [len(ids) for ids in TRAIN.rejected] == [p + n for p, _, n in SIZES]


@pytest.mark.parametrize("center", [0.0, 0.2])
def test_the_loss_and_the_metrics_are_those_of_answers_that_are_read_alone(center):
    model = model_of()
    chosen, rejected = alone(model, TRAIN.chosen), alone(model, TRAIN.rejected)
    found = task_of(model, center=center).evaluate(TRAIN)
    expected = reward_loss(chosen, rejected, center=center).numpy().mean()
    assert found.pop("loss") == pytest.approx(expected, rel=1e-10)
    assert found == pytest.approx(reward_model_metrics(chosen, rejected), rel=1e-10)


def test_micro_batches_give_the_gradient_of_one_large_batch():
    found = []
    for options in ({"batch_size": 4}, {"batch_size": 1, "grad_accumulation": 4}):
        found.append(steps(trainer_of(task_of(model_of(), **options)), 1)[0])
    for name in ("loss", "grad_norm", "margin", "mean_reward", "accuracy", "num_tokens"):
        assert found[1][name] == pytest.approx(found[0][name], rel=1e-10), name


def test_the_chosen_answers_get_the_higher_rewards():
    task = task_of(model_of(dtype="float32"), batch_size=4)
    steps(trainer_of(task, steps=30, lr=1e-3), 30)
    found = task.evaluate(TRAIN)
    assert found["loss"] < 0.3 and found["accuracy"] == 1
    assert "chosen scored higher" in task.final_evaluation()[1]


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_resumed_run_continues_bit_for_bit(kind):
    assert continues_bit_for_bit(lambda: task_of(model_of(kind, "float32"), grad_accumulation=2))
