"""The same scores from transformers, on the same weights and through its own tokenizer.

The computation here is the plainest there is: each context and choice is one sequence, which is
read by itself, and nothing is shared or batched.
"""

import math
import os
from pathlib import Path

import pytest
from real_models import MODELS, needs_models
from small_mmlu import write_mmlu
from small_models import TEXT, small_model, small_tokenizer

from tinygrad_llm.evals.language_model import LanguageModel
from tinygrad_llm.evals.perplexity import Perplexity
from tinygrad_llm.evals.runner import Settings, metrics_of, prepare, run_items
from tinygrad_llm.evals.tasks import TASKS
from tinygrad_llm.pretrained import load_pretrained, save_pretrained

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

DATA = os.environ.get("TINYGRAD_LLM_TEST_DATA")


class Oracle:
    """transformers' model and tokenizer of a folder."""

    def __init__(self, folder):
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()

    def ids(self, text):
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    @torch.no_grad()
    def log_ps(self, ids):
        """log p of every id after the first."""
        z = self.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        return z[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]

    def score(self, request):
        context, whole = self.ids(request.context), self.ids(request.context + request.continuation)
        return float(self.log_ps(whole)[len(context) - 1 :].sum())

    def perplexity(self, text, window, stride):
        """As in transformers' guide: windows that overlap, of which the new part counts."""
        ids = self.ids(text)
        nats = scored = 0
        end = 1
        while end < len(ids):
            last = min(end + stride if end > 1 else window, len(ids))
            begin = max(0, last - window)
            new = last - end
            nats -= float(self.log_ps(ids[begin:last])[-new:].sum())
            scored, end = scored + new, last
        assert scored == len(ids) - 1
        return math.exp(nats / scored)


def check_choices(task, folder, model, oracle, tolerance, n_items=None):
    items = prepare(task, folder, Settings(), model)[:n_items]
    samples = run_items(task, model, items)
    for item, sample in zip(items, samples, strict=True):
        expected = [oracle.score(request) for request in item.requests]
        found = [response[0][0] for response in sample["resps"]]
        assert found == pytest.approx(expected, abs=tolerance)
        ranked = sorted(expected)
        if ranked[-1] - ranked[-2] > 2 * tolerance:
            assert sample["filtered_resps"] == expected.index(ranked[-1])


@pytest.fixture(scope="module", params=["llama", "gpt2", "qwen3"])
def small(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_pretrained(small_model(request.param), small_tokenizer(), folder)
    model = LanguageModel(small_model(request.param), small_tokenizer(), fused=False)
    return model, Oracle(folder)


def test_choices_of_a_small_model(small, tmp_path):
    write_mmlu(tmp_path, n_test=2)
    check_choices(TASKS["mmlu_completion"], tmp_path, *small, 1e-4)


@pytest.mark.parametrize("window, stride", [(64, 32), (20, 9)])
def test_perplexity_of_a_small_model(small, tmp_path, window, stride):
    model, oracle = small
    (tmp_path / "a.txt").write_text(TEXT * 3)
    check_perplexity(model, oracle, tmp_path / "a.txt", TEXT * 3, window, stride)


def check_perplexity(model, oracle, path, text, window, stride):
    task = Perplexity(window, stride)
    items = prepare(task, path, Settings(), model)
    total = task.total([metrics_of(sample) for sample in run_items(task, model, items)])
    expected = oracle.perplexity(text, window, stride)
    assert total["token_perplexity"] == pytest.approx(expected, rel=1e-4)


# --- a published model ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    if not DATA:
        pytest.skip("TINYGRAD_LLM_TEST_DATA is not set")
    (path,) = [path for path in MODELS if "SmolLM2-135M" in path.name][:1] or [MODELS[0]]
    model, tokenizer = load_pretrained(path)
    folder = tmp_path_factory.mktemp("real")
    save_pretrained(model, tokenizer, folder)
    return LanguageModel(model, tokenizer, fused=False), Oracle(folder)


@needs_models
@pytest.mark.parametrize("name, n_items", [("mmlu", 1), ("mmlu_completion", 2)])
def test_mmlu_of_a_published_model(real, name, n_items):
    check_choices(TASKS[name], Path(DATA), *real, 2e-3, n_items)


@needs_models
def test_perplexity_of_a_published_model(real, tmp_path):
    text = (Path(DATA) / "the-verdict.txt").read_text(encoding="utf-8")[:1500]
    (tmp_path / "verdict.txt").write_text(text, encoding="utf-8")
    check_perplexity(*real, tmp_path / "verdict.txt", text, 256, 128)
