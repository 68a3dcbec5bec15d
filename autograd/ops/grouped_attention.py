"""Attention of the Llama family: heads that share keys, a window, and a cap on the scores."""

import math

from autograd._tensor import Tensor, TensorLike
from autograd.engine import Op
from autograd.kernels import grouped_query_attention as kernel
from autograd.ops.arguments import floating, integer, of_one_type, real

__all__ = ["grouped_query_attention"]

_NAME = "grouped_query_attention"


class GroupedQueryAttention(Op):
    """y = softmax(mask(cap(scale q K^T))) V, where H / G heads of q share a head of K and V.

    Shapes: q (B, H, T, D), k (B, G, S, D), v (B, G, S, D) -> (B, H, T, D)
    Saves: q, k, v, y; caches two numbers per row of the attention weights, which are computed again
    Derivative: that of ScaledDotProductAttention, with g_S times the slope of the cap, 1 - tanh^2,
        and g_k and g_v summed over the heads of q that share them
    Derivation: autograd/kernels/grouped_query_attention/README.md
    """

    save_inputs = (0, 1, 2)
    save_output = True
    fresh_gradients = True

    def __init__(self, scale, window, softcap):
        self.options = scale, window, softcap

    def forward(self, xp, q, k, v):
        y, self.cache = kernel.forward(xp, q, k, v, *self.options)
        return y

    def backward(self, xp, g, q, k, v, y):
        found = kernel.backward(xp, g, q, k, v, y, *self.options, cache=self.cache)
        return tuple([a if need else None for a, need in zip(found, self.needs, strict=True)])


def grouped_query_attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    window: int | None = None,
    softcap: float | None = None,
    scale: float | None = None,
) -> Tensor:
    """Causal attention whose H query heads share G heads of keys and values (Ainslie et al. 2023).

    q (B, H, T, D), k and v (B, G, S, D) -> (B, H, T, D). H is a multiple of G: key head i serves
    the query heads i H/G to (i + 1) H/G - 1. The queries are those of the last T of S positions: if
    S > T, the keys of earlier tokens come from a cache. Each query sees the keys up to its own
    position, or with a ``window`` only the last ``window`` of them, its own included (Beltagy et
    al. 2020). With a ``softcap``, a score s becomes softcap * tanh(s / softcap), as in Gemma 2.
    ``scale`` is 1/sqrt(D) by default.

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
    return GroupedQueryAttention(float(real(_NAME, "scale", scale)), window, softcap)(q, k, v)


def _check_shapes(q, k, v):
    fits = len(q) == len(k) == 4 and k == v and (q[0], q[3]) == (k[0], k[3])
    if not (fits and q[2] <= k[2] and k[1] and q[1] % k[1] == 0):
        raise ValueError(
            f"{_NAME}: q {q}, k {k} and v {v} do not fit: expected (B, H, T, D) and twice "
            "(B, G, S, D), with H a multiple of G and T at most S"
        )
