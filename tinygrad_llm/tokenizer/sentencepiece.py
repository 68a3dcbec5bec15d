"""SentencePiece's BPE: ordinary text to ids, as Llama 2, Mistral and Gemma were trained.

1. Spaces become "▁" (U+2581), so they are part of the pieces. Most vocabularies also put one before
   the text, so that a word is the same piece at the start of a text as inside it.
2. Every character is a symbol. One that is no piece becomes the bytes of its UTF-8 (byte fallback),
   each a token like <0xE2>, or the unknown token where the vocabulary has no bytes.
3. Symbols merge by rank, over the whole text and not within words (``pair_merging.py``). The rank
   comes from a list of merges, or from the score of the piece that two symbols spell together.

Decoding joins the pieces, turns "▁" into a space, and drops the space that step 1 put there. A "▁"
that was in the text itself comes back as a space: the method cannot tell them apart.

Method: Kudo and Richardson 2018 (arXiv:1808.06226).
"""

import re
from array import array
from collections.abc import Iterator

from tinygrad_llm.tokenizer.pair_merging import JoinedSpelling, Merges, merge_by_rank
from tinygrad_llm.tokenizer.vocabulary import SentencePieceVocabulary

SPACE = "\u2581"


def bytes_of(name: str) -> bytes:
    """The bytes of text that a piece or an added token stands for."""
    return name.replace(SPACE, " ").encode()


class SentencePieceEngine:
    """Executes a SentencePiece vocabulary."""

    chunk_encoders = None  # it has no chunks

    def __init__(self, vocabulary: SentencePieceVocabulary) -> None:
        self.vocabulary = vocabulary
        self.tokens = {i: bytes_of(piece) for piece, i in vocabulary.pieces.items()}
        self.tokens |= {i: bytes([b]) for b, i in enumerate(vocabulary.byte_ids or ())}
        self._added = frozenset(
            (*vocabulary.special_tokens.values(), *vocabulary.user_tokens.values())
        )
        self._merges: Merges
        if vocabulary.merges is not None:
            self._merges = vocabulary.merges
        else:
            spellings = {i: piece for piece, i in vocabulary.pieces.items()}
            self._merges = JoinedSpelling(spellings, vocabulary.pieces, vocabulary.ranks or {})
        self._words = self._word_pattern()

    def append(self, ids: array, text: str, after: int | None = None) -> None:
        """Append the ids of ordinary text; after: the added token before it, None at the start."""
        text = text.replace(" ", SPACE)
        prepend = self.vocabulary.prepend
        if text and (
            prepend == "always"
            or (prepend == "once" and after is None and not text.startswith(SPACE))
        ):
            text = SPACE + text
        known: dict[str, list[int]] = {}
        for word in self._words.findall(text):
            if word not in known:
                known[word] = merge_by_rank(self._symbols(word), self._merges)
            ids.extend(known[word])

    def decode(self, ids: list[int], after: int | None = None) -> bytes:
        """The bytes of ordinary tokens; after: the id before them, None at the start of a text.

        Raises KeyError for any other id.
        """
        tokens = [*map(self.tokens.__getitem__, ids)]
        prepend = self.vocabulary.prepend
        if tokens and (
            (prepend == "always" and (after is None or after in self._added))
            or (prepend == "once" and after is None)
        ):
            tokens[0] = tokens[0].removeprefix(b" ")
        return b"".join(tokens)

    def _symbols(self, word: str) -> Iterator[int]:
        """One id a character, or its bytes, or one unknown token for several."""
        pieces, byte_ids = self.vocabulary.pieces, self.vocabulary.byte_ids
        unknown = False  # whether the character before this one was
        for character in word:
            i = pieces.get(character)
            if i is not None:
                yield i
            elif byte_ids is not None:
                yield from (byte_ids[b] for b in character.encode("utf-8", "surrogateescape"))
            elif self.vocabulary.unknown_id is not None and not unknown:
                yield self.vocabulary.unknown_id
            unknown = i is None

    def _word_pattern(self) -> re.Pattern[str]:
        """Where a text can be cut without changing its ids, so that a word is merged only once.

        A merge across the cut would make a piece with "▁" inside, after another character. Few
        vocabularies have one (Gemma 3 has ">▁</"); there is no cut after such a character.
        Where characters are dropped there is none at all: what is on either side of one can merge.
        """
        drops = self.vocabulary.byte_ids is None and self.vocabulary.unknown_id is None
        joined = {
            piece[i - 1]
            for piece in self.vocabulary.pieces
            for i in range(1, len(piece))
            if piece[i] == SPACE
        } - {SPACE}
        if drops or SPACE not in self.vocabulary.pieces:
            return re.compile(r"(?s).+")
        not_after = "".join(map(re.escape, sorted(joined | {SPACE})))
        return re.compile(rf"(?s).+?(?=(?<=[^{not_after}]){SPACE}|\Z)")


def byte_names() -> list[str]:
    """How a vocabulary spells the 256 single bytes: <0x00>, <0x01>, ..."""
    return [f"<0x{b:02X}>" for b in range(256)]
