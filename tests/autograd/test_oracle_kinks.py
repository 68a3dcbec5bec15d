"""What every function does at kinks, ties, infinities and NaN: PyTorch's answer, or one that the
docstring gives instead and that is listed here."""

import itertools
import math

import numpy as np
import pytest

from autograd import Tensor, grad, ops

torch = pytest.importorskip("torch", reason="compares kinks and infinities with PyTorch")
F = torch.nn.functional
INF, NAN = math.inf, math.nan
SPECIAL = [-INF, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, INF, NAN]


@pytest.fixture(autouse=True)
def quiet():
    """NumPy warns of infinities in a formula; here they are intended."""
    with np.errstate(all="ignore"):
        yield


def both(ours, theirs, *arrays):
    """Output and gradients for a gradient of ones, of this engine and of PyTorch."""
    xs = [Tensor(np.array(a), requires_grad=True) for a in arrays]
    ts = [torch.tensor(np.array(a), requires_grad=True) for a in arrays]
    y, expected = ours(*xs), theirs(*ts)
    found = [y.data, *(g.data for g in grad(y, xs, np.ones(y.shape)))]
    right = torch.autograd.grad(expected, ts, torch.ones_like(expected))
    return found, [expected.detach().numpy(), *(g.numpy() for g in right)]


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)  # NaN equals NaN


UNARY = (
    "abs exp expm1 square negative sin cos arctan sinh cosh tanh sigmoid erf relu silu gelu log "
    "log2 sqrt reciprocal log1p tan arcsin arccos log10 exp2 arcsinh arccosh arctanh nan_to_num"
).split()
OTHERWISE = {
    "abs": {NAN: (NAN, NAN)},
    "silu": {-INF: (0, 0), INF: (INF, 1)},
    "gelu": {-INF: (0, 0), INF: (INF, 1)},
    "arccosh": {-INF: (NAN, NAN), -2.0: (NAN, NAN), -1.0: (NAN, NAN)},
}
"""Where we differ from PyTorch: x -> (y, dy/dx). Limits instead of NaN, and NaN instead of 0."""


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_number(name):
    theirs = getattr(torch, name, None) or getattr(F, name)
    for x in SPECIAL:
        found, expected = both(getattr(ops, name), theirs, x)
        for special, answer in OTHERWISE.get(name, {}).items():
            if x == special or (math.isnan(x) and math.isnan(special)):
                expected = answer
        assert_same(found, expected)


@pytest.mark.parametrize("name", OTHERWISE)
def test_the_exceptions_are_exceptions(name):
    theirs = getattr(torch, name, None) or getattr(F, name)
    for x, answer in OTHERWISE[name].items():
        _, expected = both(getattr(ops, name), theirs, x)
        assert not np.array_equal(np.array(expected), np.array(answer), equal_nan=True)


BINARY = {
    "add": torch.add, "subtract": torch.subtract, "multiply": torch.multiply,
    "divide": torch.divide, "maximum": torch.maximum, "minimum": torch.minimum,
    "arctan2": torch.arctan2, "power": torch.pow, "logaddexp": torch.logaddexp,
    "hypot": torch.hypot, "fmax": torch.fmax, "fmin": torch.fmin, "remainder": torch.remainder,
}  # fmt: skip


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_numbers(name):
    for a, b in itertools.product(SPECIAL, SPECIAL):
        found, expected = both(getattr(ops, name), BINARY[name], [a], [b])
        if name == "logaddexp" and a == b and math.isinf(a):
            expected = ([a], [0.5], [0.5])  # they share the gradient, PyTorch gives NaN
        if name in ("fmax", "fmin") and (a == b or math.isnan(a) and math.isnan(b)):
            expected = (expected[0], [0.5], [0.5])  # as in maximum, PyTorch gives it to the first
        if name == "hypot" and a == b == 0:
            expected = ([0], [0], [0])  # PyTorch gives NaN
        assert_same(found, expected)


def test_clip_passes_the_gradient_at_its_bounds():
    assert_same(*both(lambda x: ops.clip(x, -1, 1), lambda x: torch.clamp(x, -1, 1), SPECIAL))
    xs = [Tensor(np.array(v), requires_grad=True) for v in (0.5, 2.0, 1.0)]  # low > high
    y = ops.clip(*xs)
    assert y.item() == 1.0 and [g.item() for g in grad(y, xs)] == [0, 0, 1]


TIES = [[1.0, 3.0, 3.0, 2.0], [0.0, 0.0, -0.0, 0.0], [1.0, NAN, 3.0, NAN], [INF, 1.0, INF, -INF]]


@pytest.mark.parametrize("name", ["max", "min"])
def test_ties_share_the_gradient_equally(name):
    def theirs(x):
        return getattr(torch, f"a{name}")(x, dim=-1)

    assert_same(*both(lambda x: getattr(ops, name)(x, axis=-1), theirs, TIES))
    found, _ = both(ops.max, torch.amax, TIES[0])
    np.testing.assert_array_equal(found[1], [0, 0.5, 0.5, 0])


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_exponential_sums_of_infinities(name):
    for row in [*TIES, [-INF, 1.0, 2.0, -INF]]:
        found, expected = both(
            lambda x: getattr(ops, name)(x, -1), lambda x: getattr(torch, name)(x, -1), row
        )
        if name == "log_softmax" and INF in row:  # theirs is NaN all along the row
            expected = ([NAN, -INF, NAN, -INF], [NAN, 1, NAN, 1])
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)
    if name == "logsumexp":  # of nothing
        found, expected = both(lambda x: ops.logsumexp(x), lambda x: x.logsumexp(0), [-INF, -INF])
        assert found[0] == expected[0] == -INF
        assert not found[1].any() and np.isnan(expected[1]).all()


ZEROS = [[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [-1.0, 2.0, 0.0], [1.0, NAN, 0.0]]


@pytest.mark.parametrize("row", ZEROS)
def test_products_with_zeros(row):
    assert_same(*both(ops.prod, torch.prod, row))
    if not np.isnan(row).any():  # theirs spreads one NaN over the whole row
        assert_same(*both(lambda x: ops.cumprod(x, 0), lambda x: torch.cumprod(x, 0), row))


@pytest.mark.parametrize("row", ZEROS[:-1])
@pytest.mark.parametrize("name", ["prod", "cumprod"])
def test_second_derivatives_of_products_with_zeros(name, row):
    x, v = np.array(row), [1.0, -2.0, 0.5]
    outside = np.array([1.0, 3.0, -1.0]) if name == "cumprod" else np.array(1.0)
    t = torch.tensor(x, requires_grad=True)
    prefixes = [t[0], t[0] * t[1], t[0] * t[1] * t[2]]  # spelled out: products of two are safe
    theirs = torch.stack(prefixes) if name == "cumprod" else prefixes[2]
    (expected,) = torch.autograd.grad(theirs, t, torch.tensor(outside), create_graph=True)
    x = Tensor(x, requires_grad=True)
    y = ops.prod(x) if name == "prod" else ops.cumprod(x, 0)
    (first,) = grad(y, x, outside, create_graph=True)
    (second,) = grad(first, x, np.array(v), create_graph=True)
    (third,) = grad(second, x, np.array(v))
    (right,) = torch.autograd.grad(expected, t, torch.tensor(v).double(), create_graph=True)
    (last,) = torch.autograd.grad(right, t, torch.tensor(v).double())
    found = [first.data, second.data, third.data]
    assert_same(found, [a.detach().numpy() for a in (expected, right, last)])


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_standard_deviation_of_zero_has_gradient_zero(value):
    row = [value] * 4
    found, expected = both(ops.std, lambda x: torch.std(x, correction=0), row)
    assert_same(found, expected)
    np.testing.assert_array_equal(found[1], np.zeros(4))
    found, _ = both(ops.std, lambda x: torch.std(x, correction=0), [value])
    np.testing.assert_array_equal(found[1], [0])  # of one number, where theirs warns


@pytest.mark.parametrize("ord", [None, 2, 1, 3, INF, -INF])
def test_a_norm_of_zero_has_gradient_zero(ord):
    zeros = np.zeros((2, 3))
    found, expected = both(
        lambda x: ops.linalg.norm(x, ord, -1), lambda x: torch.linalg.norm(x, ord, -1), zeros
    )
    assert_same(found, expected)
    np.testing.assert_array_equal(found[1], zeros)
    xs = Tensor(zeros, requires_grad=True)
    (first,) = grad(ops.linalg.norm(xs), xs, create_graph=True)
    assert first.shape == (2, 3) and not first.data.any()


@pytest.mark.parametrize("row", [[NAN, 1.0], [INF, 1.0], [-INF, INF]])
@pytest.mark.parametrize("name", ["sum", "mean", "var", "std", "cumsum", "linalg.norm", "sort"])
def test_reductions_of_infinities_and_nan(name, row):
    theirs = {
        "var": lambda x: torch.var(x, correction=0),
        "std": lambda x: torch.std(x, correction=0),
        "cumsum": lambda x: torch.cumsum(x, 0),
        "linalg.norm": torch.linalg.norm,
        "sort": lambda x: torch.sort(x, stable=True).values,
    }
    ours = ops.linalg.norm if name == "linalg.norm" else getattr(ops, name)
    assert_same(*both(ours, theirs.get(name) or getattr(torch, name), row))


def test_determinants_of_singular_matrices():
    rank = np.random.default_rng(0).standard_normal
    matrices = [np.zeros((3, 3)), np.ones((3, 3)), np.diag([1.0, 2.0, 0.0]), np.diag([1.0, 0, 0])]
    cofactors = [np.zeros((3, 3)), np.zeros((3, 3)), np.diag([0, 0, 2.0]), np.zeros((3, 3))]
    for a, expected in zip(matrices, cofactors, strict=True):
        x = Tensor(a, requires_grad=True)
        np.testing.assert_allclose(grad(ops.linalg.det(x), x)[0].data, expected, atol=1e-14)
    batch = np.stack([matrices[2], rank((3, 3))])
    x = Tensor(batch, requires_grad=True)
    (g,) = grad(ops.linalg.det(x), x, np.ones(2))
    np.testing.assert_allclose(g.data[0], cofactors[2], atol=1e-14)
    np.testing.assert_allclose(g.data[1], np.linalg.det(batch[1]) * np.linalg.inv(batch[1]).T)


def test_queries_that_may_see_no_key_give_zeros():
    q, k, v = np.random.default_rng(1).standard_normal((3, 4, 3))
    mask = np.tri(4, k=-1, dtype=bool)  # query 0 sees nothing
    for ours, theirs in [
        (mask, torch.tensor(mask)),
        (np.where(mask, 0, -INF), torch.tensor(np.where(mask, 0, -INF))),
    ]:
        found, expected = both(
            lambda q, k, v, m=ours: ops.scaled_dot_product_attention(q, k, v, m),
            lambda q, k, v, m=theirs: F.scaled_dot_product_attention(q, k, v, m),
            *(q, k, v),
        )
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
        assert not found[0][0].any() and not found[1][0].any()


def test_a_loss_without_targets_is_zero_where_theirs_is_nan():
    x, targets = Tensor(np.ones((2, 3)), requires_grad=True), np.array([-100, -100])
    loss = ops.cross_entropy(x, targets)
    assert loss.item() == 0 and not grad(loss, x)[0].data.any()
    assert torch.isnan(F.cross_entropy(torch.ones(2, 3), torch.tensor(targets)))


@pytest.mark.parametrize("name", ops.discrete.STEPS)
def test_step_functions_are_constants(name):
    x = Tensor(np.array(SPECIAL), requires_grad=True)
    y = getattr(ops, name)(x)
    np.testing.assert_array_equal(y.data, getattr(np, name)(SPECIAL))
    assert not y.requires_grad
    with pytest.raises(RuntimeError, match="nothing to differentiate"):
        y.backward(np.ones(y.shape))
