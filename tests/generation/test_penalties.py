"""What changes logits before sampling."""

import numpy as np
import pytest

from tinygrad_llm.generation.penalties import Penalties, PenaltyOptions

LOGITS = np.float32([2.0, -1.0, 0.5, 4.0, -3.0])


def changed(prompt=(), generated=(), logits=LOGITS, **options):
    penalties = Penalties(prompt, PenaltyOptions(**options))
    penalties.apply(logits)
    for token in generated:
        penalties.add(token)
    return penalties.apply(logits)


def test_without_options_logits_are_the_same_array():
    assert changed([0, 1], [2, 2]) is LOGITS


def test_repetition_penalty_counts_prompt_and_answer_once_per_id():
    new = changed([0, 0, 1], [4, 4, 0], repetition_penalty=2.0)
    np.testing.assert_array_equal(new, np.float32([1.0, -2.0, 0.5, 4.0, -6.0]))
    assert new.dtype == np.float32


def test_presence_and_frequency_penalties_count_generated_ids_only():
    options = {"presence_penalty": 0.25, "frequency_penalty": 0.5}
    new = changed([0, 1], [2, 2, 4], **options)
    np.testing.assert_array_equal(new - LOGITS, np.float32([0, 0, -1.25, 0, -0.75]))
    new = changed([0, 1], [2, 2, 4], presence_penalty=0.25)
    np.testing.assert_array_equal(new - LOGITS, np.float32([0, 0, -0.25, 0, -0.25]))
    new = changed([0, 1], [2, 2, 4], frequency_penalty=-0.5)
    np.testing.assert_array_equal(new - LOGITS, np.float32([0, 0, 1.0, 0, 0.5]))


def test_the_order_is_bias_repetition_frequency_and_presence():
    options = {"presence_penalty": 0.25, "frequency_penalty": 0.5, "repetition_penalty": 2.0}
    new = changed([1], [2], logit_bias={2: 3.5, 1: 2.0, 0: -np.inf}, unused_ids=[3], **options)
    np.testing.assert_array_equal(new, [-np.inf, 0.5, 4 / 2 - 0.75, -np.inf, -3])


def test_the_model_s_logits_are_not_changed():
    before = LOGITS.copy()
    changed([0], [1], repetition_penalty=2.0, presence_penalty=1.0, logit_bias={0: 1.0})
    np.testing.assert_array_equal(LOGITS, before)


def test_an_id_can_be_taken_back():
    options = PenaltyOptions(repetition_penalty=2.0, frequency_penalty=0.5)
    penalties = Penalties([0], options)
    before = penalties.apply(LOGITS)
    penalties.add(0)
    penalties.add(3)
    assert (penalties.apply(LOGITS) != before)[[0, 3]].all()
    penalties.add(0, -1)
    penalties.add(3, -1)
    np.testing.assert_array_equal(penalties.apply(LOGITS), before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_are_those_of_transformers(dtype):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    rng = np.random.default_rng(0)
    logits, ids = rng.normal(0, 3, 500).astype(dtype), rng.integers(0, 500, 60)
    bias = {7: 2.5, 20: -1.0}
    scores, tokens = torch.tensor(logits[None]), torch.tensor(ids[None])
    for processor in (
        transformers.SequenceBiasLogitsProcessor([[[i], b] for i, b in bias.items()]),
        transformers.RepetitionPenaltyLogitsProcessor(1.3),
    ):
        scores = processor(tokens, scores)
    new = changed(ids[:30], ids[30:], logits, repetition_penalty=1.3, logit_bias=bias)
    np.testing.assert_allclose(new, scores[0].numpy(), rtol=1e-6 if dtype == "float32" else 1e-14)
