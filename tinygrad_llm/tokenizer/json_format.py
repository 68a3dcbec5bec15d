"""tokenizer.json: a tokenizer as the Hugging Face libraries store it.

This module writes it and ``json_reader.py`` reads it. Both work on a ``Vocabulary``, which is plain
data; ``base.py`` builds the Tokenizer. What is said here is about byte-level BPE; the steps of a
SentencePiece tokenizer are in ``json_sentencepiece_writer.py``.

The file spells every byte as one printable letter (GPT-2's table: a space is "Ġ"), lists the
merges as pairs of such strings, and describes the splitting as a Split by our regular expression
followed by a ByteLevel step that only spells. Special tokens are in the vocabulary too, which
keeps their ids where the vocabulary has gaps. ``tokenizer_config.json`` names the class: without
it transformers guesses one from the model's type, with that class's own splitting.

One difference is by design. The tokenizers library turns the name of a special token inside a text
into the token, unless its ``encode_special_tokens`` is set; here that takes ``allowed_special``.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import patterns
from tinygrad_llm.tokenizer.json_sentencepiece_writer import sentencepiece_steps
from tinygrad_llm.tokenizer.special import END_OF_TEXT
from tinygrad_llm.tokenizer.vocabulary import Conventions, SentencePieceVocabulary, Vocabulary

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"


def byte_letters() -> list[str]:
    """The letter of each byte: its own in Latin-1 if printable, otherwise from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


LETTERS = byte_letters()
BYTES = {letter: b for b, letter in enumerate(LETTERS)}


def spell(token: bytes) -> str:
    """A token's bytes as letters."""
    return "".join(LETTERS[b] for b in token)


def write_files(
    vocabulary: Vocabulary | SentencePieceVocabulary,
    conventions: Conventions,
    directory: Path,
    model_max_length: int | None = None,
) -> None:
    """Write tokenizer.json and tokenizer_config.json into `directory`, made if need be.

    model_max_length: tokens a model can take, for the config file. Both files are complete before
    either gets its name. Raises UserError if they cannot be written, and for a vocabulary or
    pattern that the format cannot hold.
    """
    contents = {
        CONFIG_FILE: _config(vocabulary, conventions, model_max_length),
        TOKENIZER_FILE: _description(vocabulary, conventions),
    }
    partial = {name: directory / f".partial-{os.getpid()}-{name}" for name in contents}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            partial[name].unlink(missing_ok=True)
            # a new file, never one that a link points to
            with open(partial[name], "x", encoding="utf-8", newline="\n") as file:
                json.dump(content, file, ensure_ascii=False, indent=2)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
        for name in contents:
            os.replace(partial[name], directory / name)
    except OSError as error:
        raise UserError(f"cannot save the tokenizer to {directory}: {error.strerror}") from error
    finally:
        for path in partial.values():
            with suppress(OSError):
                path.unlink()


def _config(
    vocabulary: Vocabulary | SentencePieceVocabulary,
    conventions: Conventions,
    model_max_length: int | None,
) -> dict[str, Any]:
    """The content of tokenizer_config.json."""
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if conventions != Conventions():
        config |= conventions.template_variables
        if conventions.chat_template is not None:
            config["chat_template"] = conventions.chat_template
    elif END_OF_TEXT in vocabulary.special_tokens:
        config |= dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT)
    if model_max_length is not None:
        config["model_max_length"] = model_max_length
    # Otherwise transformers drops spaces before punctuation when it decodes.
    return config | {"clean_up_tokenization_spaces": False}


def _description(
    vocabulary: Vocabulary | SentencePieceVocabulary, conventions: Conventions
) -> dict[str, Any]:
    """The content of tokenizer.json."""
    added = _in_order_of_ids({**vocabulary.special_tokens, **vocabulary.user_tokens})
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    if isinstance(vocabulary, Vocabulary):
        steps = _byte_level_steps(vocabulary)
    else:
        steps = sentencepiece_steps(vocabulary)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": name, **flags, "special": name in vocabulary.special_tokens}
            for name, i in added.items()
        ],
        "normalizer": steps["normalizer"],
        "pre_tokenizer": steps["pre_tokenizer"],
        "post_processor": _around(added, conventions),
        "decoder": steps["decoder"],
        "model": steps["model"],
    }


def _byte_level_steps(vocabulary: Vocabulary) -> dict[str, Any]:
    """The entries normalizer, pre_tokenizer, decoder and model."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    split = {
        "type": "Split",
        "pattern": {"Regex": vocabulary.pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    return {
        "normalizer": {"type": "NFC"} if vocabulary.nfc else None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [split, byte_level | {"use_regex": False}],
        },
        "decoder": byte_level | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": vocabulary.whole_chunks,
            "vocab": _vocab_table(vocabulary),
            "merges": [[spell(left), spell(right)] for left, right in vocabulary.merges or ()],
        },
    }


def _around(added: Mapping[str, int], conventions: Conventions) -> dict[str, Any] | None:
    """The post_processor: what is added before and after every text.

    Raises UserError for a token that is not one of the added ones.
    """
    prefix, suffix = conventions.prefix_ids, conventions.suffix_ids
    if not prefix and not suffix:
        return None
    names = {i: name for name, i in added.items()}
    if ordinary := [i for i in prefix + suffix if i not in names]:
        raise UserError(
            f"the tokenizer adds the id {ordinary[0]} to every text, which is no special token: "
            "tokenizer.json cannot say that"
        )
    text = [[{"Sequence": {"id": side, "type_id": 0}}] for side in "AB"]
    before, after = (
        [{"SpecialToken": {"id": names[i], "type_id": 0}} for i in ids] for ids in (prefix, suffix)
    )
    return {
        "type": "TemplateProcessing",
        "single": before + text[0] + after,
        "pair": before + text[0] + after + before + text[1] + after,
        "special_tokens": {
            names[i]: {"id": names[i], "ids": [i], "tokens": [names[i]]} for i in prefix + suffix
        },
    }


def _vocab_table(vocabulary: Vocabulary) -> dict[str, int]:
    """All tokens as the file spells them, in the order of ids.

    Raises UserError for what the file could not hold without changing it.
    """
    if not patterns.is_portable(vocabulary.pattern):
        raise UserError(
            f"the split pattern {vocabulary.pattern!r} uses a possessive quantifier, ^ or $, which "
            "the tokenizers library reads differently; the ids of a saved tokenizer would differ"
        )
    ordinary = {spell(token): i for token, i in vocabulary.ranks.items()}
    added = {**vocabulary.special_tokens, **vocabulary.user_tokens}
    if clash := ordinary.keys() & added.keys():
        raise UserError(f"the special token {min(clash)!r} is spelled like an ordinary token")
    for name in added:
        if not name.isascii() and BYTES.keys() >= {*name}:
            raise UserError(
                f"the special token {name!r} consists of letters that spell bytes in the file, so "
                "the tokenizers library would decode it to other text; use a name in ASCII"
            )
    return _in_order_of_ids({**ordinary, **added})


def _in_order_of_ids(ids: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(ids.items(), key=lambda item: item[1]))
