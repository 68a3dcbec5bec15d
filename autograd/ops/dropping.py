"""Dropout, and the random masks that it shares with attention."""

from typing import Any

import numpy as np

from autograd._tensor import Tensor, TensorLike
from autograd.device import namespace
from autograd.engine import Op
from autograd.kernels import dropout as kernel
from autograd.ops.arguments import operand, real
from autograd.questions import see

__all__ = ["dropout"]


class Dropout(Op):
    """y = x keep / (1 - p), where the mask ``keep`` is 0 with probability p.

    Shapes: x (...) -> (...)
    Saves: nothing; keeps the mask
    Derivative: g_x = g * keep / (1 - p)
    Derivation: autograd/kernels/dropout/README.md
    """

    fresh_gradients = True

    def __init__(self, keep, p):
        self.keep, self.p = keep, p

    def forward(self, xp, x):
        return kernel.forward(xp, x, self.keep, self.p)

    def backward(self, xp, g):
        return kernel.backward(xp, g, self.keep, self.p)


def dropout(
    x: TensorLike, p: float = 0.5, training: bool = True, rng: "np.random.Generator | None" = None
) -> Any:
    """Zero each element with probability ``p`` and scale the others by 1/(1 - p).

    Without ``training``, or with p = 0, x itself. The mask is drawn from ``rng``, a
    np.random.Generator. Raises ValueError when p is not in [0, 1) or when there is no rng.
    """
    p = drop_probability("dropout", "p", p)
    if not training or p == 0:
        return x
    x = operand(x)
    keep = keep_mask("dropout", x.shape, p, rng)
    xp = namespace(x.data if isinstance(x, Tensor) else x)
    return Dropout(xp.asarray(keep), p)(x)


def drop_probability(op: str, what: str, p: Any) -> float:
    """``p`` as a Python number. Raises ValueError when it is not in [0, 1)."""
    if not 0 <= real(op, what, p) < 1:
        raise ValueError(f"{op}: {what} is {p}, but must be at least 0 and below 1")
    return float(p)


def keep_mask(op: str, shape: tuple[int, ...], p: float, rng: Any) -> np.ndarray:
    """A mask of ``shape``, False with probability ``p``, drawn from the Generator ``rng``."""
    if not isinstance(rng, np.random.Generator):
        wrong = "" if rng is None else f", not {type(rng).__name__}"
        raise ValueError(
            f"{op}: pass rng=np.random.default_rng(seed){wrong}, so that runs can repeat"
            + see("What does backward do with dropout?")
        )
    return rng.random(shape, dtype=np.float32) >= p
