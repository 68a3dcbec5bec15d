"""The rules of sampling, one by one."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tinygrad_llm.errors import UserError
from tinygrad_llm.generation import Sampler, sample
from tinygrad_llm.generation.sampling import draw

LOGITS = np.log(np.array([0.1, 0.4, 0.3, 0.2]))


def support(logits, n=4001, **options):
    """The ids that come up over evenly spaced uniforms, and their shares."""
    ids, p = Sampler(**options).distribution(logits)
    drawn = [draw(ids, p, u) for u in np.arange(n) / n]
    assert drawn[n // 3] == sample(logits, n // 3 / n, **options)
    ids, counts = np.unique(drawn, return_counts=True)
    return dict(zip(ids.tolist(), (counts / n).tolist(), strict=True))


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
    first = sorted(range(3000), key=lambda i: (-many[i], i))[:1500]
    assert set(support(many, n=20_000, top_k=1500)) == set(first)


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


def test_min_p_is_a_share_of_the_largest_probability():
    assert set(support(LOGITS, min_p=0.45)) == {1, 2, 3}
    assert set(support(LOGITS, min_p=0.55)) == {1, 2}
    assert set(support(LOGITS, min_p=0.0)) == {0, 1, 2, 3}
    assert set(support(LOGITS, min_p=1.0)) == {1}
    assert set(support(np.float32([1, 2, 2]), min_p=1.0)) == {1, 2}
    # at temperature 2 the ratios are square roots: the smallest is sqrt(1 / 4)
    assert set(support(LOGITS, min_p=0.45, temperature=2)) == {0, 1, 2, 3}


def test_the_rules_apply_in_the_order_asked_for():
    last = ("top_k", "top_p", "min_p", "temperature")  # llama.cpp's
    # at temperature 2 the two most likely have 0.61 of the probability, before it 0.7
    assert set(support(LOGITS, temperature=2, top_p=0.69)) == {1, 2, 3}
    assert set(support(LOGITS, temperature=2, top_p=0.69, order=last)) == {1, 2}
    assert set(support(LOGITS, temperature=2, min_p=0.45)) == {0, 1, 2, 3}
    assert set(support(LOGITS, temperature=2, min_p=0.45, order=last)) == {1, 2, 3}
    shares = support(LOGITS, temperature=2, top_k=2, order=last)  # the temperature still counts
    assert shares[1] / shares[2] == pytest.approx((0.4 / 0.3) ** 0.5, abs=1e-2)
    # two ids reach half of all, but of what top_k=2 leaves, one does
    assert set(support(LOGITS, top_k=2, top_p=0.5)) == {1}
    p_first = ("temperature", "top_p", "top_k", "min_p")
    assert set(support(LOGITS, top_k=2, top_p=0.5, order=p_first)) == {1, 2}


def by_definition(logits, temperature, top_k, top_p, min_p):
    """The ids that stay, from full sorts: a second opinion."""
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    p = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    order = order[: top_k or None]
    if top_p is not None:
        mass = np.cumsum(p[order]) / p[order].sum()
        order = order[: 1 + int((mass < top_p).sum())]
    return sorted(i for i in order if p[i] >= (min_p or 0) * p[order[0]])


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 2, 63, 64, 65, 700, 9000]),
    st.sampled_from([1, 3, 1000]),  # a logit is a multiple of 1 / n: many equals, or few
    st.floats(0.1, 4),
    st.none() | st.sampled_from([1, 2, 40, 120, 10_000]),
    st.none() | st.floats(0.01, 0.999),
    st.none() | st.floats(0.001, 0.999),
)
def test_what_stays_is_what_full_sorts_keep(seed, V, n, temperature, top_k, top_p, min_p):
    logits = np.random.default_rng(seed).normal(0, 3, V)
    logits = (np.round(logits * n) / n).astype(np.float32)
    ids, p = Sampler(temperature, top_k, top_p, min_p).distribution(logits)
    # on the border of top-p and min-p rounding decides
    a_little_more_and_less = [
        by_definition(logits, temperature, top_k, top_p and top_p * f, min_p and min_p / f)
        for f in (1 + 1e-9, 1 - 1e-9)
    ]
    assert ids.tolist() in a_little_more_and_less
    np.testing.assert_allclose(p, np.exp((logits[ids] - np.float64(logits.max())) / temperature))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options, count",
    [
        ({"temperature": 0.7}, 4000), ({"top_k": 40}, 40), ({"top_p": 0.9}, None),
        ({"min_p": 0.05}, None),
        ({"temperature": 1.3, "top_k": 50, "top_p": 0.8, "min_p": 0.1}, None),
    ],
)  # fmt: skip
def test_the_distribution_is_that_of_transformers(dtype, options, count):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    logits = np.random.default_rng(0).normal(0, 3, 4000).astype(dtype)
    warpers = {
        "temperature": transformers.TemperatureLogitsWarper,
        "top_k": transformers.TopKLogitsWarper,
        "top_p": transformers.TopPLogitsWarper,
        "min_p": transformers.MinPLogitsWarper,
    }
    scores = torch.tensor(logits[None])
    for name, value in options.items():
        scores = warpers[name](value)(None, scores)
    expected = torch.softmax(scores.double(), -1)[0].numpy()
    ids, p = Sampler(**options).distribution(logits)
    np.testing.assert_array_equal(ids, np.flatnonzero(expected))
    assert len(ids) == (count or len(ids)) and 1 < len(ids) <= 4000
    np.testing.assert_allclose(
        p / p.sum(), expected[ids], rtol=1e-5 if dtype == "float32" else 1e-12
    )


def test_removed_and_impossible_ids_never_come():
    logits = np.array([-np.inf, 0.0, -np.inf, 0.0, -np.inf])
    top = np.nextafter(1, 0)
    assert {sample(logits, u) for u in (0, 0.3, 0.6, top)} == {1, 3}
    assert sample(np.array([0.0, 0.0, -5.0]), top, top_k=2) == 1
    assert sample(np.array([-5.0, 0.0, 0.0]), 0.0, top_k=2) == 1
    # 1 is outside [0, 1), but uniforms made in float32 and rounded may be 1
    assert sample(np.array([0.0, 0.0, -5.0]), 1.0, top_k=2) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 7, 12, 13])
def test_blocks_of_ids_do_not_change_what_is_drawn(size):
    p = np.array([0, 2, 0, 0, 1, 0, 0, 3, 2, 0, 0, 8, 0.0])  # sums are exact
    ids = np.arange(13) * 10
    drawn = [draw(ids, p, u, size) for u in np.arange(33) / 32]
    assert drawn == [10] * 4 + [40] * 2 + [70] * 6 + [80] * 4 + [110] * 17


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
