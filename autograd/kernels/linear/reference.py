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
    """x may be None where g_weight is not needed, and weight where g_x is not: not kept, then."""
    *lead, M = g.shape
    g = xp.reshape(g, (math.prod(lead), M))  # (N, M)
    g_x = g_weight = g_bias = None
    if needs[0]:
        g_x = xp.reshape(g @ weight, (*lead, weight.shape[1]))  # (..., K)
    if needs[1]:
        g_weight = g.T @ xp.reshape(x, (math.prod(lead), x.shape[-1]))  # (M, K)
    if needs[2]:
        g_bias = xp.sum(g, axis=0)  # (M,)
    return g_x, g_weight, g_bias
