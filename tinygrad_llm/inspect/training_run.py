"""One checkpoint of a training run, measured: gradients, the next step, activations, dead units.

A loss curve says that a run goes well or badly, not where. Measured at every checkpoint on the same
batch, three numbers of each layer say more:

    gradient norm       |dL/dw|: how strongly the batch pulls at the layer's weights. A layer whose
                        norm falls towards zero has stopped to learn; one that leads by far makes
                        the clipping slow all others down.
    update ratio        |w' - w| / |w|: how far one step moves the weights, as a share of their own
                        size. About 1e-3 is usual; 1e-1 forgets what was learned, 1e-6 is idle.
    dead units          channels inside the feed-forward layers that are off at every token: they
                        add nothing, and no gradient comes through them to wake them up.

w' is where the run's optimizer would put the weights in one more step from its saved state, so the
ratio has the moments, the clipping, the decay and the learning rate of that moment in it.

``measure_checkpoint`` measures one model; ``run_numbers`` puts a run's checkpoints side by side, as
the explorer's page shows them.
"""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from autograd import Tensor, enable_grad, grad, no_grad, ops
from tinygrad_llm.finetune.classification import evaluating
from tinygrad_llm.inspect.watch import parts_of, watched
from tinygrad_llm.model import gpt
from tinygrad_llm.model.module import Module

OFF = 1e-3
"""A unit is off at a token where its activation function's value and slope are both smaller."""

SCALES = ("stream", "attention", "feed_forward", "hidden")
"""Whose root mean square is measured in each block: the residual stream after it, what its two
branches add to the stream, and its hidden units before the activation function."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": ops.silu,
    "gelu": ops.gelu,
    "gelu_tanh": lambda x: ops.gelu(x, "tanh"),
}


@dataclass(frozen=True)
class CheckpointNumbers:
    """What is measured of one model. Arrays follow ``parameters`` or ``blocks``, in their order."""

    loss: float
    """Of the batch, in nats per token."""
    clip: float
    """Factor by which the optimizer scaled the gradients; NaN where no step was taken."""
    parameters: tuple[tuple[str, tuple[int, ...]], ...]
    """(name, shape) of each."""
    grad_norm: np.ndarray
    """|dL/dw| of each parameter, before clipping."""
    weight_norm: np.ndarray
    """|w| of each parameter."""
    update_norm: np.ndarray
    """|w' - w| of each parameter; NaN where no step was taken."""
    blocks: tuple[str, ...]
    """The transformer blocks: h.0, h.1, ..."""
    activation: str
    """The function in their feed-forward layers, one of ACTIVATIONS."""
    units: np.ndarray
    """Hidden units of each block's feed-forward layer."""
    dead: np.ndarray
    """How many of them are off at every token of the batch."""
    off: np.ndarray
    """The share of pairs (unit, token) that are off."""
    scale: dict[str, np.ndarray]
    """Root mean square of the activations of each block, by the names of SCALES."""


def measure_checkpoint(
    model: Any, x: np.ndarray, y: np.ndarray, step: Callable[[], float] | None = None
) -> CheckpointNumbers:
    """Forward and backward on ids ``x`` with targets ``y``, both (B, T); dropout is off.

    ``step()`` moves the model's weights by the gradients in ``.grad``, as an optimizer does, and
    returns the factor by which it has scaled them. The weights are put back afterwards, the
    gradients are forgotten.
    """
    named, parts = list(model.named_parameters()), parts_of(model)
    blocks: tuple[Any, ...] = parts.blocks
    sizes: dict[str, list[float]] = {part: [] for part in SCALES}
    off: list[np.ndarray] = []
    model.zero_grad()
    with evaluating(model), enable_grad(), contextlib.ExitStack() as stack:
        for block in blocks:
            for part, module in _members(block).items():
                stack.enter_context(watched(module, partial(_see_size, sizes[part])))
            see = partial(_see_units, block.mlp, sizes["hidden"], off)
            stack.enter_context(watched(block.mlp, see))
        loss = model.loss(x, y)
        loss.backward()
    gradients = [norm(p.grad) for _, p in named]
    weights = [norm(p) for _, p in named]
    clip, updates = math.nan, [math.nan] * len(named)
    if step is not None:
        before = [p.numpy().copy() for _, p in named]
        clip = step()
        updates = [norm(p.numpy() - old) for (_, p), old in zip(named, before, strict=True)]
        for (_, p), old in zip(named, before, strict=True):
            p.assign_(old)
    model.zero_grad()
    return CheckpointNumbers(
        loss.item(),
        clip,
        tuple((name, p.shape) for name, p in named),
        np.array(gradients),
        np.array(weights),
        np.array(updates),
        parts.names,
        activation_of(blocks[0].mlp),
        np.array([units.shape[-1] for units in off], np.int64),
        np.array([np.count_nonzero(units.all(axis=0)) for units in off], np.int64),
        np.array([units.mean() for units in off], np.float64),
        {part: np.array(values) for part, values in sizes.items()},
    )


def _members(block: Any) -> dict[str, Module]:
    attention = block.attn if isinstance(block, gpt.Block) else block.self_attn
    return {"stream": block, "attention": attention, "feed_forward": block.mlp}


def _see_size(sizes: list[float], x: Tensor, output: Tensor) -> None:
    sizes.append(rms(output))


def _see_units(
    mlp: Any, sizes: list[float], off: list[np.ndarray], x: Tensor, output: Tensor
) -> None:
    hidden = _hidden(mlp, x)
    sizes.append(rms(hidden))
    off.append(is_off(hidden, activation_of(mlp)))


# --- units -----------------------------------------------------------------------------------


def _hidden(mlp: Any, x: Tensor) -> np.ndarray:
    """What the activation function of a feed-forward layer is given: (tokens, units)."""
    with no_grad():
        layer = mlp.c_fc if isinstance(mlp, gpt.MLP) else mlp.gate_proj
        hidden = layer(x.detach()).numpy()
    return hidden.reshape(-1, hidden.shape[-1])  # (N, M)


def activation_of(mlp: Any) -> str:
    """The name, in ACTIVATIONS, of a feed-forward layer's function."""
    return "gelu_tanh" if isinstance(mlp, gpt.MLP) else mlp.activation


def is_off(x: np.ndarray, activation: str) -> np.ndarray:
    """Where the activation function of ``x`` has a value and a slope below OFF in size."""
    with enable_grad():
        inputs = Tensor(x, requires_grad=True)
        y = ACTIVATIONS[activation](inputs)
        (slope,) = grad(y.sum(), [inputs])
    return (np.abs(y.numpy()) < OFF) & (np.abs(slope.numpy()) < OFF)


def criterion(activation: str) -> str:
    """In words, when a unit counts as dead."""
    x = np.arange(-30.0, 0.0, 0.01)
    edge = x[is_off(x, activation)].max()
    name = {"silu": "SiLU", "gelu": "GELU", "gelu_tanh": "GELU (tanh form)"}[activation]
    return (
        f"A unit is dead on this batch if it is off at every token. It is off where {name} has "
        f"both a value and a slope below {OFF:g} in size: where its input is below {edge:.2f}."
    )


# --- a run -----------------------------------------------------------------------------------


def layer_of(parameter: str) -> str:
    """The layer that a parameter belongs to: a block (h.0), or its module (wte, ln_f)."""
    parts = parameter.split(".")
    numbers = [i for i, part in enumerate(parts) if part.isdecimal()]
    return ".".join(parts[: numbers[0] + 1] if numbers else parts[:-1]) or parameter


def run_numbers(steps: Sequence[int], found: Sequence[CheckpointNumbers]) -> dict[str, Any]:
    """The numbers of a run's checkpoints as arrays, one row for each of ``steps``.

    S checkpoints, P parameters in L layers, K blocks:

        parameters      [{"name", "shape", "layer": index}]      layers, blocks: names
        loss, clip (S,)     grad_norm, weight_norm, update_norm (S, P)
        layer_grad_norm, layer_ratio (S, L)     a layer's parameters as one vector
        units, dead (S, K) int64     off (S, K)     scale: {"stream": (S, K), ...}
        criterion       in words, when a unit counts as dead
    """
    first = found[0]
    layers = list(dict.fromkeys(layer_of(name) for name, _ in first.parameters))
    of = [layers.index(layer_of(name)) for name, _ in first.parameters]
    rows: dict[str, Any] = {
        name: np.array([getattr(numbers, name) for numbers in found])
        for name in (
            "loss", "clip", "grad_norm", "weight_norm", "update_norm", "units", "dead", "off"
        )
    }  # fmt: skip

    def together(norms):
        """Norms of layers from those of their parameters: (S, P) -> (S, L)."""
        members = np.equal.outer(np.array(of), np.arange(len(layers)))
        return np.sqrt(np.square(norms) @ members)

    size = together(rows["weight_norm"])
    return {
        "steps": np.array(steps, np.int64),
        "layers": layers,
        "blocks": list(first.blocks),
        "parameters": [
            {"name": name, "shape": list(shape), "layer": layer}
            for (name, shape), layer in zip(first.parameters, of, strict=True)
        ],
        **rows,
        "layer_grad_norm": together(rows["grad_norm"]),
        "layer_ratio": together(rows["update_norm"]) / np.where(size > 0, size, np.nan),
        "scale": {part: np.array([numbers.scale[part] for numbers in found]) for part in SCALES},
        "criterion": criterion(first.activation),
    }


def norm(x: Any) -> float:
    """Euclidean norm in float64; 0 for None, a gradient that never arrived."""
    return 0.0 if x is None else float(np.linalg.norm(_wide(x)))


def rms(x: Any) -> float:
    """Root mean square in float64."""
    return float(np.sqrt(np.mean(np.square(_wide(x)))))


def _wide(x: Any) -> np.ndarray:
    array = x.numpy() if isinstance(x, Tensor) else x
    return array.astype(np.float64).reshape(-1)
