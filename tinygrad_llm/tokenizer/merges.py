"""The conditions under which tiktoken's engine executes a list of merges faithfully.

We apply merges in the order in which they were learned, each to a pair of *ids*. tiktoken knows
only ranks of *byte strings*: it repeatedly joins the neighbours whose joined bytes have the lowest
rank. The two agree as long as every token's own bytes, encoded by the merges learned before it,
end up as exactly the two parts it was learned from. Then no two merges give the same bytes, and
a string of bytes is always assembled in the same way, whatever surrounds it.

Training guarantees this. A token is learned where its parts are neighbours; no merge has crossed
their outer edges there, so what happened between the edges is what happens to the same bytes on
their own. If two merges gave the same bytes, the later one would have found them joined already.
Merges from elsewhere may be anything, so ``ranks_from_merges`` checks the condition.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer.pair_merging import JoinedSpelling, Spelling, merge_by_rank
from tinygrad_llm.tokenizer.reference import Pair

# A few dozen merges can describe a token longer than any memory (each merge may double the
# length), so lengths are added up before any bytes are joined. The largest vocabularies, of 256,000
# tokens, have two million bytes.
MAX_TOTAL_BYTES = 1 << 26

# The largest vocabularies in use have some 300,000 ids. Tables are as long as the highest id, so
# an id beyond this is refused rather than believed.
MAX_IDS = 1 << 21


def ranks_from_merges(merges: Sequence[Pair]) -> dict[bytes, int]:
    """Token bytes -> id for merges applied in order; merge i makes id 256 + i.

    Raises UserError if a merge uses an id that is not yet defined, repeats an earlier one, or could
    never apply because an earlier one always gets there first.
    """
    lengths = [1] * 256
    total = 256
    made: dict[Pair, int] = {}  # pair -> the id its merge makes
    parts: dict[int, Pair] = {}  # the same, the other way round
    for i, pair in enumerate(merges):
        new_id = 256 + i
        if not 0 <= min(pair) <= max(pair) < new_id:
            raise UserError(f"merge {i} joins the ids {pair}, which are not both defined before it")
        lengths.append(lengths[pair[0]] + lengths[pair[1]])
        total += lengths[-1]
        if total > MAX_TOTAL_BYTES:
            raise UserError(
                f"the first {i + 1} of {len(merges)} merges describe tokens of {total:,} bytes in "
                f"total, more than the {MAX_TOTAL_BYTES:,} allowed"
            )
        earlier = made.get(pair)
        if earlier is None:
            earlier = _crossing(pair, made, parts)
        if earlier is not None:
            raise UserError(
                f"merge {i} joins the ids {pair}, but the earlier merge that makes id {earlier} "
                "always applies to those bytes first; merges must be in the order of training"
            )
        made[pair], parts[new_id] = new_id, pair
    token = [bytes([b]) for b in range(256)]
    for left, right in merges:
        token.append(token[left] + token[right])
    return {b: i for i, b in enumerate(token)}


def _crossing(pair: Pair, made: Mapping[Pair, int], parts: Mapping[int, Pair]) -> int | None:
    """The earlier merge, if any, that joins something across the middle of `pair`.

    Runs the assembly of the two parts backwards. Ids are times: of the two tokens that touch in
    the middle, the one with the higher id was made last and is taken apart first. This gives every
    pair of ids that ever met there, each until the time `limit`.
    """
    left, right = pair
    while True:
        if left in parts and left > right:
            limit = left  # its own merge, coming from the left, takes precedence
            left = parts[left][1]
        elif right in parts:
            limit = right + 1  # a merge coming from the left crosses before it makes `right`
            right = parts[right][0]
        else:
            return None
        earlier = made.get((left, right))
        if earlier is not None and earlier < limit:
            return earlier


def every_cut(tokens: Collection[Spelling]) -> Iterator[tuple[Spelling, Spelling]]:
    """Every way of cutting a token into two tokens, in the order of ``tokens``.

    Only the lengths that tokens have are tried: a token of a million bytes takes no million cuts.
    """
    lengths = sorted({len(token) for token in tokens})
    for token in tokens:
        for length in lengths:
            if length >= len(token):
                break
            left, right = token[:length], token[length:]
            if left in tokens and right in tokens:
                yield left, right


def recover_merges(ranks: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The merges behind a table of ranks, in order, as pairs of byte strings.

    A token's parts are what the tokens of lower rank encode its bytes to. Raises UserError if there
    are not exactly two: then no list of merges reproduces the table.
    """
    first = 1 + max(ranks.values(), default=0)  # the ids of the bytes here: some have no token
    spellings = {i: token for token, i in ranks.items()}
    spellings |= {first + b: bytes([b]) for b in range(256)}
    lower: dict[bytes, int] = {}  # the tokens so far -> id, which is the rank
    joins = JoinedSpelling(spellings, lower, lower)
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) > 1:
            parts = [spellings[i] for i in merge_by_rank((first + b for b in token), joins)]
            if len(parts) != 2:
                raise UserError(
                    f"token {rank} ({_short(token)}) cannot be made by merging two tokens of lower "
                    "rank, so this vocabulary cannot be written as a list of merges"
                )
            merges.append((parts[0], parts[1]))
        lower[token] = rank
    return merges


def _short(token: bytes) -> str:
    return repr(token) if len(token) <= 40 else f"{token[:40]!r}..., {len(token):,} bytes"
