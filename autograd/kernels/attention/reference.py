"""Causal self-attention, the definition. Shapes: qkv (B, T, 3 C) -> (B, T, C), C = H D."""

import math


def split(xp, qkv, n_head):
    """The packed projection as Q, K and V, (B, H, T, D) each."""
    B, T, C3 = qkv.shape
    parts = xp.reshape(qkv, (B, T, 3, n_head, C3 // 3 // n_head))
    parts = xp.transpose(parts, (2, 0, 3, 1, 4))  # (3, B, H, T, D)
    return parts[0], parts[1], parts[2]


def weights(xp, Q, K, cache=None, precision="float32"):
    """How much query t looks at key s: rows sum to 1, and are 0 for s > t.

    Returns them and, (B, H, T) each, the largest score m of every row and the sum of exponentials
    z: with these two in ``cache`` a row of weights is exp(s - m) / z.
    """
    T, D = Q.shape[-2:]
    S = xp.product(Q, xp.swapaxes(K, -1, -2), precision)  # (B, H, T, T)
    S = S * (1 / math.sqrt(max(1, D)))
    if S.size == 0:
        return S, xp.sum(S, axis=-1), xp.sum(S, axis=-1)  # no rows: there is no maximum to take
    t = xp.arange(T)
    S = xp.where(t[:, None] >= t[None, :], S, -math.inf)  # row t sees columns s <= t
    m = xp.max(S, axis=-1) if cache is None else cache[0]  # (B, H, T)
    E = xp.exp(S - m[..., None])
    z = xp.sum(E, axis=-1) if cache is None else cache[1]  # (B, H, T)
    return E / z[..., None], m, z


def forward(xp, qkv, n_head, precision="float32"):
    B, T, C3 = qkv.shape
    Q, K, V = split(xp, qkv, n_head)
    P, *cache = weights(xp, Q, K, precision=precision)  # (B, H, T, T)
    Y = xp.transpose(xp.product(P, V, precision), (0, 2, 1, 3))  # (B, T, H, D)
    return xp.reshape(Y, (B, T, C3 // 3)), tuple(cache)


def backward(xp, g, qkv, y, n_head, cache=None, precision="float32"):
    B, T, C3 = qkv.shape
    Q, K, V = split(xp, qkv, n_head)
    D = Q.shape[-1]
    P = weights(xp, Q, K, cache, precision)[0]  # (B, H, T, T), computed again
    g, Y = (xp.reshape(a, (B, T, n_head, D)) for a in (g, y))
    g, Y = (xp.transpose(a, (0, 2, 1, 3)) for a in (g, Y))  # (B, H, T, D)
    g_V = xp.product(xp.swapaxes(P, -1, -2), g, precision)
    g_P = xp.product(g, xp.swapaxes(V, -1, -2), precision)  # (B, H, T, T)
    along = g * Y if precision == "float32" else P * g_P  # the same sum, where nothing is rounded
    g_S = P * (g_P - xp.sum(along, axis=-1, keepdims=True))
    g_S = g_S * (1 / math.sqrt(max(1, D)))  # dL/dS before the scaling
    g_Q = xp.product(g_S, K, precision)
    g_K = xp.product(xp.swapaxes(g_S, -1, -2), Q, precision)
    g_qkv = xp.transpose(xp.stack((g_Q, g_K, g_V)), (1, 3, 0, 2, 4))  # (B, T, 3, H, D)
    return xp.reshape(g_qkv, (B, T, C3))
