"""``--precision bf16`` and ``--activations bf16``: what runs in it, going on, what is refused."""

import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from kept_run import copy_run, make_run
from small_trainer import SHAPE, options, trainer, weights

from autograd import use_kernels
from autograd.kernels import product
from autograd.precision import current_precision
from tinygrad_llm import cli, device
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.machine.precision import check_precision, computing_in
from tinygrad_llm.machine.warmup import compile_kernels
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.precision_options import PrecisionOptions

BF16 = ["--precision", "bf16", "--activations", "bf16"]
TRAIN = (
    "train --preset tiny --data corpus.txt --out run --n-layer 1 --n-head 1 --n-embd 4 "
    "--block-size 4 --batch-size 2 --vocab-size 260 --steps 4 --eval-every 2 --save-every 2 "
    "--eval-batches 1 --sample-tokens 0 --dropout 0.1 --keep 2"
).split()
WHY = "this processor has no instructions for bf16 products"


def run(*argv):
    with use_kernels("reference"):
        return cli.main([*argv])


@pytest.fixture(autouse=True)
def slow(monkeypatch):
    """A machine without fast bf16 products, whose speed is not measured."""
    monkeypatch.setattr(product, "why_not", lambda: WHY)
    monkeypatch.setattr("tinygrad_llm.commands.session.bf16_limit", lambda: 1e9)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A finished run in bf16, made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinygrad_llm.commands.session.bf16_limit", lambda: 1e9)
        return make_run(tmp_path_factory.mktemp("kept"), lambda: run(*TRAIN, *BF16))


@pytest.fixture
def here(kept, tmp_path, monkeypatch):
    """A copy of it, as the working folder."""
    return copy_run(kept, tmp_path, monkeypatch)


def sums(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_a_resumed_run_equals_an_uninterrupted_one(here, capsys):
    last = here / "run/checkpoints/step-000004"
    expected = sums(last)
    assert run("train", "--resume", "run/checkpoints/step-000002") == 0
    assert sums(last) == expected
    out = capsys.readouterr().out
    assert out.count("bf16 products are computed in float32 with rounded operands") == 1
    assert f"because {WHY}\n" in out and "1 GFLOP/s in bf16: at most" in out
    found = json.loads((here / "run/run.json").read_text())["options"]
    assert (found["precision"], found["activations"], found["require_fast"]) == (
        "bf16", "bf16", False
    )  # fmt: skip

    for more in (["--precision", "float32"], ["--activations", "float32"]):
        assert run("train", "--resume", "run", *more) == 2
        assert f"leave out {more[0]}" in capsys.readouterr().err


def test_a_run_that_requires_a_fast_machine(here, capsys):
    for words in (
        [*TRAIN, *BF16, "--require-fast"],
        ["train", "--resume", "run", "--require-fast"],
        ["pipeline", "--precision", "bf16", "--require-fast"],
    ):
        assert run(*words) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        advice = "leave out --require-fast"
        if "--resume" in words:
            advice = "set require_fast to false in"
        assert advice in captured.err
        assert "note:" not in captured.out
    assert run(*TRAIN, "--require-fast") == 2
    assert "does nothing without --precision bf16" in capsys.readouterr().err
    assert run(*TRAIN, "--precision", "fp8") == 2
    assert "bf16" in capsys.readouterr().err


def test_a_run_of_an_earlier_version_is_one_in_float32(here):
    file = here / "run/run.json"
    content = json.loads(file.read_text())
    for name in ("precision", "activations", "require_fast"):
        del content["options"][name]
    file.write_text(json.dumps(content))
    assert run("train", "--resume", "run/checkpoints/step-000002", "--no-verify") == 0


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_steps_and_evaluations_are_in_it_and_nothing_else_is(tmp_path, monkeypatch, precision):
    seen = {}

    class Note:
        def on_evaluate(self, trainer, line):
            seen["a callback"] = current_precision()

    def noting(name, method):
        def call(*args):
            seen[name] = current_precision()
            return method(*args)

        return call

    t = trainer(tmp_path, options(steps=2, precision=precision), callbacks=[Note()])
    for name in ("next_step", "loss", "quick_evaluation", "final_evaluation", "load_state_dict"):
        monkeypatch.setattr(t.task, name, noting(name, getattr(t.task, name)))
    before = weights(t.model)
    t.train()
    t.final_evaluation()
    t.load_state(*t.state())
    assert seen.pop("a callback") == "float32" == current_precision()
    assert set(seen.values()) == {precision} and len(seen) == 5
    assert all(w.dtype == before[name].dtype for name, w in weights(t.model).items())


def test_the_kernels_that_are_made_ready_are_those_of_the_precision(monkeypatch):
    seen = []
    for name in ("loss", "next_token_logits"):
        method = getattr(GPT, name)

        def noting(model, *args, method=method, **kwargs):
            seen.append((method.__name__, current_precision()))
            return method(model, *args, **kwargs)

        monkeypatch.setattr(GPT, name, noting)
    with use_kernels("reference"):
        compile_kernels(SHAPE, options=PrecisionOptions(precision="bf16"))
    assert seen == [("loss", "bf16")] * 2 + [("next_token_logits", "float32")]


def test_bf16_changes_the_loss_in_its_third_digit(tmp_path):
    losses = [
        trainer(tmp_path, options(precision=precision)).train_step()["train_loss"]
        for precision in ("float32", "bf16")
    ]
    assert 0 < abs(losses[0] - losses[1]) < 0.01


class Lines(list):
    say = list.append


def test_a_fast_machine_says_nothing(monkeypatch):
    monkeypatch.setattr(product, "why_not", lambda: None)
    said = Lines()
    for require_fast in (False, True):
        check_precision(said, PrecisionOptions(precision="bf16", require_fast=require_fast))
    assert not said
    with pytest.raises(ValueError, match="unknown precision 'fp8'"):
        with computing_in(SimpleNamespace(precision="fp8", activations="float32")):
            pass


def test_a_gpu_needs_bf16(monkeypatch, here, capsys):
    def cuda(capability):
        gpu = SimpleNamespace(Device=lambda: SimpleNamespace(compute_capability=capability))
        monkeypatch.setattr(device, "arrays_on", lambda name: SimpleNamespace(cuda=gpu))

    bf16 = TrainConfig(precision="bf16", device="cuda")
    cuda("75")
    with pytest.raises(UserError, match="compute capability 7.5, and bf16 products need 8.0 or mo"):
        check_precision(Lines(), bf16, "cuda")
    check_precision(Lines(), replace(bf16, precision="float32"), "cuda")
    assert run(*TRAIN, *BF16, "--device", "cuda") == 2
    assert capsys.readouterr().err.count("\n") == 1
    cuda("120")
    said = Lines()
    check_precision(said, bf16, "cuda")
    assert len(said) == 1 and said[0].endswith("because there is no kernel of them for GPUs")
