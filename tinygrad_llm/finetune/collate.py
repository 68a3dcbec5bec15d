"""Examples as the batches that a model takes, and what the tasks that learn from them ask of both.

Rows are padded on the right (packing.py). A token sees none to its right, and the labels of the
padding do not count, so what a row gets does not depend on the rows that it is padded with.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from autograd import Tensor
from tinygrad_llm.finetune.batches import Rows, pad
from tinygrad_llm.finetune.classification import by_length
from tinygrad_llm.finetune.examples import IGNORE, Example
from tinygrad_llm.finetune.packing import Packed, pad_packed


def collate(rows: Sequence[Any]) -> Rows:
    """A batch, as wide as its longest row, of Examples or of Packed rows."""
    return pad_packed(rows) if isinstance(rows[0], Packed) else pad(rows)


def in_order_of_length(
    rows: Sequence[Example], batch_size: int
) -> Iterator[tuple[np.ndarray, Rows]]:
    """All rows, those of similar lengths together: (row numbers, batch)."""
    for numbers in by_length([row.ids for row in rows], batch_size):
        yield numbers, collate([rows[i] for i in numbers])


def hidden(model: Any, rows: Rows) -> Tensor:
    """The last hidden state (B, T, C) of a model."""
    h: Tensor = model.hidden(rows.ids, documents=rows.documents)
    return h


def first_answer(row: Example) -> int:
    """The place of the first label that counts, which is that of the last token before it."""
    return int(np.argmax(row.labels != IGNORE))


def all_tokens(row: Example) -> np.ndarray:
    """The tokens of a row, with the last label, which no token follows."""
    return row.ids if row.labels[-1] == IGNORE else np.append(row.ids, row.labels[-1])
