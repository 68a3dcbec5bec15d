"""Rows of token ids of different lengths, as the arrays that a model takes.

Rows are padded on the right. A token sees none to its right, and the labels of the padding do not
count, so what a row gets does not depend on the rows that it is padded with.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_llm.finetune.classification import by_length
from tinygrad_llm.finetune.examples import Example
from tinygrad_llm.finetune.logps import IGNORE


@dataclass(frozen=True)
class Rows:
    """A batch: ids and labels (B, T). ``documents`` (B, T) names for each token the position at
    which its document begins, if rows hold several. ``tokens`` are those that are no padding."""

    ids: np.ndarray
    labels: np.ndarray
    documents: np.ndarray | None
    tokens: int

    @property
    def terms(self) -> int:
        """The number of labels that count."""
        return int(np.count_nonzero(self.labels != IGNORE))

    def hidden(self, model: Any) -> Any:
        """The last hidden state (B, T, C) of a model."""
        if self.documents is None:
            return model.hidden(self.ids)
        return model.hidden(self.ids, documents=self.documents)


def collate(rows: Sequence[Any]) -> Rows:
    """A batch of rows with ``ids`` and ``labels`` (T,), and perhaps ``documents`` (T,)."""
    B, T = len(rows), max(len(row.ids) for row in rows)
    ids, labels = np.zeros((B, T), np.int64), np.full((B, T), IGNORE, np.int64)
    documents = np.zeros((B, T), np.int64)
    for b, row in enumerate(rows):
        n = len(row.ids)
        ids[b, :n], labels[b, :n] = row.ids, row.labels
        documents[b, n:] = n  # the padding is a document of its own
        if getattr(row, "documents", None) is not None:
            documents[b, :n] = row.documents
    packed = any(getattr(row, "documents", None) is not None for row in rows)
    return Rows(ids, labels, documents if packed else None, sum(len(row.ids) for row in rows))


def batches_by_length(rows: Sequence[Any], size: int) -> Iterator[tuple[np.ndarray, Rows]]:
    """All rows in batches of similar lengths: (row numbers, batch)."""
    for numbers in by_length([row.ids for row in rows], size):
        yield numbers, collate([rows[i] for i in numbers])


def first_answer(row: Example) -> int:
    """The place of the first label that counts, which is that of the last token before it."""
    return int(np.argmax(row.labels != IGNORE))


def all_tokens(row: Example) -> np.ndarray:
    """The tokens of a row, with the last label, which no token follows."""
    return row.ids if row.labels[-1] == IGNORE else np.append(row.ids, row.labels[-1])
