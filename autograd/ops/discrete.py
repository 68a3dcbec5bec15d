"""Functions with discrete values: steps of numbers, places of elements, truth.

Their derivative is 0 wherever it exists, and a gradient of nothing but zeros would hide a mistake:
what they return is a constant and requires no gradient. Steps and places come as Tensors, truth as
raw boolean arrays, as from a comparison.
"""

from autograd._tensor import Tensor
from autograd._types import Array, Axis, TensorLike
from autograd.device import is_array, namespace, numpy_namespace
from autograd.ops.arguments import NUMBERS, integer, normalize_axis, operand, reduced_axes
from autograd.ops.shape import reshape
from autograd.plain import plain_array

__all__ = [
    "all", "any", "argmax", "argmin", "argsort", "ceil", "fix", "floor", "floor_divide", "isfinite",
    "isnan", "nonzero", "rint", "round", "sign", "trunc",
]  # fmt: skip

STEPS = ("ceil", "fix", "floor", "rint", "round", "sign", "trunc")
"""Functions of a number that are constant between their steps."""

WITHOUT_GRADIENT = (*STEPS, "argmax", "argmin", "argsort", "floor_divide")
"""What stands in for a number or an index and has no gradient: samples/ has entries for it too."""


def ceil(x: TensorLike) -> Tensor:
    """The smallest integers not below x, in x's type: a constant, without a gradient."""
    return _constant("ceil", x)


def floor(x: TensorLike) -> Tensor:
    """The largest integers not above x, in x's type: a constant, without a gradient."""
    return _constant("floor", x)


def trunc(x: TensorLike) -> Tensor:
    """x without what is behind the decimal point, in x's type: a constant, without a gradient."""
    return _constant("trunc", x)


def fix(x: TensorLike) -> Tensor:
    """The same as ``trunc``: x rounded towards 0."""
    return _constant("trunc", x)


def rint(x: TensorLike) -> Tensor:
    """x to the nearest integer, halves to the even one: a constant, without a gradient."""
    return _constant("rint", x)


def round(x: TensorLike, decimals: int = 0) -> Tensor:
    """x to so many decimals, halves to the even neighbour: a constant, without a gradient.

    ``x + (round(x) - x).detach()`` rounds forward and passes the gradient through.
    """
    return _constant("round", x, integer("round", "decimals", decimals))


def sign(x: TensorLike) -> Tensor:
    """-1, 0 or 1, and NaN for NaN: a constant, without a gradient."""
    return _constant("sign", x)


def floor_divide(a: TensorLike, b: TensorLike) -> Tensor:
    """floor(a / b), what Python's ``//`` gives: a constant, without a gradient.

    ``a == b * floor_divide(a, b) + remainder(a, b)``, and all of the gradient is in the remainder.
    """
    return _constant("floor_divide", a, b)


def argmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the largest value along ``axis`` (None: of the flattened x) is, the first of several.

    NaN counts as the largest. Integers: a constant, without a gradient. Raises ValueError when
    there is no element to choose.
    """
    return _place("argmax", x, axis, keepdims)


def argmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the smallest value along ``axis`` (None: of the flattened x) is, the first of several.

    NaN counts as the smallest, as in NumPy. Integers: a constant, without a gradient. Raises
    ValueError when there is no element to choose.
    """
    return _place("argmin", x, axis, keepdims)


def argsort(x: TensorLike, axis: int | None = -1, descending: bool = False) -> Tensor:
    """The order of the elements along ``axis`` (None: of the flattened x), smallest first.

    ``take_along_axis(x, argsort(x, axis), axis)`` is sorted. Equal elements keep their order, also
    when ``descending``; NaN counts as the largest. Integers: a constant, without a gradient.
    """
    x = operand(x)
    if axis is None:
        x, axis = reshape(x, (x.size,)), 0
    axis, array = normalize_axis("argsort", axis, x.ndim), _raw(x)
    return Tensor(stable_order(namespace(array), array, axis, descending))


def stable_order(xp, x, axis, descending):
    """The indices that sort the array x along ``axis``; equal elements keep their order."""
    if not descending:
        return xp.argsort(x, axis=axis, kind="stable")
    # read backwards, equal elements are in reverse: sorted and read backwards again, in order
    order = xp.argsort(xp.flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - xp.flip(order, axis)


def nonzero(x: TensorLike) -> tuple[Tensor, ...]:
    """Where x is not 0: a tuple of integer Tensors, one per axis, which ``x[...]`` takes."""
    x = _raw(operand(x))
    return tuple([Tensor(places) for places in namespace(x).nonzero(x)])


def all(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether no element along ``axis`` is 0 or False: a raw boolean array."""
    axis, x = reduced_axes("all", axis, x), _raw(operand(x))
    return namespace(x).asarray(namespace(x).all(x, axis=axis, keepdims=keepdims))


def any(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether some element along ``axis`` is neither 0 nor False: a raw boolean array."""
    axis, x = reduced_axes("any", axis, x), _raw(operand(x))
    return namespace(x).asarray(namespace(x).any(x, axis=axis, keepdims=keepdims))


def isfinite(x: TensorLike) -> Array:
    """Whether each element is neither infinite nor NaN: a raw boolean array."""
    x = _number_or_array("isfinite", x)
    return _library(x).isfinite(x)


def isnan(x: TensorLike) -> Array:
    """Whether each element is NaN: a raw boolean array."""
    x = _number_or_array("isnan", x)
    return _library(x).isnan(x)


def _constant(name, *args):
    args = [_number_or_array(name, x) for x in args]
    xp = _library(*args)
    try:
        return Tensor(xp.asarray(getattr(xp, name)(*args)))
    except TypeError as error:  # NumPy knows no sign of a boolean
        types = " and ".join([str(getattr(x, "dtype", type(x).__name__)) for x in args])
        raise TypeError(f"{name} does not take {types}: convert with .astype") from error


def _place(name, x, axis, keepdims):
    x = _raw(operand(x))
    if axis is not None:
        axis = normalize_axis(name, axis, x.ndim or 1)  # as in NumPy, shape () has an axis here
        axis = axis if x.ndim else None
    if (x.size if axis is None else x.shape[axis]) == 0:
        raise ValueError(f"{name}: there is no element to choose in shape {x.shape}, axis {axis}")
    xp = namespace(x)
    return Tensor(xp.asarray(getattr(xp, name)(x, axis=axis, keepdims=keepdims)))


def _number_or_array(name, x):
    """A number of Python as it is, since it is weak; all else as an array of numbers."""
    return x if type(x) in NUMBERS else plain_array(_raw(x), f"an operand of {name}")


def _raw(x):
    return x.data if isinstance(x, Tensor) else x


def _library(*args):
    """The library of the first array among the arguments, or NumPy."""
    arrays = filter(is_array, map(_raw, args))
    return next(map(namespace, arrays), numpy_namespace)
