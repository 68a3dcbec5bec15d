"""A row of token ids in several files, read like one array.

Only what readers of tokens need: the length, slices, and any shape of positions. What is read is a
copy; the files stay mapped, and the system keeps in memory what there is room for.
"""

from collections.abc import Sequence

import numpy as np


class ShardedTokens:
    """Arrays of ids (N_i,) of one type as one row (N,)."""

    ndim = 1

    def __init__(self, shards: Sequence[np.ndarray]) -> None:
        self._shards = list(shards)
        self.dtype = shards[0].dtype
        self._ends = np.cumsum([len(shard) for shard in shards])  # of each shard, in the row
        self.shape = (int(self._ends[-1]),)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | int | np.ndarray) -> np.ndarray:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return self[np.arange(start, stop, step)]
            return self._between(start, max(start, stop))
        positions = np.asarray(index)
        if positions.size and not -len(self) <= positions.min() <= positions.max() < len(self):
            raise IndexError(f"a position is outside the row of {len(self):,} token ids")
        positions = np.where(positions < 0, positions + len(self), positions)
        ids = np.empty(positions.shape, self.dtype)
        shard_of = np.searchsorted(self._ends, positions, side="right")
        for number in np.unique(shard_of):
            here = shard_of == number
            first = self._ends[number] - len(self._shards[number])
            ids[here] = self._shards[number][positions[here] - first]
        return ids[()]

    def _between(self, start: int, stop: int) -> np.ndarray:
        parts = [np.empty(0, self.dtype)]
        for shard, end in zip(self._shards, self._ends.tolist(), strict=True):
            first = end - len(shard)
            if start < end and first < stop:
                parts.append(shard[max(0, start - first) : stop - first])
        return np.concatenate(parts)


TokenRow = np.ndarray | ShardedTokens
