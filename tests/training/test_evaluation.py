"""Loss, perplexity and bits per byte, by hand; metrics files; the plot; the two consoles."""

import io
import json
import math

import numpy as np
import pytest

from tinygrad_llm.commands.console import PlainConsole, TerminalConsole, clock, make_console
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.training.evaluation import (
    Evaluation,
    evaluate,
    evaluate_documents,
    fixed_part,
    median_bits_per_byte,
    whole,
)
from tinygrad_llm.training.metrics import MetricsWriter, is_finished, read_metrics, truncate
from tinygrad_llm.training.next_tokens import NextTokens
from tinygrad_llm.training.plot import plot_loss, smooth

CONFIG = GPTConfig(vocab_size=11, block_size=6, n_layer=1, n_head=2, n_embd=8, dropout=0.5)
TOKENS = np.random.default_rng(0).integers(0, 11, 100).astype(np.uint16)
TOKEN_BYTES = np.array([1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 0])


def test_evaluation_equals_the_definition():
    model = GPT(CONFIG, seed=3).astype(np.float64)
    result = evaluate(model, whole(TOKENS, 6, 4), TOKEN_BYTES)

    nats, scored = 0.0, []
    model.eval()
    for start in range(0, 99, 6):
        x, y = TOKENS[start : start + 6], TOKENS[start + 1 : start + 7]
        logits = model(x[None, : len(y)].astype(np.int64)).data[0]
        p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        nats -= np.log(p[np.arange(len(y)), y]).sum()
        scored.extend(y)
    assert scored == TOKENS[1:].tolist()
    n_bytes = int(TOKEN_BYTES[scored].sum())
    assert (result.tokens, result.bytes) == (99, n_bytes)
    assert result.loss == pytest.approx(nats / 99, rel=1e-12)
    assert result.perplexity == pytest.approx(math.exp(nats / 99), rel=1e-12)
    assert result.bits_per_byte == pytest.approx(nats / math.log(2) / n_bytes, rel=1e-12)


def test_each_document_is_scored_up_to_the_id_that_ends_it():
    model = GPT(CONFIG, seed=3).astype(np.float64)
    end = 10
    bounds = [1, *(np.flatnonzero(TOKENS[1:] == end) + 2), len(TOKENS)]
    assert len(bounds) > 5 and TOKENS[-1] != end  # the last document is cut
    parts = evaluate_documents(model, whole(TOKENS, 6, 4), TOKEN_BYTES, end)

    model.eval()
    nats = [
        loss
        for x, y in whole(TOKENS, 6, 1)
        for loss in model.loss(x, y, reduction="none").data[y != -100]
    ]
    expected = [
        Evaluation(sum(nats[a - 1 : b - 1]), b - a, int(TOKEN_BYTES[TOKENS[a:b]].sum()))
        for a, b in zip(bounds, bounds[1:], strict=False)
    ]
    assert [(p.tokens, p.bytes) for p in parts] == [(e.tokens, e.bytes) for e in expected]
    assert [p.nats for p in parts] == pytest.approx([e.nats for e in expected], rel=1e-12)
    whole_text = evaluate(model, whole(TOKENS, 6, 4), TOKEN_BYTES)
    assert Evaluation.total(parts).nats == pytest.approx(whole_text.nats, rel=1e-12)


def test_the_median_is_over_documents_that_have_bytes():
    documents = [Evaluation(bits * math.log(2) * 8, 5, 8) for bits in (1.0, 9.0, 2.0)]
    assert median_bits_per_byte([*documents, Evaluation(7.0, 1, 0)]) == pytest.approx(2.0)
    assert math.isnan(median_bits_per_byte([Evaluation(7.0, 1, 0)]))


def test_evaluation_draws_no_random_number_and_restores_the_mode():
    model = GPT(CONFIG, seed=3)
    before = model.rng.bit_generator.state
    for mode in (True, False):
        model.train(mode)
        first = evaluate(model, whole(TOKENS, 6, 4), TOKEN_BYTES)
        assert evaluate(model, whole(TOKENS, 6, 4), TOKEN_BYTES) == first
        assert model.training is mode
    assert model.rng.bit_generator.state == before


def test_nothing_scored_and_huge_losses_are_numbers():
    nothing = Evaluation(0.0, 0, 0)
    assert math.isnan(nothing.loss) and math.isnan(nothing.bits_per_byte)
    assert Evaluation(1e6, 10, 10).perplexity == math.inf


def test_the_fixed_part_is_spread_and_always_the_same():
    tokens = np.arange(1001)
    batches = list(fixed_part(tokens, block_size=10, batch_size=2, batches=5))
    assert [x.shape for x, _ in batches] == [(2, 10)] * 5
    starts = np.concatenate([x[:, 0] for x, _ in batches])
    np.testing.assert_array_equal(starts, np.arange(0, 1000, 100))
    for x, y in batches:
        np.testing.assert_array_equal(y, x + 1)
    short = list(fixed_part(tokens[:35], block_size=10, batch_size=2, batches=5))
    assert sum(int((y >= 0).sum()) for _, y in short) == 34  # a short text is scored whole


# --- metrics -------------------------------------------------------------------------------------


def write(path, *lines):
    with MetricsWriter(path) as metrics:
        for line in lines:
            metrics.write(line)


def test_metrics_round_trip(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == [] and not is_finished(path)
    write(path, {"step": 1, "train_loss": 2.5}, {"step": 2, "train_loss": math.nan})
    assert read_metrics(path) == [{"step": 1, "train_loss": 2.5}, {"step": 2, "train_loss": None}]
    write(path, {"step": 2, "val_loss": 1.0, "final": True})  # a second writer appends
    assert is_finished(path) and len(read_metrics(path)) == 3


def test_a_torn_line_is_dropped_and_later_steps_are_truncated(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, *({"step": i, "train_loss": 1 / i} for i in range(1, 9)))
    with open(path, "a") as file:
        file.write('{"step": 9, "train_l')
    assert [m["step"] for m in read_metrics(path)] == list(range(1, 9))
    truncate(path, 5)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3, 4, 5]
    write(path, {"step": 6, "train_loss": 0.1})
    assert [m["step"] for m in read_metrics(path)] == [1, 2, 3, 4, 5, 6]
    write(path, {"step": 6, "final": True})
    truncate(path, 6)
    assert not is_finished(path)


def test_truncate_changes_no_number(tmp_path):
    path = tmp_path / "metrics.jsonl"
    values = np.random.default_rng(0).normal(size=20).tolist()
    write(path, *({"step": i, "train_loss": v} for i, v in enumerate(values)))
    before = path.read_bytes()
    truncate(path, 100)
    assert path.read_bytes() == before


@pytest.mark.parametrize("line", ["not json", "[1]", '{"loss": 1}', "\xff"])
def test_a_foreign_metrics_file(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line.encode("latin-1") + b"\n")
    with pytest.raises(UserError, match="line 2 of"):
        read_metrics(path)


# --- what is shown -------------------------------------------------------------------------------

LINES = [
    {"step": i, "train_loss": 5 - i / 10, "lr": 1e-3, "grad_norm": 1.0, "tokens_per_second": 1e4}
    for i in range(1, 21)
]
EVALUATED = {"val_loss": 3.5, "val_perplexity": 33.1, "val_bits_per_byte": 1.9}


def test_smoothing_keeps_constants_and_lines():
    np.testing.assert_allclose(smooth(np.full(50, 3.0)), 3.0)
    line = np.linspace(5, 1, 400)
    np.testing.assert_allclose(smooth(line)[50:-50], line[50:-50], rtol=1e-9)  # it does not lag
    noisy = np.random.default_rng(0).normal(size=2000)
    assert smooth(noisy).std() < 0.3 * noisy.std()
    assert len(smooth(np.ones(1))) == 1


@pytest.mark.parametrize("case", ["whole", "no final", "no validation", "empty"])
def test_the_plot_is_a_picture(tmp_path, case):
    metrics = [dict(line) for line in LINES]
    metrics[3]["train_loss"] = None
    if case in ("whole", "no final"):
        metrics[9].update(EVALUATED)
        metrics[19].update(EVALUATED)
    if case == "whole":
        metrics.append({"step": 20, **EVALUATED, "final": True})
    path = tmp_path / "loss.png"
    plot_loss([] if case == "empty" else metrics, path, "a title")
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000
    assert [p.name for p in tmp_path.iterdir()] == ["loss.png"]


def test_plain_lines_at_the_start_and_at_evaluations():
    stream = io.StringIO()
    console = make_console(stream)
    assert type(console) is PlainConsole
    console.start(0, 20)
    for line in LINES:
        line = line | EVALUATED if line["step"] % 10 == 0 else line
        console.step(line, line["train_loss"], NextTokens.note(line))
    console.stop()
    shown = stream.getvalue().splitlines()
    assert [line.split()[1] for line in shown] == ["1/20", "10/20", "20/20"]
    assert "10,000 tokens/s" in shown[0] and "left" in shown[0]
    assert "loss 3.5000, perplexity 33.1, 1.900 bits per byte" in shown[1]


def test_the_terminal_shows_a_bar_and_plain_text_unchanged():
    stream = io.StringIO()
    stream.isatty = lambda: True
    console = make_console(stream)
    assert type(console) is TerminalConsole
    console.say("[bold]not markup[/] 12")
    with console.progress("working") as progress:
        progress(1, 2)
    console.start(0, 20)
    for line in LINES:
        console.step(line, line["train_loss"], NextTokens.note(line))
    line = LINES[-1] | EVALUATED
    console.step(line, line["train_loss"], NextTokens.note(line))
    console.stop()
    console.stop()  # harmless
    assert "[bold]not markup[/] 12" in stream.getvalue()
    assert "1.900 bits per byte" in stream.getvalue()


def test_clock():
    assert [clock(s) for s in (0, 65, 3599.6, 3665)] == ["0:00", "1:05", "1:00:00", "1:01:05"]
