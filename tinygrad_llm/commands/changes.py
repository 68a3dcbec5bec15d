"""``train --resume RUN --steps N ...``: which options of a run may change, and what that means.

The optimizer, the data and the model stay: with others it would be another run. More steps, other
evaluations, checkpoints and samples, and another device continue the same run.
"""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.finetune_options import FinetuneOptions
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.run_options import MAY_CHANGE
from tinygrad_llm.training import runs
from tinygrad_llm.training.callbacks import EarlyStopping


def changes_of(options: TrainConfig | FinetuneOptions) -> dict[str, Any]:
    """The options given next to --resume, by name; raises UserError for one that may not change.

    These are the ones that were typed, also if they have their default, and those that differ from
    it.
    """
    default = type(options)(resume=options.resume)
    may_change = MAY_CHANGE if isinstance(options, TrainConfig) else ()
    changes = {}
    for name in (f.name for f in fields(options)):
        value = getattr(options, name)
        typed = name in getattr(options, "typed", ()) or value != getattr(default, name)
        if not typed or name in ("resume", "no_verify", "config"):
            continue
        if name not in may_change:
            shown = ", ".join(f"--{n.replace('_', '-')}" for n in may_change) or "none"
            raise UserError(
                "--resume takes its options from the run's run.json, and only some may change "
                f"({shown}): leave out --{name.replace('_', '-')}"
            )
        changes[name] = value
    return changes


def refuse_changes(changes: dict[str, Any], run: Path) -> None:
    """Raise UserError if there are any: the run is one of fine-tuning."""
    for name in changes:
        raise UserError(
            f"{run} is a run of fine-tuning, whose options cannot change: leave out "
            f"--{name.replace('_', '-')}"
        )


def changed(config: TrainConfig, changes: dict[str, Any], run: Path, step: int) -> TrainConfig:
    """A run's options with the changes; ``step`` is the last that is saved.

    Raises UserError for fewer steps than are done.
    """
    if (steps := changes.get("steps")) is not None and steps < step:
        raise UserError(
            f"--steps is {steps}, but {run} has done {step} steps already: name a larger number"
        )
    return replace(config, **changes)


def save_changes(console: PlainConsole, run: Path, before: TrainConfig, now: TrainConfig) -> None:
    """Write changed options to run.json, and say what changes."""
    differing = {
        f.name: getattr(now, f.name)
        for f in fields(now)
        if getattr(now, f.name) != getattr(before, f.name)
    }
    if not differing:
        return
    runs.change_options(run, differing)
    for name, value in differing.items():
        console.say(f"{name} is now {value} (it was {getattr(before, name)})")
    if "steps" in differing and now.schedule != "constant":
        console.say(
            f"note: the learning rate goes on as in a run of {now.steps} steps, and so may rise"
        )


def say_unused(console: PlainConsole, changes: dict[str, Any]) -> None:
    """Say which options change nothing in a run that has no steps left."""
    unused = [f"--{n.replace('_', '-')}" for n in changes if n not in ("steps", "patience")]
    if unused:
        console.say(f"note: no effect without more steps: {', '.join(unused)}")


def ended_early(config: TrainConfig, state: dict[str, Any]) -> bool:
    """Whether --patience has ended a run in this state."""
    stopping = EarlyStopping(config.patience)
    return bool(config.patience) and stopping.is_over(
        state["step"], state["best"], config.eval_every
    )
