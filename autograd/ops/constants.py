"""Makers of constants with NumPy's signatures, so that ``autograd.ops`` can stand in for NumPy.

They give Tensors that require no gradient. So do the step functions ``floor``, ``round`` and
``sign``: their derivative is 0 wherever it exists, and a gradient of nothing but zeros would hide a
mistake. ``isfinite`` and ``isnan`` answer with raw boolean arrays, as comparisons do.
"""

import numpy as np

from autograd._tensor import Tensor
from autograd.device import is_array, namespace
from autograd.ops.piecewise import astype

__all__ = [
    "arange", "asarray", "floor", "full", "full_like", "isfinite", "isnan", "ones", "ones_like",
    "round", "sign", "zeros", "zeros_like",
]  # fmt: skip

STEPS = ("floor", "round", "sign")
"""Functions of numbers that are constant between their steps; they have entries in samples.py."""


def zeros(shape, dtype=float):
    """Zeros."""
    return Tensor(np.zeros(shape, dtype))


def ones(shape, dtype=float):
    """Ones."""
    return Tensor(np.ones(shape, dtype))


def full(shape, fill_value, dtype=None):
    """``shape`` filled with one value."""
    return Tensor(np.full(shape, fill_value, dtype))


def arange(*args, dtype=None):
    """start, start + step, ... below stop."""
    return Tensor(np.arange(*args, dtype=dtype))


def zeros_like(x, dtype=None):
    """Zeros of x's shape and type, in x's array library."""
    return Tensor(_library(x).zeros_like(_raw(x), dtype=dtype))


def ones_like(x, dtype=None):
    """Ones of x's shape and type, in x's array library."""
    return Tensor(_library(x).ones_like(_raw(x), dtype=dtype))


def full_like(x, fill_value, dtype=None):
    """One value in x's shape and type, in x's array library."""
    return Tensor(_library(x).full_like(_raw(x), fill_value, dtype=dtype))


def asarray(x, dtype=None):
    """x as a Tensor: one already (converted if ``dtype`` differs), or a constant made from it."""
    if isinstance(x, Tensor):
        return x if dtype is None else astype(x, dtype)
    return Tensor(_library(x).asarray(x, dtype=dtype))


def floor(x):
    """The largest integers not above x, in x's type: a constant, without a gradient."""
    return Tensor(_library(x).asarray(_library(x).floor(_raw(x))))


def round(x, decimals=0):
    """x to so many decimals, halves to the even neighbour: a constant, without a gradient.

    ``x + (round(x) - x).detach()`` rounds forward and passes the gradient through.
    """
    return Tensor(_library(x).asarray(_library(x).round(_raw(x), decimals)))


def sign(x):
    """-1, 0 or 1, and NaN for NaN: a constant, without a gradient."""
    return Tensor(_library(x).asarray(_library(x).sign(_raw(x))))


def isfinite(x):
    """Whether each element is neither infinite nor NaN: a raw boolean array."""
    return _library(x).isfinite(_raw(x))


def isnan(x):
    """Whether each element is NaN: a raw boolean array."""
    return _library(x).isnan(_raw(x))


def _raw(x):
    return x.data if isinstance(x, Tensor) else x


def _library(x):
    x = _raw(x)
    return namespace(x) if is_array(x) else np
