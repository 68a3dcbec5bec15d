"""The training loop.

    for each step:
        gradients of the loss of a batch        forward, backward
        scale them down if they are too long    clipping
        move the weights against them           the optimizer, learning rate of this step

The trainer is handed everything it works with and decides only the order: it knows no tokenizer, no
data and no file format. What the model learns from is a task (task.py). Only two parts of a step
draw random numbers, the task and the model's dropout, and the saved state includes both; so a
resumed run continues with exactly the numbers it would have had.
"""

import collections
import math
import time
from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import numpy as np

from autograd.kernels.product import packed_weights_held
from autograd.questions import see
from tinygrad_llm.errors import UserError
from tinygrad_llm.machine.interrupt import StopSignals
from tinygrad_llm.machine.precision import Precise, computing_in
from tinygrad_llm.training.callbacks import call, check_callbacks
from tinygrad_llm.training.metrics import Metrics, MetricsWriter
from tinygrad_llm.training.optim import Optimizer, clip_scale, global_norm
from tinygrad_llm.training.schedule import Schedule, learning_rate
from tinygrad_llm.training.task import Task

if TYPE_CHECKING:
    from tinygrad_llm.model import Model
    from tinygrad_llm.training.checkpoint import Checkpoints

FLUSH_SECONDS = 2.0  # metrics are written at this pace, and before every checkpoint


class Console(Protocol):
    """Where the trainer reports its progress."""

    def start(self, done: int, total: int) -> None: ...

    def step(self, line: Metrics, loss: float, note: str) -> None: ...

    def stop(self) -> None: ...

    def say(self, text: str) -> None: ...


class Options(Precise, Protocol):
    """The options of the loop, as in TrainConfig; all are numbers once a recipe has filled them."""

    @property
    def steps(self) -> int | None: ...
    @property
    def lr(self) -> float | None: ...
    @property
    def min_lr_ratio(self) -> float: ...
    @property
    def warmup_steps(self) -> int | None: ...
    @property
    def grad_clip(self) -> float: ...
    @property
    def eval_every(self) -> int: ...
    @property
    def save_every(self) -> int: ...


class Trainer:
    """Trains ``model`` on ``task`` for ``config.steps`` steps.

    ``checkpoints`` has ``save(model, arrays, state, best_step)``. ``config`` must be complete
    (``TrainConfig.with_recipe``). ``schedule`` gives the learning rate of a step, counted from 0;
    None means the warm-up and cosine of ``config``. ``callbacks`` are described in callbacks.py.
    """

    def __init__(
        self,
        model: "Model",
        task: Task,
        optimizer: Optimizer,
        config: Options,
        *,
        checkpoints: "Checkpoints",
        metrics: MetricsWriter,
        console: Console,
        schedule: Schedule | None = None,
        callbacks: Iterable[object] = (),
    ) -> None:
        self.model, self.task, self.optimizer, self.config = model, task, optimizer, config
        self.checkpoints, self.metrics, self.console = checkpoints, metrics, console
        self.schedule, self.callbacks = schedule, check_callbacks(callbacks)
        self.parameters = list(optimizer.params.values())
        self.step = 0  # steps done
        self.best: dict[str, Any] | None = None  # step and val_loss of the best evaluation so far
        self.stopped: str | None = None  # why the training is to end before the last step
        self._saved_step: int | None = None
        self._flushed = time.monotonic()

    # --- one step ------------------------------------------------------------------------------

    def train_step(self) -> Metrics:
        """Do one optimizer step and return its line of metrics.

        The micro-batches' losses are means, each weighted by its share of all terms, so the
        gradient is that of a single large batch, wherever the masked targets are. Raises UserError,
        before any weight is changed, if the loss or a gradient is not finite.
        """
        start = time.perf_counter()
        names = self.task.names
        total_loss, means, shares = 0.0, collections.Counter[str](), collections.Counter[str]()
        with computing_in(self.config):
            step = self.task.next_step()
            terms = sum(batch.terms for batch in step.batches)
            with packed_weights_held() if len(step.batches) > 1 else nullcontext():
                for batch in step.batches:
                    share = batch.terms / max(1, terms)
                    loss, metrics = self.task.loss(batch.content)
                    total_loss += share * loss.item()
                    means.update({name: share * value for name, value in metrics.items()})
                    shares.update(dict.fromkeys(metrics, share))
                    loss.backward(np.asarray(share, dtype=loss.dtype))
        norm = global_norm(self.parameters)
        if not math.isfinite(total_loss):
            self._stop_at_bad_number(f"the loss is {total_loss}", self.step + 1)
        if not math.isfinite(norm):
            self._stop_at_bad_number(f"the gradient norm is {norm}", self.step + 1)

        self.optimizer.lr = self.learning_rate()
        self.optimizer.step(grad_scale=clip_scale(norm, self.config.grad_clip))
        self.optimizer.zero_grad()
        self.step += 1
        tokens = sum(batch.tokens for batch in step.batches)
        return {
            "step": self.step,
            names.loss: total_loss,
            names.learning_rate: self.optimizer.lr,
            "grad_norm": norm,
            "tokens_per_second": tokens / (time.perf_counter() - start),
            **step.metrics,
            # a micro-batch may lack a metric: of answers that it has none of, for example
            **{name: total / (shares[name] or 1) for name, total in means.items()},
        }

    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        if self.schedule is not None:
            return self.schedule(self.step)
        c = self.config
        assert c.lr is not None and c.steps is not None and c.warmup_steps is not None
        return learning_rate(
            self.step,
            peak=c.lr,
            floor=c.lr * c.min_lr_ratio,
            warmup_steps=c.warmup_steps,
            steps=c.steps,
        )

    def _stop_at_bad_number(self, what: str, step: int) -> NoReturn:
        self.metrics.flush()
        raise UserError(
            f"{what} at step {step}: {self._first_bad_tensor()}; earlier checkpoints are "
            "unaffected: try a lower --lr or --grad-clip"
            + see("Why do gradients explode and vanish?")
        )

    def _first_bad_tensor(self) -> str:
        for kind in ("parameter", "gradient of"):
            for name, p in self.optimizer.params.items():
                tensor = p if kind == "parameter" else p.grad
                if tensor is None:
                    continue
                bad = tensor.size - int(np.isfinite(tensor.numpy()).sum())
                if bad:
                    return (
                        f"the first tensor that is not finite is the {kind} {name} "
                        f"({bad:,} of {tensor.size:,} numbers)"
                    )
        return "all parameters and gradients are finite, so an activation overflowed"

    # --- the loop ------------------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """End the training after the current step, which is saved; for callbacks."""
        self.stopped = reason

    def train(self) -> int | None:
        """Do the remaining steps; returns the number of the signal that stopped it, or None.

        On Ctrl-C or SIGTERM, and if a callback asks for it, the current step is finished and saved
        first.
        """
        steps = self.config.steps
        assert steps is not None
        with StopSignals() as signals:
            self.console.start(self.step, steps)
            try:
                while self.step < steps and signals.received is None and self.stopped is None:
                    self._advance(last=self.step + 1 == steps)
                self._save()
                self.metrics.flush()
            finally:
                self.console.stop()
        return signals.received

    def _advance(self, last: bool) -> None:
        c, names = self.config, self.task.names
        line = self.train_step()
        improved = False
        if evaluates := self.step % c.eval_every == 0 or last:
            with computing_in(c):
                result = self.task.quick_evaluation()
            validation_loss = result[names.validation_loss]
            if not math.isfinite(validation_loss):
                self._stop_at_bad_number(f"the validation loss is {validation_loss}", self.step)
            line.update(result)
            improved = self.best is None or validation_loss < self.best["val_loss"]
            if improved:
                self.best = {"step": self.step, "val_loss": validation_loss}
        self.metrics.write(line)
        self.console.step(line, line[names.loss], self.task.note(line))
        call(self.callbacks, "on_step", self, line)
        if evaluates:
            call(self.callbacks, "on_evaluate", self, line)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.metrics.flush()
            self._flushed = time.monotonic()
        if self.step % c.save_every == 0 or improved or last:
            self._save()

    def final_evaluation(self) -> str:
        """Use all validation data, write the last line of the metrics, and return a sentence."""
        with computing_in(self.config):
            metrics, sentence = self.task.final_evaluation()
        self.metrics.write({"step": self.step, **metrics, "final": True})
        self.metrics.sync()
        return sentence

    # --- the state -----------------------------------------------------------------------------

    def _save(self) -> None:
        if self._saved_step == self.step:
            return
        if not all(np.isfinite(p.numpy()).all() for p in self.parameters):
            self._stop_at_bad_number("the weights are not all finite", self.step)
        self.metrics.sync()  # a checkpoint must not be ahead of the metrics on disk
        arrays, state = self.state()
        best_step = self.best["step"] if self.best else None
        folder = self.checkpoints.save(self.model, arrays, state, best_step)
        self._saved_step = self.step
        call(self.callbacks, "on_save", self, folder)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything except the weights that the next steps depend on: (arrays, JSON data)."""
        rng = self.model.rng
        state = {
            "step": self.step,
            "best": self.best,
            "loader": self.task.state_dict(),
            "random": {} if rng is None else {"model": rng.bit_generator.state},
        }
        return self.optimizer.state_dict(), state

    def load_state(self, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
        """Continue from a ``state()``. Raises UserError for one that does not fit."""
        steps = {int(value) for name, value in arrays.items() if name.endswith(".step")}
        if state.get("step") != max(steps, default=0):
            raise UserError(
                f"the optimizer has done {max(steps, default=0)} steps, but the training state is "
                f"that of step {state.get('step')}: they do not belong together"
            )
        self.optimizer.load_state_dict(arrays)
        try:
            with computing_in(self.config):  # GRPO computes the reference's log-probabilities
                self.task.load_state_dict(state["loader"])
            if self.model.rng is not None:
                self.model.rng.bit_generator.state = state["random"]["model"]
            self.step, self.best = state["step"], state["best"]
        except (KeyError, TypeError) as error:
            raise UserError(f"the training state is incomplete or damaged ({error!r})") from None
        self._saved_step = self.step
