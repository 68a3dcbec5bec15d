"""Attention of the Llama family: shared keys, a window, a cap on the scores, and documents."""

import math
from typing import Any

import numpy as np

from autograd._tensor import Tensor, TensorLike
from autograd.device import namespace
from autograd.engine import Op
from autograd.kernels import grouped_query_attention as kernel
from autograd.ops.arguments import floating, integer, integer_array, of_one_type, real
from autograd.precision import at_current_precision

__all__ = ["grouped_query_attention"]

_NAME = "grouped_query_attention"


class GroupedQueryAttention(Op):
    """y = softmax(mask(cap(scale q K^T))) V, where H / G heads of q share a head of K and V.

    Shapes: q (B, H, T, D), k (B, G, S, D), v (B, G, S, D) -> (B, H, T, D)
    Saves: q, k, v, y; caches two numbers per row of the attention weights, which are computed
        again; keeps the documents
    Derivative: that of ScaledDotProductAttention, with g_S times the slope of the cap, 1 - tanh^2,
        and g_k and g_v summed over the heads of q that share them
    Derivation: autograd/kernels/grouped_query_attention/README.md
    """

    save_inputs = (0, 1, 2)
    save_output = True
    fresh_gradients = True
    multiplied = (0, 1, 2, 3)
    precision = "float32"

    def __init__(self, scale, window, softcap, documents=None):
        self.options = scale, window, softcap, documents

    def forward(self, xp, q, k, v):
        y, self.cache = kernel.forward(xp, q, k, v, *self.options, precision=self.precision)
        return y

    def backward(self, xp, g, q, k, v, y):
        found = kernel.backward(
            xp, g, q, k, v, y, *self.options, cache=self.cache, precision=self.precision
        )
        return tuple([a if need else None for a, need in zip(found, self.needs, strict=True)])


def grouped_query_attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    window: int | None = None,
    softcap: float | None = None,
    scale: float | None = None,
    documents: TensorLike | None = None,
) -> Tensor:
    """Causal attention whose H query heads share G heads of keys and values (Ainslie et al. 2023).

    q (B, H, T, D), k and v (B, G, S, D) -> (B, H, T, D). H is a multiple of G: key head i serves
    the query heads i H/G to (i + 1) H/G - 1. The queries are those of the last T of S positions: if
    S > T, the keys of earlier tokens come from a cache. Each query sees the keys up to its own
    position, or with a ``window`` only the last ``window`` of them, its own included (Beltagy et
    al. 2020). With a ``softcap``, a score s becomes softcap * tanh(s / softcap), as in Gemma 2.
    ``scale`` is 1/sqrt(D) by default.

    Where a row holds several documents, ``documents`` (B, T), integers, names for each query the
    position from 0 to its own at which its document begins: it sees no key before that.

    The kernel works in tiles: memory is linear in T, and keys that no query of a tile sees are
    skipped. It reads q, k and v as they are where they were transposed from (B, T, H, D), a linear
    layer's output, and otherwise copies them. Raises ValueError for shapes and numbers that do not
    fit.
    """
    q, k, v = of_one_type(*map(floating, (q, k, v)))
    _check_shapes(q.shape, k.shape, v.shape)
    if window is not None and (window := integer(_NAME, "window", window)) < 1:
        raise ValueError(f"{_NAME}: window is {window}, but must be at least 1")
    if (
        softcap is not None
        and not 0 < (softcap := float(real(_NAME, "softcap", softcap))) < math.inf
    ):
        raise ValueError(f"{_NAME}: softcap is {softcap}, but must be positive and finite")
    if scale is None:
        scale = 1 / math.sqrt(max(1, q.shape[-1]))
    starts = None if documents is None else _checked_documents(documents, q.shape, k.shape)
    op = GroupedQueryAttention(float(real(_NAME, "scale", scale)), window, softcap, starts)
    return at_current_precision(op).reading(documents)(q, k, v)


def _checked_documents(documents: TensorLike, q: tuple[int, ...], k: tuple[int, ...]) -> Any:
    """The starts of the documents as a raw array (B, T) of int64."""
    starts = integer_array(f"{_NAME} documents", documents)
    (B, _, T, _), S = q, k[2]
    if starts.shape != (B, T):
        raise ValueError(
            f"{_NAME}: documents has shape {starts.shape}, expected {(B, T)}: for each query the "
            "position at which its document begins"
        )
    xp = namespace(starts)
    wrong = (starts < 0) | (starts > xp.arange(S - T, S))
    if wrong.any():
        b, t = (int(i[0]) for i in xp.nonzero(wrong))
        raise ValueError(
            f"{_NAME}: documents[{b}, {t}] is {int(starts[b, t])}, expected a position from 0 to "
            f"{S - T + t}, that of the query itself"
        )
    return xp.asarray(starts, dtype=np.int64, order="C")


def _check_shapes(q, k, v):
    fits = len(q) == len(k) == 4 and k == v and (q[0], q[3]) == (k[0], k[3])
    if not (fits and q[2] <= k[2] and k[1] and q[1] % k[1] == 0):
        raise ValueError(
            f"{_NAME}: q {q}, k {k} and v {v} do not fit: expected (B, H, T, D) and twice "
            "(B, G, S, D), with H a multiple of G and T at most S"
        )
