"""The one entrance to models that others have trained, and to our own: ``load_pretrained``."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import short
from tinygrad_llm.model import Model
from tinygrad_llm.pretrained import gpt2
from tinygrad_llm.pretrained.directory import CONFIG, is_classifier
from tinygrad_llm.pretrained.gguf_file import GGUFFile, read_gguf
from tinygrad_llm.pretrained.gguf_model import load_gguf
from tinygrad_llm.pretrained.gguf_tokenizer import forget_lists, read_tokenizer
from tinygrad_llm.pretrained.llama import load_llama
from tinygrad_llm.pretrained.llama_config import MODEL_TYPES, read_model_type
from tinygrad_llm.pretrained.names import find_model
from tinygrad_llm.tokenizer import Tokenizer

DTYPES = ("float32", "float64")
WEIGHTS = ("float32", "int8", "as-stored")


def load_pretrained(
    path_or_name: str | os.PathLike, dtype: str = "float32", weights: str = "float32"
) -> tuple[Model, Tokenizer | None]:
    """(model, tokenizer) of a model that is on disk, or that a name means.

    ``path_or_name`` is one of

        a model directory       Hugging Face's files of a GPT-2 or of a model of the Llama family
        a GGUF file             of the architectures gpt2, llama, qwen2, qwen3 and gemma3
        a run or a checkpoint   what ``train`` has written; a run's best checkpoint is taken
        a name                  such as gpt2 or smollm2-135m-instruct, see names.py: the files are
                                downloaded when they are first needed
        owner/name              a model on the Hugging Face hub, with huggingface_hub installed

    ``dtype`` is "float32", or "float64" for comparisons. ``weights`` says how the matrices are
    stored in memory: as numbers of ``dtype`` ("float32"), rounded to 8 bits with a scale for each
    row ("int8"), or as in the file ("as-stored"). The model is in evaluation mode. Where there are
    no tokenizer files, tokenizer is None. ``tokenizer.stop_ids`` are the ids at which an answer
    ends.

    Raises UserError for a name that is not known, for files that are missing, damaged or do not
    belong together, for a download that fails, and for a model or tokenizer that is not supported.
    """
    if dtype not in DTYPES:
        raise UserError(f"dtype is {dtype!r}, but must be {' or '.join(DTYPES)}")
    if weights not in WEIGHTS:
        raise UserError(f"weights is {weights!r}, but must be {', '.join(WEIGHTS)}")
    if weights != "float32" and dtype != "float32":
        raise UserError(f"{weights} weights are multiplied in float32: dtype must be float32")
    return _load(find_model(path_or_name), dtype=dtype, weights=weights)


def load_stored(path: Path | GGUFFile) -> tuple[Model, Tokenizer | None]:
    """The model and the tokenizer of a model directory or a GGUF file (or an open one), to look at.

    Its matrices stay in the files, and numbers may be NaN or infinite: they are not read.
    """
    return _load(path, weights="as-stored", finite=False)


def _load(path: Path | GGUFFile, **options: Any) -> tuple[Model, Tokenizer | None]:
    """The tokenizer comes first: what it takes to build is free again when the weights come."""
    if isinstance(path, Path) and path.is_dir():
        tokenizer, model = _load_tokenizer(path), _load_model(path, **options)
    else:
        file = path if isinstance(path, GGUFFile) else read_gguf(path)
        tokenizer = read_tokenizer(file)
        forget_lists(file)
        model, path = load_gguf(file, **options), file.path
    if tokenizer is not None:
        check_ids(tokenizer, model.config.vocab_size, path)
    return model, tokenizer


def _load_model(directory: Path, **options: Any) -> Model:
    model_type = read_model_type(directory / CONFIG)
    if is_classifier(directory):
        raise UserError(
            f"{directory} is a classifier or a reward model, which has no next token "
            "(`tinygrad-llm classify` uses a classifier)"
        )
    if model_type == "gpt2":
        return gpt2.load_model(directory, **options)
    if model_type in MODEL_TYPES:
        return load_llama(directory, **options)
    raise UserError(
        f"{directory / CONFIG}: model_type {short(model_type)} is not supported: supported are "
        f"{', '.join(('gpt2', *MODEL_TYPES))}"
    )


def _load_tokenizer(directory: Path) -> Tokenizer | None:
    try:
        return Tokenizer.load(directory)
    except FileNotFoundError:
        return None


def check_ids(tokenizer: Tokenizer, vocab_size: int, path: Path) -> None:
    """Raise UserError if text can have ids that are outside the model's vocabulary.

    Special tokens may: Gemma 3's tokenizer has one for images, which its text models lack.
    """
    largest = int(np.flatnonzero(tokenizer.token_bytes())[-1])
    if largest >= vocab_size:
        raise UserError(
            f"the tokenizer in {path} has ids up to {largest}, but the model's vocabulary has "
            f"{vocab_size} ids: they do not belong together"
        )
