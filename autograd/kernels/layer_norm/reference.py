"""Layer normalization, the definition. Shapes: x (..., C), weight and bias (C,).

The mean has two parts. The first, ``mean``, is rounded to the last bit of numbers as large as x.
The second, ``rest``, is the mean of the deviations from it, which would be 0 without rounding.
Without it a row of large numbers that hardly differ would be normalized to rounding errors, and a
constant row not to 0. ``r`` is 1 / sqrt(variance + eps), and ``n`` the normalized x.
"""


def stats(xp, x, eps):
    mean = xp.mean(x, axis=-1, keepdims=True)  # (..., 1)
    rest = xp.mean(x - mean, axis=-1, keepdims=True)  # (..., 1): 0 but for rounding
    variance = xp.mean(xp.square(x - mean - rest), axis=-1, keepdims=True)  # (..., 1)
    return mean, rest, 1 / xp.sqrt(variance + eps)


def forward(xp, x, weight, bias, eps):
    mean, rest, r = stats(xp, x, eps)
    n = (x - mean - rest) * r  # (..., C)
    return n * weight + bias, (mean, rest, r)


def backward(xp, g, x, weight, eps, cache=None, needs=(True, True, True)):
    mean, rest, r = stats(xp, x, eps) if cache is None else cache
    n = (x - mean - rest) * r  # (..., C)
    rows = tuple(range(x.ndim - 1))  # every axis but the last
    g_x = g_weight = g_bias = None
    if needs[0]:
        h = g * weight  # (..., C): dL/dn
        h_mean = xp.mean(h, axis=-1, keepdims=True)  # (..., 1)
        hn_mean = xp.mean(h * n, axis=-1, keepdims=True)  # (..., 1)
        g_x = r * (h - h_mean - n * hn_mean)
    if needs[1]:
        g_weight = xp.sum(g * n, axis=rows)  # (C,)
    if needs[2]:
        g_bias = xp.sum(g, axis=rows)  # (C,)
    return g_x, g_weight, g_bias
