"""The Gaussian error linear unit of x, or of x + bias, the definition. Shapes: any; bias (M,).

Past +-40 the curve is a straight line to the last bit of float64 (0 on the left, x on the right).
x is clipped there where infinity would otherwise meet a zero and make NaN; NaN itself stays NaN.
"""

import math

FAR = 40.0
ROOT_2_OVER_PI = math.sqrt(2 / math.pi)
CUBIC = 0.044715  # Hendrycks and Gimpel, 2016


def cdf(xp, x, approximate):
    """The probability that a standard normal number is below x, or its tanh approximation."""
    if approximate == "tanh":  # (1 + tanh(u)) / 2 is sigmoid(2 u)
        return xp.sigmoid(2 * ROOT_2_OVER_PI * (x + CUBIC * x * x * x))
    return 0.5 * (1 + xp.erf(x / math.sqrt(2)))


def forward(xp, x, approximate, bias=None):
    x = xp.maximum(x if bias is None else x + bias, -FAR)
    return x * cdf(xp, xp.minimum(x, FAR), approximate)


def backward(xp, g, x, approximate, bias=None, spare=None, again=False):
    """Gradients of x and of bias, and if asked for the output ``again``; spare is for kernels."""
    y = forward(xp, x, approximate, bias) if again else None
    x = xp.minimum(xp.maximum(x if bias is None else x + bias, -FAR), FAR)
    phi = cdf(xp, x, approximate)
    if approximate == "tanh":
        density = phi * (1 - phi) * (2 * ROOT_2_OVER_PI) * (1 + 3 * CUBIC * x * x)
    else:
        density = xp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    g_x = g * (phi + x * density)
    rows = tuple(range(x.ndim - 1))  # every axis but the last
    return g_x, None if bias is None else xp.sum(g_x, axis=rows), y
