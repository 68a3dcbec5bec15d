"""The tokenizer and chat template in the metadata of a GGUF file."""

from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import describe, short_reason
from tinygrad_llm.pretrained.gguf_file import GGUFFile
from tinygrad_llm.tokenizer import Tokenizer, tokenizer_from_lists

MODEL = "tokenizer.ggml.model"
NO_TOKENIZER = ("none", "no_vocab")  # how a file says that it has none

KEYS: dict[str, tuple[str, Any]] = {
    "tokens": ("tokenizer.ggml.tokens", [str]),
    "token_types": ("tokenizer.ggml.token_type", [int]),
    "scores": ("tokenizer.ggml.scores", [float]),
    "merges": ("tokenizer.ggml.merges", [str]),
    "pre": ("tokenizer.ggml.pre", str),
    "bos_id": ("tokenizer.ggml.bos_token_id", int),
    "eos_id": ("tokenizer.ggml.eos_token_id", int),
    "unknown_id": ("tokenizer.ggml.unknown_token_id", int),
    "add_bos": ("tokenizer.ggml.add_bos_token", bool),
    "add_eos": ("tokenizer.ggml.add_eos_token", bool),
    "add_space_prefix": ("tokenizer.ggml.add_space_prefix", bool),
    "chat_template": ("tokenizer.chat_template", str),
}
"""Argument of ``tokenizer_from_lists`` -> key of the metadata, and the kind of its value."""
STOPS = ("tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id")
"""What ends a turn, and what ends a message in the middle of one, apart from EOS."""


def read_tokenizer(file: GGUFFile) -> Tokenizer | None:
    """The tokenizer of a GGUF file, with its chat template; None if the file has none.

    Raises UserError for metadata that are missing or not what they should be, and for a tokenizer
    that is not supported.
    """
    model = _value(file, MODEL, str)
    if model is None or model in NO_TOKENIZER:
        return None
    found = {name: _value(file, key, kind) for name, (key, kind) in KEYS.items()}
    stops = [_value(file, key, int) for key in STOPS]
    if found["tokens"] is None:
        raise UserError(f"{file.path} has a tokenizer without tokens: download it again")
    try:
        return tokenizer_from_lists(
            model,
            stop_ids=[i for i in stops if i is not None],
            **{name: value for name, value in found.items() if value is not None},
        )
    except UserError as error:
        reason = short_reason(error)
        raise UserError(f"{file.path}: its tokenizer is refused: {reason}") from None


def forget_lists(file: GGUFFile) -> None:
    """Remove the lists that ``read_tokenizer`` reads: they may take more memory than a layer."""
    for key, kind in KEYS.values():
        if isinstance(kind, list):
            file.metadata.pop(key, None)


def _value(file: GGUFFile, key: str, kind: Any) -> Any:
    """A value of the metadata, an array as a list; None if there is none."""
    value = file.metadata.get(key)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if value is not None and not _fits(value, kind):
        expected = f"a list of {NAMES[kind[0]]}" if isinstance(kind, list) else describe(kind)
        raise UserError(f"{file.path}: {key} is not {expected}: download it again")
    return value


NAMES = {str: "texts", int: "whole numbers", float: "numbers"}


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, list):
        types = {int, float} if kind[0] is float else {kind[0]}
        return isinstance(value, list) and {*map(type, value)} <= types
    return type(value) is kind
