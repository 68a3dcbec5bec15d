"""A model that reads new tokens and keeps what it has read: ids in, logits out.

The definition is the model's own page: ``model(ids, cache)``. A Decoder adds what generation needs
around it. Rows of a batch may have different lengths and get different numbers of new tokens; long
prompts are read in chunks, so that the memory for them is that of one chunk; and the output layer,
the largest matrix, runs only where logits are asked for.

For a few tokens at a time, as in generation, the whole model is one compiled call: step_kernel.py.
It reads every weight once for all of them, and Python's part in a token is small. A short prompt,
such as a turn of a conversation, is read in several such calls.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, groupby
from typing import Any

import numpy as np

from autograd import no_grad
from autograd.device import to_numpy
from autograd.kernels.dispatch import compiling, runs_reference
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation.cache import KVCache

CHUNK = 512
"""Tokens of a row that the model reads at a time."""


class Decoder:
    """Computes the logits after new tokens, whose predecessors lie in a KVCache.

        decoder = Decoder(model)
        cache = decoder.cache(batch_size=2)
        logits = decoder([[5, 3, 8], [4]], cache)      # (2, V): two prompts
        logits = decoder([[6], [2]], cache)            # and one more token of each

    model: a GPT or Llama after ``model.eval()``. Its parameters may be assigned to later, but not
    replaced, as ``astype`` and ``to`` do: make a new Decoder then.

    The compiled step runs for float32 in main memory; within ``use_kernels("reference")``, and for
    layers that it does not know, the model itself runs. It is compiled at its first use, which
    takes about 25 seconds once per machine; with ``fused=False`` the model runs at every step.
    """

    def __init__(self, model: Any, fused: bool = True) -> None:
        self.model, self.fused = model, fused

    def __reduce__(self) -> Any:
        """A copy of a decoder, or one in another process, finds the weights of its own model."""
        return Decoder, (self.model, self.fused)

    @cached_property
    def _step_or_reason(self) -> tuple[Any, str | None]:
        return _step_of(self.model) if self.fused else (None, "fused is False")

    @property
    def refusal(self) -> str | None:
        """Why the compiled step does not run for this model, or None."""
        return self._step_or_reason[1]

    def cache(self, batch_size: int = 1, max_length: int | None = None) -> KVCache:
        """An empty cache of the type of the model's numbers, where the model is."""
        weight = self.model.parameters()[0]
        return KVCache(self.model.config, batch_size, max_length, weight.dtype, weight.device)

    @no_grad()
    def __call__(
        self, tokens: Sequence[Sequence[int]], cache: KVCache, all_positions: bool = False
    ) -> Any:
        """Add ``tokens`` to the rows of the cache, and compute which ids come next.

        tokens: for each row a sequence of new ids, of any length; a row without new ids stays as it
        is. Returns logits (B, V) of the ids that follow each row, an array in main memory (for rows
        without new ids they are 0). With ``all_positions`` a list of (n, V) for each row, the
        logits after each of its n new ids.

        Raises UserError for ids outside the vocabulary, for another number of rows than the cache
        has, for tokens that do not fit into it, and for a cache of another model. The cache stays
        as it was then.
        """
        if cache.config is not self.model.config and cache.config != self.model.config:
            raise UserError(
                "the cache was made for another model: make one with this decoder's cache()"
            )
        new = [[int(i) for i in row] for row in tokens]
        if len(new) != len(cache.ids):
            raise UserError(
                f"there are tokens for {len(new)} rows, but the cache has {len(cache.ids)}"
            )
        V = self.model.config.vocab_size
        for row in new:
            if row and not (0 <= min(row) and max(row) < V):
                wrong = next(i for i in row if not 0 <= i < V)
                raise UserError(
                    f"id {wrong} is outside the model's vocabulary of {V}: the tokens come from "
                    "another tokenizer"
                )
        cache.check_room([len(row) for row in new])
        step = self._step_for(sum(map(len, new)), cache)
        if step is None:
            rows = self._read(new, cache, all_positions)
        else:
            n_asked = [len(row) if all_positions else min(len(row), 1) for row in new]
            logits = _in_steps(step, new, cache, n_asked)  # (N, V)
            if len(logits) == len(new) and not all_positions:
                return logits
            rows = [
                logits[end - n : end] for n, end in zip(n_asked, accumulate(n_asked), strict=True)
            ]
        if all_positions:
            return rows
        last = np.zeros((len(new), V), cache.keys[0].dtype)
        for b, found in enumerate(rows):
            if len(found):
                last[b] = found[-1]
        return last

    def _step_for(self, n_tokens: int, cache: KVCache) -> Any:
        """The compiled step if it is the way to read so many new tokens, or None."""
        suits = type(cache.keys[0]) is np.ndarray and cache.keys[0].dtype == np.float32
        if n_tokens == 0 or not suits or self.model.training or runs_reference():
            return None
        step, _ = self._step_or_reason
        return step if step is not None and n_tokens <= step.most_in_steps else None

    def _read(
        self, tokens: list[list[int]], cache: KVCache, all_positions: bool
    ) -> list[np.ndarray]:
        """By definition: neighbouring rows that are equally long go through the model together."""
        V, dtype = self.model.config.vocab_size, cache.keys[0].dtype
        logits = [np.zeros((0, V), dtype) for _ in tokens]
        alike = zip(cache.lengths.tolist(), map(len, tokens), strict=True)
        end = 0
        for (_, n), group in groupby(alike):
            begin, end = end, end + len(list(group))
            if n == 0:
                continue
            rows, ids = cache.rows(begin, end), np.array(tokens[begin:end])
            step, found = max(1, CHUNK // (end - begin)), []
            for i in range(0, n, step):
                h = self.model.hidden(ids[:, i : i + step], rows)
                if all_positions:
                    found.append(to_numpy(self.model.logits(h).data))
            if not all_positions:
                found.append(to_numpy(self.model.logits(h[:, -1:]).data))
            logits[begin:end] = np.concatenate(found, axis=1)
        return logits


def _in_steps(step: Any, tokens: list[list[int]], cache: KVCache, n_asked: list[int]) -> np.ndarray:
    """Logits (N, V) after the last ``n_asked[b]`` new tokens of each row b, row by row.

    The compiled step takes up to ``most_tokens`` at a time; rows may be cut anywhere.
    """
    places = [(b, i) for b, new in enumerate(tokens) for i in range(len(new))]
    found = []
    for begin in range(0, len(places), step.most_tokens):
        piece: list[list[int]] = [[] for _ in tokens]
        asked = [0] * len(tokens)
        for b, i in places[begin : begin + step.most_tokens]:
            piece[b].append(tokens[b][i])
            asked[b] += i >= len(tokens[b]) - n_asked[b]
        found.append(step(piece, cache, asked))
    return found[0] if len(found) == 1 else np.concatenate(found)


def _step_of(model: Any) -> tuple[Any, str | None]:
    """The compiled step of a model, or None and the reason."""
    if not compiling():
        return None, "numba compiles nothing, since NUMBA_DISABLE_JIT is set"
    from tinygrad_llm.generation.step import Step
    from tinygrad_llm.generation.step_tables import NoStep

    try:
        return Step(model), None
    except NoStep as reason:
        return None, str(reason)
