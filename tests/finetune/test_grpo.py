"""GRPO as a task: its batches, what wrote the answers, the reference, and resuming."""

import copy
import json

import numpy as np
import pytest
from small_models import VOCAB_SIZE, small_model
from task_steps import continues_bit_for_bit, steps, trainer_of

from autograd import ops
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import check_json
from tinygrad_llm.finetune.examples import IGNORE, Prompt
from tinygrad_llm.finetune.grpo import GRPO, GRPO_SCHEMA
from tinygrad_llm.finetune.logps import hidden_token_logps, token_logps
from tinygrad_llm.finetune.lora import add_lora
from tinygrad_llm.finetune.rewards import Reward, Rewards
from tinygrad_llm.finetune.rollouts import Writing, policy, rollout
from tinygrad_llm.generation import FINISHED, generate
from tinygrad_llm.model.quantize import quantize_model

RNG = np.random.default_rng(0)
PROMPTS = [
    Prompt(RNG.integers(0, VOCAB_SIZE, n), {"prompt": f"p{n}", "gold": n}, f"line {n}")
    for n in (3, 7, 4, 5)
]
STOP = tuple(range(0, 40))  # so many that most answers end early
G = 4


def mean_id(completion_ids, **_):
    """A reward that differs from answer to answer."""
    return [float(np.mean(ids)) / VOCAB_SIZE for ids in completion_ids]


def writing(**options):
    return Writing(
        lambda ids: " ".join(map(str, ids)),
        **{"stop_ids": STOP, "max_new_tokens": 6, **options},
    )


def task_of(model, function=mean_id, how=None, **options):
    options = {"num_generations": G, "batch_size": 4, "grad_accumulation": 2, **options}
    rewards = Rewards([Reward("value", function)])
    return GRPO(model, PROMPTS, PROMPTS[:2], rewards, how or writing(), **options)


def exact(kind="llama", seed=2):
    return small_model(kind, seed).astype("float64")


def gradients(task):
    """The gradient of one step, before clipping, and the step's line."""
    trainer = trainer_of(task, grad_clip=0.0)
    kept = {}
    trainer.optimizer.step = lambda grad_scale: kept.update(
        {name: p.grad.numpy().copy() for name, p in trainer.optimizer.params.items()}
    )
    return kept, trainer.train_step()


# --- the batches ----------------------------------------------------------------------------------


def by_loop(model, task, epsilon, high, beta, reference, old_model, temperature):
    """Loss of the step's answers, one token after another, and the model's gradient of it."""
    found = task.answers
    asked = [PROMPTS[i] for i in found.prompts for _ in range(G)]
    n_answers, n_tokens, total = len(asked), sum(map(len, found.answers)), 0
    for i, (prompt, answer) in enumerate(zip(asked, found.answers, strict=True)):
        group = found.rewards[i - i % G : i - i % G + G]
        deviation = np.sqrt(((group - sum(group) / G) ** 2).sum() / (G - 1))
        a = (found.rewards[i] - sum(group) / G) / (deviation + 1e-4)
        ids = np.array([[*prompt.ids, *answer]])
        new, old, fixed = (
            token_logps(m(ids[:, :-1]) / temperature, ids[:, 1:])[0]
            for m in (model, old_model, reference)
        )
        own = 0
        for t in range(len(prompt.ids) - 1, len(ids[0]) - 1):
            w = ops.exp(new[t] - old[t].item())
            loss = -ops.minimum(w * a, ops.clip(w, 1 - epsilon, 1 + high) * a)
            d = fixed[t].item() - new[t]
            own = own + loss + beta * w * (ops.exp(d) - d - 1)
        total = total + own / {
            "grpo": n_answers * len(answer), "dapo": n_tokens, "dr_grpo": n_answers * 6,
        }[task.loss_type]  # fmt: skip
    total.backward()
    return total.item(), {n: p.grad.numpy() for n, p in model.named_parameters()}


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "dr_grpo"])
def test_loss_and_gradient_are_those_of_a_loop_over_all_tokens(loss_type):
    """In the second step over the answers, so that the ratios are not 1."""
    model, reference = exact(), exact(seed=5)
    how = writing(sampling={"temperature": 0.7})
    task = task_of(
        model, how=how, loss_type=loss_type, num_iterations=2, beta=0.3, epsilon=0.01,
        epsilon_high=0.02, reference=reference,
    )  # fmt: skip
    task.next_step()
    before = copy.deepcopy(model)
    rng = np.random.default_rng(1)
    for parameter in model.parameters():
        parameter.assign_(parameter.numpy() + 0.003 * rng.standard_normal(parameter.shape))
    plain = copy.deepcopy(model)
    found, line = gradients(task)
    assert 0.1 < line["clip_ratio/region_mean"] < 0.9
    assert len({len(answer) for answer in task.answers.answers}) > 2
    loss, expected = by_loop(plain, task, 0.01, 0.02, 0.3, reference, before, 0.7)
    assert line["loss"] == pytest.approx(loss, rel=1e-10)
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "dr_grpo"])
def test_micro_batches_give_the_gradient_of_one_large_batch(loss_type):
    large, line = gradients(
        task_of(exact(), loss_type=loss_type, batch_size=8, grad_accumulation=1)
    )
    small, other = gradients(
        task_of(exact(), loss_type=loss_type, batch_size=1, grad_accumulation=8)
    )
    for name in ("loss", "grad_norm", "reward", "num_tokens", "completions/mean_length"):
        assert other[name] == pytest.approx(line[name], rel=1e-10, abs=1e-12), name
    for name, gradient in large.items():
        np.testing.assert_allclose(small[name], gradient, rtol=0, atol=1e-12, err_msg=name)


def test_every_answer_is_dealt_to_one_step_and_dapo_divides_by_all_tokens():
    task = task_of(exact(), steps_per_generation=4, batch_size=2)  # two steps over eight answers
    first, second = task.next_step(), task.next_step()
    batches = [batch.content for step in (first, second) for batch in step.batches]
    assert [len(b.advantages) for b in batches] == [2, 2, 2, 2] and task.generation == 1
    found = sorted(tuple(row[row != IGNORE]) for b in batches for row in b.rows.labels)
    assert found == sorted(map(tuple, task.answers.answers))
    tokens = sum(map(len, task.answers.answers))
    for step in (first, second):
        terms = sum(batch.terms for batch in step.batches)
        for batch in step.batches:
            assert batch.terms == batch.content.rows.terms
            assert batch.content.n_tokens == pytest.approx(batch.terms / terms * tokens / 2)
    task.next_step()
    assert task.generation == 2


def test_answers_belong_to_their_prompts_and_advantages_to_their_answers():
    task = task_of(small_model("llama"), batch_size=8, grad_accumulation=1)
    (batch,) = task.next_step().batches
    found = task.answers
    own = {
        (*PROMPTS[p].ids, *answer): i
        for i, (p, answer) in enumerate(
            zip(np.repeat(found.prompts, G), found.answers, strict=True)
        )
    }
    content = batch.content
    for ids, labels, a in zip(
        content.rows.ids, content.rows.labels, content.advantages, strict=True
    ):
        last = np.flatnonzero(labels != IGNORE)[-1]
        i = own[(*ids[: last + 1], labels[last])]
        above = found.rewards[i] - found.rewards[i // G * G :][:G].mean()
        assert np.sign(a) == np.sign(above) or abs(above) < 1e-12


def test_answers_that_were_cut_off_can_be_left_out():
    options = {"batch_size": 8, "grad_accumulation": 1, "loss_type": "dapo"}
    task = task_of(small_model("llama"), mask_truncated_completions=True, **options)
    (batch,) = task.next_step().batches
    cut = [answer for answer in task.answers.answers if answer[-1] not in STOP]
    ended = [answer for answer in task.answers.answers if answer[-1] in STOP]
    assert cut and ended
    labels = batch.content.rows.labels
    assert sorted((labels != IGNORE).sum(axis=1)) == sorted([0] * len(cut) + [*map(len, ended)])
    assert batch.terms == batch.content.n_tokens == sum(map(len, ended))
    assert (batch.content.advantages != 0).all()  # the group's mean is that of all its answers

    nothing, line = gradients(
        task_of(exact(), how=writing(stop_ids=()), mask_truncated_completions=True, **options)
    )
    assert line["loss"] == line["grad_norm"] == 0 and line["completions/clipped_ratio"] == 1
    assert all(not gradient.any() for gradient in nothing.values())


def test_groups_without_spread_teach_nothing():
    def by_prompt(prompts, **_):
        return [0.1 * len(prompt) for prompt in prompts]

    task = task_of(small_model("llama"), by_prompt)
    found, line = gradients(task)
    assert line["frac_reward_zero_std"] == 1 and line["loss"] == 0
    assert all(not gradient.any() for gradient in found.values())
    assert "all groups without spread; gradient 0: equal rewards teach nothing" in task.note(line)


# --- the policy -----------------------------------------------------------------------------------


def adapted(model):
    model = add_lora(model, r=2, seed=3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.assign_(parameter.numpy() + 0.05)
    return model


MODELS = {
    "gpt2": lambda: small_model("gpt2").train(),  # which has dropout
    "llama": lambda: small_model("llama"),
    "gemma3": lambda: small_model("gemma3"),
    "with LoRA": lambda: adapted(small_model("llama")).train(),
    "with LoRA on int8": lambda: adapted(quantize_model(small_model("llama"))).train(),
}


@pytest.mark.parametrize("kind", MODELS)
def test_what_writes_and_what_learns_is_one_policy(kind):
    """The log-probabilities of the KV cache's path are those of the path of training."""
    model = MODELS[kind]()
    ids = np.stack([PROMPTS[1].ids])
    with policy(model) as decoder:
        steps_ = list(generate(decoder, ids, 40, n=3, seed=0, stop_ids=STOP[:3], logprobs=0))
    tokens = np.stack([step.ids for step in steps_], axis=1)  # (3, T)
    written = np.stack([step.logprobs for step in steps_], axis=1)
    whole = np.concatenate([ids.repeat(3, axis=0), np.maximum(tokens, 0)], axis=1)
    labels = whole[:, 1:].copy()
    labels[:, : ids.shape[1] - 1] = IGNORE
    labels[:, ids.shape[1] - 1 :][tokens == FINISHED] = IGNORE
    model.eval()
    found = hidden_token_logps(model.hidden(whole[:, :-1]), model, labels).numpy()
    counts = labels != IGNORE
    assert counts.sum() > 40
    error = np.abs(found[counts] - written[tokens != FINISHED])
    assert error.max() < 2e-5, error.max()


def test_writing_leaves_the_model_as_it_was():
    model = MODELS["with LoRA"]()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    found = rollout(
        model, PROMPTS, 2, writing(), Rewards([Reward("value", mean_id)]),
        np.random.SeedSequence(1),
    )  # fmt: skip
    assert len(found.answers) == 8 and model.training
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_reward_functions_get_prompts_answers_and_columns():
    seen = {}

    def look(**arguments):
        seen.update(arguments)
        return [0.0] * len(arguments["completions"])

    chat = [{"role": "user", "content": "hi"}]
    prompts = [PROMPTS[0], Prompt(PROMPTS[1].ids, {"prompt": chat, "more": 5}, "line 2")]
    rewards = Rewards([Reward("look", look)])
    task = GRPO(
        small_model("llama"), prompts, prompts, rewards, writing(), num_generations=2, batch_size=4
    )
    task.next_step()
    first = [i for i, one in enumerate(seen["prompts"]) if one == "p3"]
    other = [i for i in range(4) if i not in first]
    assert first in ([0, 1], [2, 3]) and set(seen) == {
        "prompts", "completions", "completion_ids", "gold", "more"
    }  # fmt: skip
    for i in first:
        answer = seen["completion_ids"][i]
        end = answer[:-1] if answer[-1] in STOP else answer
        assert seen["completions"][i] == " ".join(map(str, end))
        assert seen["gold"][i] == 3 and seen["more"][i] is None
    for i in other:
        assert seen["prompts"][i] == chat and seen["more"][i] == 5
        (message,) = seen["completions"][i]
        assert message["role"] == "assistant"


def test_the_answers_differ_from_step_to_step_and_not_from_run_to_run():
    one, same = task_of(small_model("llama")), task_of(small_model("llama"))
    other = task_of(small_model("llama"), seed=1)
    for task in (one, same, other):
        task.next_step()
    first = one.answers.answers
    assert first == same.answers.answers != other.answers.answers
    assert len(set(map(tuple, first))) > 4
    one.next_step()
    assert one.answers.answers != first


# --- old and reference ----------------------------------------------------------------------------


def test_old_log_probabilities_are_those_of_the_time_of_writing():
    calls = []

    def counted(completion_ids, **_):
        calls.append(len(completion_ids))
        return mean_id(completion_ids)

    model = small_model("llama")
    trainer = trainer_of(task_of(model, counted, num_iterations=3, epsilon=0.05), lr=0.02)
    task = trainer.task
    first = steps(trainer, 1)[0]
    assert first["clip_ratio/region_mean"] == 0
    kept = [batch.old.copy() for batch in task.steps[0]]
    second, third, fourth = steps(trainer, 3)
    assert second["clip_ratio/region_mean"] > 0 and third["clip_ratio/region_mean"] > 0
    assert fourth["clip_ratio/region_mean"] == 0 and calls == [8, 8]  # new answers
    assert first["reward"] == second["reward"] == third["reward"] != fourth["reward"]
    task = trainer_of(task_of(small_model("llama"), num_iterations=3)).task
    for batch, old in zip(task.next_step().batches, kept, strict=True):
        np.testing.assert_array_equal(batch.content.old, old)
        expected = task._logps(task.model, batch.content.rows)
        np.testing.assert_array_equal(batch.content.old, expected)


def test_on_policy_nothing_old_is_needed():
    (batch, _) = task_of(small_model("llama")).next_step().batches
    assert batch.content.old is None and batch.content.reference is None


def test_the_reference_is_the_model_before_the_first_step():
    base = small_model("llama")
    model = add_lora(small_model("llama"), r=2, seed=3)
    copied = task_of(small_model("llama"), beta=0.1, reference=base)
    for task in (task_of(model, beta=0.1), copied):
        trainer = trainer_of(task, lr=0.05)
        lines = steps(trainer, 3)
        assert lines[0]["kl"] == pytest.approx(0, abs=1e-9) and lines[2]["kl"] > 1e-5
        for batch in task.steps[0]:
            expected = task._logps(base, batch.rows)
            np.testing.assert_allclose(batch.reference, expected, rtol=0, atol=1e-5)


# --- learning -------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "dr_grpo"])
def test_of_two_answers_the_rewarded_one_becomes_likely(loss_type):
    def prefers_five(completion_ids, **_):
        return [float(ids == [5]) for ids in completion_ids]

    others = [i for i in range(VOCAB_SIZE) if i not in (5, 9)]
    how = writing(max_new_tokens=1, unused_ids=others, stop_ids=(5, 9))
    task = task_of(small_model("llama"), prefers_five, how, loss_type=loss_type, eval_prompts=2)
    lines = steps(trainer_of(task, steps=25, lr=3e-3), 25)
    early, late = (np.mean([line["reward"] for line in part]) for part in (lines[:5], lines[-5:]))
    assert early < 0.8 and late > 0.95
    assert task.quick_evaluation()["eval_reward"] == 1


def test_a_step_has_the_names_of_trl():
    line = steps(trainer_of(task_of(small_model("llama"), beta=0.1, reference=exact())), 1)[0]
    own = {"step", "loss", "learning_rate", "grad_norm", "epoch", "num_tokens"}
    completions = {
        f"completions/{name}" for name in (
            "mean_length", "min_length", "max_length", "mean_terminated_length",
            "min_terminated_length", "max_terminated_length", "clipped_ratio",
        )
    }  # fmt: skip
    clips = {
        f"clip_ratio/{n}" for n in ("region_mean", "low_mean", "low_min", "high_mean", "high_max")
    }
    rewards = {
        "reward",
        "reward_std",
        "frac_reward_zero_std",
        "rewards/value/mean",
        "rewards/value/std",
    }
    assert set(line) == own | completions | clips | rewards | {"entropy"} | {"kl"}
    line = steps(trainer_of(task_of(small_model("llama"), log_every=5)), 2)[1]
    assert "kl" not in line and "entropy" not in line


def test_the_note_says_which_zero_is_right():
    for loss_type, words in (
        ("grpo", "a loss of 0 is right: advantages average to 0"),
        ("dapo", "a loss near 0 is right: minus the mean advantage of a token"),
    ):
        task = task_of(exact(), loss_type=loss_type)
        line = trainer_of(task).train_step()
        assert words in task.note(line) and line["grad_norm"] > 0
        assert (abs(line["loss"]) < 1e-12) == (loss_type == "grpo")


def test_an_evaluation_takes_the_most_likely_answers_and_changes_nothing():
    model = small_model("gpt2").train()
    task, state = task_of(model, eval_prompts=1), model.rng.bit_generator.state
    found = task.quick_evaluation()
    assert found == task.quick_evaluation() and found["eval_loss"] == -found["eval_reward"]
    assert model.training and model.rng.bit_generator.state == state and task.generation == 0
    metrics, sentence = task.final_evaluation()
    assert sentence.startswith("held out, 2 prompts: reward ")
    model.eval()
    greedy = [
        [int(step[0]) for step in generate(model, p.ids[None], 6, temperature=0, stop_ids=STOP)]
        for p in PROMPTS[:2]
    ]
    assert metrics["eval_reward"] == pytest.approx(np.mean(mean_id(greedy)))
    assert found["eval_reward"] == pytest.approx(mean_id(greedy[:1])[0])


# --- the state ------------------------------------------------------------------------------------


def on_policy():
    return task_of(small_model("gpt2").train())


def off_policy():
    model = add_lora(small_model("llama"), r=2, dropout=0.2, seed=3)
    return task_of(model.train(), num_iterations=2, steps_per_generation=4, beta=0.1)


@pytest.mark.parametrize("make_task", [on_policy, off_policy])
@pytest.mark.parametrize("count", [2, 3])
def test_a_resumed_run_continues_bit_for_bit(make_task, count):
    assert continues_bit_for_bit(make_task, count)


def test_the_state_is_json_that_its_schema_describes():
    task, other = off_policy(), off_policy()
    assert task.state_dict()["answers"] is None
    for _ in range(3):
        task.next_step()
    state = json.loads(json.dumps(task.state_dict(), allow_nan=False))
    check_json(state, "state", GRPO_SCHEMA)
    other.load_state_dict(state)
    one, same = task.next_step(), other.next_step()
    assert one.metrics == same.metrics
    for a, b in zip(one.batches, same.batches, strict=True):
        for name in ("advantages", "old", "reference", "n_tokens"):
            np.testing.assert_array_equal(getattr(a.content, name), getattr(b.content, name))
        np.testing.assert_array_equal(a.content.rows.labels, b.content.rows.labels)
    assert task.state_dict()["answers"] is None  # four steps are all


def test_a_state_of_other_data_is_refused():
    task = off_policy()
    task.next_step()
    state = task.state_dict()
    for name, value in (
        ("rewards", [1.0]),
        ("ids", "AAAA"),
        ("prompts", [9, 9, 9, 9]),
        ("ids", "A"),
    ):
        wrong = {**state, "answers": {**state["answers"], name: value}}
        with pytest.raises(UserError, match="answers in the training state do not fit"):
            off_policy().load_state_dict(wrong)
    wrong = {**state, "answers": {**state["answers"], "old": "AAAAAA=="}}
    with pytest.raises(UserError, match="the log-probabilities in the training state do not fit"):
        off_policy().load_state_dict(wrong)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(
        UserError, match="learns from 6 answers .* whole groups of num_generations, 4"
    ):
        task_of(small_model("llama"), batch_size=6, grad_accumulation=1)
    with pytest.raises(UserError, match="steps_per_generation is 3, but must be a multiple"):
        task_of(small_model("llama"), steps_per_generation=3)
    with pytest.raises(UserError, match="there are no prompts to validate on"):
        GRPO(small_model("llama"), PROMPTS, [], None, writing())
