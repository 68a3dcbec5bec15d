"""Callbacks: what a user's own code does at certain points of the training loop.

A callback is any object with one or more of these methods. They are called in the order in which
the callbacks were given, with the trainer, whose model, optimizer and step may be looked at.

    on_step(trainer, line)            after each step: its line of metrics, which is written
    on_evaluate(trainer, line)        after a quick evaluation, whose results are in the line
    on_save(trainer, checkpoint)      after a checkpoint: its folder

    class Print:
        def on_evaluate(self, trainer, line):
            print(trainer.step, line["val_loss"])

    Trainer(..., callbacks=[Print()])

A callback ends the training early with ``trainer.stop("why")``: the step is saved, and what follows
the last step follows. An error in a callback ends it at once. What a callback draws or measures
must not change the weights or the trainer's random numbers if a resumed run is to equal an
uninterrupted one. Its own state is not saved.
"""

from collections.abc import Iterable
from typing import Any, Protocol

from tinygrad_llm.training.metrics import Metrics


class Evaluates(Protocol):
    """What a configuration must say for ``EarlyStopping``."""

    @property
    def eval_every(self) -> int: ...


class Stoppable(Protocol):
    """What ``EarlyStopping`` uses of a Trainer."""

    step: int
    best: dict[str, Any] | None

    @property
    def config(self) -> Evaluates: ...

    def stop(self, reason: str) -> None: ...


EVENTS = ("on_step", "on_evaluate", "on_save")


def check_callbacks(callbacks: Iterable[object]) -> list[object]:
    """The callbacks as a list; raises TypeError for one that has none of the methods."""
    checked = list(callbacks)
    for callback in checked:
        if not any(callable(getattr(callback, event, None)) for event in EVENTS):
            raise TypeError(
                f"a callback of type {type(callback).__name__} has none of the methods "
                f"{', '.join(EVENTS)}, so it would never be called"
            )
        if isinstance(callback, type):
            raise TypeError(
                f"the callback {callback.__name__} is a class, expected an object: "
                f"{callback.__name__}()"
            )
    return checked


def call(callbacks: Iterable[object], event: str, trainer: Any, argument: Any) -> None:
    """Call the method ``event`` of every callback that has it."""
    for callback in callbacks:
        method = getattr(callback, event, None)
        if method is not None:
            method(trainer, argument)


class EarlyStopping:
    """Stops when the last ``patience`` evaluations have not improved the validation loss.

    It remembers nothing: the trainer's best evaluation says how long ago the last improvement was.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_evaluate(self, trainer: Stoppable, line: Metrics) -> None:
        if self.is_over(trainer.step, trainer.best, trainer.config.eval_every):
            evaluations = "evaluation" if self.patience == 1 else "evaluations"
            trainer.stop(f"the validation loss has not improved in {self.patience} {evaluations}")

    def is_over(self, step: int, best: dict[str, Any] | None, eval_every: int) -> bool:
        """Whether a run with this best evaluation is to stop after ``step``."""
        return best is not None and step - best["step"] >= self.patience * eval_every
