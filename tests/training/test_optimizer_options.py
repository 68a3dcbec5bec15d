"""``train --optimizer``: each trains, is saved and goes on; options that do not belong together."""

import json
from dataclasses import replace

import pytest

from autograd import use_kernels
from tinygrad_llm import cli
from tinygrad_llm.commands import session
from tinygrad_llm.config import PRESETS, TrainConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.pretrained.tensor_file import read_tensors
from tinygrad_llm.training.metrics import read_metrics

TRAIN = (
    "train --preset tiny "
    "--data corpus.txt --out run --n-layer 1 --n-head 1 --n-embd 4 --block-size 4 "
    "--batch-size 1 --vocab-size 260 --steps 4 --eval-every 2 --save-every 2 --eval-batches 1 "
    "--sample-tokens 0 --warmup-steps 0"
).split()


@pytest.fixture(autouse=True)
def quick(here, monkeypatch):
    monkeypatch.setattr(session, "gemm_limit", lambda: 1e9)
    return here


def run(*argv):
    with use_kernels("reference"):
        return cli.main([*argv])


@pytest.mark.parametrize(
    "optimizer, kept, state",
    [
        ("adamw", {"m", "v"}, "AdamW's two moments: 20.4 KiB"),
        ("muon", {"momentum", "m", "v"}, "Muon's momentum and AdamW's two moments: 19.7 KiB"),
        ("sgd", {"momentum"}, "SGD's momentum: 15.3 KiB"),
    ],
)
def test_each_optimizer_trains_and_is_saved(here, capsys, optimizer, kept, state):
    assert run(*TRAIN, "--optimizer", optimizer, "--schedule", "linear", "--min-lr-ratio", "0") == 0
    out = capsys.readouterr().out
    assert "\nGPT: 1 layer, 1 head, 4 channels, " in out
    assert f"weights, gradients and {state} in float32" in out
    options = json.loads((here / "run/run.json").read_text())["options"]
    assert options["optimizer"] == optimizer
    assert options["momentum"] == {"adamw": None, "muon": 0.95, "sgd": 0.9}[optimizer]
    lr = 0.1 if optimizer == "sgd" else 3e-3
    lines = [line for line in read_metrics(here / "run/metrics.jsonl") if "lr" in line]
    assert [line["lr"] for line in lines] == pytest.approx([lr, lr * 0.75, lr * 0.5, lr * 0.25])
    arrays = read_tensors(here / "run/checkpoints/step-000004/training_state.safetensors")
    assert {name.rpartition(".")[2] for name in arrays} == kept | {"step"}


def test_sgd_without_momentum_has_nothing_to_look_ahead_along(here):
    assert run(*TRAIN, "--optimizer", "sgd", "--momentum", "0") == 0


def test_a_run_resumes_with_its_optimizer_and_refuses_another(here, capsys):
    assert run(*TRAIN, "--optimizer", "muon", "--steps", "2") == 0
    assert run("train", "--resume", "run", "--optimizer", "sgd") == 2
    assert "--optimizer" in capsys.readouterr().err
    content = json.loads((here / "run/run.json").read_text())
    content["options"] |= {"optimizer": "adamw", "momentum": None, "steps": 4}
    (here / "run/run.json").write_text(json.dumps(content))
    assert run("train", "--resume", "run", "--no-verify") == 2
    error = capsys.readouterr().err
    assert "momentum', which belongs to no parameter of this model in AdamW" in error


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            {"optimizer": "adamw", "momentum": 0.9},
            "momentum is 0.9 and the optimizer adamw: only muon and sgd have",
        ),
        ({"optimizer": "adamw", "nesterov": False}, "nesterov is False and the optimizer adamw"),
        ({"optimizer": "sgd", "muon_factor": "spectral"}, "only muon has this option"),
        ({"optimizer": "sgd", "adamw_lr_ratio": 2.0}, "adamw_lr_ratio is 2.0"),
        ({"optimizer": "sgd", "beta1": 0.8}, "beta1 is 0.8 and the optimizer sgd: only adamw and"),
        ({"optimizer": "sgd", "beta2": 0.8}, "beta2 is 0.8 and the optimizer sgd"),
        ({"optimizer": "muon", "adamw_lr_ratio": -1.0}, "between 0 and 1000"),
        ({"optimizer": "muon", "momentum": 1.0}, "momentum is 1.0, but must be at least 0 and"),
        ({"weight_decay": 11.0}, "weight_decay is 11.0, but must be between 0 and 10"),
        ({"beta2": 1.0}, "beta2 is 1.0, but must be at least 0 and below 1"),
    ],
)
def test_options_that_cannot_be(changes, words):
    with pytest.raises(UserError, match=words):
        TrainConfig(**changes)
    with pytest.raises(UserError, match=words):
        replace(TrainConfig(), **changes)


def test_what_none_means_depends_on_the_optimizer():
    def filled(optimizer, **more):
        c = TrainConfig(optimizer=optimizer, **more).with_recipe()
        return c.lr, c.weight_decay, c.momentum

    assert filled("adamw") == (3e-3, 0.1, None)
    assert filled("muon") == (3e-3, 0.1, 0.95)
    assert filled("sgd") == (0.1, 0.0, 0.9)
    assert filled("sgd", lr=0.5, weight_decay=0.2, momentum=0.0) == (0.5, 0.2, 0.0)
    assert filled(None) == filled("muon")


@pytest.mark.parametrize("preset", PRESETS)
def test_the_recipe_chooses_the_optimizer(preset):
    expected = "adamw" if preset.startswith("gpt2") else "muon"
    assert TrainConfig(preset=preset).with_recipe().optimizer == expected
    assert TrainConfig(preset=preset, optimizer="sgd").with_recipe().optimizer == "sgd"


def test_options_of_an_optimizer_that_the_recipe_does_not_choose():
    assert TrainConfig(momentum=0.9).with_recipe().momentum == 0.9
    with pytest.raises(UserError, match="momentum is 0.9 and the optimizer adamw"):
        TrainConfig(preset="gpt2", momentum=0.9).with_recipe()
