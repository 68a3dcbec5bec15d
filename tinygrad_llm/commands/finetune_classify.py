"""``tinygrad-llm finetune classify MODEL --data FILE``: what it puts into a session.

    table -> texts and labels -> split -> ids -> classifier -> task

The labels of a run are those of ``--data``. What was read, dropped and cut short is said.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.finetune_options import ClassifyOptions
from tinygrad_llm.commands.finetune_parts import Base, Parts, Picture, steps_of
from tinygrad_llm.commands.finetune_storage import load_trained, save_trained
from tinygrad_llm.counts import counted
from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.classification import Classification, Examples
from tinygrad_llm.finetune.confusion import draw_confusion, scores_table, write_scores
from tinygrad_llm.finetune.curves import Panel, draw_curves
from tinygrad_llm.finetune.labelled import (
    Labelled,
    class_numbers,
    encode,
    label_names,
    read_labelled,
    split,
)
from tinygrad_llm.finetune.lora import merged
from tinygrad_llm.finetune.order import ORDER_SCHEMA
from tinygrad_llm.model.classifier import Classifier
from tinygrad_llm.pretrained.classifier import load_classifier, save_classifier
from tinygrad_llm.training import runs
from tinygrad_llm.training.metrics import read_metrics

PARTS = ("training", "validation", "test")


def prepare(console: PlainConsole, options: ClassifyOptions, base: Base) -> Parts:
    """Read the data, make the classifier and compute what its frozen blocks make of the texts."""
    labels, examples = _read(console, options, base)
    train, validation, test = (examples[name] for name in PARTS)
    model = Classifier(base.model, labels, options.pooling, options.seed)
    if options.lora_r is None:
        model.freeze(None if options.train_layers == "all" else options.train_layers)
    task = Classification(
        model, train, validation, test, seed=options.seed, batch_size=options.batch_size,
        grad_accumulation=options.grad_accumulation, balanced=options.balanced,
    )  # fmt: skip
    if model.frozen is not None:
        with console.progress("the frozen part reads the texts, once") as progress:
            kept = task.keep_frozen_parts(progress)
        if not kept:
            console.say("note: its output takes too much memory, so each step computes it anew")

    def save(model: Classifier, folder: Path) -> None:
        with merged(model.body):
            save_classifier(model, base.tokenizer, folder)
        if options.lora_r is not None:
            save_trained(model, folder)

    def report_scores(run: Path) -> None:
        name, scores = list(task.held_out().items())[-1]
        split = "test" if name == "test" else "validation"
        write_scores(run, split, labels, scores.confusion)
        console.say(f"\n{split}:\n{scores_table(labels, scores.confusion)}")

    return Parts(
        replace(options, steps=steps_of(options, len(train))), model, task, ORDER_SCHEMA,
        step_size=counted(options.batch_size * options.grad_accumulation, "text"),
        save_model=save, load_model=load_classes if options.lora_r is None else load_trained,
        after={"the table of scores": report_scores},
        advice={"classify": ("classify",)},
    )  # fmt: skip


def load_classes(model: Classifier, folder: Path) -> None:
    """Give ``model`` all weights of a classifier's directory."""
    model.load_state_dict(load_classifier(folder)[0].state_dict())


# --- the data ------------------------------------------------------------------------------------


def _read(
    console: PlainConsole, options: ClassifyOptions, base: Base
) -> tuple[tuple[str, ...], dict[str, Examples]]:
    """The labels, and the examples of each part by its name."""
    files = {"training": options.data, "validation": options.validation_data}
    files["test"] = options.test_data
    read = {
        name: read_labelled(path, options.text_column, options.label_column)
        for name, path in files.items()
        if path is not None
    }
    assert options.data is not None
    labels = label_names(read["training"].labels, options.data)
    for name, labelled in read.items():
        _say_what_was_read(console, str(files[name]), labelled)
    classes = {
        name: class_numbers(labelled.labels, labelled.places, labels)
        for name, labelled in read.items()
    }
    given = classes["training"]
    shares = [
        share if files[name] is None else 0.0
        for name, share in (
            ("validation", options.validation_share), ("test", options.test_share)
        )
    ]  # fmt: skip
    numbers = split(given, tuple(shares), options.seed)
    rows = dict(zip(("validation", "test", "training"), numbers, strict=True))
    examples, cut = {}, 0
    limit = min(options.max_length, base.model.config.block_size)
    for name in PARTS:
        source = name if name in read else "training"
        chosen = rows[name] if source == "training" else np.arange(len(classes[source]))
        texts = [encode(base.tokenizer, read[source].texts[i], limit) for i in chosen]
        examples[name] = Examples([ids for ids, _ in texts], classes[source][chosen])
        cut += sum(was_cut for _, was_cut in texts)
    if not len(examples["training"]) or not len(examples["validation"]):
        raise UserError(
            f"{options.data} has too few texts of each class to train on some and validate on "
            "others: add texts, or change --validation-share and --test-share"
        )
    for name in PARTS:
        counts = Counter(labels[i] for i in examples[name].classes)
        list_ = ", ".join(f"{label} {counts[label]:,}" for label in labels)
        console.say(f"{name:<11} {counted(len(examples[name]), 'text')}: {list_}")
    if cut:
        console.say(
            f"note: of {counted(cut, 'text')} of more than {counted(limit, 'token')}, the "
            "beginning is read"
        )
    return labels, examples


def _say_what_was_read(console: PlainConsole, path: str, labelled: Labelled) -> None:
    dropped = sum(labelled.dropped.values())
    console.say(f"data        {path}: {counted(len(labelled.texts) + dropped, 'row')}")
    for reason, count in labelled.dropped.items():
        console.say(f"dropped     {count:,}: {reason}")


# --- the pictures --------------------------------------------------------------------------------


def _draw_losses(run: Path) -> None:
    panels = [
        Panel("loss (nats per text)", {"training": "loss", "validation": "eval_loss"}),
        Panel("accuracy", {"training": "accuracy", "validation": "eval_accuracy"}),
    ]
    metrics = read_metrics(run / runs.METRICS_FILE)
    draw_curves(metrics, panels, run / runs.PLOT_FILE, "classification")


PICTURES: dict[str, Picture] = {
    runs.PLOT_FILE: _draw_losses,
    "confusion.png": lambda run: draw_confusion(run, run / "confusion.png"),
}
