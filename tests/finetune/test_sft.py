"""Supervised fine-tuning as a task: its loss, accumulation, packing, metrics, and resuming."""

import numpy as np
import pytest
from small_models import VOCAB_SIZE, small_model
from task_steps import continues_bit_for_bit, row, steps, trainer_of

from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.collate import collate
from tinygrad_llm.finetune.examples import IGNORE
from tinygrad_llm.finetune.logps import token_statistics
from tinygrad_llm.finetune.lora import add_lora
from tinygrad_llm.finetune.losses import sft_loss
from tinygrad_llm.finetune.packing import pack
from tinygrad_llm.finetune.sft import SFT
from tinygrad_llm.model.quantize import quantize_model

RNG = np.random.default_rng(0)
ROWS = [row(RNG, VOCAB_SIZE, prompt, answer) for prompt, answer in [(3, 4), (5, 9), (2, 1), (7, 3)]]
HELD_OUT = [row(RNG, VOCAB_SIZE, prompt, answer) for prompt, answer in [(3, 6), (4, 2), (9, 5)]]

both = pytest.mark.parametrize("kind", ["gpt2", "llama"])


def task_of(model, rows=ROWS, **options):
    return SFT(model, rows, HELD_OUT, **{"batch_size": 2, "log_every": 2, **options})


def alone(model, rows):
    """The loss of rows that are read one by one, over all their labels; and the statistics."""
    nats, entropy, right, count = 0.0, 0.0, 0, 0
    for one in rows:
        logits = model(one.ids[None])
        n = int(np.count_nonzero(one.labels != IGNORE))
        found = token_statistics(logits, one.labels[None])
        nats += n * sft_loss(logits, one.labels[None]).item()
        entropy, right = entropy + found.entropy.sum(), right + found.correct.sum()
        count += n
    return nats / count, entropy / count, right / count


@both
def test_the_loss_is_the_mean_over_the_labels_of_all_rows(kind):
    model = small_model(kind).astype("float64")
    found = task_of(model).evaluate(HELD_OUT)
    expected = dict(
        zip(("loss", "entropy", "mean_token_accuracy"), alone(model, HELD_OUT), strict=True)
    )
    assert found == pytest.approx(expected, rel=1e-12)


@both
def test_padding_has_no_effect(kind):
    model = small_model(kind).astype("float64")
    batch = collate(ROWS)
    h = batch.hidden(model).numpy()
    for b, one in enumerate(ROWS):
        assert (batch.labels[b, len(one.ids) :] == IGNORE).all()
        own = model.hidden(one.ids[None]).numpy()[0]
        np.testing.assert_allclose(h[b, : len(one.ids)], own, rtol=0, atol=1e-12)


def gradients(rows, **options):
    """The gradient of one step, before clipping, and the step's line."""
    model = small_model("llama").astype("float64")
    trainer = trainer_of(task_of(model, rows, **options), grad_clip=0.0)
    kept = {}
    trainer.optimizer.step = lambda grad_scale: kept.update(
        {name: p.grad.numpy().copy() for name, p in model.named_parameters()}
    )
    return kept, trainer.train_step()


def test_micro_batches_give_the_gradient_of_one_large_batch():
    """The rows have 4, 9, 1 and 3 labels: a mean of means would weight the third nine times."""
    large, line = gradients(ROWS, batch_size=4)
    small, other = gradients(ROWS, batch_size=1, grad_accumulation=4)
    assert line["loss"] == pytest.approx(alone(small_model("llama").astype("float64"), ROWS)[0])
    for name in ("loss", "entropy", "mean_token_accuracy", "num_tokens", "grad_norm"):
        assert other[name] == pytest.approx(line[name], rel=1e-12), name
    for name, gradient in large.items():
        np.testing.assert_allclose(small[name], gradient, rtol=0, atol=1e-13, err_msg=name)


def test_packed_rows_have_the_loss_and_the_gradient_of_separate_ones():
    separate, line = gradients(ROWS, batch_size=4)
    together, other = gradients(pack(ROWS, 20), batch_size=2)
    for name in ("loss", "entropy", "mean_token_accuracy", "num_tokens"):
        assert other[name] == pytest.approx(line[name], rel=1e-12), name
    for name, gradient in separate.items():
        np.testing.assert_allclose(together[name], gradient, rtol=0, atol=1e-13, err_msg=name)


def test_a_step_has_the_names_of_trl():
    lines = steps(trainer_of(task_of(small_model("llama"))), 3)
    always = {"step", "loss", "learning_rate", "grad_norm", "epoch", "num_tokens"}
    assert set(lines[0]) == set(lines[1]) == always | {"entropy", "mean_token_accuracy"}
    assert set(lines[2]) == always  # step 3 is neither the first nor a multiple of log_every
    read = sum(len(one.ids) for one in ROWS)
    assert lines[1]["num_tokens"] == read and lines[1]["epoch"] == 1
    assert lines[2]["epoch"] == 1.5


def test_an_evaluation_changes_neither_the_random_numbers_nor_the_mode():
    model = small_model("gpt2").train()
    task, before = task_of(model), model.rng.bit_generator.state
    found = task.quick_evaluation()
    assert set(found) == {"eval_loss", "eval_entropy", "eval_mean_token_accuracy"}
    assert model.training and model.rng.bit_generator.state == before
    metrics, sentence = task.final_evaluation()
    assert metrics == found
    assert sentence.startswith("held out, 3 rows, 13 labels: loss ")
    assert task.note(found) in sentence.replace("held out, 3 rows, 13 labels", "held out")


def test_the_loss_falls_and_the_answers_are_learned():
    model = small_model("llama")
    trainer = trainer_of(task_of(model, HELD_OUT, batch_size=3), steps=40, lr=3e-3)
    steps(trainer, 40)
    found = trainer.task.evaluate(HELD_OUT)
    assert found["loss"] < 0.3 and found["mean_token_accuracy"] == 1


def whole_model():
    return task_of(small_model("gpt2").train(), grad_accumulation=2)


def adapters():
    model = add_lora(small_model("llama"), r=2, dropout=0.2, seed=3)
    return task_of(model.train())


def adapters_on_int8():
    model = add_lora(quantize_model(small_model("llama")), r=2, use_dora=True, seed=3)
    return task_of(model.train())


@pytest.mark.parametrize("make_task", [whole_model, adapters, adapters_on_int8])
def test_a_resumed_run_continues_bit_for_bit(make_task):
    assert continues_bit_for_bit(make_task)


def test_without_rows_it_says_what_to_do():
    with pytest.raises(UserError, match="there are no rows to train on: add rows"):
        SFT(small_model("llama"), [], HELD_OUT)
    with pytest.raises(UserError, match="there are no rows to validate on"):
        SFT(small_model("llama"), ROWS, [])
