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

    def __neg__(self):
        return ops.negative(self)

    def __abs__(self):
        return ops.abs(self)

    def __getitem__(self, index):
        return ops.getitem(self, index)

    T = property(lambda self: ops.transpose(self), doc="The tensor with its axes reversed.")

    # --- methods, as NumPy's -------------------------------------------------------------------

    def reshape(self, *shape):
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes):
        if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (tuple, list))):
            axes = axes[0]
        return ops.transpose(self, axes or None)

    def swapaxes(self, axis1, axis2):
        return ops.swapaxes(self, axis1, axis2)

    def astype(self, dtype):
        return ops.astype(self, dtype)

    def sum(self, axis=None, keepdims=False):
        return ops.sum(self, axis, keepdims)

    def mean(self, axis=None, keepdims=False):
        return ops.mean(self, axis, keepdims)

    def max(self, axis=None, keepdims=False):
        return ops.max(self, axis, keepdims)

    def min(self, axis=None, keepdims=False):
        return ops.min(self, axis, keepdims)

    def exp(self):
        return ops.exp(self)

    def log(self):
        return ops.log(self)

    def tanh(self):
        return ops.tanh(self)

    def sqrt(self):
        return ops.sqrt(self)
