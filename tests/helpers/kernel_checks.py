"""Calling the functions of a kernel folder directly, and comparing their results.

``compared`` is the usual way: the test calls the kernel, and each call is checked on the spot. The
traceback of a red test ends at that call, and the error names its arguments.
"""

import importlib
import inspect
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from autograd.accumulate import Pending
from autograd.device import numpy_namespace as xp
from autograd.in_place import InPlace
from autograd.kernels.dispatch import Kernel

__all__ = [
    "INF", "NAN", "REDUCTIONS", "assert_same", "both_dtypes", "compared", "cpu", "fast", "flat",
    "normal", "reference", "room", "root_mean_square", "special_numbers", "xp",
]  # fmt: skip

REDUCTIONS = ["mean", "sum", "none"]
INF, NAN = np.inf, np.nan
both_dtypes = pytest.mark.parametrize("dtype", ["f4", "f8"])


def reference(op):
    return importlib.import_module(f"autograd.kernels.{op}.reference")


def cpu(op):
    return importlib.import_module(f"autograd.kernels.{op}.cpu")


def fast(op):
    """The functions that run on NumPy arrays: those of cpu.py, or the reference's."""
    package = vars(importlib.import_module(f"autograd.kernels.{op}"))
    kernels = {name: value for name, value in package.items() if isinstance(value, Kernel)}
    return SimpleNamespace(
        **{
            name: kernel.implementation("cpu") or kernel.implementation("reference")
            for name, kernel in kernels.items()
        }
    )


def room(*sums, g=None):
    """An InPlace for a backward whose inputs have received these sums so far, in arrays of its own.

    None stands for an input that has received nothing; ``g`` is the array that may be overwritten.
    """
    inputs = [SimpleNamespace(order=i) for i in range(len(sums))]
    node = SimpleNamespace(inputs=inputs, needs=(True,) * len(sums))
    pending = Pending(create_graph=False)
    for source, total in zip(inputs, sums, strict=True):
        if total is not None:
            pending.add(source, total, fresh=True)
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


def assert_same(found, expected, dtype, typical=np.median, where=""):
    """Equal up to rounding, relative to each number, or to a typical one if that is larger.

    ``typical`` is a number, or a function of the sizes of the numbers that are expected. It is the
    median and not the largest, beyond which every array with the largest float32 would pass. If all
    inputs are of one size, ``root_mean_square`` is closer to the terms of which a small number is
    the difference.
    """
    __tracebackhide__ = True
    found, expected = flat(found), flat(expected)
    assert len(found) == len(expected), f"{where}: the number of results"
    for k, (a, b) in enumerate(zip(found, expected, strict=True)):
        if b is None:
            assert a is None, f"{where}: result {k} must be None"
            continue
        dtypes = {a.dtype.newbyteorder("="), b.dtype.newbyteorder("=")}
        same_kind = np.shape(a) == np.shape(b) and dtypes == {np.dtype(dtype)}
        assert same_kind, f"{where} gives {a.dtype} {np.shape(a)}, not {dtype} {np.shape(b)}"
        scale = typical
        if callable(typical):
            sizes = np.abs(b[np.isfinite(b) & (b != 0)])
            scale = float(typical(sizes)) if sizes.size else 0.0
        tolerance = 2e-5 if dtype == "f4" else 1e-12
        message = f"{where}, result {k}" if where else ""
        np.testing.assert_allclose(a, b, tolerance, tolerance * scale, err_msg=message)


def root_mean_square(x):
    return np.sqrt(np.mean(np.square(x)))


def compared(op, dtype, typical=np.median, functions=None):
    """The functions of a kernel folder (or ``functions``), each call compared with the reference.

    A call is made twice and must give the same bits: threads leave no trace. It leaves its
    arguments as they were, except that AdamW works in place and a backward may give its cache away.
    The reference makes its own statistics; those that a forward caches are judged by the backward
    that uses them. A function returns what the kernel returned.
    """
    kernels = vars(functions or fast(op))

    def comparing(name):
        kernel, exact = kernels[name], getattr(reference(op), name)

        def call(xp, *arguments, **options):
            __tracebackhide__ = True
            where = described(f"{op}.{name}", exact, arguments, options)
            before = copies(arguments)
            calls = [copies(arguments) if name == "update" else arguments for _ in range(2)]
            found, again = (calm(kernel, xp, *given, **copies(options)) for given in calls)
            for a, b in zip(flat(arguments), flat(before), strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"{where} changed an argument")
            for a, b in zip(flat(again), flat(found), strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"{where}, called a second time")
            uncached = {k: v for k, v in options.items() if k != "cache"}
            expected = calm(exact, xp, *before, **uncached)
            if name == "forward":  # the output, without what it caches
                assert_same(flat(found)[0], flat(expected)[0], dtype, typical, where)
            else:
                kind = "f8" if name == "square_sum" else dtype
                assert_same(found, expected, kind, typical, where)
            return found

        return call

    return SimpleNamespace(**{name: comparing(name) for name in vars(fast(op))})


def calm(function, xp, *arguments, **options):
    """``function(...)``, judged by its results where NumPy's matmul reports an invalid value.

    Some products of ordinary float32 numbers are reported now and then, although each element is
    right. So the report alone is no error, but a NaN from ordinary numbers is.
    """
    ordinary = all(np.all(np.abs(a) < 1e6) for a in flat(arguments) if isinstance(a, np.ndarray))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "invalid value encountered in matmul", RuntimeWarning)
        result = function(xp, *arguments, **options)
    if ordinary:
        arrays = [a for a in flat(result) if isinstance(a, np.ndarray)]
        assert not any(np.isnan(a).any() for a in arrays), "NaN from ordinary numbers"
    return result


def copies(value):
    """The same arrays, tuples or options with arrays of their own."""
    if isinstance(value, tuple):
        return tuple(map(copies, value))
    if isinstance(value, dict):
        return {name: copies(v) for name, v in value.items()}
    return np.array(value) if isinstance(value, np.ndarray) else value


def described(name, function, arguments, options):
    """A call as text, with arrays by their type and shape: "f(x=float32 (3, 4), eps=1e-05)"."""

    def text(value):
        if isinstance(value, tuple):
            return f"({', '.join(map(text, value))})"
        return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else repr(value)

    bound = inspect.signature(function).bind(None, *arguments, **options).arguments
    return f"{name}({', '.join(f'{k}={text(v)}' for k, v in bound.items() if k != 'xp')})"
