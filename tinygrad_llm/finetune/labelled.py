"""Labelled texts: reading them, dropping what teaches nothing, and splitting them.

What is dropped is counted by reason. A text that occurs twice is used once: copies in the training
data and in the test would make the test easier than it is. The split is the same share of every
class, so that none is missing anywhere, and depends on the seed alone.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.tables import Row, read_table
from tinygrad_llm.tokenizer import Tokenizer


@dataclass(frozen=True)
class Labelled:
    """Texts with their labels, and how many rows were dropped for which reason."""

    texts: list[str]
    labels: list[str]
    places: list[str]
    dropped: Counter[str]


def read_labelled(path: str | Path, text_column: str, label_column: str) -> Labelled:
    """The labelled texts of a table (``read_table``).

    Raises UserError for a table that is damaged, has no such columns, or has no text left.
    """
    found = Labelled([], [], [], Counter())
    seen: dict[str, str] = {}
    for row in read_table(path):
        text, label = row.text(text_column), _label(row, label_column)
        if not text.strip():
            found.dropped["an empty text"] += 1
        elif text in seen:
            same = seen[text] == label
            found.dropped[f"a text that occurs twice{'' if same else ', with two labels'}"] += 1
        else:
            seen[text] = label
            found.texts.append(text)
            found.labels.append(label)
            found.places.append(row.place)
    if not found.texts:
        raise UserError(f"{path} has no row with a text")
    return found


def _label(row: Row, column: str) -> str:
    label = row.text(column)
    if not label.strip():
        raise UserError(f"{row.place}: {column} is empty, expected a label")
    return label


def label_names(labels: list[str], path: str | Path) -> tuple[str, ...]:
    """The classes, sorted. Raises UserError if there are fewer than two."""
    names = tuple(sorted(set(labels)))
    if len(names) < 2:
        raise UserError(
            f"every row of {path} has the label {names[0]!r}: a classifier needs at least two"
        )
    return names


def class_numbers(labels: list[str], places: list[str], names: tuple[str, ...]) -> np.ndarray:
    """The number of each label (N,) among ``names``. Raises UserError for one that is not there.

    ``places`` says where each label is: "line 7 of FILE".
    """
    numbers = {name: i for i, name in enumerate(names)}
    for label, place in zip(labels, places, strict=True):
        if label not in numbers:
            raise UserError(
                f"{place}: the label {label!r} is unknown: known are {', '.join(names)}"
            )
    return np.array([numbers[label] for label in labels])


def encode(tokenizer: Tokenizer, text: str, max_length: int) -> tuple[np.ndarray, bool]:
    """(ids, whether the text was cut): the beginning of a text, at most ``max_length`` ids.

    What the tokenizer's file says to put before a text is part of it.
    """
    ids = [*tokenizer.conventions.prefix_ids, *tokenizer.encode(text)]
    return np.array(ids[:max_length], np.int64), len(ids) > max_length


def split(classes: np.ndarray, shares: tuple[float, ...], seed: int) -> list[np.ndarray]:
    """Row numbers in parts, each sorted: one for each of ``shares``, and last the rest.

    Every class is split by itself. Where a class has too few rows for a part, the part has none.
    """
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[] for _ in range(len(shares) + 1)]
    for name in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == name))
        ends = np.round(np.cumsum(shares) * len(members)).astype(int)
        for part, rows in zip(parts, np.split(members, ends), strict=True):
            part.append(rows)
    return [np.sort(np.concatenate(part)) for part in parts]
