"""``Namespace``: the functions that every formula of the project is written with, as ``xp``.

They are NumPy's functions, or CuPy's, and the few pure ones that these libraries lack and a
language model needs: ``erf``, ``sigmoid``, ``logsumexp``, ``scatter_add`` and ``product``. Those
are written here once, in terms of the library that they are added to. (To differentiate a
derivative, ``xp`` is our own ``autograd.ops``, which has the same names.)
"""

import numpy as np

from autograd._bfloat16 import rounded
from autograd._erf import erf


class Namespace:
    """The functions of an array library (``np``, ``cupy``), and those that it lacks."""

    def __init__(self, module, array_type, device, to_numpy):
        self._module = module
        self.array_type, self.device, self.to_numpy = array_type, device, to_numpy
        self.name = module.__name__

    def __getattr__(self, name):
        value = getattr(self._module, name)
        setattr(self, name, value)  # the next lookup finds it without this method
        return value

    def __repr__(self):
        return f"<array namespace {self.name}>"

    def floating(self, x):
        """x as floats: integers and booleans get the type that NumPy's exp returns for them."""
        if x.dtype.kind == "f":
            return x
        return x.astype(np.result_type(x.dtype, np.float16))

    def erf(self, x):
        """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
        return erf(self, self.floating(self.asarray(x)))

    def sigmoid(self, x):
        """1 / (1 + exp(-x)), without overflow: exp is only ever taken of -|x|."""
        x = self.floating(self.asarray(x))
        e = self.exp(-self.abs(x))
        return self.where(x >= 0, 1 / (1 + e), e / (1 + e))

    def sum(self, x, axis=None, keepdims=False):
        """The sum. float16 is added up in float32 and rounded once, as in NumPy's mean.

        NumPy's own sum over rows rounds after each one: in float16, ones add up to 2048 at most.
        """
        if not hasattr(x, "dtype"):  # a list
            return self._module.sum(x, axis=axis, keepdims=keepdims)
        if x.dtype.char != "e":
            return x.sum(axis=axis, keepdims=keepdims)
        total = x.sum(axis=axis, keepdims=keepdims, dtype=self.float32)
        return self.astype(total, x.dtype)

    def logsumexp(self, x, axis=None, keepdims=False):
        """log(sum(exp(x))), with the maximum taken out first so that exp cannot overflow."""
        x = self.floating(self.asarray(x))
        if x.dtype.char == "e":  # the sum may overflow float16 though its logarithm does not
            wide = self.logsumexp(self.astype(x, self.float32), axis, keepdims)
            return self.astype(wide, x.dtype)
        if x.size == 0:  # no maximum: the empty sum is 0, and its logarithm -inf
            top = self.sum(x, axis=axis, keepdims=True)
        else:
            top = self.max(x, axis=axis, keepdims=True)
        top = self.where(self.isfinite(top), top, 0)  # a row of -inf gives -inf, not NaN
        with np.errstate(divide="ignore"):
            y = self.log(self.sum(self.exp(x - top), axis=axis, keepdims=True)) + top
        y = self.asarray(y, dtype=x.dtype)
        return y if keepdims else self.squeeze(y, axis=axis)

    def product(self, a, b, precision="float32"):
        """a @ b; at the precision "bf16" both are rounded to bf16 first (``precision.py``)."""
        if precision == "bf16":
            a, b = rounded(self, a), rounded(self, b)
        return a @ b

    def scatter_add(self, shape, index, values):
        """Zeros of ``shape`` with ``values`` added at ``index``; repeated indices add up."""
        y = self.zeros(shape, dtype=values.dtype)
        self.add_at(y, index, values)
        return y

    def astype(self, x, dtype):
        return x.astype(dtype, copy=False)

    def add_at(self, buffer, index, values):
        """``buffer[index] += values`` in place; repeated indices add up."""
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
