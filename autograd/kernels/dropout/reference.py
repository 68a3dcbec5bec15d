"""Inverted dropout, the definition. Shapes: x (...), keep (...) bool, True with probability 1 - p.

``where`` and not a product with the mask: a dropped element is 0, even if it was infinite.
"""


def forward(xp, x, keep, p):
    scale = 1 / (1 - p) if p < 1 else 0.0  # at p = 1 nothing is kept
    return xp.where(keep, x * scale, 0)


def backward(xp, g, keep, p):
    return forward(xp, g, keep, p)  # the same mask, the same scale: the map is its own transpose
