"""What a run has saved, for the commands that continue it: its options and its training state.

Everything is checked before any of it is used.
"""

import types
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.session import SavedState
from tinygrad_llm.counts import counted
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import check_json
from tinygrad_llm.training import runs
from tinygrad_llm.training.checkpoint import (
    STATE_SCHEMA,
    check_same_run,
    load_training_state,
    verify_checkpoint,
)
from tinygrad_llm.training.metrics import check_steps

Options = TypeVar("Options")


def options_of(
    content: dict[str, Any], run: Path, kind: type[Options], new: frozenset[str] = frozenset()
) -> Options:
    """The options in a run.json as a ``kind``, checked as those of the command line are.

    ``new`` are options that runs of earlier versions do not have; they get their defaults.
    """
    hints = get_type_hints(kind)
    schema = {
        f.name + "?" * (f.name in new): _kind(hints[f.name])
        for f in fields(kind)  # type: ignore[arg-type]
    }
    where, advice = f"{run / runs.RUN_FILE} (options)", "start a new run"
    check_json(content["options"], where, schema, advice=advice)
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in content["options"].items()
    }
    try:
        return kind(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}; {advice}") from None


def _kind(hint: Any) -> Any:
    """A field's type as json_file.py spells it: Literal["a", "b"] or None is ("a", "b", None), and
    tuple[str, ...] is [str]."""
    if get_origin(hint) is tuple:
        return [_kind(get_args(hint)[0])]
    if get_origin(hint) in (Union, types.UnionType, Literal):
        return tuple(_kind(one) for one in get_args(hint))
    return None if hint is type(None) else hint


def saved_state(
    console: PlainConsole, run: Path, checkpoint: Path, schema: Any = STATE_SCHEMA, *, verify: bool
) -> SavedState:
    """The training state of a checkpoint; nothing in it is used before all of it is checked."""
    if verify and (note := verify_checkpoint(checkpoint)):
        console.say(note)
    arrays, state = load_training_state(checkpoint, schema)
    if verify:
        check_same_run(run, state)
        check_steps(run / runs.METRICS_FILE, state["step"])
    return SavedState(checkpoint, arrays, state)


def say_finished(
    console: PlainConsole, run: Path, done: int, steps: int | None, advice: str
) -> None:
    """Say that there is nothing left to train."""
    console.say(f"{run} is finished: {done} of {counted(steps or 0, 'step')}; {advice}")


def note_other_versions(console: PlainConsole, before: dict[str, str]) -> None:
    """Say which versions have changed: they may round differently."""
    for name, now in runs.versions().items():
        if before.get(name) != now:
            console.say(
                f"note: the run was started with {name} {before.get(name)}, this is {now}: "
                "results may differ slightly from an uninterrupted run"
            )
