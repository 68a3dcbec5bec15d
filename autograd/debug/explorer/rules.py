"""By which rule each element of an operation's output follows from elements of its inputs.

    elementwise   y[i] = f(a[i], b[i], ...), inputs broadcast; ``formula`` says f, and a letter that
                  is no input is a number among the attributes
    matmul        y[.., i, j] = sum over k of a[.., i, k] b[.., k, j]
    einsum        the sum of products over the letters that are not in ``out``
    cross         the vector product along the last axis
    sum mean max min prod logsumexp var std     over ``axes``
    cumsum cumprod                              of the elements up to here along ``axis``
    move          y[i] = an element of an input: ``map`` has its flat index (-1: ``constant``), and
                  ``input`` the number of the input, where there are several
    scatter       y = zeros with y[map[i]] += x[i], or x[from[i]]
    linspace      evenly spaced along ``axis``
    opaque        none of these

The page has the same rules in rules.js, where they are evaluated.
"""

from typing import Any

import numpy as np

from autograd._tensor import Tensor
from autograd.device import is_array, numpy_namespace
from autograd.ops.index import TakeAlongAxis

ELEMENTWISE = {
    "Abs": "abs(a)",
    "Add": "a + b",
    "ArcCos": "arccos(a)",
    "ArcCosh": "arccosh(a)",
    "ArcSin": "arcsin(a)",
    "ArcSinh": "arcsinh(a)",
    "ArcTan": "arctan(a)",
    "ArcTan2": "arctan2(a, b)",
    "ArcTanh": "arctanh(a)",
    "AsType": "a",
    "Cos": "cos(a)",
    "Cosh": "cosh(a)",
    "Divide": "a / b",
    "Erf": "erf(a)",
    "Exp": "exp(a)",
    "Exp2": "exp2(a)",
    "Expm1": "expm1(a)",
    "FMax": "fmax(a, b)",
    "FMin": "fmin(a, b)",
    "FMod": "fmod(a, b)",
    "Hypot": "hypot(a, b)",
    "Input": "a",
    "Log": "log(a)",
    "Log10": "log10(a)",
    "Log1p": "log1p(a)",
    "Log2": "log2(a)",
    "LogAddExp": "logaddexp(a, b)",
    "Maximum": "max(a, b)",
    "Minimum": "min(a, b)",
    "Move": "a",
    "Multiply": "a * b",
    "NanToNum": "where(isnan(a), n, where(a == inf, p, where(a == -inf, q, a)))",
    "Negative": "-a",
    "NumberToPower": "c ^ a",
    "Power": "a ^ b",
    "PowerToNumber": "a ^ n",
    "Reciprocal": "1 / a",
    "ReLU": "max(a, 0)",
    "Remainder": "remainder(a, b)",
    "Sech": "sech(a)",
    "Sigmoid": "sigmoid(a)",
    "Sin": "sin(a)",
    "Sinh": "sinh(a)",
    "Sqrt": "sqrt(a)",
    "Square": "square(a)",
    "Subtract": "a - b",
    "Tan": "tan(a)",
    "Tanh": "tanh(a)",
    "Unsmooth": "a",
}
REDUCTIONS = {
    "LogSumExp": "logsumexp", "Max": "max", "Mean": "mean", "Min": "min", "Prod": "prod",
    "Std": "std", "Sum": "sum", "Var": "var",
}  # fmt: skip
MOVES = {
    "BroadcastTo", "Concatenate", "Copy", "Diagonal", "Embedding", "Flip", "GetItem", "Pad",
    "Reshape", "Roll", "Sort", "TakeAlongAxis", "Transpose", "Tril", "Triu", "Where",
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
        return "elementwise", {"formula": ELEMENTWISE[kind]} | _numbers(op, y)
    if kind == "Clip":
        return "elementwise", {"formula": _clip(arrays)}
    if kind == "MatMul":
        return "matmul", {}
    if kind in REDUCTIONS:
        ndim = np.ndim(arrays[0])
        axes = range(ndim) if op.axis is None else op.axis
        axes = (axes,) if isinstance(axes, int) else axes
        attrs = {"axes": sorted(a % ndim for a in axes), "keepdims": op.keepdims}
        return REDUCTIONS[kind], attrs | ({"ddof": op.ddof} if hasattr(op, "ddof") else {})
    if kind in ("CumSum", "CumProd"):
        return kind.lower(), {"axis": op.axis % np.ndim(arrays[0])}
    if kind == "Einsum":
        return "einsum", {"letters": list(op.letters), "out": op.out}
    if kind == "Cross":
        return "cross", {}
    if kind == "Linspace":
        return "linspace", {"axis": op.axis % y.ndim, "steps": op.steps()}
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


def _numbers(op, y):
    """The numbers in the formula of an elementwise operation, by their letters."""
    kind = type(op).__name__
    if kind == "PowerToNumber":
        return {"n": op.n}
    if kind == "NumberToPower":
        return {"c": op.c}
    if kind == "NanToNum":
        largest = float(np.finfo(y.dtype).max)
        high = largest if op.posinf is None else op.posinf
        low = -largest if op.neginf is None else op.neginf
        return {"n": float(op.nan), "p": float(high), "q": float(low)}
    return {}


def _clip(arrays):
    _, low, high = arrays
    formula = "a" if low is None else "max(a, b)"
    return formula if high is None else f"min({formula}, c)"


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
    if type(op).__name__ == "Sort":  # codes stay in the order that x was brought to
        mover = TakeAlongAxis(op.indices, op.axis)
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
