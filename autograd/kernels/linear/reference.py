"""The affine map y = x W^T + b, the definition. Shapes: x (..., K), weight (M, K), bias (M,).

The leading axes are flattened first, so that there is one large matrix product instead of many
small ones. In backward, x and weight may be None if no gradient that is needed is computed from
them: the operation does not save them then.
"""

import math


def forward(xp, x, weight, bias, precision="float32"):
    *lead, K = x.shape
    rows = xp.reshape(x, (math.prod(lead), K))  # (N, K)
    y = xp.product(rows, weight.T, precision)  # (N, M)
    if bias is not None:
        y = y + bias
    return xp.reshape(y, (*lead, weight.shape[0]))  # (..., M)


def backward(xp, g, x, weight, needs=(True, True, True), precision="float32"):
    *lead, M = g.shape
    g = xp.reshape(g, (math.prod(lead), M))  # (N, M)
    g_x = g_weight = g_bias = None
    if needs[0]:
        g_x = xp.product(g, weight, precision)  # g W, (N, K)
        g_x = xp.reshape(g_x, (*lead, weight.shape[1]))  # (..., K)
    if needs[1]:
        rows = xp.reshape(x, (math.prod(lead), x.shape[-1]))  # (N, K)
        g_weight = xp.product(g.T, rows, precision)  # g^T x, (M, K)
    if needs[2]:
        g_bias = xp.sum(g, axis=0)  # (M,)
    return g_x, g_weight, g_bias
