"""Points where a derivative exists by convention only, and so has no derivative of its own.

|x| has slope -1 before 0 and 1 behind it; at 0 its gradient is 0 by convention. A backward that
says so with ``where(x == 0, 0, ...)`` says under ``create_graph`` that the slope is constant there,
and the second derivative of |x|^2 comes out as 0, where it is 2. It cannot be found from what the
first backward knows, so it must be NaN: what is unknown never looks like a number.
"""

import math

import numpy as np

from autograd._tensor import Tensor
from autograd.engine import Op


class Unsmooth(Op):
    """y = x.  Saves: where x has no derivative.  dy/dx = NaN there, 1 elsewhere.

    Where nobody asks for the derivative (g is 0) it stays 0.
    """

    broadcasts = True  # the condition may be on more than x
    returns_view = True

    def __init__(self, where):
        self.where = where

    def forward(self, xp, x):
        shape = np.broadcast_shapes(x.shape, self.where.shape)
        return x if shape == x.shape else xp.broadcast_to(x, shape)

    def backward(self, xp, g):
        return xp.where(self.where & (g != 0), math.nan, g)


def unsmooth(x, where):
    """x, part of a first derivative, whose own derivative is NaN where the boolean array holds.

    A raw array is returned as it is: only under ``create_graph`` are there further derivatives.
    """
    return Unsmooth(where)(x) if isinstance(x, Tensor) else x
