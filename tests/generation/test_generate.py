"""The loop of generation: rows, endings, prompts, what is yielded."""

import re

import numpy as np
import pytest

from autograd import Tensor, is_grad_enabled
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation import FINISHED, generate
from tinygrad_llm.model import GPT


@pytest.mark.parametrize(
    "options, words",
    [
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": np.nan}, "temperature is nan"),
        ({"temperature": np.inf}, "temperature is inf"),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"top_p": np.nan}, "top_p is nan"),
        ({"min_p": -0.1}, "min_p is -0.1"),
        ({"min_p": 1.1}, "min_p is 1.1"),
        ({"sampler_order": ("top_k", "temperature")}, "sampler order is top_k, temperature,"),
        ({"sampler_order": ("top_k", "top_p", "min_p", "heat")}, "must name each of temperature"),
        ({"repetition_penalty": 0}, "repetition penalty is 0,"),
        ({"repetition_penalty": np.nan}, "repetition penalty is nan"),
        ({"repetition_penalty": 1e-320}, "penalty is 1e-320, but must be from 0.000001 to 1,000,0"),
        ({"repetition_penalty": 1e300}, "repetition penalty is 1e\\+300, but must be"),
        ({"presence_penalty": np.inf}, "presence_penalty is inf"),
        ({"frequency_penalty": np.nan}, "frequency_penalty is nan"),
        ({"logit_bias": {1: np.nan}}, "bias of id 1 is nan"),
        ({"logit_bias": {1: np.inf}}, "bias of id 1 is inf"),
        ({"logit_bias": {-1: 0.0}}, "names -1, expected a token id"),
        ({"logit_bias": {"the": 1.0}}, "names 'the', expected a token id"),
        ({"n": 0}, "n is 0"),
        ({"logprobs": -1}, "logprobs is -1"),
        ({"seed": 1}, "rng and seed: pass one of them"),
        ({"block_size": None}, "block_size is missing"),
        ({"max_new_tokens": -1}, "max_new_tokens is -1"),
        ({"block_size": 0}, "block_size is 0"),
        ({"ids": np.zeros((1, 0), int)}, r"shape \(1, 0\)"),
        ({"ids": np.array([1, 2])}, r"shape \(2,\).*which is several prompts: write ids\[None\]"),
        ({"ids": [[]]}, r"shape \(1, 0\)"),
        ({"ids": [[0.5]]}, "integers"),
        ({"attention_mask": [[1, 1]]}, r"mask has shape \(1, 2\), expected the prompt's, \(1, 1\)"),
        ({"attention_mask": [[2]]}, "0 for padding or 1 for a token"),
        ({"attention_mask": [[0]]}, "row 0 of the attention mask is all 0"),
    ],
)
def test_bad_options_are_refused_before_the_first_step(options, words):
    options = {
        "ids": [[1]], "max_new_tokens": 1, "block_size": 4, "rng": np.random.default_rng(0),
        **options,
    }  # fmt: skip
    with pytest.raises(UserError, match=words) as caught:
        generate(lambda ids: np.zeros((1, 3)), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 3), (3,), ()])
def test_a_function_whose_logits_have_another_shape_is_refused(shape):
    words = rf"logits of shape {re.escape(str(shape))} for ids .* expected \(B, V\) = \(1, V\)"
    with pytest.raises(UserError, match=words) as caught:
        next(generate(lambda ids: np.zeros(shape), [[1]], 1, block_size=4))
    assert "\n" not in str(caught.value)


def test_an_id_that_the_model_does_not_have_is_refused_at_the_first_step():
    steps = generate(lambda ids: np.zeros((1, 3)), [[1]], 1, block_size=4, logit_bias={3: 1.0})
    with pytest.raises(UserError, match="bias names id 3, but the model's ids are 0 to 2"):
        next(steps)


def counter(V=10):
    """A model that always continues with the next number, and its inputs."""
    calls = []

    def next_token_logits(ids):
        calls.append(ids.copy())
        return np.where(np.arange(V) == (ids[:, -1:] + 1) % V, 0.0, -np.inf)

    return next_token_logits, calls


def run(model, ids, max_new_tokens, **options):
    options = {"block_size": 4, "rng": np.random.default_rng(0), **options}
    return [new.tolist() for new in generate(model, ids, max_new_tokens, **options)]


def test_ids_are_appended_and_cropped_to_block_size():
    model, calls = counter()
    assert run(model, [[0, 1, 2]], 4) == [[3], [4], [5], [6]]
    assert [c.tolist() for c in calls] == [
        [[0, 1, 2]],
        [[0, 1, 2, 3]],
        [[1, 2, 3, 4]],
        [[2, 3, 4, 5]],
    ]
    assert calls[0].dtype == np.int64


def test_a_long_prompt_is_cropped_and_not_changed():
    model, calls = counter()
    ids = np.arange(9)[None]
    assert run(model, ids, 1) == [[9]]
    assert calls[0].tolist() == [[5, 6, 7, 8]] and ids.shape == (1, 9)


def test_a_row_that_ends_does_not_stop_the_others():
    model, _ = counter()
    steps = run(model, [[6], [1], [3]], 20, stop_ids=[8, 5])
    assert steps == [[7, 2, 4], [8, 3, 5], [-1, 4, -1], [-1, 5, -1]]
    assert FINISHED == -1


def test_a_row_does_not_depend_on_when_others_end():
    def model(ids):
        return np.tile(np.linspace(0, 1, 10), (len(ids), 1))

    one = run(model, [[0], [1]], 30, stop_ids=[9])
    two = run(model, [[0], [1]], 30)
    rows = [np.array(one)[:, b] for b in (0, 1)]
    for b, row in enumerate(rows):
        ids = row[row != FINISHED]
        np.testing.assert_array_equal(ids, np.array(two)[: len(ids), b])


def test_nothing_asked_for_is_nothing_computed():
    model, calls = counter()
    assert run(model, [[1]], 0) == [] and calls == []


def test_seed_repeats_and_temperature_zero_draws_nothing():
    def model(ids):
        return np.zeros((1, 50))

    def tokens(seed):
        return run(model, [[0]], 20, rng=np.random.default_rng(seed))

    assert tokens(1) == tokens(1) != tokens(2)
    rng = np.random.default_rng(0)
    run(model, [[0]], 5, temperature=0, rng=rng)
    assert rng.random() == np.random.default_rng(0).random()


def test_a_seed_is_a_new_generator_for_random_numbers():
    def model(ids):
        return np.zeros((len(ids), 50))

    expected = run(model, [[0]], 20, rng=np.random.default_rng(5))
    assert run(model, [[0]], 20, rng=None, seed=5) == expected
    assert run(model, [[0]], 20, rng=None) != run(model, [[0]], 20, rng=None)


def test_n_continues_each_prompt_n_times():
    model, _ = counter()
    assert run(model, [[1], [5]], 2, n=3) == [[2, 2, 2, 6, 6, 6], [3, 3, 3, 7, 7, 7]]

    def even(ids):
        return np.zeros((len(ids), 50))

    together = run(even, [[1]], 8, n=4)
    assert together == run(even, [[1]] * 4, 8)
    assert len({tuple(row) for row in zip(*together, strict=True)}) == 4


def test_a_function_that_ends_rows_sees_each_new_id_but_stop_ids():
    model, _ = counter()
    asked = []

    def stop(row, token):
        asked.append((row, token))
        return row == 0 and token == 8

    assert run(model, [[6], [1]], 5, stop=stop, stop_ids=[4]) == [[7, 2], [8, 3], [-1, 4]]
    assert asked == [(0, 7), (1, 2), (0, 8), (1, 3)]


def test_penalties_see_the_prompt_without_its_padding_and_every_answer_by_itself():
    def model(ids):
        return np.tile([1.0, 0.9, 0.8, 0.7], (len(ids), 1))

    greedy = {"temperature": 0, "repetition_penalty": 2.0}
    ids, mask = [[0, 1], [1, 0]], [[0, 1], [1, 1]]
    assert run(model, ids, 3, attention_mask=mask, **greedy) == [[0, 2], [2, 3], [3, 0]]


def test_unused_ids_and_ids_with_a_bias_of_minus_infinity_never_come():
    def model(ids):
        return np.tile(np.float32([3, 2, 1, 0]), (len(ids), 1))

    ids = run(model, [[0]], 200, unused_ids=[0], logit_bias={1: -np.inf})
    assert set(np.ravel(ids).tolist()) == {2, 3}
    assert run(model, [[0]], 1, temperature=0, logit_bias={3: 3.5}) == [[3]]


# --- padding --------------------------------------------------------------------------------


def small_gpt():
    config = GPTConfig(vocab_size=17, block_size=6, n_layer=2, n_head=2, n_embd=8)
    model, rng = GPT(config).eval(), np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.assign_(parameter.data + 0.5 * rng.standard_normal(parameter.shape))
    return model


def test_padded_rows_continue_as_they_do_alone():
    model = small_gpt()
    prompts = [[3, 1, 4], [1], [5, 9, 2, 6], [0, 16]]
    pad = 1  # also a token of the prompts
    ids = np.array([[pad] * (4 - len(p)) + p for p in prompts])
    mask = np.array([[0] * (4 - len(p)) + [1] * len(p) for p in prompts])
    together = run(model, ids, 8, attention_mask=mask, temperature=0, block_size=None)
    alone = [np.ravel(run(model, [p], 8, temperature=0, block_size=None)) for p in prompts]
    np.testing.assert_array_equal(np.transpose(together), alone)


# --- log-probabilities ----------------------------------------------------------------------


def test_log_probabilities_are_those_of_the_model_before_any_rule():
    p = np.array([0.1, 0.4, 0.3, 0.2])

    def model(ids):
        return np.tile(5 + np.log(p), (len(ids), 1))

    options = {"block_size": 4, "seed": 0, "top_k": 1, "temperature": 0.3, "logit_bias": {3: 9.0}}
    (step,) = generate(model, [[0], [1]], 1, logprobs=3, **options)
    assert step.ids.tolist() == [3, 3]
    np.testing.assert_allclose(step.logprobs, np.log([0.2, 0.2]))
    assert step.top_ids.tolist() == [[1, 2, 3]] * 2
    np.testing.assert_allclose(step.top_logprobs, [np.log(p[[1, 2, 3]])] * 2)


def test_a_row_that_has_ended_has_no_log_probabilities():
    model, _ = counter()
    steps = list(generate(model, [[7], [1]], 2, block_size=4, stop_ids=[8], logprobs=1))
    assert [s.ids.tolist() for s in steps] == [[8, 2], [FINISHED, 3]]
    assert [s.done.tolist() for s in steps] == [[True, False]] * 2
    assert [s.top_ids.tolist() for s in steps] == [[[8], [2]], [[FINISHED], [3]]]
    np.testing.assert_array_equal(steps[1].logprobs, [np.nan, 0])
    np.testing.assert_array_equal(steps[1].top_logprobs, [[np.nan], [0]])


def test_equal_alternatives_come_by_id_and_there_are_no_more_than_ids():
    options = {"block_size": 4, "temperature": 0}
    (step,) = generate(lambda ids: np.float32([[0, 2, 1, 2]]), [[0]], 1, logprobs=9, **options)
    assert step.top_ids.tolist() == [[1, 3, 2, 0]]
    (step,) = generate(lambda ids: np.float32([[0, 2, 1, 2]]), [[0]], 1, logprobs=0, **options)
    assert step.top_ids.shape == (1, 0) and step.logprobs.shape == (1,)


# --- with a model ---------------------------------------------------------------------------


def test_gradients_are_off_inside_and_untouched_outside():
    inside = []

    def model(ids):
        inside.append(is_grad_enabled())
        return Tensor(np.zeros((1, 3)))

    for _ in generate(model, [[0]], 3, block_size=2, rng=np.random.default_rng(0)):
        assert is_grad_enabled()
    assert inside == [False] * 3


def test_with_a_gpt_it_is_repeated_argmax_of_the_full_logits():
    model, ids = small_gpt(), np.random.default_rng(1).integers(0, 17, (2, 3))
    steps = run(model, ids, 8, block_size=None, temperature=0)
    assert run(model.next_token_logits, ids, 8, block_size=6, temperature=0) == steps
    for new in steps:
        expected = model(ids[:, -6:]).data[:, -1].argmax(-1)
        assert new == expected.tolist()
        ids = np.concatenate((ids, expected[:, None]), axis=1)
    with pytest.raises(UserError, match="id 17 is outside the model.s vocabulary of 17"):
        run(model, [[17]], 1)
