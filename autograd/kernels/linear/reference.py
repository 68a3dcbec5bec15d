"""The affine map y = x W^T + b, the definition. Shapes: x (..., K), weight (M, K), bias (M,).

The leading axes are flattened first: one large matrix product, where a product of stacks would be
many small ones.
"""

import math


def forward(xp, x, weight, bias):
    *lead, K = x.shape
    y = xp.reshape(x, (math.prod(lead), K)) @ weight.T  # (N, M)
    if bias is not None:
        y = y + bias
    return xp.reshape(y, (*lead, weight.shape[0]))  # (..., M)


def backward(xp, g, x, weight, needs=(True, True, True)):
    *lead, M = g.shape  # x is only there for the weight's gradient, and the weight for x's
    N = math.prod(lead)
    g = xp.reshape(g, (N, M))
    g_x = xp.reshape(g @ weight, (*lead, weight.shape[1])) if needs[0] else None  # (..., K)
    g_weight = g.T @ xp.reshape(x, (N, x.shape[-1])) if needs[1] else None  # (M, K)
    g_bias = xp.sum(g, axis=0) if needs[2] else None  # (M,)
    return g_x, g_weight, g_bias
