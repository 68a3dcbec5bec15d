"""Makers of constants with NumPy's signatures, so that ``autograd.ops`` can stand in for NumPy.

They give Tensors that require no gradient. ``namespace_like(x)`` is the same namespace with makers
of arrays of x's library.
"""

import numpy as np

from autograd import _methods
from autograd._tensor import Tensor, TensorLike
from autograd._types import DTypeLike, Integers
from autograd.device import is_array, namespace, numpy_namespace
from autograd.ops.conversion import astype

__all__ = ["arange", "asarray", "full", "full_like", "ones", "ones_like", "zeros", "zeros_like"]


def zeros(shape: Integers, dtype: DTypeLike = float) -> Tensor:
    """Zeros."""
    return Tensor(np.zeros(shape, dtype))


def ones(shape: Integers, dtype: DTypeLike = float) -> Tensor:
    """Ones."""
    return Tensor(np.ones(shape, dtype))


def full(shape: Integers, fill_value: float, dtype: DTypeLike | None = None) -> Tensor:
    """``shape`` filled with one value."""
    return Tensor(np.full(shape, fill_value, dtype))


def arange(*args: float, dtype: DTypeLike | None = None) -> Tensor:
    """start, start + step, ... below stop."""
    return Tensor(np.arange(*args, dtype=dtype))


def zeros_like(x: TensorLike, dtype: DTypeLike | None = None) -> Tensor:
    """Zeros of x's shape and type, in x's array library."""
    return Tensor(_library(x).zeros_like(_raw(x), dtype=dtype))


def ones_like(x: TensorLike, dtype: DTypeLike | None = None) -> Tensor:
    """Ones of x's shape and type, in x's array library."""
    return Tensor(_library(x).ones_like(_raw(x), dtype=dtype))


def full_like(x: TensorLike, fill_value: float, dtype: DTypeLike | None = None) -> Tensor:
    """One value in x's shape and type, in x's array library."""
    return Tensor(_library(x).full_like(_raw(x), fill_value, dtype=dtype))


def asarray(x: TensorLike, dtype: DTypeLike | None = None) -> Tensor:
    """x as a Tensor: one already (converted if ``dtype`` differs), or a constant made from it."""
    if isinstance(x, Tensor):
        return x if dtype is None else astype(x, dtype)
    return Tensor(_library(x).asarray(x, dtype=dtype))


def _raw(x):
    return x.data if isinstance(x, Tensor) else x


def _library(x):
    x = _raw(x)
    return namespace(x) if is_array(x) else np


def namespace_like(x):
    """``autograd.ops`` as the namespace to compute with on the Tensor x and others of its library.

    A backward that needs ``xp.arange(n)`` does not say of which library it should be: this
    namespace knows. For NumPy's arrays it is the module itself.
    """
    library = namespace(x.data)
    return _methods.ops if library is numpy_namespace else OpsNamespace(library)


class OpsNamespace:
    """``autograd.ops``, except that new arrays belong to ``library``."""

    def __init__(self, library):
        self._library = library

    def __getattr__(self, name):
        return getattr(_methods.ops, name)

    def zeros(self, shape, dtype=float):
        return Tensor(self._library.zeros(shape, dtype))

    def ones(self, shape, dtype=float):
        return Tensor(self._library.ones(shape, dtype))

    def full(self, shape, fill_value, dtype=None):
        return Tensor(self._library.full(shape, fill_value, dtype))

    def arange(self, *args, dtype=None):
        return Tensor(self._library.arange(*args, dtype=dtype))

    def asarray(self, x, dtype=None):
        if isinstance(x, Tensor):
            return asarray(x, dtype)
        return Tensor(self._library.asarray(x, dtype=dtype))
