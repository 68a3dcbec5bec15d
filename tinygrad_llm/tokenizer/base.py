"""Tokenizer: our merges, executed by tiktoken's engine.

tiktoken splits text by a regular expression and merges the bytes of each chunk by rank, in Rust
and without Python's lock. This class adds special tokens that text can never produce by accident,
any bytes (not only valid UTF-8) in and out, streaming (``stream.py``), files (``json_format.py``),
and errors that are sentences.
"""

import contextlib
import hashlib
import json
import operator
import os
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import json_format, json_reader, patterns
from tinygrad_llm.tokenizer.json_format import Vocabulary
from tinygrad_llm.tokenizer.merges import (
    MAX_IDS,
    MAX_TOTAL_BYTES,
    ranks_from_merges,
    recover_merges,
)
from tinygrad_llm.tokenizer.reference import Pair
from tinygrad_llm.tokenizer.special import END_OF_TEXT, SpecialSplitter, check_special_tokens
from tinygrad_llm.tokenizer.stream import StreamDecoder
from tinygrad_llm.tokenizer.text import check_encodable, split_invalid


class Tokenizer:
    """Byte-level BPE. ids 0..255 are the single bytes, then the merges, then the special tokens.

    merges: pairs of ids in the order they were learned; merge i makes id 256 + i.
    pattern: "gpt4", "gpt2" or a regular expression that splits text before merging.
    special_tokens: names; they get the ids after the last merge.

    Raises UserError for merges that do not form a vocabulary, for special tokens that are empty,
    repeated or spelled like an ordinary token, and for a pattern that does not compile.
    """

    def __init__(
        self,
        merges: Sequence[Pair],
        pattern: str = "gpt4",
        special_tokens: Iterable[str] = (END_OF_TEXT,),
    ) -> None:
        ranks = ranks_from_merges(merges)
        token = list(ranks)
        names = check_special_tokens(special_tokens)
        special_ids = {name: len(ranks) + i for i, name in enumerate(names)}
        self._set_up(ranks, patterns.resolve(pattern), special_ids)
        self._merges: list[tuple[bytes, bytes]] | None = [
            (token[left], token[right]) for left, right in merges
        ]

    @classmethod
    def from_ranks(
        cls,
        ranks: Mapping[bytes, int],
        pattern: str,
        special_tokens: Mapping[str, int],
        merges: Sequence[tuple[bytes, bytes]] | None = None,
    ) -> "Tokenizer":
        """A tokenizer from a table of ids: token bytes -> id, in the order of merging.

        This is how pretrained vocabularies come in. Ids may have gaps; every single byte must have
        one. merges: the pairs behind the ranks, in order; if they are not known, they are
        recovered when ``merges()`` first needs them. Raises UserError if an id is used twice, or is
        not a whole number from 0 to MAX_IDS - 1, and for an empty token.
        """
        for token, i in (*ranks.items(), *special_tokens.items()):
            if type(i) is not int or not 0 <= i < MAX_IDS:
                raise UserError(
                    f"the id of token {token!r} is {i!r}, expected a whole number from 0 to "
                    f"{MAX_IDS - 1}"
                )
        if sum(map(len, ranks)) > MAX_TOTAL_BYTES:
            raise UserError(
                f"the tokens have {sum(map(len, ranks)):,} bytes in total, more than the "
                f"{MAX_TOTAL_BYTES:,} allowed"
            )
        if b"" in ranks:
            raise UserError("the vocabulary has an empty token, which no text could ever produce")
        missing = [b for b in range(256) if bytes([b]) not in ranks]
        if missing:
            raise UserError(
                f"a byte-level vocabulary needs all 256 single bytes; missing: {missing[:5]}"
            )
        if len({*ranks.values(), *special_tokens.values()}) < len(ranks) + len(special_tokens):
            raise UserError("two tokens of the vocabulary have the same id")
        check_special_tokens(special_tokens)
        tokenizer = cls.__new__(cls)
        tokenizer._set_up(dict(ranks), patterns.resolve(pattern), dict(special_tokens))
        tokenizer._merges = None if merges is None else list(merges)
        return tokenizer

    def _set_up(self, ranks: dict[bytes, int], pattern: str, special_ids: dict[str, int]) -> None:
        import tiktoken

        for name in special_ids:
            if name.encode() in ranks:
                raise UserError(f"the special token {name!r} is also an ordinary token")
        if len(ranks) + len(special_ids) > MAX_IDS:
            raise UserError(f"the vocabulary has more than the {MAX_IDS:,} tokens allowed")
        self._ranks = ranks
        self._pattern = pattern
        self._special_ids = special_ids
        self.vocab_size = 1 + max(max(ranks.values()), max(special_ids.values(), default=0))
        self._byte_ids = [ranks[bytes([b])] for b in range(256)]
        # The engine knows only the ordinary tokens; special tokens are handled here.
        self._token = {i: token for token, i in ranks.items()}
        self._token |= {i: name.encode() for name, i in special_ids.items()}
        self._splitters: dict[frozenset[str], SpecialSplitter] = {}
        self._split = patterns.Splitter(pattern)
        self._engine = tiktoken.Encoding(
            "tinygrad_llm",
            pat_str=self._split.engine_pattern,
            mergeable_ranks=ranks,
            special_tokens={},
        )

    def __repr__(self) -> str:
        return f"Tokenizer(vocab_size={self.vocab_size}, fingerprint={self.fingerprint()[:12]})"

    # ---- the vocabulary ----

    @property
    def pattern(self) -> str:
        """The regular expression that splits text."""
        return self._pattern

    @property
    def ranks(self) -> dict[bytes, int]:
        """Token bytes -> id, special tokens excluded."""
        return dict(self._ranks)

    @property
    def special_tokens(self) -> dict[str, int]:
        """Name -> id."""
        return dict(self._special_ids)

    @property
    def eot_id(self) -> int:
        """Id of "<|endoftext|>", which ends a document. Raises UserError if there is none."""
        if END_OF_TEXT not in self._special_ids:
            raise UserError(f"this tokenizer has no special token {END_OF_TEXT!r}")
        return self._special_ids[END_OF_TEXT]

    def merges(self) -> list[tuple[bytes, bytes]]:
        """The merges in order, as pairs of byte strings."""
        if self._merges is None:
            self._merges = recover_merges(self._ranks)
        return list(self._merges)

    def token_bytes(self) -> np.ndarray:
        """Bytes of text per id, (vocab_size,) int64; 0 for special tokens. For bits per byte."""
        lengths = np.zeros(self.vocab_size, dtype=np.int64)
        for token, i in self._ranks.items():
            lengths[i] = len(token)
        return lengths

    def unused_ids(self, size: int | None = None) -> np.ndarray:
        """The ids below `size` that no token has, ascending, int64; by default below vocab_size.

        A model's output may be wider than its vocabulary (rows added to reach a round number), and
        a vocabulary may have gaps: such an id has no text, so it must not be sampled.
        """
        used = np.zeros(max(self.vocab_size, size or 0), dtype=bool)
        used[[*self._ranks.values(), *self._special_ids.values()]] = True
        return np.flatnonzero(~used[: self.vocab_size if size is None else size])

    def fingerprint(self) -> str:
        """sha256 (hex) of everything that determines ids: pattern, ranks, special tokens."""
        parts = {
            "format": 1,
            "pattern": self._pattern,
            "ranks": sorted((i, token.hex()) for token, i in self._ranks.items()),
            "special_tokens": sorted((i, name) for name, i in self._special_ids.items()),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    # ---- text to ids ----

    def encode(self, text: str, allowed_special: Iterable[str] | str = ()) -> list[int]:
        """Ids of a text.

        A special token's name in the text is ordinary text, unless it is in `allowed_special`
        (names, or "all"); where names overlap, the leftmost wins, then the longest. Raises
        UserError for a name that is not a special token of this tokenizer and for a text with a
        lone surrogate, which has no UTF-8 bytes.
        """
        allowed = self._check_allowed(allowed_special)
        check_encodable(text)
        if allowed not in self._splitters:
            self._splitters[allowed] = SpecialSplitter(allowed)
        ids = array("I")
        for ordinary, name in self._splitters[allowed].split(text):
            self._append(ids, ordinary)
            if name is not None:
                ids.append(self._special_ids[name])
        return ids.tolist()

    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of any bytes; `decode_bytes` gives the same bytes back.

        Valid UTF-8 gets the ids of its text. Each byte that is not part of valid UTF-8 gets the
        id of the single byte, and the text on either side of it is encoded on its own.
        """
        return self._encode_array(data).tolist()

    def encode_batch(
        self, texts: Iterable[str | bytes], num_threads: int | None = None
    ) -> list[np.ndarray]:
        """Ids of many texts, one uint32 array each, on several threads.

        num_threads: one per processor by default, at most eight.
        """
        from concurrent.futures import ThreadPoolExecutor

        if isinstance(texts, str | bytes):
            raise UserError("encode_batch takes a list of texts, not one text; use encode for that")
        with ThreadPoolExecutor(num_threads or min(8, os.cpu_count() or 1)) as pool:
            return list(pool.map(self._encode_array, texts))

    def _encode_array(self, text: str | bytes) -> np.ndarray:
        ids = array("I")  # four bytes an id, however many pieces there are
        for valid, invalid in split_invalid(text):
            self._append(ids, valid)
            ids.extend(self._byte_ids[b] for b in invalid)
        return np.frombuffer(ids, dtype=np.uint32) if ids else np.zeros(0, np.uint32)

    def _append(self, ids: array, text: str) -> None:
        """Append the ids of ordinary text."""
        known: dict[str, bytes] = {}  # text repeats itself: most chunks were seen before
        for piece, is_chunk in self._split(text):
            piece_ids = known.get(piece)
            if piece_ids is None:
                piece_ids = self._engine.encode_to_numpy(piece, disallowed_special=()).tobytes()
                if is_chunk:
                    known[piece] = piece_ids
            ids.frombytes(piece_ids)

    def _check_allowed(self, allowed_special: Iterable[str] | str) -> frozenset[str]:
        if allowed_special == "all":
            return frozenset(self._special_ids)
        if isinstance(allowed_special, str):
            allowed_special = (allowed_special,)
        allowed = frozenset(allowed_special)
        if unknown := sorted(allowed - self._special_ids.keys()):
            known = ", ".join(map(repr, self._special_ids)) or "none"
            raise UserError(
                f"{unknown[0]!r} is not a special token of this tokenizer (it has {known})"
            )
        return allowed

    # ---- ids to text ----

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of a sequence of ids; a special token gives its name.

        Raises UserError for anything that is not an id of this vocabulary.
        """
        ids = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
        with contextlib.suppress(KeyError, OverflowError, TypeError):
            return self._engine.decode_bytes(ids)  # fast, but it knows no special tokens
        try:
            return b"".join(map(self._token.__getitem__, map(operator.index, ids)))
        except (KeyError, TypeError):
            valid = (hasattr(x, "__index__") and operator.index(x) in self._token for x in ids)
            where = list(valid).index(False)
            raise UserError(
                f"position {where} holds {ids[where]!r}, which is not a token id of this "
                f"vocabulary (ids are whole numbers from 0 to {self.vocab_size - 1})"
            ) from None

    def decode(self, ids: Iterable[int], errors: str = "replace") -> str:
        """The text of a sequence of ids. errors: what to do with invalid UTF-8, as in bytes.decode.

        Ids cut out of a longer sequence may start or end inside a character.
        """
        return self.decode_bytes(ids).decode("utf-8", errors)

    def stream(self, errors: str = "replace") -> StreamDecoder:
        """A decoder for ids that arrive one at a time."""
        return StreamDecoder(self, errors)

    # ---- files ----

    def save(self, directory: str | os.PathLike, model_max_length: int | None = None) -> None:
        """Write tokenizer.json and tokenizer_config.json into ``directory``, made if need be.

        model_max_length: tokens a model can take, for the config file. Raises UserError if the
        files cannot be written or the format cannot hold this vocabulary or pattern.
        """
        merges = self.merges()
        vocabulary = Vocabulary(self._ranks, self._pattern, self._special_ids, merges)
        json_format.write_files(vocabulary, Path(directory), model_max_length)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Tokenizer":
        """The tokenizer of a tokenizer.json, given the file or its directory; keeps its ids.

        Raises FileNotFoundError, or UserError naming the file and what was expected of it.
        """
        file = json_reader.find_file(Path(path))
        vocabulary = json_reader.read_file(file)
        with json_reader.refusals_name(file):
            return cls.from_ranks(*vocabulary)
