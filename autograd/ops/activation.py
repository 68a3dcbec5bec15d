"""Activation functions: relu and its smooth relatives, element by element.

All have PyTorch's names and options. Each is exact at both ends: no exponential overflows, and an
infinite input gives the limit, in the derivative too. Integers become floats (relu keeps them).
"""

from autograd._tensor import Tensor, TensorLike
from autograd.engine import Op
from autograd.kernels import gelu as gelu_kernel
from autograd.ops.arguments import floating

__all__ = ["elu", "gelu", "leaky_relu", "log_sigmoid", "relu", "silu", "softplus"]


SILU_FAR = 800.0
"""Beyond it exp(-|x|) is 0 in every type, and infinity times 0 would be NaN."""


class ReLU(Op):
    """y = max(x, 0).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = where(x > 0, g, 0)
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.maximum(x, 0)

    def backward(self, xp, g, x):
        return xp.where(x <= 0, 0, g)


def relu(x: TensorLike) -> Tensor:
    """max(x, 0). At 0 the gradient is 0."""
    return ReLU()(x)


class LeakyReLU(Op):
    """y = x where x > 0, and slope * x elsewhere.

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = where(x > 0, g, g * slope)
    """

    save_inputs = (0,)

    def __init__(self, slope):
        self.slope = slope

    def forward(self, xp, x):
        return xp.where(x > 0, x, xp.minimum(x, 0) * self.slope)

    def backward(self, xp, g, x):
        return xp.where(x > 0, g, g * self.slope)


def leaky_relu(x: TensorLike, negative_slope: float = 0.01) -> Tensor:
    """x where it is positive, and ``negative_slope`` x elsewhere (Maas et al. 2013).

    At 0 the gradient is the slope of the left side, as in PyTorch.
    """
    return LeakyReLU(float(negative_slope))(floating(x))


class ELU(Op):
    """y = x where x > 0, and alpha * (exp(x) - 1) elsewhere.

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = where(x > 0, g, g * alpha * exp(x))
    """

    save_inputs = (0,)

    def __init__(self, alpha):
        self.alpha = alpha

    def forward(self, xp, x):
        return xp.where(x > 0, x, self.alpha * xp.expm1(xp.minimum(x, 0)))

    def backward(self, xp, g, x):
        left = xp.where(x > 0, 0, x)  # in the right half exp might overflow
        return xp.where(x > 0, g, g * (self.alpha * xp.exp(left)))


def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """x where it is positive, and ``alpha`` (exp(x) - 1) elsewhere (Clevert et al. 2015).

    At 0 the gradient is ``alpha``, the slope of the left side, as in PyTorch.
    """
    return ELU(float(alpha))(floating(x))


class Softplus(Op):
    """y = log(1 + exp(beta x)) / beta = max(x, 0) + log(1 + exp(-beta |x|)) / beta.

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g * sigmoid(beta * x)
    """

    save_inputs = (0,)

    def __init__(self, beta):
        self.beta = beta

    def forward(self, xp, x):
        return xp.maximum(x, 0) + xp.log1p(xp.exp(-self.beta * xp.abs(x))) / self.beta

    def backward(self, xp, g, x):
        return g * xp.sigmoid(self.beta * x)


def softplus(x: TensorLike, beta: float = 1.0) -> Tensor:
    """log(1 + exp(``beta`` x)) / ``beta``, a smooth relu, computed without overflow.

    PyTorch's third argument, a threshold above which it returns x itself, is not needed: the
    result is exact for every x. Raises ValueError unless beta is positive.
    """
    beta = float(beta)
    if not beta > 0:
        raise ValueError(f"softplus: beta is {beta}, but must be positive")
    return Softplus(beta)(floating(x))


class LogSigmoid(Op):
    """y = log(1 / (1 + exp(-x))) = min(x, 0) - log(1 + exp(-|x|)).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g * sigmoid(-x)
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.minimum(x, 0) - xp.log1p(xp.exp(-xp.abs(x)))

    def backward(self, xp, g, x):
        return g * xp.sigmoid(-x)


def log_sigmoid(x: TensorLike) -> Tensor:
    """log(sigmoid(x)), computed without overflow and without taking the log of 0."""
    return LogSigmoid()(floating(x))


class GELU(Op):
    """y = x Phi(x), where Phi is the normal distribution function or its tanh approximation.

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g * (Phi + x * density) with Phi = (1 + erf(x / sqrt(2))) / 2,
        density = exp(-x^2 / 2) / sqrt(2 * pi)
    Note: this is the exact GELU; the derivation has the tanh form as well
    Derivation: autograd/kernels/gelu/README.md
    """

    save_inputs = (0,)
    fresh_gradients = True
    works_in_place = True

    def __init__(self, approximate):
        self.approximate = approximate

    def forward(self, xp, x):
        return gelu_kernel.forward(xp, x, self.approximate)

    def backward(self, xp, g, x, room=None):
        return gelu_kernel.backward(xp, g, x, self.approximate, room=room)


def gelu(x: TensorLike, approximate: str = "none") -> Tensor:
    """The Gaussian error linear unit (Hendrycks and Gimpel 2016).

    ``approximate="none"`` is x Phi(x), exact; ``"tanh"`` is the approximation GPT-2 was trained
    with. Raises ValueError for anything else.
    """
    return GELU(known_gelu(approximate, "gelu"))(floating(x))


def known_gelu(approximate, op):
    """``approximate``, if that names a form of GELU. Raises ValueError otherwise."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f'{op}: approximate is {approximate!r}, but must be "none" or "tanh"')
    return approximate


class SiLU(Op):
    """y = x sigmoid(x).

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g * s * (1 + x * (1 - s)) with s = sigmoid(x)
    Note: 0 at minus infinity and 1 at infinity, where this formula alone gives NaN
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.where(x < -SILU_FAR, 0, x) * xp.sigmoid(x)

    def backward(self, xp, g, x):
        s = xp.sigmoid(x)
        near = xp.where(xp.abs(x) > SILU_FAR, 0, x)
        return g * s * (1 + near * xp.sigmoid(-x))  # 1 - s is 0 as soon as s rounds to 1


def silu(x: TensorLike) -> Tensor:
    """x sigmoid(x), the sigmoid-weighted linear unit, also called swish (Elfwing et al. 2017)."""
    return SiLU()(floating(x))
