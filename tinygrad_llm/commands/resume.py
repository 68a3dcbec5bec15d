"""``tinygrad-llm train --resume RUN``: continue a run exactly as if it had never stopped.

The options come from the run's run.json, the model, tokenizer and training state from its last
checkpoint. A run that was stopped before its first checkpoint starts again from the beginning; a
finished one gets whatever is missing (``finish.py``).
"""

import types
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.corpus import prepare_corpus
from tinygrad_llm.commands.finish import make_missing
from tinygrad_llm.commands.pretraining import make_loader, pretraining
from tinygrad_llm.commands.session import SavedState, locked, warm_up
from tinygrad_llm.commands.start import new_model
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.data import CleanOptions, Prepared
from tinygrad_llm.device import arrays_on
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import check_json
from tinygrad_llm.model import Model
from tinygrad_llm.pretrained.load import load_pretrained
from tinygrad_llm.training import runs
from tinygrad_llm.training.checkpoint import (
    check_same_run,
    load_training_state,
    put_back,
    resolve_resume,
    run_of,
    verify_checkpoint,
)
from tinygrad_llm.training.metrics import check_steps, is_finished

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer import Tokenizer


def resume(console: PlainConsole, options: TrainConfig, started: float) -> int:
    """Continue the run that ``options.resume`` names; returns the exit code."""
    _check_no_other_options(options)
    run = run_of(str(options.resume))
    with locked(console, run):
        put_back(run)
        run, checkpoint = resolve_resume(str(options.resume))
        content = runs.read_run_file(run)
        config = options_of(content, run)
        arrays_on(config.device)
        if checkpoint is None:
            console.say(
                f"{run} was stopped before its first checkpoint: starting from the beginning"
            )
            saved = None
            model, tokenizer, prepared = new_model(console, config)
        else:
            saved = _saved_state(console, run, checkpoint, verify=not options.no_verify)
            if is_finished(run / runs.METRICS_FILE) and saved.state["step"] == config.steps:
                console.say(
                    f"{run} is finished: {config.steps} of {config.steps} steps; start a new run "
                    "for more steps"
                )
                return make_missing(console, run, config)
            model, tokenizer, prepared = _saved_model(console, config, run, checkpoint)
        _check_same_corpus(run, checkpoint, config, prepared.meta, content.get("corpus", {}))
        _note_other_versions(console, content["versions"])
        loader = make_loader(config, model.config, prepared)
        warm_up(console, model.config, config.device)
        session = pretraining(
            console, run, config, model, tokenizer, prepared, loader, started, saved
        )
        return session.train()


def _check_no_other_options(options: TrainConfig) -> None:
    """Refuse other options next to --resume: they would be ignored."""
    allowed = ("resume", "no_verify")
    default = TrainConfig()
    for f in fields(options):
        if f.name not in allowed and getattr(options, f.name) != getattr(default, f.name):
            raise UserError(
                f"--resume takes all options from the run's run.json: leave out "
                f"--{f.name.replace('_', '-')}"
            )


# --- what was saved ----------------------------------------------------------------------------

NEW_OPTIONS = {"no_verify", "min_ascii_share", "n_kv_head", "n_hidden"}
"""Options that runs of earlier versions do not have; they get their defaults."""


def options_of(content: dict[str, Any], run: Path) -> TrainConfig:
    """The options in a run.json, checked as those of the command line are."""
    hints = get_type_hints(TrainConfig)
    schema = {
        f.name + "?" * (f.name in NEW_OPTIONS): _kind(hints[f.name]) for f in fields(TrainConfig)
    }
    where, advice = f"{run / runs.RUN_FILE} (options)", "start a new run"
    check_json(content["options"], where, schema, advice=advice)
    try:
        return TrainConfig(**content["options"])
    except UserError as error:
        raise UserError(f"{where}: {error}; {advice}") from None


def _kind(hint: Any) -> Any:
    """A field's type as json_file.py spells it: Literal["a", "b"] or None is ("a", "b", None)."""
    if get_origin(hint) in (Union, types.UnionType, Literal):
        return tuple(_kind(one) for one in get_args(hint))
    return None if hint is type(None) else hint


def _saved_state(console: PlainConsole, run: Path, checkpoint: Path, *, verify: bool) -> SavedState:
    """The training state of a checkpoint; nothing in it is used before all of it is checked."""
    if verify and (note := verify_checkpoint(checkpoint)):
        console.say(note)
    arrays, state = load_training_state(checkpoint)
    if verify:
        check_same_run(run, state)
        check_steps(run / runs.METRICS_FILE, state["step"])
    return SavedState(checkpoint, arrays, state)


def _saved_model(
    console: PlainConsole, config: TrainConfig, run: Path, checkpoint: Path
) -> tuple[Model, "Tokenizer", Prepared]:
    """The model, tokenizer and corpus that a run continues with."""
    from tinygrad_llm.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(checkpoint)
    model = load_pretrained(checkpoint)[0].to(config.device).train()
    if (shape := config.model_config(tokenizer.vocab_size)) != model.config:
        raise UserError(
            f"{checkpoint} holds a model of {model.config}, but {run / runs.RUN_FILE} and the "
            f"tokenizer next to the model ask for {shape}: they do not belong together"
        )
    clean = CleanOptions(config.min_ascii_share)
    _, prepared = prepare_corpus(console, config.data, tokenizer=tokenizer, options=clean)
    return model, tokenizer, prepared


# --- what must not have changed ----------------------------------------------------------------


def _check_same_corpus(
    run: Path,
    checkpoint: Path | None,
    config: TrainConfig,
    now: dict[str, Any],
    before: dict[str, Any],
) -> None:
    """Raise UserError unless the tokens are those that the run was started with."""
    if now["tokenizer"] != before.get("tokenizer"):
        raise UserError(
            f"the tokenizer in {checkpoint or run} is not the one that {run} was started with; "
            "use another checkpoint, or start a new run"
        )
    if now["files"] != before.get("files"):
        raise UserError(
            f"the corpus {config.data} has changed since {run} was started (another Python, or "
            "edited files), so the run cannot continue as it was; start a new run"
        )


def _note_other_versions(console: PlainConsole, before: dict[str, str]) -> None:
    """Say which versions have changed: they may round differently."""
    for name, now in runs.versions().items():
        if before.get(name) != now:
            console.say(
                f"note: the run was started with {name} {before.get(name)}, this is {now}: "
                "results may differ slightly from an uninterrupted run"
            )
