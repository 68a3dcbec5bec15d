"""Arrays put beside one another, and taken apart, by NumPy's names for the usual cases.

All of them are ``concatenate`` and ``split`` of reshaped operands: the gradient is cut, or joined,
where the elements were.
"""

from collections.abc import Iterable
from typing import Any

from autograd._tensor import Tensor
from autograd._types import TensorLike
from autograd.ops.arguments import integer, normalize_axis, operand, operands
from autograd.ops.shape import concatenate, reshape, split

__all__ = [
    "append", "array_split", "atleast_1d", "atleast_2d", "atleast_3d", "column_stack", "dstack",
    "hstack", "vstack",
]  # fmt: skip


def atleast_1d(*tensors: TensorLike) -> Any:
    """Each tensor with one axis or more: a scalar becomes a vector. A tuple of them, if several."""
    return _each(tensors, lambda shape: shape or (1,))


def atleast_2d(*tensors: TensorLike) -> Any:
    """Each tensor with two axes or more: a vector becomes a row. A tuple of them, if several."""
    return _each(tensors, lambda shape: (1,) * (2 - len(shape)) + shape)


def atleast_3d(*tensors: TensorLike) -> Any:
    """Each tensor with three axes or more: a vector (N,) becomes (1, N, 1), a matrix (N, M, 1).

    A tuple of them, if there are several.
    """

    def reshaped(shape):
        return (1,) * (2 - len(shape)) + shape + (1,) * (len(shape) < 3)

    return _each(tensors, reshaped)


def vstack(tensors: Iterable[TensorLike]) -> Tensor:
    """The tensors below one another: joined along the first axis, vectors as rows."""
    return concatenate([atleast_2d(x) for x in tensors], axis=0)


def hstack(tensors: Iterable[TensorLike]) -> Tensor:
    """The tensors side by side: joined along the second axis, vectors along their only one."""
    xs = [atleast_1d(x) for x in tensors]
    return concatenate(xs, axis=0 if xs and xs[0].ndim == 1 else 1)


def dstack(tensors: Iterable[TensorLike]) -> Tensor:
    """The tensors behind one another: joined along the third axis, see ``atleast_3d``."""
    return concatenate([atleast_3d(x) for x in tensors], axis=2)


def column_stack(tensors: Iterable[TensorLike]) -> Tensor:
    """The tensors side by side: joined along the second axis, vectors as columns."""
    xs = [operand(x) for x in tensors]
    return concatenate([reshape(x, (x.size, 1)) if x.ndim < 2 else x for x in xs], axis=1)


def append(x: TensorLike, values: TensorLike, axis: int | None = None) -> Tensor:
    """x with ``values`` behind it along ``axis``; with axis None, both flattened."""
    x, values = operands(x, values)
    return concatenate([x, values], axis)


def array_split(x: TensorLike, indices_or_sections: TensorLike, axis: int = 0) -> list[Tensor]:
    """As ``split``, but n parts need not be equal: the first ones are longer by one.

    Raises ValueError when n is not positive.
    """
    x, cuts = operand(x), indices_or_sections
    axis = normalize_axis("array_split", axis, x.ndim)
    if operand(cuts).ndim == 0:
        n = integer("array_split", "the number of parts", cuts)
        if n < 1:
            raise ValueError(f"array_split: the number of parts must be positive, and is {n}")
        each, longer = divmod(x.shape[axis], n)
        cuts = [i * each + min(i, longer) for i in range(1, n)]
    return split(x, cuts, axis)


def _each(tensors, reshaped):
    found = tuple([_shaped(operand(x), reshaped) for x in tensors])
    return found[0] if len(found) == 1 else found


def _shaped(x, reshaped):
    shape = reshaped(x.shape)
    if x.shape != shape:
        return reshape(x, shape)
    return x if isinstance(x, Tensor) else Tensor(x)
