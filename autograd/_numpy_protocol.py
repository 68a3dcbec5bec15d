"""What NumPy's own functions do with a Tensor: Python's operators work, the others say what to use.

NumPy asks here whenever one of its functions meets a Tensor. ``array * tensor`` arrives as
``np.multiply`` and is recorded. A function that only inspects its arguments (``np.shape``,
``np.allclose``) receives the raw arrays. Any other would compute an array without a history, so it
raises a TypeError that names the operation to use instead.
"""

import numpy as np

from autograd import _methods
from autograd._conversions import raw
from autograd.questions import see

OPERATORS = {
    np.add: lambda a, b: _methods.ops.add(a, b),
    np.subtract: lambda a, b: _methods.ops.subtract(a, b),
    np.multiply: lambda a, b: _methods.ops.multiply(a, b),
    np.divide: lambda a, b: _methods.ops.divide(a, b),
    np.power: lambda a, b: _methods.ops.power(a, b),
    np.matmul: lambda a, b: _methods.ops.matmul(a, b),
    np.floor_divide: lambda a, b: _methods.ops.floor_divide(a, b),
    np.remainder: lambda a, b: _methods.ops.remainder(a, b),
    np.divmod: lambda a, b: (_methods.ops.floor_divide(a, b), _methods.ops.remainder(a, b)),
    np.equal: lambda a, b: raw(a) == raw(b),
    np.not_equal: lambda a, b: raw(a) != raw(b),
    np.less: lambda a, b: raw(a) < raw(b),
    np.less_equal: lambda a, b: raw(a) <= raw(b),
    np.greater: lambda a, b: raw(a) > raw(b),
    np.greater_equal: lambda a, b: raw(a) >= raw(b),
}
"""NumPy ufunc -> operation, for ``array + tensor``."""

INSPECTING = frozenset(
    "shape ndim size array_equal array_equiv allclose isclose result_type can_cast iscomplexobj "
    "isrealobj may_share_memory shares_memory array_repr array_str array2string save savez "
    "savez_compressed savetxt".split()
)
"""Functions that compute nothing one could differentiate."""

WRITING = frozenset("copyto put place putmask fill_diagonal put_along_axis".split())

OTHER_NAMES = {
    "absolute": "abs", "fabs": "abs", "amax": "max", "amin": "min", "average": "mean",
    "concat": "concatenate", "permute_dims": "transpose", "matrix_transpose": "swapaxes",
    "rint": "round", "around": "round", "float_power": "power", "row_stack": "vstack",
    "cumulative_sum": "cumsum", "cumulative_prod": "cumprod", "linalg.multi_dot": "matmul",
    "linalg.matrix_norm": "linalg.norm", "linalg.vector_norm": "linalg.norm", "vdot": "dot",
    "linalg.vecdot": "einsum", "vecdot": "einsum", "matvec": "matmul", "vecmat": "matmul",
    "array_split": "split", "hsplit": "split", "vsplit": "split", "dsplit": "split",
    "expit": "sigmoid", "add.reduce": "sum", "multiply.reduce": "prod", "maximum.reduce": "max",
    "minimum.reduce": "min", "add.accumulate": "cumsum", "multiply.accumulate": "cumprod",
    "multiply.outer": "outer", "add.at": "scatter_add",
}  # fmt: skip
"""Operations that have another name here. A function's own name is tried first."""


def array_ufunc(ufunc, method, inputs, options):
    """The result of ``ufunc`` on Tensors if it is one of the OPERATORS; TypeError if not."""
    operation = OPERATORS.get(ufunc)
    if operation is not None and method == "__call__" and not options:
        return operation(*inputs)
    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    home = "np." if getattr(np, ufunc.__name__, None) is ufunc else ""
    if options.get("out") is not None and method == "__call__":
        raise TypeError(
            f"{home}{name} cannot write what it computes from a Tensor into an array (as out= and "
            f"array += tensor do): use {_instead(name) or 'the operation'} and keep the new "
            "Tensor; a parameter is changed by p.assign_(p.data - lr * p.grad.data)"
            + see("Why is p -= lr * p.grad an error?")
        )
    refuse(home + name, name)


def array_function(function, args, options):
    """The result on the raw arrays of a function that only inspects them; TypeError for others."""
    home, name = function.__module__ or "", function.__name__
    if name in INSPECTING and home.startswith("numpy"):
        return function(*map(raw, args), **{key: raw(value) for key, value in options.items()})
    shown = f"{home}.{name}".replace("numpy.", "np.", 1)
    if name in WRITING:
        raise TypeError(
            f"{shown} would write into an array behind the graph's back and cannot take a Tensor: "
            "use tensor.assign_(values)" + see("Why is an in-place change an error?")
        )
    refuse(shown, f"linalg.{name}" if home == "numpy.linalg" else name)


def refuse(shown, name):
    """Raise the TypeError that names the operation to use in place of NumPy's function ``name``."""
    instead = _instead(name)
    if instead is None:
        raise TypeError(
            f"{shown} does not know about gradients and cannot take a Tensor, and autograd.ops has "
            "no such function: combine functions that it has, or use tensor.data for the raw array"
        )
    raise TypeError(
        f"{shown} does not know about gradients and cannot take a Tensor: use {instead}(...), or "
        "tensor.data for the raw array"
    )


def _instead(name):
    """ "autograd.ops.concatenate" for "concat"; None if there is no such operation."""
    ops = _methods.ops
    last = name.rpartition(".")[2]
    candidates = [name, OTHER_NAMES.get(name)]
    if name.startswith("linalg."):
        candidates += [last, OTHER_NAMES.get(last)]  # np.linalg.outer is ops.outer
    else:
        candidates += [f"linalg.{name}"]
    for candidate in candidates:
        if candidate is None:
            continue
        part, _, function = candidate.rpartition(".")
        if function in (ops.linalg if part == "linalg" else ops).__all__ and part in ("", "linalg"):
            return f"autograd.ops.{candidate}"
    return None
