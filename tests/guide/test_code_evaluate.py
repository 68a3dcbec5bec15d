"""The guide's evaluation equals the package's: scores, prompts, numbers in texts, pass@k."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from guide_code import both_models, module
from hypothesis import given, settings, strategies as st

from tinygrad_llm.evals.bands import wilson_band
from tinygrad_llm.evals.encoding import Pair
from tinygrad_llm.evals.gsm8k import GSM8K, extract_answer
from tinygrad_llm.evals.humaneval import pass_at_k
from tinygrad_llm.evals.mmlu import LETTERS, MMLU, MMLUCompletion
from tinygrad_llm.evals.requests import Score
from tinygrad_llm.evals.scorer import Scorer
from tinygrad_llm.evals.task import Document
from tinygrad_llm.generation import Decoder

evaluate = module("evaluate")
WORDS = st.text("abcxyz .,?", min_size=1, max_size=15).filter(str.strip)
QUESTIONS = st.tuples(WORDS, st.lists(WORDS, min_size=4, max_size=4), st.integers(0, 3))

# --- scores of choices ----------------------------------------------------------------------------


def scored(package, pairs):
    """The package's log p of each continuation."""
    found = {}
    for batch in Scorer(Decoder(package)).scores(pairs):
        found |= {number: logp for number, (logp, _) in batch.items()}
    return [found[number] for number in range(len(pairs))]


@pytest.fixture(scope="module")
def models():
    return both_models(np.float32, block_size=16)


def test_continuations_have_the_packages_scores(models):
    package, guide = models
    rng = np.random.default_rng(0)
    pairs = [
        Pair(rng.integers(0, 23, n).tolist(), rng.integers(0, 23, m).tolist())
        for n, m in rng.integers(1, 8, (40, 2))
    ]
    found = [evaluate.logp(guide, *pair) for pair in pairs]
    np.testing.assert_allclose(found, scored(package, pairs), rtol=1e-4)


@pytest.mark.parametrize("per_token", [False, True])
def test_the_same_choice_is_taken(models, per_token):
    package, guide = models
    rng, taken = np.random.default_rng(1), set()
    for _ in range(40):
        context = rng.integers(0, 23, 6).tolist()
        choices = [rng.integers(0, 23, n).tolist() for n in rng.integers(1, 6, 4)]
        logps = scored(package, [Pair(context, choice) for choice in choices])
        answers = [Score(p, len(c)) for p, c in zip(logps, choices, strict=True)]
        best = evaluate.choose(guide, context, choices, per_token)
        # the package says whether the gold choice is best: ask with each as gold
        metric = "acc_norm_token" if per_token else "acc"
        for gold in range(4):
            document = Document("", tuple("abcd"), gold)
            verdict = MMLUCompletion().verdict(document, answers)
            assert verdict.metrics[metric] == float(gold == best)
        taken.add(best)
    assert taken == {0, 1, 2, 3}


@given(QUESTIONS, st.lists(QUESTIONS, max_size=5), st.sampled_from(["law", "world_history"]))
@settings(max_examples=50, deadline=None)
def test_mmlus_prompt_is_the_packages(question, shots, subject):
    def document(q, choices, answer):
        return Document(q, tuple(choices), answer, group=subject)

    expected = MMLU().context(document(*question), [document(*shot) for shot in shots])
    assert evaluate.letter_prompt(subject.replace("_", " "), *question[:2], shots) == expected
    assert tuple(evaluate.LETTERS) == LETTERS


# --- numbers in texts -----------------------------------------------------------------------------


def packages_number(text, strict):
    found = extract_answer(text, "strict" if strict else "flexible")
    return None if found is None else Fraction(found)


# Numbers with all their separators, a mark, and words; nothing like $-5, 3-5, .5 or 1/2 (below)
PIECES = st.one_of(
    st.integers(-(10**7), 10**7).map(str),
    st.integers(-(10**7), 10**7).map("{:,}".format),
    st.decimals(-9999, 9999, places=2).map(str),
    st.sampled_from(["####", "the answer is", "so", "(", ")", "=", "x", "eggs.", "\n", "####x"]),
)


@given(st.lists(PIECES, max_size=8).map(" ".join), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_text_of_words_and_numbers_gives_the_packages_answer(text, strict):
    assert evaluate.extract_number(text, strict) == packages_number(text, strict)


@pytest.mark.parametrize(
    "text, number, strict",
    [
        ("It is 5.\n#### 1,000", 1000, 1000),
        ("####42", 42, 42),
        ("#### -3.50 dollars", Fraction(-7, 2), Fraction(-7, 2)),
        ("first 3, then 18.", 18, None),
        ("#### none, but 7", 7, None),
        ("#### 1 and #### 2", 1, 1),
        ("It costs $1,234.50", Fraction(2469, 2), None),
        ("no number", None, None),
    ],
)
def test_the_number_of_an_answer(text, number, strict):
    assert evaluate.extract_number(text) == number == packages_number(text, False)
    assert evaluate.extract_number(text, strict=True) == strict == packages_number(text, True)


@pytest.mark.parametrize(
    "text, guide, package",
    [("7-3", -3, "3"), ("-$5", 5, "-5"), ("1/2", 2, "1/2"), ("\u0663", 3, "3"), (".5", 5, ".5")],
)
def test_where_the_guides_rule_is_deliberately_simpler(text, guide, package):
    """Differences, minus before the currency, fractions and numbers without a 0 before the dot."""
    assert evaluate.extract_number(text) == guide
    assert extract_answer(text, "flexible") == package


@pytest.mark.skipif(
    "TINYGRAD_LLM_TEST_DATA" not in os.environ, reason="TINYGRAD_LLM_TEST_DATA is not set"
)
def test_every_solution_of_gsm8k_gives_the_packages_answer():
    documents = GSM8K().documents(Path(os.environ["TINYGRAD_LLM_TEST_DATA"]))
    assert len(documents) > 1000
    for document in documents:
        assert evaluate.extract_number(document.fields["answer"], True) == Fraction(document.target)


# --- statistics -----------------------------------------------------------------------------------


@given(
    st.integers(1, 60).flatmap(
        lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))
    )
)
@settings(deadline=None)
def test_pass_at_k_is_the_packages(n_c_k):
    assert evaluate.pass_at_k(*n_c_k) == pass_at_k(*n_c_k)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(deadline=None)
def test_the_band_is_the_packages_but_for_the_digits_of_z(right_n):
    """1.96 instead of 1.959964; at 0 and 1 the package writes the end exactly."""
    np.testing.assert_allclose(evaluate.band(*right_n), wilson_band(*right_n), rtol=1e-4, atol=1e-5)
