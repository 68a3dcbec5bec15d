"""GPT-2 as a Hugging Face directory: config.json and safetensors, opened by transformers.

Tensors have the names of our parameters, prefixed by "transformer.". Two differences remain. OpenAI
wrote its linear layers as Conv1D, whose weight is (in, out): ours, (out, in) as in PyTorch's
Linear, are transposed on the way. And the output layer, lm_head, is the token table itself, which
is stored once.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.config import GPTConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import Number, Whole, read_json, short
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.pretrained.directory import (
    CONFIG,
    SCORE,
    check_config_exists,
    float32_arrays,
    write_model,
)
from tinygrad_llm.pretrained.fill import fill
from tinygrad_llm.pretrained.weights import (
    Reader,
    RowsSource,
    check_tensor,
    check_tied,
    stored_tensors,
)

PREFIX = "transformer."
TABLE, POSITIONS, HEAD = "wte.weight", "wpe.weight", "lm_head.weight"
CONV1D = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
BUFFERS = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")
"""Causal masks in old files; nothing in them is learned."""

_SIZE = Whole(1, 10**15)
CONFIG_SCHEMA = {
    "model_type": "gpt2",
    "vocab_size": _SIZE,
    "n_positions": _SIZE,
    "n_embd": _SIZE,
    "n_layer": _SIZE,
    "n_head": _SIZE,
    "n_inner?": (_SIZE, None),
    "resid_pdrop?": Number(0),
    "layer_norm_epsilon?": Number(0),
    # These would change the mathematics; the values here are the ones we compute.
    "activation_function?": ("gelu_new", "gelu_pytorch_tanh"),
    "scale_attn_weights?": True,
    "scale_attn_by_inverse_layer_idx?": False,
    "add_cross_attention?": False,
    "tie_word_embeddings?": True,
    ...: object,
}
"""Hugging Face's config of a GPT-2, as far as we use it (see json_file.py)."""


def save_model(
    model: GPT,
    directory: str | os.PathLike,
    bos_token_id: int | None = None,
    eos_token_id: int | list[int] | None = None,
    dtype: str = "f32",
) -> None:
    """Write ``model`` (float32) into ``directory``, which is created if need be.

    ``dtype`` is what the weights are stored as: "f32", "f16" or "bf16". Each file is written under
    another name, synced and renamed; other files in the directory stay.
    ``eos_token_id`` is the id of the end of text, ``bos_token_id`` that of its beginning: GPT-2 has
    one for both. Raises OSError if the disk is full, and ValueError for parameters of another type.
    """
    write_model(Path(directory), *to_files(model, bos_token_id, eos_token_id), dtype)


def to_files(
    model: GPT, bos_token_id: int | None = None, eos_token_id: int | list[int] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors of ``model`` (float32), by the file's names, and the content of config.json.

    Raises ValueError for parameters of another type.
    """
    tensors = {
        PREFIX + name: value.T if name.endswith(CONV1D) else value
        for name, value in float32_arrays(model).items()
    }
    return tensors, _to_hugging_face(model.config, bos_token_id, eos_token_id)


def _to_hugging_face(
    config: GPTConfig, bos_token_id: int | None, eos_token_id: int | list[int] | None
) -> dict[str, Any]:
    """The content of config.json."""
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_positions": config.block_size,
        "n_ctx": config.block_size,
        "n_embd": config.n_embd,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_inner": None,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "embd_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "attn_pdrop": 0.0,
        "initializer_range": 0.02,
        "scale_attn_weights": True,
        "tie_word_embeddings": True,
        "bos_token_id": bos_token_id,
        "eos_token_id": eos_token_id,
    }


def load_model(
    directory: str | os.PathLike,
    seed: int = 0,
    finite: bool = True,
    dtype: str = "float32",
    weights: str = "float32",
    classifier: bool = False,
) -> GPT:
    """The GPT in a directory written by ``save_model``, by transformers or by OpenAI.

    Its tensors may be F64, F32, F16 or BF16, in one file or several, and become ``dtype``,
    "float32" or "float64". ``weights`` may also be "int8", or "as-stored": then matrices of F32,
    F16 or BF16 stay in the mapped file, apart from Conv1D's, which are copied. Tensor names may
    lack the "transformer." prefix. Dropout becomes the config's resid_pdrop; attn_pdrop, dropout of
    the attention weights, has no counterpart here. ``seed`` is that of the dropout masks. The model
    is in evaluation mode, as in transformers: call ``.train()`` to train. Of a ``classifier``
    everything but its output layer is read.

    Raises UserError, naming the file and the option or tensor, for files that are missing,
    truncated or of another model, and, unless ``finite`` is False, for weights that are NaN or
    infinite. Nothing of the model's size is allocated before the config, all headers and the
    lengths of the files agree.
    """
    directory = Path(directory)
    config = read_config(directory / CONFIG)
    stored = stored_tensors(directory)
    if classifier:
        stored.pop(SCORE, None)
    names = _stored_names(stored, directory)
    expected = set()
    for name, shape in expected_shapes(config):  # ends at the first that does not fit
        check_tensor(stored, names.get(name), shape, directory, known_as=name)
        expected.add(name)
    for name in names:
        if name not in expected and name != HEAD:
            tensor = stored[names[name]]
            raise UserError(
                f"{tensor.path} has a tensor {short(names[name])}, which a GPT-2 of "
                f"{config.n_layer} layers does not have: it does not belong to the {CONFIG} next "
                "to it"
            )
    model = GPT(config, seed=seed, initialize=False)
    with closing(Reader()) as reader:
        sources = {}
        for name, _ in model.named_parameters():
            key, conv1d = names[name], name.endswith(CONV1D)
            sources[name] = RowsSource(reader, key, stored[key], slice(None), finite, conv1d)
        fill(model, sources, dtype, weights)
        if HEAD in names:
            reason = "this model uses one table for both: its output weights are not tied"
            check_tied(reader, stored, names[TABLE], names[HEAD], reason)
    return model.eval()


def _stored_names(keys: Iterable[str], directory: Path) -> dict[str, str]:
    """Our name -> the file's, without the buffers."""
    names: dict[str, str] = {}
    for key in keys:
        name = key.removeprefix(PREFIX)
        if BUFFERS.fullmatch(name):
            continue
        if name in names:
            raise UserError(
                f"{directory} has both {names[name]} and {key}: it is of no known layout"
            )
        names[name] = key
    return names


def expected_shapes(config: GPTConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Pairs (name, shape in the file), in our order.

    A generator, since n_layer comes from an untrusted file.
    """
    C = config.n_embd
    yield "wte.weight", (config.vocab_size, C)
    yield "wpe.weight", (config.block_size, C)
    for i in range(config.n_layer):
        for name, shape in (
            ("ln_1.weight", (C,)), ("ln_1.bias", (C,)),
            ("attn.c_attn.weight", (C, 3 * C)), ("attn.c_attn.bias", (3 * C,)),
            ("attn.c_proj.weight", (C, C)), ("attn.c_proj.bias", (C,)),
            ("ln_2.weight", (C,)), ("ln_2.bias", (C,)),
            ("mlp.c_fc.weight", (C, 4 * C)), ("mlp.c_fc.bias", (4 * C,)),
            ("mlp.c_proj.weight", (4 * C, C)), ("mlp.c_proj.bias", (C,)),
        ):  # fmt: skip
            yield f"h.{i}.{name}", shape
    yield "ln_f.weight", (C,)
    yield "ln_f.bias", (C,)


def read_config(path: str | os.PathLike) -> GPTConfig:
    """The GPTConfig of a Hugging Face GPT-2's config.json.

    Raises UserError for a file that is missing or not such a config, and for options with which it
    would compute something other than our GPT.
    """
    path = Path(path)
    check_config_exists(path)
    options = read_json(path, CONFIG_SCHEMA)
    width = options["n_embd"]
    if options.get("n_inner") not in (None, 4 * width):
        raise UserError(
            f"{path}: n_inner is {options['n_inner']}, but must be 4 n_embd = {4 * width} for our "
            "GPT"
        )
    sizes = ("vocab_size", "n_layer", "n_head", "n_embd")
    values = {name: options[name] for name in sizes}
    values["block_size"] = options["n_positions"]
    values["dropout"] = float(options.get("resid_pdrop", 0.1))
    values["layer_norm_epsilon"] = float(options.get("layer_norm_epsilon", 1e-5))
    try:
        return GPTConfig(**values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
