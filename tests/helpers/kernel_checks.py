"""Calling the functions of a kernel folder directly, and comparing what comes out."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest

from autograd.device import numpy_namespace as xp
from autograd.in_place import InPlace
from autograd.kernels.dispatch import Kernel

__all__ = [
    "INF", "NAN", "REDUCTIONS", "assert_same", "both_dtypes", "cpu", "fast", "flat", "normal",
    "reference", "room", "root_mean_square", "special_numbers", "xp",
]  # fmt: skip

REDUCTIONS = ["mean", "sum", "none"]
INF, NAN = np.inf, np.nan
both_dtypes = pytest.mark.parametrize("dtype", ["f4", "f8"])


def reference(op):
    return importlib.import_module(f"autograd.kernels.{op}.reference")


def cpu(op):
    return importlib.import_module(f"autograd.kernels.{op}.cpu")


def fast(op):
    """The functions of a folder as NumPy arrays find them: cpu.py's, else the reference's."""
    package = vars(importlib.import_module(f"autograd.kernels.{op}"))
    kernels = {name: value for name, value in package.items() if isinstance(value, Kernel)}
    return SimpleNamespace(
        **{
            name: kernel.implementation("cpu") or kernel.implementation("reference")
            for name, kernel in kernels.items()
        }
    )


def room(*sums, g=None):
    """An InPlace of a backward to whose inputs these sums have come so far, in arrays of its own.

    None stands for an input that nothing has reached yet; ``g`` is what may be overwritten.
    """
    inputs = [SimpleNamespace(order=i) for i in range(len(sums))]
    node = SimpleNamespace(inputs=inputs, needs=(True,) * len(sums))
    pending = {i: (inputs[i], total, True) for i, total in enumerate(sums) if total is not None}
    return InPlace(node, pending, g, observed=False)


def normal(*shape, dtype="f8", seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype)


def special_numbers(dtype):
    """Not a number, the infinities, and the ends of the range of ``dtype``, by name."""
    limits = np.finfo(dtype)
    return {
        "NaN": NAN,
        "infinity": INF,
        "minus infinity": -INF,
        "largest": limits.max,
        "most negative": limits.min,
        "smallest normal": limits.tiny,
        "smallest": limits.smallest_subnormal,
        "zero": 0.0,
        "minus zero": -0.0,
    }


def flat(result):
    """The arrays in a result, nested tuples and Nones included, in order."""
    if isinstance(result, tuple):
        return [array for part in result for array in flat(part)]
    return [result]


def assert_same(found, expected, dtype, typical=np.median):
    """Equal up to rounding, relative to each number, or to a typical one where one is smaller.

    Typical is the median, not the largest: beside the largest float32 every other number would
    pass. Where all inputs are of one size, ``root_mean_square`` may say better what the terms were
    of which a number is the difference.
    """
    found, expected = flat(found), flat(expected)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        if b is None:
            assert a is None
            continue
        assert np.shape(a) == np.shape(b) and a.dtype == b.dtype == dtype
        sizes = np.abs(b[np.isfinite(b) & (b != 0)])
        scale = float(typical(sizes)) if sizes.size else 0.0
        tolerance = 2e-5 if dtype == "f4" else 1e-12
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


def root_mean_square(x):
    return np.sqrt(np.mean(np.square(x)))
