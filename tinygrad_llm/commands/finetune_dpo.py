"""``tinygrad-llm finetune dpo MODEL --data FILE``: what it puts into a session.

    file -> pairs -> split -> the reference's log-probabilities -> task

The reference is the model before the first step. KTO takes single answers in place of pairs.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.commands.console import PlainConsole, Working
from tinygrad_llm.commands.finetune_answers import answering
from tinygrad_llm.commands.finetune_parts import Base, Parts, Picture
from tinygrad_llm.commands.finetune_row_options import DPOOptions
from tinygrad_llm.commands.finetune_rows import longest_row, read_split, say_counts
from tinygrad_llm.commands.finetune_samples import prompts_of
from tinygrad_llm.counts import counted
from tinygrad_llm.finetune.curves import Panel, draw_curves
from tinygrad_llm.finetune.examples import Example, Judged, Pair, load_judged, load_pairs
from tinygrad_llm.finetune.kto import KTO, Answers, mismatched_rows
from tinygrad_llm.finetune.preferences import Pairs, Preferences
from tinygrad_llm.finetune.reference import cached_logps
from tinygrad_llm.training import runs
from tinygrad_llm.training.metrics import read_metrics

PARTS = ("training", "validation")


def prepare(console: PlainConsole, options: DPOOptions, base: Base) -> Parts:
    """Read the data, compute the reference's part, make the task, and choose the prompts."""
    if options.loss_type == "kto":
        return _kto(console, options, base)
    train, held_out = (
        _pairs(console, name, pairs)
        for name, pairs in zip(PARTS, read_split(console, options, base, load_pairs), strict=True)
    )
    if options.loss_type != "orpo" and not options.reference_free:
        sides = (train.chosen, train.rejected, held_out.chosen, held_out.rejected)
        logps = _reference(console, base, *sides)
        train = replace(train, reference=np.stack(logps[:2]))
        held_out = replace(held_out, reference=np.stack(logps[2:]))
    task = Preferences(
        base.model, train, held_out, loss_type=options.loss_type, beta=options.beta,
        label_smoothing=options.label_smoothing, **_loop(options),
    )  # fmt: skip
    prompts = prompts_of(held_out.chosen, base.tokenizer, options.samples)
    return answering(console, options, base, task, prompts, len(train), "pairs")


def _pairs(console: PlainConsole, name: str, pairs: Sequence[Pair]) -> Pairs:
    examples = [pair.examples() for pair in pairs]
    found = Pairs([chosen for chosen, _ in examples], [rejected for _, rejected in examples])
    say_counts(console, name, [*found.chosen, *found.rejected], f"{len(found):,} pairs")
    return found


def _kto(console: PlainConsole, options: DPOOptions, base: Base) -> Parts:
    """The same for answers that are judged one by one; a pair is two of them."""
    read, sides = read_split(console, options, base, load_judged), []
    for name, items in zip(PARTS, read, strict=True):
        examples, desirable = _judged(items)
        what = f"{counted(len(examples), 'answer')}, {sum(desirable):,} of them desirable"
        say_counts(console, name, examples, what)
        mismatched = mismatched_rows(examples, longest_row(options, base))
        sides.append((examples, np.array(desirable), mismatched))
    logps = _reference(console, base, *(rows for one in sides for rows in (one[0], one[2])))
    train, held_out = (
        Answers(*one, np.stack(logps[2 * i : 2 * i + 2])) for i, one in enumerate(sides)
    )
    task = KTO(
        base.model, train, held_out, beta=options.beta, desirable_weight=options.desirable_weight,
        undesirable_weight=options.undesirable_weight, **_loop(options),
    )  # fmt: skip
    prompts = prompts_of(held_out.examples, base.tokenizer, options.samples)
    return answering(console, options, base, task, prompts, len(train), "answers")


def _judged(items: Sequence[Any]) -> tuple[list[Example], list[bool]]:
    """Answers, and whether each is desirable. Of pairs, the chosen answers come first."""
    if isinstance(items[0], Judged):
        return [Example(item.ids, item.labels) for item in items], [item.liked for item in items]
    chosen, rejected = zip(*(pair.examples() for pair in items), strict=True)
    return [*chosen, *rejected], [True] * len(chosen) + [False] * len(rejected)


def _loop(options: DPOOptions) -> dict[str, int]:
    """The options that every task over rows has."""
    names = ("seed", "batch_size", "grad_accumulation", "log_every")
    return {name: getattr(options, name) for name in names}


def _reference(console: PlainConsole, base: Base, *sides: Sequence[Example]) -> list[np.ndarray]:
    """The log-probabilities of the rows of each side, by the model as it is now."""
    rows = [row for side in sides for row in side]
    with Working(console, "the reference reads the answers, once") as progress:
        logps, were_there = cached_logps(base.model, rows, progress)
    how = "from the cache" if were_there else "computed and cached"
    console.say(
        "reference   the model before the first step, log-probabilities of "
        f"{counted(len(rows), 'answer')} {how}"
    )
    return np.split(logps, np.cumsum([len(side) for side in sides])[:-1])


# --- the pictures --------------------------------------------------------------------------------


def _draw_losses(run: Path) -> None:
    panels = [
        Panel("loss (of a pair, or an answer)", {"training": "loss", "held out": "eval_loss"}),
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
