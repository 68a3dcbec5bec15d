"""Root mean square normalization, the definition. Shapes: x (..., C), weight (C,)."""


def inverse_rms(xp, x, eps):
    return 1 / xp.sqrt(xp.mean(xp.square(x), axis=-1, keepdims=True) + eps)  # (..., 1)


def forward(xp, x, weight, eps):
    r = inverse_rms(xp, x, eps)
    return x * r * weight, (r,)


def backward(xp, g, x, weight, eps, cache=None, needs=(True, True)):
    r = inverse_rms(xp, x, eps) if cache is None else cache[0]
    n = x * r  # (..., C)
    g_x = g_weight = None
    if needs[0]:
        h = g * weight  # (..., C): dL/dn
        hn_mean = xp.mean(h * n, axis=-1, keepdims=True)  # (..., 1)
        g_x = r * (h - n * hn_mean)
    if needs[1]:
        rows = tuple(range(x.ndim - 1))  # every axis but the last
        g_weight = xp.sum(g * n, axis=rows)  # (C,)
    return g_x, g_weight
