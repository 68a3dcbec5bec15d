"""The one exit of models to other programs' directories: ``save_pretrained``."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.model import GPT, Model
from tinygrad_llm.pretrained import gpt2, llama
from tinygrad_llm.pretrained.directory import write_model
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.conventions import bos_and_eos


def save_pretrained(
    model: Model,
    tokenizer: Tokenizer | None,
    directory: str | os.PathLike,
    dtype: str = "float32",
) -> None:
    """Write a model (float32) and its tokenizer as transformers' Auto classes open them.

    ``directory`` is created if need be; other files in it stay. ``dtype`` is what the weights are
    stored as: "float32", "float16" or "bfloat16" (or "f32", "f16", "bf16"). The chat template is
    part of the tokenizer.

    Raises UserError for a model or tokenizer that Hugging Face's files cannot describe, and for a
    weight that is too large for ``dtype``; OSError if the disk is full; ValueError for parameters
    that are not float32.
    """
    write_model(Path(directory), *to_files(model, tokenizer), dtype)
    if tokenizer is not None:
        tokenizer.save(Path(directory), model_max_length=model.config.block_size)


def to_files(
    model: Model, tokenizer: Tokenizer | None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors of a model (float32), by the file's names, and the content of config.json."""
    bos: int | None = None
    eos: int | list[int] | None = None
    if tokenizer is not None:
        bos, eos = bos_and_eos(tokenizer.conventions, tokenizer.special_tokens)
        if len(tokenizer.stop_ids) > 1:  # any of them ends an answer
            eos = list(tokenizer.stop_ids)
    kind = gpt2 if isinstance(model, GPT) else llama
    return kind.to_files(model, bos, eos)
