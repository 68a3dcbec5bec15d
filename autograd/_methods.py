"""The operators and methods of a Tensor, spelled as those of a NumPy array.

Each is one call of ``autograd.ops``, where the mathematics is. ``ops``, and ``backward`` for
``Tensor.backward``, are bound by ``autograd/__init__.py`` once everything is loaded: the engine is
built on Tensor, so this file cannot import them.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from autograd._types import Array, ArrayLike, Axis, DTypeLike, Integers
from autograd.questions import see

ops: Any = None  # the module autograd.ops
backward: Any = None  # the function of autograd/backward.py, which Tensor.backward calls


TensorT = TypeVar("TensorT")


class Methods(Generic[TensorT]):
    """What a Tensor can do because ``autograd.ops`` can. TensorT is the class Tensor itself."""

    __slots__ = ()

    # --- operators ---------------------------------------------------------------------------

    def __add__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.add(self, other)

    def __sub__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.subtract(self, other)

    def __mul__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.multiply(self, other)

    def __truediv__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.divide(self, other)

    def __pow__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.power(self, other)

    def __matmul__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.matmul(self, other)

    def __floordiv__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.floor_divide(self, other)

    def __mod__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.remainder(self, other)

    def __divmod__(self, other: TensorT | ArrayLike) -> tuple[TensorT, TensorT]:
        return ops.floor_divide(self, other), ops.remainder(self, other)

    def __radd__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.add(other, self)

    def __rsub__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.subtract(other, self)

    def __rmul__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.multiply(other, self)

    def __rtruediv__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.divide(other, self)

    def __rpow__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.power(other, self)

    def __rmatmul__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.matmul(other, self)

    def __rfloordiv__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.floor_divide(other, self)

    def __rmod__(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.remainder(other, self)

    def __rdivmod__(self, other: TensorT | ArrayLike) -> tuple[TensorT, TensorT]:
        return ops.floor_divide(other, self), ops.remainder(other, self)

    def __pos__(self) -> TensorT:
        return ops.copy(self)

    def __neg__(self) -> TensorT:
        return ops.negative(self)

    def __abs__(self) -> TensorT:
        return ops.abs(self)

    def __round__(self, decimals: int = 0) -> TensorT:
        return ops.round(self, decimals)

    def __getitem__(self, index: Any) -> TensorT:
        return ops.getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "the elements of a Tensor are not assigned to, since a graph may need the old ones: "
            "compute a new Tensor (ops.where, ops.concatenate), replace them all with x.assign_, "
            "or, between two steps, write to the array, x.data[index] = value"
            + see("Why is an in-place change an error?")
        )

    # --- methods, as NumPy's: the shape --------------------------------------------------------

    @property
    def T(self) -> TensorT:
        """The tensor with its axes reversed."""
        return ops.transpose(self)

    def reshape(self, *shape: Integers) -> TensorT:
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> TensorT:
        if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (tuple, list))):
            return ops.transpose(self, axes[0] or None)
        return ops.transpose(self, axes or None)

    def swapaxes(self, axis1: int, axis2: int) -> TensorT:
        return ops.swapaxes(self, axis1, axis2)

    def squeeze(self, axis: Axis = None) -> TensorT:
        return ops.squeeze(self, axis)

    def ravel(self) -> TensorT:
        return ops.ravel(self)

    def flatten(self) -> TensorT:
        """All elements in one axis, in memory of their own (``ravel`` may give a view)."""
        return ops.ravel(ops.copy(self))

    def repeat(self, repeats: TensorT | ArrayLike, axis: int | None = None) -> TensorT:
        return ops.repeat(self, repeats, axis)

    def take(self, indices: TensorT | ArrayLike, axis: int | None = None) -> TensorT:
        return ops.take(self, indices, axis)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> TensorT:
        return ops.diagonal(self, offset, axis1, axis2)

    def copy(self) -> TensorT:
        """The same values in memory of their own, part of the graph. See ``detach``, ``tensor``."""
        return ops.copy(self)

    def astype(self, dtype: DTypeLike) -> TensorT:
        return ops.astype(self, dtype)

    # --- along an axis -------------------------------------------------------------------------

    def sum(self, axis: Axis = None, keepdims: bool = False) -> TensorT:
        return ops.sum(self, axis, keepdims)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> TensorT:
        return ops.prod(self, axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> TensorT:
        return ops.mean(self, axis, keepdims)

    def var(self, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> TensorT:
        return ops.var(self, axis, keepdims, ddof)

    def std(self, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> TensorT:
        return ops.std(self, axis, keepdims, ddof)

    def max(self, axis: Axis = None, keepdims: bool = False) -> TensorT:
        return ops.max(self, axis, keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> TensorT:
        return ops.min(self, axis, keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> TensorT:
        return ops.argmax(self, axis, keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> TensorT:
        return ops.argmin(self, axis, keepdims)

    def any(self, axis: Axis = None, keepdims: bool = False) -> Array:
        return ops.any(self, axis, keepdims)

    def all(self, axis: Axis = None, keepdims: bool = False) -> Array:
        return ops.all(self, axis, keepdims)

    def cumsum(self, axis: int | None = None) -> TensorT:
        return ops.cumsum(self, axis)

    def cumprod(self, axis: int | None = None) -> TensorT:
        return ops.cumprod(self, axis)

    def sort(self, axis: int | None = -1, descending: bool = False) -> TensorT:
        """A sorted Tensor. (NumPy's method sorts in place; a Tensor stays as it is.)"""
        return ops.sort(self, axis, descending)

    def argsort(self, axis: int | None = -1, descending: bool = False) -> TensorT:
        return ops.argsort(self, axis, descending)

    def nonzero(self) -> tuple[TensorT, ...]:
        return ops.nonzero(self)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> TensorT:
        return ops.trace(self, offset, axis1, axis2)

    def dot(self, other: TensorT | ArrayLike) -> TensorT:
        return ops.dot(self, other)

    # --- number by number ----------------------------------------------------------------------

    def abs(self) -> TensorT:
        return ops.abs(self)

    def clip(
        self, min: TensorT | ArrayLike | None = None, max: TensorT | ArrayLike | None = None
    ) -> TensorT:
        return ops.clip(self, min, max)

    def round(self, decimals: int = 0) -> TensorT:
        return ops.round(self, decimals)

    def exp(self) -> TensorT:
        return ops.exp(self)

    def log(self) -> TensorT:
        return ops.log(self)

    def tanh(self) -> TensorT:
        return ops.tanh(self)

    def sqrt(self) -> TensorT:
        return ops.sqrt(self)

    def fill(self, value: Any) -> None:
        raise TypeError(
            "fill would change a Tensor in place, and a graph may need the old values: "
            "use ops.full_like(x, value), or x.assign_" + see("Why is an in-place change an error?")
        )


for method in vars(Methods).values():
    if callable(method):  # in what Python says of wrong arguments, "Tensor.sum()"
        method.__qualname__ = f"Tensor.{method.__name__}"
