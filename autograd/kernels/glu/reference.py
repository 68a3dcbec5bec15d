"""Gated linear units y = act(a) b, the definition. Shapes: a and b (..., M).

``activation`` is "silu", "gelu" or "gelu_tanh". Both functions are straight lines past the limits
that they are clipped at (0 on the left, x on the right): there infinity would meet a zero.
"""

import math

SILU_FAR, GELU_FAR = 800.0, 40.0
ROOT_2_OVER_PI = math.sqrt(2 / math.pi)
CUBIC = 0.044715


def silu(xp, x):
    inside = xp.minimum(xp.maximum(x, -SILU_FAR), SILU_FAR)
    s = xp.sigmoid(inside)
    return xp.maximum(x, -SILU_FAR) * s, s + inside * s * (1 - s)


def gelu(xp, x, tanh):
    inside = xp.minimum(xp.maximum(x, -GELU_FAR), GELU_FAR)
    if tanh:
        u = ROOT_2_OVER_PI * (inside + CUBIC * inside * inside * inside)
        phi = xp.sigmoid(2 * u)
        density = phi * (1 - phi) * 2 * ROOT_2_OVER_PI * (1 + 3 * CUBIC * inside * inside)
    else:
        phi = 0.5 * (1 + xp.erf(inside / math.sqrt(2)))
        density = xp.exp(-0.5 * inside * inside) / math.sqrt(2 * math.pi)
    return xp.maximum(x, -GELU_FAR) * phi, phi + inside * density


def act(xp, a, activation):
    """The value of the activation, and its slope."""
    return silu(xp, a) if activation == "silu" else gelu(xp, a, activation == "gelu_tanh")


def forward(xp, a, b, activation):
    return act(xp, a, activation)[0] * b


def backward(xp, g, a, b, activation):
    value, slope = act(xp, a, activation)
    return g * b * slope, g * value
