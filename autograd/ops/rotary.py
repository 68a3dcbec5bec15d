"""Rotary position embedding: a token's position as an angle by which its channels are turned."""

import numpy as np

from autograd._tensor import Tensor, TensorLike
from autograd.engine import Op
from autograd.kernels import rope as kernel
from autograd.ops.arguments import floating, operand
from autograd.questions import see

__all__ = ["rope"]

LAYOUTS = ("half", "interleaved")


class Rope(Op):
    """(y_a, y_b) = (x_a cos - x_b sin, x_a sin + x_b cos) for every pair of channels (a, b) of x.

    Shapes: x (..., D), cos (..., R/2), sin (..., R/2) -> (..., D)
    Saves: nothing; keeps cos and sin
    Derivative: g turned by the opposite angle: of a pair, g_a cos + g_b sin and g_b cos - g_a sin
    Derivation: autograd/kernels/rope/README.md
    """

    fresh_gradients = True
    works_in_place = True

    def __init__(self, cos, sin, layout):
        self.cos, self.sin, self.layout = cos, sin, layout

    def forward(self, xp, x):
        return kernel.forward(xp, x, self.cos, self.sin, self.layout)

    def backward(self, xp, g, room=None):
        return kernel.backward(xp, g, self.cos, self.sin, self.layout, room=room)


def rope(x: TensorLike, cos: TensorLike, sin: TensorLike, layout: str = "half") -> Tensor:
    """x with its channels turned by the angles of its position (Su et al. 2021).

    cos and sin (..., R/2) are those of position times frequency, one angle for each pair of
    channels; their leading axes broadcast to those of x (..., D). So a table (T, R/2) fits x
    (B, H, T, D), its rows p to p + T fit T new tokens after p old ones, a table (B, 1, T, R/2) has
    positions of its own for every sequence, and a table (T, 1, R/2) fits x (B, T, H, D), as a
    linear layer leaves it. Where R is below D, the last D - R channels stay as they are.

    ``layout`` says which channels are a pair: "half", j and j + R/2, as in Hugging Face's files;
    "interleaved", 2 j and 2 j + 1, as in the paper, in Meta's files and in GGUF's.

    cos and sin get no gradient, and are converted to the type of x. Raises ValueError for shapes
    that do not fit and for another layout, TypeError if cos or sin requires a gradient.
    """
    if layout not in LAYOUTS:
        raise ValueError(f'rope: layout is {layout!r}, but must be "half" or "interleaved"')
    x, cos, sin = floating(x), operand(cos), operand(sin)
    _check_shapes(x.shape, cos.shape, sin.shape)
    op = Rope(_constant(cos, x.dtype), _constant(sin, x.dtype), layout)
    return op.reading(cos, sin)(x)


def _constant(table, dtype):
    """The numbers of cos or sin, as a raw array of this type."""
    if isinstance(table, Tensor):
        if table.requires_grad:
            raise TypeError(
                "rope: cos and sin get no gradient, but one requires it: detach it"
                + see("When do I detach?")
            )
        table = table.data
    return table if table.dtype == dtype else table.astype(dtype)


def _check_shapes(x, cos, sin):
    fits = len(x) > 0 and len(cos) > 0 and cos == sin and 2 * cos[-1] <= x[-1]
    try:
        fits = fits and np.broadcast_shapes(cos[:-1], x[:-1]) == x[:-1]
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"rope: x {x}, cos {cos} and sin {sin} do not fit: expected (..., D) and twice "
            "(..., R/2) with R at most D and leading axes that broadcast to those of x"
        )
