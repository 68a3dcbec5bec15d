"""A model and its tokenizer as a GGUF file, which llama.cpp runs: ``save_gguf``.

The names are those of ``gguf_names.py`` and ``gguf_gpt2.py``, which read them. Before a byte is
written, the reader is asked for the config that it would find in the file; a model that has options
for which its architecture has no place is refused.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.config import GPTConfig, LlamaConfig, ModelConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.model import GPT, Llama, Model
from tinygrad_llm.model.rotary import frequencies
from tinygrad_llm.pretrained import gguf_gpt2
from tinygrad_llm.pretrained.directory import float32_arrays
from tinygrad_llm.pretrained.encode import DTYPES
from tinygrad_llm.pretrained.gguf_names import (
    FREQUENCIES,
    gguf_name,
    permute,
    read_options,
)
from tinygrad_llm.pretrained.gguf_writer import Draft, DraftTensor, write_gguf
from tinygrad_llm.pretrained.llama import layout
from tinygrad_llm.pretrained.llama_config import from_options
from tinygrad_llm.pretrained.llama_config_writer import to_options
from tinygrad_llm.quantized.blocks import FORMATS
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.to_lists import tokenizer_metadata

ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3_text": "gemma3"}
"""Hugging Face's model_type -> GGUF's architecture."""
FILE_TYPES = {"f32": 0, "f16": 1, "q8_0": 7, "bf16": 32}
"""GGUF's general.file_type."""

Arrays = dict[str, tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]]
"""GGUF's name of a tensor -> a parameter of ours, and what is done to it."""


def save_gguf(
    model: Model,
    tokenizer: Tokenizer,
    path: str | os.PathLike,
    dtype: str = "f32",
    name: str | None = None,
    licence: str | None = None,
) -> None:
    """Write a model (float32) and its tokenizer as a GGUF file, which appears whole or not at all.

    ``dtype`` is what the matrices are stored as: "f32", "f16", "bf16" or "q8_0". Vectors, such as
    the weights of normalization, and GPT-2's table of positions stay float32; a matrix whose rows
    cannot be divided into blocks becomes F16, and a warning names it. ``name`` is the model's, by
    default the file's; ``licence``, such as "apache-2.0", is written if it is known.

    Raises UserError for a model or tokenizer that llama.cpp does not have, and for a weight that is
    too large for ``dtype``; OSError if the disk is full; ValueError for parameters that are not
    float32.
    """
    if dtype not in DTYPES:
        raise UserError(f"dtype is {dtype!r}, but must be one of {', '.join(DTYPES)}")
    path = Path(path)
    metadata, arrays = _gpt2(model) if isinstance(model, GPT) else _llama(model)
    kind = metadata["general.architecture"]
    start = {
        "general.architecture": kind,
        "general.type": "model",
        "general.name": name or path.stem,
        "general.file_type": FILE_TYPES[dtype],
    }
    if licence is not None:
        start["general.license"] = licence
    if dtype == "q8_0":
        start["general.quantization_version"] = 2
    metadata = start | metadata | tokenizer_metadata(tokenizer, model.config.vocab_size)
    drafts = {
        name: DraftTensor(array.shape, _format(name, array.shape, dtype), partial(change, array))
        for name, (array, change) in arrays.items()
    }
    draft = Draft(path, metadata, drafts)
    _check_config(model.config, draft)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(draft)


def _format(name: str, shape: tuple[int, ...], dtype: str) -> str:
    """The format of a tensor, by llama.cpp's rules."""
    if len(shape) == 1 or name == "position_embd.weight":
        return "F32"
    size = FORMATS[DTYPES[dtype]].size
    if shape[-1] % size:
        warnings.warn(
            f"{name} is stored as F16: its rows have {shape[-1]:,} weights, and {DTYPES[dtype]} "
            f"needs a multiple of {size}",
            stacklevel=2,
        )
        return "F16"
    return DTYPES[dtype]


def _check_config(config: ModelConfig, draft: Draft) -> None:
    """Raise UserError unless the reader finds this config in the file."""
    found: ModelConfig
    if isinstance(config, GPTConfig):
        found = replace(gguf_gpt2.read_config(draft), dropout=config.dropout)
    else:
        found = from_options(read_options(draft))
    names = [field.name for field in fields(config)]
    lost = [f"{n} = {getattr(config, n)}" for n in names if getattr(config, n) != getattr(found, n)]
    if lost:
        kind = draft.metadata["general.architecture"]
        raise UserError(
            f"the architecture {kind} of GGUF has no place for {', '.join(lost)}: export as "
            "safetensors"
        )


# --- the two families -----------------------------------------------------------------------------


def _same(weights: np.ndarray) -> np.ndarray:
    return weights


def _add_one(weights: np.ndarray) -> np.ndarray:
    """Gemma's norms are stored as the factor that is multiplied with."""
    return 1 + weights


def _gpt2(model: GPT) -> tuple[dict[str, Any], Arrays]:
    config = model.config
    facts = {
        "context_length": config.block_size,
        "embedding_length": config.n_embd,
        "feed_forward_length": 4 * config.n_embd,
        "block_count": config.n_layer,
        "attention.head_count": config.n_head,
        "attention.layer_norm_epsilon": config.layer_norm_epsilon,
    }
    metadata: dict[str, Any] = {"general.architecture": "gpt2"}
    metadata |= {f"gpt2.{key}": value for key, value in facts.items()}
    arrays = float32_arrays(model).items()
    return metadata, {gguf_gpt2.gguf_name(name): (array, _same) for name, array in arrays}


def _llama(model: Llama) -> tuple[dict[str, Any], Arrays]:
    config = model.config
    model_type = to_options(config)["model_type"]
    if model_type not in ARCHITECTURES:
        raise UserError(
            f"a model of type {model_type} cannot be exported as GGUF: possible are gpt2, "
            f"{', '.join(ARCHITECTURES)}; export as safetensors"
        )
    kind = ARCHITECTURES[model_type]
    facts = _facts(config, kind)
    scaling = config.rope_scaling or {"rope_type": "default"}
    parameters = float32_arrays(model)
    arrays: Arrays = {}
    if scaling["rope_type"] == "llama3":
        theta, head_dim = config.rope_theta, config.head_dim
        divisors = frequencies(head_dim, theta)[0] / frequencies(head_dim, theta, scaling)[0]
        arrays[FREQUENCIES] = divisors.astype(np.float32), _same
    elif scaling["rope_type"] != "default":
        facts["rope.scaling.type"] = scaling["rope_type"]
        facts["rope.scaling.factor"] = float(scaling["factor"])
        if "original_max_position_embeddings" in scaling:
            longest = int(scaling["original_max_position_embeddings"])
            facts["rope.scaling.original_context_length"] = longest
    changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    if kind == "llama":
        changes = {
            ".attn_q.": partial(permute, n_head=config.n_head),
            ".attn_k.": partial(permute, n_head=config.n_kv_head),
        }
    if config.norm_offset:
        changes["norm.weight"] = _add_one
    for name, (part,) in layout(config, model_type).items():
        theirs = gguf_name(name, kind)
        change = next((changes[key] for key in changes if key in theirs), _same)
        arrays[theirs] = parameters[part.name], change
    metadata: dict[str, Any] = {"general.architecture": kind}
    return metadata | {f"{kind}.{key}": value for key, value in facts.items()}, arrays


def _facts(config: LlamaConfig, kind: str) -> dict[str, Any]:
    """The sizes and options, but for the scaling of rotary frequencies."""
    facts: dict[str, Any] = {
        "block_count": config.n_layer,
        "context_length": config.block_size,
        "embedding_length": config.n_embd,
        "feed_forward_length": config.n_hidden,
        "attention.head_count": config.n_head,
        "attention.head_count_kv": config.n_kv_head,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "attention.layer_norm_rms_epsilon": config.norm_eps,
        "rope.dimension_count": config.n_turned,
        "rope.freq_base": config.rope_theta,
        "vocab_size": config.vocab_size,
    }
    if kind == "gemma3":
        slides = [config.window(layer) is not None for layer in range(config.n_layer)]
        facts["attention.sliding_window"] = config.sliding_window
        facts["rope.freq_base_swa"] = config.rope_theta_sliding
        if False in slides and slides.index(False) != 5:
            facts["attention.sliding_window_pattern"] = slides.index(False) + 1
        if config.logit_softcap is not None:
            facts["final_logit_softcapping"] = config.logit_softcap
    return facts
