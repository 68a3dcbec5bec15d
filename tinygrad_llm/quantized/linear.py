"""Functions of ``autograd.ops``, for weights that are stored quantized.

A layer calls ``ops_for(weight).linear(x, weight)``. All of them come down to one product, and the
derivative of it is another:

    y = x W^T        g_x = g W

The weights are constants: gradients pass through them to x, and to what is trained before them, but
they have none of their own. Each of the two products is the other's derivative, so this goes to any
order.

Few rows of x are multiplied with the weights as they are stored (products.py). For many, some rows
of W at a time become numbers, which are then used for all of x: at no time is there a float32 copy
of more.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from autograd import Tensor, ops
from autograd.engine import Op
from autograd.kernels.dispatch import compiling
from tinygrad_llm.quantized.matrix import QuantizedMatrix

FEW_ROWS = 16
"""Up to here the time of a product is that of reading the weights."""
TILE = 1 << 20
"""Weights that are numbers at the same time."""


def ops_for(weight: Any) -> Any:
    """The module whose functions multiply with a weight: ``autograd.ops``, or this one.

    They have the same names and arguments in both.
    """
    return sys.modules[__name__] if isinstance(weight, QuantizedMatrix) else ops


def linear(x: Tensor, weight: QuantizedMatrix, bias: Any = None) -> Tensor:
    """x W^T + b: x (..., C), W (R, C), b (R,) -> (..., R).

    Raises ValueError when the shapes do not fit.
    """
    if x.shape[-1:] != weight.shape[1:]:
        raise ValueError(
            f"linear: x has shape {x.shape} and the matrix {weight.shape}: the last axis of x must "
            "be as long as a row"
        )
    y = Product(weight)(x)
    return y if bias is None else y + bias


def embedding(weight: QuantizedMatrix, ids: Any, padding_idx: int | None = None) -> Tensor:
    """The rows of a table (V, C): ids (...) -> (..., C).

    The table has no gradient, so ``padding_idx`` changes nothing. Raises TypeError for ids that are
    not integers, IndexError for one outside the table.
    """
    ids = ids.data if isinstance(ids, Tensor) else np.asarray(ids)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"ids are integers, but these are {ids.dtype}")
    outside = (ids < 0) | (ids >= weight.shape[0])
    if outside.any():
        raise IndexError(f"id {ids[outside][0]} is outside the table of {weight.shape[0]:,} rows")
    return Tensor(weight.dequantize(ids))


def linear_cross_entropy(h, weight, targets, ignore_index=-100, reduction="mean") -> Tensor:
    """Cross-entropy, in nats, of the logits h W^T: h (..., C), W (V, C), targets (...).

    Here the logits exist at once. Raises what ``linear`` and ``ops.cross_entropy`` raise.
    """
    return ops.cross_entropy(linear(h, weight), targets, ignore_index, reduction)


class Product(Op):
    """y = x W^T, W (R, C) stored: x (..., C) -> (..., R)."""

    def __init__(self, matrix):
        self.matrix = matrix

    def forward(self, xp, x):
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])  # (N, C)
        return times_transposed(rows, self.matrix).reshape(*x.shape[:-1], -1)

    def backward(self, xp, g):
        return TransposedProduct(self.matrix).apply(xp, g)

    def apply(self, xp, x):
        """On arrays; under create_graph on Tensors, as a node of its own."""
        return self(x) if isinstance(x, Tensor) else self.forward(xp, x)


class TransposedProduct(Product):
    """y = x W, W (R, C) stored: x (..., R) -> (..., C)."""

    def forward(self, xp, x):
        y = np.zeros((*x.shape[:-1], self.matrix.shape[1]), x.dtype)
        for rows, weights in tiles(self.matrix, x.dtype):
            y += x[..., rows] @ weights
        return y

    def backward(self, xp, g):
        return Product(self.matrix).apply(xp, g)


def times_transposed(x: np.ndarray, matrix: QuantizedMatrix) -> np.ndarray:
    """x W^T: x (N, C), contiguous -> (N, R)."""
    y = np.empty((len(x), matrix.shape[0]), x.dtype)
    if len(x) <= FEW_ROWS and x.dtype == np.float32 and compiling():
        from tinygrad_llm.quantized.products import product

        product(matrix, x, y)
        return y
    for rows, weights in tiles(matrix, x.dtype):
        np.matmul(x, weights.T, out=y[:, rows])
    return y


def tiles(matrix: QuantizedMatrix, dtype: Any) -> Iterator[tuple[slice, np.ndarray]]:
    """Some rows of a matrix at a time, of about TILE weights, as numbers: pairs (rows, weights).

    The array of the weights is used again for the next rows.
    """
    n_rows, n_columns = matrix.shape
    step = max(1, TILE // n_columns)
    fast = dtype == np.float32 and compiling()
    room = np.empty((min(step, n_rows), n_columns), np.float32) if fast else None
    for begin in range(0, n_rows, step):
        rows = slice(begin, min(begin + step, n_rows))
        if room is None:
            yield rows, matrix.dequantize(rows, dtype)
            continue
        from tinygrad_llm.quantized.decoding import decode_rows

        weights = room[: rows.stop - begin]
        decode_rows(matrix, begin, weights)
        yield rows, weights
