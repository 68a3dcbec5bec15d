"""Byte-pair encoding of one piece of text, whatever the merges are.

The rule, as ``reference.encode_by_rank`` states it: of all neighbours that a merge joins, join the
two whose merge has the lowest rank (the leftmost, if it occurs several times), and repeat until no
merge applies. Searching the whole text for each step takes n^2 steps in all. Here a heap holds the
pairs that can be joined, and a linked list the tokens that remain, so it takes n log n: a
SentencePiece vocabulary merges over whole texts, not over words.

tiktoken's engine is faster, but it knows only vocabularies in which any two neighbours may be
joined that together spell a token. This function also follows merges that are a list of pairs.
"""

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar

from tinygrad_llm.tokenizer.reference import Pair

Spelling = TypeVar("Spelling", str, bytes)


class Merges(Protocol):
    """(left id, right id) -> (rank, id of the joined token), or None where no merge joins them."""

    def get(self, pair: Pair, /) -> tuple[int, int] | None: ...


class JoinedSpelling(Generic[Spelling]):
    """The merges of a vocabulary without a list of them: any two that together spell a token.

    spellings: id -> token. ids: token -> id. ranks: token -> rank.
    """

    def __init__(
        self,
        spellings: Mapping[int, Spelling],
        ids: Mapping[Spelling, int],
        ranks: Mapping[Spelling, int],
    ) -> None:
        self._spellings: Mapping[int, Spelling] = spellings
        self._ids: Mapping[Spelling, int] = ids
        self._ranks: Mapping[Spelling, int] = ranks

    def get(self, pair: Pair, /) -> tuple[int, int] | None:
        left, right = pair
        if left not in self._spellings or right not in self._spellings:
            return None
        joined = self._spellings[left] + self._spellings[right]
        i = self._ids.get(joined)
        return None if i is None else (self._ranks[joined], i)


def merge_by_rank(symbols: Iterable[int], merges: Merges) -> list[int]:
    """The ids that remain when no merge joins two neighbours any more."""
    ids = list(symbols)
    end = len(ids)
    right = list(range(1, end + 1))  # the position of the next token, or `end`
    left = list(range(-1, end - 1))  # the position of the token before, or -1
    heap: list[tuple[int, int, Pair, int]] = []  # rank, position, what is joined, what it makes
    for i, pair in enumerate(zip(ids, ids[1:], strict=False)):
        if (merge := merges.get(pair)) is not None:
            heap.append((merge[0], i, pair, merge[1]))
    heapify(heap)
    while heap:
        _, i, pair, joined = heappop(heap)
        j = right[i]
        if j == end or (ids[i], ids[j]) != pair:
            continue  # one of the two has been joined to something else since
        ids[i], ids[j] = joined, -1
        right[i] = k = right[j]
        if k < end:
            left[k] = i
            if (merge := merges.get((joined, ids[k]))) is not None:
                heappush(heap, (merge[0], i, (joined, ids[k]), merge[1]))
        if (h := left[i]) >= 0 and (merge := merges.get((ids[h], joined))) is not None:
            heappush(heap, (merge[0], h, (ids[h], joined), merge[1]))
    return [i for i in ids if i >= 0]
