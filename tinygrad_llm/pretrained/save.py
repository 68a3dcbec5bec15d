"""The one exit of models to other programs' directories: ``save_pretrained``."""

import os
from pathlib import Path

from tinygrad_llm.model import GPT, Model
from tinygrad_llm.pretrained.gpt2 import save_model
from tinygrad_llm.pretrained.llama import save_llama
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.conventions import bos_and_eos


def save_pretrained(
    model: Model,
    tokenizer: Tokenizer | None,
    directory: str | os.PathLike,
    dtype: str = "f32",
) -> None:
    """Write a model (float32) and its tokenizer as transformers' Auto classes open them.

    ``directory`` is created if need be; other files in it stay. ``dtype`` is what the weights are
    stored as: "f32", "f16" or "bf16". The chat template is part of the tokenizer.

    Raises UserError for a model or tokenizer that Hugging Face's files cannot describe, and for a
    weight that is too large for ``dtype``; OSError if the disk is full; ValueError for parameters
    that are not float32.
    """
    bos: int | None = None
    eos: int | list[int] | None = None
    if tokenizer is not None:
        bos, eos = bos_and_eos(tokenizer.conventions, tokenizer.special_tokens)
        if len(tokenizer.stop_ids) > 1:  # any of them ends an answer
            eos = list(tokenizer.stop_ids)
    if isinstance(model, GPT):
        save_model(model, directory, bos, eos, dtype)
    else:
        save_llama(model, directory, bos, eos, dtype)
    if tokenizer is not None:
        tokenizer.save(Path(directory), model_max_length=model.config.block_size)
