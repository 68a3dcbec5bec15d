"""Packing: several examples share a row, so that nearly nothing of a batch is padding.

They are the documents of their row (``model.loss(ids, labels, documents=...)``): each sees itself
alone, and its positions count from its own beginning. So loss and gradients are those of one row
for each example, to rounding.

    row        How are you ? <eos> | 1 + 1 = 2 <eos> | padding
    documents   0   0   0  0   0     5 5 5 5 5   5      11 ...
    positions   0   1   2  3   4     0 1 2 3 4   5       0 ...
"""

import bisect
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinygrad_llm.finetune.examples import Example


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """The numbers of the items in each row, such that few rows of ``capacity`` hold all.

    The longest items come first, those of one length in their order, and each goes into the row in
    which it leaves the least room. At worst that takes about 11/9 of the fewest possible rows
    (Johnson et al. 1974). Raises ValueError for an item longer than a row.
    """
    if max(lengths, default=0) > capacity:
        raise ValueError(f"an item of length {max(lengths)} does not fit into {capacity}")
    rows: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # (room, row), sorted
    for item in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        place = bisect.bisect_left(rooms, (lengths[item], -1))
        if place < len(rooms):
            room, row = rooms.pop(place)
        else:
            room, row = capacity, len(rows)
            rows.append([])
        rows[row].append(item)
        bisect.insort(rooms, (room - lengths[item], row))
    return rows


class Packed(NamedTuple):
    """A row of several examples: ids, labels and documents (T,), without padding.

    A document is named by the position at which it begins.
    """

    ids: np.ndarray
    labels: np.ndarray
    documents: np.ndarray


def pack(examples: Sequence[Example], length: int) -> list[Packed]:
    """All examples in few rows of at most ``length`` ids (``best_fit``)."""
    return [
        joined([examples[i] for i in row])
        for row in best_fit([len(example.ids) for example in examples], length)
    ]


def joined(examples: Sequence[Example]) -> Packed:
    """All examples in one row, in their order."""
    lengths = [len(example.ids) for example in examples]
    return Packed(
        np.concatenate([example.ids for example in examples]),
        np.concatenate([example.labels for example in examples]),
        np.repeat(np.cumsum([0, *lengths[:-1]]), lengths),
    )
