"""Wrong backwards of elementwise operations, products and reductions: the derivative itself."""

import math

import numpy as np

from autograd.bug_zoo.bug import Bug, by_check_grad, data
from autograd.engine import Op

ORDER_1 = "check_grad, order 1"


class Mean(Op):
    """y = mean of x over axis 0."""

    def forward(self, xp, x):
        return xp.mean(x, axis=0)

    def backward(self, xp, g):
        shape = self.inputs[0].shape
        return xp.broadcast_to(g / shape[0], shape)


class MeanWithoutN(Mean):
    def backward(self, xp, g):
        return xp.broadcast_to(g, self.inputs[0].shape)


class AddBias(Op):
    """y = x + b. Shapes: x (N, C), b (C,)."""

    def forward(self, xp, x, b):
        return x + b

    def backward(self, xp, g):
        return g, xp.sum(g, axis=0)


class NoUnbroadcast(AddBias):
    def backward(self, xp, g):
        return g, g


class BroadcastTheWrongWay(AddBias):
    def backward(self, xp, g):
        return g, xp.sum(g, axis=-1)  # b is one number per column, not per row


class BiasAveraged(AddBias):
    def backward(self, xp, g):
        return g, xp.mean(g, axis=0)


class MatMul(Op):
    """y = a b. Shapes: a (N, K), b (K, M)."""

    save_inputs = (0, 1)

    def forward(self, xp, a, b):
        return a @ b

    def backward(self, xp, g, a, b):
        return g @ xp.swapaxes(b, 0, 1), xp.swapaxes(a, 0, 1) @ g


class MatMulTransposed(MatMul):
    def backward(self, xp, g, a, b):
        return g @ xp.swapaxes(b, 0, 1), xp.swapaxes(g, 0, 1) @ a


class MatMulForgotten(MatMul):
    def backward(self, xp, g, a, b):
        return g @ b, xp.swapaxes(a, 0, 1) @ g


class Round(Op):
    """y = x rounded to integers: flat but for its jumps."""

    def forward(self, xp, x):
        return xp.round(x)

    def backward(self, xp, g):
        return g * 0


class RoundStraightThrough(Round):
    def backward(self, xp, g):
        return g


class Root(Op):
    """y = sqrt(x)."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.sqrt(x)

    def backward(self, xp, g, x):
        return g / (2 * xp.sqrt(x))


class RootOfNumPy(Root):
    def backward(self, xp, g, x):
        return g / (2 * np.sqrt(x))


class Divide(Op):
    """y = a / b."""

    save_inputs = (0, 1)

    def forward(self, xp, a, b):
        return a / b

    def backward(self, xp, g, a, b):
        return g / b, -g * a / (b * b)


class QuotientSign(Divide):
    def backward(self, xp, g, a, b):
        return g / b, g * a / (b * b)


class Sigmoid(Op):
    """y = 1 / (1 + exp(-x))."""

    save_output = True

    def forward(self, xp, x):
        return xp.sigmoid(x)

    def backward(self, xp, g, y):
        return g * y * (1 - y)


class SigmoidOfInput(Sigmoid):
    save_inputs, save_output = (0,), False

    def backward(self, xp, g, x):
        return g * x * (1 - x)


class ReLU(Op):
    """y = max(x, 0)."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.maximum(x, 0)

    def backward(self, xp, g, x):
        return xp.where(x > 0, g, 0)


class ReLUOfGradient(ReLU):
    def backward(self, xp, g, x):
        return xp.where(g > 0, g, 0)


class ReLUIgnoresUpstream(ReLU):
    def backward(self, xp, g, x):
        return xp.where(x > 0, 1.0, 0.0)


class GELU(Op):
    """y = x Phi(x), Phi the normal distribution function."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return 0.5 * x * (1 + xp.erf(x / math.sqrt(2)))

    def backward(self, xp, g, x):
        density = xp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        return g * (0.5 * (1 + xp.erf(x / math.sqrt(2))) + x * density)


class GELUMixed(GELU):
    def backward(self, xp, g, x):
        c = math.sqrt(2 / math.pi)
        t = xp.tanh(c * (x + 0.044715 * x * x * x))
        slope = c * (1 + 3 * 0.044715 * x * x)
        return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)


class Norm(Op):
    """y = the length of each row of x (N, C)."""

    save_inputs, save_output = (0,), True

    def forward(self, xp, x):
        return xp.sqrt(xp.sum(x * x, axis=-1))

    def backward(self, xp, g, x, y):
        safe = xp.where(y == 0, 1, y)[:, None]
        return xp.where(y[:, None] == 0, 0, g[:, None] * x / safe)


class NormDividesByZero(Norm):
    def backward(self, xp, g, x, y):
        return xp.where(y[:, None] == 0, 0, 1) * (g[:, None] * x / y[:, None])


def rows_with_a_zero():
    x = data(3, 4, seed=2)
    x[1] = 0.0
    return x


MATH = [
    Bug(
        "mean-without-n",
        "copies the backward of sum for mean and forgets that each element has a share of 1/N",
        ORDER_1,
        MeanWithoutN,
        Mean,
        by_check_grad(data(5, 3)),
    ),
    Bug(
        "no-unbroadcast",
        "hands the gradient of x + b to b as it is, though b was copied to every row",
        "check_grad, shapes",
        NoUnbroadcast,
        AddBias,
        by_check_grad(data(3, 4), data(4, seed=1)),
    ),
    Bug(
        "broadcast-the-wrong-way",
        "sums a bias gradient over the wrong axis, and tests it on a square matrix, where it fits",
        ORDER_1,
        BroadcastTheWrongWay,
        AddBias,
        by_check_grad(data(4, 4), data(4, seed=1)),
    ),
    Bug(
        "bias-averaged",
        "averages a bias gradient over the batch because the loss is an average already",
        ORDER_1,
        BiasAveraged,
        AddBias,
        by_check_grad(data(3, 4), data(4, seed=1)),
    ),
    Bug(
        "matmul-transposed",
        "writes g^T a for a^T g; with square matrices nothing complains",
        ORDER_1,
        MatMulTransposed,
        MatMul,
        by_check_grad(data(4, 4), data(4, 4, seed=1)),
    ),
    Bug(
        "transpose-forgotten",
        "writes g b for g b^T; with square matrices nothing complains",
        ORDER_1,
        MatMulForgotten,
        MatMul,
        by_check_grad(data(4, 4), data(4, 4, seed=1)),
    ),
    Bug(
        "straight-through",
        "rounds in forward and hands the gradient on as it is: meant well, but not the derivative",
        ORDER_1,
        RoundStraightThrough,
        Round,
        by_check_grad(data(3, 4)),
    ),
    Bug(
        "np-for-xp",
        "writes np.sqrt for xp.sqrt: on arrays it is the same, but Tensors have no np.sqrt",
        "check_grad, what backward raises",
        RootOfNumPy,
        Root,
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
        "remembers y (1 - y), saves the input and puts x there",
        ORDER_1,
        SigmoidOfInput,
        Sigmoid,
        by_check_grad(data(3, 4)),
    ),
    Bug(
        "relu-of-the-gradient",
        "masks where the gradient is negative instead of where the input was",
        ORDER_1,
        ReLUOfGradient,
        ReLU,
        by_check_grad(data(3, 4)),
    ),
    Bug(
        "upstream-ignored",
        "returns the local derivative alone, and tests it with y.sum().backward(), where g is 1",
        ORDER_1,
        ReLUIgnoresUpstream,
        ReLU,
        by_check_grad(data(3, 4)),
    ),
    Bug(
        "gelu-mixed",
        "computes the exact GELU forward and differentiates its tanh approximation: 3 digits agree",
        ORDER_1,
        GELUMixed,
        GELU,
        by_check_grad(data(3, 4)),
    ),
    Bug(
        "norm-divides-by-zero",
        "masks a division by zero after it has been made: 0 times NaN is NaN",
        "check_grad, kinks",
        NormDividesByZero,
        Norm,
        by_check_grad(rows_with_a_zero(), order=1),
    ),
]
