"""Attention: the general form with separate queries, keys and values, and GPT-2's packed form."""

import math

import numpy as np

from autograd._tensor import Tensor, TensorLike
from autograd.engine import Op
from autograd.kernels import attention
from autograd.ops.arguments import floating, integer, operand
from autograd.ops.conversion import astype
from autograd.ops.dropping import drop_probability, keep_mask
from autograd.ops.shape import reshape
from autograd.precision import at_current_precision
from autograd.saved_tensors import unpacked

__all__ = ["causal_attention", "scaled_dot_product_attention"]


class CausalAttention(Op):
    """softmax(Q K^T / sqrt(D), no later position) V for every head, from packed Q, K, V.

    Shapes: qkv (B, T, 3C) -> (B, T, C)
    Saves: qkv, y; caches two numbers per row of the attention weights, which are computed again
    Derivative: that of ScaledDotProductAttention, for every head
    Derivation: autograd/kernels/attention/README.md
    """

    save_inputs = (0,)
    save_output = True
    fresh_gradients = True
    multiplied = (0, 1)
    precision = "float32"

    def __init__(self, n_head):
        self.n_head = n_head

    def forward(self, xp, qkv):
        y, self.cache = attention.forward(xp, qkv, self.n_head, precision=self.precision)
        return y

    def backward(self, xp, g, qkv, y):
        return attention.backward(xp, g, qkv, y, self.n_head, self.cache, precision=self.precision)


def causal_attention(qkv: TensorLike, n_head: int) -> Tensor:
    """Causal self-attention of ``n_head`` heads (Vaswani et al. 2017), scaled by 1/sqrt(D).

    qkv (B, T, 3C) holds queries, keys and values, in this order, each of ``n_head`` heads of length
    D = C / n_head; the result is (B, T, C). Raises ValueError when the shape does not fit.
    """
    qkv, n_head = floating(qkv), integer("causal_attention", "n_head", n_head)
    if n_head < 1:
        raise ValueError(f"causal_attention: n_head is {n_head}, but must be at least 1")
    if qkv.ndim != 3 or qkv.shape[-1] % (3 * n_head):
        raise ValueError(
            f"causal_attention: qkv has shape {qkv.shape}, expected (B, T, 3 C) with C a multiple "
            f"of the {n_head} heads"
        )
    return at_current_precision(CausalAttention(n_head))(qkv)


class ScaledDotProductAttention(Op):
    """y = (P * m) V  with  P = softmax(scale Q K^T + bias).

    P is 0 where query i may not see key j. The mask of dropout, m, is 0 with probability p and
    1 / (1 - p) otherwise; without dropout it is 1.

    Shapes: q (..., T, D), k (..., S, D), v (..., S, E), bias (..., T, S) -> (..., T, E); the
        leading axes broadcast
    Saves: q, k, v, bias; caches P; keeps the boolean masks, which have no derivative
    Derivative: g_q = scale * g_S @ k, g_k = scale * g_S^T @ q, g_v = (P * m)^T @ g, g_bias = g_S
        with g_S = P * (g_P - sum(g_P * P)), g_P = (g @ v^T) * m
    Note: g_P is the gradient of P; g_S, that of the scores, is the softmax's rule
    """

    broadcasts = True
    caches_activations = True

    def __init__(self, allowed, is_causal, scale, biased, keep=None, p=0.0):
        self.allowed, self.is_causal, self.scale = allowed, is_causal, scale
        self.keep, self.p = keep, p
        self.save_inputs = (0, 1, 2, 3) if biased else (0, 1, 2)

    def forward(self, xp, q, k, v, *bias):
        if self.is_causal:
            query, key = xp.arange(q.shape[-2]), xp.arange(k.shape[-2])
            self.allowed = query[:, None] >= key[None, :]  # (T, S)
        self.cache = self.weights(xp, q, k, *bias)
        return self.dropped(xp, self.cache) @ v

    def weights(self, xp, q, k, bias=None):
        """P (..., T, S): rows sum to 1. A query that may see no key has a row of zeros."""
        s = q @ xp.swapaxes(k, -1, -2) * self.scale
        if bias is not None:
            s = s + bias
        if self.allowed is not None:
            s = xp.where(self.allowed, s, -math.inf)
        if s.size == 0:
            return s  # there is no maximum to take
        top = xp.max(s, axis=-1, keepdims=True)
        e = xp.exp(s - xp.where(top == -math.inf, 0, top))
        total = xp.sum(e, axis=-1, keepdims=True)
        return e / xp.where(total == 0, 1, total)

    def dropped(self, xp, p):
        """The same map takes P to R and dL/dR to dL/dP: it is linear, and its own transpose."""
        return p if self.keep is None else xp.where(self.keep, p / (1 - self.p), 0)

    def backward(self, xp, g, q, k, v, *bias):
        p = unpacked(self.cache)
        if p is None:
            p = self.weights(xp, q, k, *bias)
        g_p = self.dropped(xp, g @ xp.swapaxes(v, -1, -2))  # (..., T, S)
        g_s = p * (g_p - xp.sum(g_p * p, axis=-1, keepdims=True))
        g_qkv = (
            g_s @ k * self.scale if self.needs[0] else None,
            xp.swapaxes(g_s, -1, -2) @ q * self.scale if self.needs[1] else None,
            xp.swapaxes(self.dropped(xp, p), -1, -2) @ g if self.needs[2] else None,
        )
        return (*g_qkv, g_s) if bias else g_qkv


def scaled_dot_product_attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    attn_mask: TensorLike | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    rng: "np.random.Generator | None" = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(q k^T scale + mask) v, PyTorch's function of this name (Vaswani et al. 2017).

    q (..., T, D), k (..., S, D), v (..., S, E) -> (..., T, E). ``attn_mask``, broadcast to
    (..., T, S), is boolean (True: query i may look at key j) or numbers that are added before the
    softmax, with a gradient if they are a Tensor that requires one. ``is_causal`` lets query i see
    keys 0 to i. ``scale`` is 1/sqrt(D) by default. A query that may see no key gives zeros.

    Each weight of the softmax is dropped with probability ``dropout_p``; the others are scaled by
    1/(1 - dropout_p). As in PyTorch there is no flag for training: pass 0 otherwise. The mask is
    drawn from ``rng``, a np.random.Generator, once; in a recomputed segment name it in ``rngs``.

    With ``enable_gqa`` axis -3 of q has H heads and that of k and v only G, H a multiple of G:
    key head i serves the query heads i H/G to (i + 1) H/G - 1 (Ainslie et al. 2023).

    Raises ValueError for shapes that do not fit, for a mask together with ``is_causal``, and as
    dropout does.
    """
    q, k, v = operand(q), operand(k), operand(v)
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(
            f"{_NAME}: q {q.shape}, k {k.shape}, v {v.shape} do not fit: "
            "expected (..., T, D), (..., S, D) and (..., S, E)"
        )
    dropout_p = drop_probability(_NAME, "dropout_p", dropout_p)
    if attn_mask is not None:
        attn_mask = _checked_mask(attn_mask, is_causal)
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1]) if q.shape[-1] else 1.0
    if (
        q.dtype == k.dtype == v.dtype == np.float16
    ):  # a score, or a sum of exponentials, may be beyond it
        q, k, v = (astype(x, np.float32) for x in (q, k, v))
        options = attn_mask, is_causal, scale, dropout_p, rng, enable_gqa
        return astype(scaled_dot_product_attention(q, k, v, *options), np.float16)
    if enable_gqa:
        return _grouped(q, k, v, attn_mask, is_causal, scale, dropout_p, rng)
    return _attend(q, k, v, attn_mask, is_causal, float(scale), dropout_p, rng)


_NAME = "scaled_dot_product_attention"


def _checked_mask(mask, is_causal):
    mask = operand(mask)
    if is_causal:
        raise ValueError(f"{_NAME}: pass attn_mask or is_causal, not both")
    if mask.dtype.kind not in "bf":
        raise TypeError(
            f"{_NAME}: attn_mask has type {mask.dtype}: it must be boolean (True: may look), or "
            "floating-point numbers that are added to the scores"
        )
    return mask


def _attend(q, k, v, mask, is_causal, scale, dropout_p, rng):
    shapes = [q.shape[:-2], k.shape[:-2], v.shape[:-2], () if mask is None else mask.shape[:-2]]
    scores = (q.shape[-2], k.shape[-2])
    try:
        lead = np.broadcast_shapes(*shapes)
        fits = mask is None or np.broadcast_shapes(mask.shape[-2:], scores) == scores
    except ValueError:
        fits = False
    if not fits:
        masked = "" if mask is None else f", attn_mask {mask.shape}"
        raise ValueError(
            f"{_NAME}: q {q.shape}, k {k.shape}, v {v.shape}{masked} do not fit: the axes before "
            "the last two must broadcast, and a mask to (..., T, S)"
        )
    keep = keep_mask(_NAME, (*lead, *scores), dropout_p, rng) if dropout_p else None
    if mask is None or mask.dtype.kind == "b":
        allowed = mask.data if isinstance(mask, Tensor) else mask
        op = ScaledDotProductAttention(allowed, is_causal, scale, False, keep, dropout_p)
        return op.reading(mask)(q, k, v)
    return ScaledDotProductAttention(None, False, scale, True, keep, dropout_p)(q, k, v, mask)


def _grouped(q, k, v, mask, is_causal, scale, dropout_p, rng):
    """The H query heads become two axes (G, H/G), and the heads of k and v (G, 1), which broadcast:
    no key is repeated in memory."""
    if min(q.ndim, k.ndim, v.ndim) < 3 or k.shape[-3] != v.shape[-3]:
        raise ValueError(
            f"{_NAME}: q {q.shape}, k {k.shape}, v {v.shape} do not fit: with enable_gqa expected "
            "(..., H, T, D), (..., G, S, D) and (..., G, S, E)"
        )
    H, G = q.shape[-3], k.shape[-3]
    if G == 0 or H % G:
        raise ValueError(f"{_NAME}: the {H} heads of q are not a multiple of the {G} of k and v")

    def split(x, heads):  # (..., H, T, D) -> (..., *heads, T, D)
        return reshape(x, (*x.shape[:-3], *heads, *x.shape[-2:]))

    if mask is not None and mask.ndim > 2:
        if mask.shape[-3] not in (1, H):
            raise ValueError(f"{_NAME}: attn_mask {mask.shape} does not fit the {H} heads of q")
        mask = split(mask, (1, 1) if mask.shape[-3] == 1 else (G, H // G))
    k, v = split(k, (G, 1)), split(v, (G, 1))
    y = _attend(split(q, (G, H // G)), k, v, mask, is_causal, float(scale), dropout_p, rng)
    return reshape(y, (*y.shape[:-4], H, *y.shape[-2:]))
