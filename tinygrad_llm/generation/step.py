"""The fused decode path for a model: its tables, and one step with them (step_kernel.py)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd.kernels import _stages
from autograd.kernels._threads import n_threads, parallel_rows
from autograd.kernels.dispatch import kernel_lock
from tinygrad_llm.generation.cache import KVCache
from tinygrad_llm.generation.step_kernel import PER_LAYER, step
from tinygrad_llm.generation.step_records import CACHE, WORK
from tinygrad_llm.generation.step_tables import describe
from tinygrad_llm.model import GPT
from tinygrad_llm.quantized.linear import ops_for


class Step:
    """A model's fused decode path.

    It reads the arrays that the parameters have now: a parameter may be assigned to, but if it gets
    another array, as by ``astype``, the step must be made anew. Raises NoStep if the kernel does
    not know one of the model's layers or types.
    """

    most_tokens = 16
    """New tokens in one step: a ring of the cache has room for so many beyond its window."""
    most_in_steps = 64
    """Up to so many new tokens are read in several steps; docs/generation.md has the times."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._tables = describe(model)

    def __call__(
        self, tokens: Sequence[Sequence[int]], cache: KVCache, n_asked: Sequence[int]
    ) -> np.ndarray:
        """Add ``tokens`` to the rows of the cache, at most ``most_tokens`` in all.

        Returns logits (N, V), float32, after the last ``n_asked[b]`` new tokens of each row b, row
        by row.
        """
        ids: list[int] = []
        rows: list[int] = []
        positions: list[int] = []
        asked: list[int] = []
        for b, (new, old) in enumerate(zip(tokens, cache.ids, strict=True)):
            ids += new
            rows += [b] * len(new)
            positions += range(len(old), len(old) + len(new))
            asked += range(len(ids) - n_asked[b], len(ids))
        cache.reserve([len(new) for new in tokens])
        logits = self._run(ids, rows, positions, asked, cache)
        for old, new in zip(cache.ids, tokens, strict=True):
            old.extend(new)
        return logits

    def _run(
        self,
        ids: list[int],
        rows: list[int],
        positions: list[int],
        asked: list[int],
        cache: KVCache,
    ) -> np.ndarray:
        tables, M, threads = self._tables, len(ids), n_threads()
        model = tables.model[0]
        C, D, H, G = (int(model[name]) for name in ("n_embd", "head_dim", "n_head", "n_kv_head"))
        logits = np.empty((len(asked), model["vocab_size"]), np.float32)
        x, angles = self._embed(np.array(ids), np.array(positions)), self._angles(max(positions))
        integers = np.array(
            [*range(M), *rows, *positions, *asked, *map(_address, angles)], np.int64
        )
        n_hidden = int(model["n_hidden"])
        floats = {
            "branch": C, "middle": C, "h": threads * C, "q": H * D, "k": G * D, "v": G * D,
            "y": H * D, "gates": n_hidden, "ups": n_hidden,
        }  # fmt: skip
        room = np.empty(sum(floats.values()) * M + len(floats) * LINE, np.float32)
        room[: M * C + LINE] = 0  # ``branch``
        fields = {"n_tokens": M, "n_asked": len(asked), "longest": max(positions) + 1}
        fields |= {"x": _address(x), "logits": _address(logits)}
        for i, name in enumerate(("tokens", "rows", "positions", "asked")):
            fields[name] = _address(integers) + 8 * M * i
        fields["angles"] = fields["asked"] + 8 * len(asked)
        at = _address(room)
        for name, size in floats.items():
            at = -(-at // (4 * LINE)) * 4 * LINE
            fields[name] = at
            at += 4 * M * size
        work = np.array([tuple(fields[name] for name in WORK.names or ())], WORK)
        caches = cache.addresses.view(CACHE)[:, 0]
        counters = _stages.new_counters(PER_LAYER * len(tables.layers) + 1)
        with kernel_lock:  # parallel_rows returns when no thread needs the arrays any more
            parallel_rows(
                step, threads, 1, tables.model, tables.layers, tables.matrices, caches, work,
                counters,
            )  # fmt: skip
        return logits

    def _embed(self, ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """The residual stream at the beginning: (M, C), a new array."""
        if isinstance(self.model, GPT):
            table = self.model.wte.weight
            tokens = ops_for(table).embedding(table, ids).data  # (M, C)
            return tokens + self.model.wpe.weight.data[positions]
        table, scale = self.model.embed_tokens.weight, self.model.config.embedding_scale
        return ops_for(table).embedding(table, ids).data * np.float32(scale)

    def _angles(self, last: int) -> list[np.ndarray]:
        """cos and sin, (T, 1, R/2) each, of at least the positions up to ``last``, for each kind of
        layer."""
        if isinstance(self.model, GPT):
            return []
        rotary, dtype = self.model.rotary, np.dtype(np.float32)
        kinds = sorted(rotary.frequencies)
        return [array for kind in kinds for array in rotary.table(kind, last + 1, dtype)]


LINE = 16
"""float32 numbers in a cache line: products are faster with arrays that begin with one."""


def _address(array: np.ndarray) -> int:
    return array.ctypes.data
