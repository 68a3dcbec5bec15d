"""Elementwise choices: absolute value, maximum, minimum, clip, where, and numbers instead of NaN.

These have kinks, points where the slope jumps. The gradient there is a convention, PyTorch's, which
each docstring states. To the second derivative the choice at a tie (all, half or nothing of the
gradient) is constant. Only |x| has a second derivative of NaN at its kink: |x|^2 and |x|^3 have one
there that the rule of |x| cannot know (unsmooth.py).
"""

import math

from autograd._conversions import raw
from autograd._tensor import Tensor, TensorLike
from autograd.engine import Op
from autograd.ops.arguments import operand
from autograd.ops.unsmooth import unsmooth

__all__ = ["abs", "clip", "fmax", "fmin", "maximum", "minimum", "nan_to_num", "where"]


class Abs(Op):
    """y = |x|.

    Shapes: x (...) -> (...)
    Saves: x
    Derivative: g_x = g * sign(x)
    Note: 0 at the kink; the second derivative is NaN there
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.abs(x)

    def backward(self, xp, g, x):
        g_x = xp.where(x > 0, g, xp.where(x < 0, -g, x * 0))  # x * 0: 0, and NaN stays NaN
        return unsmooth(g_x, x == 0, x)


def abs(x: TensorLike) -> Tensor:
    """|x|. At 0 the gradient is 0 and the second derivative NaN; at NaN the gradient is NaN.

    (PyTorch gives 0 in all three cases.)
    """
    return Abs()(x)


class Maximum(Op):
    """y = max(a, b), element by element.

    Shapes: a (...), b (...) -> (...), broadcast
    Saves: a, b
    Derivative: g_a = where(a > b, g, where(a < b, 0, g / 2)),
        g_b = where(b > a, g, where(b < a, 0, g / 2))
    Note: ties share the gradient equally
    """

    broadcasts = True
    save_inputs = (0, 1)
    compares = True

    def forward(self, xp, a, b):
        return xp.maximum(a, b)

    def backward(self, xp, g, a, b):
        tie = xp.where(a == b, 0.5 * g, g)
        return (
            xp.where(a < b, 0, tie) if self.needs[0] else None,
            xp.where(b < a, 0, tie) if self.needs[1] else None,
        )


def maximum(a: TensorLike, b: TensorLike) -> Tensor:
    """The larger of a and b. Where they are equal each gets half of the gradient."""
    return Maximum()(a, b)


class Minimum(Op):
    """y = min(a, b), element by element.

    Shapes: a (...), b (...) -> (...), broadcast
    Saves: a, b
    Derivative: g_a = where(a < b, g, where(a > b, 0, g / 2)),
        g_b = where(b < a, g, where(b > a, 0, g / 2))
    Note: ties share the gradient equally
    """

    broadcasts = True
    save_inputs = (0, 1)
    compares = True

    def forward(self, xp, a, b):
        return xp.minimum(a, b)

    def backward(self, xp, g, a, b):
        tie = xp.where(a == b, 0.5 * g, g)
        return (
            xp.where(a > b, 0, tie) if self.needs[0] else None,
            xp.where(b > a, 0, tie) if self.needs[1] else None,
        )


def minimum(a: TensorLike, b: TensorLike) -> Tensor:
    """The smaller of a and b. Where they are equal each gets half of the gradient."""
    return Minimum()(a, b)


class FMax(Op):
    """y = max(a, b), or the one that is not NaN.

    Shapes: a (...), b (...) -> (...), broadcast
    Saves: a, b
    Derivative: g_a = where(a > b, g, where(a < b, 0, g / 2)),
        g_b = where(b > a, g, where(b < a, 0, g / 2))
    Note: a NaN is not chosen and gets no gradient; ties, and two NaN, share it equally
    """

    broadcasts = True
    save_inputs = (0, 1)
    compares = True

    def forward(self, xp, a, b):
        return xp.fmax(a, b)

    def backward(self, xp, g, a, b):
        return self.shared(xp, g, (a > b) | (b != b) & (a == a), (b > a) | (a != a) & (b == b))

    def shared(self, xp, g, a_chosen, b_chosen):
        """The gradients, given where only a is chosen and where only b is."""
        half = 0.5 * g
        return (
            xp.where(a_chosen, g, xp.where(b_chosen, 0, half)) if self.needs[0] else None,
            xp.where(b_chosen, g, xp.where(a_chosen, 0, half)) if self.needs[1] else None,
        )


def fmax(a: TensorLike, b: TensorLike) -> Tensor:
    """The larger of a and b; where one is NaN, the other (``maximum`` gives NaN there).

    Where they are equal, or both NaN, each gets half of the gradient (PyTorch gives all to a).
    """
    return FMax()(a, b)


class FMin(FMax):
    """y = min(a, b), or the one that is not NaN.

    Shapes: a (...), b (...) -> (...), broadcast
    Saves: a, b
    Derivative: g_a = where(a < b, g, where(a > b, 0, g / 2)),
        g_b = where(b < a, g, where(b > a, 0, g / 2))
    Note: a NaN is not chosen and gets no gradient; ties, and two NaN, share it equally
    """

    def forward(self, xp, a, b):
        return xp.fmin(a, b)

    def backward(self, xp, g, a, b):
        return self.shared(xp, g, (a < b) | (b != b) & (a == a), (b < a) | (a != a) & (b == b))


def fmin(a: TensorLike, b: TensorLike) -> Tensor:
    """The smaller of a and b; where one is NaN, the other (``minimum`` gives NaN there).

    Where they are equal, or both NaN, each gets half of the gradient (PyTorch gives all to a).
    """
    return FMin()(a, b)


class NanToNum(Op):
    """y = x, with numbers in place of NaN and infinities.

    Shapes: x (...) -> (...)
    Saves: nothing; keeps where x is finite
    Derivative: g_x = where(isfinite(x), g, 0)
    """

    def __init__(self, nan, posinf, neginf):
        self.nan, self.posinf, self.neginf = nan, posinf, neginf

    def forward(self, xp, x):
        self.finite = xp.isfinite(x)
        return xp.nan_to_num(x, nan=self.nan, posinf=self.posinf, neginf=self.neginf)

    def backward(self, xp, g):
        return xp.where(self.finite, g, 0)


def nan_to_num(
    x: TensorLike, *, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """x with numbers in place of NaN and both infinities. Replaced elements get no gradient.

    The infinities become ``posinf`` and ``neginf``, by default the largest and smallest number of
    the type. NumPy's ``copy`` is missing: a Tensor is never changed in place.
    """
    return NanToNum(nan, posinf, neginf)(x)


class Clip(Op):
    """y = min(max(x, low), high).

    Shapes: x (...), low (...), high (...) -> (...), broadcast
    Saves: x, low, high
    Derivative: g_x = where((x >= low) & (x <= high), g, 0),
        g_low = where((x < low) & (low <= high), g, 0),
        g_high = where((x > high) | (low > high), g, 0)
    Note: at a bound x has the whole gradient; beyond it the bound has it
    """

    broadcasts = True
    save_inputs = (0, 1, 2)
    compares = True
    returns_view = True  # without bounds

    def forward(self, xp, x, low, high):
        return x if low is None and high is None else xp.clip(x, low, high)

    def backward(self, xp, g, x, low, high):
        low = -math.inf if low is None else low
        high = math.inf if high is None else high
        return (
            xp.where((x >= low) & (x <= high), g, 0) if self.needs[0] else None,
            xp.where((x < low) & (low <= high), g, 0) if self.needs[1] else None,
            xp.where((x > high) | (low > high), g, 0) if self.needs[2] else None,
        )


def clip(x: TensorLike, a_min: TensorLike | None = None, a_max: TensorLike | None = None) -> Tensor:
    """x limited to [``a_min``, ``a_max``]: numbers, arrays or Tensors, or None for no bound.

    At a bound x has the whole gradient, as in torch.clamp; beyond it the bound has it.
    Where a_min > a_max the result is a_max.
    """
    return Clip()(x, a_min, a_max)


class Where(Op):
    """y = a where the condition holds, and b elsewhere.

    Shapes: condition (...), a (...), b (...) -> (...), broadcast
    Saves: nothing; keeps the condition, which has no derivative
    Derivative: g_a = where(condition, g, 0), g_b = where(condition, 0, g)
    """

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


def where(condition: TensorLike, a: TensorLike, b: TensorLike) -> Tensor:
    """a where ``condition``, a boolean array without a derivative, holds, and b elsewhere."""
    condition = operand(condition)
    return Where(raw(condition)).reading(condition)(a, b)
