"""``tinygrad-llm finetune sft MODEL --data FILE``: what it puts into a session.

    file -> examples -> split -> packed, if asked for -> task

The model answers a few held-out prompts before and after.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.finetune_answers import answering
from tinygrad_llm.commands.finetune_parts import Base, Parts, Picture
from tinygrad_llm.commands.finetune_row_options import SFTOptions
from tinygrad_llm.commands.finetune_rows import longest_row, read_split, say_counts
from tinygrad_llm.commands.finetune_samples import prompts_of
from tinygrad_llm.counts import counted
from tinygrad_llm.finetune.curves import Panel, draw_curves
from tinygrad_llm.finetune.examples import load_examples
from tinygrad_llm.finetune.packing import pack
from tinygrad_llm.finetune.sft import SFT
from tinygrad_llm.training import runs
from tinygrad_llm.training.metrics import read_metrics


def prepare(console: PlainConsole, options: SFTOptions, base: Base) -> Parts:
    """Read the data, make the task, and choose the prompts that are answered."""
    completion_only = options.completion_only_loss
    train, held_out = read_split(
        console, options, base, load_examples, completion_only=completion_only
    )
    rows: Sequence[Any] = train
    packed = ""
    if options.packing:
        rows = pack(train, longest_row(options, base))
        packed = f", packed into {counted(len(rows), 'row')}"
    say_counts(console, "training", train, counted(len(train), "example"), packed)
    say_counts(console, "validation", held_out, counted(len(held_out), "example"))
    task = SFT(
        base.model, rows, held_out, seed=options.seed, batch_size=options.batch_size,
        grad_accumulation=options.grad_accumulation, log_every=options.log_every,
    )  # fmt: skip
    prompts = prompts_of(held_out, base.tokenizer, options.samples)
    return answering(console, options, base, task, prompts, len(rows), "rows")


def _draw(run: Path) -> None:
    panels = [
        Panel("loss (nats per token)", {"training": "loss", "held out": "eval_loss"}),
        Panel(
            "accuracy of tokens",
            {"training": "mean_token_accuracy", "held out": "eval_mean_token_accuracy"},
        ),
        Panel("entropy (nats)", {"training": "entropy", "held out": "eval_entropy"}),
    ]
    metrics = read_metrics(run / runs.METRICS_FILE)
    draw_curves(metrics, panels, run / runs.PLOT_FILE, "supervised fine-tuning")


PICTURES: dict[str, Picture] = {runs.PLOT_FILE: _draw}
