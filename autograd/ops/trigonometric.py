"""Trigonometric and hyperbolic functions. Angles are in radians."""

from autograd.engine import Op

__all__ = [
    "arccos", "arcsin", "arctan", "arctan2", "cos", "cosh", "sin", "sinh", "tan", "tanh",
]  # fmt: skip


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


class Tan(Op):
    """y = tan(x).  Saves: y.  dy/dx = 1 + y^2."""

    save_output = True

    def forward(self, xp, x):
        return xp.tan(x)

    def backward(self, xp, g, y):
        return g * (1 + y * y)


class ArcSin(Op):
    """y = arcsin(x).  Saves: x.  dy/dx = 1 / sqrt(1 - x^2), infinite at -1 and 1."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.arcsin(x)

    def backward(self, xp, g, x):
        return g / xp.sqrt((1 - x) * (1 + x))  # 1 - x^2 without cancellation near 1


class ArcCos(Op):
    """y = arccos(x).  Saves: x.  dy/dx = -1 / sqrt(1 - x^2), infinite at -1 and 1."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.arccos(x)

    def backward(self, xp, g, x):
        return -g / xp.sqrt((1 - x) * (1 + x))


class ArcTan(Op):
    """y = arctan(x).  Saves: x.  dy/dx = 1 / (1 + x^2)."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.arctan(x)

    def backward(self, xp, g, x):
        return g / (1 + x * x)


class ArcTan2(Op):
    """y = the angle of the point (b, a).  Saves: a, b.

    dy/da = b / (a^2 + b^2), dy/db = -a / (a^2 + b^2), and 0 at the origin, which has no angle.
    """

    broadcasts = True
    save_inputs = (0, 1)

    def forward(self, xp, a, b):
        return xp.arctan2(a, b)

    def backward(self, xp, g, a, b):
        square = a * a + b * b
        along = g / xp.where(square == 0, 1, square)
        return along * b if self.needs[0] else None, -along * a if self.needs[1] else None


class Sinh(Op):
    """y = sinh(x) = (exp(x) - exp(-x)) / 2.  Saves: x.  dy/dx = cosh(x)."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.sinh(x)

    def backward(self, xp, g, x):
        return g * xp.cosh(x)


class Cosh(Op):
    """y = cosh(x) = (exp(x) + exp(-x)) / 2.  Saves: x.  dy/dx = sinh(x)."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.cosh(x)

    def backward(self, xp, g, x):
        return g * xp.sinh(x)


class Tanh(Op):
    """y = tanh(x) = sinh(x) / cosh(x).  Saves: y.  dy/dx = 1 - y^2."""

    save_output = True

    def forward(self, xp, x):
        return xp.tanh(x)

    def backward(self, xp, g, y):
        return g * (1 - y * y)


def sin(x):
    """The sine."""
    return Sin()(x)


def cos(x):
    """The cosine."""
    return Cos()(x)


def tan(x):
    """The tangent."""
    return Tan()(x)


def arcsin(x):
    """The angle in [-pi/2, pi/2] whose sine is x. At -1 and 1 the gradient is infinite."""
    return ArcSin()(x)


def arccos(x):
    """The angle in [0, pi] whose cosine is x. At -1 and 1 the gradient is minus infinity."""
    return ArcCos()(x)


def arctan(x):
    """The angle in (-pi/2, pi/2) whose tangent is x."""
    return ArcTan()(x)


def arctan2(a, b):
    """The angle in [-pi, pi] of the point with abscissa b and ordinate a.

    At the origin, which has none, the gradient is 0.
    """
    return ArcTan2()(a, b)


def sinh(x):
    """The hyperbolic sine."""
    return Sinh()(x)


def cosh(x):
    """The hyperbolic cosine."""
    return Cosh()(x)


def tanh(x):
    """The hyperbolic tangent."""
    return Tanh()(x)
