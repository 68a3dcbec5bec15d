"""``train --preset llama-tiny`` and what follows it: the same files and options as for a GPT."""

import hashlib
import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from autograd.kernels.dispatch import Kernel
from tinygrad_llm import cli
from tinygrad_llm.commands import session
from tinygrad_llm.config import PRESETS, GPTConfig, LlamaConfig, TrainConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.machine.memory import training_bytes
from tinygrad_llm.machine.warmup import compile_kernels
from tinygrad_llm.model import GPT, Llama, build_model
from tinygrad_llm.model.summary import parameter_count
from tinygrad_llm.pretrained import load_pretrained
from tinygrad_llm.training.trainer import Trainer

OPTIONS = (
    "--preset llama-tiny --n-layer 1 --n-head 2 --n-kv-head 1 --n-embd 8 --block-size 8 "
    "--batch-size 2 --vocab-size 300 --steps 6 --eval-every 2 --save-every 2 --eval-batches 1 "
    "--sample-tokens 4 --data corpus.txt"
).split()


@pytest.fixture
def here(here, monkeypatch):
    """The same without the measurement of the machine's peak; Ctrl-C stops the training."""
    monkeypatch.setattr(session, "gemm_limit", lambda: 1e9)
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may ignore it
    yield here
    signal.signal(signal.SIGINT, before)


def stop_after(steps, monkeypatch):
    """The next training gets Ctrl-C during this step, which is finished and saved."""
    train_step = Trainer.train_step

    def step_and_stop(self):
        line = train_step(self)
        if self.step == steps:
            os.kill(os.getpid(), signal.SIGINT)
        return line

    monkeypatch.setattr(Trainer, "train_step", step_and_stop)


def files_of(run):
    """sha256 of the last checkpoint's files."""
    folder = run / "checkpoints" / "step-000006"
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_a_run_and_the_same_run_resumed(here, monkeypatch, capsys):
    assert cli.main(["train", *OPTIONS, "--profile"]) == 0
    run = here / "runs/llama-tiny"
    out = capsys.readouterr().out
    assert "Llama: 1 layer, 2 heads on 1 key head of 4 channels" in out
    assert "activations kept for backward" in out
    assert "GroupedQueryAttention" in (run / "profile.txt").read_text()
    assert (run / "loss.png").stat().st_size > 0
    config = json.loads((run / "checkpoints/step-000006/config.json").read_text())
    assert (config["model_type"], config["num_key_value_heads"]) == ("qwen3", 1)
    described = json.loads((run / "run.json").read_text())
    assert (described["model"]["n_hidden"], described["options"]["n_kv_head"]) == (22, 1)

    assert cli.main(["generate", str(run), "--prompt", "def", "--max-new-tokens", "3"]) == 0
    assert capsys.readouterr().out.startswith("def")

    with monkeypatch.context() as patched:
        stop_after(3, patched)
        assert cli.main(["train", *OPTIONS, "--profile", "--out", "stopped"]) == 130
    assert "continue with: tinygrad-llm train --resume stopped" in capsys.readouterr().out
    assert cli.main(["train", "--resume", "stopped"]) == 0
    expected, found = files_of(run), files_of(here / "stopped")
    for name in ("model.safetensors", "training_state.safetensors", "training_state.json"):
        assert found[name] == expected[name], name


def test_a_run_goes_on_when_its_preset_has_become_another(here, monkeypatch):
    with monkeypatch.context() as earlier:
        preset = replace(PRESETS["llama-tiny"], qk_norm="none")
        earlier.setitem(PRESETS, "llama-tiny", preset)
        assert cli.main(["train", *OPTIONS, "--out", "run"]) == 0
    assert cli.main(["train", "--resume", "run", "--steps", "8"]) == 0
    model, _ = load_pretrained(here / "run/checkpoints/step-000008")
    assert model.config.qk_norm == "none"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"preset": "llama-tiny", "dropout": 0.1}, "dropout is 0.1 and the preset llama-tiny"),
        ({"preset": "tiny", "n_kv_head": 2}, "n_kv_head is 2 and the preset tiny: only Llama"),
        ({"preset": "tiny", "n_hidden": 64}, "n_hidden is 64 and the preset tiny: only Llama"),
        ({"preset": "llama-tiny", "n_hidden": 0}, "n_hidden is 0, but must be at least 1"),
    ],
)
def test_options_of_the_other_kind_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        TrainConfig(**options)


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="n_head is 3 and n_kv_head 2"):
        TrainConfig(preset="llama-tiny", n_head=3, n_kv_head=2, n_embd=96).model_config()


@pytest.mark.parametrize("n_head, n_kv_head", [(1, 1), (2, 1), (3, 1), (4, 2), (5, 1), (12, 6)])
def test_of_another_number_of_heads_as_many_share_a_key(n_head, n_kv_head):
    config = TrainConfig(preset="llama-tiny", n_head=n_head, n_embd=16 * n_head).model_config()
    assert config.n_kv_head == n_kv_head


def test_other_sizes_keep_the_shape_of_a_block():
    config = TrainConfig(preset="llama-tiny", n_embd=64, n_head=2, n_layer=3).model_config(300)
    assert (config.head_dim, config.n_hidden) == (32, 64 * 704 // 256)
    assert (config.vocab_size, config.n_layer, config.tied) == (300, 3, True)
    assert TrainConfig(preset="llama-tiny", n_hidden=100).model_config().n_hidden == 100


def test_the_llama_presets_are_as_large_as_their_namesakes():
    for name in ("tiny", "small"):
        gpt, llama = PRESETS[name], PRESETS[f"llama-{name}"]
        assert isinstance(gpt, GPTConfig) and isinstance(llama, LlamaConfig)
        assert parameter_count(llama) == pytest.approx(parameter_count(gpt), rel=0.08)
        assert parameter_count(llama) == Llama(llama).num_parameters()
        assert 0.5 < training_bytes(llama, 16) / training_bytes(gpt, 16) < 1.5


def test_a_model_is_built_by_its_config():
    assert type(build_model(PRESETS["tiny"])) is GPT
    llama = build_model(PRESETS["llama-tiny"], seed=3)
    assert type(llama) is Llama
    again = Llama(PRESETS["llama-tiny"], seed=3)
    assert (llama.embed_tokens.weight.data == again.embed_tokens.weight.data).all()


def test_the_kernels_of_a_llama_are_compiled_beforehand(monkeypatch):
    called, implementation = set(), Kernel.implementation

    def record(self, target):
        called.add((self.op, self.name, target))
        return implementation(self, target)

    monkeypatch.setattr(Kernel, "implementation", record)
    layers = (True, False)
    config = LlamaConfig(
        vocab_size=300, block_size=16, n_layer=2, n_head=4, n_kv_head=2, n_embd=32, n_hidden=48,
        sliding_window=4, sliding_layers=layers, rope_layers=layers,
    )  # fmt: skip
    compile_kernels(config)
    before = called.copy()
    model, ids = build_model(config), np.zeros((2, 16), np.int64)
    model.loss(ids, ids).backward()
    assert ("grouped_query_attention", "backward", "cpu") in called and called == before
