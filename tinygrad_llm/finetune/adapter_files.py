"""Adapters in the files of the library PEFT: adapter_config.json and adapter_model.safetensors.

PEFT names the tensors of a layer by its place in transformers' model:

    base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight           A (r, in)
    base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight           B (out, r)
    base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector   m (out,), DoRA alone

Both matrices have this orientation for GPT-2 as well, whose own weights are stored (in, out): the
option fan_in_fan_out says so.
"""

import os
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import write_atomically
from tinygrad_llm.files.json_file import short
from tinygrad_llm.finetune.adapters import (
    active_name,
    attach,
    check_new,
    layer_shape,
    linear_layers,
    lora_layers,
    set_adapter,
)
from tinygrad_llm.finetune.lora_layer import Adapter, LoraLinear
from tinygrad_llm.finetune.peft_config import CONFIG, AdapterConfig, config_text, ends, read_config
from tinygrad_llm.model.freezing import kinds
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.model.layers import Linear
from tinygrad_llm.model.module import Module
from tinygrad_llm.pretrained.tensor_file import write_tensors
from tinygrad_llm.pretrained.weights import FLOATS, Reader, StoredTensor, tensors_in

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
PARTS = {"lora_A.weight": "A", "lora_B.weight": "B", "lora_magnitude_vector": "magnitude"}
"""What follows a layer's name in the name of a tensor -> our Parameter of an Adapter."""

Layers = dict[str, dict[str, StoredTensor]]
"""Our name of a layer -> the name of a Parameter -> its tensor."""


def save_adapter(
    model: Module, folder: str | os.PathLike, name: str | None = None, base: str | None = None
) -> None:
    """Write an adapter of ``model`` as PEFT reads it, into ``folder``, created if need be.

    name: of the adapter; None means the active one. base: the name or path of the model that it
    belongs to, which PEFT's AutoPeftModel loads. Other files in the folder stay. The config is
    written last: if there is one, the tensors are complete.

    Raises UserError if there is no such adapter, and OSError if the disk is full.
    """
    folder = Path(folder)
    name = active_name(model) if name is None else name
    adapters: dict[str, Adapter] = {
        their_name(model, where): layer.adapters[name]
        for where, layer in lora_layers(model).items()
        if name in layer.adapters
    }
    if not adapters:
        raise UserError(f"the model has no adapter {name!r}")
    tensors = {
        f"{PREFIX}{layer}.{part}": getattr(adapter, attribute).numpy()
        for layer, adapter in adapters.items()
        for part, attribute in PARTS.items()
        if getattr(adapter, attribute) is not None
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / WEIGHTS, tensors, {"format": "pt"})
    text = config_text(_config_of(model, adapters, base), isinstance(model, GPT))
    write_atomically(folder / CONFIG, text.encode())


def _config_of(model: Module, adapters: dict[str, Adapter], base: str | None) -> AdapterConfig:
    """The options of an adapter. Most layers have the same r and alpha; patterns name the rest."""
    ranks = {layer: adapter.r for layer, adapter in adapters.items()}
    alphas = {layer: adapter.alpha for layer, adapter in adapters.items()}
    r = Counter(ranks.values()).most_common(1)[0][0]
    alpha = Counter(alphas.values()).most_common(1)[0][0]
    one = next(iter(adapters.values()))
    targets = sorted({layer.rpartition(".")[2] for layer in adapters})
    every = [their_name(model, where) for where in linear_layers(model)]
    meant = {layer for layer in every if any(ends(layer, end) for end in targets)}
    return AdapterConfig(
        r=r,
        alpha=alpha,
        dropout=one.dropout.p,
        use_rslora=one.use_rslora,
        use_dora=one.magnitude is not None,
        targets=tuple(targets) if meant == set(adapters) else tuple(adapters),
        rank_pattern={layer: value for layer, value in ranks.items() if value != r},
        alpha_pattern={layer: value for layer, value in alphas.items() if value != alpha},
        base=base,
    )


def their_name(model: Module, where: str) -> str:
    """A layer's name in transformers' model for causal language modelling."""
    if isinstance(model, GPT):
        return f"transformer.{where}"
    return where if where == "lm_head" else f"model.{where}"


def load_adapter(model: Module, folder: str | os.PathLike, name: str = "default") -> None:
    """Put an adapter that PEFT or ``save_adapter`` has written on ``model``, and make it active.

    Its tensors may be F64, F32, F16 or BF16. All other parameters are frozen, as by ``add_lora``.

    Raises UserError, naming the file and the option or tensor, for files that are missing or
    damaged, for options that are not supported, for an adapter of another base, and for a name that
    is in use; the model is as it was then.
    """
    folder = Path(folder)
    check_new(model, name)
    config = read_config(folder / CONFIG)
    layers = _layers_of(model, folder, config)
    ranks = {where: config.rank_and_alpha(their_name(model, where)) for where in layers}
    arrays: dict[str, dict[str, np.ndarray]] = {}
    modules = linear_layers(model)
    with closing(Reader()) as reader:
        for where, tensors in layers.items():
            shapes = _shapes(modules[where], ranks[where][0], config.use_dora)
            _check_shapes(folder, config, where, tensors, shapes)
            arrays[where] = {
                part: reader.read(f"{where}.{part}", tensor, slice(None), "float64")
                for part, tensor in tensors.items()
            }
    attach(model, ranks, name, config.dropout, config.use_rslora, config.use_dora)
    for where, layer in lora_layers(model).items():
        for part, array in arrays.get(where, {}).items():
            getattr(layer.adapters[name], part).assign_(array)
    set_adapter(model, name)


def _layers_of(model: Module, folder: Path, config: AdapterConfig) -> Layers:
    """The tensors of the file, each with the layer of ours that it belongs to."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise UserError(f"there is no file {path}: only weights in safetensors format are read")
    ours = {their_name(model, where): where for where in linear_layers(model)}
    bare = {layer.partition(".")[2]: where for layer, where in ours.items() if "." in layer}
    ours = {**bare, **ours}  # PEFT on a model without output layer: no "model." at the beginning
    layers: Layers = {}
    for key, tensor in tensors_in(path).items():
        shown = short(key.removeprefix(PREFIX))  # what is long is cut
        part = next((part for part in PARTS if key.endswith(f".{part}")), None)
        if part is None or not key.startswith(PREFIX):
            raise UserError(
                f"{path} has a tensor {shown}, which is no part of an adapter on a linear "
                f"layer: expected are names like {PREFIX}LAYER.lora_A.weight"
            )
        layer = key.removeprefix(PREFIX).removesuffix(f".{part}")
        if layer not in ours:
            raise UserError(
                f"{path} has a tensor {shown}, but this {type(model).__name__} has no linear "
                f"layer of this name, only {', '.join(kinds(linear_layers(model)))}"
                f"{_another_base(config)}"
            )
        if tensor.dtype not in FLOATS:
            raise UserError(
                f"{path}: tensor {shown} is of type {tensor.dtype}: supported are "
                f"{', '.join(FLOATS)}"
            )
        layers.setdefault(ours[layer], {})[PARTS[part]] = tensor
    for layer, where in ours.items():
        if any(ends(layer, target) for target in config.targets or ()) and where not in layers:
            raise UserError(
                f"{path} has no tensors for {where} of this {type(model).__name__}, which the "
                f"target_modules of its {CONFIG} mean{_another_base(config)}"
            )
    if not layers:
        raise UserError(f"{path} has no tensors")
    return layers


def _shapes(layer: Linear | LoraLinear, r: int, use_dora: bool) -> dict[str, tuple[int, ...]]:
    """The shapes of an adapter's Parameters."""
    n_out, n_in = layer_shape(layer)
    shapes: dict[str, tuple[int, ...]] = {"A": (r, n_in), "B": (n_out, r)}
    return shapes | ({"magnitude": (n_out,)} if use_dora else {})


def _check_shapes(
    folder: Path,
    config: AdapterConfig,
    where: str,
    tensors: dict[str, StoredTensor],
    shapes: dict[str, tuple[int, ...]],
) -> None:
    """Raise UserError unless a layer has just the tensors that it needs, with these shapes."""
    for part, attribute in PARTS.items():
        found = tensors[attribute].shape if attribute in tensors else None
        expected = shapes.get(attribute)
        if found == expected:
            continue
        what: Any = f"{folder / WEIGHTS}: {part} of {where}"
        if found is None:
            raise UserError(f"{what} is missing: the file is not whole")
        if expected is None:
            raise UserError(f"{what} is there, but use_dora in {CONFIG} is false")
        raise UserError(
            f"{what} has shape {found}, expected {expected} for a rank of {shapes['A'][0]} and a "
            f"layer with {shapes['A'][1]} inputs and {shapes['B'][0]} outputs"
            f"{_another_base(config)}"
        )


def _another_base(config: AdapterConfig) -> str:
    base = f", {short(config.base)}" if config.base else ""
    return f": the adapter belongs to another base{base}"
