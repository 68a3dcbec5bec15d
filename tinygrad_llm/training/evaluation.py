"""How well a model predicts a text: loss, perplexity and bits per byte.

The negative log-likelihoods of all scored tokens are summed and divided once, by their number; a
mean of batch means would be biased by a short last batch. Bits per byte divides by the bytes that
the scored tokens stand for instead, so models with different tokenizers can be compared.

A few documents can hold much of a text's surprise (tables, word lists). So the documents can also
be scored one by one: the median of their bits per byte is what a typical one needs.
"""

import math
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autograd import no_grad
from autograd.device import to_numpy
from tinygrad_llm.data.loader import IGNORE, evaluation_windows
from tinygrad_llm.data.token_row import TokenRow

if TYPE_CHECKING:
    from tinygrad_llm.model import Model

Batch = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Evaluation:
    """The sum of the scored tokens' negative log-likelihoods (nats), their number and bytes."""

    nats: float
    tokens: int
    bytes: int

    @property
    def loss(self) -> float:
        """Nats per token; NaN if nothing was scored."""
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """exp(loss): as uncertain as a uniform choice among this many tokens."""
        return math.exp(self.loss) if self.loss < 700 else math.inf

    @property
    def bits_per_byte(self) -> float:
        """Nats / (ln 2 x bytes); NaN if the scored tokens have no bytes."""
        return self.nats / (math.log(2) * self.bytes) if self.bytes else math.nan

    @classmethod
    def total(cls, parts: Iterable["Evaluation"]) -> "Evaluation":
        """Of several texts together: the sums of their sums."""
        parts = list(parts)
        return cls(
            sum(p.nats for p in parts), sum(p.tokens for p in parts), sum(p.bytes for p in parts)
        )

    def __str__(self) -> str:
        return (
            f"loss {self.loss:.4f}, perplexity {self.perplexity:.2f}, "
            f"{self.bits_per_byte:.4f} bits per byte"
        )


def evaluate(model: "Model", batches: Iterable[Batch], token_bytes: np.ndarray) -> Evaluation:
    """Score batches (x, y) of ids, each (B, T), in which a target y of -100 does not count.

    ``token_bytes[id]`` is the id's length in bytes, 0 for special tokens. Dropout is off meanwhile
    and no random number is drawn: an evaluation does not change the training around it.
    """
    return Evaluation.total(evaluate_documents(model, batches, token_bytes, end_id=None))


def evaluate_documents(
    model: "Model", batches: Iterable[Batch], token_bytes: np.ndarray, end_id: int | None
) -> list[Evaluation]:
    """``evaluate`` for each of the documents that the targets of the batches are, in order.

    The document ends with each ``end_id``, which still belongs to it. It is predicted from
    what its window holds, be it of the document before.
    """
    parts = [np.zeros(3)]  # nats, tokens and bytes of each document
    was_training = model.training
    model.eval()
    try:
        with no_grad():
            for x, y in batches:
                scored = y != IGNORE
                nats = to_numpy(model.loss(x, y, reduction="none").data)[scored]
                ids = y[scored]
                ends = np.flatnonzero(ids == end_id) + 1
                pieces = zip(np.split(nats, ends), np.split(ids, ends), strict=True)
                for number, (nats, ids) in enumerate(pieces):
                    if number:
                        parts.append(np.zeros(3))
                    parts[-1] += nats.sum(dtype=np.float64), ids.size, token_bytes[ids].sum()
    finally:
        model.train(was_training)
    return [Evaluation(float(n), int(t), int(b)) for n, t, b in parts if t]


def median_bits_per_byte(documents: Iterable[Evaluation]) -> float:
    """Of the documents that have bytes; NaN if there are none."""
    scores = [d.bits_per_byte for d in documents if d.bytes]
    return statistics.median(scores) if scores else math.nan


def whole(tokens: TokenRow, block_size: int, batch_size: int) -> Iterator[Batch]:
    """Every token after the first, each once, in windows that do not overlap."""
    return evaluation_windows(tokens, block_size, batch_size=batch_size)


def fixed_part(tokens: TokenRow, block_size: int, batch_size: int, batches: int) -> Iterator[Batch]:
    """At most ``batches`` batches of windows spread evenly over the text: always the same ones.

    Spread, since a text is sorted by document and its beginning would be only one or two of them.
    If the text has no more than that, all of it is scored.
    """
    T = block_size
    n_windows = batches * batch_size
    full_windows = (len(tokens) - 1) // T
    if full_windows <= n_windows:
        yield from whole(tokens, block_size, batch_size)
        return
    starts = np.arange(n_windows) * full_windows // n_windows * T  # (n_windows,)
    for first in range(0, n_windows, batch_size):
        index = starts[first : first + batch_size, None] + np.arange(T + 1)
        rows = np.asarray(tokens[index], dtype=np.int64)  # (B, T + 1)
        yield rows[:, :-1].copy(), rows[:, 1:].copy()
