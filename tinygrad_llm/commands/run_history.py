"""``explore RUN --steps ...``: the checkpoints that a run keeps, each measured on the same batch.

    numbers = training_run("runs/llama-tiny", "all")

The batch is the first of the quick evaluations, of the run's own validation text. What is measured
is in ``tinygrad_llm/inspect/training_run.py``; here are the run's files, its corpus and its
optimizer.
"""

import io
import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.corpus import prepare_corpus
from tinygrad_llm.commands.pretraining import schedule_of
from tinygrad_llm.commands.resume import NEW_OPTIONS
from tinygrad_llm.commands.saved_run import options_of
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.counts import LARGEST, counted
from tinygrad_llm.errors import UserError
from tinygrad_llm.inspect.training_run import (
    CheckpointNumbers,
    measure_checkpoint,
    run_numbers,
)
from tinygrad_llm.pretrained.load import load_pretrained
from tinygrad_llm.terminal import shell_command
from tinygrad_llm.training import runs
from tinygrad_llm.training.checkpoint import (
    load_training_state,
    run_of,
    saved_checkpoints,
    step_of,
    verify_checkpoint,
)
from tinygrad_llm.training.evaluation import fixed_part
from tinygrad_llm.training.metrics import Metrics, read_metrics
from tinygrad_llm.training.optim import Optimizer, clip_scale, global_norm
from tinygrad_llm.training.optim.from_options import make_optimizer

_PART = re.compile(r"(\d+)(?::(\d+)(?::(\d+))?)?", re.ASCII)
CURVES = ("train_loss", "grad_norm", "lr", "val_loss")
"""What of metrics.jsonl goes with the checkpoints."""


def training_run(
    path: str, steps: str = "all", console: PlainConsole | None = None, verify: bool = True
) -> dict[str, Any]:
    """What the checkpoints of a run say, as the explorer's page shows it (its part "run").

    ``path`` is the folder of a run that ``train`` has written. ``steps`` selects among the
    checkpoints that are there: "all", steps ("100,200") and ranges ("0:1000" or "0:1000:100", both
    ends included), in any combination. With ``verify`` every file is compared with its checksum.

    The keys are those of ``run_numbers``, and

        name, optimizer                 of the run
        lr (S,)                         the learning rate of each checkpoint's own step
        kept                            steps of all checkpoints that are there
        note                            None, or how to keep more of them the next time
        batch                           {"rows", "length", "tokens"}
        metrics                         {"step": (N,), "train_loss": (N,), ...}: of every step

    Raises UserError for a path that is no run, for steps that cannot be read or are not there, for
    a corpus that is gone or has changed, and for damaged files.
    """
    console = console or PlainConsole(io.StringIO())
    run = run_of(path)
    content = runs.read_run_file(run)
    if "task" in content:
        raise UserError(
            f"{run} is a run of `finetune {content['task']}`, and --steps compares checkpoints of "
            "`train` only: leave out --steps"
        )
    kept = checkpoints_by_step(run)
    chosen = select_steps(steps, list(kept), run)
    config = options_of(content, run, TrainConfig, NEW_OPTIONS).with_recipe()
    lines = read_metrics(run / runs.METRICS_FILE)
    if verify:
        for step in chosen:
            if note := verify_checkpoint(kept[step]):
                console.say(note)
    x, y = _batch(console, run, kept[chosen[0]], config, content.get("corpus", {}))
    found: list[CheckpointNumbers] = []
    rates = [_rate(lines, step, config) for step in chosen]
    with console.progress(f"measuring {counted(len(chosen), 'checkpoint')}") as progress:
        for step, rate in zip(chosen, rates, strict=True):
            model, _ = load_pretrained(kept[step])
            optimizer = _saved_optimizer(model, kept[step], config)
            optimizer.lr = rate
            found.append(measure_checkpoint(model, x, y, partial(_step, optimizer, config)))
            progress(len(found), len(chosen))
    return {
        "name": run.resolve().name,
        "optimizer": str(config.optimizer),
        "lr": np.array(rates),
        "kept": list(kept),
        "note": keeping_more(run, list(kept), config),
        "batch": {"rows": len(x), "length": x.shape[1], "tokens": y.size},
        "metrics": _curves(lines),
        **run_numbers(chosen, found),
    }


# --- which checkpoints -----------------------------------------------------------------------


def checkpoints_by_step(run: Path) -> dict[int, Path]:
    """The checkpoints of a run by step, from the first to the last. Raises UserError without one.

    Of two of the same step (a run that was continued from an earlier one) the later counts.
    """
    found = {step_of(path): path for path in saved_checkpoints(run)}
    if not found:
        raise UserError(f"{run} has no checkpoint yet: wait for the first, or train again")
    return found


def select_steps(text: str, kept: list[int], run: Path) -> list[int]:
    """The steps among ``kept`` that ``text`` (see ``training_run``) selects, in order.

    Raises UserError for a text that says nothing, a step that was not kept, and a range without
    one.
    """
    text = text.replace(" ", "")
    if text == "all":
        return kept
    chosen: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None or any(int(number or 0) > LARGEST for number in match.groups()):
            raise UserError(
                f"--steps {text}: {part!r} is no step and no range; write all, or steps such as "
                "100,200, or a range such as 0:1000:100"
            )
        start, stop, every = (None if number is None else int(number) for number in match.groups())
        assert start is not None
        if every == 0:
            raise UserError(f"--steps {text}: every 0 steps is impossible; write 1 or more")
        if stop is None:
            some = {start} & set(kept)
        else:
            some = {step for step in kept if step in range(start, stop + 1, every or 1)}
        if not some:
            what = f"of step {start}" if stop is None else f"in {part}"
            raise UserError(
                f"--steps {text}: {run} has no checkpoint {what}, only of "
                f"{_listed(kept)}; --steps all takes these"
            )
        chosen |= some
    return sorted(chosen)


def keeping_more(run: Path, kept: list[int], config: TrainConfig) -> str | None:
    """How to keep more checkpoints than the two that ``train`` leaves, if that is what is here."""
    if len(kept) > 2:
        return None
    steps = config.steps or 0
    all_of_them = max(2, math.ceil(steps / config.save_every))
    command = shell_command("tinygrad-llm", "train", "--keep", str(all_of_them))
    return (
        f"{run.resolve().name} has kept the {'checkpoint' if len(kept) == 1 else 'checkpoints'} of "
        f"{_listed(kept)}: by default the last and the best stay. `{command}` keeps the last "
        f"{all_of_them:,}, and --save-every says how often one is written."
    )


def _listed(steps: list[int]) -> str:
    """step 4; steps 2 and 4; steps 20, 40, 60, ..., 400."""
    if len(steps) == 1:
        return f"step {steps[0]:,}"
    shown = [f"{step:,}" for step in steps]
    if len(shown) > 6:
        return f"steps {', '.join(shown[:3])}, ..., {shown[-1]}"
    return f"steps {', '.join(shown[:-1])} and {shown[-1]}"


# --- what a run is measured with -------------------------------------------------------------


def _batch(
    console: PlainConsole,
    run: Path,
    checkpoint: Path,
    config: TrainConfig,
    corpus: dict[str, Any],
) -> tuple[np.ndarray, np.ndarray]:
    """The first batch of the run's quick evaluations. ``corpus`` is what run.json says of it."""
    model, tokenizer = load_pretrained(checkpoint)
    if tokenizer is None:
        raise UserError(f"{checkpoint} has no tokenizer.json: choose another of --steps")
    _, prepared = prepare_corpus(console, config.data, tokenizer=tokenizer, options=config)
    for what in ("tokenizer", "files"):
        if prepared.meta[what] != corpus.get(what):
            changed = "the tokenizer" if what == "tokenizer" else f"the corpus {config.data}"
            raise UserError(
                f"{changed} has changed since {run} was started, so the validation text is not "
                "the run's: put back what it was trained on"
            )
    assert config.batch_size is not None
    part = fixed_part(prepared.validation, model.config.block_size, config.batch_size, 1)
    return next(iter(part))


def _saved_optimizer(model: Any, checkpoint: Path, config: TrainConfig) -> Optimizer:
    """The run's optimizer as it was when the checkpoint was written."""
    arrays, _ = load_training_state(checkpoint)
    optimizer = make_optimizer(model.named_parameters(), config)
    optimizer.load_state_dict(arrays)
    return optimizer


def _step(optimizer: Optimizer, config: TrainConfig) -> float:
    """One step of the optimizer, as the trainer takes it; returns the factor of the gradients."""
    factor = clip_scale(global_norm(optimizer.params.values()), config.grad_clip)
    optimizer.step(grad_scale=factor)
    return factor


def _rate(lines: list[Metrics], step: int, config: TrainConfig) -> float:
    """The learning rate of a step, counted from 1: what it was, or what the options say."""
    for line in lines:
        if line["step"] == step and line.get("lr") is not None:
            return line["lr"]
    return schedule_of(config)(step - 1)


def _curves(lines: list[Metrics]) -> dict[str, np.ndarray]:
    """The metrics of every step as arrays, NaN where a step has none."""
    lines = [line for line in lines if not line.get("final")]

    def column(name: str) -> np.ndarray:
        values = [line.get(name) for line in lines]
        return np.array([math.nan if v is None else v for v in values], np.float64)

    steps = np.array([line["step"] for line in lines], np.int64)
    return {"step": steps, **{name: column(name) for name in CURVES}}
