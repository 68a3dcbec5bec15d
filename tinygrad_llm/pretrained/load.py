"""The one entrance to models that others have trained: ``load_pretrained``."""

import os
from pathlib import Path

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path
from tinygrad_llm.files.json_file import short
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.pretrained import gpt2
from tinygrad_llm.pretrained.directory import CONFIG
from tinygrad_llm.pretrained.llama import load_llama
from tinygrad_llm.pretrained.llama_config import MODEL_TYPES, read_model_type
from tinygrad_llm.tokenizer import Tokenizer

DTYPES = ("float32", "float64")


def load_pretrained(
    path: str | os.PathLike, dtype: str = "float32"
) -> tuple[GPT | Llama, Tokenizer | None]:
    """(model, tokenizer) of a Hugging Face directory: GPT-2 or a model of the Llama family.

    ``dtype`` is "float32", or "float64" for comparisons. The model is in evaluation mode. Without
    tokenizer files in the directory, tokenizer is None.

    Raises UserError for a directory or files that are missing, damaged or do not belong together,
    and for a model or tokenizer that is not supported.
    """
    if dtype not in DTYPES:
        raise UserError(f"dtype is {dtype!r}, but must be {' or '.join(DTYPES)}")
    directory = user_path(path)
    if not directory.is_dir():
        raise UserError(f"there is no folder {directory}: expected a model directory")
    model = _load_model(directory, dtype)
    tokenizer = _load_tokenizer(directory)
    if tokenizer is not None:
        _check_ids(tokenizer, model.config.vocab_size, directory)
    return model, tokenizer


def _load_model(directory: Path, dtype: str) -> GPT | Llama:
    model_type = read_model_type(directory / CONFIG)
    if model_type == "gpt2":
        return gpt2.load_model(directory).astype(dtype)
    if model_type in MODEL_TYPES:
        return load_llama(directory, dtype)
    raise UserError(
        f"{directory / CONFIG}: model_type {short(model_type)} is not supported: supported are "
        f"{', '.join(('gpt2', *MODEL_TYPES))}"
    )


def _load_tokenizer(directory: Path) -> Tokenizer | None:
    try:
        return Tokenizer.load(directory)
    except FileNotFoundError:
        return None


def _check_ids(tokenizer: Tokenizer, vocab_size: int, directory: Path) -> None:
    """Raise UserError if text can have ids that are outside the model's vocabulary.

    Special tokens may: Gemma 3's tokenizer has one for images, which its text models lack.
    """
    largest = int(np.flatnonzero(tokenizer.token_bytes())[-1])
    if largest >= vocab_size:
        raise UserError(
            f"the tokenizer in {directory} has ids up to {largest}, but the model's vocabulary has "
            f"{vocab_size} ids: they do not belong together"
        )
