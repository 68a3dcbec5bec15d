"""By which rule each element of an operation's output follows from elements of its inputs.

    elementwise   y[i] = f(a[i], b[i], ...), inputs broadcast; ``formula`` says f
    matmul        y[.., i, j] = sum over k of a[.., i, k] b[.., k, j]
    sum mean max min prod logsumexp     over ``axes``
    move          y[i] = an element of an input: ``map`` has its flat index (-1: ``constant``), and
                  ``input`` the number of the input, where there are several
    scatter       y = zeros with y[map[i]] += x[i]
    opaque        none of these

The page has the same rules in rules.js, where they are evaluated.
"""

from typing import Any

import numpy as np

from autograd._tensor import Tensor
from autograd.device import is_array, numpy_namespace

ELEMENTWISE = {
    "Abs": "abs(a)",
    "Add": "a + b",
    "AsType": "a",
    "Cos": "cos(a)",
    "Divide": "a / b",
    "Erf": "erf(a)",
    "Exp": "exp(a)",
    "Expm1": "expm1(a)",
    "Log": "log(a)",
    "Log1p": "log1p(a)",
    "Maximum": "max(a, b)",
    "Minimum": "min(a, b)",
    "Multiply": "a * b",
    "Negative": "-a",
    "Power": "a ^ b",
    "PowerToNumber": "a ^ n",
    "Reciprocal": "1 / a",
    "ReLU": "max(a, 0)",
    "Sigmoid": "1 / (1 + exp(-a))",
    "Sin": "sin(a)",
    "Sqrt": "sqrt(a)",
    "Square": "a * a",
    "Subtract": "a - b",
    "Tanh": "tanh(a)",
}
REDUCTIONS = {
    "LogSumExp": "logsumexp", "Max": "max", "Mean": "mean", "Min": "min", "Prod": "prod",
    "Sum": "sum",
}  # fmt: skip
MOVES = {
    "BroadcastTo", "Concatenate", "Copy", "Diagonal", "Embedding", "Flip", "GetItem", "Pad",
    "Reshape", "Roll", "TakeAlongAxis", "Transpose", "Tril", "Triu", "Where",
}  # fmt: skip


def rule_of(op: Any, arrays: list[Any], y: Any, maps: bool = True) -> tuple[str, dict[str, Any]]:
    """(rule, attributes) of a call of ``op`` that computed ``y`` from ``arrays`` and numbers.

    Without ``maps`` the attributes do not say where each element came from: of large arrays that
    would be as much as the arrays themselves.
    """
    kind = type(op).__name__
    attrs: dict[str, Any]
    if not type(op).__module__.startswith("autograd.ops."):
        return "opaque", {}
    if kind in ELEMENTWISE:
        attrs = {"formula": ELEMENTWISE[kind]}
        if hasattr(op, "n"):
            attrs["n"] = op.n
        return "elementwise", attrs
    if kind == "MatMul":
        return "matmul", {}
    if kind in REDUCTIONS:
        ndim = np.ndim(arrays[0])
        axes = range(ndim) if op.axis is None else op.axis
        axes = (axes,) if isinstance(axes, int) else axes
        return REDUCTIONS[kind], {"axes": sorted(a % ndim for a in axes), "keepdims": op.keepdims}
    if kind in MOVES or kind == "ScatterAdd":
        if not maps:
            return ("move" if kind in MOVES else "scatter"), {}
    if kind in MOVES:
        return _move(op, arrays, y)
    if kind == "ScatterAdd":
        places = np.arange(y.size).reshape(y.shape)[_plain(op.index)]
        attrs = {"map": narrow(places.reshape(-1))}
        if places.shape != np.shape(arrays[0]):
            sources = np.arange(np.size(arrays[0])).reshape(np.shape(arrays[0]))
            attrs["from"] = narrow(np.broadcast_to(sources, places.shape).reshape(-1))
        return "scatter", attrs
    return "opaque", {}


def _move(op, arrays, y):
    """Move numbers that say where they came from, and read off where they went."""
    codes, starts, start = [], [], 1
    for array in arrays:
        starts.append(start)
        size = int(np.size(array))
        code = np.arange(start, start + size).reshape(np.shape(array))
        codes.append(code if is_array(array) else code.reshape(()))
        start += size
    attrs = {}
    mover = op._uncalled_copy()
    if hasattr(op, "value"):  # of Pad: 0 is the code of a constant
        mover.value, attrs["constant"] = 0, float(op.value)
    moved = np.asarray(mover.forward(numpy_namespace, *codes)).reshape(-1)
    if len(arrays) > 1:
        which = np.searchsorted(starts, moved, side="right") - 1
        attrs["input"] = narrow(which)
        moved = moved - np.asarray(starts)[which.clip(0)]
    else:
        moved = moved - 1
    attrs["map"] = narrow(moved)
    return "move", attrs


def _plain(index):
    if isinstance(index, tuple):
        return tuple(_plain(i) for i in index)
    return np.asarray(index) if isinstance(index, Tensor) else index


def narrow(array: np.ndarray) -> np.ndarray:
    """Integers in the smallest of the types that the page can read."""
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for dtype in (np.int8, np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return array.astype(dtype)
    return array.astype(np.float64)
