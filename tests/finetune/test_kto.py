"""KTO as a task: each answer by itself, mismatched rows, accumulation, and resuming."""

import numpy as np
import pytest
from small_models import VOCAB_SIZE, small_model
from task_steps import continues_bit_for_bit, row, steps, trainer_of

from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.examples import IGNORE
from tinygrad_llm.finetune.kto import KTO, Answers, mismatched_rows
from tinygrad_llm.finetune.logps import sequence_logps
from tinygrad_llm.finetune.lora import add_lora
from tinygrad_llm.finetune.losses import kto_kl, kto_loss
from tinygrad_llm.finetune.metrics import kto_metrics
from tinygrad_llm.finetune.reference import answer_logps

RNG = np.random.default_rng(0)
ROWS = [row(RNG, VOCAB_SIZE, *sizes) for sizes in [(3, 4), (5, 9), (2, 1), (8, 3), (4, 4)]]
LIKED = np.array([True, False, True, True, False])


def other_model(seed=5):
    return small_model("llama", seed=seed).astype("float64")


def answers(base, rows=ROWS, liked=LIKED):
    mismatched = mismatched_rows(rows, 60)
    logps = [answer_logps(base, side) for side in (rows, mismatched)]
    return Answers(rows, liked, mismatched, np.stack(logps))


def task_of(model, base=None, **options):
    data = answers(base or model)
    return KTO(model, data, data, **{"batch_size": 5, "log_every": 2, **options})


def alone(model, rows):
    """The log-probability of each answer, read alone."""
    return np.concatenate(
        [sequence_logps(model(r.ids[None]), r.labels[None]).numpy() for r in rows]
    )


def expected(model, base, numbers, **options):
    """The loss of some answers and the metrics, from answers that are read alone."""
    rows = [ROWS[i] for i in numbers]
    others = [mismatched_rows(ROWS, 60)[i] for i in numbers]
    policy, fixed, liked = alone(model, rows), alone(base, rows), LIKED[numbers]
    kl = kto_kl(alone(model, others), alone(base, others))
    losses, rewards = kto_loss(policy, fixed, liked, kl, **options)
    return losses.numpy().mean(), kto_metrics(rewards, policy, liked, kl)


OPTIONS = {"beta": 0.3, "desirable_weight": 1.5, "undesirable_weight": 0.5}


def test_each_answer_is_weighed_by_itself():
    base, model = other_model(), other_model(seed=6)
    loss, metrics = expected(model, base, np.arange(5), **OPTIONS)
    task = task_of(model, base, **OPTIONS)
    found = task.evaluate(task.train)
    assert found.pop("loss") == pytest.approx(loss, rel=1e-9)
    assert found == pytest.approx(metrics, rel=1e-9)
    line = steps(trainer_of(task), 1)[0]
    assert line["loss"] == pytest.approx(loss, rel=1e-9) and line["entropy"] > 0
    for name, value in metrics.items():
        assert line[name] == pytest.approx(value, rel=1e-9), name


def test_a_mean_is_over_the_micro_batches_that_have_it():
    """Each has an answer of one kind only here; the distance is estimated in each."""
    base, model = other_model(), other_model(seed=6)
    task = task_of(model, base, batch_size=1, grad_accumulation=5, **OPTIONS)
    order = task_of(model, base, batch_size=1).order.next(5)
    each = [expected(model, base, [i], **OPTIONS) for i in order]
    line = steps(trainer_of(task), 1)[0]
    assert line["loss"] == pytest.approx(np.mean([loss for loss, _ in each]), rel=1e-9)
    for name in ("kl", "rewards/chosen", "logps/rejected"):
        values = [metrics[name] for _, metrics in each if name in metrics]
        assert line[name] == pytest.approx(np.mean(values), rel=1e-9), name


def test_a_mismatched_row_is_a_prompt_with_the_answer_to_the_next():
    found = mismatched_rows(ROWS, 60)
    first, second = ROWS[:2]
    np.testing.assert_array_equal(found[0].ids, [*first.ids[:3], *second.ids[5:]])
    np.testing.assert_array_equal(found[0].labels, [IGNORE, IGNORE, *second.labels[4:]])
    np.testing.assert_array_equal(found[-1].labels[3:], first.labels[2:])
    np.testing.assert_array_equal(mismatched_rows(ROWS, 5)[0].ids, found[0].ids[:5])


def test_no_mismatched_answer_is_to_the_same_prompt():
    """Rows in threes with one prompt each: the answer is one to the next prompt."""
    rows = [r for start in ROWS[:3] for r in variants(start)]
    answers_of = [r.labels[r.labels != IGNORE].tolist() for r in mismatched_rows(rows, 60)]
    nexts = [3, 3, 3, 6, 6, 6, 0, 0, 0]
    assert answers_of == [rows[i].labels[rows[i].labels != IGNORE].tolist() for i in nexts]
    same = variants(ROWS[0])  # there is no other prompt
    assert len(mismatched_rows(same, 60)) == 3


def variants(example):
    """Three rows with the prompt of ``example`` and other answers."""
    end = int(np.argmax(example.labels != IGNORE)) + 1
    found = []
    for _ in range(3):
        new = row(RNG, VOCAB_SIZE, end, 3)
        new.ids[:end] = example.ids[:end]
        found.append(new)
    return found


def test_learning_tells_the_answers_apart():
    task = task_of(small_model("llama"), beta=0.5)
    steps(trainer_of(task, steps=30, lr=1e-3), 30)
    found = task.evaluate(task.train)
    assert found["loss"] < 0.35 and found["rewards/margins"] > 1
    assert "reward of desirable answers" in task.final_evaluation()[1]


def test_a_resumed_run_continues_bit_for_bit():
    def adapters():
        model = add_lora(small_model("llama"), r=2, dropout=0.2, seed=3)
        return task_of(model.train(), batch_size=2, grad_accumulation=2)

    assert continues_bit_for_bit(adapters)
    assert continues_bit_for_bit(lambda: task_of(small_model("gpt2").train(), batch_size=2))


def test_without_answers_it_says_what_to_do():
    data = answers(other_model())
    nothing = Answers([], LIKED[:0], [], np.zeros((2, 0)))
    with pytest.raises(UserError, match="no answers to validate on"):
        KTO(other_model(), data, nothing)
