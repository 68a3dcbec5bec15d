"""``tinygrad-llm finetune dpo MODEL --data FILE``: what it puts into a session.

    file -> pairs -> split -> the reference's log-probabilities -> task

The reference is the model before the first step. The model answers a few held-out prompts before
and after.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.finetune_answers import answering
from tinygrad_llm.commands.finetune_parts import Base, Parts, Picture
from tinygrad_llm.commands.finetune_row_options import DPOOptions
from tinygrad_llm.commands.finetune_rows import longest_row, read_split, say_counts
from tinygrad_llm.commands.finetune_samples import prompts_of
from tinygrad_llm.finetune.curves import Panel, draw_curves
from tinygrad_llm.finetune.examples import Pair, load_pairs
from tinygrad_llm.finetune.preferences import Pairs, Preferences, with_mismatched
from tinygrad_llm.finetune.reference import cached_logps
from tinygrad_llm.training import runs
from tinygrad_llm.training.metrics import read_metrics


def prepare(console: PlainConsole, options: DPOOptions, base: Base) -> Parts:
    """Read the data, compute the reference's part, make the task, and choose the prompts."""
    train, held_out = (
        _pairs(console, options, base, name, pairs)
        for name, pairs in zip(
            ("training", "validation"), read_split(console, options, base, load_pairs), strict=True
        )
    )
    if options.loss_type != "orpo" and not options.reference_free:
        train, held_out = _with_reference(console, base, train, held_out)
    task = Preferences(
        base.model, train, held_out, loss_type=options.loss_type, beta=options.beta,
        label_smoothing=options.label_smoothing, seed=options.seed,
        batch_size=options.batch_size, grad_accumulation=options.grad_accumulation,
        log_every=options.log_every,
    )  # fmt: skip
    prompts = prompts_of(held_out.chosen, base.tokenizer, options.samples)
    return answering(console, options, base, task, prompts, len(train), "pairs")


def _pairs(
    console: PlainConsole, options: DPOOptions, base: Base, name: str, pairs: Sequence[Pair]
) -> Pairs:
    examples = [pair.examples() for pair in pairs]
    found = Pairs([chosen for chosen, _ in examples], [rejected for _, rejected in examples])
    say_counts(console, name, [*found.chosen, *found.rejected], f"{len(found):,} pairs")
    if options.loss_type == "kto":
        return with_mismatched(found, longest_row(options, base))
    return found


def _with_reference(console: PlainConsole, base: Base, *parts: Pairs) -> list[Pairs]:
    """The pairs with the log-probabilities of the model as it is now."""
    sides = [side for pairs in parts for side in pairs.sides]
    rows = [row for side in sides for row in side]
    with console.progress("the reference reads the answers, once") as progress:
        logps, were_there = cached_logps(base.model, rows, progress)
    console.say(
        f"reference   the model before the first step, log-probabilities of {len(rows):,} answers "
        f"{'from the cache' if were_there else 'computed and cached'}"
    )
    ends = np.cumsum([len(side) for side in sides])[:-1]
    of_sides = iter(np.split(logps, ends))
    return [
        replace(pairs, reference=np.stack([next(of_sides) for _ in pairs.sides])) for pairs in parts
    ]


# --- the pictures --------------------------------------------------------------------------------


def _draw_losses(run: Path) -> None:
    panels = [
        Panel("loss (nats per pair)", {"training": "loss", "held out": "eval_loss"}),
        Panel("log-probability", {"chosen": "logps/chosen", "rejected": "logps/rejected"}),
    ]
    draw_curves(read_metrics(run / runs.METRICS_FILE), panels, run / runs.PLOT_FILE, "preferences")


def _draw_rewards(run: Path) -> None:
    panels = [
        Panel(
            "reward",
            {
                "chosen": "rewards/chosen", "rejected": "rewards/rejected",
                "chosen, held out": "eval_rewards/chosen",
                "rejected, held out": "eval_rewards/rejected",
            },
            level=0.0,
        ),
        Panel("margin", {"training": "rewards/margins", "held out": "eval_rewards/margins"}),
        Panel(
            "chosen preferred",
            {"training": "rewards/accuracies", "held out": "eval_rewards/accuracies"},
            level=0.5,
        ),
    ]  # fmt: skip
    draw_curves(read_metrics(run / runs.METRICS_FILE), panels, run / "rewards.png", "preferences")


PICTURES: dict[str, Picture] = {runs.PLOT_FILE: _draw_losses, "rewards.png": _draw_rewards}
