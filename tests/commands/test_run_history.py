"""``explore RUN --steps``: the checkpoints that are selected, and what is refused."""

import contextlib
import io
import json

import numpy as np
import pytest
from kept_run import copy_run, make_run

from autograd import use_kernels
from tinygrad_llm import cli
from tinygrad_llm.commands import run_history
from tinygrad_llm.commands.run_history import select_steps, training_run
from tinygrad_llm.errors import UserError
from tinygrad_llm.pretrained.load import load_pretrained
from tinygrad_llm.training.metrics import read_metrics

SHAPE = (
    "--data corpus.txt --n-layer 2 --n-head 1 --n-embd 4 --block-size 4 --batch-size 2 "
    "--vocab-size 260 --steps 8 --eval-every 2 --save-every 2 --eval-batches 1 --sample-tokens 0 "
)
TRAIN = f"train --preset tiny --out run {SHAPE} --optimizer"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Runs that have kept all checkpoints, with AdamW and with Muon, and one that has not."""
    folder = tmp_path_factory.mktemp("kept")

    def train():
        codes = [
            command(f"{TRAIN} adamw --keep 9 --grad-clip 0.1"),
            command(f"{TRAIN} muon --keep 9 --out muon"),
            command(f"train --preset llama-tiny --out last {SHAPE} --optimizer sgd"),
        ]
        return max(codes)

    return make_run(folder, train)


def command(text):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), use_kernels("reference"):
        return cli.main(text.split())


@pytest.fixture
def run(kept, tmp_path, monkeypatch):
    folder = copy_run(kept, tmp_path, monkeypatch)
    for name in ("muon", "last"):
        change(folder / name, lambda o: o.update(data=str(folder / "corpus.txt")))
    return folder / "run"


def change(run, edit):
    content = json.loads((run / "run.json").read_text())
    edit(content["options"])
    (run / "run.json").write_text(json.dumps(content))


def numbers(run, steps="all", **options):
    with use_kernels("reference"):
        return training_run(str(run), steps, **options)


def test_every_checkpoint_is_measured_on_one_batch(run):
    found = numbers(run)
    assert found["steps"].tolist() == [2, 4, 6, 8] == found["kept"]
    assert found["name"] == "run" and found["optimizer"] == "adamw" and found["note"] is None
    assert found["batch"] == {"rows": 2, "length": 4, "tokens": 8}
    lines = {m["step"]: m for m in read_metrics(run / "metrics.jsonl") if not m.get("final")}
    assert found["lr"].tolist() == [lines[step]["lr"] for step in (2, 4, 6, 8)]
    assert found["metrics"]["train_loss"].tolist() == [lines[n]["train_loss"] for n in range(1, 9)]
    assert np.isfinite(found["metrics"]["val_loss"]).tolist() == [False, True] * 4
    # the batch is the one of the quick evaluations, so its loss is theirs
    evaluated = [lines[step]["val_loss"] for step in (2, 4, 6, 8)]
    np.testing.assert_allclose(found["loss"], evaluated, rtol=1e-5)
    assert (found["clip"] < 1).all()
    assert found["layer_ratio"].shape == (4, 5) and (found["layer_ratio"] > 0).all()
    model, _ = load_pretrained(run / "checkpoints/step-000006")
    names = [p["name"] for p in found["parameters"]]
    for name, p in model.named_parameters():
        size = found["weight_norm"][2, names.index(name)]
        assert size == pytest.approx(np.linalg.norm(p.numpy()), rel=1e-5)


def test_adamw_moves_as_its_saved_moments_say(run):
    """The step is recomputed from the files: m, v and t of the checkpoint, and the gradient."""
    from tinygrad_llm.training.checkpoint import load_training_state

    found = numbers(run, "4")
    folder = run / "checkpoints/step-000004"
    arrays, state = load_training_state(folder)
    model, tokenizer = load_pretrained(folder)
    options = json.loads((run / "run.json").read_text())["options"]
    config = run_history.options_of(
        {"options": options}, run, run_history.TrainConfig, run_history.NEW_OPTIONS
    ).with_recipe()
    corpus = json.loads((run / "run.json").read_text())["corpus"]
    console = run_history.PlainConsole(io.StringIO())
    x, y = run_history._batch(console, run, folder, config, corpus)
    with use_kernels("reference"):
        model.loss(x, y).backward()
    lr, clip = found["lr"][0], found["clip"][0]
    for n, (name, p) in enumerate(model.named_parameters()):
        g = p.grad.numpy() * clip
        m = 0.9 * arrays[f"{name}.m"] + 0.1 * g
        v = 0.95 * arrays[f"{name}.v"] + 0.05 * g * g
        t = int(arrays[f"{name}.step"]) + 1
        assert t == state["step"] + 1
        move = lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
        if p.ndim >= 2:
            move = move + lr * 0.1 * p.numpy()
        assert found["update_norm"][0, n] == pytest.approx(np.linalg.norm(move), rel=1e-3), name


def test_muon_and_a_run_that_kept_two(run):
    found = numbers(run.parent / "muon", "2:8:3")
    assert found["steps"].tolist() == [2, 8] and found["optimizer"] == "muon"
    assert np.isfinite(found["update_norm"]).all()
    last = numbers(run.parent / "last")
    assert len(last["kept"]) <= 2 and "--keep 4" in last["note"]
    assert last["blocks"] == ["layers.0", "layers.1"]


def test_without_metrics_the_rate_is_that_of_the_options(run):
    rates = numbers(run)["lr"]
    (run / "metrics.jsonl").unlink()
    found = numbers(run)
    np.testing.assert_allclose(found["lr"], rates, rtol=1e-12)
    assert found["metrics"]["step"].size == 0


@pytest.mark.parametrize(
    "text, expected",
    [
        ("all", [10, 20, 30, 40]),
        ("20", [20]),
        ("30,10", [10, 30]),
        ("0:1000", [10, 20, 30, 40]),
        ("10:40:20", [10, 30]),
        ("20:20", [20]),
        (" 10 , 25:40 ", [10, 30, 40]),
    ],
)
def test_steps(text, expected, tmp_path):
    assert select_steps(text, [10, 20, 30, 40], tmp_path) == expected


@pytest.mark.parametrize(
    "text, words",
    [
        ("15", "no checkpoint of step 15, only of steps 10, 20, 30 and 40"),
        ("10,15", "no checkpoint of step 15"),
        ("50:90", "no checkpoint in 50:90"),
        ("", "'' is no step and no range"),
        ("ten", "'ten' is no step and no range"),
        ("10,,20", "'' is no step"),
        ("1:2:3:4", "is no step and no range"),
        ("-10", "is no step and no range"),
        ("10:40:0", "every 0 steps"),
        ("9" * 30, "is no step and no range"),
    ],
)
def test_steps_that_cannot_be(text, words, tmp_path):
    with pytest.raises(UserError) as error:
        select_steps(text, [10, 20, 30, 40], tmp_path)
    assert words in str(error.value)


def test_what_is_refused(run, tmp_path, monkeypatch):
    def refused(path, words):
        with pytest.raises(UserError) as error:
            numbers(path)
        assert words in str(error.value)

    refused(tmp_path / "nothing", "does not exist")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "neither a run nor a checkpoint")
    content = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**content, "task": "sft"}))
    refused(run, "`finetune sft`")
    (run / "run.json").write_text(json.dumps(content))
    (run.parent / "corpus.txt").write_text("something else, and more of it than one line\n" * 99)
    refused(run, "has changed since")


def test_damage_is_noticed(run):
    file = run / "checkpoints/step-000004/training_state.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="training_state.safetensors"):
        numbers(run)
    assert numbers(run, "4", verify=False)["steps"].tolist() == [4]
