"""A run that this process trains, whether it is new or continued.

A session is made once everything that can be wrong with the input has been checked: only then is
the run's folder changed. The process holds the run's lock meanwhile, so a second process is turned
away.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.config import ModelConfig
from tinygrad_llm.counts import counted
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.lock import RunLock
from tinygrad_llm.machine.precision import FLOAT32, Precise
from tinygrad_llm.machine.speed import bf16_limit, gemm_limit, tokens_at_limit
from tinygrad_llm.machine.warmup import compile_kernels
from tinygrad_llm.model import Model
from tinygrad_llm.terminal import shell_command
from tinygrad_llm.training import runs
from tinygrad_llm.training.checkpoint import Checkpoints
from tinygrad_llm.training.metrics import MetricsWriter, truncate
from tinygrad_llm.training.optim import AdamW, Optimizer
from tinygrad_llm.training.optim.optimizer import Params
from tinygrad_llm.training.profiling import ProfilingTrainer
from tinygrad_llm.training.schedule import Schedule
from tinygrad_llm.training.task import Task
from tinygrad_llm.training.trainer import Options, Trainer


@dataclass(frozen=True)
class SavedState:
    """A checkpoint's folder and the training state in it, as arrays and as JSON data."""

    checkpoint: Path
    arrays: dict[str, np.ndarray]
    state: dict[str, Any]


class SessionOptions(Options, Protocol):
    """The options of a run that its session needs, as in TrainConfig."""

    @property
    def profile(self) -> bool: ...


@dataclass(frozen=True)
class Session:
    """A run with everything its training needs; ``train`` does the rest."""

    run: Path
    config: SessionOptions
    model: Model
    task: Task
    make_optimizer: Callable[[Params], Optimizer]
    """Of the parameters that are trained; its learning rate is set before each step."""
    checkpoints: Checkpoints
    console: PlainConsole
    finish: Callable[[Trainer], int]
    """What follows the last step; returns the exit code."""
    step_size: str
    """What a step learns from, for the report: "4,096 tokens"."""
    saved: SavedState | None = None
    """The state to continue from; None means step 0."""
    schedule: Schedule | None = None
    """The learning rate of a step; None means the trainer's own."""
    callbacks: Sequence[object] = ()
    """See training/callbacks.py."""

    def train(self) -> int:
        """Do the remaining steps and what follows them; returns the exit code."""
        with _saying_how_to_continue(self.run):
            self.checkpoints.folder.mkdir(exist_ok=True)
        with MetricsWriter(self.run / runs.METRICS_FILE) as metrics:
            trainer = self.trainer(metrics)
            with _saying_how_to_continue(self.run):
                self._remove_later_steps(self.checkpoints)
                self._announce(trainer)
                stopped_by = trainer.train()
            if stopped_by is None:
                if trainer.stopped is not None:
                    self.console.say(
                        f"ended after step {trainer.step} of {self.config.steps}: {trainer.stopped}"
                    )
                return self.finish(trainer)
        self._report_stop(trainer, stopped_by)
        return 128 + stopped_by

    def trainer(self, metrics: MetricsWriter) -> Trainer:
        """The trainer of this run, in the saved state if there is one."""
        kind = partial(ProfilingTrainer, folder=self.run) if self.config.profile else Trainer
        trainer = kind(
            self.model, self.task, self._optimizer(), self.config,
            checkpoints=self.checkpoints, metrics=metrics, console=self.console,
            schedule=self.schedule, callbacks=self.callbacks,
        )  # fmt: skip
        if self.saved is not None:
            trainer.load_state(self.saved.arrays, self.saved.state)
        return trainer

    def _optimizer(self) -> Optimizer:
        trained = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        return self.make_optimizer(trained)

    def _remove_later_steps(self, checkpoints: Checkpoints) -> None:
        """Bring the folder back to the step that the run continues from.

        By now everything has been read and fits together. The index changes first, so it never
        names a checkpoint that is being deleted.
        """
        step = 0
        if self.saved is None:
            checkpoints.tidy(keep=set())
        else:
            step = self.saved.state["step"]
            best = self.saved.state["best"] or {"step": step}
            checkpoints.continue_from(self.saved.checkpoint, best["step"])
        truncate(self.run / runs.METRICS_FILE, step)
        for picture in self.run.glob("*.png"):
            picture.unlink()

    # --- what it reports -----------------------------------------------------------------------

    def _announce(self, trainer: Trainer) -> None:
        steps = self.config.steps
        if trainer.step:
            self.console.say(f"continuing after step {trainer.step} of {steps}")
        self.console.say(
            f"training for {counted(steps or 0, 'step')} of {self.step_size}, run folder {self.run}"
        )

    def _report_stop(self, trainer: Trainer, number: int) -> None:
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        self.console.say(
            f"stopped by {name} after step {trainer.step} of {self.config.steps}, which is saved; "
            f"continue with: {_resume_command(self.run)}"
        )


# --- what start and resume share ---------------------------------------------------------------


@contextlib.contextmanager
def locked(console: PlainConsole, run: Path) -> Iterator[None]:
    """Keep other processes away from a run, with a note if the file system cannot."""
    with RunLock(run) as lock:
        if not lock.held:
            console.say(
                f"note: the file system of {run} has no locks; make sure that no other process "
                "trains there"
            )
        yield


@contextlib.contextmanager
def saying_when_it_compiles(console: PlainConsole) -> Iterator[None]:
    """Say so before the first kernel that is compiled within this, wherever that is."""
    from autograd.kernels._disk_cache import before_compiling

    with before_compiling(
        lambda: console.say("compiling the kernels (once per machine; they are cached) ...")
    ):
        yield


def make_kernels_ready(
    console: PlainConsole,
    model: ModelConfig,
    device: str = "cpu",
    make_optimizer: Callable[[Params], Optimizer] = AdamW,
    options: Precise = FLOAT32,
) -> None:
    """Compile or load the kernels, and say how long it took."""
    seconds = compile_kernels(model, device, make_optimizer, options)
    console.say(f"kernels ready in {seconds:.1f} s")


def warm_up(
    console: PlainConsole,
    model: ModelConfig,
    device: str,
    make_optimizer: Callable[[Params], Optimizer],
    options: Precise,
) -> None:
    """Compile or load the kernels before the clock starts, then measure this machine's peak."""
    with saying_when_it_compiles(console):
        make_kernels_ready(console, model, device, make_optimizer, options)
    if device != "cpu":
        return
    in_bf16 = options.precision == "bf16"
    limit = bf16_limit() if in_bf16 else gemm_limit()
    console.peak_rate = tokens_at_limit(model, limit)
    console.say(
        f"peak: matrix products run at {limit / 1e9:.0f} GFLOP/s{' in bf16' * in_bf16}: at most "
        f"{console.peak_rate:,.0f} tokens/s for this model"
    )


@contextlib.contextmanager
def _saying_how_to_continue(run: Path) -> Iterator[None]:
    """End a failure to write, of a file or of the report, in a sentence that says what to do."""
    try:
        yield
    except BrokenPipeError:  # no one reads the report any more
        raise
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise UserError(
            f"the run cannot continue ({error.strerror}{where}); everything saved in {run} is "
            f"intact, continue with `{_resume_command(run)}`"
        ) from None


def _resume_command(run: Path) -> str:
    return shell_command("tinygrad-llm", "train", "--resume", run)
