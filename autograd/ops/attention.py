"""Attention: the general form on separate queries, keys and values, and GPT-2's packed one."""

import math

from autograd._tensor import Tensor
from autograd.engine import Op
from autograd.kernels import attention

__all__ = ["causal_attention", "scaled_dot_product_attention"]


class CausalAttention(Op):
    """softmax(Q K^T / sqrt(D), no later position) V for every head, from packed Q, K, V.

    Shapes: qkv (B, T, 3C) -> (B, T, C)
    Saves:  qkv, y; caches two numbers per row of the attention weights, which are made again
    Derivation: autograd/kernels/attention/README.md
    """

    save_inputs = (0,)
    save_output = True
    fresh_gradients = True

    def __init__(self, n_head):
        self.n_head = n_head

    def forward(self, xp, qkv):
        y, self.cache = attention.forward(xp, qkv, self.n_head)
        return y

    def backward(self, xp, g, qkv, y):
        return attention.backward(xp, g, qkv, y, self.n_head, self.cache)


class ScaledDotProductAttention(Op):
    """y = P V  with  P = softmax(scale Q K^T + bias), where query i may see key j only if allowed.

    Shapes: q (..., T, D), k (..., S, D), v (..., S, E), bias (..., T, S) -> (..., T, E); the
            leading axes broadcast
    Saves:  q, k, v, bias; caches P. The boolean mask has no derivative
    dL/dV = P^T G;  dL/dP = G V^T;  with  H = P (dL/dP - sum_j P dL/dP), the softmax's Jacobian:
    dL/dQ = scale H K,  dL/dK = scale H^T Q,  dL/dbias = H
    """

    broadcasts = True

    def __init__(self, allowed, is_causal, scale, biased):
        self.allowed, self.is_causal, self.scale = allowed, is_causal, scale
        self.save_inputs = (0, 1, 2, 3) if biased else (0, 1, 2)

    def forward(self, xp, q, k, v, *bias):
        if self.is_causal:
            query, key = xp.arange(q.shape[-2]), xp.arange(k.shape[-2])
            self.allowed = query[:, None] >= key[None, :]  # (T, S)
        self.cache = self.weights(xp, q, k, *bias)
        return self.cache @ v

    def weights(self, xp, q, k, bias=None):
        """P (..., T, S): rows sum to 1. A query that sees no key at all has a row of zeros."""
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

    def backward(self, xp, g, q, k, v, *bias):
        p = self.cache if self.cache is not None else self.weights(xp, q, k, *bias)
        g_p = g @ xp.swapaxes(v, -1, -2)  # (..., T, S)
        g_s = p * (g_p - xp.sum(g_p * p, axis=-1, keepdims=True))
        found = (
            g_s @ k * self.scale if self.needs[0] else None,
            xp.swapaxes(g_s, -1, -2) @ q * self.scale if self.needs[1] else None,
            xp.swapaxes(p, -1, -2) @ g if self.needs[2] else None,
        )
        return (*found, g_s) if bias else found


def causal_attention(qkv, n_head):
    """Causal self-attention of ``n_head`` heads (Vaswani et al. 2017), scaled by 1/sqrt(D).

    qkv (B, T, 3C) holds queries, keys and values side by side, each of ``n_head`` heads of length
    D = C / n_head; the result is (B, T, C). Raises ValueError when the shape does not divide.
    """
    if qkv.ndim != 3 or qkv.shape[-1] % (3 * n_head):
        raise ValueError(
            f"causal_attention: qkv has shape {qkv.shape}, expected (B, T, 3 C) with C a multiple "
            f"of the {n_head} heads"
        )
    return CausalAttention(n_head)(qkv)


def scaled_dot_product_attention(q, k, v, attn_mask=None, is_causal=False, scale=None):
    """softmax(q k^T scale + mask) v, PyTorch's function of that name (Vaswani et al. 2017).

    q (..., T, D), k (..., S, D), v (..., S, E) -> (..., T, E). ``attn_mask``, broadcast to
    (..., T, S), is boolean (True: query i may look at key j) or numbers that are added before the
    softmax, with a gradient if they are a Tensor that wants one. ``is_causal`` lets query i see
    keys 0 to i. ``scale`` is 1/sqrt(D) by default. A query that may see no key gives zeros.

    Raises ValueError for shapes that do not fit, and for a mask beside ``is_causal``.
    """
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(
            f"scaled_dot_product_attention: q {q.shape}, k {k.shape}, v {v.shape} do not fit: "
            "expected (..., T, D), (..., S, D) and (..., S, E)"
        )
    if is_causal and attn_mask is not None:
        raise ValueError("scaled_dot_product_attention: give attn_mask or is_causal, not both")
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1]) if q.shape[-1] else 1.0
    if attn_mask is None or attn_mask.dtype.kind == "b":
        allowed = attn_mask.data if isinstance(attn_mask, Tensor) else attn_mask
        return ScaledDotProductAttention(allowed, is_causal, scale, biased=False)(q, k, v)
    return ScaledDotProductAttention(None, False, scale, biased=True)(q, k, v, attn_mask)
