"""Causal self-attention, the definition. Shapes: qkv (B, T, 3 C) -> (B, T, C), C = H D."""

import math


def split(xp, qkv, n_head):
    """The packed projection as q, k, v, each (B, H, T, D)."""
    B, T, C3 = qkv.shape
    qkv = xp.reshape(qkv, (B, T, 3, n_head, C3 // 3 // n_head))
    qkv = xp.transpose(qkv, (2, 0, 3, 1, 4))  # (3, B, H, T, D)
    return qkv[0], qkv[1], qkv[2]


def weights(xp, q, k, cache=None):
    """How much query t looks at key s: rows sum to 1, and are 0 for s > t.

    Returns them and, (B, H, T) each, the largest score of every row and the sum of exponentials:
    with these two in ``cache`` a row of weights is exp(s - top) / total.
    """
    T, D = q.shape[-2:]
    s = q @ xp.swapaxes(k, -1, -2) * (1 / math.sqrt(max(1, D)))  # (B, H, T, T)
    if s.size == 0:
        return s, xp.sum(s, axis=-1), xp.sum(s, axis=-1)  # no rows: there is no maximum to take
    t = xp.arange(T)
    s = xp.where(t[:, None] >= t[None, :], s, -math.inf)
    top = xp.max(s, axis=-1) if cache is None else cache[0]  # (B, H, T)
    e = xp.exp(s - top[..., None])
    total = xp.sum(e, axis=-1) if cache is None else cache[1]  # (B, H, T)
    return e / total[..., None], top, total


def forward(xp, qkv, n_head):
    B, T, C3 = qkv.shape
    q, k, v = split(xp, qkv, n_head)
    p, *cache = weights(xp, q, k)  # (B, H, T, T)
    y = xp.transpose(p @ v, (0, 2, 1, 3))  # (B, T, H, D)
    return xp.reshape(y, (B, T, C3 // 3)), tuple(cache)


def backward(xp, g, qkv, y, n_head, cache=None):
    B, T, C3 = qkv.shape
    q, k, v = split(xp, qkv, n_head)
    p = weights(xp, q, k, cache)[0]  # (B, H, T, T)
    g, y = (xp.reshape(a, (B, T, n_head, q.shape[-1])) for a in (g, y))
    g, y = (xp.transpose(a, (0, 2, 1, 3)) for a in (g, y))  # (B, H, T, D)
    g_p = g @ xp.swapaxes(v, -1, -2)  # (B, H, T, T)
    g_s = p * (g_p - xp.sum(g * y, axis=-1, keepdims=True))  # (B, H, T, T)
    g_s = g_s * (1 / math.sqrt(max(1, q.shape[-1])))
    g_q, g_k = g_s @ k, xp.swapaxes(g_s, -1, -2) @ q  # (B, H, T, D)
    g_v = xp.swapaxes(p, -1, -2) @ g  # (B, H, T, D)
    g_qkv = xp.transpose(xp.stack((g_q, g_k, g_v)), (1, 3, 0, 2, 4))  # (B, T, 3, H, D)
    return xp.reshape(g_qkv, (B, T, C3))
