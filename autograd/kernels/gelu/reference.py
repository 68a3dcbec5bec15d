"""The Gaussian error linear unit, the definition. Shapes: x of any shape.

Past +-40 the curve is a straight line to the last bit of float64 (0 on the left, x on the right).
x is clipped there where infinity would otherwise meet a zero and make NaN; NaN itself stays NaN.
"""

import math

FAR = 40.0
ROOT_2_OVER_PI = math.sqrt(2 / math.pi)
CUBIC = 0.044715  # Hendrycks and Gimpel, 2016


def cdf(xp, x, approximate):
    if approximate == "tanh":
        u = ROOT_2_OVER_PI * (x + CUBIC * x * x * x)
        return xp.sigmoid(2 * u)
    return 0.5 * (1 + xp.erf(x / math.sqrt(2)))


def forward(xp, x, approximate):
    x = xp.maximum(x, -FAR)
    return x * cdf(xp, xp.minimum(x, FAR), approximate)


def backward(xp, g, x, approximate):
    x = xp.minimum(xp.maximum(x, -FAR), FAR)
    phi = cdf(xp, x, approximate)
    if approximate == "tanh":
        density = phi * (1 - phi) * 2 * ROOT_2_OVER_PI * (1 + 3 * CUBIC * x * x)
    else:
        density = xp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return g * (phi + x * density)
