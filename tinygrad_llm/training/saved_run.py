"""A run that ``train`` has written, opened in Python: ``load_run``."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tinygrad_llm.errors import UserError
from tinygrad_llm.model import Model
from tinygrad_llm.pretrained.load import load_pretrained
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.training.checkpoint import CHECKPOINTS, read_index, run_of
from tinygrad_llm.training.metrics import Metrics, read_metrics
from tinygrad_llm.training.runs import METRICS_FILE, read_run_file


@dataclass(frozen=True)
class Run:
    """What is in the folder of a run."""

    path: Path
    """The folder."""
    checkpoint: Path
    """The folder of the checkpoint that the model is from."""
    model: Model
    """The model, in evaluation mode."""
    tokenizer: Tokenizer | None
    """The tokenizer that it was trained with."""
    options: dict[str, Any]
    """Every option of the run, by the names of ``train --help``."""
    metrics: list[Metrics]
    """The lines of metrics.jsonl: one for each step, with ``val_loss`` where it was evaluated."""


def load_run(path: str | os.PathLike, checkpoint: Literal["best", "last"] = "best") -> Run:
    """Open the folder of a run, such as runs/llama-tiny.

    ``checkpoint`` is "best" (of the smallest validation loss) or "last"; where ``path`` is itself
    the folder of a checkpoint, that is the one. Raises UserError for a folder that is not a run,
    for a run without a checkpoint, and for damaged files.
    """
    if checkpoint not in ("best", "last"):
        raise UserError(f"checkpoint is {checkpoint!r}, but must be 'best' or 'last'")
    folder = run_of(Path(path))
    options = read_run_file(folder)["options"]
    chosen = Path(path).resolve()
    if chosen.parent.name != CHECKPOINTS:
        chosen = folder / CHECKPOINTS / read_index(folder)[checkpoint]
    model, tokenizer = load_pretrained(chosen)
    metrics = read_metrics(folder / METRICS_FILE)
    return Run(folder, chosen, model, tokenizer, options, metrics)
