"""Elementwise operations where formulas go wrong: large and tiny numbers, poles, NaN, ties."""

import math

import numpy as np
import pytest

from autograd import Tensor, check_grad, grad, ops
from autograd.device import numpy_namespace


def leaf(array, dtype=None):
    return Tensor(np.array(array, dtype=dtype), requires_grad=True)


def slopes(f, *arrays):
    """f of leaves, and its gradients for a gradient of ones."""
    xs = list(map(leaf, arrays))
    y = f(*xs)
    return [y.data, *(g.data for g in grad(y, xs, np.ones(y.shape)))]


# --- Large and small numbers ---------------------------------------------------------------------


@pytest.mark.parametrize("scale", [5e-320, 1e-200, 1e-12, 1.0, 1e12, 1e200, 3e307])
def test_hypot_and_the_angle_at_any_scale(scale):
    a, b = 3 * scale, 4 * scale
    y, g_a, g_b = slopes(ops.hypot, a, b)
    rtol = 1e-3 if scale < 1e-300 else 1e-15  # numbers this small have few digits
    np.testing.assert_allclose([y / scale, g_a, g_b], [5, 0.6, 0.8], rtol=rtol)
    if scale > 1e-300:
        y, g_a, g_b = slopes(ops.arctan2, a, b)
        np.testing.assert_allclose([g_a * scale, g_b * scale], [0.16, -0.12], rtol=1e-15)


@pytest.mark.parametrize("dtype, largest", [("f2", 6e4), ("f4", 3e38), ("f8", 1e308)])
def test_inverse_functions_of_the_largest_numbers_have_their_gradient(dtype, largest):
    x = np.array([largest / 2], dtype)
    tiny = np.finfo(dtype).smallest_subnormal
    for f in (ops.arcsinh, ops.arccosh):
        y, g = slopes(f, x)
        np.testing.assert_allclose(y, np.log(2 * x.astype("f8")), rtol=2e-3)
        np.testing.assert_allclose(g, 1 / x.astype("f8"), rtol=2e-3, atol=2 * tiny)
    _, g = slopes(ops.log10, x)
    np.testing.assert_allclose(g, 1 / x.astype("f8") / math.log(10), rtol=2e-3, atol=2 * tiny)
    _, g = slopes(ops.arctan, np.array([300.0], dtype))  # whose square float16 does not hold
    np.testing.assert_allclose(g, 1 / (1 + 300.0**2), rtol=2e-3, atol=2 * tiny)


@pytest.mark.parametrize("name", ["arcsinh", "arctanh"])
def test_inverse_functions_of_tiny_numbers_are_the_numbers(name):
    x = np.array([-1e-300, 1e-20, 1e-9])
    y, g = slopes(getattr(ops, name), x)
    np.testing.assert_allclose(y, x, rtol=1e-15)
    np.testing.assert_allclose(g, 1, rtol=1e-15)


def test_near_the_pole_of_arccosh_and_arctanh():
    x = 1 + 2.0**-40
    _, g = slopes(ops.arccosh, x)  # 1 / sqrt(x^2 - 1) with x^2 - 1 = 2^-39 + 2^-80
    np.testing.assert_allclose(g, 1 / math.sqrt(2.0**-39 + 2.0**-80), rtol=1e-15)
    _, g = slopes(ops.arctanh, 1 - 2.0**-40)
    np.testing.assert_allclose(g, 1 / (2.0**-39 - 2.0**-80), rtol=1e-15)
    with np.errstate(divide="ignore"):
        assert slopes(ops.arccosh, 1.0)[1] == np.inf
        assert [g.item() for g in slopes(ops.arctanh, 1.0)] == [np.inf, np.inf]
    with np.errstate(invalid="ignore"):
        assert np.isnan(slopes(ops.arccosh, 0.5)).all()


def test_logarithms_and_powers_are_exact_where_they_are_integers():
    np.testing.assert_array_equal(ops.exp2(np.arange(-20.0, 21)).data, 2.0 ** np.arange(-20, 21))
    np.testing.assert_array_equal(ops.log10([1.0, 10, 100, 1000, 1e15]).data, [0, 1, 2, 3, 15])
    np.testing.assert_array_equal(ops.log2(2.0 ** np.arange(-20, 21)).data, np.arange(-20, 21))


@pytest.mark.parametrize("name", ["hypot", "arctan2"])
def test_at_the_origin_the_gradient_is_zero_and_second_derivatives_are_not_invented(name):
    a, b = leaf([0.0, 3.0]), leaf([0.0, 4.0])
    y = getattr(ops, name)(a, b)
    first = grad(y, [a, b], np.ones(2), create_graph=True)
    assert [g.data[0] for g in first] == [0, 0] and all(g.data[1] for g in first)
    for g in first:
        for h in grad(g.sum(), [a, b], retain_graph=True):
            assert np.isnan(h.data[0]) and np.isfinite(h.data[1])
    # the Hessian of hypot^2 is 2 I: NaN where it cannot be known, never 0
    (g,) = grad(ops.square(ops.hypot(a, b)).sum(), a, create_graph=True)
    (h,) = grad(g.sum(), a)
    assert np.isnan(h.data[0])
    np.testing.assert_allclose(h.data[1], 2, rtol=1e-15)


# --- NaN, ties and infinities --------------------------------------------------------------------


@pytest.mark.parametrize("name, winner", [("fmax", 1), ("fmin", 0)])
@pytest.mark.parametrize("create_graph", [False, True])
def test_fmax_and_fmin_ignore_nan(name, winner, create_graph):
    nan = np.nan
    a, b = leaf([1.0, nan, 1.0, 2.0, nan, -np.inf]), leaf([2.0, 1.0, nan, 2.0, nan, nan])
    y = getattr(ops, name)(a, b)
    np.testing.assert_array_equal(y.data, getattr(np, name)(a.data, b.data))
    g_a, g_b = grad(y, [a, b], np.full(6, 4.0), create_graph=create_graph)
    np.testing.assert_array_equal(g_a.data, [4 * (1 - winner), 0, 4, 2, 2, 4])
    np.testing.assert_array_equal(g_b.data, [4 * winner, 4, 0, 2, 2, 0])
    (g,) = grad(getattr(ops, name)(a, 1), a, np.ones(6))  # a number as the other one
    assert g.data[0] == 0.5 and g.data[1] == 0 and g.data[3] == winner


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_nan_to_num_is_numpys_and_what_was_replaced_has_no_gradient(dtype):
    x = leaf([np.nan, np.inf, -np.inf, 1.5], dtype)
    for options in ({}, {"nan": -1.0, "posinf": 2.0, "neginf": -3}):
        y = ops.nan_to_num(x, **options)
        np.testing.assert_array_equal(y.data, np.nan_to_num(x.data, **options))
        assert y.dtype == x.dtype
        np.testing.assert_array_equal(grad(y, x, np.ones(4))[0].data, [0, 0, 0, 1])
    # 0 times an infinite gradient is NaN: it is not multiplied
    assert grad(ops.nan_to_num(x), x, np.full(4, np.inf))[0].data[0] == 0


# --- Remainders ----------------------------------------------------------------------------------

DIVIDENDS = np.array([7.0, -7.0, 7.0, -7.0, 1.0, 5.5, -0.0])
DIVISORS = np.array([2.0, 2.0, -2.0, -2.0, 0.1, 1.0, 3.0])


@pytest.mark.parametrize("name", ["remainder", "mod", "fmod"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i8"])
def test_remainders_are_numpys(name, dtype):
    f, reference = getattr(ops, name), getattr(np, name)
    a, b = DIVIDENDS.astype(dtype), np.where(DIVISORS == 0.1, 1, DIVISORS).astype(dtype)
    y = f(a, b)
    np.testing.assert_array_equal(y.data, reference(a, b))
    assert y.dtype == reference(a, b).dtype
    assert f(Tensor(a), 2).dtype == reference(a, 2).dtype
    np.testing.assert_array_equal(f(Tensor(a), b.tolist()).data, reference(a, b))


@pytest.mark.parametrize("name", ["remainder", "fmod"])
def test_a_remainder_and_its_gradient_agree_on_the_quotient(name):
    # 1 / 0.1 rounds to 10, yet 0.1 goes into 1 only 9 times: a = y + n b tells which n it was
    y, g_a, g_b = slopes(getattr(ops, name), DIVIDENDS, DIVISORS)
    np.testing.assert_array_equal(g_a, 1)
    np.testing.assert_allclose(y - g_b * DIVISORS, DIVIDENDS, rtol=1e-15)
    assert g_b[4] == -9
    check_grad(getattr(ops, name), np.array([7.3, -7.3, 5.6]), np.array([2.0, 2.0, -1.1]), order=2)


def test_operators_of_division_with_remainder():
    a, b = np.array([7.0, -7.5]), np.array([2.0, 3.0])
    for left, right in [(leaf(a), b), (leaf(a), leaf(b)), (leaf(a), 2), (a, leaf(b)), (7, leaf(b))]:
        found = [*divmod(left, right), left // right, left % right]
        x, y = (v.data if isinstance(v, Tensor) else v for v in (left, right))
        for t, expected in zip(found, [*divmod(x, y), x // y, x % y], strict=True):
            assert isinstance(t, Tensor)
            np.testing.assert_array_equal(t.data, expected)
        assert [t.requires_grad for t in found] == [False, True, False, True]
    x = leaf(a.astype("f4"))
    assert (x % 2).dtype == np.float32 and (2 // x).dtype == np.float32
    y = x % 4
    y %= 2  # a new Tensor, as with every operator; x itself, a leaf that learns, refuses
    assert y.requires_grad and not y.is_leaf
    with pytest.raises(TypeError, match="p %= value would make the name p stand for a new tensor"):
        x %= 2


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize(
    "f",
    [
        lambda x: ops.hypot(x, 2), lambda x: ops.hypot(2.0, x), lambda x: ops.fmax(x, 0.25),
        lambda x: ops.fmin(1, x), lambda x: 3 % x, lambda x: ops.fmod(x, 2.5), lambda x: x % 1.5,
        lambda x: ops.fmod(3, x), lambda x: ops.remainder(2.5, x), lambda x: ops.arctan2(x, 2),
    ],
)  # fmt: skip
def test_numbers_next_to_a_tensor_do_not_widen_it_forward_or_backward(f, dtype):
    y = f(leaf([0.75, 2.25], dtype))
    g = np.ones(2, dtype)
    gradients = y._node.backward(numpy_namespace, g, *y._node.saved)
    assert y.dtype == dtype  # and before the engine has converted any
    assert {g.dtype for g in gradients if g is not None} == {np.dtype(dtype)}


@pytest.mark.parametrize("name", "hypot arctan2 fmax fmin remainder fmod inner kron append".split())
def test_lists_next_to_a_tensor_are_arrays(name):
    f, x, values = getattr(ops, name), leaf([1.0, 2.0, -5.0]), [3.0, np.nan, 4.0]
    array = Tensor(np.array(values))
    for listed, same in [(f(x, values), f(x, array)), (f(tuple(values), x), f(array, x))]:
        w = np.ones(listed.shape)
        np.testing.assert_array_equal(listed.data, same.data)
        found, expected = (grad(y, x, w, create_graph=True)[0].data for y in (listed, same))
        np.testing.assert_array_equal(found, expected)
