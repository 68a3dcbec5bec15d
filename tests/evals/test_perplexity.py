"""Perplexity of texts: sums are divided once, and bytes are those of the tokens."""

import math

import numpy as np
import pytest
from known_scores import NO_LIMITS, score_of
from small_models import TEXT, small_model, small_tokenizer

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.language_model import LanguageModel
from tinygrad_llm.evals.perplexity import Perplexity
from tinygrad_llm.evals.runner import Settings, metrics_of, prepare, run_items
from tinygrad_llm.training.evaluation import evaluate, whole


def measured(folder, **options):
    task = Perplexity(**options)
    model = LanguageModel(small_model("gpt2"), small_tokenizer(), fused=False)
    items = prepare(task, folder, Settings(), model)
    return task.total([metrics_of(sample) for sample in run_items(task, model, items)])


def test_a_text_is_measured_as_training_measures_it(tmp_path):
    """With full windows alone, evaluate() of the trainer is another path to the same figure."""
    text, encode = f"é{TEXT * 9}", small_tokenizer().encode
    text = next(text[:n] for n in range(300, len(text)) if len(encode(text[:n])) % 64 == 1)
    (tmp_path / "a.txt").write_text(text)
    found = measured(tmp_path)
    ids = np.array(encode(text))
    assert len(ids) > 2 * 64
    batches = whole(ids, 64, 4)
    expected = evaluate(small_model("gpt2"), batches, small_tokenizer().token_bytes())
    assert found["token_perplexity"] == pytest.approx(expected.perplexity, rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(expected.bits_per_byte, rel=1e-6)
    assert found["byte_perplexity"] == pytest.approx(2 ** found["bits_per_byte"])


def test_a_short_text_counts_by_its_tokens(tmp_path):
    """Not as much as a long one: the sums over all texts are divided, once."""
    task = Perplexity()
    verdicts = [
        {"nats": 100.0, "tokens": 50, "bytes": 200, "words": 40, "bits_per_byte": 0},
        {"nats": 9.0, "tokens": 1, "bytes": 4, "words": 1, "bits_per_byte": 0},
    ]
    total = task.total(verdicts)
    assert total["token_perplexity"] == pytest.approx(math.exp(109 / 51))
    assert total["bits_per_byte"] == pytest.approx(109 / 204 / math.log(2))
    assert total["word_perplexity"] == pytest.approx(math.exp(109 / 41))


def test_the_options_change_what_is_scored(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT * 3)
    plain, prefix = measured(tmp_path), measured(tmp_path, prefix=True)
    close = measured(tmp_path, window=16, stride=1)
    far = measured(tmp_path, window=16)
    assert len({found["token_perplexity"] for found in (plain, prefix, close, far)}) == 4


def test_a_single_file_and_a_folder(tmp_path):
    (tmp_path / "b.txt").write_text(TEXT)
    (tmp_path / "a.txt").write_text("the cat")
    assert [d.fields["file"] for d in Perplexity().documents(tmp_path)] == ["a.txt", "b.txt"]
    assert [d.fields["file"] for d in Perplexity().documents(tmp_path / "b.txt")] == ["b.txt"]


def test_the_oracle_has_perplexity_one(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    assert score_of("oracle", Perplexity(), tmp_path)[0] == 1


@pytest.mark.parametrize("text", ["", "a"])
def test_a_text_of_which_no_token_is_scored_is_a_sentence(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(UserError, match="no token of the texts is scored, .* or --prefix$"):
        measured(tmp_path)


def test_a_word_without_end_has_no_perplexity():
    """More than exp(700) is no number."""
    verdict = {"nats": 900.0, "tokens": 300, "bytes": 900, "words": 1, "bits_per_byte": 1.4}
    total = Perplexity().total([verdict])
    assert list(total) == ["token_perplexity", "bits_per_byte", "byte_perplexity"]


def test_no_text_and_no_utf8_are_sentences(tmp_path):
    with pytest.raises(UserError, match=r"has no text: expected a file, or a folder with files"):
        prepare(Perplexity(), tmp_path, Settings(), NO_LIMITS)
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match="a.txt is not text: byte 3 is not UTF-8"):
        prepare(Perplexity(), tmp_path, Settings(), NO_LIMITS)
