"""``tinygrad-llm train --resume RUN``: continue a run exactly as if it had never stopped.

The options come from the run's run.json, the model, tokenizer and training state from its last
checkpoint. A run that was stopped before its first checkpoint starts again from the beginning; a
finished one gets whatever is missing (``finish.py``). Fine-tuning runs are continued in
``finetune_session.py``.
"""

import json
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygrad_llm.commands import finetune_session
from tinygrad_llm.commands.changes import (
    changed,
    changes_of,
    ended_early,
    refuse_changes,
    save_changes,
    say_unused,
)
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
from tinygrad_llm.config import ModelConfig, TrainConfig
from tinygrad_llm.data import Prepared
from tinygrad_llm.data_options import DataOptions
from tinygrad_llm.device import arrays_on
from tinygrad_llm.errors import UserError
from tinygrad_llm.machine.precision import check_precision
from tinygrad_llm.model import Model
from tinygrad_llm.optimizer_options import OptimizerOptions
from tinygrad_llm.precision_options import PrecisionOptions
from tinygrad_llm.pretrained.load import load_pretrained
from tinygrad_llm.terminal import shell_command
from tinygrad_llm.training import runs
from tinygrad_llm.training.checkpoint import put_back, resolve_resume, run_of
from tinygrad_llm.training.logs import check_log
from tinygrad_llm.training.metrics import is_finished
from tinygrad_llm.training.optim.from_options import make_optimizer

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer import Tokenizer


NEW_OPTIONS = frozenset(
    (
        "no_verify",
        "config",
        "init_from",
        "keep",
        "patience",
        "log",
        "recompute",
        "n_kv_head",
        "n_hidden",
        *(
            field.name
            for kind in (DataOptions, OptimizerOptions, PrecisionOptions)
            for field in fields(kind)
        ),
    )
)
"""Options that runs of earlier versions do not have."""


def resume(console: PlainConsole, options: TrainConfig | FinetuneOptions, started: float) -> int:
    """Continue the run that ``options.resume`` names; returns the exit code."""
    changes = changes_of(options)
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
            refuse_changes(changes, run)
            return finetune_session.resume(
                console, run, checkpoint, content, started, verify=not options.no_verify
            )
        before = options_of(content, run, TrainConfig, NEW_OPTIONS)
        config, saved = changed(before, changes, run, 0), None
        arrays_on(config.device)
        check_log(config.log)
        check_precision(console, config, config.device, run / runs.RUN_FILE)
        if checkpoint is None:
            model, tokenizer, prepared = new_model(console, config)
        else:
            saved = saved_state(console, run, checkpoint, verify=not options.no_verify)
            step = saved.state["step"]
            config = changed(before, changes, run, step)
            ended = step == config.steps or ended_early(config, saved.state)
            if is_finished(run / runs.METRICS_FILE) and ended:
                say_finished(console, run, step, config.steps, _how_to_go_on(config, step))
                say_unused(console, changes)
                return make_missing(console, run, config)
            model, tokenizer, prepared = _saved_model(console, config, run, checkpoint)
        described = content.get("model") or asdict(config.model_config(tokenizer.vocab_size))
        _check_same_shape(run, checkpoint, model.config, described)
        _check_same_corpus(run, checkpoint, config, prepared.meta, content.get("corpus", {}))
        note_other_versions(console, content["versions"])
        loader = make_loader(config, model.config, prepared)
        make = partial(make_optimizer, options=config)
        warm_up(console, model.config, config.device, make, config)
        save_changes(console, run, before, config)
        session = pretraining(
            console, run, config, model, tokenizer, prepared, loader, started, saved
        )
        return session.train()


def _how_to_go_on(config: TrainConfig, step: int) -> str:
    if step == config.steps:
        return f"--steps N with more than {step} extends it"
    return f"--patience {config.patience} has ended it, and --patience 0 goes on"


def _saved_model(
    console: PlainConsole,
    config: TrainConfig,
    run: Path,
    checkpoint: Path,
) -> tuple[Model, "Tokenizer", Prepared]:
    """The model, tokenizer and corpus that a run continues with."""
    model, tokenizer = load_pretrained(checkpoint)
    if tokenizer is None:
        raise UserError(f"{checkpoint} has no tokenizer.json: resume from another checkpoint")
    model = model.to(config.device).train()
    _check_corpus_exists(run, config.data)
    _, prepared = prepare_corpus(console, config.data, tokenizer=tokenizer, options=config)
    return model, tokenizer, prepared


# --- what must not have changed ----------------------------------------------------------------


def _check_corpus_exists(run: Path, data: str) -> None:
    """Raise UserError if the corpus was one file or folder, which is gone."""
    if Path(data).is_absolute() and not set(data) & set(",:*?[") and not Path(data).exists():
        raise UserError(
            f"the corpus {data}, which {run} was started with, is gone: put it back, or train on "
            f"other text with `{shell_command('tinygrad-llm', 'train', '--init-from', run)} --data "
            "SOURCE`"
        )


def _check_same_shape(
    run: Path, checkpoint: Path | None, model: ModelConfig, expected: dict[str, Any]
) -> None:
    """Raise UserError unless the model has the shape that the run was started with.

    Which is not that of its preset if the preset has been changed since.
    """
    shape, expected = json.loads(json.dumps([asdict(model), expected]))
    differences = [
        f"{name} is {shape.get(name)}, expected {value}"
        for name, value in expected.items()
        if shape.get(name) != value
    ]
    if differences:
        raise UserError(
            f"{checkpoint or run} does not have the model that {run / runs.RUN_FILE} describes "
            f"({'; '.join(differences)}): use another checkpoint, or start a new run"
        )


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
