"""The training loop: gradient accumulation, resuming bit for bit, stopping, and bad numbers."""

import math
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from small_trainer import SHAPE, TOKENS, NoCheckpoints, options, trainer, weights

from tinygrad_llm.config import PRESETS, GPTConfig, TrainConfig
from tinygrad_llm.data import IGNORE, Loader
from tinygrad_llm.errors import UserError
from tinygrad_llm.machine.interrupt import StopSignals
from tinygrad_llm.machine.process import keep_freed_memory
from tinygrad_llm.machine.warmup import compile_kernels
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.pretrained.gpt2 import load_model
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.training import checkpoint as ckpt
from tinygrad_llm.training.evaluation import evaluate, whole
from tinygrad_llm.training.metrics import MetricsWriter, read_metrics
from tinygrad_llm.training.optim import SGD, AdamW, Muon

# --- one step ------------------------------------------------------------------------------------


class Given:
    """A loader that hands out these batches."""

    def __init__(self, batches):
        self.batches = list(batches)
        self.batch_size, self.block_size = batches[0][0].shape

    def next_batch(self):
        return self.batches.pop(0)


class Recorder(AdamW):
    """Keeps the gradients it is to use, scaled, and changes nothing."""

    def step(self, grad_scale=1.0):
        self.seen = {n: p.grad.data * grad_scale for n, p in self.params.items()}


@pytest.mark.parametrize("masked", [False, True])
def test_accumulation_equals_the_large_batch(tmp_path, masked):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 257, (6, 8)), rng.integers(0, 257, (6, 8))
    if masked:  # unevenly, so that a mean of the micro-batches' means is something else
        y[0, :7] = y[1, :] = y[2, 3:] = y[5, 0] = IGNORE
    shape = GPTConfig(**{**vars(SHAPE), "dropout": 0.0})
    seen, losses = [], []
    for parts in (1, 3):
        model = GPT(shape, seed=5).astype(np.float64)
        batches = list(zip(np.split(x, parts), np.split(y, parts), strict=True))
        config = options(grad_accumulation=parts, grad_clip=0.1, dropout=0.0)
        t = trainer(tmp_path, config, model, Given(batches), shape=shape)
        t.optimizer = Recorder(model.named_parameters())
        line = t.train_step()
        seen.append(t.optimizer.seen)
        losses.append(line["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    assert losses[0] == pytest.approx(GPT(shape, seed=5).loss(x, y).item(), rel=1e-5)
    total = np.sqrt(sum((g**2).sum() for g in seen[0].values()))
    assert total == pytest.approx(0.1, rel=1e-9)  # clipped
    for name in seen[0]:
        np.testing.assert_allclose(seen[0][name], seen[1][name], rtol=1e-9, atol=1e-15)


def test_a_batch_that_is_masked_whole_is_harmless(tmp_path):
    x = np.zeros((2, 8), np.int64)
    t = trainer(tmp_path, loader=Given([(x, np.full_like(x, IGNORE))]))
    line = t.train_step()
    assert line["train_loss"] == 0 and line["grad_norm"] == 0


def test_the_metrics_of_a_step(tmp_path):
    t = trainer(tmp_path)
    first, second = t.train_step(), t.train_step()
    assert list(first) == ["step", "train_loss", "lr", "grad_norm", "tokens_per_second"]
    assert (first["step"], second["step"]) == (1, 2)
    assert (first["lr"], second["lr"]) == (5e-3, 1e-2)
    assert all(p.grad is None for p in t.parameters)


def test_it_learns(tmp_path):
    t = trainer(tmp_path, options(steps=60, eval_every=30, batch_size=8))
    assert t.train() is None
    losses = [line["train_loss"] for line in t.console.lines]
    assert losses[0] > 5 and losses[-1] < 0.6 * losses[0]


# --- bad numbers ---------------------------------------------------------------------------------


def test_a_bad_parameter_is_named(tmp_path):
    t = trainer(tmp_path)
    t.train_step()
    weight = t.model.h[1].mlp.c_fc.weight
    weight.data[3, 2] = np.nan
    before = weights(t.model)
    with pytest.raises(UserError, match=r"nan at step 2: .* parameter h.1.mlp.c_fc.weight \(1 "):
        t.train_step()
    for name, array in t.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the overflow is what is tested
def test_a_bad_gradient_is_named(tmp_path):
    t = trainer(tmp_path)
    t.model.h[0].mlp.c_fc.weight.assign_(np.full(t.model.h[0].mlp.c_fc.weight.shape, 1e38))
    t.model.h[0].mlp.c_proj.weight.assign_(np.full(t.model.h[0].mlp.c_proj.weight.shape, 1e38))
    before = weights(t.model)
    with pytest.raises(UserError, match="at step 1: .* gradient of .* earlier checkpoints"):
        t.train_step()
    for name, array in t.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


# --- the loop ------------------------------------------------------------------------------------


def test_evaluates_saves_and_logs_on_time(tmp_path):
    checkpoints = NoCheckpoints()
    t = trainer(tmp_path, options(steps=7, eval_every=2, save_every=3), checkpoints=checkpoints)
    losses = iter([4.0, 5.0, 3.0, 6.0])
    real = t.task.quick_evaluation
    t.task.quick_evaluation = lambda: real() | {"val_loss": next(losses)}
    assert t.train() is None
    with_validation = [line["step"] for line in t.console.lines if "val_loss" in line]
    assert with_validation == [2, 4, 6, 7]
    # at 2 and 6 because it improved (6 is a multiple of 3 too), at 3, and at the last step
    assert checkpoints.saved == [(2, 2), (3, 2), (6, 6), (7, 6)]
    sentence = t.final_evaluation()
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [m["step"] for m in lines] == [1, 2, 3, 4, 5, 6, 7, 7]
    whole_text = evaluate(t.model, whole(TOKENS[:100], 8, 3), t.task.token_bytes)
    assert lines[-1]["final"] is True and lines[-1]["val_loss"] == whole_text.loss
    assert sentence == f"validation, all 99 tokens: {whole_text}"


@pytest.mark.parametrize("optimizer", [AdamW, Muon, partial(SGD, momentum=0.9, nesterov=True)])
def test_resuming_is_bit_for_bit(tmp_path, optimizer):
    def folder(name):
        checkpoints = ckpt.Checkpoints(tmp_path / name, Tokenizer([]))
        checkpoints.folder.mkdir(parents=True)
        return checkpoints

    config = options(steps=6, grad_accumulation=2)
    checkpoints = folder("whole")
    whole = trainer(tmp_path / "whole", config, checkpoints=checkpoints, optimizer=optimizer)
    whole.train()

    checkpoints = folder("cut")
    first = trainer(tmp_path / "cut", config, checkpoints=checkpoints, optimizer=optimizer)
    while first.step < 3:
        first._advance(last=False)
    first._save()
    _, checkpoint = ckpt.resolve_resume(tmp_path / "cut")
    model = load_model(checkpoint).train()
    second = trainer(
        tmp_path / "cut", config, model, checkpoints=first.checkpoints, optimizer=optimizer
    )
    second.load_state(*ckpt.load_training_state(checkpoint))
    assert second.step == 3
    second.train()

    for name in ("model.safetensors", "training_state.safetensors", "training_state.json"):
        paths = [tmp_path / run / "checkpoints" / "step-000006" / name for run in ("whole", "cut")]
        assert paths[0].read_bytes() == paths[1].read_bytes(), name
    keys = ("step", "train_loss", "lr", "grad_norm")
    assert [[line[k] for k in keys] for line in whole.console.lines[3:]] == [
        [line[k] for k in keys] for line in second.console.lines
    ]


def test_a_state_that_does_not_fit(tmp_path):
    t = trainer(tmp_path)
    t.train_step()
    arrays, state = t.state()
    with pytest.raises(UserError, match="'random' is missing|random"):
        trainer(tmp_path).load_state(arrays, {k: v for k, v in state.items() if k != "random"})
    other = Loader(TOKENS[:-1], 3, 8, seed=7)
    with pytest.raises(UserError, match="tokens"):
        trainer(tmp_path, loader=other).load_state(arrays, state)


@pytest.fixture
def usual_signals():
    """What Python does at signals, even where the tests were started with Ctrl-C ignored."""
    before = [(n, signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_saves(tmp_path, usual_signals, number):
    t = trainer(tmp_path, options(steps=100, eval_every=100, save_every=100))
    real = t.train_step

    def train_step():
        if t.step == 4:
            os.kill(os.getpid(), number)
        return real()

    t.train_step = train_step
    before = signal.getsignal(number)
    assert t.train() == number
    assert t.step == 5 and t.checkpoints.saved == [(5, None)]
    assert not t.console.running
    assert signal.getsignal(number) is before
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 5


def test_the_second_signal_stops_at_once(usual_signals):
    with pytest.raises(KeyboardInterrupt), StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.received == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_that_was_ignored_stays_ignored(usual_signals):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with StopSignals() as signals:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        assert signals.received is None
        os.kill(os.getpid(), signal.SIGTERM)  # which was not
        assert signals.received == signal.SIGTERM
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_signals_are_left_alone_in_other_threads():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with StopSignals() as signals:
            seen.append((signals.received, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, before)]


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    t = trainer(tmp_path, options(eval_every=100))
    real = t.train_step

    def train_step():
        line = real()
        if t.step == 4:
            t.model.wpe.weight.data[0, 0] = np.inf
        return line

    t.train_step = train_step
    with pytest.raises(UserError, match="weights are not all finite at step 4: .* wpe.weight"):
        t.train()
    assert [step for step, _ in t.checkpoints.saved] == [2]


def test_a_validation_loss_that_is_not_finite_stops_the_run(tmp_path):
    t = trainer(tmp_path)
    t.task.quick_evaluation = lambda: {"val_loss": math.nan}
    with pytest.raises(UserError, match="the validation loss is nan at step 2"):
        t.train()
    assert t.checkpoints.saved == [] and len(read_metrics(tmp_path / "metrics.jsonl")) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_metrics_on_a_full_disk():
    with pytest.raises(UserError, match="cannot write /dev/full .No space left.*--resume"):
        with MetricsWriter(Path("/dev/full")) as metrics:
            metrics.write({"step": 1, "train_loss": 2.0})
            metrics.flush()


# --- around it -----------------------------------------------------------------------------------


def test_warming_up_changes_no_random_state(tmp_path):
    model = GPT(SHAPE, seed=5)
    before, state = weights(model), model.rng.bit_generator.state
    np.random.seed(3)  # the global state must not change either
    global_state = np.random.get_state()[1].copy()
    assert compile_kernels(SHAPE) > 0
    assert model.rng.bit_generator.state == state
    np.testing.assert_array_equal(np.random.get_state()[1], global_state)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_keeping_memory_says_whether_it_can():
    assert keep_freed_memory() in (True, False)


@pytest.mark.parametrize(
    ("before", "set_to", "found"),
    [("pass", None, "20 True"), ("pass", "4", "4 True"), ("import numpy", None, "None False")],
)
def test_blas_threads_sleep_where_numpy_has_not_begun(before, set_to, found):
    code = (
        f"import os; {before}; from tinygrad_llm.machine.process import let_blas_sleep; "
        "done = let_blas_sleep(); print(os.environ.get('OPENBLAS_THREAD_TIMEOUT'), done)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_THREAD_TIMEOUT"}
    if set_to is not None:
        environment["OPENBLAS_THREAD_TIMEOUT"] = set_to
    run = [sys.executable, "-c", code]
    process = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == found


@pytest.mark.parametrize("preset", PRESETS)
def test_recipes_are_complete(preset):
    config = TrainConfig(preset=preset).with_recipe()
    assert None not in (config.steps, config.batch_size, config.lr, config.warmup_steps)
    assert config.warmup_steps < config.steps
    assert config.model_config() == PRESETS[preset]
    changed = TrainConfig(preset=preset, steps=7, n_layer=2).with_recipe()
    assert changed.steps == 7 and changed.lr == config.lr
    assert changed.model_config(300).n_layer == 2 and changed.model_config(300).vocab_size == 300
