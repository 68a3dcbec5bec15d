"""Where ``generate`` gets logits from: a model with a cache, or any function from ids to logits.

A context answers one question: which logits follow these sequences? It gets whole sequences, and
shortens those that are longer than the model's block_size to their last block_size tokens.
``Cached`` gives the model only the new tokens, ``Uncached`` computes everything anew, and both must
agree.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from autograd import Tensor
from autograd.device import is_array, to_numpy
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation.cache import KVCache
from tinygrad_llm.generation.decoder import Decoder
from tinygrad_llm.model.module import Module


class Context(Protocol):
    """What ``generate`` asks."""

    def begin(self, n_prompts: int, longest: int) -> None:
        """Get ready for new sequences of up to ``longest`` ids. If there are more sequences than
        prompts, n to one, each prompt begins n sequences next to each other."""
        ...

    def next_logits(self, sequences: Sequence[list[int]]) -> list[np.ndarray]:
        """Logits (V,) of the id after each sequence. An empty sequence is one that has ended: its
        entry means nothing."""
        ...

    def last_logits(self, ids: list[int], n: int) -> list[np.ndarray]:
        """Logits (V,) of the ids at the last n - 1 places of the only sequence, and after it."""
        ...

    def rewind(self, n: int) -> None:
        """The only sequence continues differently after its first n ids."""
        ...

    def room(self, ids: list[int]) -> int:
        """How many more ids fit before the sequence has to be shortened."""
        ...


class Uncached:
    """Computes every sequence anew at each step: the definition that a cache must agree with.

    ``function`` maps ids (B, T), T <= block_size, to logits (B, V) of the next id. Sequences of
    different lengths go to it in turn, so it never sees padding.
    """

    def __init__(self, function: Callable[[np.ndarray], Any], block_size: int) -> None:
        self._function, self._block_size = function, block_size

    def begin(self, n_prompts: int, longest: int) -> None:
        """There is nothing to prepare."""

    def next_logits(self, sequences: Sequence[list[int]]) -> list[np.ndarray]:
        cropped = [s[-self._block_size :] for s in sequences]
        results = [np.zeros(0)] * len(cropped)
        for length in sorted({len(s) for s in cropped if s}):
            rows = [b for b, s in enumerate(cropped) if len(s) == length]
            ids = np.array([cropped[b] for b in rows], dtype=np.int64)  # (rows, length)
            logits = np.asarray(in_main_memory(self._function(ids)))
            if logits.ndim != 2 or len(logits) != len(rows):
                raise UserError(
                    f"the function has returned logits of shape {logits.shape} for ids of shape "
                    f"{ids.shape}, expected (B, V) = ({len(rows)}, V): those of the next id alone, "
                    "such as logits[:, -1]"
                )
            for b, row in zip(rows, logits, strict=True):
                results[b] = row
        return results

    def last_logits(self, ids: list[int], n: int) -> list[np.ndarray]:
        return self.next_logits([ids[: len(ids) - i] for i in range(n - 1, -1, -1)])

    def rewind(self, n: int) -> None:
        """There is nothing to forget."""

    def room(self, ids: list[int]) -> int:
        return self._block_size - len(ids)


class Cached:
    """Gives the model those tokens that its cache does not have yet.

    A sequence longer than block_size loses its first token at each step. All others change their
    positions then, nothing in the cache is right any more, and it is filled anew.

    cache: None makes a new one for each ``begin``. Otherwise it may have tokens, and those that a
    prompt has in common with its row are not computed again.
    """

    def __init__(self, decoder: Decoder, cache: KVCache | None, block_size: int) -> None:
        self._decoder, self._callers_cache, self._block_size = decoder, cache, block_size

    def begin(self, n_prompts: int, longest: int) -> None:
        longest, cache = min(longest, self._block_size), self._callers_cache
        if cache is None:
            cache = self._decoder.cache(n_prompts, longest)
        if len(cache.ids) != n_prompts or cache.max_length < longest:
            raise UserError(
                f"the cache has {len(cache.ids)} rows of up to {cache.max_length} tokens, but "
                f"{n_prompts} rows of up to {longest} are to be generated"
            )
        self._cache = cache
        self._is_shifted: list[bool] = []  # for each row, once there are some

    def next_logits(self, sequences: Sequence[list[int]]) -> list[np.ndarray]:
        if not self._is_shifted:
            self._read_prompts(sequences)
        new = [self._new(row, ids) for row, ids in enumerate(sequences)]
        return list(self._decoder(new, self._cache))

    def _read_prompts(self, sequences: Sequence[list[int]]) -> None:
        n = len(sequences) // len(self._cache.ids)
        prompts, self._is_shifted = sequences[::n], [False] * len(sequences)
        for row, ids in enumerate(prompts):
            # the last token has to run again, for its logits
            self._cache.keep_common_prefix(row, ids[:-1])
        if n > 1:  # a prompt is read once for all its sequences
            self._decoder(
                [self._new(row, ids)[:-1] for row, ids in enumerate(prompts)], self._cache
            )
            self._cache = self._cache.repeat(n)

    def last_logits(self, ids: list[int], n: int) -> list[np.ndarray]:
        if n == 1:
            return self.next_logits([ids])
        (logits,) = self._decoder([self._new(0, ids)], self._cache, all_positions=True)
        return list(logits[-n:])

    def rewind(self, n: int) -> None:
        if self._is_shifted:
            self._cache.truncate(min(n, len(self._cache.ids[0])))

    def room(self, ids: list[int]) -> int:
        return self._block_size - len(ids)

    def _new(self, row: int, ids: list[int]) -> list[int]:
        """What the row of the cache lacks of its sequence ``ids``."""
        if not ids:
            return []
        is_shifted = len(ids) > self._block_size
        if is_shifted or self._is_shifted[row]:
            self._cache.rows(row, row + 1).truncate(0)
        self._is_shifted[row] = is_shifted
        return ids[-self._block_size :][len(self._cache.ids[row]) :]


def context_of(
    model: Decoder | Module | Callable[[np.ndarray], Any],
    block_size: int | None = None,
    cache: KVCache | None = None,
) -> Context:
    """The context for a model or a function; ``generate`` defines the arguments."""
    if isinstance(model, Decoder | Module):
        decoder = model if isinstance(model, Decoder) else Decoder(model)
        own = decoder.model.config.block_size
        return Cached(decoder, cache, min(own, block_size or own))
    if block_size is None:
        raise UserError(
            "block_size is missing: a function from ids to logits does not name its own"
        )
    if cache is not None:
        raise UserError("a function from ids to logits has no use for a cache: pass the model")
    return Uncached(model, block_size)


def in_main_memory(values: Any) -> Any:
    """A Tensor, or an array of any library, as a NumPy array; anything else unchanged."""
    values = values.data if isinstance(values, Tensor) else values
    return to_numpy(values) if is_array(values) else values
