"""Wrong backwards of elementwise operations, products and reductions: the derivative itself.

The right class is the project's own operation wherever there is one; the wrong class inherits from
it and replaces only what is wrong.
"""

import math

import numpy as np

from autograd.bug_zoo.bug import Bug, by_check_grad, data
from autograd.engine import Op
from autograd.ops.activation import GELU, ReLU
from autograd.ops.arithmetic import Add, Divide, Sqrt
from autograd.ops.exponential import Sigmoid
from autograd.ops.norms import Norm
from autograd.ops.products import MatMul
from autograd.ops.reduce import Mean

ORDER_1 = "check_grad, order 1"


class ColumnMean(Mean):
    """y = mean of x over axis 0."""

    def __init__(self):
        super().__init__(axis=0, keepdims=False)


class MeanWithoutN(ColumnMean):
    def backward(self, xp, g):
        return xp.broadcast_to(g, self.inputs[0].shape)


class NoUnbroadcast(Add):
    broadcasts = (
        False  # so the engine does not sum the gradient of b (C,) over the rows of x (N, C)
    )


class BroadcastTheWrongWay(Add):
    def backward(self, xp, g):
        return g, xp.sum(g, axis=-1)  # b is one number per column, not per row


class BiasAveraged(Add):
    def backward(self, xp, g):
        return g, xp.mean(g, axis=0)


class MatMulTransposed(MatMul):
    def backward(self, xp, g, a, b):
        return g @ xp.swapaxes(b, 0, 1), xp.swapaxes(g, 0, 1) @ a


class MatMulForgotten(MatMul):
    def backward(self, xp, g, a, b):
        return g @ b, xp.swapaxes(a, 0, 1) @ g


class Round(Op):
    """y = x rounded to integers: flat except for its jumps."""

    def forward(self, xp, x):
        return xp.round(x)

    def backward(self, xp, g):
        return g * 0


class RoundStraightThrough(Round):
    def backward(self, xp, g):
        return g


class SqrtOfNumPy(Sqrt):
    save_inputs, save_output = (0,), False

    def backward(self, xp, g, x):
        return g / (2 * np.sqrt(x))


class QuotientSign(Divide):
    def backward(self, xp, g, a, b):
        return g / b, g * a / (b * b)


class SigmoidOfInput(Sigmoid):
    def backward(self, xp, g, x):
        return g * x * (1 - x)


class ReLUOfGradient(ReLU):
    def backward(self, xp, g, x):
        return xp.where(g > 0, g, 0)


class ReLUIgnoresUpstream(ReLU):
    def backward(self, xp, g, x):
        return xp.where(x > 0, 1.0, 0.0)


class ExactGELU(GELU):
    """y = x Phi(x), Phi the normal distribution function."""

    def __init__(self):
        super().__init__(approximate="none")


class GELUMixed(ExactGELU):
    def backward(self, xp, g, x, room=None):
        c = math.sqrt(2 / math.pi)
        t = xp.tanh(c * (x + 0.044715 * x * x * x))
        slope = c * (1 + 3 * 0.044715 * x * x)
        return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)


class RowLength(Norm):
    """y = the length of each row of x (N, C)."""

    def __init__(self):
        super().__init__(p=2, axis=-1, keepdims=False)


class LengthDividesByZero(RowLength):
    def backward(self, xp, g, x, y):
        return xp.where(y[:, None] == 0, 0, 1) * (g[:, None] * x / y[:, None])


def rows_with_a_zero():
    x = data(3, 4, seed=2)
    x[1] = 0.0
    return x


MATH = [
    Bug(
        "mean-without-n",
        "copies the backward of sum for mean, and forgets the factor 1/N",
        ORDER_1,
        MeanWithoutN,
        ColumnMean,
        by_check_grad(data(5, 3)),
    ),
    Bug(
        "no-unbroadcast",
        "passes the gradient of x + b to b unchanged, although b was copied to every row",
        "check_grad, shapes",
        NoUnbroadcast,
        Add,
        by_check_grad(data(3, 4), data(4, seed=1)),
    ),
    Bug(
        "broadcast-the-wrong-way",
        "sums a bias gradient over the wrong axis, and tests it on a square matrix, where it fits",
        ORDER_1,
        BroadcastTheWrongWay,
        Add,
        by_check_grad(data(4, 4), data(4, seed=1)),
    ),
    Bug(
        "bias-averaged",
        "averages a bias gradient over the batch, because the loss is already an average",
        ORDER_1,
        BiasAveraged,
        Add,
        by_check_grad(data(3, 4), data(4, seed=1)),
    ),
    Bug(
        "matmul-transposed",
        "writes g^T a for a^T g; with square matrices there is no error",
        ORDER_1,
        MatMulTransposed,
        MatMul,
        by_check_grad(data(4, 4), data(4, 4, seed=1)),
    ),
    Bug(
        "transpose-forgotten",
        "writes g b for g b^T; with square matrices there is no error",
        ORDER_1,
        MatMulForgotten,
        MatMul,
        by_check_grad(data(4, 4), data(4, 4, seed=1)),
    ),
    Bug(
        "straight-through",
        "rounds in forward and passes the gradient on unchanged: useful, but not the derivative",
        ORDER_1,
        RoundStraightThrough,
        Round,
        by_check_grad(data(3, 4)),
    ),
    Bug(
        "np-for-xp",
        "writes np.sqrt for xp.sqrt: the same on arrays, but np.sqrt does not accept Tensors",
        "check_grad, what backward raises",
        SqrtOfNumPy,
        Sqrt,
        by_check_grad(data(3, 4) ** 2 + 0.1),
    ),
    Bug(
        "quotient-sign",
        "loses the minus sign of the quotient rule",
        ORDER_1,
        QuotientSign,
        Divide,
        by_check_grad(data(3, 4), 2 + data(3, 4, seed=1) ** 2),
    ),
    Bug(
        "sigmoid-of-the-input",
        "remembers y (1 - y), but saves the input and computes x (1 - x)",
        ORDER_1,
        SigmoidOfInput,
        Sigmoid,
        by_check_grad(data(3, 4)),
    ),
    Bug(
        "relu-of-the-gradient",
        "zeroes the gradient where it is negative, instead of where the input was",
        ORDER_1,
        ReLUOfGradient,
        ReLU,
        by_check_grad(data(3, 4)),
    ),
    Bug(
        "upstream-ignored",
        "returns only the local derivative, and tests it with y.sum().backward(), where g is 1",
        ORDER_1,
        ReLUIgnoresUpstream,
        ReLU,
        by_check_grad(data(3, 4)),
    ),
    Bug(
        "gelu-mixed",
        "computes the exact GELU, and differentiates its tanh approximation: 3 digits agree",
        ORDER_1,
        GELUMixed,
        ExactGELU,
        by_check_grad(data(3, 4)),
    ),
    Bug(
        "norm-divides-by-zero",
        "masks a division by zero after dividing: 0 times NaN is NaN",
        "check_grad, kinks",
        LengthDividesByZero,
        RowLength,
        by_check_grad(rows_with_a_zero(), order=1),
    ),
]
