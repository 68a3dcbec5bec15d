"""x^y where x or y is 0: right to second order, or NaN, but never a silent 0."""

import math

import numpy as np
import pytest

from autograd import Tensor, grad, ops
from autograd.functional import grad as slope, hessian

INF, ANY = math.inf, "not finite"


@pytest.fixture(autouse=True)
def quiet():
    """NumPy warns of infinities in a formula; here they are intended."""
    with np.errstate(all="ignore"):
        yield


def assert_is(found, right):
    """``right`` is a number, or that there is none: NaN and both infinities will do."""
    if right == ANY:
        assert not math.isfinite(found), found
    else:
        np.testing.assert_allclose(found, right, rtol=1e-14)


LOG = math.log(0.25)
TABLE = [
    # x, y: f_x, f_y, f_xx, f_xy, f_yy
    (0.25, 0.0, 0, LOG, 0, 4, LOG**2),
    (0.25, 1.0, 1, LOG / 4, 0, 1 + LOG, LOG**2 / 4),
    (0.25, 2.0, 0.5, LOG / 16, 2, 0.25 * (1 + 2 * LOG), LOG**2 / 16),
    (0.0, 0.0, 0, 0, 0, ANY, ANY),  # x^0 = 1 for every x; 0^y jumps at y = 0
    (0.0, 0.5, INF, 0, -INF, ANY, 0),
    (0.0, 1.0, 1, 0, 0, ANY, 0),
    (0.0, 1.5, 0, 0, INF, 0, 0),
    (0.0, 2.0, 0, 0, 2, 0, 0),
    (0.0, 3.0, 0, 0, 0, 0, 0),
    (0.0, -1.0, -INF, -INF, INF, ANY, ANY),
    (0.0, -0.5, -INF, -INF, INF, ANY, ANY),
]
NEGATIVE = [(-2.0, 0.0, 0, ANY, 0), (-2.0, 1.0, 1, ANY, 0), (-2.0, 2.0, -4, ANY, 2)]
"""There is no derivative in y, and therefore no second derivative in z = (x, y)."""


@pytest.mark.parametrize("x, y, f_x, f_y, f_xx, f_xy, f_yy", TABLE)
def test_both_derivatives_of_x_to_the_y(x, y, f_x, f_y, f_xx, f_xy, f_yy):
    xs = [Tensor(np.array(v), requires_grad=True) for v in (x, y)]
    first = grad(xs[0] ** xs[1], xs, create_graph=True)
    second = [h for g in first for h in grad(g, xs, retain_graph=True)]
    right = [f_x, f_y, f_xx, f_xy, f_xy, f_yy]
    for found, value in zip([*first, *second], right, strict=True):
        assert_is(found.item(), value)


def test_the_hessian_over_x_and_y():
    h = hessian(lambda z: z[0] ** z[1])
    np.testing.assert_allclose(h(np.array([0.25, 0.0])).data, [[0, 4], [4, LOG**2]], rtol=1e-14)
    np.testing.assert_array_equal(h(np.array([0.0, 3.0])).data, np.zeros((2, 2)))
    for y in (0.0, 0.5, 1.0):
        found = h(np.array([0.0, y])).data
        assert not np.isfinite([found[0, 1], found[1, 0]]).any()


@pytest.mark.parametrize("x, y, f_x, _, f_xx", [row[:5] for row in TABLE] + NEGATIVE)
@pytest.mark.parametrize("kind", [float, np.array], ids=["number", "array"])
def test_a_fixed_exponent_gives_the_same_derivatives_in_x(x, y, f_x, _, f_xx, kind):
    y = kind(y)
    assert_is(slope(lambda x: x**y)(np.array(x)).item(), f_x)
    assert_is(hessian(lambda x: x**y)(np.array(x)).item(), f_xx)


@pytest.mark.parametrize("x", [0.0, -2.0, 2.0])
def test_the_whole_numbers_as_exponents(x):
    def of_numbers(t):
        return ops.stack([t[i] ** i for i in range(5)]).sum()

    for f in (lambda t: (t ** np.arange(5.0)).sum(), of_numbers):
        first, second = slope(f)(np.full(5, x)).data, hessian(f)(np.full(5, x)).data
        np.testing.assert_allclose(first, [0, 1, 2 * x, 3 * x**2, 4 * x**3])
        np.testing.assert_allclose(second, np.diag([0, 0, 2, 6 * x, 12 * x**2]))


@pytest.mark.parametrize(
    "base, right",
    [
        (0, [(1.5, 0, 0, 0), (0.0, 1, 0, ANY), (-1.0, INF, -INF, ANY)]),
        (-2.0, [(2.0, 4, ANY, ANY)]),
        (2.0, [(0.0, 1, math.log(2), math.log(2) ** 2)]),
    ],
)
def test_a_fixed_base(base, right):
    for x, *expected in right:
        t = Tensor(np.array(x), requires_grad=True)
        y = base**t
        (first,) = grad(y, t, create_graph=True)
        (second,) = grad(first, t)
        for found, value in zip((y, first, second), expected, strict=True):
            assert_is(found.item(), value)
