"""From letters to bytes: a file's vocabulary and merges, and which engine can follow them.

tiktoken's engine joins any two neighbours that together spell a token, lowest id first. It gives
the ids of a list of merges in two cases:

- The merges are those of training (``merges.py``), and make ids in ascending order.
- The vocabulary was made for tiktoken, and its merges are every way of cutting a token in two
  (Llama 3, with ``ignore_merges``: a chunk that is a token is taken whole, as tiktoken does).

For any other list the merges are followed pair by pair.
"""

from collections.abc import Mapping
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer.json_format import BYTES, LETTERS
from tinygrad_llm.tokenizer.merges import every_cut, ranks_from_merges

# Latin-1 encodes U+0000 to U+00FF as the bytes 0 to 255; what is not a letter must not be one.
_BYTES_OF_LETTERS = {b: 0xFFFF for b in range(256)} | {ord(c): b for c, b in BYTES.items()}

TextPairs = list[tuple[str, str]]
BytePairs = list[tuple[bytes, bytes]]

# (vocabulary without added tokens, merges, special tokens, user-defined tokens)
Tables = tuple[dict[str, int], TextPairs, dict[str, int], dict[str, int]]


def require(condition: object, sentence: str) -> None:
    """Raise UserError with this sentence unless the condition holds."""
    if not condition:
        raise UserError(sentence)


def kind(step: Any) -> str | None:
    """The "type" of a step of a tokenizer.json, if it is a name."""
    name = step.get("type") if isinstance(step, dict) else None
    return name if isinstance(name, str) else None


def to_bytes(token: str) -> bytes:
    """The bytes of a token that is spelled in letters. Raises UserError for another character."""
    try:
        return token.translate(_BYTES_OF_LETTERS).encode("latin-1")
    except UnicodeEncodeError as error:
        raise UserError(
            f"token {token[:40]!r} contains {token[error.start]!r}, which stands for no byte"
        ) from None


def read_ranks(
    vocab: Mapping[str, int], merges: TextPairs, n_added: int, whole_chunks: bool
) -> tuple[dict[bytes, int], BytePairs | None, bool]:
    """(Token bytes -> id, the merges in bytes or None, whether they are followed pair by pair).

    n_added: how many other tokens the file has, for the message. Raises UserError if a merge uses
    or makes a token that is not in the vocabulary, and if the vocabulary has more tokens than its
    bytes and merges make.
    """
    letters = [letter for letter in LETTERS if letter in vocab]
    require(
        len(vocab) <= len(letters) + len(merges),
        f"its vocabulary has {len(vocab)} tokens besides {n_added} added ones, expected at most "
        f"{len(letters)} bytes + {len(merges)} merges = {len(letters) + len(merges)}",
    )
    for i, (left, right) in enumerate(merges):
        for token in (left, right, left + right):
            if token not in vocab:
                raise UserError(f"merge {i} uses {token[:40]!r}, which is not in the vocabulary")
    spelled = {token: to_bytes(token) for token in vocab}
    ranks = {spelled[token]: i for token, i in vocab.items()}
    if whole_chunks and _is_every_cut(vocab, merges):
        return ranks, None, False
    pairs = [(spelled[left], spelled[right]) for left, right in merges]
    return ranks, pairs, not _is_training(vocab, merges)


def _is_every_cut(vocab: Mapping[str, int], merges: TextPairs) -> bool:
    """Whether the merges are every way of cutting a token into two tokens, in order of the ids."""
    made = [vocab[left + right] for left, right in merges]
    if made != sorted(made) or len({*merges}) < len(merges):
        return False
    return len(merges) == sum(1 for _ in every_cut(vocab))


def _is_training(vocab: Mapping[str, int], merges: TextPairs) -> bool:
    """Whether the merges are what training makes. Tokens are numbered in the order they are made.

    The 256 bytes come first, also those without a token, then each merge.
    """
    number = {letter: i for i, letter in enumerate(LETTERS)}
    numbered = []
    last = -1
    for i, (left, right) in enumerate(merges):
        if left not in number or right not in number or vocab[left + right] <= last:
            return False
        last = vocab[left + right]
        numbered.append((number[left], number[right]))
        number.setdefault(left + right, 256 + i)
    if len(number) - 256 + sum(letter in vocab for letter in LETTERS) != len(vocab):
        return False  # a token that no merge makes
    try:
        ranks_from_merges(numbered)
    except UserError:
        return False
    return True
