"""Matrix products."""

from autograd.engine import Op
from autograd.ops.shape import expand_dims, squeeze

__all__ = ["matmul"]


class MatMul(Op):
    """Y = A B over the last two axes.  Saves: A, B.  dL/dA = G B^T, dL/dB = A^T G.

    Shapes: A (..., N, K), B (..., K, M) -> (..., N, M); the leading axes broadcast.
    """

    broadcasts = True
    save_inputs = (0, 1)
    saved_for = {0: (1,), 1: (0,)}

    def forward(self, xp, a, b):
        return xp.matmul(a, b)

    def backward(self, xp, g, a, b):
        return (
            xp.matmul(g, xp.swapaxes(b, -1, -2)) if self.needs[0] else None,  # (..., N, K)
            xp.matmul(xp.swapaxes(a, -1, -2), g) if self.needs[1] else None,  # (..., K, M)
        )


def matmul(a, b):
    """The matrix product of NumPy's ``@``: vectors are rows on the left, columns on the right.

    Raises ValueError for a 0-d operand or shapes that do not fit.
    """
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul takes no scalars, and got shapes {a.shape} and {b.shape}: use *")
    if a.ndim > 1 and b.ndim > 1:
        return MatMul()(a, b)
    row, column = a.ndim == 1, b.ndim == 1
    y = MatMul()(expand_dims(a, 0) if row else a, expand_dims(b, 1) if column else b)
    return squeeze(y, axis=(-2,) * row + (-1,) * column)
