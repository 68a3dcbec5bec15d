"""The operators and methods of a Tensor, spelled as those of a NumPy array.

Each is one call of ``autograd.ops``, where the mathematics is. ``ops`` is bound by
``autograd/__init__.py`` once everything is loaded.
"""

from typing import Any

ops: Any = None  # the module autograd.ops; bound in autograd/__init__.py


class Methods:
    """What a Tensor can do because ``autograd.ops`` can."""

    __slots__ = ()

    # --- operators ---------------------------------------------------------------------------

    def __add__(self, other):
        return ops.add(self, other)

    def __sub__(self, other):
        return ops.subtract(self, other)

    def __mul__(self, other):
        return ops.multiply(self, other)

    def __truediv__(self, other):
        return ops.divide(self, other)

    def __pow__(self, other):
        return ops.power(self, other)

    def __matmul__(self, other):
        return ops.matmul(self, other)

    def __floordiv__(self, other):
        return ops.floor_divide(self, other)

    def __mod__(self, other):
        return ops.remainder(self, other)

    def __divmod__(self, other):
        return ops.floor_divide(self, other), ops.remainder(self, other)

    def __radd__(self, other):
        return ops.add(other, self)

    def __rsub__(self, other):
        return ops.subtract(other, self)

    def __rmul__(self, other):
        return ops.multiply(other, self)

    def __rtruediv__(self, other):
        return ops.divide(other, self)

    def __rpow__(self, other):
        return ops.power(other, self)

    def __rmatmul__(self, other):
        return ops.matmul(other, self)

    def __rfloordiv__(self, other):
        return ops.floor_divide(other, self)

    def __rmod__(self, other):
        return ops.remainder(other, self)

    def __rdivmod__(self, other):
        return ops.floor_divide(other, self), ops.remainder(other, self)

    def __pos__(self):
        return ops.copy(self)

    def __neg__(self):
        return ops.negative(self)

    def __abs__(self):
        return ops.abs(self)

    def __round__(self, decimals=0):
        return ops.round(self, decimals)

    def __getitem__(self, index):
        return ops.getitem(self, index)

    def __setitem__(self, index, value):
        raise TypeError(
            "the elements of a Tensor are not assigned to, since a graph may need the old ones: "
            "compute a new Tensor (ops.where, ops.concatenate), or replace them all with assign_"
        )

    # --- methods, as NumPy's: the shape --------------------------------------------------------

    T = property(lambda self: ops.transpose(self), doc="The tensor with its axes reversed.")

    def reshape(self, *shape):
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes):
        if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (tuple, list))):
            axes = axes[0]
        return ops.transpose(self, axes or None)

    def swapaxes(self, axis1, axis2):
        return ops.swapaxes(self, axis1, axis2)

    def squeeze(self, axis=None):
        return ops.squeeze(self, axis)

    def ravel(self):
        return ops.ravel(self)

    def flatten(self):
        """All elements in one axis, in memory of their own (``ravel`` may give a view)."""
        return ops.ravel(ops.copy(self))

    def repeat(self, repeats, axis=None):
        return ops.repeat(self, repeats, axis)

    def take(self, indices, axis=None):
        return ops.take(self, indices, axis)

    def diagonal(self, offset=0, axis1=0, axis2=1):
        return ops.diagonal(self, offset, axis1, axis2)

    def copy(self):
        """The same values in memory of their own, part of the graph. See ``detach``, ``tensor``."""
        return ops.copy(self)

    def astype(self, dtype):
        return ops.astype(self, dtype)

    # --- along an axis -------------------------------------------------------------------------

    def sum(self, axis=None, keepdims=False):
        return ops.sum(self, axis, keepdims)

    def prod(self, axis=None, keepdims=False):
        return ops.prod(self, axis, keepdims)

    def mean(self, axis=None, keepdims=False):
        return ops.mean(self, axis, keepdims)

    def var(self, axis=None, keepdims=False, ddof=0):
        return ops.var(self, axis, keepdims, ddof)

    def std(self, axis=None, keepdims=False, ddof=0):
        return ops.std(self, axis, keepdims, ddof)

    def max(self, axis=None, keepdims=False):
        return ops.max(self, axis, keepdims)

    def min(self, axis=None, keepdims=False):
        return ops.min(self, axis, keepdims)

    def argmax(self, axis=None, keepdims=False):
        return ops.argmax(self, axis, keepdims)

    def argmin(self, axis=None, keepdims=False):
        return ops.argmin(self, axis, keepdims)

    def any(self, axis=None, keepdims=False):
        return ops.any(self, axis, keepdims)

    def all(self, axis=None, keepdims=False):
        return ops.all(self, axis, keepdims)

    def cumsum(self, axis=None):
        return ops.cumsum(self, axis)

    def cumprod(self, axis=None):
        return ops.cumprod(self, axis)

    def sort(self, axis=-1, descending=False):
        """A sorted Tensor. (NumPy's method sorts in place; a Tensor stays as it is.)"""
        return ops.sort(self, axis, descending)

    def argsort(self, axis=-1, descending=False):
        return ops.argsort(self, axis, descending)

    def nonzero(self):
        return ops.nonzero(self)

    def trace(self, offset=0, axis1=0, axis2=1):
        return ops.trace(self, offset, axis1, axis2)

    def dot(self, other):
        return ops.dot(self, other)

    # --- number by number ----------------------------------------------------------------------

    def abs(self):
        return ops.abs(self)

    def clip(self, min=None, max=None):
        return ops.clip(self, min, max)

    def round(self, decimals=0):
        return ops.round(self, decimals)

    def exp(self):
        return ops.exp(self)

    def log(self):
        return ops.log(self)

    def tanh(self):
        return ops.tanh(self)

    def sqrt(self):
        return ops.sqrt(self)

    def fill(self, value):
        raise TypeError(
            "fill would change a Tensor in place, and a graph may need the old values: "
            "use ops.full_like(x, value), or x.assign_"
        )


for method in vars(Methods).values():
    if callable(method):  # in what Python says of wrong arguments, "Tensor.sum()"
        method.__qualname__ = f"Tensor.{method.__name__}"
