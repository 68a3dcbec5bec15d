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
    """New tokens in one step; for more of them, BLAS's products are faster."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._tables = describe(model)

    def __call__(
        self, tokens: Sequence[Sequence[int]], cache: KVCache, all_positions: bool
    ) -> np.ndarray:
        """Add ``tokens`` to the rows of the cache, at most ``most_tokens`` in all.

        Returns logits (N, V), float32, after the last token of each row that has any; with
        ``all_positions`` after each token, row by row.
        """
        counts = [len(new) for new in tokens]
        lengths = [len(ids) for ids in cache.ids]
        ids = np.array([i for new in tokens for i in new], np.int64)
        rows = np.repeat(np.arange(len(counts)), counts)
        positions = np.concatenate(
            [np.arange(at, at + n) for at, n in zip(lengths, counts, strict=True)]
        )
        asked = np.arange(len(ids))
        if not all_positions:
            asked = asked[np.diff(rows, append=-1) != 0]  # the last of each row
        cache.reserve(counts)
        logits = self._run(ids, rows, positions, asked, cache)
        for row, new in zip(cache.ids, tokens, strict=True):
            row.extend(new)
        return logits

    def _run(
        self,
        ids: np.ndarray,
        rows: np.ndarray,
        positions: np.ndarray,
        asked: np.ndarray,
        cache: KVCache,
    ) -> np.ndarray:
        model, M, F = self._tables.model, len(ids), np.float32
        C, D, H, G = model.n_embd, model.head_dim, model.n_head, model.n_kv_head
        cos, sin = self._angles(positions)
        logits = np.empty((len(asked), model.vocab_size), F)
        arrays = {
            "rows": rows, "positions": positions, "asked": asked, "cos": cos, "sin": sin,
            "x": self._embed(ids, positions), "h": np.empty((M, C), F),
            "branch": np.zeros((M, C), F),
            "q": np.empty((M, H * D), F), "k": np.empty((M, G * D), F),
            "v": np.empty((M, G * D), F), "queries": np.empty((M, H * D), F),
            "y": np.empty((M, H * D), F), "gates": np.empty((M, model.n_hidden), F),
            "ups": np.empty((M, model.n_hidden), F), "logits": logits,
        }  # fmt: skip
        work = np.rec.array(np.zeros(1, WORK))[0]
        work.n_tokens, work.n_asked = M, len(asked)
        work.longest = positions.max() + 1
        for name, array in arrays.items():
            work[name] = array.ctypes.data
        tables, caches = self._tables, cache.addresses.view(CACHE, np.recarray)[:, 0]
        counters = _stages.new_counters(PER_LAYER * len(tables.layers) + 2)
        with kernel_lock:  # parallel_rows returns when no thread needs the arrays any more
            parallel_rows(
                step, n_threads(), 1, tables.model, tables.layers, tables.matrices, caches, work,
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

    def _angles(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """cos and sin of the tokens' positions: (kinds, M, R/2) each."""
        if isinstance(self.model, GPT):
            return _NO_ANGLES
        rotary, length = self.model.rotary, int(positions.max()) + 1
        found = [
            rotary.table(kind, length, np.dtype(np.float32)) for kind in sorted(rotary.frequencies)
        ]
        cos, sin = (np.stack([pair[i][positions, 0] for pair in found]) for i in range(2))
        return cos, sin


_NO_ANGLES = (np.zeros((1, 0, 0), np.float32),) * 2
