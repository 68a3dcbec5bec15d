"""Evenly spaced numbers between two ends, which may have gradients."""

import math
from typing import Any

from autograd._tensor import TensorLike
from autograd._types import DTypeLike
from autograd.engine import Op
from autograd.ops.arguments import integer, normalize_axis, operands
from autograd.ops.arithmetic import divide, subtract

__all__ = ["linspace"]


class Linspace(Op):
    """y_i = (1 - t_i) start + t_i stop, with t_i = i / steps.

    Shapes: start (...), stop (...) -> (num, ...), or another axis; they broadcast
    Saves: nothing
    Derivative: g_start is the sum of (1 - t_i) g_i over i, and g_stop that of t_i g_i
    """

    broadcasts = True

    def __init__(self, num, endpoint, dtype, axis):
        self.num, self.endpoint, self.to, self.axis = num, endpoint, dtype, axis

    def forward(self, xp, start, stop):
        options = {"endpoint": self.endpoint, "dtype": self.to, "axis": self.axis}
        return xp.linspace(start, stop, self.num, **options)

    def backward(self, xp, g):
        g = xp.moveaxis(g, self.axis, -1)
        t = xp.arange(self.num, dtype=g.dtype) / max(self.steps(), 1)
        return (
            xp.sum(g * (1 - t), axis=-1) if self.needs[0] else None,
            xp.sum(g * t, axis=-1) if self.needs[1] else None,
        )

    def steps(self):
        """The number of steps from start to stop."""
        return self.num - 1 if self.endpoint else self.num


def linspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Any:
    """``num`` evenly spaced numbers from ``start`` to ``stop``.

    Both ends may be arrays or Tensors, and get gradients; the numbers lie along a new ``axis``.
    Without ``endpoint`` stop is left out. With ``retstep`` the result is a pair: the numbers and
    the step. Integer ends give floating-point numbers. ``dtype`` sets another type; integers have
    no gradient.

    Raises ValueError for a negative num.
    """
    num = integer("linspace", "num", num)
    if num < 0:
        raise ValueError(f"linspace: num must not be negative, got {num}")
    start, stop = operands(start, stop)
    axis = normalize_axis("linspace", axis, max(start.ndim, stop.ndim) + 1)
    op = Linspace(num, endpoint, dtype, axis)
    y = op(start, stop)
    if not retstep:
        return y
    steps = op.steps()
    return y, divide(subtract(stop, start), steps if steps > 0 else math.nan)
