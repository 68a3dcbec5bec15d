"""Byte-level BPE: ordinary text to ids.

Text is normalized if the vocabulary says so, cut into chunks by the split pattern, and the bytes of
each chunk are merged by rank. tiktoken's engine does that in Rust and without Python's lock,
wherever it gives the ids that the merges define (``json_tables.py``). Elsewhere
``pair_merging.py`` does. Much text at once takes a faster way to the same ids
(``chunk_encoder.py``).
"""

import unicodedata
from array import array
from collections.abc import Iterator
from functools import cached_property, partial

from tinygrad_llm.tokenizer import patterns
from tinygrad_llm.tokenizer.chunk_encoder import ChunkEncoder, ChunkEncoders
from tinygrad_llm.tokenizer.chunk_table import pattern_number
from tinygrad_llm.tokenizer.merges import every_cut, recover_merges
from tinygrad_llm.tokenizer.pair_merging import JoinedSpelling, Merges, merge_by_rank
from tinygrad_llm.tokenizer.text import split_escaped
from tinygrad_llm.tokenizer.vocabulary import Vocabulary


class ByteLevelEngine:
    """Executes a byte-level vocabulary.

    Published vocabularies may lack bytes that no readable text has (``SPARE_BYTES``). A byte
    without a token is dropped, as the tokenizers library does.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        import tiktoken

        self.vocabulary = vocabulary
        self.tokens = {i: token for token, i in vocabulary.ranks.items()}
        self._byte_ids = [vocabulary.ranks.get(bytes([b])) for b in range(256)]
        self._missing = bytes(b for b in range(256) if self._byte_ids[b] is None)
        self._split = patterns.Splitter(vocabulary.pattern)
        self._tiktoken = None
        if not vocabulary.by_pair:
            self._tiktoken = tiktoken.Encoding(
                "tinygrad_llm",
                pat_str=self._split.engine_pattern,
                mergeable_ranks=dict(vocabulary.ranks),
                special_tokens={},  # the engine knows only the ordinary tokens
            )

    @cached_property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """The merges in order. Raises UserError if no list of merges gives the ids.

        With ``whole_chunks`` a vocabulary may have tokens that no merges reach, so they are all the
        ways of cutting a token in two.
        """
        if self.vocabulary.merges is None and self.vocabulary.whole_chunks:
            ranks = self.vocabulary.ranks
            return list(every_cut(dict(sorted(ranks.items(), key=lambda item: item[1]))))
        if self.vocabulary.merges is None:
            return recover_merges(self.vocabulary.ranks)
        return list(self.vocabulary.merges)

    @cached_property
    def chunk_encoders(self) -> ChunkEncoders | None:
        """The fast way for much text; None for a vocabulary whose chunks it cannot split."""
        number = pattern_number(self.vocabulary.pattern)
        if number is None or self._tiktoken is None or self._missing or self.vocabulary.nfc:
            return None
        return ChunkEncoders(partial(ChunkEncoder, number, self._tiktoken.encode_ordinary))

    def append(self, ids: array, text: str, after: int | None = None) -> None:
        """Append the ids of ordinary text. Invalid bytes, escaped as in ``text.py``, stay bytes."""
        for valid, invalid in split_escaped(text):
            if self.vocabulary.nfc:
                valid = unicodedata.normalize("NFC", valid)
            self._append_valid(ids, valid)
            ids.extend(i for b in invalid if (i := self._byte_ids[b]) is not None)

    def decode(self, ids: list[int], after: int | None = None) -> bytes:
        """The bytes of ordinary tokens; raises KeyError or OverflowError for any other id."""
        if self._tiktoken is None:
            return b"".join(map(self.tokens.__getitem__, ids))
        return self._tiktoken.decode_bytes(ids)

    def _append_valid(self, ids: array, text: str) -> None:
        known: dict[str, bytes] = {}  # text repeats itself: most chunks were seen before
        for piece, is_chunk in self._pieces(text):
            piece_ids = known.get(piece)
            if piece_ids is None:
                piece_ids = self._encode(piece, is_chunk)
                if is_chunk:
                    known[piece] = piece_ids
            ids.frombytes(piece_ids)

    def _pieces(self, text: str) -> Iterator[tuple[str, bool]]:
        """(a piece of text, whether it is a chunk of the pattern), ..."""
        if self._tiktoken is None or self._lacks(text.encode()):
            return ((chunk, True) for chunk in self._split.chunks(text))
        return self._split(text)

    def _encode(self, piece: str, is_chunk: bool) -> bytes:
        """The ids of a piece, as the bytes of an array of four-byte numbers."""
        if self._tiktoken is not None and not (is_chunk and self._lacks(piece.encode())):
            return self._tiktoken.encode_to_numpy(piece, disallowed_special=()).tobytes()
        data = piece.encode()
        if self.vocabulary.whole_chunks and data in self.vocabulary.ranks:
            return array("I", [self.vocabulary.ranks[data]]).tobytes()
        symbols = (i for b in data if (i := self._byte_ids[b]) is not None)
        return array("I", merge_by_rank(symbols, self._merge_ranks)).tobytes()

    def _lacks(self, data: bytes) -> bool:
        """Whether a byte of `data` has no token."""
        return bool(self._missing) and len(data.translate(None, self._missing)) < len(data)

    @cached_property
    def _merge_ranks(self) -> Merges:
        ranks = self.vocabulary.ranks
        if self.vocabulary.merges is None:
            return JoinedSpelling(self.tokens, ranks, ranks)
        by_pair: dict[tuple[int, int], tuple[int, int]] = {}
        for rank, (left, right) in enumerate(self.vocabulary.merges):
            by_pair.setdefault((ranks[left], ranks[right]), (rank, ranks[left + right]))
        return by_pair
