"""Arithmetic: sums, products, quotients, powers and roots, element by element.

Binary operations broadcast as NumPy does; the engine sums the gradients back to the inputs' shapes.
"""

from autograd.engine import Op

__all__ = [
    "add", "divide", "multiply", "negative", "power", "reciprocal", "sqrt", "square", "subtract",
]  # fmt: skip


class Add(Op):
    """y = a + b.  Saves: nothing.  dy/da = dy/db = 1."""

    broadcasts = True

    def forward(self, xp, a, b):
        return a + b

    def backward(self, xp, g):
        return g, g


class Subtract(Op):
    """y = a - b.  Saves: nothing.  dy/da = 1, dy/db = -1."""

    broadcasts = True

    def forward(self, xp, a, b):
        return a - b

    def backward(self, xp, g):
        return g, -g if self.needs[1] else None


class Multiply(Op):
    """y = a b.  Saves: a, b.  dy/da = b, dy/db = a."""

    broadcasts = True
    save_inputs = (0, 1)
    saved_for = {0: (1,), 1: (0,)}

    def forward(self, xp, a, b):
        return a * b

    def backward(self, xp, g, a, b):
        return g * b if self.needs[0] else None, g * a if self.needs[1] else None


class Divide(Op):
    """y = a / b.  Saves: a, b.  dy/da = 1 / b, dy/db = -a / b^2."""

    broadcasts = True
    save_inputs = (0, 1)
    saved_for = {0: (1,), 1: (0, 1)}

    def forward(self, xp, a, b):
        return a / b

    def backward(self, xp, g, a, b):
        g_a = g / b
        return g_a if self.needs[0] else None, -g_a * (a / b) if self.needs[1] else None


class Power(Op):
    """y = a^b.  Saves: a, b.  dy/da = b a^(b-1), dy/db = a^b log(a).

    At b = 0 the first is 0, and at a = 0 the second is 0 for b >= 0, as in PyTorch.
    """

    broadcasts = True
    save_inputs = (0, 1)

    def forward(self, xp, a, b):
        return a**b

    def backward(self, xp, g, a, b):
        g_a = g_b = None
        if self.needs[0]:
            zero = b == 0
            g_a = g * b * xp.where(zero, 1, a) ** xp.where(zero, 1, b - 1)
        if self.needs[1]:
            zero = (a == 0) & (b >= 0)
            g_b = xp.where(zero, 0, g * a**b * xp.log(xp.where(zero, 1, a)))
        return g_a, g_b


class Negative(Op):
    """y = -x.  Saves: nothing.  dy/dx = -1."""

    def forward(self, xp, x):
        return -x

    def backward(self, xp, g):
        return -g


class Reciprocal(Op):
    """y = 1 / x.  Saves: y.  dy/dx = -y^2."""

    save_output = True

    def forward(self, xp, x):
        return 1 / x

    def backward(self, xp, g, y):
        return -g * (y * y)


class Square(Op):
    """y = x^2.  Saves: x.  dy/dx = 2 x."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return x * x

    def backward(self, xp, g, x):
        return g * (2 * x)


class Sqrt(Op):
    """y = sqrt(x).  Saves: y.  dy/dx = 1 / (2 y), infinite at 0."""

    save_output = True

    def forward(self, xp, x):
        return xp.sqrt(x)

    def backward(self, xp, g, y):
        return g / (2 * y)


def add(a, b):
    """a + b."""
    return Add()(a, b)


def subtract(a, b):
    """a - b."""
    return Subtract()(a, b)


def multiply(a, b):
    """a b."""
    return Multiply()(a, b)


def divide(a, b):
    """a / b."""
    return Divide()(a, b)


def power(a, b):
    """a to the power b. The gradient of a at b = 0 is 0, that of b at a = 0 is 0 for b >= 0."""
    return Power()(a, b)


def negative(x):
    """-x."""
    return Negative()(x)


def reciprocal(x):
    """1 / x. At 0 it is infinite, and its gradient minus infinity."""
    return Reciprocal()(x)


def square(x):
    """x^2."""
    return Square()(x)


def sqrt(x):
    """The square root. At 0 the gradient is infinite."""
    return Sqrt()(x)
