"""The first steps of AdamW on the tape's parameters, with what it takes to follow each by hand.

The gradients of the first step are the tape's. For every further one the function is called again
with the weights that the step before has made, so the batch is the same one unless the function
draws another. Each new weight comes from ``autograd/kernels/adamw/reference.py``, and how it is
called is what ``tinygrad_llm/training`` does: the gradients of all parameters together are clipped
by their norm, and tensors of two or more dimensions decay. Afterwards the weights are as before.

The page needs gradients and weights only: m and v follow from them, and it computes them again.
That it arrives at the stored weights, to the last digit, is its proof that it shows the real rule.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd._tensor import Tensor
from autograd.backward import grad
from autograd.debug.explorer.again import CannotRepeatError, call_again
from autograd.debug.explorer.tape import Tape, Value
from autograd.device import numpy_namespace, to_numpy
from autograd.grad_mode import enable_grad
from autograd.kernels.adamw import reference
from autograd.kernels.dispatch import use_kernels

WHOLE = 30_000
"""With more parameters than this, the page has a sample of each."""
SAMPLE = 64
"""Elements of a parameter in a sample."""
REPEATED = 20_000_000
"""With more parameters than this, the function is not called again: there is one step."""


@dataclass(frozen=True)
class Settings:
    """How the optimizer is called. All but the number of steps and the learning rate, which depends
    on the model there, are the defaults of ``tinygrad-llm train``."""

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    """Of tensors of two or more dimensions; others do not decay."""
    max_norm: float = 1.0
    """The gradients' norm is clipped to this; 0 means no clipping."""
    steps: int = 4


def part(tape: Tape, builder: Any = None, settings: Settings = Settings()) -> dict[str, Any]:
    """The steps as the page shows them; {} if no parameter has a gradient.

    settings        the fields of ``Settings``
    steps           for t = 1, 2, ...: loss before the step, norm of all gradients, scale (the clip
                    factor), and what 1 - beta1^t and 1 - beta2^t are
    loss_after      of the last step, or None
    parameters      key, shape, decay; gradients: [of step 1, ...]; weights: [before step 1, after
                    it, ...]; index: None, or the flat positions of a sample of elements, to which
                    gradients and weights are then limited; gradient_norm (T,), move_norm (T,) and
                    weight_norm (T,), of all elements, the last before the step
    note            None, or why there is one step only
    """
    values = [v for v in tape.leaves if v.gradient is not None and v.array is not None]
    values = [v for v in values if v.dtype in (np.float32, np.float64)]
    if not values:
        return {}
    size = sum(v.array.size for v in values)
    note = _why_one_step(tape, values, size)
    keep = [
        None if size <= WHOLE or v.array.size <= SAMPLE else sample(to_numpy(v.gradient))
        for v in values
    ]
    weights = [to_numpy(v.array).copy() for v in values]
    gradients = [to_numpy(v.gradient) for v in values]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in weights]
    loss: float | None = _number(tape.loss.array)
    parameters: list[dict[str, Any]] = [
        {
            "key": v.key,
            "shape": list(v.shape),
            "decay": settings.weight_decay if len(v.shape) >= 2 else 0.0,
            "index": k,
            "weights": [_chosen(p, k)],
            "gradients": [],
            "gradient_norm": [],
            "move_norm": [],
            "weight_norm": [],
        }
        for v, p, k in zip(values, weights, keep, strict=True)
    ]
    steps: list[dict[str, Any]] = []
    for t in range(1, 1 + (1 if note else settings.steps)):
        norm = math.sqrt(sum(float(reference.square_sum(numpy_namespace, g)) for g in gradients))
        scale = settings.max_norm / norm if 0 < settings.max_norm < norm else 1.0
        steps.append(
            {
                "loss": loss,
                "norm": norm,
                "scale": scale,
                "correction1": 1 - settings.beta1**t,
                "correction2": 1 - settings.beta2**t,
            }
        )
        for i, (parameter, g) in enumerate(zip(parameters, gradients, strict=True)):
            before = weights[i]
            weights[i], *moments[i] = _update(
                before, g, moments[i], settings, parameter["decay"], t, scale
            )
            parameter["gradients"].append(_chosen(g, keep[i]))
            parameter["weights"].append(_chosen(weights[i], keep[i]))
            parameter["gradient_norm"].append(_norm(g))
            parameter["move_norm"].append(_norm(weights[i].astype(np.float64) - before))
            parameter["weight_norm"].append(_norm(before))
        loss = None
        if not note:
            try:
                loss, gradients = _again(tape, values, weights)
            except CannotRepeatError as error:
                note = f"With the weights after step {t}, {error}. So there are no more steps."
                break
    return {
        "settings": vars(settings),
        "steps": steps,
        "loss_after": loss,
        "parameters": parameters,
        "note": note,
    }


def _update(p, g, moments, settings, decay, t, scale):
    """(p, m, v) after step t, as arrays."""
    s = settings
    new = reference.update(
        numpy_namespace, p, g, *moments, s.lr, s.beta1, s.beta2, s.eps, decay, t, scale
    )
    return tuple(np.asarray(array) for array in new)


def _why_one_step(tape: Tape, values: list[Value], size: int) -> str | None:
    if tape.function is None:
        return (
            "This page was made from a loss that was computed before, so there is one step. Give "
            "explore a function that computes the loss, and there are more."
        )
    if size > REPEATED:
        return f"With {size:,} parameters the function is not called again: there is one step."
    if tape.outside:
        return (
            "A part of the graph was computed before the function was called, and would not follow "
            "the weights, so there is one step. Compute all of it inside, and there are more."
        )
    if any(_tensor(v) is None for v in values):
        return (
            "The function makes a parameter of its own at every call, so there is one step. Make "
            "it outside, and there are more."
        )
    return None


def _tensor(value: Value) -> Tensor | None:
    """The leaf tensor itself, if it still exists."""
    return None if value.node is None else value.node.tensor()


def _again(tape, values, weights):
    """(loss, gradients) of the function, computed with these weights."""
    tensors = [_tensor(v) for v in values]
    with use_kernels("reference"), enable_grad(), holding(tensors, weights):
        loss = call_again(tape.function)
        found = grad(loss, tensors, allow_unused=True)
    gradients = [
        np.zeros_like(p) if g is None else to_numpy(g.data)
        for g, p in zip(found, weights, strict=True)
    ]
    return _number(loss.data), gradients


@contextmanager
def holding(tensors: list[Tensor], arrays: list[np.ndarray]) -> Iterator[None]:
    """Within this, the tensors hold other numbers.

    Their own arrays are not touched, and no change is counted: a graph that has saved them can
    still run backward.
    """
    own = [tensor._data for tensor in tensors]
    try:
        for tensor, array in zip(tensors, arrays, strict=True):
            tensor._data = array
        yield
    finally:
        for tensor, array in zip(tensors, own, strict=True):
            tensor._data = array


def sample(gradient: np.ndarray, size: int = SAMPLE) -> np.ndarray:
    """Flat positions in a tensor of more elements than ``size``, in order.

    A quarter of them have the largest gradients, the others lie evenly.
    """
    n = gradient.size
    largest = np.argsort(-np.abs(gradient.reshape(-1)), kind="stable")[: size // 4]
    evenly = np.arange(size - size // 4) * n // (size - size // 4)
    return np.unique(np.concatenate([largest, evenly])).astype(np.int32)


def _chosen(array: np.ndarray, index: np.ndarray | None) -> np.ndarray:
    return np.array(array) if index is None else array.reshape(-1)[index]


def _norm(array: np.ndarray) -> float:
    return float(np.linalg.norm(array.astype(np.float64).reshape(-1)))


def _number(array: Any) -> float:
    return float(to_numpy(array).reshape(()))
