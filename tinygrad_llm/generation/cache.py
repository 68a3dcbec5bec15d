"""The KV cache: keys and values of the tokens so far, so that a model reads each token only once.

Attention is the only place where a token meets those before it, and what it needs of them are their
keys and values. Neither changes when tokens follow. So a generator stores them, and each step
computes only its new tokens: T tokens cost T steps of one token, not of 1, 2, ..., T tokens.

    per layer    keys and values (B, G, R, D): R slots for each of B rows and G key heads
    row b        its first token has position 0, wherever other rows are: no padding is ever stored
    slot         position p lies in slot p mod R

In most layers R is ``max_length``, and no two positions share a slot. A layer with a window of W
tokens needs only the last W - 1 of those before a new token. It has a ring of W + SLACK slots, in
which each new token replaces the oldest. The slack allows a row to be shortened by a few tokens:
those before the new end must still be there.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from autograd import Tensor, is_grad_enabled
from autograd.device import namespace, namespace_on, to_numpy
from tinygrad_llm.errors import UserError

SLACK = 64
"""Slots of a ring beyond its window."""


class KVCache:
    """Keys and values of ``batch_size`` rows of up to ``max_length`` tokens.

        cache = KVCache(model.config)
        with no_grad():
            model(ids[:, :5], cache)               # the logits of model(ids[:, :6]) at the sixth
            logits = model(ids[:, 5:6], cache)     # position, without computing the first five

    config: the model's GPTConfig or LlamaConfig. max_length: None means its block_size, the most.
    dtype, device: those of the model's parameters. Memory is allocated at once, but the operating
    system hands it out as it is used. ``ids[b]`` is the list of the tokens in row b.

    Raises UserError for a length or size out of range, and if there is not enough memory.
    """

    def __init__(
        self,
        config: Any,
        batch_size: int = 1,
        max_length: int | None = None,
        dtype: Any = np.float32,
        device: str = "cpu",
    ) -> None:
        max_length = config.block_size if max_length is None else max_length
        if batch_size < 1:
            raise UserError(f"a cache of {batch_size} rows: it needs at least 1")
        if not 1 <= max_length <= config.block_size:
            raise UserError(
                f"max_length is {max_length}, but must be between 1 and the model's block_size, "
                f"{config.block_size}"
            )
        self.config, self.max_length = config, max_length
        self.windows = [config.window(layer) for layer in range(config.n_layer)]
        slots = [min(max_length, (w or max_length) + SLACK) for w in self.windows]
        shapes = [(batch_size, config.n_kv_head, R, config.head_dim) for R in slots]
        xp, dtype = namespace_on(device), np.dtype(dtype)
        try:
            self.keys = [xp.zeros(shape, dtype) for shape in shapes]
            self.values = [xp.zeros(shape, dtype) for shape in shapes]
        except MemoryError as error:
            size = 2 * dtype.itemsize * sum(map(math.prod, shapes)) / 1e9
            raise UserError(
                f"a cache for {batch_size} rows of {max_length} tokens needs {size:.1f} GB, more "
                "than there is: use a smaller max_length"
            ) from error
        self.ids: list[list[int]] = [[] for _ in range(batch_size)]
        # how far each row has written: what lies a ring or more before this is overwritten
        self._written = np.zeros(batch_size, np.int64)

    @property
    def lengths(self) -> np.ndarray:
        """How many tokens each row has: (B,), int64."""
        return np.array([len(ids) for ids in self.ids], np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(a.nbytes for a in (*self.keys, *self.values))

    @functools.cached_property
    def addresses(self) -> np.ndarray:
        """For the fused step: where each layer's keys and values are, and its R: (n_layer, 3)."""
        pairs = zip(self.keys, self.values, strict=True)
        return np.array([(k.ctypes.data, v.ctypes.data, k.shape[2]) for k, v in pairs], np.int64)

    def __getstate__(self) -> dict[str, Any]:
        """A copy has its keys and values at other addresses."""
        return {name: value for name, value in vars(self).items() if name != "addresses"}

    # --- what a model does: rows of one length -------------------------------------------------

    def start(self, B: int, T: int) -> int:
        """Make ready for T more tokens in each of B rows; returns the position of the first.

        Raises UserError if the rows do not have one length, or the tokens do not fit.
        """
        if B != len(self.ids):
            raise UserError(f"the ids have {B} rows, but the cache has {len(self.ids)}")
        length = len(self.ids[0])
        if any(len(ids) != length for ids in self.ids):
            raise UserError(
                f"the rows of the cache have lengths {self.lengths.tolist()}, but a model by "
                "itself continues rows of one length: a Decoder takes any"
            )
        self.check_room([T] * B)
        self.reserve([T] * B)
        return length

    def check_room(self, counts: Sequence[int]) -> None:
        """Raise UserError unless row b has room for ``counts[b]`` tokens, and all that they see."""
        for row, (ids, n) in enumerate(zip(self.ids, counts, strict=True)):
            if len(ids) + n > self.max_length:
                raise UserError(
                    f"row {row} of the cache has {len(ids)} of at most {self.max_length} tokens: "
                    f"{n} more do not fit"
                )
            if not self._has_what_follows(row, len(ids)):
                raise UserError(
                    f"row {row} of the cache is incomplete, since a step was interrupted: shorten "
                    "it to 0, and compute it again"
                )

    def reserve(self, counts: Sequence[int]) -> None:
        """These tokens have room, and are about to be written: they may overwrite old ones."""
        np.maximum(self._written, self.lengths + np.asarray(counts), out=self._written)

    def layer(self, layer: int) -> "LayerCache":
        """One layer's part, to which a model adds keys and values of new tokens."""
        length = len(self.ids[0])
        return LayerCache(self.keys[layer], self.values[layer], self.windows[layer], length)

    def append(self, ids: Any) -> None:
        """Count the tokens ``ids`` (B, T), whose keys and values every layer has now."""
        ids = to_numpy(ids.data if isinstance(ids, Tensor) else np.asarray(ids))
        for row, new in zip(self.ids, ids.tolist(), strict=True):
            row.extend(new)

    # --- what a generator does -----------------------------------------------------------------

    def rows(self, begin: int, end: int) -> "KVCache":
        """Rows ``begin`` to ``end`` - 1 as a cache of their own, in the same memory."""
        part = KVCache.__new__(KVCache)
        part.config, part.max_length, part.windows = self.config, self.max_length, self.windows
        part.keys, part.values = ([a[begin:end] for a in s] for s in (self.keys, self.values))
        part.ids, part._written = self.ids[begin:end], self._written[begin:end]
        return part

    def truncate(self, lengths: int | Sequence[int] | np.ndarray) -> None:
        """Forget the tokens of each row after its first ``lengths``, one number or (B,).

        Raises UserError for a number that is negative or more than the row has, and where a ring
        has overwritten what the tokens after such a short row would see. All rows stay as they are
        then.
        """
        cuts = np.broadcast_to(np.asarray(lengths), (len(self.ids),)).tolist()
        for row, n in enumerate(cuts):
            if not 0 <= n <= len(self.ids[row]):
                raise UserError(
                    f"row {row} has {len(self.ids[row])} tokens and cannot be shortened to {n}"
                )
            if not self._has_what_follows(row, n):
                raise UserError(
                    f"row {row} cannot be shortened from {len(self.ids[row])} to {n} tokens: its "
                    f"layers with a window keep {SLACK} tokens more than the window. Shorten it to "
                    "0, and compute it again"
                )
        for row, n in enumerate(cuts):
            del self.ids[row][n:]
            if n == 0:
                self._written[row] = 0

    def keep_common_prefix(self, row: int, ids: Sequence[int]) -> int:
        """Shorten a row to the tokens that it has in common with ``ids``, and return their number.

        It is 0 if a ring has overwritten what the tokens after the common ones would see. Pass
        all ids but the last: a cache stores no logits, so the last is computed in any case.
        """
        n = 0
        for ours, theirs in zip(self.ids[row], ids, strict=False):
            if ours != theirs:
                break
            n += 1
        n = n if self._has_what_follows(row, n) else 0
        self.rows(row, row + 1).truncate(n)
        return n

    def repeat(self, n: int) -> "KVCache":
        """A cache in which each row occurs n times: row b becomes rows b n to b n + n - 1."""
        return self.take([row for row in range(len(self.ids)) for _ in range(n)])

    def take(self, rows: Sequence[int]) -> "KVCache":
        """A cache of copies of these rows, in this order; a row may occur several times."""
        copy = self.rows(0, len(self.ids))
        copy.keys, copy.values = ([a[list(rows)] for a in s] for s in (self.keys, self.values))
        copy.ids = [list(self.ids[row]) for row in rows]
        copy._written = self._written[list(rows)]
        return copy

    def _has_what_follows(self, row: int, length: int) -> bool:
        """Whether every layer still has the keys that a token at position ``length`` sees."""
        written = int(self._written[row])
        for R, window in self._rings:
            first = 0 if window is None else max(0, length - window + 1)
            if first < min(length, written - R):
                return False
        return True

    @functools.cached_property
    def _rings(self) -> set[tuple[int, int | None]]:
        """How many slots layers have, and their window: most models have one or two kinds."""
        return {(keys.shape[2], w) for keys, w in zip(self.keys, self.windows, strict=True)}


class LayerCache(NamedTuple):
    """One layer's keys and values (B, G, R, D), while a model adds to rows of one length."""

    keys: Any
    values: Any
    window: int | None
    length: int
    """How many tokens the rows have."""

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store keys and values of T new tokens (B, G, T, D), and return those that the new tokens
        see: (B, G, S, D), of which theirs are the last T.

        Raises UserError if gradients would be needed: stored keys have no history.
        """
        if is_grad_enabled() and (k.requires_grad or v.requires_grad):
            raise UserError(
                "a cache stores numbers without their history, so no gradient would reach the "
                "tokens in it: use it within no_grad()"
            )
        found = []
        for store, new in ((self.keys, k.data), (self.values, v.data)):
            R, stop = store.shape[2], self.length + new.shape[2]
            if self.window is None or stop <= R:  # no token has been overwritten
                store[:, :, self.length : stop] = new
                found.append(store[:, :, :stop])
                continue
            xp = namespace(store)
            before = min(self.length, self.window - 1)
            slots = xp.arange(self.length - before, self.length) % R
            found.append(xp.concatenate((store[:, :, slots], new), axis=2))
            stored = min(R, new.shape[2])  # of a long prompt, its end
            store[:, :, xp.arange(stop - stored, stop) % R] = new[:, :, -stored:]
        return Tensor(found[0]), Tensor(found[1])
