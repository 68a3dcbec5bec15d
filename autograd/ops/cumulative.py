"""Running sums and products along one axis."""

from autograd.engine import Op
from autograd.ops.arguments import normalize_axis, operand
from autograd.ops.rearrange import ravel

__all__ = ["cumprod", "cumsum"]


class CumSum(Op):
    """y_j = x_0 + ... + x_j.  Saves: nothing.

    Shapes: any, kept
    dL/dx_i = g_i + ... + g_n, a running sum from the end
    """

    def __init__(self, axis):
        self.axis = axis

    def forward(self, xp, x):
        return xp.cumsum(x, axis=self.axis)

    def backward(self, xp, g):
        return xp.flip(xp.cumsum(xp.flip(g, self.axis), axis=self.axis), self.axis)


class CumProd(Op):
    """y_j = x_0 ... x_j.  Saves: x.

    Shapes: any, kept
    dL/dx_i = (x_0 ... x_{i-1}) r_i  with  r_i = sum_{j >= i} g_j x_{i+1} ... x_j,

    and r_i = g_i + x_{i+1} r_{i+1}: no division, so zeros are as good as other numbers.
    """

    save_inputs = (0,)

    def __init__(self, axis):
        self.axis = axis

    def forward(self, xp, x):
        return xp.cumprod(x, axis=self.axis)

    def backward(self, xp, g, x):
        x, g = xp.swapaxes(x, 0, self.axis), xp.swapaxes(g, 0, self.axis)
        before = xp.cumprod(xp.concatenate([xp.ones_like(x[:1]), x[:-1]]), axis=0)
        # r_i = r_i + m_i r_{i+reach} holds for reach 1 with r = g and m_i = x_{i+1}. Putting the
        # equation into itself doubles the reach, until it leads past the end for every i.
        r, m, reach = g, x[1:], 1
        while reach < len(x):
            r = xp.concatenate([r[:-reach] + m * r[reach:], r[-reach:]])
            m = m[:-reach] * m[reach:]
            reach *= 2
        return xp.swapaxes(before * r, 0, self.axis)


def cumsum(x, axis=None):
    """The running sum along ``axis``, or over all elements in order when it is None."""
    x, axis = _one_axis("cumsum", x, axis)
    return CumSum(axis)(x)


def cumprod(x, axis=None):
    """The running product along ``axis``, or over all elements in order when it is None.

    The gradient is right also where factors are 0.
    """
    x, axis = _one_axis("cumprod", x, axis)
    return CumProd(axis)(x)


def _one_axis(op, x, axis):
    """x and the axis to run along. As in NumPy, an array of shape () has one, of length 1."""
    ndim = operand(x).ndim
    axis = None if axis is None else normalize_axis(op, axis, ndim or 1)
    return (x, axis) if ndim and axis is not None else (ravel(x), 0)
