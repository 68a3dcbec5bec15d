"""Grouped-query attention, the definition. Shapes: q (B, H, T, D), k and v (B, G, S, D).

G divides H and T <= S: the queries are those of the last T of S positions. ``window`` and
``softcap`` may be None.
"""

import math


def split(xp, q, k):
    """Query heads as (B, G, H/G, T, D), heads of keys or values as (B, G, 1, S, D)."""
    B, H, T, D = q.shape
    G, S = k.shape[1:3]
    return xp.reshape(q, (B, G, H // G, T, D)), xp.reshape(k, (B, G, 1, S, D))


def weights(xp, q, k, scale, window, softcap, documents, cache=None, precision="float32"):
    """How much query t looks at key s (B, G, H/G, T, S): rows sum to 1.

    Returns them, the slope of the cap (1 without one), and the largest score m of every row and the
    sum of exponentials z: with these two in ``cache`` a row of weights is exp(s - m) / z.
    """
    q, k = split(xp, q, k)
    T, S = q.shape[-2], k.shape[-2]
    scores = xp.product(q, xp.swapaxes(k, -1, -2), precision) * scale  # (B, G, H/G, T, S)
    slope = 1
    if scores.size == 0:
        return scores, slope, xp.sum(scores, axis=-1), xp.sum(scores, axis=-1)  # there are no rows
    if softcap is not None:
        c = xp.tanh(scores / softcap)
        scores, slope = softcap * c, 1 - c * c
    distance = xp.arange(S - T, S)[:, None] - xp.arange(S)[None, :]  # from key back to query
    visible = distance >= 0
    if window is not None:
        visible = visible & (distance < window)
    if documents is not None:
        same = xp.arange(S)[None, None, :] >= documents[:, :, None]  # (B, T, S)
        visible = visible & same[:, None, None, :, :]
    scores = xp.where(visible, scores, -math.inf)
    m = xp.max(scores, axis=-1) if cache is None else cache[0]  # (B, G, H/G, T)
    e = xp.exp(scores - m[..., None])
    z = xp.sum(e, axis=-1) if cache is None else cache[1]  # (B, G, H/G, T)
    return e / z[..., None], slope, m, z


def forward(xp, q, k, v, scale, window, softcap, documents=None, precision="float32"):
    options = scale, window, softcap, documents
    p, _, *cache = weights(xp, q, k, *options, precision=precision)  # (B, G, H/G, T, S)
    y = xp.product(p, split(xp, q, v)[1], precision)  # (B, G, H/G, T, D)
    return xp.reshape(y, q.shape), tuple(cache)


def backward(
    xp, g, q, k, v, y, scale, window, softcap, documents=None, cache=None, precision="float32"
):
    options = scale, window, softcap, documents
    p, slope, *_ = weights(xp, q, k, *options, cache, precision)  # (B, G, H/G, T, S)
    g, v_heads = split(xp, g, v)
    y, q_heads = (split(xp, a, v)[0] for a in (y, q))  # (B, G, H/G, T, D)
    g_p = xp.product(g, xp.swapaxes(v_heads, -1, -2), precision)  # (B, G, H/G, T, S)
    along = g * y if precision == "float32" else p * g_p  # the same sum, where nothing is rounded
    g_s = p * (g_p - xp.sum(along, axis=-1, keepdims=True)) * slope * scale
    g_q = xp.reshape(xp.product(g_s, split(xp, q, k)[1], precision), q.shape)
    g_k = xp.product(xp.swapaxes(g_s, -1, -2), q_heads, precision)  # (B, G, H/G, S, D)
    g_v = xp.product(xp.swapaxes(p, -1, -2), g, precision)
    g_k, g_v = xp.sum(g_k, axis=2), xp.sum(g_v, axis=2)  # (B, G, S, D)
    return g_q, g_k, g_v
