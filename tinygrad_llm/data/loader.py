"""Batches from a row of token ids: random ones for training, all of them once for evaluation.

There are no epochs: a training batch is B random windows, as in nanoGPT. Only the generator's state
has to be saved, and restoring it continues the run with exactly the batches it would have seen.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_llm.data.token_file import CHUNK, check_tokens, checked_row, open_tokens
from tinygrad_llm.data.token_row import ShardedTokens, TokenRow
from tinygrad_llm.errors import UserError

IGNORE = -100  # the target that the loss ignores (PyTorch's ignore_index)


class DataLoader:
    """Random training batches, without end: ``for x, y in loader`` is a training loop.

    ``tokens`` is a row of ids (N,), a list or the path of a .npy file; N must exceed
    block_size, as the last window needs a target for its last id. ``seed`` is anything NumPy's
    SeedSequence takes. With ``vocab_size`` every id is checked once, here.
    """

    def __init__(
        self,
        tokens: TokenRow | Sequence[int] | str | os.PathLike,
        batch_size: int,
        block_size: int,
        seed: int,
        vocab_size: int | None = None,
    ) -> None:
        if batch_size < 1 or block_size < 1:
            raise UserError(
                f"batch_size is {batch_size} and block_size {block_size}, expected at least 1"
            )
        if isinstance(tokens, str | os.PathLike):
            name = os.fspath(tokens)
            self.tokens: TokenRow = open_tokens(tokens)
        else:
            name = "the token array"
            if not isinstance(tokens, ShardedTokens):
                tokens = np.asanyarray(tokens)
            self.tokens = checked_row(tokens, name)
        if len(self.tokens) <= block_size:
            raise UserError(
                f"{name} has {len(self.tokens):,} ids, expected more than block_size = "
                f"{block_size:,}; use a longer text or a smaller block_size"
            )
        if vocab_size is not None:
            check_tokens(self.tokens, vocab_size, name)
        self.batch_size = batch_size
        self.block_size = block_size
        self._rng = np.random.Generator(np.random.PCG64(seed))

    def next_batch(self) -> tuple[np.ndarray, np.ndarray]:
        """(x, y), each int64 (B, T): y is x shifted by one id."""
        T = self.block_size
        starts = self._rng.integers(0, len(self.tokens) - T, size=self.batch_size)  # (B,)
        rows = self.tokens[starts[:, None] + np.arange(T + 1)].astype(np.int64)  # (B, T + 1)
        return rows[:, :-1].copy(), rows[:, 1:].copy()

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches without end, as ``next_batch`` draws them: leave the loop with ``break``."""
        while True:
            yield self.next_batch()

    def state_dict(self) -> dict[str, Any]:
        """Everything that determines the next batches, as plain JSON data."""
        return {**self._shape(), "bit_generator": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where ``state`` was taken; the data and the sizes must be the same.

        Raises UserError for a damaged state or one of other sizes, and then changes nothing.
        """
        if not isinstance(state, dict):
            raise UserError(f"a loader's state is a dictionary, found {type(state).__name__}")
        for key, here in self._shape().items():
            if state.get(key) != here:
                raise UserError(
                    f"the saved loader has {key} = {state.get(key)}, this one has {here}: the "
                    "batches would differ; resume with the data and options of the original run"
                )
        bit_generator = np.random.PCG64()
        try:
            bit_generator.state = state["bit_generator"]
            same = bit_generator.state == state["bit_generator"]
        except (KeyError, TypeError, ValueError, OverflowError):
            same = False
        if not same:
            raise UserError(
                "the saved loader's bit_generator is not a whole PCG64 state; resume from another "
                "checkpoint"
            )
        self._rng = np.random.Generator(bit_generator)

    def _shape(self) -> dict[str, int]:
        return {
            "tokens": len(self.tokens),
            "batch_size": self.batch_size,
            "block_size": self.block_size,
        }


Loader = DataLoader  # its earlier name


def evaluation_windows(
    tokens: TokenRow, block_size: int, stride: int | None = None, batch_size: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches (x, y) in which every id after the first is a target exactly once.

    Windows of T = block_size ids start every ``stride`` ids (default T: no overlap). A window's
    targets that an earlier one has scored are -100, so with a smaller stride each id beyond the
    first window is predicted from at least T - stride ids of context. The last window is padded
    with id 0 and target -100. x and y are int64 (b, T); b is batch_size, except in the last batch.
    Raises UserError for sizes below 1, a stride above block_size, and fewer than two ids.
    """
    T = block_size
    step = T if stride is None else stride
    if T < 1 or batch_size < 1 or not 1 <= step <= T:
        raise UserError(
            f"block_size is {T}, stride {step} and batch_size {batch_size}; expected all at least "
            "1 and the stride at most block_size"
        )
    targets = len(checked_row(tokens, "the token array")) - 1
    if targets < 1:
        raise UserError(
            f"the validation data has {len(tokens)} ids, expected at least 2 to score one; use a "
            "longer text"
        )
    # The number of windows: the first scores T targets, each later one `step` more.
    count = 1 + max(0, -((T - targets) // step))
    return _windows(tokens, T, step, count, batch_size)


def _windows(
    tokens: TokenRow, T: int, step: int, count: int, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for first in range(0, count, batch_size):
        rows = range(first, min(first + batch_size, count))
        x = np.zeros((len(rows), T), dtype=np.int64)
        y = np.full((len(rows), T), IGNORE, dtype=np.int64)
        for row, window in enumerate(rows):
            start = window * step
            ids = np.asarray(tokens[start : start + T + 1], dtype=np.int64)
            x[row, : len(ids) - 1] = ids[:-1]
            scored = 0 if window == 0 else T - step  # by the windows before it
            y[row, scored : len(ids) - 1] = ids[1 + scored :]
        yield x, y


def scored_bytes(tokens: TokenRow, token_bytes: np.ndarray) -> int:
    """Bytes of the ids that ``evaluation_windows`` scores: all but the first.

    ``token_bytes[id]`` is the id's length in bytes, 0 for end of text. Bits per byte divides by
    this (and not by tokens), which makes models with different tokenizers comparable.
    """
    check_tokens(tokens, len(token_bytes))
    lengths = np.asarray(token_bytes, dtype=np.int64)
    return sum(
        int(lengths[tokens[start : start + CHUNK]].sum()) for start in range(1, len(tokens), CHUNK)
    )
