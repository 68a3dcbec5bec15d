"""The arguments of operations: axes and other integers, and operands that are no arrays yet.

A function with an axis asks here before anything is computed. What forward is then given is a
number from 0 on, or a tuple of different ones, and backward can do what forward did. The rules are
NumPy's: an integer may be a NumPy integer or a 0-d array of one, counts from the end when it is
negative, and raises ``np.exceptions.AxisError`` when there is no such axis. True is no integer here.
"""

import operator

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autograd._tensor import Tensor
from autograd.device import is_array


def operand(x):
    """x as something with a shape: a Tensor or an array as it is, all else by ``np.asarray``."""
    return x if isinstance(x, Tensor) or is_array(x) else np.asarray(x)


def integer(op, what, value):
    """``value`` as a Python integer. Raises TypeError when it is something else (True is)."""
    if type(value) is int:
        return value
    if isinstance(value, Tensor):
        value = value.data
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{op}: {what} must be an integer, not {described(value)}") from None


def normalize_axis(op, axis, ndim):
    """``axis``, an integer, as a number from 0 on. Raises AxisError outside of ``ndim`` axes."""
    return normalize_axis_index(integer(op, "axis", axis), ndim, op)


def normalize_axes(op, axis, ndim, sequences=(tuple, list)):
    """``axis``, an integer or a sequence of them, as a tuple of numbers from 0 on.

    Raises AxisError outside of ``ndim`` axes, ValueError for an axis that is named twice.
    """
    if not isinstance(axis, sequences):
        return (normalize_axis(op, axis, ndim),)
    axes = tuple([normalize_axis(op, i, ndim) for i in axis])
    if len(set(axes)) < len(axes):
        raise ValueError(f"{op}: axis {tuple(axis)} names an axis twice")
    return axes


def described(value):
    """A wrong argument in a few words: a short one as it is, with its type."""
    shown = repr(value)
    kind = type(value).__name__
    return f"the {kind} {shown}" if len(shown) < 40 and "\n" not in shown else f"a {kind}"
