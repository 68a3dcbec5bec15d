"""Gated linear units: one half of a feed-forward layer's channels decides how much of the other."""

from autograd._tensor import Tensor, TensorLike
from autograd.engine import Op
from autograd.kernels import glu as kernel
from autograd.ops.activation import known_gelu
from autograd.ops.arguments import floating, of_one_type

__all__ = ["geglu", "swiglu"]


class GLU(Op):
    """y = act(a) b with act(a) = a sigmoid(a), or GELU(a).

    Shapes: a (..., M), b (..., M) -> (..., M)
    Saves: a, b
    Derivative: g_a = g * b * s * (1 + a * (1 - s)), g_b = g * a * s with s = sigmoid(a)
    Note: this is swiglu; in geglu GELU and its slope take the place of a * s and s * (1 + a * (1 -
        s))
    Derivation: autograd/kernels/glu/README.md
    """

    save_inputs = (0, 1)
    fresh_gradients = True
    works_in_place = True

    def __init__(self, activation):
        self.activation = activation

    def forward(self, xp, a, b):
        return kernel.forward(xp, a, b, self.activation)

    def backward(self, xp, g, a, b, room=None):
        g_a, g_b = kernel.backward(xp, g, a, b, self.activation, room=room)
        return g_a if self.needs[0] else None, g_b if self.needs[1] else None


def swiglu(gate: TensorLike, up: TensorLike) -> Tensor:
    """silu(``gate``) * ``up``, the middle of a SwiGLU layer (Shazeer 2020).

    Both are (..., M), the products of one input with two matrices; the third matrix comes after:
    ``linear(swiglu(linear(x, gate_weight), linear(x, up_weight)), down_weight)``. It keeps gate and
    up for backward. Raises ValueError when the two have different shapes.
    """
    return _glu("swiglu", gate, up, "silu")


def geglu(gate: TensorLike, up: TensorLike, approximate: str = "tanh") -> Tensor:
    """gelu(``gate``) * ``up``, the middle of a GeGLU layer (Shazeer 2020).

    As ``swiglu``, with GELU. ``approximate`` is gelu's: "tanh" is what Gemma was trained with.
    Raises ValueError when the two have different shapes, and as gelu does.
    """
    tanh = known_gelu(approximate, "geglu") == "tanh"
    return _glu("geglu", gate, up, "gelu_tanh" if tanh else "gelu")


def _glu(name, gate, up, activation):
    gate, up = of_one_type(floating(gate), floating(up))
    if gate.shape != up.shape:
        raise ValueError(
            f"{name}: gate has shape {gate.shape} and up {up.shape}, expected the same shape"
        )
    return GLU(activation)(gate, up)
