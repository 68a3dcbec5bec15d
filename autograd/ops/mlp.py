"""The feed-forward layer of a transformer: two matrices, with GELU between them."""

from autograd._tensor import Tensor, TensorLike
from autograd.device import namespace
from autograd.engine import Op
from autograd.kernels import feed_forward as kernel
from autograd.ops.activation import known_gelu
from autograd.ops.arguments import floating, of_one_type
from autograd.precision import at_current_precision
from autograd.saved_tensors import unpacked

__all__ = ["feed_forward"]


class FeedForward(Op):
    """y = GELU(h) W^T + c with h = x U^T + b.

    Shapes: x (..., K), U (M, K), b (M,), W (C, M), c (C,) -> (..., C)
    Saves: x, U, b, W; caches h, in rows
    Derivative: g_x = g_h @ U, g_U = g_h^T @ x, g_b = g_h, g_W = g^T @ (h * Phi), g_c = g
        with g_h = g @ W * (Phi + h * density), h = x @ U^T + b, Phi = (1 + erf(h / sqrt(2))) / 2,
        density = exp(-h^2 / 2) / sqrt(2 * pi)
    Note: this is the exact GELU; its derivation has the tanh form as well
    Derivation: autograd/kernels/feed_forward/README.md
    """

    save_inputs = (0, 1, 2, 3)
    fresh_gradients = True
    works_in_place = True
    caches_activations = True
    multiplied = (0,)
    precision = "float32"

    def __init__(self, approximate):
        self.approximate = approximate

    def forward(self, xp, x, u, b, w, c):
        y, self.cache = kernel.forward(
            xp, x, u, b, w, c, self.approximate, precision=self.precision
        )
        return y

    def backward(self, xp, g, x, u, b, w, room=None):
        options = (self.approximate, unpacked(self.cache), self.needs)
        return kernel.backward(xp, g, x, u, b, w, *options, room=room, precision=self.precision)


def feed_forward(
    x: TensorLike,
    up_weight: TensorLike,
    up_bias: TensorLike | None,
    down_weight: TensorLike,
    down_bias: TensorLike | None,
    approximate: str = "tanh",
) -> Tensor:
    """``linear(gelu(linear(x, up_weight, up_bias)), down_weight, down_bias)`` as one operation.

    Each token on its own goes up to M hidden channels, through GELU, and down again: x (..., K),
    up_weight (M, K), up_bias (M,), down_weight (C, M), down_bias (C,) -> (..., C). A bias may be
    None. ``approximate`` is gelu's; "tanh" is what GPT-2 was trained with.

    It keeps one array of M channels for backward where the three operations keep two. Raises
    ValueError when the shapes do not fit, and as gelu does.
    """
    approximate = known_gelu(approximate, "feed_forward")
    biases = [bias for bias in (up_bias, down_bias) if bias is not None]
    inputs = of_one_type(*map(floating, (x, up_weight, down_weight, *biases)))
    (x, u, w), rest = inputs[:3], iter(inputs[3:])
    if not (u.ndim == w.ndim == 2 and x.shape[-1:] == u.shape[1:] and u.shape[:1] == w.shape[1:]):
        raise ValueError(
            f"feed_forward: x has shape {x.shape}, up_weight {u.shape} and down_weight {w.shape}, "
            "expected (..., K), (M, K) and (C, M)"
        )
    b = _zeros(u) if up_bias is None else next(rest)
    c = _zeros(w) if down_bias is None else next(rest)
    for name, bias, weight in (("up_bias", b, u), ("down_bias", c, w)):
        if bias.shape != weight.shape[:1]:
            raise ValueError(
                f"feed_forward: {name} has shape {bias.shape}, expected {weight.shape[:1]}"
            )
    return at_current_precision(FeedForward(approximate))(x, u, b, w, c)


def _zeros(weight):
    """The bias of a layer without one: a zero for each row of its weight."""
    array = weight.data if isinstance(weight, Tensor) else weight
    return namespace(array).zeros(len(array), array.dtype)
