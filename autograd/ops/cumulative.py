"""Running sums and products along one axis, and the differences that undo a sum."""

from autograd._tensor import Tensor, TensorLike
from autograd.engine import Op
from autograd.ops.arguments import integer, normalize_axis, operand, operands
from autograd.ops.index import getitem
from autograd.ops.rearrange import ravel
from autograd.ops.shape import broadcast_to, concatenate

__all__ = ["cumprod", "cumsum", "diff"]


class CumSum(Op):
    """y_j = x_0 + ... + x_j.

    Shapes: x (..., N) -> (..., N), or another axis
    Saves: nothing
    Derivative: g_x = flip(cumsum(flip(g)))
    Note: x_i is in y_i, y_i+1, ..., so its gradient is a running sum from the end
    """

    def __init__(self, axis):
        self.axis = axis

    def forward(self, xp, x):
        return xp.cumsum(x, axis=self.axis)

    def backward(self, xp, g):
        return xp.flip(xp.cumsum(xp.flip(g, self.axis), axis=self.axis), self.axis)


def cumsum(x: TensorLike, axis: int | None = None) -> Tensor:
    """The running sum along ``axis``, or over all elements in order when it is None."""
    x, axis = _one_axis("cumsum", x, axis)
    return CumSum(axis)(x)


class CumProd(Op):
    """y_j = x_0 ... x_j.

    Shapes: x (..., N) -> (..., N), or another axis
    Saves: x
    Derivative: g_x = flip(cumsum(flip(g * y))) / x
    Note: that is 0/0 where an x_i is 0, so it is computed without dividing

        dL/dx_i = (x_0 ... x_{i-1}) r_i  with  r_i = sum_{j >= i} g_j x_{i+1} ... x_j,

    and r_i = g_i + x_{i+1} r_{i+1}, in which zeros are as good as other numbers.
    """

    save_inputs = (0,)

    def __init__(self, axis):
        self.axis = axis

    def forward(self, xp, x):
        return xp.cumprod(x, axis=self.axis)

    def backward(self, xp, g, x):
        x, g = xp.swapaxes(x, 0, self.axis), xp.swapaxes(g, 0, self.axis)
        before = xp.cumprod(xp.concatenate([xp.ones_like(x[:1]), x[:-1]]), axis=0)
        # r_i = r_i + m_i r_{i+reach} holds for reach 1 with r = g and m_i = x_{i+1}. Inserting the
        # equation into itself doubles the reach, until it is past the end for every i.
        r, m, reach = g, x[1:], 1
        while reach < len(x):
            r = xp.concatenate([r[:-reach] + m * r[reach:], r[-reach:]])
            m = m[:-reach] * m[reach:]
            reach *= 2
        return xp.swapaxes(before * r, 0, self.axis)


def cumprod(x: TensorLike, axis: int | None = None) -> Tensor:
    """The running product along ``axis``, or over all elements in order when it is None.

    The gradient is right where factors are 0, too.
    """
    x, axis = _one_axis("cumprod", x, axis)
    return CumProd(axis)(x)


def diff(
    x: TensorLike,
    n: int = 1,
    axis: int = -1,
    prepend: TensorLike | None = None,
    append: TensorLike | None = None,
) -> Tensor:
    """Each element along ``axis`` minus the one before it, ``n`` times.

    For booleans: whether they differ. ``prepend`` and ``append``, arrays or single numbers, are
    joined to x first, before and after it. Raises ValueError for a negative n.
    """
    x = operand(x)
    axis, n = normalize_axis("diff", axis, x.ndim), integer("diff", "n", n)
    if n < 0:
        raise ValueError(f"diff: n must not be negative, got {n}")
    if n == 0:
        return x if isinstance(x, Tensor) else Tensor(x)
    edge = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    for value, at_end in ((prepend, False), (append, True)):
        if value is not None:
            x, value = operands(x, value)
            value = broadcast_to(value, edge) if value.ndim == 0 else value
            x = concatenate([x, value] if at_end else [value, x], axis)
    before = (slice(None),) * axis
    for _ in range(min(n, x.shape[axis])):  # after that nothing is left
        high, low = getitem(x, (*before, slice(1, None))), getitem(x, (*before, slice(None, -1)))
        x = Tensor(high != low) if x.dtype == bool else high - low
    return x if isinstance(x, Tensor) else Tensor(x)


def _one_axis(op, x, axis):
    """x and the axis to run along. As in NumPy, an array of shape () has one, of length 1."""
    ndim = operand(x).ndim
    axis = None if axis is None else normalize_axis(op, axis, ndim or 1)
    return (x, axis) if ndim and axis is not None else (ravel(x), 0)
