"""A table of rows, one for each token id."""

from autograd._tensor import Tensor, TensorLike
from autograd.device import namespace
from autograd.engine import Op
from autograd.kernels import embedding as kernel
from autograd.ops.arguments import integer, integer_array, operand

__all__ = ["embedding"]


class Embedding(Op):
    """y = weight[ids].

    Shapes: weight (V, C), ids (...) -> (..., C)
    Saves: nothing; keeps the ids
    Derivative: g_weight = scatter_add(weight.shape, ids, g)
    Note: rows of g with the same id add up; the row of the id ``padding``, if there is one, gets no
        gradient
    Derivation: autograd/kernels/embedding/README.md
    """

    fresh_gradients = True
    works_in_place = True

    def __init__(self, ids, padding=None):
        self.ids, self.padding = ids, padding

    def forward(self, xp, weight):
        return kernel.forward(xp, weight, self.ids)

    def backward(self, xp, g, room=None):
        shape = self.inputs[0].shape
        if self.padding is not None:
            g = xp.where((self.ids == self.padding)[..., None], 0, g)
        return kernel.backward(xp, g, self.ids, shape, room=room)


def embedding(weight: TensorLike, ids: TensorLike, padding_idx: int | None = None) -> Tensor:
    """The rows of ``weight`` (V, C) named by the integers ``ids`` (...), each in [0, V).

    ``ids`` is an array, or a Tensor that holds integers. The row ``padding_idx``, which may count
    from the end, gets no gradient: tokens that only fill up a sequence teach nothing. Raises
    TypeError for ids that are not integers, IndexError for one outside the table, ValueError for a
    table that is not a matrix.
    """
    weight = operand(weight)
    if weight.ndim != 2:
        raise ValueError(f"embedding: the table has shape {weight.shape}, expected (V, C)")
    n_rows = weight.shape[0]
    rows = integer_array("embedding ids", ids)
    if rows.size and (rows.min() < 0 or rows.max() >= n_rows):
        wrong = rows[(rows < 0) | (rows >= n_rows)][0]
        raise IndexError(f"embedding: id {int(wrong)} is outside the table of {n_rows} rows")
    if padding_idx is not None:
        row = integer("embedding", "padding_idx", padding_idx)
        if not -n_rows <= row < n_rows:
            raise IndexError(f"embedding: padding_idx {row} is outside the table of {n_rows} rows")
        padding_idx = row % n_rows
    rows = namespace(rows).asarray(rows, order="C")  # what the kernel takes
    return Embedding(rows, padding_idx).reading(ids)(weight)
