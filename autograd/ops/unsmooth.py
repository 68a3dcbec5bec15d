"""Points where a derivative exists by convention only, and so has no derivative of its own.

|x| has slope -1 left of 0 and 1 right of it; at 0 its gradient is 0 by convention. A backward that
writes this as ``where(x == 0, 0, ...)`` says under ``create_graph`` that the slope is constant
there, and the second derivative of |x|^2 at 0 would be 0, where it is 2. The first backward does
not know enough to find it, so it must be NaN: an unknown value must not look like a number.
"""

import math

from autograd._tensor import Tensor
from autograd.engine import Op


class Unsmooth(Op):
    """y = a, which depends on x (and others) in a way that is not known at some places.

    Shapes: a (...), x (...) -> (...), the shape of a
    Saves: nothing; keeps where these places are
    Derivative: g_a = g, and g_x is NaN at these places where g is not 0, and 0 elsewhere
    """

    broadcasts = True
    returns_view = True

    def __init__(self, where):
        self.where = where

    def forward(self, xp, a, *xs):
        return a

    def backward(self, xp, g):
        unknown = xp.where(self.where & (g != 0), math.nan, xp.zeros_like(g))
        return g, *([unknown] * (len(self.needs) - 1))


def unsmooth(a, where, *xs):
    """a, a first derivative whose own derivatives in ``xs`` are NaN where ``where`` is true.

    ``where`` is a boolean array that broadcasts to a's shape, as the xs do. A raw array is returned
    as it is: only under ``create_graph`` are there second derivatives.
    """
    return Unsmooth(where)(a, *xs) if isinstance(a, Tensor) else a
