"""``train --resume`` with changes, ``--init-from``, ``--keep`` and ``--patience``."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from kept_run import copy_run, make_run
from small_corpus import small_corpus

from autograd import use_kernels
from tinygrad_llm import cli
from tinygrad_llm.commands.generate import default_prompt
from tinygrad_llm.config import GPTConfig, LlamaConfig
from tinygrad_llm.machine.memory import training_bytes
from tinygrad_llm.model import gpt
from tinygrad_llm.pretrained.load import load_pretrained
from tinygrad_llm.training.metrics import is_finished, read_metrics
from tinygrad_llm.training.runs import options_sha256

TRAIN = (
    "train --preset tiny "
    "--data corpus.txt --n-layer 1 --n-head 1 --n-embd 4 --block-size 4 --batch-size 2 "
    "--vocab-size 260 --eval-every 2 --save-every 2 --eval-batches 1 --sample-tokens 0"
).split()


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A finished run of six steps, made once."""
    folder = tmp_path_factory.mktemp("kept")
    return make_run(folder, lambda: run(*TRAIN, "--steps", "6", "--out", "run"))


@pytest.fixture
def here(kept, tmp_path, monkeypatch):
    """A copy of it, as the working folder."""
    return copy_run(kept, tmp_path, monkeypatch)


def run(*argv):
    with use_kernels("reference"):
        return cli.main([*argv])


def resume(*argv):
    return run("train", "--resume", "run", *argv)


def checkpoints(folder):
    return sorted(p.name for p in (folder / "checkpoints").iterdir() if p.is_dir())


def options(folder):
    return json.loads((folder / "run.json").read_text())["options"]


def rates(folder):
    return [line["lr"] for line in read_metrics(folder / "metrics.jsonl") if "lr" in line]


# --- more steps, and other changes ---------------------------------------------------------------


def test_a_finished_run_is_extended(here, capsys):
    before = rates(here / "run")
    assert resume("--steps", "9", "--eval-every", "3") == 0
    out = capsys.readouterr().out
    assert "steps is now 9 (it was 6)" in out and "eval_every is now 3 (it was 2)" in out
    assert "the learning rate goes on as in a run of 9 steps" in out
    lines = read_metrics(here / "run/metrics.jsonl")
    assert [line["step"] for line in lines] == [*range(1, 10), 9]
    assert [line["step"] for line in lines[6:] if "val_loss" in line] == [9, 9]
    assert rates(here / "run")[:6] == before
    assert is_finished(here / "run/metrics.jsonl")
    assert (options(here / "run")["steps"], options(here / "run")["eval_every"]) == (9, 3)


def test_the_added_steps_are_those_of_a_run_of_that_length(here):
    """The warm-up is longer than the runs, so both have the same rates: the same bits follow."""
    assert run(*TRAIN, "--steps", "9", "--out", "whole") == 0
    assert resume("--steps", "9") == 0
    for name in ("model.safetensors", "training_state.safetensors"):
        a, b = (here / folder / "checkpoints/step-000009" / name for folder in ("run", "whole"))
        assert a.read_bytes() == b.read_bytes(), name


def test_an_extended_run_that_was_stopped_goes_on_as_extended(here):
    assert resume("--steps", "9") == 0
    lines = (here / "run/metrics.jsonl").read_text().splitlines(True)
    (here / "run/metrics.jsonl").write_text("".join(lines[:-1]))  # the final evaluation
    assert resume() == 0
    assert is_finished(here / "run/metrics.jsonl")


def test_nothing_to_do_says_what_there_could_be(here, capsys):
    assert resume() == 0
    out = capsys.readouterr().out
    assert "6 of 6 steps; --steps N with more than 6 extends it" in out and "no effect" not in out
    assert resume("--log", "csv", "--eval-every", "1", "--patience", "9") == 0
    out = capsys.readouterr().out
    assert "note: no effect without more steps: --eval-every, --log\n" in out
    assert not (here / "run/metrics.csv").exists()


@pytest.mark.parametrize(
    "argv, words",
    [
        ("--steps 5", "--steps is 5, but"),
        ("--lr 0.1", "leave out --lr"),
        ("--lr 0.003", "leave out --lr"),
        ("--optimizer adamw", "leave out --optimizer"),  # the default, and the run's own
        ("--optimizer=sgd", "leave out --optimizer"),
        ("--no-exact-duplicates", "leave out --exact-duplicates"),
        ("--batch-size 2", "leave out --batch-size"),
        ("--data corpus.txt", "leave out --data"),
        ("--seed 1 --steps 9", "leave out --seed"),
        ("--steps 0", "steps is 0, but must be at least 1"),
    ],
)
def test_what_may_not_change_is_refused_by_name(here, capsys, argv, words):
    before = (here / "run/run.json").read_bytes()
    assert resume(*argv.split()) == 2
    assert words in capsys.readouterr().err
    assert (here / "run/run.json").read_bytes() == before


def test_the_checksum_of_options_leaves_out_what_may_change(here):
    before = options_sha256(here / "run"), options_sha256(here / "run", all_options=True)
    content = json.loads((here / "run/run.json").read_text())
    content["options"] |= {"steps": 7, "keep": 3, "out": "elsewhere"}
    (here / "run/run.json").write_text(json.dumps(content))
    assert options_sha256(here / "run") == before[0]
    assert options_sha256(here / "run", all_options=True) != before[1]
    content["options"]["lr"] = 1.0
    (here / "run/run.json").write_text(json.dumps(content))
    assert options_sha256(here / "run") != before[0]


def test_a_checkpoint_of_an_earlier_version_has_the_checksum_of_all_options(here):
    state = here / "run/checkpoints/step-000006/training_state.json"
    content = json.loads(state.read_text())
    content["options"] = options_sha256(here / "run", all_options=True)
    state.write_text(json.dumps(content))
    (state.parent / "SHA256SUMS").unlink()
    assert resume("--steps", "8") == 0


# --- checkpoints and early stopping --------------------------------------------------------------


def test_keep_checkpoints(here):
    assert checkpoints(here / "run") == ["step-000006"]
    assert run(*TRAIN, "--steps", "10", "--keep", "3", "--out", "three") == 0
    assert checkpoints(here / "three") == ["step-000006", "step-000008", "step-000010"]
    index = json.loads((here / "three/checkpoints/index.json").read_text())
    assert index == {"last": "step-000010", "best": "step-000010"}
    assert run("train", "--resume", "three", "--steps", "12") == 0
    assert checkpoints(here / "three") == ["step-000008", "step-000010", "step-000012"]
    assert run("train", "--resume", "three/checkpoints/step-000008", "--keep", "2") == 0
    assert checkpoints(here / "three") == ["step-000010", "step-000012"]


def test_patience_ends_a_run(here, capsys):
    """A rate of almost zero: no evaluation is better than the first in float32."""
    argv = [*TRAIN, "--steps", "40", "--patience", "2", "--lr", "1e-30", "--out", "early"]
    assert run(*argv) == 0
    out = capsys.readouterr().out
    assert "ended after step 6 of 40: the validation loss has not improved in 2 evaluations" in out
    assert is_finished(here / "early/metrics.jsonl") and (here / "early/loss.png").exists()
    assert checkpoints(here / "early") == ["step-000002", "step-000006"]
    assert run("train", "--resume", "early") == 0
    assert "6 of 40 steps; --patience 2 has ended it" in capsys.readouterr().out
    assert run("train", "--resume", "early", "--patience", "0", "--steps", "8") == 0
    assert read_metrics(here / "early/metrics.jsonl")[-1]["step"] == 8


def test_the_report_says_what_came_from_the_cache(here, capsys):
    assert run(*TRAIN, "--steps", "1", "--out", "cached") == 0
    out = capsys.readouterr().out
    assert "tokenizer: 260 ids, from the cache" in out and "training a tokenizer" not in out
    assert "bytes each; from the cache\n" in out and "encoding the corpus" not in out
    assert run(*TRAIN, "--steps", "1", "--vocab-size", "262", "--out", "new") == 0
    out = capsys.readouterr().out
    assert re.search(r"training a tokenizer of 262 ids ...\ntokenizer: 262 ids, [\d.]+ s\n", out)
    assert "encoding the corpus ...\n" in out and "from the cache" not in out


def test_a_corpus_that_is_gone(here, capsys):
    assert run(*TRAIN, "--steps", "1", "--out", "gone") == 0
    (here / "corpus.txt").unlink()
    assert run("train", "--resume", "gone", "--steps", "2") == 2
    error = capsys.readouterr().err
    lost, folder = here / "corpus.txt", here / "gone"
    assert f"the corpus {lost}, which {folder} was started with, is gone: put it back" in error
    assert f"`tinygrad-llm train --init-from {folder} --data SOURCE`" in error


def test_passes_over_the_corpus(here, capsys):
    assert run(*TRAIN, "--steps", "4", "--out", "passes") == 0
    tokens = json.loads((here / "passes/run.json").read_text())["corpus"]["tokens"]["train"]
    expected = f"4 steps of 8 tokens ({32 / tokens:.2f} passes over the corpus), run folder"
    assert expected in capsys.readouterr().out


# --- from another model --------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["run", "run/checkpoints/step-000006"])
def test_init_from_starts_with_the_weights_of_another_run(here, source, capsys):
    (here / "new.txt").write_text(small_corpus(50))
    argv = "train --data new.txt --steps 1 --lr 1e-30 --sample-tokens 0 --weight-decay 0 --out new"
    assert run(*argv.split(), "--init-from", source) == 0
    assert f"starting from the model of {source}" in capsys.readouterr().out
    old, new = (load_pretrained(here / name)[0] for name in
                ("run/checkpoints/step-000006", "new/checkpoints/step-000001"))  # fmt: skip
    assert old.config == new.config
    for name, array in old.state_dict().items():
        np.testing.assert_allclose(new.state_dict()[name], array, atol=1e-12)
    assert options(here / "new")["init_from"] == str((here / source).resolve())
    shutil.rmtree(here / "run")  # from now on, the new run needs it no more
    assert run("train", "--resume", "new", "--steps", "3") == 0


def test_init_from_with_dropout(here):
    argv = "train --data corpus.txt --steps 1 --lr 1e-30 --sample-tokens 0 --weight-decay 0"
    assert run(*argv.split(), "--dropout", "0.2", "--init-from", "run", "--out", "new") == 0
    model = load_pretrained(here / "new/checkpoints/step-000001")[0]
    assert model.config.dropout == 0.2
    for name, array in (
        load_pretrained(here / "run/checkpoints/step-000006")[0].state_dict().items()
    ):
        np.testing.assert_allclose(model.state_dict()[name], array, atol=1e-12)
    assert run("train", "--resume", "new", "--steps", "3") == 0


@pytest.mark.parametrize(
    "argv, words",
    [
        ("--n-layer 2", "--n-layer is 2, but the model has 1; leave it out"),
        ("--vocab-size 300", "--vocab-size is 300, but the model has 260"),
        ("--preset llama-tiny", "--preset llama-tiny is a Llama and the model a GPT"),
        ("--preset tiny", "--preset tiny has block_size 256 and the model 4"),
        ("--tokenizer gpt2", "a model goes on with its own tokenizer; leave out --tokenizer"),
        ("--init-from nowhere", "nowhere"),
        ("--init-from corpus.txt", "corpus.txt"),
    ],
)
def test_init_from_what_does_not_fit(here, capsys, argv, words):
    assert run("train", "--data", "corpus.txt", "--init-from", "run", *argv.split()) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (here / "runs").exists()


# --- the start of a sample -----------------------------------------------------------------------


def test_generate_begins_like_the_sample(here, capsys):
    content = json.loads((here / "run/run.json").read_text())
    prompt = content["sample_prompt"]
    assert prompt and prompt in (here / "corpus.txt").read_text()
    assert default_prompt("run") == default_prompt("run/checkpoints/step-000006") == prompt
    assert run("generate", "run", "-n", "2") == 0
    assert capsys.readouterr().out.startswith(prompt)
    argv = [*TRAIN, "--steps", "1", "--sample-prompt", "one two", "--out", "own"]
    assert run(*argv) == 0 and default_prompt("own") == "one two"
    del content["sample_prompt"]  # as earlier versions wrote it
    for data, expected in (("corpus.txt", ""), ("stdlib", "def")):
        content["options"]["data"] = data
        (here / "run/run.json").write_text(json.dumps(content))
        assert default_prompt("run") == expected
    assert default_prompt("corpus.txt") == default_prompt("nowhere") == ""


# --- recomputation -------------------------------------------------------------------------------


def test_recompute_trains_the_same_weights_and_may_change(here, monkeypatch):
    calls = []
    original = gpt.recompute
    monkeypatch.setattr(gpt, "recompute", lambda *a, **k: (calls.append(1), original(*a, **k))[1])
    argv = [*TRAIN, "--dropout", "0.1", "--n-layer", "2"]
    assert run(*argv, "--steps", "6", "--out", "plain") == 0 and not calls
    assert run(*argv, "--steps", "2", "--out", "again", "--recompute") == 0
    assert calls
    calls.clear()
    assert run("train", "--resume", "again", "--steps", "4") == 0
    assert calls  # the run's option stays
    assert run("train", "--resume", "plain", "--steps", "8", "--recompute") == 0
    assert run("train", "--resume", "again", "--steps", "8") == 0
    files = [
        here / name / "checkpoints/step-000008/model.safetensors" for name in ("plain", "again")
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_memory_that_recompute_needs():
    shape = GPTConfig(n_layer=12)
    plain, again = training_bytes(shape, 64), training_bytes(shape, 64, recompute=True)
    parameters = training_bytes(shape, 1) * 2 - training_bytes(shape, 2)
    assert (again - parameters) < (plain - parameters) / 4
    one = training_bytes(replace(shape, n_layer=1), 64)
    assert again > one
    llama = LlamaConfig(n_layer=2, sliding_window=8, sliding_layers=(True, False))
    assert training_bytes(llama, 1, recompute=True) < training_bytes(llama, 1)
