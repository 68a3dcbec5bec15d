"""The order in which a run goes through its rows: shuffled anew in each epoch.

The order of an epoch is a function of the seed and the epoch's number, so all that a checkpoint has
to save is where in which epoch the run is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import Whole

ORDER_SCHEMA = {"rows": Whole(1), "epoch": Whole(0), "position": Whole(0)}
"""What ``Order.state_dict`` looks like."""

POOL = 8  # groups; with 50, less is padding (1 % instead of 5), but the same rows meet more often


class Order:
    """Endless row numbers from 0 to ``rows`` - 1, each once in every epoch.

    With ``classes`` (rows,), each row's class as a number, an epoch is balanced: of its ``rows``
    draws every class gets the same number, give or take one, so rows of a rare class come several
    times and of a common one only some; which ones changes from epoch to epoch.

    With ``lengths`` (rows,) in its place, rows that are drawn ``group`` at a time are of similar
    lengths, so little of a padded batch is padding: of every POOL groups together, the shuffled
    rows are sorted by length, and the groups shuffled again.
    """

    def __init__(
        self,
        rows: int,
        seed: int,
        classes: np.ndarray | None = None,
        *,
        lengths: Sequence[int] | None = None,
        group: int = 1,
    ) -> None:
        if rows < 1:
            raise ValueError("there are no rows")
        self.rows, self.seed, self.classes = rows, seed, classes
        self.lengths, self.group = None if lengths is None else np.asarray(lengths), group
        self.epoch = self.position = 0
        self._order = self._shuffled()

    def next(self, count: int) -> np.ndarray:
        """The next ``count`` row numbers; they may belong to two epochs."""
        parts: list[np.ndarray] = []
        while count:
            if self.position == self.rows:
                self.epoch, self.position = self.epoch + 1, 0
                self._order = self._shuffled()
            part = self._order[self.position : self.position + count]
            self.position, count = self.position + len(part), count - len(part)
            parts.append(part)
        return np.concatenate(parts)

    def _shuffled(self) -> np.ndarray:
        rng = np.random.default_rng((self.seed, self.epoch))
        if self.classes is not None:
            return rng.permutation(self._balanced(self.classes, rng))
        order = rng.permutation(self.rows)
        return order if self.lengths is None else self._by_length(order, self.lengths, rng)

    def _balanced(self, classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        names = rng.permutation(np.unique(classes))  # who gets one more is random
        rows = []
        for i, name in enumerate(names):
            members = rng.permutation(np.flatnonzero(classes == name))
            rows.append(np.resize(members, (self.rows + i) // len(names)))  # repeats them
        return np.concatenate(rows)

    def _by_length(
        self, order: np.ndarray, lengths: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        size = self.group
        first = -self.epoch * self.rows % size  # rows that complete the group begun an epoch ago
        groups = []
        for start in range(first, self.rows, POOL * size):
            pool = order[start : start + POOL * size]
            pool = pool[np.argsort(-lengths[pool], kind="stable")]
            groups += np.split(pool, range(size, len(pool), size))
        whole = [group for group in groups if len(group) == size]
        rest = [group for group in groups if len(group) < size]  # at most one, the last
        return np.concatenate(
            [order[:first], *(whole[i] for i in rng.permutation(len(whole))), *rest]
        )

    def state_dict(self) -> dict[str, Any]:
        """Where the run is, as JSON data."""
        return {"rows": self.rows, "epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state`` was taken. Raises UserError for one of other data."""
        if state["rows"] != self.rows or state["position"] > self.rows:
            raise UserError(
                f"the training state is of a run over {state['rows']} rows, but there are "
                f"{self.rows}: they do not belong together"
            )
        self.epoch, self.position = state["epoch"], state["position"]
        self._order = self._shuffled()
