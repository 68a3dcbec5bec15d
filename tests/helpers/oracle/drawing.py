"""Random shapes, axes and arrays, and the table of operations."""

import numpy as np
import torch

CASES = {}
"""name -> (draw, domain); draw(rng) returns the shapes, our function and PyTorch's."""


def case(name, domain="real"):
    """Enter the decorated draw function in the table."""

    def add(draw):
        CASES[name] = (draw, domain)
        return draw

    return add


def shape(rng, low=0, high=4, smallest=0):
    """A random shape of ``low`` to ``high`` axes; now and then one has length ``smallest``."""
    axes = rng.integers(low, high + 1)
    return tuple(int(n) for n in np.maximum(smallest, rng.choice([0, 1, 2, 3, 4, 5], axes)))


def filled(rng, low=0, high=4):
    return shape(rng, low, high, smallest=1)


def broadcastable(rng, count=2):
    """``count`` shapes that broadcast together: axes dropped in front, or of length 1."""
    whole = filled(rng, 0, 3)
    parts = []
    for _ in range(count):
        part = tuple(1 if rng.random() < 0.3 else n for n in whole)
        parts.append(part[rng.integers(0, len(part) + 1) :] if rng.random() < 0.4 else part)
    return parts


def some_axes(rng, ndim):
    """None, one axis or several, from either end."""
    if ndim == 0 or rng.random() < 0.25:
        return None
    axes = rng.permutation(ndim)[: rng.integers(1, ndim + 1)]
    axes = tuple(int(i - ndim if rng.random() < 0.5 else i) for i in axes)
    return axes[0] if len(axes) == 1 else axes


def numbers(rng, shape, domain, dtype):
    x = rng.standard_normal(shape)
    if domain == "positive":
        x = 0.3 + np.abs(x)
    elif domain == "unit":
        x = 0.9 * np.tanh(x)
    elif domain == "nonzero":
        x = x + 0.3 * np.sign(x)
    elif domain == "distinct":
        x = (0.125 * rng.permutation(np.size(x)) - 1).reshape(shape)
    elif domain == "invertible" and len(shape) > 1 and shape[-1] == shape[-2]:
        x = x + 4 * np.eye(shape[-1])
    return laid_out(rng, np.asarray(x).astype(dtype))


def laid_out(rng, x):
    """The same numbers in memory row by row, column by column, with gaps, or backwards."""
    layout = rng.integers(4)
    if layout == 0 or x.ndim == 0:
        return x
    if layout == 1:
        return np.array(x, order="F")
    if layout == 2:
        wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan, x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    return np.ascontiguousarray(x[::-1])[::-1]


def dims(x, axis):
    return tuple(range(x.ndim)) if axis is None else axis


def t(indices):
    """Integers as PyTorch accepts them."""
    return torch.tensor(np.asarray(indices), dtype=torch.int64)
