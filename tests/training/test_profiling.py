"""``train --profile`` writes a table and a trace of a few steps, and trains as without it."""

import json

import numpy as np
import pytest

from tinygrad_llm import cli
from tinygrad_llm.commands.console import Pace, step_text
from tinygrad_llm.counts import counted
from tinygrad_llm.machine.speed import sgemm_rates, tokens_at_limit
from tinygrad_llm.model.summary import flops_per_token
from tinygrad_llm.pretrained.gpt2 import load_model
from tinygrad_llm.training.checkpoint import resolve
from tinygrad_llm.training.metrics import read_metrics

SMALL = (
    "--preset tiny "
    "--n-layer 1 --n-head 2 --n-embd 8 --block-size 8 --batch-size 2 --vocab-size 300 "
    "--eval-batches 1 --sample-tokens 0 --data corpus.txt"
).split()


def train(*arguments):
    assert cli.main(["train", *SMALL, *arguments]) == 0


@pytest.mark.parametrize("steps, profiled", [(6, 3), (3, 2), (1, 1)])
def test_the_table_and_the_trace_hold_the_steps(here, capsys, steps, profiled):
    train("--steps", str(steps), "--profile", "--out", "run")
    out = capsys.readouterr().out
    assert f"profile of {counted(profiled, 'step')};" in out

    table = (here / "run" / "profile.txt").read_text()
    for op in ("Linear", "CausalAttention", "LinearCrossEntropy", "LayerNorm"):
        assert op in table and op in out
    assert "model/gpt.py" in table and "ms observed" in table

    events = json.loads((here / "run" / "trace.json").read_text())["traceEvents"]
    passes = [e["cat"] for e in events if e["name"] == "CausalAttention"]
    assert passes == ["forward", "backward"] * profiled


def test_training_is_the_same_with_and_without(here):
    train("--steps", "5", "--out", "plain")
    train("--steps", "5", "--out", "watched", "--profile")
    plain, watched = (load_model(resolve(here / name)).state_dict() for name in PLACES)
    assert all(np.array_equal(plain[name], watched[name]) for name in plain)
    losses = [
        [m.get("train_loss") for m in read_metrics(here / n / "metrics.jsonl")] for n in PLACES
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 6
    assert not (here / "plain" / "profile.txt").exists()


PLACES = ("plain", "watched")


def test_a_line_of_training_shows_the_share_of_peak(here, capsys):
    train("--steps", "2")
    out = capsys.readouterr().out
    assert "GFLOP/s: at most" in out and "% of peak)" in out


def test_the_share_is_the_rate_over_the_peak():
    line = {"step": 1, "train_loss": 3.0, "tokens_per_second": 300.0}
    for peak, shown in ((400.0, "300 tokens/s (75% of peak)  "), (None, "300 tokens/s  ")):
        pace = Pace(0, 10, peak)
        pace.add(line, 3.0)
        assert shown in step_text(pace)


def test_tokens_at_the_limit():
    config = cli.TrainConfig().model_config()
    assert tokens_at_limit(config, 3e9 * flops_per_token(config, 256)) == pytest.approx(3e9)
    rates = sgemm_rates(64, repeats=2)
    assert len(rates) == 2 and all(1e6 < rate < 1e15 for rate in rates)
