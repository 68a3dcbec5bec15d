"""Generation against transformers' own, on small random models in float64."""

import numpy as np
import pytest
from transformers_models import build, exact

from tinygrad_llm.generation import FINISHED, PromptLookup, generate
from tinygrad_llm.pretrained import load_pretrained

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
pytest.importorskip("transformers", reason="transformers is not installed: nothing to compare with")

PROMPTS = [[5, 9, 2, 61, 7, 7, 30, 12], [44], [3, 3, 8, 0, 16]]
PAD = 3  # also a token
IDS = np.array([[PAD] * (8 - len(p)) + p for p in PROMPTS])
MASK = np.array([[0] * (8 - len(p)) + [1] * len(p) for p in PROMPTS])


@pytest.fixture(scope="module", params=["SmolLM2", "Mistral"])
def models(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    with exact():
        theirs = build(request.param)
        theirs.save_pretrained(directory)
        yield theirs, load_pretrained(directory, "float64")[0]


def text_of_transformers(model, ids, mask, **options):
    return model.generate(
        torch.tensor(ids), attention_mask=torch.tensor(mask), do_sample=False, pad_token_id=PAD,
        max_new_tokens=20, output_logits=True, return_dict_in_generate=True, **options,
    )  # fmt: skip


def test_greedy_text_and_log_probabilities_of_padded_rows(models):
    theirs, ours = models
    expected = text_of_transformers(theirs, IDS, MASK, eos_token_id=None)
    steps = list(generate(ours, IDS, 20, temperature=0, attention_mask=MASK, logprobs=4))
    ids = np.array([step.ids for step in steps])  # (steps, rows)
    np.testing.assert_array_equal(ids, expected.sequences[:, 8:].T)
    for step, logits in zip(steps, expected.logits, strict=True):
        log_p = torch.log_softmax(logits, dim=-1)
        values, top_ids = log_p.topk(4)
        np.testing.assert_array_equal(step.top_ids, top_ids)
        np.testing.assert_allclose(step.top_logprobs, values, rtol=1e-7)
        np.testing.assert_allclose(step.logprobs, log_p[np.arange(3), step.ids], rtol=1e-7)


def test_rows_end_one_by_one(models):
    theirs, ours = models
    plain = np.array(list(generate(ours, IDS, 20, temperature=0, attention_mask=MASK)))
    ends = [int(plain[4, 0]), int(plain[9, 1])]
    expected = text_of_transformers(theirs, IDS, MASK, eos_token_id=ends)
    steps = generate(ours, IDS, 20, temperature=0, attention_mask=MASK, stop_ids=ends)
    ids = np.array(list(steps))
    assert (ids == FINISHED).any()
    np.testing.assert_array_equal(np.where(ids == FINISHED, PAD, ids), expected.sequences[:, 8:].T)


@pytest.mark.parametrize("draft", [None, PromptLookup(3, longest=2, shortest=1)])
def test_penalty_and_bias(models, draft):
    theirs, ours = models
    bias = {7: 0.4, 20: -0.2, 3: 0.1}
    expected = text_of_transformers(
        theirs, IDS[:1], MASK[:1], eos_token_id=None, repetition_penalty=1.2,
        sequence_bias=[[[i], b] for i, b in bias.items()],
    )  # fmt: skip
    options = {"repetition_penalty": 1.2, "logit_bias": bias, "draft": draft}
    ids = np.array(list(generate(ours, IDS[:1], 20, temperature=0, **options)))
    np.testing.assert_array_equal(ids, expected.sequences[:, 8:].T)
    assert len(np.unique(ids)) > 2
