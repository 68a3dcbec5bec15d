"""Which sequences a model reads together.

Two things save time. Sequences that begin alike (the examples before the questions on one subject)
form a group, whose common beginning is read once. And within a group, sequences of similar length
are read together, so that little is padding. Both depend on the sequences alone.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

GROUP_COST = 64
"""Tokens that a group must save: what reading its beginning costs more than its tokens do."""
MAX_TOKENS = 4096
"""New tokens that are read at a time, unless a single sequence has more."""
ENOUGH_TOKENS = 256
"""New tokens with which a batch need not wait for more: no sequence that is much shorter than its
longest joins it, since the padding would cost more than the next batch."""
DEEPEST = 16
"""How often a group is divided at most."""


class Reading(NamedTuple):
    """A context that is to be read, and then what follows it: several rows of tokens, or one.

    length: of the longest row with the context. tokens: of the context and all that follows it.
    """

    context: list[int]
    rows: int
    length: int
    tokens: int


class Group(NamedTuple):
    """Contexts, by their numbers, that have their first ``shared`` tokens in common."""

    shared: int
    numbers: list[int]


class Batch(NamedTuple):
    """Contexts of a group that are read together. ``longest`` is the length of the group's longest
    row, for the size of its cache."""

    shared: int
    numbers: list[int]
    longest: int


def batches(
    readings: Sequence[Reading], batch_size: int, max_cached: int, share: bool = True
) -> list[Batch]:
    """All readings, each once: group by group, and in a group the longest first.

    max_cached: tokens for which there may be keys and values at a time, unless a single reading has
    more. share: False makes one group of all, with nothing in common.
    """
    found = []
    contexts = [reading.context for reading in readings]
    for group in groups(contexts) if share else [Group(0, list(range(len(readings))))]:
        longest = max((readings[i].length for i in group.numbers), default=0)
        numbers: list[int] = []
        rows = tokens = most = 0
        for i in sorted(group.numbers, key=lambda i: (-len(contexts[i]), -readings[i].length, i)):
            new = readings[i].tokens - group.shared
            full = len(numbers) == batch_size or tokens + new > MAX_TOKENS
            full |= tokens >= ENOUGH_TOKENS and 4 * new < 3 * most
            if numbers and (full or (rows + readings[i].rows) * longest > max_cached):
                found.append(Batch(group.shared, numbers, longest))
                numbers, rows, tokens, most = [], 0, 0, 0
            numbers.append(i)
            rows += readings[i].rows
            tokens += new
            most = max(most, new)
        if numbers:
            found.append(Batch(group.shared, numbers, longest))
    return found


def groups(sequences: Sequence[list[int]]) -> list[Group]:
    """The groups that save most tokens, and one of all other sequences, with nothing in common.

    In alphabetical order, what n neighbours have in common is the least that any two of them next
    to each other have in common, say p tokens; as a group they save p (n - 1). Or they are divided
    where that least occurs, and the parts save more. A sequence's last token is always read.
    """
    order = sorted(range(len(sequences)), key=sequences.__getitem__)
    common = [_common(sequences[a], sequences[b]) for a, b in pairwise(order)]
    _, parts = _best(0, len(order), common, DEEPEST)
    found = [Group(shared, sorted(order[begin:end])) for shared, begin, end in parts]
    grouped = {i for group in found for i in group.numbers}
    rest = [i for i in range(len(sequences)) if i not in grouped]
    found.sort(key=lambda group: group.numbers[0])
    return [*found, Group(0, rest)] if rest else found


def _best(
    begin: int, end: int, common: Sequence[int], depth: int
) -> tuple[int, list[tuple[int, int, int]]]:
    """Tokens saved, and the groups (shared, begin, end), among neighbours begin to end - 1."""
    if end - begin < 2:
        return 0, []
    shared = min(common[begin : end - 1])
    together = shared * (end - begin - 1) - GROUP_COST
    saved, parts = 0, []
    if depth:
        for first, last in _divided(begin, end, common, shared):
            more, found = _best(first, last, common, depth - 1)
            saved += more
            parts += found
    return (together, [(shared, begin, end)]) if together > saved else (saved, parts)


def _divided(begin: int, end: int, common: Sequence[int], shared: int) -> Iterator[tuple[int, int]]:
    """The parts of a range of neighbours between the places where they have least in common."""
    first = begin
    for i in range(begin, end - 1):
        if common[i] == shared:
            yield first, i + 1
            first = i + 1
    yield first, end


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginning, their last ones aside."""
    most = min(len(a), len(b)) - 1
    if a[:most] == b[:most]:
        return most
    low, high = 0, most  # a[:low] == b[:low], a[:high] != b[:high]
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
