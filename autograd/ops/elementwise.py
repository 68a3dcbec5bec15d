"""Elementwise operations. Each is its formula, then the same formula's derivative.

Binary ones broadcast as NumPy does; the engine sums the gradients back to the inputs' shapes.
"""

from autograd import device
from autograd._tensor import Tensor
from autograd.engine import Op

__all__ = [
    "abs", "add", "astype", "cos", "divide", "erf", "exp", "log", "maximum", "minimum",
    "multiply", "negative", "power", "sigmoid", "sin", "sqrt", "square", "subtract", "tanh",
    "where",
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
            zero = xp.asarray(b == 0)  # b may be a number, and not every library's where takes bool
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


class Abs(Op):
    """y = |x|.  Saves: x.  dy/dx = sign(x), which is 0 at the kink."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.abs(x)

    def backward(self, xp, g, x):
        return xp.where(x > 0, g, xp.where(x < 0, -g, x * 0))  # x * 0: 0, and NaN stays NaN


class Sqrt(Op):
    """y = sqrt(x).  Saves: y.  dy/dx = 1 / (2 y), infinite at 0."""

    save_output = True

    def forward(self, xp, x):
        return xp.sqrt(x)

    def backward(self, xp, g, y):
        return g / (2 * y)


class Square(Op):
    """y = x^2.  Saves: x.  dy/dx = 2 x."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return x * x

    def backward(self, xp, g, x):
        return g * (2 * x)


class Exp(Op):
    """y = exp(x).  Saves: y.  dy/dx = y."""

    save_output = True

    def forward(self, xp, x):
        return xp.exp(x)

    def backward(self, xp, g, y):
        return g * y


class Log(Op):
    """y = log(x).  Saves: x.  dy/dx = 1 / x."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.log(x)

    def backward(self, xp, g, x):
        return g / x


class Tanh(Op):
    """y = tanh(x).  Saves: y.  dy/dx = 1 - y^2."""

    save_output = True

    def forward(self, xp, x):
        return xp.tanh(x)

    def backward(self, xp, g, y):
        return g * (1 - y * y)


class Sin(Op):
    """y = sin(x).  Saves: x.  dy/dx = cos(x)."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.sin(x)

    def backward(self, xp, g, x):
        return g * xp.cos(x)


class Cos(Op):
    """y = cos(x).  Saves: x.  dy/dx = -sin(x)."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.cos(x)

    def backward(self, xp, g, x):
        return -g * xp.sin(x)


class Sigmoid(Op):
    """y = 1 / (1 + exp(-x)).  Saves: y.  dy/dx = y (1 - y)."""

    save_output = True

    def forward(self, xp, x):
        return xp.sigmoid(x)

    def backward(self, xp, g, y):
        return g * y * (1 - y)


class Erf(Op):
    """y = erf(x).  Saves: x.  dy/dx = 2/sqrt(pi) exp(-x^2)."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.erf(x)

    def backward(self, xp, g, x):
        return g * (1.1283791670955126 * xp.exp(-x * x))


class Maximum(Op):
    """y = max(a, b), element by element.  Saves: a, b.  Ties share the gradient equally."""

    broadcasts = True
    save_inputs = (0, 1)

    def forward(self, xp, a, b):
        return xp.maximum(a, b)

    def backward(self, xp, g, a, b):
        tie = xp.where(a == b, 0.5 * g, g)
        return (
            xp.where(a < b, 0, tie) if self.needs[0] else None,
            xp.where(b < a, 0, tie) if self.needs[1] else None,
        )


class Minimum(Op):
    """y = min(a, b), element by element.  Saves: a, b.  Ties share the gradient equally."""

    broadcasts = True
    save_inputs = (0, 1)

    def forward(self, xp, a, b):
        return xp.minimum(a, b)

    def backward(self, xp, g, a, b):
        tie = xp.where(a == b, 0.5 * g, g)
        return (
            xp.where(a > b, 0, tie) if self.needs[0] else None,
            xp.where(b > a, 0, tie) if self.needs[1] else None,
        )


class Where(Op):
    """y = a where the condition holds, else b.  Saves: the condition, which has no derivative."""

    broadcasts = True

    def __init__(self, condition):
        self.condition = condition

    def forward(self, xp, a, b):
        return xp.where(self.condition, a, b)

    def backward(self, xp, g):
        return (
            xp.where(self.condition, g, 0) if self.needs[0] else None,
            xp.where(self.condition, 0, g) if self.needs[1] else None,
        )


class AsType(Op):
    """y = x in another floating-point type.  Saves: nothing.  The gradient is converted back."""

    def __init__(self, dtype):
        self.to = dtype

    def forward(self, xp, x):
        return x.astype(self.to)

    def backward(self, xp, g):
        return xp.astype(g, self.inputs[0].dtype)


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
    """a to the power b."""
    return Power()(a, b)


def negative(x):
    """-x."""
    return Negative()(x)


def abs(x):
    """|x|. At 0 the gradient is 0."""
    return Abs()(x)


def sqrt(x):
    """The square root. At 0 the gradient is infinite."""
    return Sqrt()(x)


def square(x):
    """x^2."""
    return Square()(x)


def exp(x):
    """e^x."""
    return Exp()(x)


def log(x):
    """The natural logarithm."""
    return Log()(x)


def tanh(x):
    """The hyperbolic tangent."""
    return Tanh()(x)


def sin(x):
    """The sine; x in radians."""
    return Sin()(x)


def cos(x):
    """The cosine; x in radians."""
    return Cos()(x)


def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return Sigmoid()(x)


def erf(x):
    """The error function."""
    return Erf()(x)


def maximum(a, b):
    """The larger of a and b. Where they are equal each gets half of the gradient."""
    return Maximum()(a, b)


def minimum(a, b):
    """The smaller of a and b. Where they are equal each gets half of the gradient."""
    return Minimum()(a, b)


def where(condition, a, b):
    """a where ``condition`` (a boolean array, without a derivative) holds, else b."""
    return Where(condition.data if isinstance(condition, Tensor) else condition)(a, b)


def astype(x, dtype):
    """x converted to ``dtype``. A tensor that is of this type already is returned as it is."""
    if isinstance(x, Tensor) and x.dtype == dtype:
        return x
    xp = device.namespace(x.data if isinstance(x, Tensor) else x)
    return AsType(xp.dtype(dtype))(x)
