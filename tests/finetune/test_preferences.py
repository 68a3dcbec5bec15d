"""Preferences as a task: its losses and metrics, the reference, accumulation, and resuming."""

import math
from dataclasses import replace

import numpy as np
import pytest
from small_models import VOCAB_SIZE, small_model
from task_steps import continues_bit_for_bit, steps, trainer_of

from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune import reference
from tinygrad_llm.finetune.examples import IGNORE, Example
from tinygrad_llm.finetune.logps import sequence_logps, token_statistics
from tinygrad_llm.finetune.lora import add_lora
from tinygrad_llm.finetune.losses import dpo_loss, kto_kl, kto_loss, orpo_loss
from tinygrad_llm.finetune.preferences import LOSSES, Pairs, Preferences, with_mismatched
from tinygrad_llm.finetune.reference import answer_logps, cached_logps
from tinygrad_llm.model.quantize import quantize_model

RNG = np.random.default_rng(0)


def pairs(*sizes):
    """Pairs of random answers, with (prompt, chosen, rejected) tokens each."""
    chosen, rejected = [], []
    for prompt, *answers in sizes:
        start = RNG.integers(0, VOCAB_SIZE, prompt)
        for side, size in zip((chosen, rejected), answers, strict=True):
            tokens = np.concatenate([start, RNG.integers(0, VOCAB_SIZE, size)])
            labels = tokens[1:].copy()
            labels[: prompt - 1] = IGNORE
            side.append(Example(tokens[:-1], labels))
    return Pairs(chosen, rejected)


TRAIN, HELD_OUT = pairs((3, 4, 7), (5, 9, 1), (2, 1, 3), (8, 3, 3)), pairs((4, 2, 6), (3, 5, 2))


def with_reference(model, data):
    logps = [answer_logps(model, rows) for rows in data.sides]
    return replace(data, reference=np.stack(logps))


def task_of(model, base=None, **options):
    base = base or model
    train, held_out = (with_reference(base, data) for data in (TRAIN, HELD_OUT))
    return Preferences(model, train, held_out, **{"batch_size": 2, "log_every": 2, **options})


def other_model(seed=5):
    return small_model("llama", seed=seed).astype("float64")


def one_by_one(model, rows, average=False):
    """The log-probability of each answer, read alone."""
    return np.concatenate(
        [sequence_logps(model(r.ids[None]), r.labels[None], average).numpy() for r in rows]
    )


@pytest.mark.parametrize("loss_type", [name for name in LOSSES if name != "kto"])
def test_the_loss_is_that_of_answers_that_are_read_alone(loss_type):
    base, model = other_model(), other_model(seed=6)
    average = loss_type == "orpo"
    policy = [one_by_one(model, side, average) for side in (TRAIN.chosen, TRAIN.rejected)]
    if average:
        losses, chosen, rejected = orpo_loss(*policy, 0.3)
    else:
        before = [one_by_one(base, side) for side in (TRAIN.chosen, TRAIN.rejected)]
        sizes = np.array([4, 9, 1, 3]), np.array([7, 1, 3, 3])
        losses, chosen, rejected = dpo_loss(*policy, *before, 0.3, 0.0, loss_type, sizes)
    chosen, rejected = chosen.numpy(), rejected.numpy()
    task = task_of(model, base, loss_type=loss_type, beta=0.3)
    expected = {
        "loss": losses.numpy().mean(),
        "rewards/chosen": chosen.mean(),
        "rewards/rejected": rejected.mean(),
        "rewards/margins": (chosen - rejected).mean(),
        "rewards/accuracies": (chosen > rejected).mean(),
        "logps/chosen": policy[0].mean(),
        "logps/rejected": policy[1].mean(),
    }
    found = task.evaluate(task.train)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name


def test_kto_weighs_each_answer_by_itself():
    base, model = other_model(), other_model(seed=6)
    data = with_mismatched(TRAIN, 60)
    policy, before = ([one_by_one(m, side) for side in data.sides] for m in (model, base))
    kl = kto_kl(policy[2], before[2])
    desirable = np.arange(8) < 4
    losses, _ = kto_loss(np.r_[*policy[:2]], np.r_[*before[:2]], desirable, kl, 0.3)
    train = with_reference(base, data)
    task = Preferences(model, train, train, loss_type="kto", beta=0.3)
    found = task.evaluate(train)
    assert found["loss"] == pytest.approx(losses.numpy().mean(), rel=1e-9)
    assert found["kl"] == pytest.approx(kl)


def test_a_mismatched_row_is_a_prompt_with_the_answer_to_the_next():
    one, last = with_mismatched(TRAIN, 60).mismatched[0], with_mismatched(TRAIN, 60).mismatched[-1]
    first, second = TRAIN.chosen[:2]
    np.testing.assert_array_equal(one.ids, [*first.ids[:3], *second.ids[5:]])
    np.testing.assert_array_equal(one.labels, [IGNORE, IGNORE, *second.labels[4:]])
    np.testing.assert_array_equal(last.labels[7:], first.labels[2:])
    short = with_mismatched(TRAIN, 5).mismatched[0]
    np.testing.assert_array_equal(short.ids, one.ids[:5])


def test_label_smoothing_reaches_the_loss():
    base, model = other_model(), other_model(seed=6)
    plain, smooth = (
        task_of(model, base, label_smoothing=s).quick_evaluation()["eval_loss"] for s in (0.0, 0.3)
    )
    flipped = task_of(model, base, label_smoothing=0.5).quick_evaluation()["eval_loss"]
    assert smooth == pytest.approx(0.4 * plain + 0.6 * flipped, rel=1e-9)


def test_metrics_of_tokens_are_those_of_the_answers():
    model, batch = other_model(), TRAIN.batch(np.arange(4)).rows
    found = token_statistics(model(batch.ids), batch.labels)
    line = steps(trainer_of(task_of(model, batch_size=4)), 1)[0]
    assert line["logits/chosen"] == pytest.approx(found.mean(found.mean_logit, slice(4)))
    assert line["logits/rejected"] == pytest.approx(found.mean(found.mean_logit, slice(4, 8)))
    assert line["entropy"] == pytest.approx(found.mean(found.entropy))
    assert line["mean_token_accuracy"] == pytest.approx(found.mean(found.correct, slice(4)))


def test_it_starts_at_ln_2():
    for model in (other_model(), add_lora(other_model(), r=2, dropout=0.0)):
        line = steps(trainer_of(task_of(model)), 1)[0]
        assert line["loss"] == pytest.approx(math.log(2), abs=1e-12)
        assert line["rewards/margins"] == pytest.approx(0, abs=1e-12)


def test_the_reference_is_the_model_without_adapters_and_dropout():
    base = small_model("gpt2").train()
    plain = answer_logps(base, TRAIN.chosen)
    state = base.rng.bit_generator.state
    adapted = add_lora(base, r=2, dropout=0.5, use_dora=True)
    np.testing.assert_array_equal(answer_logps(adapted.train(), TRAIN.chosen), plain)
    assert adapted.rng.bit_generator.state == state and adapted.training


def test_learning_makes_the_chosen_answers_more_likely_than_the_rejected():
    model = small_model("llama")
    task = task_of(model, batch_size=4, beta=0.5)
    steps(trainer_of(task, steps=30, lr=1e-3), 30)
    found = task.evaluate(task.train)
    assert found["loss"] < 0.3 and found["rewards/accuracies"] == 1
    assert found["rewards/margins"] > 1


def test_micro_batches_give_the_gradient_of_one_large_batch():
    found = []
    for options in ({"batch_size": 4}, {"batch_size": 1, "grad_accumulation": 4}):
        model = other_model(seed=6)
        line = steps(trainer_of(task_of(model, other_model(), **options), steps=1), 1)[0]
        found.append((line, model.state_dict()))
    (line, weights), (other, others) = found
    for name in ("loss", "grad_norm", "rewards/margins", "logps/chosen", "rewards/accuracies"):
        assert other[name] == pytest.approx(line[name], rel=1e-10), name
    for name, array in weights.items():
        np.testing.assert_allclose(others[name], array, rtol=0, atol=1e-7, err_msg=name)


def test_without_a_reference_the_loss_is_that_of_the_policy_alone():
    model = other_model()
    task = Preferences(model, TRAIN, HELD_OUT)
    found = task.evaluate(HELD_OUT)
    chosen, rejected = (one_by_one(model, side) for side in (HELD_OUT.chosen, HELD_OUT.rejected))
    expected = dpo_loss(chosen, rejected, None, None)[0].numpy().mean()
    assert found["loss"] == pytest.approx(expected, rel=1e-10)


def test_the_last_evaluation_is_said_in_a_sentence():
    task = task_of(other_model())
    metrics, sentence = task.final_evaluation()
    assert metrics["eval_loss"] == pytest.approx(math.log(2))
    none = "no preference yet: the model is its reference"
    assert sentence == f"held out, 2 pairs: loss 0.6931, {none}"


@pytest.mark.parametrize("loss_type", ["sigmoid_norm", "orpo"])
def test_a_resumed_run_continues_bit_for_bit(loss_type):
    def whole_model():
        return task_of(small_model("gpt2").train(), loss_type=loss_type)

    def adapters():
        model = add_lora(small_model("llama"), r=2, dropout=0.2, seed=3)
        return task_of(model.train(), grad_accumulation=2, loss_type=loss_type)

    assert continues_bit_for_bit(whole_model)
    assert continues_bit_for_bit(adapters)


def test_without_pairs_it_says_what_to_do():
    with pytest.raises(UserError, match="there are no pairs to validate on: add rows"):
        Preferences(small_model("llama"), TRAIN, Pairs([], []))


# --- the cache of the reference -------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", str(tmp_path))
    return tmp_path / "reference"


def test_the_reference_is_computed_once(cache, monkeypatch):
    model = small_model("llama")
    first, was_there = cached_logps(model, TRAIN.chosen)
    assert not was_there
    np.testing.assert_array_equal(first, answer_logps(model, TRAIN.chosen))
    monkeypatch.setattr(reference, "answer_logps", None)  # it would be called again
    again, was_there = cached_logps(model, TRAIN.chosen)
    assert was_there
    np.testing.assert_array_equal(again, first)


def test_another_model_or_other_data_have_another_reference(cache):
    def count(model, rows=TRAIN.chosen):
        cached_logps(model, rows)
        return len(list(cache.iterdir()))

    model = small_model("llama")
    assert count(model) == 1
    assert count(add_lora(small_model("llama"), r=2)) == 1  # the same model, for now
    model.parameters()[3].data.flat[7] += 1e-3
    assert count(model) == 2
    assert count(quantize_model(small_model("llama"))) == 3
    assert count(small_model("llama"), TRAIN.rejected) == 4
    longer = [
        Example(r.ids, np.where(np.arange(len(r.ids)) < 2, IGNORE, r.labels)) for r in TRAIN.chosen
    ]
    assert count(small_model("llama"), longer) == 5


def test_a_damaged_entry_is_computed_again(cache):
    model = small_model("llama")
    expected, _ = cached_logps(model, TRAIN.chosen)
    (entry,) = cache.iterdir()
    (entry / reference.FILE).write_bytes(b"not numbers")
    with pytest.warns(UserWarning, match="a damaged cache entry was built again"):
        found, was_there = cached_logps(model, TRAIN.chosen)
    assert not was_there
    np.testing.assert_array_equal(found, expected)
