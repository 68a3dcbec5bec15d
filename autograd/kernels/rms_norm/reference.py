"""Root mean square normalization, the definition. Shapes: x (..., C), weight (C,)."""


def inverse_rms(xp, x, eps):
    return 1 / xp.sqrt(xp.mean(xp.square(x), axis=-1, keepdims=True) + eps)  # (..., 1)


def forward(xp, x, weight, eps):
    r = inverse_rms(xp, x, eps)
    return x * r * weight, (r,)


def backward(xp, g, x, weight, eps, cache=None, needs=(True, True)):
    r = cache[0] if cache is not None else inverse_rms(xp, x, eps)
    norm = x * r  # (..., C)
    g_x = None
    if needs[0]:
        g_norm = g * weight  # (..., C)
        along_norm = xp.mean(g_norm * norm, axis=-1, keepdims=True)  # (..., 1)
        g_x = r * (g_norm - norm * along_norm)
    rows = tuple(range(x.ndim - 1))  # every axis but the last
    g_weight = xp.sum(g * norm, axis=rows) if needs[1] else None  # (C,)
    return g_x, g_weight
