"""The checker is checked: right gradients pass, and every planted bug is caught and located."""

import numpy as np
import pytest

from autograd import Op, Tensor, check_grad, ops
from autograd.testing.report import GradCheckError


def data(*shape, seed=4):
    return np.random.default_rng(seed).standard_normal(shape)


class Sine(Op):
    """A right operation; the bugs below are subclasses that differ in backward."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.sin(x)

    def backward(self, xp, g, x):
        return g * xp.cos(x)


class OffByAThousandth(Sine):
    def backward(self, xp, g, x):
        return 1.001 * g * xp.cos(x)


class WrongSign(Sine):
    def backward(self, xp, g, x):
        return -g * xp.cos(x)


class IgnoresUpstream(Sine):
    def backward(self, xp, g, x):
        return xp.cos(x)


class OneWrongElement(Sine):
    def backward(self, xp, g, x):
        mask = np.zeros(x.shape)
        mask.flat[5] = 1e-3
        return g * xp.cos(x) + mask


class ConstantInBackward(Sine):
    """The first order is right; the cosine is a constant, so the second derivative lacks a term."""

    def backward(self, xp, g, x):
        return g * np.cos(x.data if isinstance(x, Tensor) else x)


class Scaled(Op):
    """y = x / |x|, whose gradient is orthogonal to x."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return x / xp.sqrt(xp.sum(x * x))


class ScaledWithoutSecondTerm(Scaled):
    def backward(self, xp, g, x):
        return g / xp.sqrt(xp.sum(x * x))


class StaleCache(Op):
    """Caches a mean and treats it as a constant in the second derivative."""

    save_inputs = (0,)

    def forward(self, xp, x):
        self.mean = xp.mean(x)  # should be self.cache
        return x * self.mean

    def backward(self, xp, g, x):
        return g * self.mean + xp.sum(g * x) / x.size


class NoUnbroadcast(Op):
    """Multiplies by a broadcast vector, but returns only the first row's gradient."""

    save_inputs = (0, 1)

    def forward(self, xp, x, w):
        return x * w

    def backward(self, xp, g, x, w):
        return g * w, (g * x)[0]


class MeanWithoutN(Op):
    def forward(self, xp, x):
        return xp.mean(x, axis=0)

    def backward(self, xp, g):
        return xp.broadcast_to(g, self.inputs[0].shape)


def test_a_right_gradient_passes():
    report = check_grad(lambda x: Sine()(x), data(3, 4))
    assert report and report.passed
    assert "passed" in str(report) and report.max_error(1) < 1e-9 and report.max_error(2) < 1e-9


@pytest.mark.parametrize(
    "op, order",
    [
        (OffByAThousandth, 1),
        (WrongSign, 1),
        (IgnoresUpstream, 1),
        (OneWrongElement, 1),
        (MeanWithoutN, 1),
        (ScaledWithoutSecondTerm, 1),
        (ConstantInBackward, 2),
        (StaleCache, 2),
    ],
)
@pytest.mark.parametrize("elementwise", [None, False, True])
def test_planted_bugs_are_caught(op, order, elementwise):
    report = check_grad(
        lambda x: op()(x), data(3, 4), elementwise=elementwise, raise_on_failure=False
    )
    assert not report
    assert {c.order for c in report.failures} == {order}
    with pytest.raises(GradCheckError, match=f"order {order}, input 0"):
        check_grad(lambda x: op()(x), data(3, 4), elementwise=elementwise)


def test_the_wrong_input_is_named():
    report = check_grad(
        lambda x, w: NoUnbroadcast()(x, w), data(3, 4), data(4, seed=5), raise_on_failure=False
    )
    assert {c.input for c in report.failures} == {"input 1"}


def test_the_wrong_element_is_named():
    report = check_grad(lambda x: OneWrongElement()(x), data(3, 4), raise_on_failure=False)
    located = [c for c in report.failures if c.where is not None]
    assert [(c.where, c.wrong, c.size) for c in located] == [((1, 1), 1, 12)]
    assert "at element (1, 1)" in str(report)


def test_a_large_input_is_searched_only_when_it_fails():
    passed = check_grad(Sine(), data(20, 20), order=1)
    assert {c.kind for c in passed.checks} == {"direction"}
    failed = check_grad(lambda x: OneWrongElement()(x), data(20, 20), raise_on_failure=False)
    assert any(c.where == (0, 5) for c in failed.failures)


def test_a_tiny_gradient_that_is_half_wrong_is_caught():
    class Half(Sine):
        def backward(self, xp, g, x):
            return 0.5 * g * xp.cos(x)

    with pytest.raises(GradCheckError):
        check_grad(lambda x: 1e-8 * Half()(x) + 1.0, data(3, 4))


def test_a_gradient_of_zero_is_compared_with_the_noise():
    # softmax does not see a shift common to all its inputs: the gradient is exactly 0
    x = data(3, 4)
    check_grad(lambda b: ops.softmax(b + x), data(3, 1))

    class Leaks(Op):
        def forward(self, xp, x):
            return x

        def backward(self, xp, g):
            return g + 1e-6

    with pytest.raises(GradCheckError):
        check_grad(lambda b: ops.softmax(Leaks()(b) + x), data(3, 1))


def test_data_and_directions_have_different_seeds():
    # along its own input a scale-invariant function does not change, whatever its gradient says
    for seed in range(5):
        x = np.random.default_rng(seed).standard_normal((3, 4))
        with pytest.raises(GradCheckError):
            check_grad(lambda x: ScaledWithoutSecondTerm()(x), x, seed=seed, elementwise=False)


def test_an_output_of_any_shape_and_several_inputs():
    check_grad(lambda x, y: ops.exp(x) @ y, data(2, 3), data(3, 2, seed=6))
    check_grad(lambda x: x.sum(), data(3))
    check_grad(lambda x: x * 2.0, np.array(0.3))


def test_float32_inputs_are_checked_in_float64():
    check_grad(Sine(), data(3).astype(np.float32))


def test_integer_inputs_are_passed_on():
    check_grad(lambda w, ids: w[ids] * 2.0, data(4, 2), np.array([1, 1, 3]))
    with pytest.raises(GradCheckError, match="nothing to differentiate"):
        check_grad(lambda ids: ids, np.array([1]))


def test_poles_and_kinks_nearby_do_not_fail_a_right_gradient():
    check_grad(ops.log, np.array([0.003, 1.0]))
    check_grad(ops.abs, np.array([2e-4, -1.0, 0.5]))


def test_a_check_that_is_impossible_says_why():
    rng = np.random.default_rng(0)
    with pytest.raises(GradCheckError, match="not deterministic"):
        check_grad(lambda x: ops.dropout(x, 0.5, rng=rng), data(20))
    with pytest.raises(GradCheckError, match="returns NaN or infinity"), np.errstate(all="ignore"):
        check_grad(ops.log, np.array([-1.0]))
    with pytest.raises(GradCheckError, match="expected one Tensor"):
        check_grad(lambda x: x.data, data(3))
    with pytest.raises(GradCheckError, match="does not depend"):
        check_grad(lambda x: x.detach() * 1.0, data(3))
    with pytest.raises(GradCheckError, match="into float32"):
        check_grad(lambda x: x.astype(np.float32), data(3))
    with pytest.raises(ValueError, match="order is 3"):
        check_grad(Sine(), data(3), order=3)


def test_inputs_stay_as_they_were():
    x = data(3)
    before = x.copy()
    check_grad(Sine(), x)
    np.testing.assert_array_equal(x, before)
