"""``tinygrad-llm train --resume RUN``: continue a run exactly as if it had never stopped.

The options come from the run's run.json, the model, tokenizer and training state from its last
checkpoint. A run that was stopped before its first checkpoint starts again from the beginning; a
finished one gets whatever is missing (``finish.py``). Fine-tuning runs are continued in
``finetune_session.py``.
"""

from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygrad_llm.commands import finetune_session
from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.corpus import prepare_corpus
from tinygrad_llm.commands.finetune_options import FinetuneOptions
from tinygrad_llm.commands.finish import make_missing
from tinygrad_llm.commands.pretraining import make_loader, pretraining
from tinygrad_llm.commands.saved_run import (
    note_other_versions,
    options_of,
    saved_state,
    say_finished,
)
from tinygrad_llm.commands.session import locked, warm_up
from tinygrad_llm.commands.start import new_model
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.data import Prepared
from tinygrad_llm.data_options import DataOptions
from tinygrad_llm.device import arrays_on
from tinygrad_llm.errors import UserError
from tinygrad_llm.model import Model
from tinygrad_llm.optimizer_options import OptimizerOptions
from tinygrad_llm.pretrained.load import load_pretrained
from tinygrad_llm.training import runs
from tinygrad_llm.training.checkpoint import put_back, resolve_resume, run_of
from tinygrad_llm.training.metrics import is_finished
from tinygrad_llm.training.optim.from_options import make_optimizer

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer import Tokenizer


NEW_OPTIONS = frozenset(
    (
        "no_verify",
        "n_kv_head",
        "n_hidden",
        *(field.name for kind in (DataOptions, OptimizerOptions) for field in fields(kind)),
    )
)
"""Options that runs of earlier versions do not have."""


def resume(console: PlainConsole, options: TrainConfig | FinetuneOptions, started: float) -> int:
    """Continue the run that ``options.resume`` names; returns the exit code."""
    _check_no_other_options(options)
    run = run_of(str(options.resume))
    with locked(console, run):
        put_back(run)
        run, checkpoint = resolve_resume(str(options.resume))
        content = runs.read_run_file(run)
        if checkpoint is None:
            console.say(
                f"{run} was stopped before its first checkpoint: starting from the beginning"
            )
        if "task" in content:
            return finetune_session.resume(
                console, run, checkpoint, content, started, verify=not options.no_verify
            )
        config = options_of(content, run, TrainConfig, NEW_OPTIONS)
        arrays_on(config.device)
        saved = None
        if checkpoint is None:
            model, tokenizer, prepared = new_model(console, config)
        else:
            saved = saved_state(console, run, checkpoint, verify=not options.no_verify)
            if is_finished(run / runs.METRICS_FILE) and saved.state["step"] == config.steps:
                say_finished(console, run, config.steps)
                return make_missing(console, run, config)
            model, tokenizer, prepared = _saved_model(console, config, run, checkpoint)
        _check_same_corpus(run, checkpoint, config, prepared.meta, content.get("corpus", {}))
        note_other_versions(console, content["versions"])
        loader = make_loader(config, model.config, prepared)
        warm_up(console, model.config, config.device, partial(make_optimizer, options=config))
        session = pretraining(
            console, run, config, model, tokenizer, prepared, loader, started, saved
        )
        return session.train()


def _check_no_other_options(options: TrainConfig | FinetuneOptions) -> None:
    """Refuse other options next to --resume: they would be ignored."""
    allowed = ("resume", "no_verify")
    default = type(options)(resume=options.resume)
    for f in fields(options):
        if f.name not in allowed and getattr(options, f.name) != getattr(default, f.name):
            raise UserError(
                f"--resume takes all options from the run's run.json: leave out "
                f"--{f.name.replace('_', '-')}"
            )


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
    _, prepared = prepare_corpus(console, config.data, tokenizer=tokenizer, options=config)
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
