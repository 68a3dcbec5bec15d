"""Tokenizer: text to ids and back.

Ordinary text is the work of an engine: ``byte_level.py`` for the vocabularies trained here, GPT-2,
Llama 3 and Qwen; ``sentencepiece.py`` for Llama 2 and Gemma. This class adds special tokens that
text can never produce by accident, any bytes (not only valid UTF-8) in and out, streaming
(``stream.py``), files (``json_format.py``), conversations, and errors that are sentences.
"""

import contextlib
import operator
import os
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import chat_template, json_format, json_reader, patterns
from tinygrad_llm.tokenizer.byte_level import ByteLevelEngine
from tinygrad_llm.tokenizer.chunk_encoder import is_much
from tinygrad_llm.tokenizer.merges import MAX_IDS, ranks_from_merges
from tinygrad_llm.tokenizer.reference import Pair
from tinygrad_llm.tokenizer.sentencepiece import SentencePieceEngine, bytes_of
from tinygrad_llm.tokenizer.special import END_OF_TEXT, SpecialSplitter, check_special_tokens
from tinygrad_llm.tokenizer.stream import StreamDecoder
from tinygrad_llm.tokenizer.text import check_encodable, escaped
from tinygrad_llm.tokenizer.vocabulary import (
    Conventions,
    SentencePieceVocabulary,
    Vocabulary,
    check_vocabulary,
    fingerprint,
)


class Tokenizer:
    """Text to ids and back. A new one is a byte-level BPE.

    Ids 0..255 are the single bytes, then come the merges, then the special tokens.

    merges: pairs of ids in the order they were learned; merge i makes id 256 + i.
    pattern: "gpt4", "gpt2" or a regular expression that splits text before merging.
    special_tokens: names; they get the ids after the last merge.

    Attributes: ``vocabulary``, which determines the ids, and ``conventions`` of using them.

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
        pairs = [(token[left], token[right]) for left, right in merges]
        self._set_up(Vocabulary(ranks, patterns.resolve(pattern), special_ids, pairs))

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
        missing = [b for b in range(256) if bytes([b]) not in ranks]
        if missing:
            raise UserError(
                f"a byte-level vocabulary needs all 256 single bytes; missing: {missing[:5]}"
            )
        pairs = None if merges is None else list(merges)
        return cls.from_vocabulary(Vocabulary(dict(ranks), pattern, dict(special_tokens), pairs))

    @classmethod
    def from_vocabulary(
        cls,
        vocabulary: Vocabulary | SentencePieceVocabulary,
        conventions: Conventions = Conventions(),  # noqa: B008 - it cannot be changed
    ) -> "Tokenizer":
        """A tokenizer of either kind from plain data (``vocabulary.py``), as files hold it.

        Raises UserError if an id is used twice, or is not a whole number from 0 to MAX_IDS - 1, for
        an empty token, and for a pattern that does not compile.
        """
        check_vocabulary(vocabulary)
        tokenizer = cls.__new__(cls)
        tokenizer._set_up(vocabulary, conventions)
        return tokenizer

    def _set_up(
        self,
        vocabulary: Vocabulary | SentencePieceVocabulary,
        conventions: Conventions = Conventions(),  # noqa: B008
    ) -> None:
        self._special_ids = dict(vocabulary.special_tokens)
        self._user_ids = dict(vocabulary.user_tokens)
        self._added_ids = {**self._user_ids, **self._special_ids}
        self._engine: ByteLevelEngine | SentencePieceEngine
        if isinstance(vocabulary, Vocabulary):
            for name in self._added_ids:
                if name.encode() in vocabulary.ranks:
                    raise UserError(f"the special token {name!r} is also an ordinary token")
            resolved = vocabulary._replace(pattern=patterns.resolve(vocabulary.pattern))
            self._engine = ByteLevelEngine(resolved)
            self._added = {i: name.encode() for name, i in self._added_ids.items()}
        else:
            self._engine = SentencePieceEngine(vocabulary)
            self._added = {i: bytes_of(name) for name, i in self._added_ids.items()}
        self.vocabulary = self._engine.vocabulary
        self.conventions = conventions
        if len(self._engine.tokens) + len(self._added) > MAX_IDS:
            raise UserError(f"the vocabulary has more than the {MAX_IDS:,} tokens allowed")
        self.vocab_size = 1 + max((*self._engine.tokens, *self._added))
        self._splitters: dict[frozenset[str], SpecialSplitter] = {}

    def __repr__(self) -> str:
        return f"Tokenizer(vocab_size={self.vocab_size}, fingerprint={self.fingerprint()[:12]})"

    # ---- the vocabulary ----

    @property
    def pattern(self) -> str:
        """The regular expression that splits text. Raises UserError for a SentencePiece one."""
        return self._byte_level().pattern

    @property
    def ranks(self) -> dict[bytes, int]:
        """Token bytes -> id, added tokens excluded. Raises UserError for a SentencePiece one."""
        return dict(self._byte_level().ranks)

    def _byte_level(self) -> Vocabulary:
        if not isinstance(self.vocabulary, Vocabulary):
            raise UserError("this is a SentencePiece tokenizer: it has no pattern, ranks or merges")
        return self.vocabulary

    @property
    def special_tokens(self) -> dict[str, int]:
        """Name -> id."""
        return dict(self._special_ids)

    @property
    def bos_id(self) -> int | None:
        """The id that begins a text, if the tokenizer's file names one."""
        return self.conventions.bos_id

    @property
    def eos_id(self) -> int | None:
        """The id that ends a text or an answer, if the tokenizer's file names one."""
        return self.conventions.eos_id

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """The ids that end a text or an answer, ascending: the EOS, and others that the files name.

        A chat model has several: Gemma's end a text with <eos> and a turn with <end_of_turn>,
        Llama 3's with <|end_of_text|>, <|eot_id|> and <|eom_id|>. They come from
        generation_config.json or config.json, or from a GGUF file's metadata; there may be none.
        """
        eos = () if self.eos_id is None else (self.eos_id,)
        return tuple(sorted({*eos, *self.conventions.stop_ids}))

    @property
    def eot_id(self) -> int:
        """Id of "<|endoftext|>", which ends a document. Raises UserError if there is none."""
        if END_OF_TEXT not in self._special_ids:
            raise UserError(f"this tokenizer has no special token {END_OF_TEXT!r}")
        return self._special_ids[END_OF_TEXT]

    def merges(self) -> list[tuple[bytes, bytes]]:
        """The merges in order, as pairs of byte strings. Raises UserError if there are none."""
        self._byte_level()
        assert isinstance(self._engine, ByteLevelEngine)
        return list(self._engine.merges)

    def token_bytes(self) -> np.ndarray:
        """Bytes of text per id, (vocab_size,) int64; 0 for added tokens. For bits per byte."""
        lengths = np.zeros(self.vocab_size, dtype=np.int64)
        for i, token in self._engine.tokens.items():
            lengths[i] = len(token)
        return lengths

    def unused_ids(self, size: int | None = None) -> np.ndarray:
        """The ids below `size` that no token has, ascending, int64; by default below vocab_size.

        A model's output may be wider than its vocabulary (rows added to reach a round number), and
        a vocabulary may have gaps: such an id has no text, so it must not be sampled.
        """
        used = np.zeros(max(self.vocab_size, size or 0), dtype=bool)
        used[[*self._engine.tokens, *self._added]] = True
        return np.flatnonzero(~used[: self.vocab_size if size is None else size])

    def fingerprint(self) -> str:
        """sha256 (hex) of everything that determines ids: pattern, ranks, special tokens, ..."""
        return fingerprint(self.vocabulary)

    # ---- text to ids ----

    def encode(
        self, text: str, allowed_special: Iterable[str] | str = (), *, allow_special: bool = False
    ) -> list[int]:
        """Ids of a text, without the BOS or EOS that ``add_bos_eos`` puts around them.

        A special token's name in the text is ordinary text, unless it is in `allowed_special`
        (names, or "all"); allow_special=True is short for "all". Where names overlap, the leftmost
        wins, then the longest. Raises UserError for a name that is not a special token of this
        tokenizer and for a text with a lone surrogate, which has no UTF-8 bytes.
        """
        allowed = self._check_allowed("all" if allow_special else allowed_special)
        check_encodable(text)
        ids = array("I")
        self._append(ids, text, allowed)
        return ids.tolist()

    def add_bos_eos(self, ids: Iterable[int]) -> list[int]:
        """The ids of a text with what the tokenizer's file says to add around every text."""
        return [*self.conventions.prefix_ids, *ids, *self.conventions.suffix_ids]

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
        batch: list = list(texts)
        fast = self._engine.chunk_encoders if is_much(batch) and not self._user_ids else None
        with ThreadPoolExecutor(num_threads or min(8, os.cpu_count() or 1)) as pool:
            if fast is not None:
                return fast.encode_batch(batch, pool)
            return list(pool.map(self._encode_array, batch))

    def _encode_array(self, text: str | bytes) -> np.ndarray:
        ids = array("I")  # four bytes an id, however many pieces there are
        self._append(ids, escaped(text))
        return np.frombuffer(ids, dtype=np.uint32) if ids else np.zeros(0, np.uint32)

    def _append(
        self,
        ids: array,
        text: str,
        allowed: frozenset[str] = frozenset(),
        restore: Callable[[str], str] = str,
    ) -> None:
        """Append the ids of a text in which the special tokens `allowed` are recognized.

        restore: what is done to the text between them.
        """
        if allowed not in self._splitters:
            self._splitters[allowed] = SpecialSplitter(allowed | self._user_ids.keys())
        after = None
        for ordinary, name in self._splitters[allowed].split(text):
            self._engine.append(ids, restore(ordinary), after)
            if name is not None:
                after = self._added_ids[name]
                ids.append(after)

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

    # ---- conversations ----

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> list[int]:
        """The ids of a conversation, as the model's chat template writes it.

        messages: {"role": "system", "user" or "assistant", "content": text}, in order.
        add_generation_prompt: end with the beginning of the assistant's turn. variables: what else
        the template may use, such as tools or enable_thinking. A special token's name inside a
        message stays text. Raises UserError if the tokenizer has no template, or if the template
        fails, takes too long or tries to leave its sandbox.
        """
        given = {**variables, "messages": messages, "add_generation_prompt": add_generation_prompt}
        texts, restore = chat_template.render_hidden(self.conventions, self._special_ids, [given])
        return self.encode_rendered(texts[0], restore)

    def encode_rendered(self, text: str, restore: Callable[[str], str]) -> list[int]:
        """The ids of a text, or of a part of one, that ``chat_template.render_hidden`` made."""
        ids = array("I")
        self._append(ids, text, frozenset(self._special_ids), restore)
        return ids.tolist()

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> str:
        """The text that ``apply_chat_template`` encodes, to look at."""
        given = {"messages": messages, "add_generation_prompt": add_generation_prompt}
        return chat_template.render_conversation(self.conventions, {**variables, **given})

    # ---- ids to text ----

    def decode_bytes(self, ids: Iterable[int], after: int | None = None) -> bytes:
        """The bytes of a sequence of ids; a special token gives its name.

        after: the id that comes before them, None at the start of a text. A SentencePiece tokenizer
        drops the space that it put before the text, which only the first id can have. Raises
        UserError for anything that is not an id of this vocabulary.
        """
        ids = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
        with contextlib.suppress(KeyError, OverflowError, TypeError):
            return self._engine.decode(ids, after)  # fast, but it knows no added tokens
        try:
            parts = []
            ordinary: list[int] = []
            for i in map(operator.index, ids):
                if i in self._added:
                    parts += [self._engine.decode(ordinary, after), self._added[i]]
                    ordinary, after = [], i
                else:
                    ordinary.append(i)
            return b"".join(parts) + self._engine.decode(ordinary, after)
        except (KeyError, OverflowError, TypeError):
            known = {**self._engine.tokens, **self._added}
            valid = (hasattr(x, "__index__") and operator.index(x) in known for x in ids)
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

    def stream(self, errors: str = "replace", after: int | None = None) -> StreamDecoder:
        """A decoder for ids that arrive one at a time.

        after: the last id of the prompt that they continue, None at the start of a text.
        """
        return StreamDecoder(self, errors, after)

    # ---- files ----

    def save(self, directory: str | os.PathLike, model_max_length: int | None = None) -> None:
        """Write tokenizer.json and tokenizer_config.json into ``directory``, made if need be.

        model_max_length: tokens a model can take, for the config file. Raises UserError if the
        files cannot be written or the format cannot hold this vocabulary or pattern.
        """
        vocabulary = self.vocabulary
        if isinstance(vocabulary, Vocabulary):
            vocabulary = vocabulary._replace(merges=self.merges())
        json_format.write_files(vocabulary, self.conventions, Path(directory), model_max_length)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Tokenizer":
        """The tokenizer of a tokenizer.json, or of a directory with one or a GPT-2's files.

        Raises FileNotFoundError, or UserError naming the file and what was expected of it.
        """
        file = json_reader.find_file(Path(path))
        vocabulary, conventions = json_reader.read_file(file)
        with json_reader.refusals_name(file):
            return cls.from_vocabulary(vocabulary, conventions)
