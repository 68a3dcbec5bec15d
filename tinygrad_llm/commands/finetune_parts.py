"""What one kind of fine-tuning puts into a session: see ``Parts``.

A kind is a module commands/finetune_<name>.py with

    prepare(console, options, base) -> Parts     reads the data and makes the task
    PICTURES                                     file name -> a function that draws it from a run

a class of options, and a row in finetune_kinds.py. Everything else is the same for all of them
(finetune_session.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinygrad_llm.commands.finetune_options import FinetuneOptions
from tinygrad_llm.model import Model
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.training.task import Task

Picture = Callable[[Path], None]
"""Draws a picture of a run: its argument is the run's folder, in which the file is written."""


@dataclass(frozen=True)
class Base:
    """The model to start from, with its tokenizer. A kind may change the model."""

    path: Path
    """The files of the model; if adapters were merged into it, the folder of the last."""
    model: Model
    tokenizer: Tokenizer


@dataclass(frozen=True)
class Parts:
    """What a session needs of a kind.

    When a run is continued, the kind prepares it as at its start, from the same model and data;
    then ``load_model`` and ``task.load_state_dict`` bring both to where the checkpoint was taken.
    """

    options: FinetuneOptions
    """The options, with the number of steps filled in."""
    model: Any
    """What learns, with the attributes of a Model that the Trainer uses."""
    task: Task
    state_schema: Any
    """What ``task.state_dict`` looks like (files/json_file.py)."""
    step_size: str
    """What a step learns from, for the report: "16 texts"."""
    save_model: Callable[[Any, Path], None]
    """Writes the model, and the tokenizer, into a folder."""
    load_model: Callable[[Any, Path], None]
    """Gives the model the weights in such a folder."""
    before: Callable[[Path], None] = lambda run: None
    """What precedes the first step, such as samples of the base model."""
    after_evaluation: Callable[[Path, int], None] = lambda run, step: None
    """What follows each evaluation, given the step, such as samples. Its checkpoint comes later: a
    run that is killed between the two does both again."""
    after: dict[str, Callable[[Path], None]] = field(default_factory=dict)
    """What follows the last step, by name ("the samples"). The final evaluation comes after it:
    once that is written, the run is finished, and only pictures are made again."""
    best: str = "lowest validation loss"
    """Why the best checkpoint is the best."""
    advice: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What can be done with the run, by name: a command of ours, to which the run is added."""


def steps_of(options: FinetuneOptions, rows: int) -> int:
    """The number of steps of a run over ``rows`` rows: --steps, or what --epochs comes to."""
    if options.steps is not None:
        return options.steps
    return max(1, round(options.epochs * rows / (options.batch_size * options.grad_accumulation)))
