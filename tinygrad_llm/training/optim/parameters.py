"""What an optimizer cannot train, refused in a sentence before the first step.

``kind`` is the optimizer's name, for the sentence.
"""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from autograd import Tensor
from autograd.device import to_numpy
from autograd.questions import see


def by_name(kind: str, params: Iterable[Any]) -> dict[str, Tensor]:
    """Parameters, or pairs (name, Parameter), by name: "0", "1", ... where there is none.

    Raises TypeError and ValueError for anything else, and for what appears twice.
    """
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        given = type(params).__name__
        advice = "[parameter]" if isinstance(params, Tensor) else "model.named_parameters()"
        raise TypeError(f"{kind} was given one {given}, expected several parameters: {advice}")
    by_name: dict[str, Tensor] = {}
    names: dict[int, str] = {}  # id of a parameter -> its name
    for number, item in enumerate(params):
        name, p = item if isinstance(item, tuple) and len(item) == 2 else (str(number), item)
        if not isinstance(p, Tensor) or not isinstance(name, str):
            raise TypeError(
                f"{kind}: parameter {name} is of type {type(p).__name__}, expected a Parameter or "
                "a pair (name, Parameter), as from model.named_parameters()"
            )
        if name in by_name:
            raise ValueError(
                f"{kind} was given two parameters called {name!r}: give them different names, as "
                'in [(f"decoder.{name}", p) for name, p in decoder.named_parameters()]'
            )
        if id(p) in names:
            raise ValueError(
                f"{kind} was given one parameter twice, as {names[id(p)]!r} and as {name!r}: each "
                "step would update it twice"
            )
        check_parameter(kind, name, p)
        by_name[name], names[id(p)] = p, name
    return by_name


def check_parameter(kind: str, name: str, p: Tensor) -> None:
    """Raise ValueError for a parameter whose elements cannot be changed."""
    if not p.is_leaf:
        raise ValueError(
            f"{kind}: parameter {name} was computed, and changing it would change nothing: pass "
            "the Parameters that it was computed from"
        )
    if p.dtype.kind != "f":
        raise ValueError(f"{kind}: parameter {name} is {p.dtype}, expected a floating-point type")
    if not getattr(p.data.flags, "writeable", True):  # CuPy's always are
        raise ValueError(
            f"{kind}: parameter {name} cannot be changed, since its array is read-only (as "
            "np.broadcast_to and memory maps are): make it from a copy, Parameter(array.copy())"
        )


def refuse_what_cannot_learn(kind: str, params: dict[str, Tensor]) -> None:
    """Raise ValueError if no step would ever change anything, or next to nothing."""
    if not any(p.requires_grad for p in params.values()):
        raise ValueError(
            f"{kind}: none of the parameters requires a gradient, so there is nothing to learn: "
            "make them with Parameter(array), or set requires_grad to True"
            + see("Why is there nothing to differentiate?")
        )
    matrices = [name for name, p in params.items() if p.ndim >= 2 and p.requires_grad and p.size]
    if len(matrices) > 1 and not any(to_numpy(params[name].data).any() for name in matrices):
        raise ValueError(
            f"{kind}: all {len(matrices)} matrices are zero ({', '.join(matrices[:3])}, ...), and "
            "layers of zeros have gradients of zero: draw their initial values, as with "
            "tinygrad_llm.model.layers.normal_(matrix, 0.02, rng)"
            + see("Why do gradients explode and vanish?")
        )


def refuse_shared_memory(kind: str, params: dict[str, Tensor]) -> None:
    """Raise ValueError if two parameters share memory, which would be updated twice."""
    arrays = [(n, p.data) for n, p in params.items() if isinstance(p.data, np.ndarray) and p.size]
    bounds = sorted((*np.lib.array_utils.byte_bounds(a), n) for n, a in arrays)
    for (_, end, first), (start, _, second) in itertools.pairwise(bounds):
        if start < end and np.shares_memory(params[first].data, params[second].data):
            raise ValueError(
                f"{kind}: the parameters {first} and {second} share memory: to tie them, use one "
                "Parameter in both places; otherwise make one from a copy"
            )
