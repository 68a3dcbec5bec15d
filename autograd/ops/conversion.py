"""Conversion to another type of number."""

from autograd import device
from autograd._tensor import Tensor, TensorLike
from autograd._types import DTypeLike
from autograd.engine import Op
from autograd.ops.arguments import operand

__all__ = ["astype"]


class AsType(Op):
    """y = x in another floating-point type.

    Shapes: x (...) -> (...)
    Saves: nothing
    Derivative: g_x = g
    Note: converted back to x's type
    """

    def __init__(self, dtype):
        self.to = dtype

    def forward(self, xp, x):
        return x.astype(self.to)

    def backward(self, xp, g):
        return xp.astype(g, self.inputs[0].dtype)


def astype(x: TensorLike, dtype: DTypeLike) -> Tensor:
    """x converted to ``dtype``. A tensor that is of this type already is returned as it is.

    Converted to integers or booleans it is a constant: the result requires no gradient.
    """
    if isinstance(x, Tensor) and x.dtype == dtype:
        return x
    x = operand(x)
    xp = device.namespace(x.data if isinstance(x, Tensor) else x)
    return AsType(xp.dtype(dtype))(x)
