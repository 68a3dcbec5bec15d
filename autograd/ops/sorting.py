"""Elements in order of size. Each element gets the gradient of the place it was moved to."""

from autograd._tensor import Tensor, TensorLike
from autograd.device import namespace
from autograd.ops.arguments import integer, normalize_axis, operand
from autograd.ops.discrete import argsort, stable_order
from autograd.ops.index import TakeAlongAxis, take_along_axis
from autograd.ops.shape import reshape

__all__ = ["sort", "topk"]


class Sort(TakeAlongAxis):
    """y is x in order along an axis.

    Shapes: x (..., N) -> (..., N), or another axis
    Saves: nothing; keeps where each y came from
    Derivative: each element of g goes to the place its y came from
    Note: equal elements keep their order, and each its own gradient
    """

    def __init__(self, axis, descending):
        super().__init__(None, axis)
        self.descending = descending

    def forward(self, xp, x):
        self.indices = stable_order(xp, x, self.axis, self.descending)
        return super().forward(xp, x)


def sort(x: TensorLike, axis: int | None = -1, descending: bool = False) -> Tensor:
    """The elements in ascending order along ``axis`` (None: of the flattened x), NaN last.

    With ``descending`` the largest is first, and NaN before it. Equal elements keep their order
    either way, and each has the gradient of its own place.
    """
    x = operand(x)
    if axis is None:
        x, axis = reshape(x, (x.size,)), 0
    return Sort(normalize_axis("sort", axis, x.ndim), descending)(x)


def topk(
    x: TensorLike, k: int, axis: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Tensor, Tensor]:
    """The ``k`` largest elements along ``axis`` and their indices: (values, indices).

    ``largest=False`` takes the smallest. The most extreme comes first; with ``sorted=False`` they
    keep their order in x. Of equal elements the one with the lowest index is taken first, and NaN
    counts as the largest. Only the values have a gradient. The function is torch.topk's, which
    leaves both orders open.

    Raises ValueError when the axis has fewer than k elements.
    """
    x = operand(x)
    axis, k = normalize_axis("topk", axis, x.ndim), integer("topk", "k", k)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(
            f"topk: k is {k}, but must be from 0 to {x.shape[axis]}, the length of axis {axis} of "
            f"shape {x.shape}"
        )
    indices = argsort(x, axis, descending=largest).data[(slice(None),) * axis + (slice(k),)]
    if not sorted:
        indices = namespace(indices).sort(indices, axis=axis)
    return take_along_axis(x, indices, axis), Tensor(indices)
