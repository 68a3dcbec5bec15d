"""Learn the merges of a byte-pair encoding, fast: the same answer as ``reference.py``.

Two observations make it fast. Text repeats itself, so ten megabytes are first reduced to some
sixty thousand distinct chunks with their counts (``counting.py``). And a merge changes only the
neighbourhoods of the places where it applies, so the pair counts are kept and corrected instead of
counted again.

All distinct chunks lie end to end in one flat array of ids, linked to their neighbours in both
directions, with -1 between chunks. For each pair there is a list of the positions where it
starts. Lists are only appended to: a position whose pair has since changed is recognised when it
is visited, from the ids there. The positions in a list ascend, because a list is filled during one
merge, which itself walks an ascending list: so a run "aaaa" is merged from its left end, as the
definition requires.

So the total work is proportional to the number of replacements, however long a single chunk is,
and the lists together hold at most three positions per byte of the distinct chunks.

This is plain Python: on ten megabytes of source code it finishes before numba would have loaded and
compiled.
"""

import warnings
from array import array
from collections.abc import Callable, Iterable, Mapping
from heapq import heapify, heappop, heappush

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer.base import Tokenizer
from tinygrad_llm.tokenizer.counting import count_chunks
from tinygrad_llm.tokenizer.reference import Pair
from tinygrad_llm.tokenizer.special import END_OF_TEXT, check_special_tokens

Progress = Callable[[int, int], object]

_SHIFT = 32  # a pair is one integer, left << 32 | right: fast to hash, ordered as the tuple is
_LOW = (1 << _SHIFT) - 1


def train_bpe(
    texts: Iterable[str | bytes],
    vocab_size: int,
    pattern: str = "gpt4",
    special_tokens: Iterable[str] = (END_OF_TEXT,),
    progress: Progress | None = None,
) -> Tokenizer:
    """Train a byte-level BPE tokenizer.

    texts: documents; bytes may contain invalid UTF-8 (such bytes are never merged).
    vocab_size: 256 single bytes + merges + special tokens.
    pattern: "gpt4", "gpt2" or a regular expression; chunks are merged only within themselves.
    progress: called as progress(merges done, merges in all) about a hundred times.

    Ties between equally frequent pairs go to the lowest pair of ids. If every word becomes a single
    token before that, the vocabulary is smaller than requested, and a warning says so.
    Raises UserError for a vocabulary too small for the bytes and special tokens, for bad special
    tokens, and for a pattern that leaves characters out.
    """
    names = check_special_tokens(special_tokens)
    n_merges = vocab_size - 256 - len(names)
    if n_merges < 0:
        tokens = "special token" if len(names) == 1 else "special tokens"
        raise UserError(
            f"vocab_size {vocab_size} is too small: 256 single bytes and {len(names)} {tokens} "
            f"need at least {256 + len(names)}"
        )
    merges = learn_merges(count_chunks(texts, pattern), n_merges, progress)
    if len(merges) < n_merges:
        warnings.warn(
            f"every word is a single token after {len(merges)} of {n_merges} merges, so nothing is "
            f"left to merge: the vocabulary has {256 + len(merges) + len(names)} ids instead of "
            f"{vocab_size}; train on more text or ask for a smaller vocabulary",
            stacklevel=2,
        )
    return Tokenizer(merges, pattern, names)


def learn_merges(
    chunks: Mapping[bytes, int], n_merges: int, progress: Progress | None = None
) -> list[Pair]:
    """The merges of a corpus given as chunk -> count; equals ``reference.learn_merges``."""
    ids, weight = _lay_out(chunks)
    after = array("i", range(1, len(ids) + 1))  # the next position that still has an id
    before = array("i", range(-1, len(ids) - 1))
    counts, places = _index_pairs(ids, weight)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapify(heap)

    every = max(1, n_merges // 100)
    merges: list[Pair] = []
    while len(merges) < n_merges:
        pair = _most_frequent(heap, counts)
        if pair is None:
            break
        left, right = pair >> _SHIFT, pair & _LOW
        new_id = 256 + len(merges)
        created = set()  # pairs that contain new_id: the only counts that grow
        for i in places.pop(pair):
            j = after[i]
            if ids[i] != left or ids[j] != right:
                continue  # one of the two has since been merged away
            n, outer, further = weight[i], before[i], after[j]
            if ids[outer] >= 0:
                counts[ids[outer] << _SHIFT | left] -= n
                joined = ids[outer] << _SHIFT | new_id
                counts[joined] = counts.get(joined, 0) + n
                places.setdefault(joined, array("i")).append(outer)
                created.add(joined)
            if ids[further] >= 0:
                counts[right << _SHIFT | ids[further]] -= n
                joined = new_id << _SHIFT | ids[further]
                counts[joined] = counts.get(joined, 0) + n
                places.setdefault(joined, array("i")).append(i)
                created.add(joined)
            ids[i], ids[j] = new_id, -1
            after[i], before[further] = further, i
        del counts[pair]
        for joined in created:
            heappush(heap, (-counts[joined], joined))
        merges.append((left, right))
        if progress is not None and (len(merges) % every == 0 or len(merges) == n_merges):
            progress(len(merges), n_merges)
    return merges


def _lay_out(chunks: Mapping[bytes, int]) -> tuple[array, array]:
    """All chunks end to end as ids, -1 before, between and after; and the count of each place."""
    ids, weight = array("i", [-1]), array("q", [0])
    for chunk, count in chunks.items():
        ids.extend(chunk)
        ids.append(-1)
        weight.extend(array("q", [count]) * (len(chunk) + 1))
    return ids, weight


def _index_pairs(ids: array, weight: array) -> tuple[dict[int, int], dict[int, array]]:
    """The count of every pair, and the positions where it starts."""
    counts: dict[int, int] = {}
    places: dict[int, array] = {}
    for i in range(len(ids) - 1):
        if ids[i] >= 0 and ids[i + 1] >= 0:
            pair = ids[i] << _SHIFT | ids[i + 1]
            counts[pair] = counts.get(pair, 0) + weight[i]
            places.setdefault(pair, array("i")).append(i)
    return counts, places


def _most_frequent(heap: list[tuple[int, int]], counts: Mapping[int, int]) -> int | None:
    """The pair with the highest count, the lowest such pair on a tie; None if none is left.

    A count in the heap is never below the true one (a count that grows is pushed again), so the
    first entry that is exact is the best; one that has shrunk goes back with its true count.
    """
    while heap:
        negative, pair = heappop(heap)
        count = counts.get(pair, 0)
        if count == -negative > 0:
            return pair
        if count > 0:
            heappush(heap, (-count, pair))
    return None
