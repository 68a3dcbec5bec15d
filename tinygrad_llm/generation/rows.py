"""One sequence as it grows, when it ends, and what is yielded about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tinygrad_llm.generation.penalties import Penalties
from tinygrad_llm.generation.sampling import keep_top_k

FINISHED = -1
"""What ``generate`` yields for a row that has ended before."""


class Step(NamedTuple):
    """What ``generate`` yields for each step with ``logprobs``; R is the number of rows.

    Log-probabilities are natural logarithms and those of the model: before penalties, temperature
    and the other rules. Rows that have ended before have id FINISHED and log-probability NaN.
    """

    ids: np.ndarray
    """The new ids (R,), int64."""
    done: np.ndarray
    """Whether each row has ended, with this id or before (R,), bool."""
    logprobs: np.ndarray
    """The log-probability of each new id (R,), float64."""
    top_ids: np.ndarray
    """The most likely ids, most likely first (R, logprobs), int64."""
    top_logprobs: np.ndarray
    """Their log-probabilities (R, logprobs), float64."""


@dataclass
class Row:
    """One sequence: the ids of prompt and answer so far, and whether it has ended."""

    ids: list[int]
    penalties: Penalties
    done: bool = False


class Ending(NamedTuple):
    """What ends a row: an id, or a function of (row, id)."""

    stop_ids: frozenset[int]
    stop: Callable[[int, int], bool] | None

    def append(self, row: Row, number: int, token: int) -> None:
        """Add an id to the row with this number, and see whether it ends it."""
        row.ids.append(token)
        row.penalties.add(token)
        row.done = token in self.stop_ids or (self.stop is not None and self.stop(number, token))


def report(
    rows: Sequence[Row], new: np.ndarray, logits: Sequence[np.ndarray], logprobs: int | None
) -> np.ndarray | Step:
    """What one step yields: the ids ``new`` (R,), and what ``logprobs`` asks for."""
    if logprobs is None:
        return new
    k = min(logprobs, max(map(len, logits)))
    chosen = np.full(len(new), np.nan)
    top_ids = np.full((len(new), k), FINISHED, dtype=np.int64)
    top = np.full((len(new), k), np.nan)
    for r, token in enumerate(new):
        if token != FINISHED:
            z = logits[r] - np.float64(logits[r].max())
            log_p = z - np.log(np.exp(z).sum())  # (V,)
            chosen[r] = log_p[token]
            if k:
                best = np.arange(len(z))[keep_top_k(z, k)]
                top_ids[r] = best[np.argsort(-z[best], kind="stable")]
                top[r] = log_p[top_ids[r]]
    done = np.array([row.done for row in rows])
    return Step(new, done, chosen, top_ids, top)
