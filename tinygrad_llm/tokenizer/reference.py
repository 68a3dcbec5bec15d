"""Byte-pair encoding in its shortest form: the definition that the fast trainer must equal.

Training starts from single bytes (ids 0..255) and repeats one step: find the pair of neighbouring
ids that occurs most often, give it the next free id, and replace it everywhere, left to right.
Encoding replays those steps in the same order on new bytes. The text is first cut into chunks
(``patterns.py``), about a word each, and nothing is merged across their borders.

Everything is counted again after every merge, so this takes minutes where ``train.py`` takes a
second. Read this one; use that one.

Method: Sennrich, Haddow and Birch 2016 (arXiv:1508.07909); on bytes: Radford et al. 2019 (GPT-2).
"""

from collections import Counter
from collections.abc import Mapping, Sequence

Pair = tuple[int, int]


def count_pairs(words: Mapping[tuple[int, ...], int]) -> Counter[Pair]:
    """How often each pair of neighbours occurs. "aaa" contains the pair (a, a) twice."""
    pairs: Counter[Pair] = Counter()
    for word, count in words.items():
        for pair in zip(word, word[1:], strict=False):
            pairs[pair] += count
    return pairs


def merge(word: Sequence[int], pair: Pair, new_id: int) -> tuple[int, ...]:
    """Replace ``pair`` by ``new_id``, left to right without overlap: "aaa" becomes (aa)(a)."""
    merged, i = [], 0
    while i < len(word):
        if tuple(word[i : i + 2]) == pair:
            merged.append(new_id)
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return tuple(merged)


def learn_merges(chunks: Mapping[bytes, int], n_merges: int) -> list[Pair]:
    """The merges of a corpus given as chunk -> number of occurrences; merge i makes id 256 + i.

    Ties go to the lowest pair of ids. If the pairs run out, fewer than ``n_merges`` are returned.
    """
    words = {tuple(chunk): count for chunk, count in chunks.items()}
    merges: list[Pair] = []
    while len(merges) < n_merges:
        pairs = count_pairs(words)
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        words = {merge(word, best, 256 + len(merges)): count for word, count in words.items()}
        merges.append(best)
    return merges


def encode_chunk(chunk: bytes, merges: Sequence[Pair]) -> list[int]:
    """Ids of one chunk: every merge in the order it was learned."""
    word: tuple[int, ...] = tuple(chunk)
    for i, pair in enumerate(merges):
        word = merge(word, pair, 256 + i)
    return list(word)


def encode_by_rank(symbols: Sequence[int], merges: Mapping[Pair, tuple[int, int]]) -> list[int]:
    """Ids of one piece of text when merges have ranks: the lowest rank first, then the leftmost.

    merges: pair -> (rank, the id it makes). Replaying merges in order gives the same ids if the
    merges come from training. A published list may be anything; then this is the rule.
    """
    word = list(symbols)
    while True:
        found = [
            (merges[pair], i)
            for i, pair in enumerate(zip(word, word[1:], strict=False))
            if pair in merges
        ]
        if not found:
            return word
        (_, new_id), i = min(found, key=lambda entry: (entry[0][0], entry[1]))
        word[i : i + 2] = [new_id]
