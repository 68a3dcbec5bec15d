"""Sums, products, quotients, powers and roots, element by element.

Binary operations broadcast as NumPy does; the engine sums the gradients back to the inputs' shapes.
"""

import math

from autograd._tensor import Tensor, TensorLike
from autograd.engine import Op
from autograd.ops.unsmooth import unsmooth

__all__ = [
    "add", "divide", "fmod", "mod", "multiply", "negative", "power", "reciprocal", "remainder",
    "sqrt", "square", "subtract",
]  # fmt: skip


class Add(Op):
    """y = a + b.

    Shapes: a (...), b (...) -> (...), broadcast
    Saves: nothing
    Derivative: g_a = g, g_b = g
    """

    broadcasts = True

    def forward(self, xp, a, b):
        return a + b

    def backward(self, xp, g):
        return g, g


def add(a: TensorLike, b: TensorLike) -> Tensor:
    """a + b."""
    return Add()(a, b)


class Subtract(Op):
    """y = a - b.

    Shapes: a (...), b (...) -> (...), broadcast
    Saves: nothing
    Derivative: g_a = g, g_b = -g
    """

    broadcasts = True

    def forward(self, xp, a, b):
        return a - b

    def backward(self, xp, g):
        return g, -g if self.needs[1] else None


def subtract(a: TensorLike, b: TensorLike) -> Tensor:
    """a - b."""
    return Subtract()(a, b)


class Multiply(Op):
    """y = a b.

    Shapes: a (...), b (...) -> (...), broadcast
    Saves: a, b
    Derivative: g_a = g * b, g_b = g * a
    """

    broadcasts = True
    save_inputs = (0, 1)
    saved_for = {0: (1,), 1: (0,)}
    fresh_gradients = True

    def forward(self, xp, a, b):
        return a * b

    def backward(self, xp, g, a, b):
        return g * b if self.needs[0] else None, g * a if self.needs[1] else None


def multiply(a: TensorLike, b: TensorLike) -> Tensor:
    """a b."""
    return Multiply()(a, b)


class Divide(Op):
    """y = a / b.

    Shapes: a (...), b (...) -> (...), broadcast
    Saves: a, b
    Derivative: g_a = g / b, g_b = -g * a / b^2
    Note: the second is computed as -(g / b) * (a / b), since b^2 could overflow
    """

    broadcasts = True
    save_inputs = (0, 1)
    saved_for = {0: (1,), 1: (0, 1)}

    def forward(self, xp, a, b):
        return a / b

    def backward(self, xp, g, a, b):
        g_a = g / b
        return g_a if self.needs[0] else None, -g_a * (a / b) if self.needs[1] else None


def divide(a: TensorLike, b: TensorLike) -> Tensor:
    """a / b."""
    return Divide()(a, b)


class Power(Op):
    """y = a^b.

    Shapes: a (...), b (...) -> (...), broadcast
    Saves: a, b
    Derivative: g_a = g * b * a^(b - 1), g_b = g * a^b * log(a)
    Note: as in PyTorch, the first is 0 at b = 0 for every a, the second is 0 at a = 0 for b >= 0

    At a = 0 and 0 <= b <= 1 the slopes jump or turn infinite as b moves: there the mixed second
    derivative is NaN, and for b = 0 that in b as well.
    """

    broadcasts = True
    save_inputs = (0, 1)

    def forward(self, xp, a, b):
        return a**b

    def backward(self, xp, g, a, b):
        g_a = g_b = None
        if a.dtype != b.dtype:  # in int8 log would return float16, and -128 - 1 would be 127
            a, b = xp.astype(a, g.dtype), xp.astype(b, g.dtype)
        edge = (a == 0) & (b >= 0) & (b <= 1)
        if self.needs[0]:
            flat = b == 0  # the slope is 0, also where a^(b-1) is infinite
            if self.needs[1]:  # b may be differentiated next: keep the slope a function of b, if
                flat = flat & ((a == 0) | (a != a))  # a^(b-1) is a number: a is not 0 and not NaN
            g_a = g * b * xp.where(flat, 1, a) ** xp.where(flat, 1, b - 1)
            g_a = unsmooth(g_a, edge, b)
        if self.needs[1]:
            log = xp.log(xp.where((a == 0) & (b >= 0), 1, a))
            g_b = unsmooth(unsmooth(g * a**b * log, edge, a), edge & (b == 0), b)
        return g_a, g_b


class PowerToNumber(Op):
    """y = x^n for a Python number n.

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g * n * x^(n - 1)
    Note: 0 for n = 0, also where x^-1 is infinite
    """

    save_inputs = (0,)

    def __init__(self, n):
        self.n = n

    def forward(self, xp, x):
        return x**self.n

    def backward(self, xp, g, x):
        if self.n == 0:
            return g * 0  # x^-1 may be infinite
        power = x if self.n == 2 else x ** (self.n - 1)
        return g * (self.n * power)


class NumberToPower(Op):
    """y = c^x for a Python number c.

    Shapes: x (...) -> (...)
    Saves: y
    Derivative: g_x = g * y * log(c)
    Note: 0^x jumps at x = 0: there the slope is minus infinity, and 0 elsewhere
    """

    save_output = True

    def __init__(self, c):
        self.c = c

    def forward(self, xp, x):
        return self.c**x

    def backward(self, xp, g, y):
        if self.c == 0:
            return unsmooth(g * xp.where(y > 1, -math.inf, y * 0), y == 1, y)
        return g * (y * (math.log(self.c) if self.c > 0 else math.nan))


def power(a: TensorLike, b: TensorLike) -> Tensor:
    """a to the power b. At b = 0 the gradient of a is 0; at a = 0 and b >= 0 that of b is 0.

    Where a is 0 and b is between 0 and 1 the mixed second derivative does not exist: it is NaN.
    """
    if type(b) in (bool, int, float):
        return PowerToNumber(b)(a)
    if type(a) in (bool, int, float):
        return NumberToPower(a)(b)
    return Power()(a, b)


class Negative(Op):
    """y = -x.

    Shapes: x (...) -> (...)
    Saves: nothing
    Derivative: g_x = -g
    """

    def forward(self, xp, x):
        return -x

    def backward(self, xp, g):
        return -g


def negative(x: TensorLike) -> Tensor:
    """-x."""
    return Negative()(x)


class Reciprocal(Op):
    """y = 1 / x.

    Shapes: x (...) -> (...)
    Saves: y
    Derivative: g_x = -g * y^2
    """

    save_output = True

    def forward(self, xp, x):
        return xp.divide(1, x)

    def backward(self, xp, g, y):
        return -g * (y * y)


def reciprocal(x: TensorLike) -> Tensor:
    """1 / x. At 0 it is infinite, and its gradient minus infinity."""
    return Reciprocal()(x)


class Square(Op):
    """y = x^2.

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g * 2 * x
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.square(x)

    def backward(self, xp, g, x):
        return g * (2 * x)


def square(x: TensorLike) -> Tensor:
    """x^2."""
    return Square()(x)


class Sqrt(Op):
    """y = sqrt(x).

    Shapes: x (...) -> (...)
    Saves: y
    Derivative: g_x = g / (2 * y)
    Note: infinite at 0
    """

    save_output = True

    def forward(self, xp, x):
        return xp.sqrt(x)

    def backward(self, xp, g, y):
        return g / (2 * y)


def sqrt(x: TensorLike) -> Tensor:
    """The square root. At 0 the gradient is infinite."""
    return Sqrt()(x)


class Remainder(Op):
    """y = a - n b with n = floor(a / b).

    Shapes: a (...), b (...) -> (...), broadcast
    Saves: a, b
    Derivative: g_a = g, g_b = -g * floor(a / b)
    Note: n is a step function with derivative 0; where y jumps, this is the slope of y's own side
    """

    broadcasts = True
    save_inputs = (0, 1)
    saved_for = {0: (1,), 1: (1,)}

    def forward(self, xp, a, b):
        return xp.remainder(a, b)

    def backward(self, xp, g, a, b):
        return g, -g * xp.floor_divide(a, b) if self.needs[1] else None


def remainder(a: TensorLike, b: TensorLike) -> Tensor:
    """a - b floor(a / b), as Python's ``%``: between 0 and b, with b's sign.

    Where a is a multiple of b the value jumps; the gradient is that of the side it belongs to.
    """
    return Remainder()(a, b)


def mod(a: TensorLike, b: TensorLike) -> Tensor:
    """Another name for ``remainder``."""
    return Remainder()(a, b)


class FMod(Op):
    """y = a - n b, with n = a / b rounded towards 0.

    Shapes: a (...), b (...) -> (...), broadcast
    Saves: a, b
    Derivative: g_a = g, g_b = -g * trunc(a / b)
    Note: n is a step function with derivative 0
    """

    broadcasts = True
    save_inputs = (0, 1)
    saved_for = {0: (1,), 1: (1,)}

    def forward(self, xp, a, b):
        return xp.fmod(a, b)

    def backward(self, xp, g, a, b):
        if not self.needs[1]:
            return g, None
        n = xp.floor_divide(abs(a), abs(b))  # as exact as fmod, which trunc(a / b) is not
        return g, g * xp.where((a < 0) != (b < 0), n, -n)


def fmod(a: TensorLike, b: TensorLike) -> Tensor:
    """The remainder as C defines it: a - b trunc(a / b), with a's sign."""
    return FMod()(a, b)
