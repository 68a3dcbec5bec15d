"""The Llama family as a Hugging Face directory: config.json and safetensors, of one file or more.

Our parameters have Hugging Face's names without the prefix "model.", with two exceptions. A Llama's
post_attention_layernorm stands before the feed-forward layer, and Gemma's after attention; we name
both as Gemma does. And Phi-3 stores the projections to queries, keys and values as one tensor, and
those to gate and up as another: they are split into rows here.
"""

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import short
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.pretrained.directory import CONFIG, SCORE, float32_arrays, write_model
from tinygrad_llm.pretrained.fill import fill
from tinygrad_llm.pretrained.llama_config import Options, read_config
from tinygrad_llm.pretrained.llama_config_writer import to_options
from tinygrad_llm.pretrained.weights import (
    Reader,
    RowsSource,
    StoredTensor,
    check_tensor,
    check_tied,
    stored_tensors,
)

HEAD, TABLE = "lm_head.weight", "model.embed_tokens.weight"
BUFFER = "rotary_emb.inv_freq"
"""Rotary frequencies in old files; they follow from the config."""


class Part(NamedTuple):
    """A parameter of ours that is a tensor of the file, or some rows of one."""

    name: str
    shape: tuple[int, ...]


def layout(config: LlamaConfig, model_type: str) -> dict[str, list[Part]]:
    """The file's name of every tensor -> the parameters that it holds, one below the other."""
    C, M, D = config.n_embd, config.n_hidden, config.head_dim
    queries, keys = config.n_head * D, config.n_kv_head * D
    fused = model_type == "phi3"
    before, after = config.norm_placement != "after", config.norm_placement != "before"
    tensors: dict[str, list[Part]] = {}

    def add(name: str, *shape: int) -> None:
        tensors[f"model.{name}"] = [Part(name, shape)]

    def add_linear(module: str, n_out: int, n_in: int, bias: bool) -> None:
        add(f"{module}.weight", n_out, n_in)
        if bias:
            add(f"{module}.bias", n_out)

    def fuse(whole: str, *modules: str) -> None:
        for kind in ("weight", "bias"):
            parts = [tensors.pop(f"model.{module}.{kind}", []) for module in modules]
            if any(parts):
                tensors[f"model.{whole}.{kind}"] = [part for one in parts for part in one]

    add("embed_tokens.weight", config.vocab_size, C)
    for i in range(config.n_layer):
        block, attention, mlp = f"layers.{i}", f"layers.{i}.self_attn", f"layers.{i}.mlp"
        add_linear(f"{attention}.q_proj", queries, C, config.qkv_bias)
        add_linear(f"{attention}.k_proj", keys, C, config.qkv_bias)
        add_linear(f"{attention}.v_proj", keys, C, config.qkv_bias)
        add_linear(f"{attention}.o_proj", C, queries, config.out_bias)
        if config.qk_norm != "none":
            add(f"{attention}.q_norm.weight", D if config.qk_norm == "head" else queries)
            add(f"{attention}.k_norm.weight", D if config.qk_norm == "head" else keys)
        add_linear(f"{mlp}.gate_proj", M, C, config.mlp_bias)
        add_linear(f"{mlp}.up_proj", M, C, config.mlp_bias)
        add_linear(f"{mlp}.down_proj", C, M, config.mlp_bias)
        if before:
            add(f"{block}.input_layernorm.weight", C)
        if after:
            add(f"{block}.post_attention_layernorm.weight", C)
            add(f"{block}.post_feedforward_layernorm.weight", C)
        if before:
            ours = f"{block}.pre_feedforward_layernorm.weight"
            theirs = ours if after else f"{block}.post_attention_layernorm.weight"
            tensors[f"model.{theirs}"] = [Part(ours, (C,))]
        if fused:
            names = [f"{attention}.{letter}_proj" for letter in "qkv"]
            fuse(f"{attention}.qkv_proj", *names)
            fuse(f"{mlp}.gate_up_proj", f"{mlp}.gate_proj", f"{mlp}.up_proj")
    add("norm.weight", C)
    if not config.tied:
        tensors[HEAD] = [Part(HEAD, (config.vocab_size, C))]
    return tensors


def _shape(parts: list[Part]) -> tuple[int, ...]:
    """The shape of a tensor that holds these parameters one below the other."""
    return sum(part.shape[0] for part in parts), *parts[0].shape[1:]


def load_llama(
    directory: str | os.PathLike,
    dtype: str = "float32",
    seed: int = 0,
    finite: bool = True,
    weights: str = "float32",
    classifier: bool = False,
) -> Llama:
    """The model in a directory written by ``save_llama`` or by transformers, in evaluation mode.

    Its tensors may be F64, F32, F16 or BF16, and become ``dtype``, "float32" or "float64". With
    ``weights="int8"`` each matrix is then quantized. With "as-stored" the matrices of F32, F16 and
    BF16 stay in the mapped files. Of a ``classifier`` everything but its output layer is read.

    Raises UserError, naming the file and the option or tensor, for files that are missing, damaged
    or of another model, and, unless ``finite`` is False, for weights that are NaN or infinite.
    Nothing of the model's size is allocated before the config, all headers and the lengths of the
    files agree.
    """
    directory = Path(directory)
    model_type, config = read_config(directory / CONFIG)
    stored = stored_tensors(directory)
    if classifier:
        stored.pop(SCORE, None)
        config = replace(config, tied=True)
    expected = layout(config, model_type)
    _check_tensors(stored, expected, directory)
    model = Llama(config, seed=seed, initialize=False)
    with closing(Reader()) as reader:
        sources = {}
        for name, parts in expected.items():
            row = 0
            for part in parts:
                rows = slice(row, row + part.shape[0])
                sources[part.name] = RowsSource(reader, name, stored[name], rows, finite)
                row = rows.stop
        fill(model, sources, dtype, weights)
        if config.tied and HEAD in stored:
            reason = f"the {CONFIG} next to it says that they are one (tie_word_embeddings)"
            check_tied(reader, stored, TABLE, HEAD, reason)
    return model.eval()


def _check_tensors(
    stored: dict[str, StoredTensor], expected: dict[str, list[Part]], directory: Path
) -> None:
    """Raise UserError unless the files have just these tensors, with these shapes, of floats."""
    for name, parts in expected.items():
        check_tensor(stored, name, _shape(parts), directory)
    for name, tensor in stored.items():
        if name not in expected and name != HEAD and not name.endswith(BUFFER):
            raise UserError(
                f"{tensor.path} has a tensor {short(name)} of shape {tensor.shape}, which a model "
                f"of the {CONFIG} next to it does not have"
            )


def save_llama(
    model: Llama,
    directory: str | os.PathLike,
    bos_token_id: int | None = None,
    eos_token_id: int | list[int] | None = None,
    dtype: str = "f32",
) -> None:
    """Write ``model`` (float32) into ``directory``, which is created if need be.

    ``dtype`` is what the weights are stored as: "f32", "f16" or "bf16". As for ``save_model``, each
    file appears whole or not at all. Raises what ``to_files`` raises, and OSError if the disk is
    full.
    """
    write_model(Path(directory), *to_files(model, bos_token_id, eos_token_id), dtype)


def to_files(
    model: Llama, bos_token_id: int | None = None, eos_token_id: int | list[int] | None = None
) -> tuple[dict[str, np.ndarray], Options]:
    """The tensors of ``model`` (float32), by the file's names, and the content of config.json.

    The model_type is the first one that has the model's options, so a Mistral without a window is
    saved as a llama. Raises UserError if no model_type has these options, and ValueError for
    parameters of another type.
    """
    options = to_options(model.config)
    parameters = float32_arrays(model)
    tensors = {}
    for name, parts in layout(model.config, options["model_type"]).items():
        arrays = [parameters[part.name] for part in parts]
        tensors[name] = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    options |= {
        "bos_token_id": bos_token_id,
        "eos_token_id": eos_token_id,
        "pad_token_id": None,
        "initializer_range": 0.02,
    }
    return tensors, options
