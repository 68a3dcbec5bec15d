"""``evaluate MODEL --data FILE``: the numbers of ``eval --tasks perplexity``, and its refusals."""

import json
import math

import numpy as np
import pytest

from tinygrad_llm import cli
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.pretrained.save import save_pretrained
from tinygrad_llm.tokenizer import Tokenizer

TEXTS = {"a.txt": "def f(x):\n    return x\n", "b.txt": "one two three four five", "c.txt": ""}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a model of random weights and some texts."""
    model = GPT(GPTConfig(vocab_size=257, block_size=8, n_layer=1, n_head=2, n_embd=8), seed=3)
    save_pretrained(model, Tokenizer([]), tmp_path / "model")
    (tmp_path / "texts").mkdir()
    for name, text in TEXTS.items():
        (tmp_path / "texts" / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return model


def evaluated(capsys, *argv):
    assert cli.main(["evaluate", "model", *argv]) == 0
    return capsys.readouterr().out


def nats(model, text, stride):
    """-log p of all bytes after the first: each window of 9 predicts its last ``stride``."""
    ids, total, done = np.array([*text.encode()]), 0.0, 1
    while done < len(ids):
        end = min(9 if done == 1 else done + stride, len(ids))
        part = ids[max(0, end - 9) : end][None].astype(np.int64)
        x, y = part[:, :-1], part[:, 1:].copy()
        y[:, : y.size - (end - done)] = -100
        total += model.loss(x, y, reduction="sum").item()
        done = end
    return total


@pytest.mark.parametrize("stride", [8, 3])
def test_the_numbers(here, capsys, stride):
    argv = ["--data", "texts/a.txt"] + (["--stride", str(stride)] if stride < 8 else [])
    text, model = TEXTS["a.txt"], here.eval()
    n = len(text) - 1  # a byte is a token, and the first has no context
    loss = nats(model, text, stride) / n
    found = json.loads(evaluated(capsys, *argv, "--json"))
    assert found["loss"] == pytest.approx(loss, rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(loss / math.log(2), rel=1e-5)
    assert (found["tokens"], found["bytes"]) == (n, n)
    out = evaluated(capsys, *argv)
    assert f"loss {loss:.4f}, perplexity" in out and f"{n} tokens, {n} bytes" in out
    assert ("moved by 3" in out) == (stride == 3)


def test_several_documents_are_summed_and_their_median_is_shown(here, capsys):
    found = json.loads(evaluated(capsys, "--data", "texts", "--json"))
    parts = found["documents"]
    assert list(parts) == ["a.txt", "b.txt", "c.txt"] and parts["c.txt"]["tokens"] == 0
    total = sum(p["loss"] * p["tokens"] for p in parts.values() if p["tokens"])
    assert found["loss"] == pytest.approx(total / found["tokens"])
    bits = {name: p["bits_per_byte"] for name, p in parts.items() if p["tokens"]}
    out = evaluated(capsys, "--data", "texts")
    assert f"2 documents, median {sum(bits.values()) / 2:.4f} bits per byte" in out
    hardest = max(bits, key=bits.get)
    assert f"hardest: {hardest} {bits[hardest]:.2f}" in out


def test_it_agrees_with_eval(here, capsys):
    found = json.loads(evaluated(capsys, "--data", "texts", "--json", "--stride", "5"))
    argv = "eval model --tasks perplexity --data texts --out results --stride 5"
    assert cli.main(argv.split()) == 0
    with open("results/results.json") as file:
        theirs = json.load(file)["results"]["perplexity"]
    assert theirs["token_perplexity,none"] == pytest.approx(found["perplexity"], rel=1e-9)
    assert theirs["bits_per_byte,none"] == pytest.approx(found["bits_per_byte"], rel=1e-9)


def test_any_source_is_read(here, capsys, tmp_path):
    rows = [{"a": {"b": text}} for text in TEXTS.values() if text] + [{"a": {"c": 1}}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    texts = json.loads(evaluated(capsys, "--data", "texts/[ab].txt", "--json"))
    found = json.loads(evaluated(capsys, "--data", "rows.jsonl", "--field", "a.b", "--json"))
    assert len(found["documents"]) == 2
    assert list(found["documents"].values()) == list(texts["documents"].values())
    out = evaluated(capsys, "--data", "rows.jsonl", "--field", "a.b")
    assert "rows of rows.jsonl have no text in the field a.b" in out and "2 documents, med" in out


@pytest.mark.parametrize(
    "argv, words",
    [
        ("", "evaluate needs a text to predict: --data SOURCE"),
        ("--data nothing", "there is no file or folder 'nothing'; expected one, or one of: stdlib"),
        ("--data texts/c.txt", "has no token to predict"),
        ("--data texts --stride 0", "stride is 0, but must be at least 1"),
        ("--data texts --window 99", "the window is 99, but must be between 2 and 9"),
    ],
)
def test_refusals(here, capsys, argv, words):
    assert cli.main(["evaluate", "model", *argv.split()]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
