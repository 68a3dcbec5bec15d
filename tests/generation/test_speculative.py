"""Speculative decoding: the same text, the same distribution, fewer passes of the model."""

import math

import numpy as np
import pytest

from tinygrad_llm.config import GPTConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation import DraftModel, PromptLookup, Sampler, generate, speculative
from tinygrad_llm.generation.penalties import Penalties, PenaltyOptions
from tinygrad_llm.generation.rows import Row
from tinygrad_llm.model import GPT


def small_gpt(seed, block_size=24, vocab_size=17):
    config = GPTConfig(vocab_size, block_size, n_layer=2, n_head=2, n_embd=8)
    model, rng = GPT(config).eval(), np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.assign_(parameter.data + 0.5 * rng.standard_normal(parameter.shape))
    return model


def ids_of(steps):
    return [int(new) for (new,) in steps]


# --- greedy: token for token ----------------------------------------------------------------

DRAFTS = {
    "another model": lambda: DraftModel(small_gpt(1)),
    "a model with a shorter context and more ids": lambda: DraftModel(small_gpt(1, 5, 30)),
    "the model itself": lambda: DraftModel(small_gpt(0), n_tokens=3),
    "prompt lookup": lambda: PromptLookup(),
    "prompt lookup by one id": lambda: PromptLookup(n_tokens=3, longest=2, shortest=1),
}


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"repetition_penalty": 1.3, "frequency_penalty": 0.2, "presence_penalty": 0.1},
        {"logit_bias": {3: 2.0}, "unused_ids": [16, 0], "stop_ids": [5]},
    ],
    ids=["plain", "penalties", "bias and stop ids"],
)
def test_greedy_text_is_the_model_s_own(draft, options):
    model, draft = small_gpt(0), DRAFTS[draft]()
    for prompt in ([3], [1, 2, 1, 2, 1], list(range(12))):
        # the last tokens lie past block_size
        plain = ids_of(generate(model, [prompt], 40, temperature=0, **options))
        text = ids_of(generate(model, [prompt], 40, temperature=0, draft=draft, **options))
        assert text == plain


def test_a_draft_may_lack_unused_ids():
    model, draft = small_gpt(0), DraftModel(small_gpt(1, vocab_size=16))
    for options in ({"temperature": 0}, {"seed": 3}):
        ids = ids_of(generate(model, [[3]], 20, unused_ids=[16], draft=draft, **options))
        assert len(ids) == 20 and draft.counts.proposed > 0
        if "seed" not in options:
            assert ids == ids_of(generate(model, [[3]], 20, unused_ids=[16], **options))


def test_a_draft_equal_to_the_model_is_always_right():
    model = small_gpt(0)
    draft = DraftModel(model, n_tokens=4)
    assert len(ids_of(generate(model, [[3]], 11, temperature=0, draft=draft))) == 11
    # one token alone, then twice four proposals and one more
    assert draft.counts == speculative.Counts(passes=3, proposed=8, accepted=8)
    list(generate(model, [[3]], 10, seed=0, draft=draft))
    # nine tokens are left after the first: four and one, then three and one
    assert draft.counts == speculative.Counts(passes=3, proposed=7, accepted=7)


def test_a_draft_that_is_always_wrong_costs_nothing_but_its_proposals():
    def counter(step):
        return lambda ids: np.where(np.arange(10) == (ids[:, -1:] + step) % 10, 0.0, -99.0)

    draft = DraftModel(counter(2), n_tokens=3, block_size=50)
    steps = generate(counter(1), [[0]], 5, block_size=50, temperature=0, draft=draft)
    assert ids_of(steps) == [1, 2, 3, 4, 5]
    assert draft.counts == speculative.Counts(passes=5, proposed=3 + 2 + 1, accepted=0)


def test_the_end_of_a_row_drops_the_proposals_after_it():
    def model(ids):
        return np.where(np.arange(10) == (ids[:, -1:] + 1) % 10, 0.0, -99.0)

    asked = []

    def stop(row, token):
        asked.append((row, token))
        return token == 4

    options = {"block_size": 50, "temperature": 0, "stop": stop}
    draft = DraftModel(model, n_tokens=5, block_size=50)
    assert ids_of(generate(model, [[0]], 20, draft=draft, **options)) == [1, 2, 3, 4]
    assert asked == [(0, 1), (0, 2), (0, 3), (0, 4)] and draft.counts.accepted == 3


def test_log_probabilities_are_the_model_s_own():
    model = small_gpt(0)
    plain = list(generate(model, [[3, 4]], 12, temperature=0, logprobs=2))
    draft = DraftModel(small_gpt(1))
    for one, two in zip(
        plain, generate(model, [[3, 4]], 12, temperature=0, logprobs=2, draft=draft), strict=True
    ):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)


# --- sampled: the same distribution ---------------------------------------------------------

V = 4
TABLES = {name: np.random.default_rng(i).normal(0, 1.8, (V, V, V)) for i, name in enumerate("pq")}


def model_of(name):
    """A model whose next id depends on the last two."""
    return lambda ids: TABLES[name][ids[:, -2], ids[:, -1]]


def chi_square(draft, options, n_texts=120, length=62):
    """Pearson's statistic of the drawn ids against the model's own distribution, as a z-value.

    For each pair of ids, those that follow it are independent draws from one distribution. The
    cube root of a chi-square variable is nearly normal (Wilson and Hilferty 1931).
    """
    sampler, counts = Sampler(**options), np.zeros((V, V, V))
    rng = np.random.default_rng(7)
    for _ in range(n_texts):
        steps = generate(
            model_of("p"), [[0, 1]], length, block_size=64, rng=rng, draft=draft, **options
        )
        ids = [0, 1, *ids_of(steps)]
        np.add.at(counts, (ids[:-2], ids[1:-1], ids[2:]), 1)
    statistic, freedom = 0.0, 0
    for a in range(V):
        for b in range(V):
            stay, p = sampler.distribution(TABLES["p"][a, b])
            assert counts[a, b].sum() == counts[a, b, stay].sum()  # nothing that the rules remove
            expected = counts[a, b].sum() * p / p.sum()
            if expected.min() >= 5:  # below, the statistic is not chi-square
                statistic += ((counts[a, b, stay] - expected) ** 2 / expected).sum()
                freedom += len(stay) - 1
    assert freedom > 10
    spread = 2 / (9 * freedom)
    return ((statistic / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)


SAMPLED = {
    "a model": (lambda: DraftModel(model_of("q"), 3, block_size=64), {}),
    "a model, with rules": (
        lambda: DraftModel(model_of("q"), 3, block_size=64),
        {"temperature": 0.8, "top_k": 3, "top_p": 0.95},
    ),
    "prompt lookup": (lambda: PromptLookup(3, longest=2, shortest=1), {}),
}


@pytest.mark.parametrize("case", SAMPLED)
def test_the_distribution_is_the_model_s_own(case):
    make, options = SAMPLED[case]
    draft = make()
    assert abs(chi_square(draft, options)) < 3.5
    assert 0 < draft.counts.accepted < draft.counts.proposed


WRONG_RULES = {
    "every proposal stands": ("accepts", lambda p, proposal, u: True),
    "the ratio upside down": (
        "accepts",
        lambda p, x, u: u * speculative.probability(p, x.id) < speculative.probability(x.q, x.id),
    ),
    "accepted with probability p(x)": (
        "accepts",
        lambda p, x, u: u < speculative.probability(p, x.id),
    ),
    "a rejected proposal is replaced from p": ("residual", lambda p, q: p),
}


@pytest.mark.parametrize("rule", WRONG_RULES)
def test_a_wrong_rule_is_seen(rule, monkeypatch):
    monkeypatch.setattr(speculative, *WRONG_RULES[rule])
    assert chi_square(SAMPLED["a model"][0](), {}) > 5


def test_the_residual_is_what_p_has_more_than_q():
    p, q = (np.array([0, 2, 5]), np.array([2.0, 2.0, 4.0])), (np.array([2, 3]), np.ones(2))
    ids, left = speculative.residual(p, q)  # 1/4, 1/4, 1/2 against 0, 1/2, 0
    assert ids.tolist() == [0, 2, 5] and left.tolist() == [0.25, 0, 0.5]
    ids, left = speculative.residual(p, (np.array([5]), np.array([0.1])))
    assert left.tolist() == [0.25, 0.25, 0]


def test_p_equal_to_q_has_no_residual_and_is_always_accepted():
    ids, values = np.array([1, 4]), np.array([1.0, 3.0])
    assert speculative.accepts((ids, values), speculative.Proposal(4, (ids, 2 * values)), 0.9999)
    same, left = speculative.residual((ids, values), (ids, 2 * values))
    np.testing.assert_array_equal(same, ids)
    np.testing.assert_array_equal(left, [0.25, 0.75])


# --- prompt lookup --------------------------------------------------------------------------


def looked_up(lookup, ids, at_most=99):
    row = Row(ids, Penalties(ids, PenaltyOptions()))
    return [p.id for p in lookup.propose(row, at_most, Sampler(), float, 100)]


def test_lookup_takes_the_longest_match_and_of_equals_the_latest():
    assert looked_up(PromptLookup(2), [1, 2, 3, 7, 8, 2, 3, 9, 1, 2, 3]) == [7, 8]
    assert looked_up(PromptLookup(2), [2, 3, 7, 5, 2, 3, 9, 5, 1, 2, 3]) == [9, 5]
    assert looked_up(PromptLookup(), [1, 2, 3, 4]) == []
    assert looked_up(PromptLookup(), [3, 1, 3]) == []  # one id is too short a match
    assert looked_up(PromptLookup(shortest=1), [3, 1, 3]) == [1, 3]
    assert looked_up(PromptLookup(), [5, 5, 5]) == [5]
    assert looked_up(PromptLookup(), [1, 2, 3, 4, 1, 2], at_most=1) == [3]
    assert looked_up(PromptLookup(), [1]) == []


def test_lookup_follows_a_growing_text_and_forgets_it_at_the_next():
    lookup = PromptLookup(2)
    lookup.begin(20)
    text = [1, 2, 3, 1, 2]
    assert looked_up(lookup, text) == [3, 1]
    text += [4, 9, 1, 2]
    assert looked_up(lookup, text) == [4, 9]
    lookup.begin(20)
    assert looked_up(lookup, [8, 1, 2]) == []


# --- refused --------------------------------------------------------------------------------


def test_drafts_that_cannot_work_are_refused():
    for make in (lambda: PromptLookup(0), lambda: DraftModel(small_gpt(0), n_tokens=0)):
        with pytest.raises(UserError, match="0 tokens proposes nothing"):
            make()
    for longest, shortest in ((1, 2), (3, 0)):
        with pytest.raises(UserError, match=f"shortest match is {shortest}"):
            PromptLookup(longest=longest, shortest=shortest)
    for ids, n in (([[1], [2]], 1), ([[1]], 2)):
        with pytest.raises(UserError, match="one sequence at a time, and here are 2"):
            generate(small_gpt(0), ids, 3, n=n, draft=PromptLookup())
