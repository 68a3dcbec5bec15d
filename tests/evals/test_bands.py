"""Bands and tests, against formulas and figures of their own."""

import math

import numpy as np
import pytest

from tinygrad_llm.evals.bands import (
    mcnemar,
    paired_bootstrap,
    share_band,
    standard_error,
    wilson_band,
)
from tinygrad_llm.evals.humaneval import pass_at_k


@pytest.mark.parametrize("right, n", [(0, 10), (10, 10), (3, 10), (50, 100), (1, 1), (20, 40)])
def test_the_band_ends_where_the_score_would_be_just_as_surprising(right, n):
    """By definition: |right / n - p| = z sqrt(p (1 - p) / n) at both ends that are not 0 or 1."""
    low, high = wilson_band(right, n)
    assert 0 <= low <= right / n <= high <= 1 and high > low
    for p in (low, high):
        if 1e-9 < p < 1 - 1e-9:
            assert abs(right / n - p) / math.sqrt(p * (1 - p) / n) == pytest.approx(1.959964, 1e-6)
    assert (low == 0) == (right == 0) and (high == 1) == (right == n)


def test_the_band_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for p in (0.25, 0.5, 0.9):
        counts = rng.binomial(60, p, 4000)
        bands = [wilson_band(int(right), 60) for right in counts]
        assert 0.93 < np.mean([low <= p <= high for low, high in bands]) < 0.97


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("a, b", [(0.3, 0.6), (2, 2), (40, 60)])
def test_the_band_of_pass_at_k_covers_the_truth(a, b, k):
    """Ten samples of 50 problems, each with a rate of its own; it may be wider than need be."""
    rng = np.random.default_rng(1)
    rates = rng.beta(a, b, 1_000_000)
    truth = np.mean(1 - (1 - rates) ** k)
    score = [pass_at_k(10, c, k) for c in range(11)]
    counts = rng.binomial(10, rng.beta(a, b, (2000, 50)))
    bands = [share_band([score[c] for c in row], 10 / k) for row in counts]
    assert np.mean([low <= truth <= high for low, high in bands]) > 0.93
    widths = [high - low for low, high in bands]
    single = wilson_band(50 * truth, 50)
    assert np.mean(widths) < single[1] - single[0]


def test_shares_of_0_and_1_have_wilson_s_band():
    for right in (0, 1, 7, 20):
        values = [1.0] * right + [0.0] * (20 - right)
        assert share_band(values, 10) == share_band(values) == wilson_band(right, 20)


def test_equal_shares_are_not_certain():
    low, high = share_band([0.5] * 20, 10)
    assert (low, high) == wilson_band(100, 200)


def test_impossible_counts_are_refused():
    for right, n in ((1, 0), (3, 2), (-1, 5)):
        with pytest.raises(ValueError, match="expected a number from 0 to n"):
            wilson_band(right, n)


def test_the_standard_error_is_that_of_the_harness():
    assert standard_error([1, 0, 0, 1]) == pytest.approx(math.sqrt(1 / 3) / 2)
    assert math.isnan(standard_error([1.0]))


@pytest.mark.parametrize("only_a, only_b, p", [
    (0, 0, 1.0), (0, 5, 2 / 32), (1, 7, 2 * 9 / 256), (4, 4, 1.0), (3, 4, 1.0), (0, 1, 1.0),
])  # fmt: skip
def test_mcnemar_is_the_exact_sign_test_of_those_that_differ(only_a, only_b, p):
    a = [True] * only_a + [False] * only_b + [True] * 9 + [False] * 30
    b = [False] * only_a + [True] * only_b + [True] * 9 + [False] * 30
    assert mcnemar(a, b) == pytest.approx(p)
    assert mcnemar(b, a) == pytest.approx(p)


def test_mcnemar_counts_many_documents_of_numpy_arrays():
    a, b = np.zeros(80, bool), np.ones(80, bool)
    assert mcnemar(a, b) == pytest.approx(2 / 2**80)


def test_the_bootstrap_has_the_normal_band_of_many_documents():
    rng = np.random.default_rng(1)
    a, noise = rng.normal(size=400), rng.normal(0.3, 0.5, 400)
    low, high = paired_bootstrap(a, a + noise, seed=2)
    half = 1.96 * noise.std() / math.sqrt(400)
    assert low == pytest.approx(noise.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(noise.mean() + half, abs=0.1 * half)
    assert (low, high) == paired_bootstrap(a, a + noise, seed=2)
    assert (low, high) != paired_bootstrap(a, a + noise, seed=3)


def test_pairing_makes_the_band_narrow():
    """The documents differ by 100, the models by 1: unpaired, that would be chance."""
    a = 100.0 * np.arange(50)
    low, high = paired_bootstrap(a, a + 1)
    assert low == high == 1
