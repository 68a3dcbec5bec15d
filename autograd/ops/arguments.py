"""The arguments of operations: axes and other integers, and operands that are not arrays yet.

A function that takes an axis normalizes it here before anything is computed: forward and backward
see a number from 0 on, or a tuple of distinct ones. The rules are NumPy's: an integer may be a
NumPy integer or a 0-d array of one, counts from the end when it is negative, and raises
``np.exceptions.AxisError`` when there is no such axis. True is not an integer.
"""

import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autograd._tensor import Operand, Tensor, TensorLike
from autograd._types import Axis
from autograd.device import is_array, namespace
from autograd.plain import plain_array

NUMBERS = (bool, int, float)


def operand(x: TensorLike) -> Operand:
    """x as something with a shape: a Tensor as it is, the rest a plain array (``plain_array``)."""
    return x if isinstance(x, Tensor) else plain_array(x, "an operand")


def floating(x: TensorLike) -> Operand:
    """x as an operand of floats: integers and booleans get the type that NumPy's exp gives them."""
    x = operand(x)
    return x if x.dtype.kind == "f" else x.astype(np.result_type(x.dtype, np.float16))


def of_one_type(*xs: TensorLike) -> list[Operand]:
    """The operands, converted to a common type where they differ: a kernel works in one type."""
    arrays = [operand(x) for x in xs]
    types = {x.dtype for x in arrays}
    if len(types) == 1:
        return arrays
    dtype = np.result_type(*types)
    return [x if x.dtype == dtype else x.astype(dtype) for x in arrays]


def operands(a: TensorLike, b: TensorLike) -> tuple[Operand, Operand]:
    """Both as operands; a Python number takes the other's type, as it does in a product."""
    if type(b) in NUMBERS and type(a) not in NUMBERS:
        a = operand(a)
        return a, _typed(a, b)
    if type(a) in NUMBERS and type(b) not in NUMBERS:
        b = operand(b)
        return _typed(b, a), b
    return operand(a), operand(b)


def _typed(array, number):
    library = namespace(array.data if isinstance(array, Tensor) else array)
    return library.asarray(number, dtype=np.result_type(array.dtype, number))


def integer(op: str, what: str, value: Any) -> int:
    """``value`` as a Python integer. Raises TypeError when it is something else (True is)."""
    if type(value) is int:
        return value
    if isinstance(value, Tensor):
        value = value.data
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{op}: {what} must be an integer, not {described(value)}") from None


def real(op: str, what: str, value: Any) -> Any:
    """``value``, a Python or NumPy number. Raises TypeError when it is something else."""
    if isinstance(value, (int, float, np.integer, np.floating)):
        return value
    raise TypeError(f"{op}: {what} must be a number, not {described(value)}")


def integers(op: str, what: str, values: Any) -> tuple[int, ...]:
    """One integer or a sequence of them as a tuple of Python integers."""
    values = values.data if isinstance(values, Tensor) else values
    values = values.tolist() if is_array(values) else values
    values = values if isinstance(values, (tuple, list, range)) else (values,)
    return tuple([integer(op, what, n) for n in values])


def integer_array(what: str, values: Any) -> Any:
    """``values`` as a raw array of integers. Raises TypeError when they are not integers."""
    values = operand(values)
    values = values.data if isinstance(values, Tensor) else values
    if values.dtype.kind not in "iu":
        raise TypeError(f"{what} must be integers, not {values.dtype}")
    return values


def normalize_axis(op: str, axis: Any, ndim: int) -> int:
    """``axis``, an integer, as a number from 0 on. Raises AxisError outside ``ndim`` axes."""
    return normalize_axis_index(integer(op, "axis", axis), ndim, op)


def normalize_axes(op: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """``axis``, an integer or a sequence of them, as a tuple of distinct numbers from 0 on.

    Raises AxisError outside ``ndim`` axes, ValueError for an axis that is named twice.
    """
    axis = axis.tolist() if isinstance(axis, np.ndarray) else axis
    if not isinstance(axis, (tuple, list, range)):
        return (normalize_axis(op, axis, ndim),)
    axes = tuple([normalize_axis(op, i, ndim) for i in axis])
    if len(set(axes)) < len(axes):
        raise ValueError(f"{op}: axis {tuple(axis)} names an axis twice")
    return axes


def reduced_axes(op: str, axis: Any, x: TensorLike) -> Axis:
    """The axes that a reduction of x runs over: None (all), a number, or a tuple of numbers.

    A sequence must be a tuple, as in NumPy. As in NumPy too, an array of shape () may be reduced
    over axis 0 or -1, named alone: nothing is reduced.
    """
    if axis is None:
        return None
    ndim = operand(x).ndim
    if isinstance(axis, tuple):
        return normalize_axes(op, axis, ndim)
    if isinstance(axis, list):
        raise TypeError(f"{op}: axis must be an integer or a tuple of them, not {described(axis)}")
    axis = normalize_axis(op, axis, ndim or 1)
    return axis if ndim else ()


def described(value: Any) -> str:
    """A wrong argument for a message: its type, and its value if that is short."""
    shown = repr(value)
    kind = type(value).__name__
    return f"the {kind} {shown}" if len(shown) < 40 and "\n" not in shown else f"a {kind}"


def matrices(op: str, a: TensorLike) -> Operand:
    """``a`` as matrices (..., M, N) of float32 or float64, the types that LAPACK computes in."""
    a = operand(a)
    lapack_type(op, a)
    if a.ndim < 2:
        raise ValueError(f"{op} takes matrices (..., M, N), got shape {a.shape}")
    return a


def square_matrices(op: str, a: TensorLike) -> Operand:
    """``a`` as square matrices (..., N, N) of float32 or float64."""
    a = operand(a)
    lapack_type(op, a)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ValueError(f"{op} takes square matrices (..., N, N), got shape {a.shape}")
    return a


def lapack_type(op: str, a: Operand) -> None:
    """Raise TypeError unless ``a`` is float32 or float64."""
    if a.dtype.kind != "f" or a.dtype.itemsize not in (4, 8):
        raise TypeError(f"{op} takes float32 and float64 only, not {a.dtype}")
