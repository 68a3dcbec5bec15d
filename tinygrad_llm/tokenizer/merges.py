"""What makes a list of merges one that tiktoken's engine executes faithfully.

We apply merges in the order in which they were learned, each to a pair of *ids*. tiktoken knows
only ranks of *byte strings*: it repeatedly joins the neighbours whose joined bytes have the lowest
rank. The two agree as long as every token's own bytes, encoded by the merges learned before it,
end up as exactly the two parts it was learned from. Then no two merges give the same bytes, and
a string of bytes is always assembled in the same way, whatever surrounds it.

Training guarantees this. A token is learned where its parts stood side by side; no merge had
crossed their outer edges there, so what happened between the edges is what happens to the same
bytes alone. If two merges gave the same bytes, the later one would have found them joined already.
Merges from elsewhere may be anything, so ``ranks_from_merges`` checks the condition.
"""

from collections.abc import Mapping, Sequence

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer.reference import Pair

# A file with a few dozen merges can describe a token longer than any memory (each merge may
# double the length), so lengths are added up before any bytes are joined.
MAX_TOTAL_BYTES = 1 << 28


def ranks_from_merges(
    merges: Sequence[Pair],
    byte_ids: Sequence[int] = range(256),
    new_ids: Sequence[int] | None = None,
) -> dict[bytes, int]:
    """Token bytes -> id for merges applied in order.

    byte_ids: the id of each single byte. new_ids: the id that each merge makes, increasing and
    above every byte's id; by default 256, 257, ...
    Raises UserError if a merge uses an id that is not yet defined, repeats an earlier one, or could
    never apply because an earlier one always gets there first.
    """
    if new_ids is None:
        new_ids = range(256, 256 + len(merges))
    lengths = dict.fromkeys(byte_ids, 1)
    made: dict[Pair, int] = {}
    parts: dict[int, Pair] = {}
    for i, (pair, new_id) in enumerate(zip(merges, new_ids, strict=True)):
        if pair[0] not in lengths or pair[1] not in lengths:
            raise UserError(f"merge {i} joins the ids {pair}, which are not both defined before it")
        lengths[new_id] = lengths[pair[0]] + lengths[pair[1]]
        earlier = made.get(pair)
        if earlier is None:
            earlier = _crossing(pair, made, parts)
        if earlier is not None:
            raise UserError(
                f"merge {i} joins the ids {pair}, but the earlier merge that makes id {earlier} "
                "always applies to those bytes first; merges must be in the order of training"
            )
        made[pair], parts[new_id] = new_id, pair
    if sum(lengths.values()) > MAX_TOTAL_BYTES:
        raise UserError(
            f"the {len(merges)} merges describe tokens of {sum(lengths.values())} bytes in total, "
            f"more than the {MAX_TOTAL_BYTES} allowed"
        )
    token = {i: bytes([b]) for b, i in enumerate(byte_ids)}
    for new_id, (left, right) in parts.items():
        token[new_id] = token[left] + token[right]
    return {b: i for i, b in token.items()}


def _crossing(pair: Pair, made: Mapping[Pair, int], parts: Mapping[int, Pair]) -> int | None:
    """The earlier merge, if any, that joins something across the middle of `pair`.

    Runs the assembly of the two parts backwards. Ids are times: of the two tokens that touch in
    the middle the one with the higher id was made last and is taken apart first, which gives
    the pairs of ids that ever stood on the two sides, each until `limit`.
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


def recover_merges(ranks: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The merges behind a table of ranks, in order, as pairs of byte strings.

    A token's parts are what its bytes are encoded to by the tokens of lower rank. Raises UserError
    if these are not two: then no list of merges reproduces the table.
    """
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) == 1:
            continue
        parts = [token[i : i + 1] for i in range(len(token))]
        while len(parts) > 2:
            joined = [ranks.get(a + b, rank) for a, b in zip(parts, parts[1:], strict=False)]
            lowest = min(joined)
            if lowest >= rank:
                break
            i = joined.index(lowest)
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        if len(parts) != 2:
            raise UserError(
                f"token {rank} ({token!r}) cannot be made by merging two tokens of lower rank, so "
                "this vocabulary cannot be written as a list of merges"
            )
        merges.append((parts[0], parts[1]))
    return merges
