"""Right formulas on wrong memory: arrays shared, overwritten, or drawn anew."""

import numpy as np

from autograd.bug_zoo.bug import Bug, by_check_grad, data
from autograd.engine import Op

RULES = "check_grad, rules"


class Dropout(Op):
    """y = x keep / (1 - p), the mask drawn once, in forward."""

    p = 0.5

    def __init__(self, rng=None):
        self.rng = np.random.default_rng(7) if rng is None else rng

    def mask(self, shape):
        return (self.rng.random(shape) >= self.p) / (1 - self.p)

    def forward(self, xp, x):
        self.keep = self.mask(x.shape)
        return x * self.keep

    def backward(self, xp, g):
        return g * self.keep


class DropoutNewMask(Dropout):
    def forward(self, xp, x):
        return x * self.mask(x.shape)

    def backward(self, xp, g):
        return g * self.mask(g.shape)


class Tanh(Op):
    """y = tanh(x)."""

    save_output = True

    def forward(self, xp, x):
        return xp.tanh(x)

    def backward(self, xp, g, y):
        return g * (1 - y * y)


class TanhInPlace(Tanh):
    def backward(self, xp, g, y):
        y *= y  # saves a temporary, and spoils y for whoever else holds it
        return g * (1 - y)


class TanhSharedBuffer(Tanh):
    save_output = False
    buffer = np.empty((3, 4))

    def forward(self, xp, x):
        np.tanh(x, out=self.buffer)  # one workspace for all calls: no allocation
        return self.buffer.copy()

    def backward(self, xp, g):
        return g * (1 - self.buffer * self.buffer)


class TanhRawSlope(Tanh):
    save_inputs, save_output = (0,), False

    def backward(self, xp, g, x):
        return g * (1 - np.tanh(getattr(x, "data", x)) ** 2)


class ReLU(Op):
    """y = max(x, 0)."""

    save_output = True

    def forward(self, xp, x):
        return xp.maximum(x, 0)

    def backward(self, xp, g, y):
        return xp.where(y > 0, g, 0)


class ReLUInPlace(ReLU):
    def forward(self, xp, x):
        x[x < 0] = 0
        return x


class Residual(Op):
    """y = x + 1, whose gradient is the one that comes in."""

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
        "draws a mask in backward too, from the same generator, which has moved on",
        RULES,
        DropoutNewMask,
        Dropout,
        by_check_grad(_x),
    ),
    Bug(
        "saved-array-changed-in-place",
        "squares the saved output in place to spare an allocation",
        RULES,
        TanhInPlace,
        Tanh,
        by_check_grad(_x, order=1),
    ),
    Bug(
        "shared-workspace",
        "keeps one workspace per class; the next call overwrites what the last one saved",
        RULES,
        TanhSharedBuffer,
        Tanh,
        by_check_grad(_x, order=1),
    ),
    Bug(
        "relu-in-place",
        "sets negative elements of the input to zero, though somebody else may still need them",
        RULES,
        ReLUInPlace,
        ReLU,
        by_check_grad(_x),
    ),
    Bug(
        "claims-an-alias-as-fresh",
        "hands on the very array that came in and says that nobody else holds it",
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
