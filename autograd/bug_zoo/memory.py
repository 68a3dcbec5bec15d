"""Right formulas with wrong memory: arrays that are shared, overwritten, or drawn again."""

import numpy as np

from autograd.bug_zoo.bug import Bug, by_check_grad, data
from autograd.engine import Op
from autograd.ops.activation import ReLU
from autograd.ops.dropping import Dropout
from autograd.ops.trigonometric import Tanh

RULES = "check_grad, rules"


class DrawnDropout(Dropout):
    """y = x keep / (1 - p), with the mask drawn once, in forward."""

    def __init__(self, rng=None):
        super().__init__(keep=None, p=0.5)
        self.rng = np.random.default_rng(7) if rng is None else rng

    def draw(self, shape):
        self.keep = self.rng.random(shape) >= self.p

    def forward(self, xp, x):
        self.draw(x.shape)
        return super().forward(xp, x)


class DropoutNewMask(DrawnDropout):
    def backward(self, xp, g):
        self.draw(g.shape)
        return super().backward(xp, g)


class TanhInPlace(Tanh):
    save_output = True

    def backward(self, xp, g, x, y):
        y *= y  # saves a temporary, and changes y for everything else that uses it
        return g * (1 - y)


class TanhSharedBuffer(Tanh):
    buffer = np.empty((3, 4))

    def forward(self, xp, x):
        np.tanh(x, out=self.buffer)  # one workspace for all calls: no allocation
        return self.buffer.copy()

    def backward(self, xp, g, x):
        return g * (1 - self.buffer * self.buffer)


class TanhRawSlope(Tanh):
    def backward(self, xp, g, x):
        return g * (1 - np.tanh(getattr(x, "data", x)) ** 2)


class ReLUInPlace(ReLU):
    def forward(self, xp, x):
        x[x < 0] = 0
        return x


class Residual(Op):
    """y = x + 1, whose gradient is the incoming one."""

    def forward(self, xp, x):
        return x + 1

    def backward(self, xp, g):
        return g


class ResidualClaimsFresh(Residual):
    fresh_gradients = True


_x = data(3, 4)

MEMORY = [
    Bug(
        "dropout-new-mask",
        "draws another mask in backward, from the same generator, which has moved on",
        RULES,
        DropoutNewMask,
        DrawnDropout,
        by_check_grad(_x),
    ),
    Bug(
        "saved-array-changed-in-place",
        "squares the saved output in place to avoid an allocation",
        RULES,
        TanhInPlace,
        Tanh,
        by_check_grad(_x, order=1),
    ),
    Bug(
        "shared-workspace",
        "keeps one workspace per class; the next call overwrites what the previous one saved",
        RULES,
        TanhSharedBuffer,
        Tanh,
        by_check_grad(_x, order=1),
    ),
    Bug(
        "relu-in-place",
        "sets negative elements of the input to zero, although other code may still need them",
        RULES,
        ReLUInPlace,
        ReLU,
        by_check_grad(_x),
    ),
    Bug(
        "claims-an-alias-as-fresh",
        "returns the incoming gradient itself, and declares it a new array",
        RULES,
        ResidualClaimsFresh,
        Residual,
        by_check_grad(_x),
    ),
    Bug(
        "numpy-in-backward",
        "calls np.tanh on raw arrays in backward: the slope is a constant to a second derivative",
        "check_grad, order 2",
        TanhRawSlope,
        Tanh,
        by_check_grad(_x),
    ),
]
