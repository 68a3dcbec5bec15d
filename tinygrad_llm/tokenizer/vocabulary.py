"""What determines a tokenizer, as plain data: files are read into it and written from it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer.merges import MAX_IDS, MAX_TOTAL_BYTES
from tinygrad_llm.tokenizer.reference import Pair
from tinygrad_llm.tokenizer.special import check_special_tokens

NO_TOKENS: Mapping[str, int] = {}

SPARE_BYTES = frozenset(
    {*range(0x20)} - {*b"\t\n\v\f\r"} | {0x7F, 0xC0, 0xC1, 0xF1, 0xF2, *range(0xF5, 0x100)}
)
"""The bytes that a byte-level vocabulary may lack: control characters, those that UTF-8 never uses,
and two that only characters of no meaning yet begin with. SmolLM2 lacks 21 of them."""


class Vocabulary(NamedTuple):
    """A byte-level BPE."""

    ranks: Mapping[bytes, int]
    """Token bytes -> id, without the added tokens."""
    pattern: str
    """The regular expression that splits text."""
    special_tokens: Mapping[str, int]
    """Name -> id. Text becomes one of these only where the caller allows it."""
    merges: Sequence[tuple[bytes, bytes]] | None = None
    """The merges in order, as pairs of byte strings; None: worked out from the ranks."""
    user_tokens: Mapping[str, int] = NO_TOKENS
    """Name -> id. These are added tokens too, but text always becomes them (Qwen's "<think>")."""
    nfc: bool = False
    """Text is brought to Unicode's composed form (NFC) first, so "e" and an accent become "é"."""
    by_pair: bool = False
    """tiktoken's engine would give other ids, so the merges are followed pair by pair."""
    whole_chunks: bool = False
    """A chunk that is a token becomes it without merging (``ignore_merges`` in tokenizer.json)."""


class SentencePieceVocabulary(NamedTuple):
    """A BPE in SentencePiece's manner: characters, "▁" for the space, bytes as a last resort."""

    pieces: Mapping[str, int]
    """Piece -> id, without the added tokens and the single bytes."""
    special_tokens: Mapping[str, int]
    """Name -> id, as above."""
    user_tokens: Mapping[str, int]
    """Name -> id, as above."""
    byte_ids: Sequence[int] | None
    """The ids of the 256 bytes, which spell a character that is no piece."""
    unknown_id: int | None
    """The id of a run of such characters where there are no bytes; None: they are dropped."""
    merges: Mapping[Pair, tuple[int, int]] | None = None
    """Pair of ids -> (rank, id it makes); None: neighbours that together spell a piece."""
    ranks: Mapping[str, int] | None = None
    """Piece -> rank for that case: the lowest is joined first."""
    prepend: Literal["always", "once", "never"] = "always"
    """Where a "▁" is put before text: the start and after every added token, the start, nowhere.
    "once" leaves a text alone that begins with a space."""


class Conventions(NamedTuple):
    """What a file says about using the ids."""

    bos_id: int | None = None
    """Beginning of a text, if the file names a token for it."""
    eos_id: int | None = None
    """End of a text or of an answer, likewise."""
    prefix_ids: tuple[int, ...] = ()
    """What the file says to add before every text, usually the BOS or nothing."""
    suffix_ids: tuple[int, ...] = ()
    """What the file says to add after every text, usually nothing."""
    chat_template: str | None = None
    """The Jinja template that writes a conversation as one text (``chat_template.py``)."""
    template_variables: Mapping[str, str] = {}
    """What else a template may use: bos_token, eos_token, ... -> name of the token."""
    stop_ids: tuple[int, ...] = ()
    """What ends a text or an answer, if the files name more than the EOS."""


def check_vocabulary(vocabulary: Vocabulary | SentencePieceVocabulary) -> None:
    """Raise UserError for ids that are used twice or out of range, and for an empty token."""
    ordinary: Mapping[Any, int]
    ordinary = vocabulary.ranks if isinstance(vocabulary, Vocabulary) else vocabulary.pieces
    added = {**vocabulary.special_tokens, **vocabulary.user_tokens}
    for token, i in (*ordinary.items(), *added.items()):
        if type(i) is not int or not 0 <= i < MAX_IDS:
            raise UserError(
                f"the id of token {token!r} is {i!r}, expected a whole number from 0 to "
                f"{MAX_IDS - 1}"
            )
    total = sum(map(len, ordinary))
    if total > MAX_TOTAL_BYTES:
        raise UserError(
            f"the tokens have {total:,} bytes in total, more than the {MAX_TOTAL_BYTES:,} allowed"
        )
    if not ordinary:
        raise UserError("the vocabulary has no tokens")
    if isinstance(vocabulary, Vocabulary):
        lost = [b for b in range(256) if bytes([b]) not in ordinary and b not in SPARE_BYTES]
        if lost:
            raise UserError(
                f"the vocabulary has no token for the byte {lost[0]:#04x}"
                + (f" and {len(lost) - 1} more" if len(lost) > 1 else "")
                + ": text with it would lose characters"
            )
    if b"" in ordinary or "" in ordinary:
        raise UserError("the vocabulary has an empty token, which no text could ever produce")
    byte_ids = () if isinstance(vocabulary, Vocabulary) else vocabulary.byte_ids or ()
    if len({*ordinary.values(), *added.values(), *byte_ids}) < sum(
        map(len, (ordinary, added, byte_ids))
    ):
        raise UserError("two tokens of the vocabulary have the same id")
    check_special_tokens(added)


def fingerprint(vocabulary: Vocabulary | SentencePieceVocabulary) -> str:
    """sha256 (hex) of everything that determines ids."""
    parts: dict[str, Any] = {
        "format": 1,
        "special_tokens": sorted((i, name) for name, i in vocabulary.special_tokens.items()),
    }
    if vocabulary.user_tokens:
        parts["user_tokens"] = sorted((i, name) for name, i in vocabulary.user_tokens.items())
    if isinstance(vocabulary, Vocabulary):
        parts["pattern"] = vocabulary.pattern
        parts["ranks"] = sorted((i, token.hex()) for token, i in vocabulary.ranks.items())
        if vocabulary.nfc:
            parts["nfc"] = True
        if vocabulary.by_pair:
            merges = vocabulary.merges or ()
            parts["merges"] = [(left.hex(), right.hex()) for left, right in merges]
            parts["whole_chunks"] = vocabulary.whole_chunks
    else:
        parts["pieces"] = sorted((i, piece) for piece, i in vocabulary.pieces.items())
        parts["bytes"] = list(vocabulary.byte_ids or ())
        parts["unknown"], parts["prepend"] = vocabulary.unknown_id, vocabulary.prepend
        for name in ("merges", "ranks"):
            table: Mapping[Any, Any] | None = getattr(vocabulary, name)
            parts[name] = None if table is None else sorted(table.items())
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
