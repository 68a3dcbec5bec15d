"""What the kinds of fine-tuning that learn from rows have in common: reading them, splitting them.

A share of the rows is held out, drawn at random by the seed, unless there is a file for it. What
was read, dropped and cut is said.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.finetune_options import FinetuneOptions
from tinygrad_llm.commands.finetune_parts import Base
from tinygrad_llm.commands.finetune_row_options import RowOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.examples import Example
from tinygrad_llm.finetune.logps import lengths
from tinygrad_llm.finetune.rows import FaultyRow, Report
from tinygrad_llm.machine.precision import computing_in
from tinygrad_llm.training.task import Task

Item = TypeVar("Item")
Load = Callable[..., tuple[list[Item], Report]]
"""``load_examples`` or ``load_pairs``."""


def longest_row(options: RowOptions, base: Base) -> int:
    """How many tokens of a row are read."""
    return min(options.max_length, base.model.config.block_size)


def read_split(
    console: PlainConsole, options: RowOptions, base: Base, load: Load[Item], **more: Any
) -> tuple[list[Item], list[Item]]:
    """(training, validation) rows of the data, and a report of both. ``more`` goes to ``load``.

    Raises UserError for data that cannot be read, and where nothing is left to train on or to
    validate on.
    """
    as_chat = options.template == "chat" or (
        options.template == "auto" and base.tokenizer.conventions.chat_template is not None
    )
    arguments = {"as_chat": as_chat, "skip_faulty": options.skip_faulty, **more}

    def read(path: str | None) -> list[Item]:
        where = (path, base.tokenizer, longest_row(options, base))
        try:
            items, report = load(*where, **arguments)
        except FaultyRow as error:
            left = ""
            with suppress(UserError):  # none is
                _, report = load(*where, **{**arguments, "skip_faulty": True})
                left = f"; then {report.lines()[0]}"
            raise UserError(f"{error} (--skip-faulty drops such rows{left})") from None
        console.say(f"data        {path}: {report.lines()[0]}")
        for line in report.lines()[1:]:
            console.say(f"            {line}")
        return items

    items = read(options.data)
    if options.validation_data is not None:
        train, held_out = items, read(options.validation_data)
    else:
        train, held_out = _split(items, options)
    known = set(map(_content, train))
    copies = sum(_content(item) in known for item in held_out)
    if copies:
        console.say(
            f"note: {copies:,} of the {len(held_out):,} held-out rows are trained on, too: what is "
            "measured on them is memory"
        )
    return train, held_out


def _content(item: Any) -> tuple[bytes, ...]:
    return tuple(v.tobytes() for v in vars(item).values() if isinstance(v, np.ndarray))


def _split(items: list[Item], options: RowOptions) -> tuple[list[Item], list[Item]]:
    order = np.random.default_rng(options.seed).permutation(len(items))
    count = max(1, round(options.validation_share * len(items)))
    if count >= len(items):
        raise UserError(
            f"{options.data} has too few rows ({len(items):,}) to train on some and validate on "
            "others: add rows, change --validation-share, or name a file with --validation-data"
        )
    held_out, rest = np.sort(order[:count]), np.sort(order[count:])
    return [items[i] for i in rest], [items[i] for i in held_out]


def say_counts(
    console: PlainConsole, name: str, examples: Sequence[Example], what: str, more: str = ""
) -> None:
    """Say how many examples, tokens and labels a part has."""
    tokens = sum(len(example.ids) for example in examples)
    labels = sum(int(lengths(example.labels)) for example in examples)
    console.say(f"{name:<11} {what}: {tokens:,} tokens, {labels:,} of which are learned{more}")


def say_before(console: PlainConsole, options: FinetuneOptions, task: Task) -> None:
    """The evaluation that precedes the first step."""
    with computing_in(options):
        result = task.quick_evaluation()
    console.say(f"before      {task.note(result)}")
