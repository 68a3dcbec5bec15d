"""The feed-forward layer y = GELU(x U^T + b) W^T + c, the definition.

Shapes: x (..., K), up_weight U (M, K), up_bias b (M,), down_weight W (C, M), down_bias c (C,).
The cache is ``hidden`` = x U^T + b, as rows (N, M). ``approximate`` says which form of
GELU; it is clipped past +-40, as in ../gelu.
"""

import math

FAR = 40.0
ROOT_2_OVER_PI = math.sqrt(2 / math.pi)
CUBIC = 0.044715


def gelu(xp, x, approximate):
    inside = xp.minimum(xp.maximum(x, -FAR), FAR)
    if approximate == "tanh":
        u = ROOT_2_OVER_PI * (inside + CUBIC * inside * inside * inside)
        phi = xp.sigmoid(2 * u)
        density = phi * (1 - phi) * 2 * ROOT_2_OVER_PI * (1 + 3 * CUBIC * inside * inside)
    else:
        phi = 0.5 * (1 + xp.erf(inside / math.sqrt(2)))
        density = xp.exp(-0.5 * inside * inside) / math.sqrt(2 * math.pi)
    return xp.maximum(x, -FAR) * phi, phi + inside * density  # its value, and its slope


def forward(xp, x, up_weight, up_bias, down_weight, down_bias, approximate, precision="float32"):
    *lead, K = x.shape
    rows = xp.reshape(x, (math.prod(lead), K))
    hidden = xp.product(rows, up_weight.T, precision) + up_bias  # (N, M)
    activation = gelu(xp, hidden, approximate)[0]  # (N, M)
    y = xp.product(activation, down_weight.T, precision) + down_bias  # (N, C)
    return xp.reshape(y, (*lead, down_weight.shape[0])), hidden


def backward(
    xp, g, x, up_weight, up_bias, down_weight, approximate,
    cache=None, needs=(True,) * 5, precision="float32",
):  # fmt: skip
    rows, g_rows = (xp.reshape(a, (math.prod(a.shape[:-1]), a.shape[-1])) for a in (x, g))
    hidden = cache  # (N, M)
    if cache is None:
        hidden = xp.product(rows, up_weight.T, precision) + up_bias
    activation, slope = gelu(xp, hidden, approximate)  # (N, M) both
    g_hidden = xp.product(g_rows, down_weight, precision) * slope  # (N, M)
    g_x = g_up_weight = g_up_bias = g_down_weight = g_down_bias = None
    if needs[0]:
        g_x = xp.reshape(xp.product(g_hidden, up_weight, precision), x.shape)
    if needs[1]:
        g_up_weight = xp.product(g_hidden.T, rows, precision)  # (M, K)
    if needs[2]:
        g_up_bias = xp.sum(g_hidden, axis=0)  # (M,)
    if needs[3]:
        g_down_weight = xp.product(g_rows.T, activation, precision)  # (C, M)
    if needs[4]:
        g_down_bias = xp.sum(g_rows, axis=0)  # (C,)
    return g_x, g_up_weight, g_up_bias, g_down_weight, g_down_bias
