"""Joining arrays and splitting them, with NumPy's names for the usual cases.

All of these are ``concatenate`` and ``split`` of reshaped operands: the gradient is split where
they were joined, and joined where they were split.
"""

from collections.abc import Iterable
from typing import Any

from autograd._tensor import Tensor, TensorLike
from autograd.ops.arguments import integer, normalize_axis, operand, operands
from autograd.ops.shape import concatenate, reshape, split

__all__ = [
    "append", "array_split", "atleast_1d", "atleast_2d", "atleast_3d", "column_stack", "dstack",
    "hstack", "vstack",
]  # fmt: skip


def atleast_1d(*tensors: TensorLike) -> Any:
    """Each tensor with at least one axis: a scalar becomes a vector. Several give a tuple."""
    return _each(tensors, lambda shape: shape or (1,))


def atleast_2d(*tensors: TensorLike) -> Any:
    """Each tensor with at least two axes: a vector becomes a row. Several give a tuple."""
    return _each(tensors, lambda shape: (1,) * (2 - len(shape)) + shape)


def atleast_3d(*tensors: TensorLike) -> Any:
    """Each tensor with at least three axes: a vector (N,) becomes (1, N, 1), a matrix (N, M, 1).

    Several give a tuple.
    """

    def reshaped(shape):
        return (1,) * (2 - len(shape)) + shape + (1,) * (len(shape) < 3)

    return _each(tensors, reshaped)


def vstack(tensors: Iterable[TensorLike]) -> Tensor:
    """The tensors one below the other: joined along the first axis, vectors as rows."""
    return concatenate([atleast_2d(x) for x in tensors], axis=0)


def hstack(tensors: Iterable[TensorLike]) -> Tensor:
    """The tensors side by side: joined along the second axis, vectors along their only axis."""
    xs = [atleast_1d(x) for x in tensors]
    return concatenate(xs, axis=0 if xs and xs[0].ndim == 1 else 1)


def dstack(tensors: Iterable[TensorLike]) -> Tensor:
    """The tensors one behind the other: joined along the third axis, see ``atleast_3d``."""
    return concatenate([atleast_3d(x) for x in tensors], axis=2)


def column_stack(tensors: Iterable[TensorLike]) -> Tensor:
    """The tensors side by side: joined along the second axis, vectors as columns."""
    xs = [operand(x) for x in tensors]
    return concatenate([reshape(x, (x.size, 1)) if x.ndim < 2 else x for x in xs], axis=1)


def append(x: TensorLike, values: TensorLike, axis: int | None = None) -> Tensor:
    """x followed by ``values`` along ``axis``; with axis None, both are flattened."""
    x, values = operands(x, values)
    return concatenate([x, values], axis)


def array_split(x: TensorLike, indices_or_sections: TensorLike, axis: int = 0) -> list[Tensor]:
    """Like ``split``, but n need not divide the axis: the first parts are longer by one.

    Raises ValueError when n is not positive.
    """
    x, cuts = operand(x), indices_or_sections
    axis = normalize_axis("array_split", axis, x.ndim)
    if operand(cuts).ndim == 0:
        n = integer("array_split", "the number of parts", cuts)
        if n < 1:
            raise ValueError(f"array_split: the number of parts must be positive, got {n}")
        each, longer = divmod(x.shape[axis], n)
        cuts = [i * each + min(i, longer) for i in range(1, n)]
    return split(x, cuts, axis)


def _each(tensors, reshaped):
    results = tuple([_shaped(operand(x), reshaped) for x in tensors])
    return results[0] if len(results) == 1 else results


def _shaped(x, reshaped):
    shape = reshaped(x.shape)
    if x.shape != shape:
        return reshape(x, shape)
    return x if isinstance(x, Tensor) else Tensor(x)
