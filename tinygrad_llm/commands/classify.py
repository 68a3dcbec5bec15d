"""``tinygrad-llm classify MODEL [FILE]``: the class of every text, with its probability."""

import json
import sys

import numpy as np

from tinygrad_llm.commands.console import make_console
from tinygrad_llm.commands.options import ClassifyTextOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path
from tinygrad_llm.files.json_file import read_bounded
from tinygrad_llm.files.tables import MAX_BYTES, decoded, read_table
from tinygrad_llm.finetune.classification import probabilities
from tinygrad_llm.finetune.confusion import scores_table
from tinygrad_llm.finetune.labelled import class_numbers, encode
from tinygrad_llm.finetune.scores import accuracy, confusion_matrix
from tinygrad_llm.pretrained.classifier import load_classifier
from tinygrad_llm.terminal import one_line


def run(options: ClassifyTextOptions) -> int:
    """Write a line for every text: label, probability and text, separated by tabs.

    With labels to compare with, the scores follow on standard error.
    """
    console = make_console()
    model, tokenizer = load_classifier(options.model)
    if len(model.labels) < 2:
        raise UserError(
            f"{options.model} scores a text with one number, as a reward model does: it has no "
            "classes"
        )
    texts, labels, places = _read(options)
    expected = class_numbers(labels, places, model.labels) if labels else None
    limit = min(options.max_length, model.body.config.block_size)
    rows = []
    for text, place in zip(texts, places, strict=True):
        ids, _ = encode(tokenizer, text, limit)
        if not len(ids):
            raise UserError(f"{place} is empty: there is no text to classify")
        rows.append(ids)
    p = probabilities(model, rows)  # (N, K)
    for text, row in zip(texts, p, strict=True):
        console.write(_line(text, model.labels, row, options.json) + "\n")
    if expected is not None:
        matrix = confusion_matrix(expected, p.argmax(axis=-1), len(model.labels))
        table = scores_table(model.labels, matrix)
        print(f"accuracy {accuracy(matrix):.2%}\n{table}", file=sys.stderr)
    return 0


def _line(text: str, labels: tuple[str, ...], row: np.ndarray, as_json: bool) -> str:
    """What is written about a text whose classes have the probabilities ``row`` (K,)."""
    best = int(np.argmax(row))
    if as_json:
        shares = {label: float(p) for label, p in zip(labels, row, strict=True)}
        return json.dumps({"text": text, "label": labels[best], "probabilities": shares})
    return f"{one_line(labels[best])}\t{row[best]:.4f}\t{one_line(text)}"


def _read(options: ClassifyTextOptions) -> tuple[list[str], list[str], list[str]]:
    """The texts, their labels (none unless there is a column of them) and their places.

    Raises UserError for a file that has no text.
    """
    if options.text_column is not None:
        rows = read_table(str(options.file))
        texts, column = [row.text(options.text_column) for row in rows], options.label_column
        labels = [] if column is None else [row.text(column) for row in rows]
        return texts, labels, [row.place for row in rows]
    if options.file is None:
        name, data = "standard input", sys.stdin.buffer.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UserError(f"standard input has more than {MAX_BYTES:,} bytes")
    else:
        name, data = options.file, read_bounded(user_path(options.file), MAX_BYTES)
    texts = decoded(data, name).replace("\r\n", "\n").removesuffix("\n").split("\n")
    if texts == [""]:
        raise UserError(f"{name} is empty: expected texts, one a line")
    return texts, [], [f"line {number} of {name}" for number in range(1, len(texts) + 1)]
