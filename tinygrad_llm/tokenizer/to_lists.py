"""A tokenizer as the metadata of a GGUF file: the inverse of ``from_lists.py``.

What the file can say is less than what a tokenizer can be. A split pattern is known to llama.cpp
only by name, and SentencePiece's merges become one score for each piece. What cannot be expressed
is refused; where llama.cpp gives other ids to rare texts, a warning says which.
"""

import warnings
from collections import Counter
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import patterns
from tinygrad_llm.tokenizer.base import Tokenizer
from tinygrad_llm.tokenizer.conventions import bos_and_eos
from tinygrad_llm.tokenizer.from_lists import (
    BYTE,
    CONTROL,
    NORMAL,
    SPLITS,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
)
from tinygrad_llm.tokenizer.json_format import spell
from tinygrad_llm.tokenizer.merges import every_cut
from tinygrad_llm.tokenizer.sentencepiece import SPACE, byte_names
from tinygrad_llm.tokenizer.vocabulary import SentencePieceVocabulary, Vocabulary

ADDED_SCORE = -1000.0  # of tokens that no merge makes, as llama.cpp's converter writes it

# The bytes that white space other than a line end begins with, in UTF-8.
_BLANK = {*b"\t\v\f\x1c\x1d\x1e\x1f ", 0xC2, 0xE1, 0xE2, 0xE3}

Entries = dict[int, tuple[str, int, float]]  # id -> (spelling, kind, score)


def tokenizer_metadata(tokenizer: Tokenizer, size: int) -> dict[str, Any]:
    """The keys ``tokenizer.*`` of a GGUF file, for a model with ``size`` rows in its token table.

    Ids without a token become unused ones; added tokens beyond the table are left out. Raises
    UserError for a tokenizer that llama.cpp does not have.
    """
    vocabulary = tokenizer.vocabulary
    metadata: dict[str, Any]
    if isinstance(vocabulary, Vocabulary):
        entries, metadata = _byte_level(vocabulary, tokenizer)
    else:
        entries, metadata = _sentencepiece(vocabulary)
    entries |= {i: (name, USER_DEFINED, ADDED_SCORE) for name, i in vocabulary.user_tokens.items()}
    entries |= {i: (name, CONTROL, ADDED_SCORE) for name, i in vocabulary.special_tokens.items()}
    if isinstance(vocabulary, SentencePieceVocabulary):
        entries = _in_text(entries, vocabulary)
    unused = {i: (f"[PAD{i}]", UNUSED, ADDED_SCORE) for i in range(size) if i not in entries}
    entries |= unused
    listed = [entries[i] for i in range(size)]
    spellings = [spelling for spelling, _, _ in listed]
    if len({*spellings}) < size:
        twice = Counter(spellings).most_common(1)[0][0]
        raise UserError(
            f"two ids would have the token {twice!r} in a GGUF file, which llama.cpp does not "
            "open: export as safetensors"
        )
    metadata |= {
        "tokenizer.ggml.tokens": spellings,
        "tokenizer.ggml.token_type": np.array([kind for _, kind, _ in listed], np.int32),
    }
    if metadata["tokenizer.ggml.model"] == "llama":
        metadata["tokenizer.ggml.scores"] = np.array([s for _, _, s in listed], np.float32)
    return metadata | _conventions(tokenizer, size)


def _byte_level(vocabulary: Vocabulary, tokenizer: Tokenizer) -> tuple[Entries, dict[str, Any]]:
    entries = {i: (spell(token), NORMAL, 0.0) for token, i in vocabulary.ranks.items()}
    merges = [f"{spell(left)} {spell(right)}" for left, right in tokenizer.merges()]
    return entries, {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": _split_name(vocabulary),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.add_space_prefix": False,
    }


def _split_name(vocabulary: Vocabulary) -> str:
    """llama.cpp's name of the split pattern.

    It has none for GPT-4's, which is Llama 3's but for one thing: white space at the end of a text
    is one chunk, even with a line end in it, where Llama 3's pattern cuts after the last line end.
    That matters only if some token reaches across the cut.
    """
    pattern, whole_chunks = vocabulary.pattern, vocabulary.whole_chunks
    if pattern == patterns.GPT4_PATTERN:
        pattern = patterns.LLAMA3_PATTERN
        if any(_crosses_line_end(token) for token in vocabulary.ranks):
            warnings.warn(
                "llama.cpp has no name for this tokenizer's split pattern (gpt4); with the nearest "
                "one, Llama 3's, a text that ends with a line end and other white space after it "
                "can get other ids, and every other text gets the same",
                stacklevel=2,
            )
    # A chunk that is a token is that token in any case if the merges are those of training.
    either = not vocabulary.by_pair
    for name, (known, nfc, whole) in SPLITS.items():
        if known == pattern and (whole == whole_chunks or (whole and either)):
            if vocabulary.nfc or nfc:
                _warn_about_composing(vocabulary.nfc)
            return name
    raise UserError(
        "llama.cpp has no name for the tokenizer's split pattern, and with any other it would give "
        "other ids: export as safetensors, or train a tokenizer with the pattern gpt4 or gpt2"
    )


def _crosses_line_end(token: bytes) -> bool:
    """Whether a token goes on with other white space after its last line end."""
    after = 1 + max(token.rfind(b"\n"), token.rfind(b"\r"))
    return 0 < after < len(token) and token[after] in _BLANK


def _warn_about_composing(nfc: bool) -> None:
    if nfc:
        text = "this tokenizer composes characters first (Unicode's NFC), and llama.cpp does not"
    else:
        text = "in a GGUF file, this split pattern means that characters are composed (NFC)"
    warnings.warn(f"{text}: text in which accents are separate gets other ids", stacklevel=2)


def _sentencepiece(vocabulary: SentencePieceVocabulary) -> tuple[Entries, dict[str, Any]]:
    if vocabulary.byte_ids is None:
        raise UserError(
            "the tokenizer has no tokens for single bytes, and llama.cpp needs them: export as "
            "safetensors"
        )
    scores = _scores(vocabulary)
    entries = {i: (piece, NORMAL, scores[piece]) for piece, i in vocabulary.pieces.items()}
    names = zip(vocabulary.byte_ids, byte_names(), strict=True)
    entries |= {i: (name, BYTE, 0.0) for i, name in names}
    if vocabulary.prepend == "once":
        warnings.warn(
            "this tokenizer puts a space before the start of a text; llama.cpp also puts one after "
            "every special token, and one more before a text that begins with a space",
            stacklevel=2,
        )
    if any(SPACE in name for name in vocabulary.user_tokens):
        warnings.warn(
            "llama.cpp spells runs of spaces in the vocabulary as spaces: a text that contains the "
            f"character {SPACE} itself gets other ids",
            stacklevel=2,
        )
    return entries, {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.add_space_prefix": vocabulary.prepend != "never",
    }


def _scores(vocabulary: SentencePieceVocabulary) -> dict[str, float]:
    """Piece -> score: the highest is joined first.

    A list of merges has scores if it contains every way of cutting a piece in two, and all merges
    that make one piece follow each other.
    """
    if vocabulary.ranks is not None:
        return {piece: -float(rank) for piece, rank in vocabulary.ranks.items()}
    merges = vocabulary.merges or {}
    spellings = {i: piece for piece, i in vocabulary.pieces.items()}
    made = [spellings[i] for _, i in sorted(merges.values()) if i in spellings]
    order = dict.fromkeys(made)  # each piece once
    runs = 1 + sum(a != b for a, b in zip(made, made[1:], strict=False)) if made else 0
    pieces = vocabulary.pieces
    missing = any((pieces[a], pieces[b]) not in merges for a, b in every_cut(pieces))
    if runs != len(order) or missing:
        raise UserError(
            "the tokenizer's merges cannot be written as one score for each piece, which is all "
            "that llama.cpp reads: export as safetensors"
        )
    ranked = {piece: -float(rank) for rank, piece in enumerate(order)}
    return {piece: ranked.get(piece, -float(len(order))) for piece in pieces}


def _in_text(entries: Entries, vocabulary: SentencePieceVocabulary) -> Entries:
    """The unknown token is marked, and added tokens are spelled as they are in a text."""
    found = {}
    for i, (spelling, kind, score) in entries.items():
        if i == vocabulary.unknown_id:
            kind = UNKNOWN
        if kind == USER_DEFINED:
            spelling = spelling.replace(SPACE, " ")
        found[i] = spelling, kind, score
    return found


def _conventions(tokenizer: Tokenizer, size: int) -> dict[str, Any]:
    """The ids that begin and end a text, whether they are added, and the chat template."""
    conventions = tokenizer.conventions
    bos, eos = bos_and_eos(conventions, tokenizer.special_tokens)
    added = {**tokenizer.vocabulary.user_tokens, **tokenizer.special_tokens}
    names = conventions.template_variables
    ids = {
        "bos": bos,
        "eos": eos,
        "unknown": added.get(names.get("unk_token", "")),
        "padding": added.get(names.get("pad_token", "")),
    }
    if isinstance(tokenizer.vocabulary, SentencePieceVocabulary):
        ids["unknown"] = tokenizer.vocabulary.unknown_id
    stops = [i for i in tokenizer.stop_ids if i != eos]
    ids |= dict(zip(("eot", "eom"), stops, strict=False))
    if len(stops) > 2:
        warnings.warn(
            f"an answer can end with {len(stops) + 1} tokens, and a GGUF file has room for three: "
            f"left out are the ids {stops[2:]}",
            stacklevel=2,
        )
    if eos is None:
        warnings.warn(
            "the tokenizer names no token that ends a text, so llama.cpp will take one by its id",
            stacklevel=2,
        )
    prefix, suffix = conventions.prefix_ids, conventions.suffix_ids
    if prefix not in ((), (bos,)) or suffix not in ((), (eos,)):
        warnings.warn(
            "the tokenizer adds tokens to every text that are not its BOS and EOS, and llama.cpp "
            "will not",
            stacklevel=2,
        )
    metadata: dict[str, Any] = {
        f"tokenizer.ggml.{name}_token_id": i
        for name, i in ids.items()
        if i is not None and i < size
    }
    metadata["tokenizer.ggml.add_bos_token"] = bos is not None and prefix == (bos,)
    metadata["tokenizer.ggml.add_eos_token"] = eos is not None and suffix == (eos,)
    if conventions.chat_template is not None:
        metadata["tokenizer.chat_template"] = conventions.chat_template
    return metadata
