"""Rotary position embedding, the definition.

Shapes: x (..., D); cos and sin (..., R/2) with R <= D, whose leading axes broadcast to those of x.
"""


def turn(xp, x, cos, sin, layout):
    """x with its first R channels turned, pair by pair, and the others as they are."""
    *lead, _ = x.shape
    half = cos.shape[-1]
    if layout == "half":  # channel j and channel j + R/2 are a pair
        a, b = x[..., :half], x[..., half : 2 * half]
    else:  # "interleaved": channels 2 j and 2 j + 1 are a pair
        a, b = x[..., : 2 * half : 2], x[..., 1 : 2 * half : 2]
    a, b = a * cos - b * sin, a * sin + b * cos  # (..., R/2)
    if layout == "half":
        turned = xp.concatenate((a, b), axis=-1)  # (..., R)
    else:
        turned = xp.reshape(xp.stack((a, b), axis=-1), (*lead, 2 * half))  # (..., R)
    return xp.concatenate((turned, x[..., 2 * half :]), axis=-1)  # (..., D)


def forward(xp, x, cos, sin, layout):
    return turn(xp, x, cos, sin, layout)


def backward(xp, g, cos, sin, layout):
    return turn(xp, g, cos, -sin, layout)
