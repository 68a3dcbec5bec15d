"""Exponentials, logarithms, and the two functions built from them: sigmoid and erf."""

import math

from autograd._tensor import Tensor, TensorLike
from autograd.engine import Op
from autograd.ops.trigonometric import sech

__all__ = [
    "erf", "exp", "exp2", "expm1", "log", "log10", "log1p", "log2", "logaddexp", "sigmoid",
]  # fmt: skip


class Exp(Op):
    """y = exp(x).

    Shapes: x (...) -> (...)
    Saves: y
    Derivative: g_x = g * y
    """

    save_output = True

    def forward(self, xp, x):
        return xp.exp(x)

    def backward(self, xp, g, y):
        return g * y


def exp(x: TensorLike) -> Tensor:
    """e^x."""
    return Exp()(x)


class Exp2(Op):
    """y = 2^x.

    Shapes: x (...) -> (...)
    Saves: y
    Derivative: g_x = g * y * log(2)
    """

    save_output = True

    def forward(self, xp, x):
        return xp.exp2(x)

    def backward(self, xp, g, y):
        return g * (y * math.log(2))


def exp2(x: TensorLike) -> Tensor:
    """2^x, exact where x is an integer."""
    return Exp2()(x)


class Expm1(Op):
    """y = exp(x) - 1.

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g * exp(x)
    Note: y + 1 is the same, but where y rounds to -1 it is 0 (below x = -17 in float32)
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.expm1(x)

    def backward(self, xp, g, x):
        return g * xp.exp(x)


def expm1(x: TensorLike) -> Tensor:
    """e^x - 1, exact for tiny x too."""
    return Expm1()(x)


class Log(Op):
    """y = log(x).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g / x
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.log(x)

    def backward(self, xp, g, x):
        return g / x


def log(x: TensorLike) -> Tensor:
    """The natural logarithm. At 0 it is minus infinity, and its gradient is infinite."""
    return Log()(x)


class Log1p(Op):
    """y = log(1 + x).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g / (1 + x)
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.log1p(x)

    def backward(self, xp, g, x):
        return g / (1 + x)


def log1p(x: TensorLike) -> Tensor:
    """The natural logarithm of 1 + x, exact for tiny x too."""
    return Log1p()(x)


class Log2(Op):
    """y = log(x) / log(2).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g / (x * log(2))
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.log2(x)

    def backward(self, xp, g, x):
        return g / (x * math.log(2))


def log2(x: TensorLike) -> Tensor:
    """The logarithm to base 2."""
    return Log2()(x)


class Log10(Op):
    """y = log(x) / log(10).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g / (x * log(10))
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.log10(x)

    def backward(self, xp, g, x):
        return g / x / math.log(10)  # x log(10) could overflow


def log10(x: TensorLike) -> Tensor:
    """The logarithm to base 10, exact at powers of 10. At 0 the gradient is infinite."""
    return Log10()(x)


class LogAddExp(Op):
    """y = log(exp(a) + exp(b)).

    Shapes: a (...), b (...) -> (...), broadcast
    Saves: a, b
    Derivative: g_a = g * sigmoid(a - b), g_b = g * sigmoid(b - a)
    Note: two equal infinities share the gradient equally, as any two equal numbers do
    """

    broadcasts = True
    save_inputs = (0, 1)

    def forward(self, xp, a, b):
        return xp.logaddexp(a, b)

    def backward(self, xp, g, a, b):
        equal_infinities = (a == b) & ~xp.isfinite(a)
        difference = xp.where(equal_infinities, 0, a) - xp.where(equal_infinities, 0, b)
        return (
            g * xp.sigmoid(difference) if self.needs[0] else None,
            g * xp.sigmoid(-difference) if self.needs[1] else None,
        )


def logaddexp(a: TensorLike, b: TensorLike) -> Tensor:
    """log(exp(a) + exp(b)), computed without overflow.

    Where both are the same infinity each gets half of the gradient (PyTorch gives NaN).
    """
    return LogAddExp()(a, b)


class Sigmoid(Op):
    """y = 1 / (1 + exp(-x)).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g / (4 * cosh(x / 2)^2)
    Note: y (1 - y) is the same, but it is 0 as soon as y rounds to 1 (at x = 17 in float32)
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.sigmoid(x)

    def backward(self, xp, g, x):
        return g * (0.25 * sech(xp, 0.5 * x) ** 2)


def sigmoid(x: TensorLike) -> Tensor:
    """1 / (1 + exp(-x)), computed without overflow."""
    return Sigmoid()(x)


class Erf(Op):
    """y = erf(x).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g * 2 / sqrt(pi) * exp(-x^2)
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.erf(x)

    def backward(self, xp, g, x):
        return g * (2 / math.sqrt(math.pi) * xp.exp(-x * x))


def erf(x: TensorLike) -> Tensor:
    """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return Erf()(x)
