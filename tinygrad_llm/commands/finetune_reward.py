"""``tinygrad-llm finetune reward MODEL --data FILE``: what it puts into a session.

    file -> pairs -> split -> classifier with one class -> task

A checkpoint is a directory that AutoModelForSequenceClassification opens, with num_labels 1.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.finetune_classify import load_classes
from tinygrad_llm.commands.finetune_parts import Base, Parts, Picture, steps_of
from tinygrad_llm.commands.finetune_row_options import RewardOptions
from tinygrad_llm.commands.finetune_rows import read_split, say_before, say_counts
from tinygrad_llm.commands.finetune_storage import load_trained, save_trained
from tinygrad_llm.finetune.curves import Panel, draw_curves
from tinygrad_llm.finetune.examples import Pair, load_pairs
from tinygrad_llm.finetune.lora import merged
from tinygrad_llm.finetune.reward import LABELS, Reward, ScoredPairs
from tinygrad_llm.finetune.rows_task import ROWS_SCHEMA
from tinygrad_llm.model.classifier import Classifier
from tinygrad_llm.pretrained.classifier import save_classifier
from tinygrad_llm.training import runs
from tinygrad_llm.training.metrics import read_metrics


def prepare(console: PlainConsole, options: RewardOptions, base: Base) -> Parts:
    """Read the data, and make the classifier and the task."""
    train, held_out = (
        _scored(console, name, pairs)
        for name, pairs in zip(
            ("training", "validation"), read_split(console, options, base, load_pairs), strict=True
        )
    )
    model = Classifier(base.model, LABELS, seed=options.seed)
    if options.lora_r is None:
        model.freeze(None if options.train_layers == "all" else options.train_layers)
    task = Reward(
        model, train, held_out, center=options.center_rewards_coefficient, seed=options.seed,
        batch_size=options.batch_size, grad_accumulation=options.grad_accumulation,
        log_every=options.log_every,
    )  # fmt: skip

    def save(model: Classifier, folder: Path) -> None:
        with merged(model.body):
            save_classifier(model, base.tokenizer, folder)
        if options.lora_r is not None:
            save_trained(model, folder)

    return Parts(
        replace(options, steps=steps_of(options, len(train))), model, task, ROWS_SCHEMA,
        step_size=f"{options.batch_size * options.grad_accumulation} pairs",
        save_model=save, load_model=load_classes if options.lora_r is None else load_trained,
        before=lambda run: say_before(console, options, task),
    )  # fmt: skip


def _scored(console: PlainConsole, name: str, pairs: Sequence[Pair]) -> ScoredPairs:
    chosen, rejected = zip(*(pair.examples() for pair in pairs), strict=True)
    say_counts(console, name, [*chosen, *rejected], f"{len(pairs):,} pairs")
    return ScoredPairs(chosen, rejected)


def _draw(run: Path) -> None:
    panels = [
        Panel("loss (nats per pair)", {"training": "loss", "held out": "eval_loss"}),
        Panel("margin", {"training": "margin", "held out": "eval_margin"}),
        Panel(
            "chosen scored higher", {"training": "accuracy", "held out": "eval_accuracy"}, level=0.5
        ),
        Panel("mean reward", {"training": "mean_reward", "held out": "eval_mean_reward"}),
    ]
    draw_curves(read_metrics(run / runs.METRICS_FILE), panels, run / runs.PLOT_FILE, "reward model")


PICTURES: dict[str, Picture] = {runs.PLOT_FILE: _draw}
