"""The affine map of a layer, y = x W^T + b."""

from autograd._tensor import Tensor, TensorLike
from autograd.engine import Op
from autograd.kernels import linear as kernel
from autograd.ops.arguments import of_one_type
from autograd.precision import at_current_precision

__all__ = ["linear"]


class Linear(Op):
    """y = x W^T + b.

    Shapes: x (..., K), weight W (M, K), bias b (M,) -> (..., M)
    Saves: x, weight
    Derivative: g_x = g @ weight, g_weight = g^T @ x, g_bias = g
    Note: a bias is added to every row, so its gradient is the sum of the rows of g
    Derivation: autograd/kernels/linear/README.md
    """

    save_inputs = (0, 1)
    saved_for = {0: (1,), 1: (0,)}
    fresh_gradients = True
    works_in_place = True
    multiplied = (0,)
    precision = "float32"

    def forward(self, xp, x, weight, bias=None):
        return kernel.forward(xp, x, weight, bias, precision=self.precision)

    def backward(self, xp, g, x, weight, room=None):
        needs = self.needs if len(self.needs) == 3 else (*self.needs, False)
        gradients = kernel.backward(xp, g, x, weight, needs, room=room, precision=self.precision)
        return gradients[: len(self.needs)]


def linear(x: TensorLike, weight: TensorLike, bias: TensorLike | None = None) -> Tensor:
    """x W^T + b, with the weight (out, in) as in PyTorch: x (..., K), weight (M, K), bias (M,).

    Raises ValueError when the shapes do not fit.
    """
    inputs = (x, weight) if bias is None else (x, weight, bias)
    x, weight, *biases = of_one_type(*inputs)
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"linear: x has shape {x.shape} and weight {weight.shape}: the last axis of x must be "
            "as long as the last axis of weight (out, in)"
        )
    if biases and biases[0].shape != weight.shape[:1]:
        raise ValueError(
            f"linear: the bias has shape {biases[0].shape}, expected {weight.shape[:1]}"
        )
    return at_current_precision(Linear())(x, weight, *biases)
