"""The functions of the compiled kernels: exp, exp_or_zero, erf and maximum."""

import math

import numpy as np
import pytest

from autograd._erf import erf as array_erf
from autograd.device import numpy_namespace
from autograd.kernels._functions import erf, exp, exp_or_zero, maximum
from autograd.kernels._jit import jit

SPECIAL = [math.nan, math.inf, -math.inf, 1e30, -1e30, 0.0, -0.0, 1e-40, 104.5, -104.5]


@jit
def exp_each(x, y, start, stop):
    x, y = x[start:stop], y[start:stop]
    for j in range(x.size):
        y[j] = exp(x[j])


@jit
def exp_or_zero_each(x, y, start, stop):
    x, y = x[start:stop], y[start:stop]
    for j in range(x.size):
        y[j] = exp_or_zero(x[j])


@jit
def erf_each(x, y, start, stop):
    x, y = x[start:stop], y[start:stop]
    for j in range(x.size):
        y[j] = erf(x[j])


@jit
def maximum_each(x, y, start, stop):
    for i in range(start, stop):
        row = x[i]
        top = row[0]
        for j in range(row.size):
            top = maximum(top, row[j])
        y[i] = top


def apply(kernel, x):
    y = np.empty_like(x)
    kernel(x, y, 0, len(x))
    return y


def units(y, expected):
    """Largest error in units in the last place of y's dtype."""
    spacing = np.spacing(np.abs(expected).astype(y.dtype))
    return np.max(np.abs(y - expected) / spacing)


@pytest.mark.parametrize("dtype, low, high", [("f4", -87.3, 88.7), ("f8", -708.0, 709.7)])
def test_exp_is_accurate(dtype, low, high):
    near_zero = np.linspace(-1, 1, 5001)
    x = np.concatenate([np.linspace(low, high, 20001), near_zero]).astype(dtype)
    assert units(apply(exp_each, x), np.exp(x.astype(np.longdouble))) < 1.5


@pytest.mark.parametrize("dtype, x", [("f4", [-88, -95, -103]), ("f8", [-709, -730, -744])])
def test_exp_reaches_denormal_numbers(dtype, x):
    x = np.array(x, dtype)
    y = apply(exp_each, x)
    assert np.all(y > 0) and np.all(y < np.finfo(dtype).tiny)
    assert units(y, np.exp(x.astype(np.longdouble))) < 1.5


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_exp_of_nan_infinity_and_range_ends(dtype):
    limits = np.finfo(dtype)
    x = np.array([*SPECIAL, limits.max, limits.min, limits.tiny], dtype)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(apply(exp_each, x)[:8], np.exp(x)[:8])
        expected = np.exp(x)
    np.testing.assert_allclose(apply(exp_each, x), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype, low", [("f4", -87), ("f8", -708)])
def test_exp_or_zero_is_exp_without_denormal_numbers(dtype, low):
    x = np.linspace(low, 0, 5002)[1:].astype(dtype)
    np.testing.assert_array_equal(apply(exp_or_zero_each, x), apply(exp_each, x))
    x = np.array([low, low - 1.0, 1.04 * low, 1.06 * low, -1e30, -math.inf, math.nan], dtype)
    y = apply(exp_or_zero_each, x)
    np.testing.assert_array_equal(y, [0, 0, 0, 0, 0, 0, math.nan])
    x = np.array([1, 10, 1 - low, 3 - low, 1e30, math.inf], dtype)
    y = apply(exp_or_zero_each, x)
    assert units(y[:3], np.exp(x[:3].astype(np.longdouble))) < 1.5 and np.all(y[3:] == math.inf)
    assert np.exp(np.array(low, dtype)) < 2 * np.finfo(dtype).tiny  # it begins no earlier


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_erf_of_a_kernel_and_of_arrays(dtype):
    cuts = [0.84375, 1.25, 1 / 0.35, 6.0]
    x = np.concatenate([np.linspace(-6.5, 6.5, 4001), cuts, [1e-30, 1e-310]]).astype(dtype)
    expected = np.array([math.erf(v) for v in x])
    assert units(apply(erf_each, x), expected) < 2.5
    assert units(array_erf(numpy_namespace, x), expected) < 2.5


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_erf_of_special_values_and_empty_arrays(dtype):
    x = np.array([math.inf, -math.inf, math.nan, 0.0, -0.0], dtype)
    y = array_erf(numpy_namespace, x)
    np.testing.assert_array_equal(y, np.array([1, -1, math.nan, 0, -0.0], dtype))
    assert y.dtype == x.dtype and np.signbit(y[4])
    assert array_erf(numpy_namespace, np.zeros((0, 3), dtype)).shape == (0, 3)
    if dtype != "f2":
        np.testing.assert_array_equal(apply(erf_each, x), y)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_maximum_is_numpys(dtype):
    x = np.random.default_rng(0).standard_normal((4, 37)).astype(dtype)
    x[1, 20], x[2, 36], x[3, :] = math.nan, math.inf, -math.inf
    y = np.empty(4, dtype)
    maximum_each(x, y, 0, 4)
    np.testing.assert_array_equal(y, x.max(axis=1))


def test_helpers_refuse_to_run_outside_a_kernel():
    with pytest.raises(NotImplementedError, match="numpy.exp"):
        exp(1.0)
    with pytest.raises(NotImplementedError, match="numpy.exp"):
        exp_or_zero(1.0)
    with pytest.raises(NotImplementedError, match="autograd._erf"):
        erf(1.0)
