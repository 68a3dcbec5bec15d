"""Functions with discrete values: rounded numbers, positions of elements, truth values.

Their derivative is 0 wherever it exists, and a gradient of zeros would hide a mistake: the result
is a constant, which requires no gradient. Rounded numbers and positions are Tensors; truth values
are raw boolean arrays, as those of a comparison.
"""

from autograd._tensor import Tensor, TensorLike
from autograd._types import Array, Axis
from autograd.device import is_array, namespace, numpy_namespace
from autograd.ops.arguments import NUMBERS, integer, normalize_axis, operand, reduced_axes
from autograd.ops.shape import reshape
from autograd.plain import plain_array

__all__ = [
    "all", "any", "argmax", "argmin", "argsort", "ceil", "fix", "floor", "floor_divide", "isfinite",
    "isnan", "nonzero", "rint", "round", "sign", "trunc",
]  # fmt: skip

STEPS = ("ceil", "fix", "floor", "rint", "round", "sign", "trunc")
"""Functions of one number that are constant between jumps."""

WITHOUT_GRADIENT = (*STEPS, "argmax", "argmin", "argsort", "floor_divide")
"""Functions whose result serves as a number or an index: they have samples too."""


def ceil(x: TensorLike) -> Tensor:
    """The smallest integers not below x, in x's type: a constant, without a gradient."""
    return _constant("ceil", x)


def floor(x: TensorLike) -> Tensor:
    """The largest integers not above x, in x's type: a constant, without a gradient."""
    return _constant("floor", x)


def trunc(x: TensorLike) -> Tensor:
    """x without its fraction, in x's type: a constant, without a gradient."""
    return _constant("trunc", x)


def fix(x: TensorLike) -> Tensor:
    """x rounded towards 0, the same as ``trunc``."""
    return _constant("trunc", x)


def rint(x: TensorLike) -> Tensor:
    """x rounded to the nearest integer, halves to the even one: a constant, without a gradient."""
    return _constant("rint", x)


def round(x: TensorLike, decimals: int = 0) -> Tensor:
    """x to ``decimals`` places, halves to the even neighbour: a constant, without a gradient.

    ``x + (round(x) - x).detach()`` rounds forward and passes the gradient through.
    """
    return _constant("round", x, integer("round", "decimals", decimals))


def sign(x: TensorLike) -> Tensor:
    """-1, 0 or 1, and NaN for NaN: a constant, without a gradient."""
    return _constant("sign", x)


def floor_divide(a: TensorLike, b: TensorLike) -> Tensor:
    """floor(a / b), as Python's ``//``: a constant, without a gradient.

    ``a == b * floor_divide(a, b) + remainder(a, b)``, and the remainder has all of the gradient.
    """
    return _constant("floor_divide", a, b)


def argmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The first index of the largest value along ``axis`` (None: of the flattened x).

    NaN counts as the largest. A constant, without a gradient. Raises ValueError when there are no
    elements.
    """
    return _place("argmax", x, axis, keepdims)


def argmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The first index of the smallest value along ``axis`` (None: of the flattened x).

    NaN counts as the smallest, as in NumPy. A constant, without a gradient. Raises ValueError when
    there are no elements.
    """
    return _place("argmin", x, axis, keepdims)


def argsort(x: TensorLike, axis: int | None = -1, descending: bool = False) -> Tensor:
    """The indices that sort x along ``axis`` (None: the flattened x), smallest first.

    ``take_along_axis(x, argsort(x, axis), axis)`` is sorted. Equal elements keep their order, also
    when ``descending``; NaN counts as the largest. A constant, without a gradient.
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
    # sorting the flipped array reverses equal elements; flipping the result restores their order
    order = xp.argsort(xp.flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - xp.flip(order, axis)


def nonzero(x: TensorLike) -> tuple[Tensor, ...]:
    """The indices of the elements that are not 0: integer Tensors, one per axis, for ``x[...]``."""
    x = _raw(operand(x))
    return tuple([Tensor(places) for places in namespace(x).nonzero(x)])


def all(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether all elements along ``axis`` are nonzero: a raw boolean array."""
    axis, x = reduced_axes("all", axis, x), _raw(operand(x))
    return namespace(x).asarray(namespace(x).all(x, axis=axis, keepdims=keepdims))


def any(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether any element along ``axis`` is nonzero: a raw boolean array."""
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
    except TypeError as error:  # NumPy has no sign of a boolean
        types = " and ".join([str(getattr(x, "dtype", type(x).__name__)) for x in args])
        raise TypeError(f"{name} does not take {types}: convert with .astype") from error


def _place(name, x, axis, keepdims):
    x = _raw(operand(x))
    if axis is not None:
        axis = normalize_axis(name, axis, x.ndim or 1)  # as in NumPy, shape () has an axis here
        axis = axis if x.ndim else None
    if (x.size if axis is None else x.shape[axis]) == 0:
        raise ValueError(f"{name}: no elements to choose from in shape {x.shape}, axis {axis}")
    xp = namespace(x)
    return Tensor(xp.asarray(getattr(xp, name)(x, axis=axis, keepdims=keepdims)))


def _number_or_array(name, x):
    """A Python number as it is, since its type is weak; anything else as an array of numbers."""
    return x if type(x) in NUMBERS else plain_array(_raw(x), f"an operand of {name}")


def _raw(x):
    return x.data if isinstance(x, Tensor) else x


def _library(*args):
    """The library of the first array among the arguments, or NumPy."""
    arrays = filter(is_array, map(_raw, args))
    return next(map(namespace, arrays), numpy_namespace)
