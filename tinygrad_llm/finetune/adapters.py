"""Adapters on a model: which layers get one, which adapter is active, and merging.

A layer with adapters is a LoraLinear (lora_layer.py) in the place of the Linear. Merging puts a
Linear back.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from autograd import Parameter, no_grad
from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.lora_layer import Adapter, LoraLinear
from tinygrad_llm.model.containers import ModuleDict
from tinygrad_llm.model.freezing import Pattern, freeze, kinds, matches, show, unfreeze
from tinygrad_llm.model.layers import Linear, without_initial_values
from tinygrad_llm.model.module import Module
from tinygrad_llm.model.quantize import set_weight

ALL_LINEAR = "all-linear"
OUTPUT_LAYERS = ("lm_head", "score", "classifier")
"""Linear layers that "all-linear" does not mean, as in PEFT."""

AnyModule = TypeVar("AnyModule", bound=Module)


def add_lora(
    model: AnyModule,
    r: int = 8,
    alpha: float = 16,
    targets: Pattern = ALL_LINEAR,
    dropout: float = 0.0,
    use_rslora: bool = False,
    use_dora: bool = False,
    name: str = "default",
    seed: int = 0,
) -> AnyModule:
    """Put a low-rank adapter on linear layers of ``model`` and train nothing else. Returns it.

    r: the rank, at most the smaller side of a layer's matrix. alpha: the change is multiplied by
    alpha / r, or by alpha / sqrt(r) with ``use_rslora``. targets: the layers by name, a pattern as
    in ``model/freezing.py`` ("q_proj", or several names, or a regular expression), or "all-linear",
    which means all but the output layer. dropout: of the input of the change, in training.
    use_dora: train the lengths of the weight's rows too. seed: of the initial A, and of the dropout
    masks in a model that has no ``rng`` yet.

    All other parameters are frozen, and the adapter becomes the active one: its parameters are what
    ``trainable_parameters(model)`` returns. At first the model computes what it did before, to the
    last bit. The base's matrices may be quantized; they stay as they are.

    Raises UserError for targets that mean no layer, a rank that does not fit, another option out of
    its range, and a name that is in use or that no module can have.
    """
    layers = target_layers(model, targets)
    for option, value, valid, expected in (
        ("r", r, type(r) is int and r >= 1, "a whole number of at least 1"),
        ("alpha", alpha, 0 < alpha < math.inf, "a number above 0"),
        ("dropout", dropout, 0 <= dropout < 1, "at least 0 and below 1"),
    ):
        if not valid:
            raise UserError(f"LoRA: {option} is {value}, but must be {expected}")
    for where, layer in layers.items():
        n_out, n_in = layer_shape(layer)
        if r > min(n_out, n_in):
            raise UserError(
                f"LoRA: r is {r}, but {where} is a matrix of {n_out} x {n_in}, to which a rank "
                f"above {min(n_out, n_in)} adds nothing: choose a smaller r or other targets"
            )
    check_new(model, name)
    ranks = {where: (r, alpha) for where in layers}
    weights_seed, dropout_seed = np.random.SeedSequence(seed).spawn(2)
    attach(model, ranks, name, dropout, use_rslora, use_dora, dropout_seed)
    rng = np.random.default_rng(weights_seed)
    for layer in lora_layers(model).values():
        if name in layer.adapters:
            layer.adapters[name].initialize(rng)
    set_adapter(model, name)
    return model


def attach(
    model: Module,
    ranks: dict[str, tuple[int, float]],
    name: str,
    dropout: float,
    use_rslora: bool,
    use_dora: bool,
    seed: int | np.random.SeedSequence = 0,
) -> None:
    """Add an adapter of zeros to the layers with these names, each with its (r, alpha).

    ``seed`` is that of the dropout masks, if the model has no ``rng`` yet.
    """
    if dropout > 0 and getattr(model, "rng", None) is None:
        vars(model)["rng"] = np.random.default_rng(seed)
    rng = getattr(model, "rng", None)
    freeze(model)
    modules = dict(model.named_modules())
    for where, (r, alpha) in ranks.items():
        layer = modules[where]
        if not isinstance(layer, LoraLinear):
            layer = LoraLinear(layer)
            layer.training = layer.base_layer.training
            replace_module(model, where, layer)
        adapter = Adapter(layer.base_layer, r, alpha, dropout, use_rslora, use_dora, rng)
        layer.adapters[name] = adapter.train(layer.training)


def set_adapter(model: Module, name: str | None) -> None:
    """Make an adapter the active one, and the one that is trained; None: the base alone.

    The gradients of the others are forgotten. Raises UserError if the model has no adapter of this
    name.
    """
    layers, names = lora_layers(model), adapter_names(model)
    if name is not None and name not in names:
        raise UserError(
            f"the model has no adapter {name!r}: it has {', '.join(map(repr, names)) or 'none'}"
        )
    for layer in layers.values():
        layer.active = name if name in layer.adapters else None
        for key, adapter in layer.adapters.items():
            for parameter in adapter.parameters():
                if key != name:
                    parameter.zero_grad()
                parameter.requires_grad = key == name


def merge_lora(model: AnyModule) -> AnyModule:
    """Add the active adapter to the weights, and take all adapters away. Returns the model.

    It is a model as ``load_pretrained`` returns it: every layer a Linear, every parameter trained.
    A quantized matrix that the adapter changes becomes float32. Raises UserError if no adapter is
    active, and if a merged weight is not finite.
    """
    active_name(model)
    for where, layer in lora_layers(model).items():
        if layer.active is not None:
            weight = _merged_weight(where, layer)
            if isinstance(layer.base_layer.weight, Parameter):
                layer.base_layer.weight.data = weight
            else:
                set_weight(layer.base_layer, Parameter(weight))
        replace_module(model, where, layer.base_layer)
    unfreeze(model)
    return model


@contextmanager
def merged(model: Module) -> Iterator[None]:
    """Within this, the model computes with merged weights, as fast as without an adapter.

        with merged(model):
            for ids in generate(model, prompt, 100): ...

    Weights of the changed layers exist twice meanwhile. Afterwards the model is as it was, to the
    last bit. Without an active adapter nothing changes. A ``Decoder`` made outside does not serve
    inside, nor the reverse.
    """
    layers = {where: layer for where, layer in lora_layers(model).items() if layer.active}
    try:
        for where, layer in layers.items():
            n_out, n_in = layer_shape(layer)
            with without_initial_values():
                plain = Linear(n_in, n_out, bias=False).train(layer.training)
            plain.weight = Parameter(_merged_weight(where, layer), requires_grad=False)
            plain.bias = layer.bias
            replace_module(model, where, plain)
        yield
    finally:
        for where, layer in layers.items():
            replace_module(model, where, layer)


@contextmanager
def disable_adapter(model: Module) -> Iterator[None]:
    """Within this, the model computes as without adapters: the reference of DPO, for example.

    What is trained and its gradients stay as they are, unlike with ``set_adapter(model, None)``.
    """
    layers = [(layer, layer.active) for layer in lora_layers(model).values()]
    for layer, _ in layers:
        layer.active = None
    try:
        yield
    finally:
        for layer, active in layers:
            layer.active = active


@no_grad()
def _merged_weight(where: str, layer: LoraLinear) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        weight = layer.weight
    if not np.isfinite(weight.numpy()).all():
        raise UserError(
            f"{where} has infinite weights or NaN once the adapter is merged: its numbers or its "
            "alpha are too large, or its training diverged"
        )
    return weight.data


# --- the layers of a model ------------------------------------------------------------------------


def lora_layers(model: Module) -> dict[str, LoraLinear]:
    """The layers that have adapters, by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, LoraLinear)}


def linear_layers(model: Module) -> dict[str, Linear | LoraLinear]:
    """The linear layers by name, with and without adapters."""
    inside = {id(layer.base_layer) for layer in lora_layers(model).values()}
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, LoraLinear)
        or (isinstance(module, Linear) and id(module) not in inside)
    }


def target_layers(model: Module, targets: Pattern) -> dict[str, Linear | LoraLinear]:
    """The linear layers that ``targets`` means. Raises UserError if it, or one of several names,
    means none."""
    layers = linear_layers(model)
    if targets == ALL_LINEAR:
        return {n: m for n, m in layers.items() if n.rpartition(".")[2] not in OUTPUT_LAYERS}
    targets = targets if isinstance(targets, str) else tuple(targets)
    for target in [targets] if isinstance(targets, str) else targets or ("",):
        if not any(matches(name, target if target == targets else [target]) for name in layers):
            raise UserError(
                f"LoRA: targets {show([target])} means no linear layer of this "
                f"{type(model).__name__}, whose layers are {', '.join(kinds(layers))}"
            )
    return {name: module for name, module in layers.items() if matches(name, targets)}


def layer_shape(layer: Linear | LoraLinear) -> tuple[int, int]:
    """(out, in) of a layer's matrix."""
    base = layer.base_layer if isinstance(layer, LoraLinear) else layer
    n_out, n_in = base.weight.shape
    return n_out, n_in


def adapter_names(model: Module) -> list[str]:
    """The names of the adapters of a model."""
    return list(dict.fromkeys(n for m in lora_layers(model).values() for n in m.adapters.keys()))


def active_name(model: Module) -> str:
    """The name of the active adapter. Raises UserError if there is none."""
    for layer in lora_layers(model).values():
        if layer.active is not None:
            return layer.active
    raise UserError("the model has no active adapter: add or load one, or choose one")


def check_new(model: Module, name: str) -> None:
    """Raise UserError for a name that an adapter has, or that none can have."""
    if name in adapter_names(model):
        raise UserError(f"the model has an adapter {name!r} already: choose another name")
    if not name or "." in name or hasattr(ModuleDict, name):
        raise UserError(
            f"{name!r} cannot name an adapter: use a word without a dot that is not a method of "
            "ModuleDict"
        )


def replace_module(model: Module, name: str, module: Module) -> None:
    """Put ``module`` in the place of the one with this dotted name."""
    owner, _, attribute = name.rpartition(".")
    setattr(dict(model.named_modules())[owner], attribute, module)
