"""Elements in order of size. What was moved to its place gets that place's gradient."""

from autograd._tensor import Tensor
from autograd._types import TensorLike
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

    With ``descending`` the largest is first, and NaN before it. Among equal elements the first
    stays first either way, and each has the gradient of its own place.
    """
    x = operand(x)
    if axis is None:
        x, axis = reshape(x, (x.size,)), 0
    return Sort(normalize_axis("sort", axis, x.ndim), descending)(x)


def topk(
    x: TensorLike, k: int, axis: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Tensor, Tensor]:
    """The ``k`` largest elements along ``axis``, and where they were: (values, indices).

    ``largest=False`` takes the smallest. The first is the most extreme; with ``sorted=False`` they
    stay in the order that they have in x. Of equal elements the one with the lowest index is taken
    first, and NaN counts as the largest. The values carry the gradient to their places, the
    indices are integers and have none. As torch.topk, which leaves both orders open.

    Raises ValueError when the axis has fewer than k elements.
    """
    x = operand(x)
    axis, k = normalize_axis("topk", axis, x.ndim), integer("topk", "k", k)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(
            f"topk: k is {k}, and must be between 0 and the {x.shape[axis]} elements of axis "
            f"{axis} of shape {x.shape}"
        )
    indices = argsort(x, axis, descending=largest).data[(slice(None),) * axis + (slice(k),)]
    if not sorted:
        indices = namespace(indices).sort(indices, axis=axis)
    return take_along_axis(x, indices, axis), Tensor(indices)
