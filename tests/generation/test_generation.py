"""Sampling rules one by one, and the loop around them."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from autograd import Tensor, is_grad_enabled
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation import FINISHED, generate, sample
from tinygrad_llm.model import GPT

LOGITS = np.log(np.array([0.1, 0.4, 0.3, 0.2]))


def support(logits, n=4001, **options):
    """The ids that come up over evenly spaced uniforms, and their shares."""
    found = [sample(logits, u, **options) for u in np.arange(n) / n]
    ids, counts = np.unique(found, return_counts=True)
    return dict(zip(ids.tolist(), (counts / n).tolist(), strict=True))


# --- sample ---------------------------------------------------------------------------------


def test_draws_follow_the_distribution():
    assert support(LOGITS) == pytest.approx({0: 0.1, 1: 0.4, 2: 0.3, 3: 0.2}, abs=1e-3)


def test_the_interval_of_an_id_is_closed_below_and_open_above():
    even = np.zeros(4)
    uniforms = [0, 0.25, np.nextafter(0.25, 0), 0.75, np.nextafter(1, 0)]
    assert [sample(even, u) for u in uniforms] == [0, 1, 0, 3, 3]


def test_temperature_zero_is_argmax_with_the_lowest_id_of_equals():
    logits = np.array([0.0, 2.0, 2.0, 1.0])
    assert {sample(logits, u, temperature=0) for u in (0, 0.5, 0.999)} == {1}
    assert sample(logits, 0.9, temperature=0, top_k=3, top_p=0.9) == 1


@pytest.mark.parametrize("temperature", [0.5, 1, 2])
def test_temperature_divides_the_logits(temperature):
    p = np.exp(LOGITS / temperature)
    expected = dict(enumerate((p / p.sum()).tolist()))
    assert support(LOGITS, temperature=temperature) == pytest.approx(expected, abs=1e-3)


def test_a_vanishing_temperature_is_argmax():
    with np.errstate(all="raise"):
        assert {sample(LOGITS, u, temperature=1e-320) for u in (0, 0.999)} == {1}


def test_top_k_keeps_exactly_k():
    assert set(support(LOGITS, top_k=2)) == {1, 2}
    assert set(support(LOGITS, top_k=9)) == {0, 1, 2, 3}


def test_top_k_keeps_the_lowest_ids_of_equals():
    logits = np.array([0.0, 1.0, 1.0, 5.0, 1.0, 1.0])
    assert set(support(logits, top_k=3)) == {1, 2, 3}
    many = np.random.default_rng(0).integers(0, 3, 3000).astype(float)  # a thousand of each
    kept = sorted(range(3000), key=lambda i: (-many[i], i))[:1500]
    assert set(support(many, n=20_000, top_k=1500)) == set(kept)


def test_top_p_keeps_the_smallest_set_that_reaches_p():
    assert set(support(LOGITS, top_p=0.39)) == {1}
    assert set(support(LOGITS, top_p=0.41)) == {1, 2}
    assert set(support(LOGITS, top_p=0.71)) == {1, 2, 3}
    assert set(support(LOGITS, top_p=1e-9)) == {1}
    even = np.zeros(4)  # halves and quarters are exact: reaching p is enough
    assert set(support(even, top_p=0.5)) == {0, 1}
    assert set(support(even, top_p=np.nextafter(0.5, 1))) == {0, 1, 2}


def test_top_p_of_one_removes_nothing():
    logits = np.array([0.0, -40.0, -41.0])  # the tail vanishes in a cumulative sum
    assert sample(logits, 1 - 1e-16, top_p=1.0) == sample(logits, 1 - 1e-16)
    assert sample(np.array([-50.0, 0.0]), 0, top_p=1.0) == 0


def test_top_p_is_a_share_of_what_top_k_left():
    # of 4/7 and 3/7, the first reaches one half; of the whole distribution it would not
    assert set(support(LOGITS, top_k=2, top_p=0.5)) == {1}
    assert set(support(LOGITS, top_p=0.5)) == {1, 2}


def test_removed_and_impossible_ids_never_come():
    logits = np.array([-np.inf, 0.0, -np.inf, 0.0, -np.inf])
    top = np.nextafter(1, 0)
    assert {sample(logits, u) for u in (0, 0.3, 0.6, top)} == {1, 3}
    assert sample(np.array([0.0, 0.0, -5.0]), top, top_k=2) == 1
    assert sample(np.array([-5.0, 0.0, 0.0]), 0.0, top_k=2) == 1
    # 1 is outside [0, 1), but uniforms made in float32 and rounded may be 1
    assert sample(np.array([0.0, 0.0, -5.0]), 1.0, top_k=2) == 1


def test_float32_logits_are_summed_in_float64():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal(50_257).astype(np.float32)
    p = np.exp(logits.astype(np.float64))
    cdf = np.cumsum(p / p.sum())
    for u in rng.random(20):
        assert sample(logits, u) == np.searchsorted(cdf, u, side="right")


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.floats(-60, 60) | st.just(-np.inf), min_size=1, max_size=12),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 5),
    st.none() | st.integers(1, 15),
    st.none() | st.floats(0, 1, exclude_min=True),
)
def test_any_draw_is_a_possible_id(logits, u, temperature, top_k, top_p):
    logits = np.array(logits)
    if np.isinf(logits).all():
        with pytest.raises(UserError):
            sample(logits, u, temperature, top_k, top_p)
        return
    before = logits.copy()
    token = sample(logits, u, temperature, top_k, top_p)
    np.testing.assert_array_equal(logits, before)
    assert np.isfinite(logits[token])
    rank = sum(logits > logits[token]) + sum(logits[:token] == logits[token])
    assert rank < (top_k or len(logits))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_numbers_are_refused(bad):
    for temperature in (0, 1):
        with pytest.raises(UserError, match="diverged"):
            sample(np.array([0.0, bad]), 0.5, temperature)


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
        ({"max_new_tokens": -1}, "max_new_tokens is -1"),
        ({"block_size": 0}, "block_size is 0"),
        ({"ids": np.zeros((1, 0), int)}, r"shape \(1, 0\)"),
        ({"ids": np.array([1, 2])}, r"shape \(2,\)"),
        ({"ids": [[]]}, r"shape \(1, 0\)"),
        ({"ids": [[0.5]]}, "integers"),
    ],
)
def test_bad_options_are_told_before_the_first_step(options, words):
    given_options = {
        "ids": [[1]], "max_new_tokens": 1, "block_size": 4, "rng": np.random.default_rng(0),
        **options,
    }  # fmt: skip
    with pytest.raises(UserError, match=words) as caught:
        generate(lambda ids: np.zeros((1, 3)), **given_options)
    assert "\n" not in str(caught.value)
    if options.keys() <= {"temperature", "top_k", "top_p"}:
        with pytest.raises(UserError, match=words):
            sample(LOGITS, 0.5, **options)


# --- generate -------------------------------------------------------------------------------


def counter(V=10):
    """A model that always continues with the next number, and the inputs it was given."""
    calls = []

    def next_token_logits(ids):
        calls.append(ids.copy())
        return np.where(np.arange(V) == (ids[:, -1:] + 1) % V, 0.0, -np.inf)

    return next_token_logits, calls


def run(model, ids, n, **options):
    options = {"block_size": 4, "rng": np.random.default_rng(0), **options}
    return [new.tolist() for new in generate(model, ids, n, **options)]


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
        kept = row[row != FINISHED]
        np.testing.assert_array_equal(kept, np.array(two)[: len(kept), b])


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


def test_gradients_are_off_inside_and_untouched_outside():
    inside = []

    def model(ids):
        inside.append(is_grad_enabled())
        return Tensor(np.zeros((1, 3)))

    for _ in generate(model, [[0]], 3, block_size=2, rng=np.random.default_rng(0)):
        assert is_grad_enabled()
    assert inside == [False] * 3


def test_with_a_gpt_it_is_repeated_argmax_of_the_full_logits():
    config = GPTConfig(vocab_size=17, block_size=6, n_layer=2, n_head=2, n_embd=8)
    model, rng = GPT(config).eval(), np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.assign_(parameter.data + 0.5 * rng.standard_normal(parameter.shape))
    ids = rng.integers(0, 17, (2, 3))
    steps = run(model.next_token_logits, ids, 8, block_size=6, temperature=0)
    for new in steps:
        expected = model(ids[:, -6:]).data[:, -1].argmax(-1)
        assert new == expected.tolist()
        ids = np.concatenate((ids, expected[:, None]), axis=1)
    with pytest.raises(UserError, match="outside the table of 17 rows"):
        run(model.next_token_logits, [[17]], 1)
