"""Layer normalization, the definition. Shapes: x (..., C), weight and bias (C,).

The mean has two parts. The first is rounded to the last bit of numbers as large as x; what is then
left of the deviations' own mean is the second. Without it a row of large numbers that hardly
differ would be normalized to rounding errors, and a constant one not to 0.
"""


def stats(xp, x, eps):
    mean = xp.mean(x, axis=-1, keepdims=True)  # (..., 1)
    rest = xp.mean(x - mean, axis=-1, keepdims=True)  # (..., 1): 0 but for rounding
    var = xp.mean(xp.square(x - mean - rest), axis=-1, keepdims=True)  # (..., 1)
    return mean, rest, 1 / xp.sqrt(var + eps)


def forward(xp, x, weight, bias, eps):
    mean, rest, rstd = stats(xp, x, eps)
    return (x - mean - rest) * rstd * weight + bias, (mean, rest, rstd)


def backward(xp, g, x, weight, eps, cache=None, needs=(True, True, True)):
    mean, rest, rstd = cache if cache is not None else stats(xp, x, eps)
    norm = (x - mean - rest) * rstd  # (..., C)
    rows = tuple(range(x.ndim - 1))  # every axis but the last
    g_x = None
    if needs[0]:
        g_norm = g * weight  # (..., C)
        along_ones = xp.mean(g_norm, axis=-1, keepdims=True)  # (..., 1)
        along_norm = xp.mean(g_norm * norm, axis=-1, keepdims=True)  # (..., 1)
        g_x = rstd * (g_norm - along_ones - norm * along_norm)
    g_weight = xp.sum(g * norm, axis=rows) if needs[1] else None  # (C,)
    g_bias = xp.sum(g, axis=rows) if needs[2] else None  # (C,)
    return g_x, g_weight, g_bias
