"""Which array library an array belongs to, and the namespace of functions to compute on it with.

Every formula of the project is written against a namespace ``xp``: NumPy's functions, or CuPy's,
or (to differentiate a derivative) our own ``autograd.ops``. NumPy lacks a few pure functions that
a language model needs (``erf``, ``sigmoid``, ``logsumexp``, ``scatter_add``); they are added here,
once, in terms of the library they are added to.

A library is registered with the type of its arrays. CuPy is registered the first time one of its
arrays is met, so that importing this module never imports CuPy.
"""

import sys

import numpy as np

from autograd._erf import erf


class Namespace:
    """The functions of an array library (``np``, ``cupy``), and the pure ones it lacks."""

    def __init__(self, module, array_type):
        self._module = module
        self.array_type = array_type
        self.name = module.__name__

    def __getattr__(self, name):
        value = getattr(self._module, name)
        setattr(self, name, value)  # next time found at once
        return value

    def __repr__(self):
        return f"<array namespace {self.name}>"

    def erf(self, x):
        """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
        return erf(self, x)

    def sigmoid(self, x):
        """1 / (1 + exp(-x)), without overflow: exp is only ever taken of -|x|."""
        e = self.exp(-self.abs(x))
        return self.where(x >= 0, 1 / (1 + e), e / (1 + e))

    def logsumexp(self, x, axis=None, keepdims=False):
        """log(sum(exp(x))), with the maximum taken out first so that exp cannot overflow."""
        top = self.max(x, axis=axis, keepdims=True, initial=-self.inf)
        top = self.where(self.isfinite(top), top, 0)  # a row of -inf gives -inf, not NaN
        with np.errstate(divide="ignore"):
            y = self.log(self.sum(self.exp(x - top), axis=axis, keepdims=True)) + top
        y = self.asarray(y, dtype=x.dtype)
        return y if keepdims else self.squeeze(y, axis=axis)

    def scatter_add(self, shape, index, values):
        """Zeros of ``shape`` with ``values`` added at ``index``; repeated places add up."""
        y = self.zeros(shape, dtype=values.dtype)
        self.add_at(y, index, values)
        return y

    def astype(self, x, dtype):
        return x.astype(dtype, copy=False)

    def add_at(self, buffer, index, values):
        """``buffer[index] += values`` in place, counting repeated places once each."""
        if is_basic_index(index):
            buffer[index] += values
        else:
            self.add.at(buffer, index, values)


def is_basic_index(index):
    """Whether indexing with ``index`` makes a view: integers, slices, None and Ellipsis only."""
    items = index if isinstance(index, tuple) else (index,)
    return all(
        item is None or item is Ellipsis or isinstance(item, (int, np.integer, slice))
        for item in items
    ) and not any(isinstance(item, (bool, np.bool_)) for item in items)


numpy_namespace = Namespace(np, np.ndarray)
namespaces = {np.ndarray: numpy_namespace}
"""From the type of an array to its namespace. ``namespace`` finds what is not in here yet."""


def register(array_type, module):
    """Let the engine compute on arrays of ``array_type`` with the functions of ``module``."""
    namespaces[array_type] = Namespace(module, array_type)


def namespace(array):
    """The namespace an array belongs to.

    Raises TypeError when no registered library has arrays of this type.
    """
    found = namespaces.get(type(array))
    if found is None:
        found = _look_up(type(array))
    return found


def is_array(value):
    """Whether ``value`` is an array of a registered library (a NumPy subclass counts)."""
    return type(value) in namespaces or _find(type(value)) is not None


def _find(array_type):
    if array_type.__module__.partition(".")[0] == "cupy" and "cupy" in sys.modules:
        cupy = sys.modules["cupy"]
        if cupy.ndarray not in namespaces:
            register(cupy.ndarray, cupy)
    for base in array_type.__mro__:
        if base in namespaces:
            return namespaces[base]
    return None


def _look_up(array_type):
    found = _find(array_type)
    if found is None:
        known = ", ".join(f"{t.__module__}.{t.__qualname__}" for t in namespaces)
        raise TypeError(
            f"no array library is registered for {array_type.__module__}.{array_type.__qualname__} "
            f"(known: {known}): convert it, or call autograd.device.register(type, module)"
        )
    namespaces[array_type] = found
    return found
