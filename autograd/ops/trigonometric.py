"""Trigonometric and hyperbolic functions, and their inverses. Angles are in radians.

Where a derivative contains sqrt(x^2 + c^2) it is written with ``hypot``: x^2 alone overflows when
x is larger than the root of the largest number, 256 in float16.
"""

from autograd._tensor import Tensor, TensorLike
from autograd.engine import Op
from autograd.ops.unsmooth import unsmooth

__all__ = [
    "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "cos", "cosh",
    "hypot", "sin", "sinh", "tan", "tanh",
]  # fmt: skip


class Sin(Op):
    """y = sin(x).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g * cos(x)
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.sin(x)

    def backward(self, xp, g, x):
        return g * xp.cos(x)


def sin(x: TensorLike) -> Tensor:
    """The sine."""
    return Sin()(x)


class Cos(Op):
    """y = cos(x).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = -g * sin(x)
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.cos(x)

    def backward(self, xp, g, x):
        return -g * xp.sin(x)


def cos(x: TensorLike) -> Tensor:
    """The cosine."""
    return Cos()(x)


class Tan(Op):
    """y = tan(x).

    Shapes: x (...) -> (...)
    Saves: y
    Derivative: g_x = g * (1 + y^2)
    """

    save_output = True

    def forward(self, xp, x):
        return xp.tan(x)

    def backward(self, xp, g, y):
        return g * (1 + y * y)


def tan(x: TensorLike) -> Tensor:
    """The tangent."""
    return Tan()(x)


class ArcSin(Op):
    """y = arcsin(x).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g / sqrt(1 - x^2)
    Note: infinite at -1 and 1
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.arcsin(x)

    def backward(self, xp, g, x):
        return g / xp.sqrt(one_minus_square(xp, x))


def arcsin(x: TensorLike) -> Tensor:
    """The angle in [-pi/2, pi/2] whose sine is x. At -1 and 1 the gradient is infinite."""
    return ArcSin()(x)


class ArcCos(Op):
    """y = arccos(x).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = -g / sqrt(1 - x^2)
    Note: infinite at -1 and 1
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.arccos(x)

    def backward(self, xp, g, x):
        return -g / xp.sqrt(one_minus_square(xp, x))


def arccos(x: TensorLike) -> Tensor:
    """The angle in [0, pi] whose cosine is x. At -1 and 1 the gradient is minus infinity."""
    return ArcCos()(x)


def one_minus_square(xp, x):
    """1 - x^2, as a product near 1, where the difference cancels, but not near 0, where the
    product's derivative -(1 + x) + (1 - x) does."""
    return xp.where(x * x < 0.25, 1 - x * x, (1 - x) * (1 + x))


class ArcTan(Op):
    """y = arctan(x).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g / (1 + x^2)
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.arctan(x)

    def backward(self, xp, g, x):
        h = xp.hypot(x, 1)
        return g / h / h


def arctan(x: TensorLike) -> Tensor:
    """The angle in (-pi/2, pi/2) whose tangent is x."""
    return ArcTan()(x)


class ArcTan2(Op):
    """y = the angle of the point (b, a).

    Shapes: a (...), b (...) -> (...), broadcast
    Saves: a, b
    Derivative: g_a = g * b / (a^2 + b^2), g_b = -g * a / (a^2 + b^2)
    Note: 0 at the origin, which has no angle; second derivatives are NaN there
    """

    broadcasts = True
    save_inputs = (0, 1)

    def forward(self, xp, a, b):
        return xp.arctan2(a, b)

    def backward(self, xp, g, a, b):
        h = xp.hypot(a, b)
        origin = h == 0  # a and b are 0, and can be divided by anything
        h = xp.where(origin, 1, h)
        return (
            unsmooth(g * (b / h / h), origin, a, b) if self.needs[0] else None,
            unsmooth(-g * (a / h / h), origin, a, b) if self.needs[1] else None,
        )


def arctan2(a: TensorLike, b: TensorLike) -> Tensor:
    """The angle in [-pi, pi] of the point with abscissa b and ordinate a.

    At the origin, which has no angle, the gradient is 0 and second derivatives are NaN.
    """
    return ArcTan2()(a, b)


class Hypot(Op):
    """y = sqrt(a^2 + b^2).

    Shapes: a (...), b (...) -> (...), broadcast
    Saves: a, b, y
    Derivative: g_a = g * a / y, g_b = g * b / y
    Note: 0 at the origin, the tip of the cone; second derivatives are NaN there
    """

    broadcasts = True
    save_inputs = (0, 1)
    saved_for = {0: (0,), 1: (1,)}
    save_output = True

    def forward(self, xp, a, b):
        return xp.hypot(a, b)

    def backward(self, xp, g, a, b, y):
        origin = y == 0
        y_ = xp.where(origin, 1, y)
        return (
            unsmooth(g * (a / y_), origin, y) if self.needs[0] else None,
            unsmooth(g * (b / y_), origin, y) if self.needs[1] else None,
        )


def hypot(a: TensorLike, b: TensorLike) -> Tensor:
    """The length sqrt(a^2 + b^2) of the point (a, b), computed without overflow or underflow.

    At the origin the gradient is 0 (PyTorch gives NaN); second derivatives, which are infinite, are
    NaN.
    """
    return Hypot()(a, b)


class Sinh(Op):
    """y = sinh(x) = (exp(x) - exp(-x)) / 2.

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g * cosh(x)
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.sinh(x)

    def backward(self, xp, g, x):
        return g * xp.cosh(x)


def sinh(x: TensorLike) -> Tensor:
    """The hyperbolic sine."""
    return Sinh()(x)


class Cosh(Op):
    """y = cosh(x) = (exp(x) + exp(-x)) / 2.

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g * sinh(x)
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.cosh(x)

    def backward(self, xp, g, x):
        return g * xp.sinh(x)


def cosh(x: TensorLike) -> Tensor:
    """The hyperbolic cosine."""
    return Cosh()(x)


class Tanh(Op):
    """y = tanh(x) = sinh(x) / cosh(x).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g / cosh(x)^2
    Note: 1 - y^2 is the same, but it is 0 as soon as y rounds to 1 (at x = 10 in float32)
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.tanh(x)

    def backward(self, xp, g, x):
        return g * sech(xp, x) ** 2


def tanh(x: TensorLike) -> Tensor:
    """The hyperbolic tangent."""
    return Tanh()(x)


class Sech(Op):
    """y = 1 / cosh(x), without overflow: exp is only ever taken of -|x|.

    Shapes: x (...) -> (...)
    Saves: x, y
    Derivative: g_x = -g * y * tanh(x)
    """

    save_inputs = (0,)
    save_output = True

    def forward(self, xp, x):
        e = xp.exp(-xp.abs(x))
        return 2 * e / (1 + e * e)

    def backward(self, xp, g, x, y):
        return -g * (y * xp.tanh(x))


def sech(xp, x):
    """1 / cosh(x) of an array or, as an operation, of a Tensor: for the backward of others."""
    return Sech()(x) if isinstance(x, Tensor) else Sech().forward(xp, x)


class ArcSinh(Op):
    """y = arcsinh(x) = log(x + sqrt(x^2 + 1)).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g / sqrt(x^2 + 1)
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.arcsinh(x)

    def backward(self, xp, g, x):
        return g / xp.hypot(x, 1)


def arcsinh(x: TensorLike) -> Tensor:
    """The number whose hyperbolic sine is x."""
    return ArcSinh()(x)


class ArcCosh(Op):
    """y = arccosh(x) = log(x + sqrt(x^2 - 1)).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g / sqrt(x^2 - 1)
    Note: infinite at 1
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.arccosh(x)

    def backward(self, xp, g, x):
        return g / (xp.sqrt(x - 1) * xp.sqrt(x + 1))  # x^2 - 1 cancels near 1, and may overflow


def arccosh(x: TensorLike) -> Tensor:
    """The nonnegative number whose hyperbolic cosine is x. At 1 the gradient is infinite."""
    return ArcCosh()(x)


class ArcTanh(Op):
    """y = arctanh(x) = log((1 + x) / (1 - x)) / 2.

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g / (1 - x^2)
    Note: infinite at -1 and 1
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.arctanh(x)

    def backward(self, xp, g, x):
        return g / one_minus_square(xp, x)


def arctanh(x: TensorLike) -> Tensor:
    """The number whose hyperbolic tangent is x. At -1 and 1 the gradient is infinite."""
    return ArcTanh()(x)
