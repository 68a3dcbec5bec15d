"""Values and both derivatives over all scales of a type, against 100 digits of mpmath.

Whatever is representable and moderate must come out: no intermediate square may overflow to
infinity, no difference vanish, no saturated value take its derivative with it.
"""

import itertools

import numpy as np
import pytest

from autograd import Tensor, grad, ops

mp = pytest.importorskip("mpmath", reason="values at extreme scales are computed with mpmath")


@pytest.fixture(autouse=True)
def many_digits():
    with mp.workprec(2400), np.errstate(all="ignore"):  # exp(-1e300) is 0, and NumPy says so
        yield


def softplus2(x):
    return 1 / (2 + mp.exp(-x) + mp.exp(x))


UNARY = {
    "exp": (mp.exp, mp.exp, mp.exp),
    "exp2": (
        lambda x: mp.mpf(2) ** x,
        lambda x: mp.mpf(2) ** x * mp.ln2,
        lambda x: mp.mpf(2) ** x * mp.ln2**2,
    ),
    "expm1": (mp.expm1, mp.exp, mp.exp),
    "log": (mp.log, lambda x: 1 / x, lambda x: -1 / x**2),
    "log2": (
        lambda x: mp.log(x) / mp.ln2,
        lambda x: 1 / (x * mp.ln2),
        lambda x: -1 / (x**2 * mp.ln2),
    ),
    "log10": (mp.log10, lambda x: 1 / (x * mp.ln10), lambda x: -1 / (x**2 * mp.ln10)),
    "log1p": (mp.log1p, lambda x: 1 / (1 + x), lambda x: -1 / (1 + x) ** 2),
    "tanh": (mp.tanh, lambda x: mp.sech(x) ** 2, lambda x: -2 * mp.tanh(x) * mp.sech(x) ** 2),
    "sigmoid": (
        lambda x: 1 / (1 + mp.exp(-x)),
        softplus2,
        lambda x: -mp.tanh(x / 2) * softplus2(x),
    ),
    "softplus": (lambda x: mp.log1p(mp.exp(x)), lambda x: 1 / (1 + mp.exp(-x)), softplus2),
    "silu": (
        lambda x: x / (1 + mp.exp(-x)),
        lambda x: 1 / (1 + mp.exp(-x)) + x * softplus2(x),
        lambda x: (2 - x * mp.tanh(x / 2)) * softplus2(x),
    ),
    "tan": (mp.tan, lambda x: mp.sec(x) ** 2, lambda x: 2 * mp.tan(x) * mp.sec(x) ** 2),
    "arcsin": (mp.asin, lambda x: (1 - x * x) ** -0.5, lambda x: x * (1 - x * x) ** -1.5),
    "arccos": (mp.acos, lambda x: -((1 - x * x) ** -0.5), lambda x: -x * (1 - x * x) ** -1.5),
    "arctan": (mp.atan, lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
    "sinh": (mp.sinh, mp.cosh, mp.sinh),
    "cosh": (mp.cosh, mp.sinh, mp.cosh),
    "arcsinh": (mp.asinh, lambda x: (x * x + 1) ** -0.5, lambda x: -x * (x * x + 1) ** -1.5),
    "arccosh": (mp.acosh, lambda x: (x * x - 1) ** -0.5, lambda x: -x * (x * x - 1) ** -1.5),
    "arctanh": (mp.atanh, lambda x: 1 / (1 - x * x), lambda x: 2 * x / (1 - x * x) ** 2),
    "sqrt": (mp.sqrt, lambda x: 1 / (2 * mp.sqrt(x)), lambda x: -1 / (4 * x * mp.sqrt(x))),
    "square": (lambda x: x * x, lambda x: 2 * x, lambda x: mp.mpf(2)),
    "reciprocal": (lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3),
    "erf": (
        mp.erf,
        lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-x * x),
        lambda x: -4 * x / mp.sqrt(mp.pi) * mp.exp(-x * x),
    ),
}


def points(name, dtype):
    """Numbers of both signs from the smallest to the largest, and points where functions turn."""
    top = 300 if dtype == np.float64 else 37
    x = 10.0 ** np.array([-top, -top // 2, -20, -10, -8, -4, -2, -1, 0, 1, 2, 4, 8, 20, top // 2])
    x = np.concatenate([x, [10.0**top, 0.5, 5, 20, 30, 40, 87, 300, 700, 709, np.pi / 2]])
    x = np.concatenate([x, 1 - 2.0 ** -np.arange(3.0, 54, 10), -x])
    x = np.unique(x.astype(dtype))
    low, high = {
        "log": (0, np.inf), "log2": (0, np.inf), "log10": (0, np.inf), "sqrt": (0, np.inf),
        "log1p": (-1, np.inf), "arccosh": (1, np.inf), "arcsin": (-1, 1), "arccos": (-1, 1),
        "arctanh": (-1, 1), "tan": (-1000, 1000),
    }.get(name, (-np.inf, np.inf))  # fmt: skip
    return x[(x > low) & (x < high)]


def moderate(value, dtype):
    """Whether ``value`` is far from the ends of the type's range."""
    limit = mp.mpf(10) ** (100 if dtype == np.float64 else 15)
    return 1 / limit < abs(value) < limit


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_number(name, dtype):
    xs = points(name, dtype)
    x = Tensor(xs, requires_grad=True)
    y = getattr(ops, name)(x)
    (first,) = grad(y, x, np.ones_like(xs), create_graph=True)
    (second,) = grad(first, x, np.ones_like(xs))
    compared = 0
    for found, right in zip((y, first, second), UNARY[name], strict=True):
        for at, value in zip(xs, found.data, strict=True):
            true = right(mp.mpf(float(at)))
            if moderate(true, dtype):
                compared += 1
                assert np.isfinite(value), (at, value, true)
                error = abs(mp.mpf(float(value)) - true) / abs(true)
                assert error < 1000 * np.finfo(dtype).eps, (at, value, mp.nstr(true))
    assert compared > 20


def of_two(f):
    return lambda a, b: f(ops.stack([a, b]))


BINARY = {
    "divide": (
        ops.divide,
        lambda a, b: a / b,
        lambda a, b: (1 / b, -a / b**2),
        lambda a, b: (0, -1 / b**2, 2 * a / b**3),
    ),
    "arctan2": (
        ops.arctan2,
        mp.atan2,
        lambda a, b: (b / (a * a + b * b), -a / (a * a + b * b)),
        lambda a, b: (
            -2 * a * b / (a * a + b * b) ** 2,
            (a * a - b * b) / (a * a + b * b) ** 2,
            2 * a * b / (a * a + b * b) ** 2,
        ),
    ),
    "norm, p = 3": (
        of_two(lambda x: ops.linalg.norm(x, 3)),
        lambda a, b: (a**3 + b**3) ** (mp.mpf(1) / 3),
        lambda a, b: tuple(x * x * (a**3 + b**3) ** (-mp.mpf(2) / 3) for x in (a, b)),
        None,
    ),
    "norm, p = -1": (
        of_two(lambda x: ops.linalg.norm(x, -1)),
        lambda a, b: a * b / (a + b),
        lambda a, b: (b * b / (a + b) ** 2, a * a / (a + b) ** 2),
        None,
    ),
    "std": (
        of_two(ops.std),
        lambda a, b: abs(a - b) / 2,
        lambda a, b: (mp.sign(a - b) / 2, mp.sign(b - a) / 2),
        None,
    ),
    "logaddexp": (
        ops.logaddexp,
        lambda a, b: max(a, b) + mp.log1p(mp.exp(-abs(a - b))),
        lambda a, b: (1 / (1 + mp.exp(b - a)), 1 / (1 + mp.exp(a - b))),
        None,
    ),
}
for _name, _f in {"hypot": ops.hypot, "norm, p = 2": of_two(ops.linalg.norm)}.items():
    BINARY[_name] = (
        _f,
        mp.hypot,
        lambda a, b: (a / mp.hypot(a, b), b / mp.hypot(a, b)),
        lambda a, b: tuple(c / mp.hypot(a, b) ** 3 for c in (b * b, -a * b, a * a)),
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_numbers(name, dtype):
    call, value, slopes, curvatures = BINARY[name]
    top = 300 if dtype == np.float64 else 37
    scales = 10.0 ** np.array([-top, -top // 2, -8, 0, 8, top // 2, top])
    pairs = np.array(list(itertools.product(1.5 * scales, 1.25 * scales)), dtype)
    compared = 0
    for pair in pairs:
        xs = [Tensor(np.array(v), requires_grad=True) for v in pair]
        y = call(*xs)
        first = grad(y, xs, create_graph=True)
        a, b = (mp.mpf(float(v)) for v in pair)
        compare = [(1, [y.item()], [value(a, b)]), (1, [g.item() for g in first], slopes(a, b))]
        if curvatures:
            f_aa, f_ab, f_bb = curvatures(a, b)
            second = [h for g in first for h in derivatives(g, xs)]
            compare.append((2, second, [f_aa, f_ab, f_ab, f_bb]))
        for order, found, right in compare:
            largest = max(abs(t) for t in right)
            for n, t in zip(found, right, strict=True):
                size = largest if order == 2 else abs(t)  # of the curvatures the small may cancel
                if moderate(size, dtype):
                    compared += 1
                    assert np.isfinite(n), (order, pair, n, mp.nstr(t))
                    error = abs(mp.mpf(float(n)) - t) / size
                    assert error < 1000 * np.finfo(dtype).eps, (order, pair, n, mp.nstr(t))
    assert compared > 20


def derivatives(g, xs):
    """The derivatives of the number g; 0 if it is constant."""
    found = grad(g, xs, retain_graph=True, allow_unused=True) if g.requires_grad else (None, None)
    return [0.0 if h is None else h.item() for h in found]
