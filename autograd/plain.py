"""The values that may enter the engine: anything that NumPy turns into real numbers or booleans.

Everything that becomes a tensor, an operand, an index, a gradient or new data passes here. Three
kinds of arrays would compute without complaint and be wrong, so they are refused or made plain:

- complex numbers, Python objects, strings and dates: they would drop out of the graph;
- masked arrays: nothing here would look at the mask;
- other subclasses of NumPy's array (``np.matrix``, whose ``*`` is another product; ``np.memmap``)
  become plain views of the same memory.
"""

import re
from types import NoneType

import numpy as np

from autograd.device import is_array

NUMBERS = frozenset((float, int, bool, NoneType))
"""Types of operands that are used as they are (None: an operand that is left out)."""


def plain_array(value, what):
    """``value``, an array or what ``np.asarray`` takes, as a plain array of a registered library.

    Raises TypeError, in which ``what`` names the value, for anything but numbers and booleans.
    """
    if not is_array(value):
        value = np.asarray(value)
    elif isinstance(value, np.ndarray) and type(value) is not np.ndarray:
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError(
                f"{what} is a masked array, and operations would not look at its mask: fill it "
                "with .filled(value), and use ops.where(mask, a, b) where elements must not count"
            )
        value = np.asarray(value)
    if value.dtype.kind not in "fiub":
        raise TypeError(f"{what} {_refusal(value.dtype)}")
    return value


def plain_operand(value, op, i):
    """``value``, operand i of ``op``, ready to compute with: a number or a plain array.

    Numbers of Python stay, so that they are weak (float32 * 2.0 is float32), and NumPy's scalars
    too, which are not. Raises as plain_array does.
    """
    if type(value) is np.ndarray and value.dtype.kind in "fiub":  # the common case, first
        return value
    if isinstance(value, (float, int)):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "fiub":
        return value
    return plain_array(value, f"operand {i} of {type(op).__name__}")


def refuse_missing(op, arrays, error):
    """Raise TypeError if forward failed with ``error`` because an operand is None, naming it."""
    if not any([a is None for a in arrays]):
        return
    message = str(error)  # Python's and NumPy's wordings; an operation may accept a None
    parts = ("NoneType", "no attribute", "not supported for the input")
    if any([part in message for part in parts]):
        i = next(i for i, a in enumerate(arrays) if a is None)
        raise TypeError(
            f"operand {i} of {type(op).__name__} is None: expected a Tensor, an array or a number"
        ) from error


def name_operands(op, arrays, error):
    """Put the operation and its operands' shapes in front of NumPy's message about a misfit.

    Our own messages begin with the function's name and a colon, and stay as they are.
    """
    shapes = [str(a.shape) for a in arrays if is_array(a)]
    from_ops = type(op).__module__.startswith("autograd.ops.")
    if not (from_ops and shapes and type(error) in (ValueError, IndexError)):
        return
    message = str(error).strip()
    if "gufunc" in message or not re.match(r"[a-z_.]+: ", message):
        plural = "s" if len(shapes) > 1 else ""
        error.args = (f"{type(op).__name__} of shape{plural} {' and '.join(shapes)}: {message}",)


def refuse_result(op, dtype):
    """Raise TypeError for an operation whose result is neither numbers nor booleans."""
    raise TypeError(f"the result of {type(op).__name__} {_refusal(dtype)}")


def _refusal(dtype):
    if dtype.kind == "c":
        return (
            f"is complex ({dtype}), and derivatives here are those of real numbers: compute with "
            "its real and its imaginary part, two tensors"
        )
    return f"must hold numbers or booleans, not {dtype}"
