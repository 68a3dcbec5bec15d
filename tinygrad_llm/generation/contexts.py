"""Where ``generate`` gets logits from: a model, or any function from ids to logits.

A context answers one question: which logits follow these sequences? It gets whole sequences, and
shortens those that are longer than the model's block_size to their last block_size tokens.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from autograd import Tensor
from autograd.device import is_array, to_numpy
from tinygrad_llm.errors import UserError
from tinygrad_llm.model.module import Module


class Context(Protocol):
    """What ``generate`` asks."""

    def next_logits(self, sequences: Sequence[list[int]]) -> list[np.ndarray]:
        """Logits (V,) of the id after each sequence. An empty sequence is one that has ended: its
        entry means nothing."""
        ...

    def last_logits(self, ids: list[int], n: int) -> list[np.ndarray]:
        """Logits (V,) of the ids at the last n - 1 places of one sequence, and after it."""
        ...

    def rewind(self, n: int) -> None:
        """The one sequence continues differently after its first n ids."""
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

    def next_logits(self, sequences: Sequence[list[int]]) -> list[np.ndarray]:
        cropped = [s[-self._block_size :] for s in sequences]
        found = [np.zeros(0)] * len(cropped)
        for length in sorted({len(s) for s in cropped if s}):
            rows = [b for b, s in enumerate(cropped) if len(s) == length]
            ids = np.array([cropped[b] for b in rows], dtype=np.int64)  # (rows, length)
            for b, logits in zip(rows, in_main_memory(self._function(ids)), strict=True):
                found[b] = logits
        return found

    def last_logits(self, ids: list[int], n: int) -> list[np.ndarray]:
        return self.next_logits([ids[: len(ids) - i] for i in range(n - 1, -1, -1)])

    def rewind(self, n: int) -> None:
        """There is nothing to forget."""

    def room(self, ids: list[int]) -> int:
        return self._block_size - len(ids)


def context_of(model: Module | Callable[[np.ndarray], Any], block_size: int | None) -> Context:
    """The context for a model or a function; ``generate`` defines both arguments."""
    if isinstance(model, Module):
        network: Any = model
        own = network.config.block_size
        return Uncached(network.next_token_logits, min(own, block_size or own))
    if block_size is None:
        raise UserError(
            "block_size is missing: a function from ids to logits does not name its own"
        )
    return Uncached(model, block_size)


def in_main_memory(values: Any) -> Any:
    """A Tensor, or an array of any library, as a NumPy array; anything else unchanged."""
    values = values.data if isinstance(values, Tensor) else values
    return to_numpy(values) if is_array(values) else values
