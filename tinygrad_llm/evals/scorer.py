"""Log-probabilities of continuations, with each token read as few times as possible.

    examples, question 1, choices     the beginning that the sequences of a group share is read
    examples, question 2, choices     once for all; then each question, once for its choices; then
    ...                               the choices, each after a copy of the question's keys

Where every choice is a single token, as a letter is, all of them come from the same logits, and
there is nothing to read after the question. Logits are computed only where a token is predicted.

Rows of a batch end with padding. A token sees only those before it, so padding behind it changes
nothing, and what it leaves in the cache is forgotten.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from autograd import Tensor, no_grad
from autograd.device import to_numpy
from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.encoding import Pair
from tinygrad_llm.evals.plan import MAX_TOKENS, Batch, Reading, batches
from tinygrad_llm.generation import Decoder, KVCache

MAX_CACHE_BYTES = 1 << 29
ROWS_OF_LOGITS = 256
"""Places whose logits exist at the same time."""


class PrefixCache:
    """The beginning of a group's sequences, in a cache with a row for each sequence of a batch."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._ids: list[int] = []
        self._rows: KVCache | None = None
        self._one: KVCache | None = None

    def rows(self, ids: list[int], n_rows: int, longest: int) -> KVCache:
        """A cache of ``n_rows`` rows that contain ``ids`` and have room for ``longest`` tokens.

        It is the same memory each time: an earlier batch's rows are not valid any more.
        """
        if self._one is None or ids != self._ids or self._one.max_length < longest:
            self._rows, self._ids = None, ids
            self._one = self._decoder.cache(1, longest)
            self._decoder.model.hidden(np.array([ids]), self._one)
        if self._rows is not None and len(self._rows.ids) >= n_rows:
            rows = self._rows.rows(0, n_rows)
            try:
                rows.truncate(len(ids))
                return rows
            except UserError:  # a layer with a window has overwritten what it needs
                pass
        self._rows = self._one.repeat(n_rows)
        return self._rows.rows(0, n_rows)


class Scorer:
    """Scores pairs of context and continuation with a model.

    batch_size: contexts that are read together. share: whether common beginnings are read once;
    without it every sequence is read whole.
    """

    def __init__(self, decoder: Decoder, batch_size: int = 8, share: bool = True) -> None:
        self._decoder, self._model = decoder, decoder.model
        self._batch_size, self._share = batch_size, share
        self._prefix = PrefixCache(decoder)

    def scores(
        self, pairs: Sequence[Pair], done: Collection[int] = ()
    ) -> Iterator[dict[int, tuple[float, bool]]]:
        """For each pair, by its number: the sum of log p (nats) of the continuation, and whether
        each of its tokens is the most likely one. A batch of which all pairs are ``done`` is left
        out."""
        numbers = self._items(pairs)
        readings = [_reading([pairs[n] for n in same]) for same in numbers]
        most = MAX_CACHE_BYTES // bytes_per_token(self._model)
        for batch in batches(readings, self._batch_size, most, self._share):
            wanted = [numbers[i] for i in batch.numbers]
            if not all(n in done for same in wanted for n in same):
                yield self._score(batch, [{n: pairs[n] for n in same} for same in wanted])

    def _items(self, pairs: Sequence[Pair]) -> list[list[int]]:
        """The numbers of pairs with the same context, as many as can be read together."""
        items: list[list[int]] = []
        latest: dict[tuple[int, ...], int] = {}
        tokens: list[int] = []
        for number, pair in enumerate(pairs):
            context, new = tuple(pair.context), len(pair.continuation)
            i = latest.get(context) if self._share else None
            if i is None or tokens[i] + new > MAX_TOKENS:
                i = latest[context] = len(items)
                items.append([])
                tokens.append(len(context))
            items[i].append(number)
            tokens[i] += new
        return items

    @no_grad()
    def _score(
        self, batch: Batch, items: Sequence[dict[int, Pair]]
    ) -> dict[int, tuple[float, bool]]:
        """``items``: for each context, its pairs by their numbers."""
        contexts = [next(iter(pairs.values())).context for pairs in items]
        rows = [_rows(pairs.values()) for pairs in items]
        counts = [len(r) for r in rows]
        start, cache = batch.shared, None
        if start:
            cache = self._prefix.rows(contexts[0][:start], len(items), batch.longest)
        if max(counts) > 1:  # the contexts are read, as far as all have tokens, and then copied
            stop = min(map(len, contexts)) - 1
            if stop > start:
                cache = cache or self._decoder.cache(len(items), batch.longest)
                self._model.hidden(np.array([c[start:stop] for c in contexts]), cache)
                start = stop
            if cache is not None:
                cache = cache.take([i for i, count in enumerate(counts) for _ in range(count)])
        rests = [list(row[start:]) for of_context in rows for row in of_context]
        ids = np.zeros((len(rests), max(map(len, rests))), np.int64)  # (R, T)
        for r, rest in enumerate(rests):
            ids[r, : len(rest)] = rest
        h = self._model.hidden(ids) if cache is None else self._model.hidden(ids, cache)
        # what follows which place of h: (row, position, token) of every token of every pair
        first_row = np.cumsum([0, *counts])
        places = {
            number: [
                (first_row[i] + rows[i][_row(pair)], len(pair.context) - 1 + j - start, token)
                for j, token in enumerate(pair.continuation)
            ]
            for i, pairs in enumerate(items)
            for number, pair in pairs.items()
        }
        logps, best = self._logps(h.data, [place for some in places.values() for place in some])
        ends = np.cumsum([len(some) for some in places.values()])
        return {
            number: (float(logps[end - n : end].sum()), bool(best[end - n : end].all()))
            for number, end, n in zip(places, ends, map(len, places.values()), strict=True)
        }

    def _logps(
        self, h: Any, places: Sequence[tuple[int, int, int]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """log p of each token at its place of h (R, T, C), and whether no token is more likely."""
        rows, positions, tokens = np.array(places, np.int64).reshape(-1, 3).T
        logps, best = np.zeros(len(tokens)), np.zeros(len(tokens), bool)
        # places in order: choices of one token come from the same logits
        order = np.lexsort((positions, rows))
        where = rows[order] * h.shape[1] + positions[order]
        distinct, which = np.unique(where, return_inverse=True)
        for i in range(0, len(distinct), ROWS_OF_LOGITS):
            some = distinct[i : i + ROWS_OF_LOGITS]
            at = h[some // h.shape[1], some % h.shape[1]]  # (n, C)
            z = to_numpy(self._model.logits(Tensor(at)).data)  # (n, V)
            top = z.max(axis=-1)
            log_sum = top + np.log(np.exp(z - top[:, None]).sum(axis=-1, dtype=np.float64))
            mine = (which >= i) & (which < i + len(some))
            chosen = order[mine]
            found = z[which[mine] - i, tokens[chosen]]
            logps[chosen] = found - log_sum[which[mine] - i]
            best[chosen] = found == top[which[mine] - i]
        return logps, best


def _row(pair: Pair) -> tuple[int, ...]:
    """What is read for a pair: all but its last token."""
    return (*pair.context, *pair.continuation[:-1])


def _rows(pairs: Iterable[Pair]) -> dict[tuple[int, ...], int]:
    """The different rows that are read for the pairs of one context, and their numbers."""
    return {row: i for i, row in enumerate(dict.fromkeys(map(_row, pairs)))}


def _reading(pairs: Sequence[Pair]) -> Reading:
    rows, context = _rows(pairs), pairs[0].context
    tokens = len(context) + sum(len(row) - len(context) for row in rows)
    return Reading(context, len(rows), max(map(len, rows)), tokens)


def bytes_per_token(model: Any) -> int:
    """Bytes of the keys and values of a token."""
    config = model.config
    itemsize = model.parameters()[0].dtype.itemsize
    return 2 * config.n_layer * config.n_kv_head * config.head_dim * itemsize
