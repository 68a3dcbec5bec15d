"""check_grad at every scale: right gradients pass, wrong ones fail, or it says it cannot tell."""

import numpy as np
import pytest

from autograd import Op, Tensor, check_grad, grad, ops
from autograd.samples import SAMPLES

ERROR = 1e-4


class Off(Op):
    """y = x, with a gradient that is wrong by 1e-4: the planted bug."""

    def forward(self, xp, x):
        return x * 1.0

    def backward(self, xp, g):
        return g * (1 + ERROR)


class OffAtOrder2(Off):
    """The gradient of y = x is right; that of the gradient is wrong by 1e-4."""

    def backward(self, xp, g):
        return Off()(g) if isinstance(g, Tensor) else g * 1.0


def check(f, *arrays, **options):
    return check_grad(f, *arrays, raise_on_failure=False, **options)


def off(f, bug):
    return lambda *xs: f(*[bug()(x) for x in xs])


# --- every operation ------------------------------------------------------------------------------

LARGE, SMALL = "1e+12", "1e-12"
STEPS = "a step of 1 is 1e-12 of such a number: rounding covers it"
NOISE = "as causal_attention: of two sums that are only rounding, one may seem wrong"
NOT_MEASURED = {
    ("arccosh (of 1 + x)", SMALL): "1 + x rounds x to four digits",
    ("power", SMALL): "x^y is 1 but for 1e-12 log(x), and y x^(y - 1) is 1 for a pole as near",
    ("cos", SMALL): "1 - x^2 / 2 is 1: its slope of 1e-12 cannot be seen",
    ("cosh", SMALL): "1 + x^2 / 2 is 1: its slope of 1e-12 cannot be seen",
    ("arctan", LARGE): "pi / 2 - 1 / x is pi / 2: its slope of 1e-24 cannot be seen",
    ("grouped_query_attention", LARGE): NOISE,
    ("grouped_query_attention (documents and a window)", LARGE): NOISE,
    ("causal_attention", LARGE): "of products of 1e24 softmax's gradient is rounding noise alone",
    ("feed_forward (none)", LARGE): "the last bias is lost in an output of 1e48",
    ("feed_forward (tanh)", LARGE): "the last bias is lost in an output of 1e48",
    ("floor_divide (a factor)", LARGE): STEPS,
    **{(f"{op} (a factor)", LARGE): STEPS for op in ops.discrete.STEPS if op != "sign"},
}
"""Samples that cannot be measured at a scale, and why. The check must say so, too.

In addition to those without a finite value there, such as exp(1e12).
"""


def scaled(sample, scale):
    return [a * float(scale) for a in sample.inputs()]


def gradients(sample, arrays):
    xs = [Tensor(a, requires_grad=True) for a in arrays]
    y = sample.call(*xs)
    w = np.random.default_rng(5).standard_normal(y.shape)
    return [g.data for g in grad(y, xs, w)]


@pytest.mark.parametrize("scale", [SMALL, LARGE])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_a_right_gradient_passes_and_one_wrong_by_1e_4_fails(sample, scale):
    arrays = scaled(sample, scale)
    with np.errstate(all="ignore"):
        right = check(sample.call, *arrays)
        if not np.isfinite(sample.call(*map(Tensor, arrays)).data).all():
            assert not right and "f returns NaN or infinity here" in right.problem
            return
        if (sample.name, scale) in NOT_MEASURED:
            assert not right
            # that it cannot be measured is said; a gradient is not called wrong for it, but where
            # x^2 is nearer to x floor(x) than any step can tell, or where there is only rounding
            assert not right.failures or NOT_MEASURED[sample.name, scale] in (STEPS, NOISE)
            return
        assert right, str(right)
        if any(np.any(g) for g in gradients(sample, arrays)):  # 1e-4 of nothing is no bug
            assert not check(off(sample.call, Off), *arrays, order=1)


@pytest.mark.parametrize("sample", SAMPLES[::4], ids=lambda s: s.name)
def test_a_second_derivative_wrong_by_1e_4_fails_at_any_scale(sample):
    for scale in (SMALL, "1", LARGE):
        arrays = scaled(sample, scale)
        with np.errstate(all="ignore"):
            y = sample.call(*map(Tensor, arrays)).data
            if (sample.name, scale) in NOT_MEASURED or not np.isfinite(y).all():
                continue
            if any(np.any(g) for g in gradients(sample, arrays)):
                report = check(off(sample.call, OffAtOrder2), *arrays)
                assert {c.order for c in report.failures} == {2}, f"{scale}: {report}"


# --- scales of one input side by side -------------------------------------------------------------

MIXED = np.array([1e-12, -3e-8, 2e-3, -1.0, 4e5, -1e8, 7e11])


class OneSmallElementOff(Op):
    """y = x^2, with a gradient that is wrong by 1e-4 at the smallest of its elements."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return x * x

    def backward(self, xp, g, x):
        return 2 * g * x * xp.where(xp.abs(x) < 1e-11, 1 + ERROR, 1.0)


def test_a_small_element_is_compared_by_its_own_size():
    assert check(ops.square, MIXED)
    (elements, *_) = check(lambda x: OneSmallElementOff()(x), MIXED).failures
    assert (elements.where, elements.wrong) == ((0,), 1)


@pytest.mark.parametrize(
    "f",
    [ops.log, ops.sqrt, ops.reciprocal, ops.log2, lambda x: x**1.5],
    ids=["log", "sqrt", "reciprocal", "log2", "power"],
)
def test_poles_next_to_large_numbers(f):
    x = np.abs(MIXED)
    assert check(f, x)
    assert check(off(f, Off), x, order=1).failures[0].wrong == x.size


def test_a_slope_hidden_by_another_element_is_noted_and_not_called_wrong():
    report = check(ops.linalg.norm, np.array([1e-8, 1e8]))
    assert report and "backward says almost 0 for 1 of 2 elements" in str(report)


# --- near poles and edges -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f, x",
    [
        (ops.log, 1e-3),
        (ops.log, 1e-300),
        (ops.sqrt, 1e-4),
        (ops.sqrt, 1e-10),
        (ops.arccos, 1 - 1e-6),
        (ops.arcsin, 1e-9 - 1),
        (ops.log1p, 1e-9 - 1),
        (ops.tan, np.pi / 2 - 1e-5),
        (ops.reciprocal, -1e-7),
        (lambda x: ops.reciprocal(x - 1.0), 1 + 1e-8),
    ],
)
def test_a_pole_or_an_edge_nearby(f, x):
    assert check(f, np.array([x]), order=1)
    assert check(off(f, Off), np.array([x]), order=1).failures


class Raises(Op):
    """y = x^2 where x >= 0, otherwise an error."""

    save_inputs = (0,)
    slope = 2.0

    def forward(self, xp, x):
        if (x < 0).any():
            raise ValueError("x must not be negative")
        return x * x + x

    def backward(self, xp, g, x):
        return g * (self.slope * x + 1)


def test_at_the_edge_of_a_domain_one_side_is_measured():
    x = np.array([0.0, 1.0])
    assert check(lambda x: Raises()(x), x).kinks == []

    class Wrong(Raises):
        def backward(self, xp, g, x):
            return g * (2.0 * x + xp.where(x == 0, 1 + ERROR, 1.0))

    (elements, *_) = check(lambda x: Wrong()(x), x, order=1).failures
    assert elements.where == (0,)
    # no slope there: said
    edge = check(ops.arccos, np.array([1.0, 0.5]), order=1)
    assert edge and [k.kind for k in edge.kinks] == ["edge"]
    assert "f cannot be measured at input 0, element (0,): it is NaN or infinite just" in str(edge)


# --- what cannot be measured ----------------------------------------------------------------------


def test_a_check_that_measured_nothing_fails():
    periodic = check(ops.sin, np.array([1e17]))
    assert not periodic and periodic.checks == []
    assert "nothing could be measured of input 0: at every step," in str(periodic)
    assert check(ops.sin, np.array([1e12, -3e9]))  # neighbouring numbers are near enough
    assert not check(off(ops.sin, Off), np.array([1e12, -3e9]), order=1)

    some = check(ops.sin, np.array([1e17, 0.3]))
    assert some and "element (0,) could not be measured" in str(some)

    empty = check(lambda x: x.sum(), np.zeros((0, 3)))
    assert not empty and "there is nothing to measure" in str(empty)
    partly = check(lambda x, y: x.sum() + y, np.zeros((0, 3)), np.ones(2))
    assert partly and "input 0, of shape (0, 3), has no elements to move" in str(partly)

    fixed = check(ops.maximum, np.array([-np.inf, 2.0]), np.array([1.0, 1.0]), order=1)
    assert fixed and "input 0 has 1 element that cannot be moved" in str(fixed)


def noise(x, size):
    """Values that change wildly with the last digits of x. Shapes: x (N,) -> (N,)."""
    digits = np.frombuffer(np.sin(1e13 * x.data).tobytes(), np.uint64) % 1000
    return size * (digits / 1000.0 - 0.5)


def test_functions_with_noise():
    x = np.array([0.3, 1.4])
    assert check(lambda x: ops.sin(x) + noise(x, 1e-10), x, order=1)
    wrong = check(lambda x: ops.sin(Off()(x)) + noise(x, 1e-10), x, order=1)
    assert not wrong
    covered = check(lambda x: ops.sin(x) + noise(x, 1.0), x, order=1)
    assert not covered and not covered.failures and not covered.kinks


def test_functions_that_are_constant():
    assert check(lambda x: x * 0.0 + 3.0, np.array([1.0, 2.0]))

    class Leaks(Op):
        def forward(self, xp, x):
            return x * 0 + 3.0

        def backward(self, xp, g):
            return g * 1e-9

    report = check(lambda x: Leaks()(x), np.array([1.0, 2.0]))
    assert not report and "the function is flat here" in str(report)


def test_slopes_of_zero():
    for f in (ops.cos, lambda x: x**3, lambda x: ops.relu(x) ** 2):
        assert check(f, np.array([0.0]), order=1)

    class Leaks(Op):
        save_inputs = (0,)

        def forward(self, xp, x):
            return x * x * x

        def backward(self, xp, g, x):
            return g * (3 * x * x + 1e-9)

    assert not check(lambda x: Leaks()(x), np.array([0.0]), order=1)


@pytest.mark.parametrize("x", [np.float32(0.3), np.array(2e-7), np.float16(3.0)])
def test_single_numbers_and_short_types(x):
    assert check(ops.tanh, x) and check(off(ops.tanh, Off), x, order=1).failures


# --- rounding within f: small steps see nothing ---------------------------------------------------


class OneOff(Op):
    """y = x, but the gradient of a single element is doubled."""

    def forward(self, xp, x):
        return x * 1.0

    def backward(self, xp, g):
        return g * np.where(np.arange(g.size) == 3, 2.0, 1.0).reshape(g.shape)


@pytest.mark.parametrize("scale", [1e-3, 1e-2, 1.0])
@pytest.mark.parametrize(
    "f",
    [
        lambda x: ops.log(1 + x * x),
        lambda x: 1 - ops.cos(x),
        lambda x: (x + 1e6) - 1e6,
        lambda x: (x.astype(np.float32) * 3).astype(x.dtype),
    ],
    ids=["log(1 + x^2)", "1 - cos", "a large constant", "float32 within"],
)
def test_a_wrong_element_is_not_called_unmeasured_where_f_rounds_inside(f, scale):
    for seed in range(3):
        x = scale * np.random.default_rng(seed).uniform(0.5, 2, (3, 2))
        assert not check(off(f, OneOff), x, order=1)


def test_rounding_inside_f_is_not_a_wrong_gradient():
    for seed in range(20):
        x = 1e-5 * np.random.default_rng(seed).uniform(0.5, 2, (3, 2))
        assert not check(lambda x: ops.log(1 + x * x), x, order=1).failures


# --- rtol -----------------------------------------------------------------------------------------


class OnePartInAMillion(Op):
    def forward(self, xp, x):
        return x * 1.0

    def backward(self, xp, g):
        return g * (1 + 0.9e-6)


def test_a_gradient_wrong_by_one_part_in_a_million_passes_unless_rtol_is_smaller():
    x = np.random.default_rng(4).standard_normal((3, 4))
    wrong = off(ops.exp, OnePartInAMillion)
    assert check(wrong, x)
    report = check(wrong, x, rtol=1e-8)
    assert {c.order for c in report.failures} == {1}
    assert report.diagnoses[0].text == "your gradient is 1.000001 times the right one"
    assert check(ops.exp, x, rtol=1e-8)
