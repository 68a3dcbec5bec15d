"""A fine-tuning run from its start, or from where it was stopped, to its end.

Both ways lead through ``_prepare``: the same model, data and options give the same beginning, and a
checkpoint then brings the weights, the optimizer and the position in the data to where it was
saved. run.json has the sha256 of the model's files and of the data, so that neither can change
unnoticed.
"""

import importlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.finetune_finish import finish, make_missing
from tinygrad_llm.commands.finetune_kinds import KINDS
from tinygrad_llm.commands.finetune_options import FinetuneOptions
from tinygrad_llm.commands.finetune_parts import Base, Parts
from tinygrad_llm.commands.finetune_storage import adapt
from tinygrad_llm.commands.models import find_parts, load_parts
from tinygrad_llm.commands.saved_run import (
    note_other_versions,
    options_of,
    saved_state,
    say_finished,
)
from tinygrad_llm.commands.session import (
    SavedState,
    Session,
    locked,
    make_kernels_ready,
    saying_when_it_compiles,
)
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import file_sha256, user_path
from tinygrad_llm.finetune.rewards import file_of, with_file
from tinygrad_llm.machine.precision import check_precision, computing_in
from tinygrad_llm.model.freezing import trainable_parameters, training_cost
from tinygrad_llm.model.summary import parameter_count
from tinygrad_llm.precision_options import PrecisionOptions
from tinygrad_llm.training import runs
from tinygrad_llm.training.checkpoint import Checkpoints, state_schema, step_of
from tinygrad_llm.training.metrics import Metrics, is_finished
from tinygrad_llm.training.optim import Optimizer
from tinygrad_llm.training.optim.from_options import make_optimizer
from tinygrad_llm.training.optim.optimizer import Params
from tinygrad_llm.training.trainer import Trainer

DATA = ("data", "validation_data", "test_data")
"""The options that name files of data."""
NEW_OPTIONS = frozenset(
    ("optimizer", "momentum", "nesterov", "muon_factor", "adamw_lr_ratio")
    + tuple(field.name for field in fields(PrecisionOptions))
)
"""Options that runs of earlier versions do not have."""


def start(console: PlainConsole, options: FinetuneOptions, started: float) -> int:
    """Fine-tune in a new run; returns the exit code."""
    runs.check_out(options.out)
    check_precision(console, options)
    options = _with_absolute_paths(options)
    inputs = _inputs(options)
    with saying_when_it_compiles(console):
        base, parts = _prepare(console, options)
        run = runs.create_run(options.out, options.task)
        with locked(console, run):
            _write_run_file(run, base, parts, inputs)
            parts.before(run)
            return _session(console, run, base, parts, started).train()


def resume(
    console: PlainConsole,
    run: Path,
    checkpoint: Path | None,
    content: dict[str, Any],
    started: float,
    *,
    verify: bool,
) -> int:
    """Continue a run, which this process has locked, from ``checkpoint``; returns the exit code.

    ``content`` is that of its run.json. Without a checkpoint it starts from the beginning.
    """
    task = content["task"]
    if task not in KINDS:
        raise UserError(
            f"{run / runs.RUN_FILE} is of a run of {task!r}, which this version does not know; "
            f"known are {', '.join(KINDS)}"
        )
    options = options_of(content, run, KINDS[task], NEW_OPTIONS)
    if checkpoint is not None and _is_finished(run, checkpoint, options):
        done = options.steps or 0
        say_finished(console, run, done, done, "start a new run for more steps")
        return make_missing(console, run, _module(options).PICTURES)
    check_precision(console, options, run_file=run / runs.RUN_FILE)
    _check_inputs(run, _inputs(options), content.get("inputs", {}))
    with saying_when_it_compiles(console):
        base, parts = _prepare(console, options)
        note_other_versions(console, content["versions"])
        saved = None
        if checkpoint is None:
            parts.before(run)
        else:
            schema = state_schema(parts.state_schema)
            saved = saved_state(console, run, checkpoint, schema, verify=verify)
            parts.load_model(parts.model, checkpoint)
        return _session(console, run, base, parts, started, saved).train()


def _is_finished(run: Path, checkpoint: Path, options: FinetuneOptions) -> bool:
    return is_finished(run / runs.METRICS_FILE) and step_of(checkpoint) == options.steps


# --- the session ---------------------------------------------------------------------------------


def _module(options: FinetuneOptions) -> Any:
    return importlib.import_module(f"tinygrad_llm.commands.finetune_{options.task}")


def _prepare(console: PlainConsole, options: FinetuneOptions) -> tuple[Base, Parts]:
    """The model to start from, and what the kind makes of it and of the data."""
    path, adapters = find_parts(str(options.model), options.adapter)
    model, tokenizer = load_parts(path, adapters, options.weights)
    if tokenizer is None:
        raise UserError(
            f"{path} has no tokenizer: there must be a tokenizer.json next to the model"
        )
    base = Base([path, *adapters][-1], model, tokenizer)
    console.say(f"model       {path}: {parameter_count(model.config):,} parameters")
    for adapter in adapters:
        console.say(f"adapter     {adapter}, merged into the model: the run starts from there")
    adapt(model, options)
    with computing_in(options):  # as the training does: a reference is compared with the model
        parts: Parts = _module(options).prepare(console, options, base)
    parts.model.train()
    make = _make_optimizer(options)
    optimizer = make(trainable_parameters(parts.model))
    cost = training_cost(parts.model, optimizer.remembered, optimizer.state_size())
    console.say(f"to train    {cost}")
    make_kernels_ready(console, model.config, make_optimizer=make, options=options)
    return base, parts


def _session(
    console: PlainConsole,
    run: Path,
    base: Base,
    parts: Parts,
    started: float,
    saved: SavedState | None = None,
) -> Session:
    checkpoints = Checkpoints(run, base.tokenizer, parts.save_model)
    pictures = _module(parts.options).PICTURES
    return Session(
        run, parts.options, parts.model, parts.task, _make_optimizer(parts.options), checkpoints,
        console, finish=lambda trainer: finish(console, trainer, run, parts, pictures, started),
        step_size=parts.step_size, saved=saved,
        callbacks=[_AfterEvaluation(partial(parts.after_evaluation, run))],
    )  # fmt: skip


def _make_optimizer(options: FinetuneOptions) -> Callable[[Params], Optimizer]:
    return partial(make_optimizer, options=options)


@dataclass(frozen=True)
class _AfterEvaluation:
    function: Callable[[int], None]

    def on_evaluate(self, trainer: Trainer, line: Metrics) -> None:
        self.function(trainer.step)


# --- run.json ------------------------------------------------------------------------------------


def _with_absolute_paths(options: FinetuneOptions) -> FinetuneOptions:
    """The options with the paths that names mean: a run may be resumed from another folder.

    A run of LoRA as the model becomes its model and its adapter.
    """
    path, adapters = find_parts(str(options.model), options.adapter)
    changed: dict[str, Any] = {"model": str(path.resolve())}
    if adapters:
        changed["adapter"] = str(adapters[-1].resolve())
    for name in DATA:
        if (value := getattr(options, name, None)) is not None:
            changed[name] = str(_existing(user_path(value), "the data"))
    if specs := getattr(options, "reward", ()):
        files = [(spec, file_of(spec)) for spec in specs]
        changed["reward"] = tuple(
            spec if file is None else with_file(spec, _existing(file, "the reward file"))
            for spec, file in files
        )
    return replace(options, **changed)


def _existing(path: Path, name: str) -> Path:
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise UserError(f"{name} {path} {what}")
    return path.resolve()


def _inputs(options: FinetuneOptions) -> dict[str, Any]:
    """The sha256 of every file that the run depends on."""
    path, adapters = find_parts(str(options.model), options.adapter)
    files = {file.name: file_sha256(file) for file in _model_files(path)}
    for number, folder in enumerate(adapters, 1):
        files |= {f"{number}/{file.name}": file_sha256(file) for file in _model_files(folder)}
    data = {name: getattr(options, name, None) for name in DATA}
    rewards = [file for spec in getattr(options, "reward", ()) if (file := file_of(spec))]
    return {
        "model": files,
        **{name: file_sha256(Path(p)) for name, p in data.items() if p},
        **({"reward": [file_sha256(file) for file in rewards]} if rewards else {}),
    }


def _model_files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for pattern in ("*.safetensors", "config.json", "adapter_config.json", "tokenizer.json"):
        yield from sorted(p for p in path.glob(pattern) if not p.name.startswith("training_"))


def _check_inputs(run: Path, now: dict[str, Any], before: dict[str, Any]) -> None:
    """Raise UserError unless the model and the data are those that the run was started with."""
    for name, value in now.items():
        if value != before.get(name):
            what = "the model" if name == "model" else f"--{name.replace('_', '-')}"
            raise UserError(
                f"{what} has changed since {run} was started, so the run cannot continue as it "
                "was; restore the file, or start a new run"
            )


def _write_run_file(run: Path, base: Base, parts: Parts, inputs: dict[str, Any]) -> None:
    facts = {
        "task": parts.options.task,
        "model": asdict(base.model.config),
        "parameters": base.model.num_parameters(),
        "inputs": inputs,
    }
    try:
        runs.write_run_file(run, asdict(parts.options), facts)
    except OSError as error:
        shutil.rmtree(run, ignore_errors=True)  # it is still empty
        raise UserError(
            f"cannot write the run folder {run} ({error.strerror}); free some space, or choose "
            "another with --out"
        ) from None
