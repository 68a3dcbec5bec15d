"""check_grad at points without a derivative: kinks, jumps, unbounded slopes, edges of a domain."""

import numpy as np
import pytest

from autograd import Op, check_grad, ops
from autograd.testing import GradCheckError


def data(*shape, seed=4):
    return np.random.default_rng(seed).standard_normal(shape)


def check(op, *arrays, **options):
    return check_grad(lambda *xs: op()(*xs), *arrays, raise_on_failure=False, **options)


def test_a_kink_is_reported_and_not_called_wrong():
    report = check_grad(lambda x: ops.abs(x).sum() * 2.0, np.array([1.0, 0.0, -2.0]))
    (kink,) = report.kinks
    assert (kink.input, kink.where, kink.kind, kink.analytic) == ("input 0", (1,), "kink", 0.0)
    assert (kink.left, kink.right) == (pytest.approx(-2.0), pytest.approx(2.0))
    assert "6 checks, 1 kink, largest" in str(report)
    assert "note: f is not differentiable at input 0, element (1,): slope" in str(report)
    # the other elements and directions were checked, to second order
    assert {(c.order, c.kind) for c in report.checks} >= {(1, "element"), (2, "direction")}


@pytest.mark.parametrize(
    "f, arrays, where",
    [
        (ops.relu, [np.array([0.5, 0.0])], {("input 0", (1,))}),
        (lambda x: ops.max(x), [np.array([1.0, 3.0, 3.0])], {("input 0", (1,)), ("input 0", (2,))}),
        (
            ops.maximum,
            [np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 0.0])],
            {(f"input {i}", (k,)) for i in range(2) for k in range(2)},
        ),
        (lambda x: ops.relu(x) ** 2, [np.array([0.0, 1.0])], {("input 0", (0,))}),
    ],
)
def test_kinks_of_ties_and_corners(f, arrays, where):
    report = check_grad(f, *arrays)
    assert {(k.input, k.where) for k in report.kinks} == where


def test_the_slopes_are_those_of_one_output_not_of_the_weighted_sum():
    report = check_grad(lambda x: ops.relu(x * 3.0) + ops.exp(x[::-1]), np.array([0.0, 1.0]))
    (kink,) = report.kinks
    assert (kink.left, kink.right) == (pytest.approx(0, abs=1e-5), pytest.approx(3.0))
    assert kink.output == "output element (0,)" and kink.analytic == 0.0
    report = check_grad(lambda x: ops.relu(x) ** 2 * 5.0, np.array([0.0, 1.0]))
    (kink,) = report.kinks
    assert (kink.order, kink.where) == (2, (0,))
    assert (kink.left, kink.right) == (pytest.approx(0, abs=1e-5), pytest.approx(10.0))
    assert kink.output == "its derivative by input 0, element (0,), output element (0,)"


def test_an_input_with_only_kinks_fails_the_check():
    report = check_grad(ops.abs, np.zeros(2), raise_on_failure=False)
    assert not report and report.checks == [] and len(report.kinks) == 2
    assert "gradient check failed: 1 input not measured" in str(report)
    assert "nothing could be measured of input 0: f has no derivative at any" in str(report)
    assert not check_grad(ops.multiply, np.zeros(2), np.ones(2)).kinks
    report = check_grad(
        lambda a, b: ops.abs(a) + b, np.zeros(2), np.ones(2), raise_on_failure=False
    )
    assert not report and [s[:38] for s in report.unmeasured] == [
        "nothing could be measured of input 0: "
    ]


def test_the_kink_of_a_gradient_is_one_of_order_2():
    report = check_grad(lambda x: ops.relu(x) ** 2, np.array([0.0, 1.0, -1.0]))
    assert [(k.order, k.where) for k in report.kinks] == [(2, (0,))]
    assert "the gradient of f is not differentiable" in str(report)


def test_a_value_outside_the_slopes_is_wrong():
    class Relu(Op):
        save_inputs = (0,)

        def forward(self, xp, x):
            return xp.maximum(x, 0)

        def backward(self, xp, g, x):
            return xp.where(x > 0, g, xp.where(x < 0, 0, 3 * g))

    report = check(Relu, np.array([1.0, 0.0]))
    assert not report and report.failures == []
    assert "which is not between them" in str(report)
    with pytest.raises(GradCheckError, match="wrong: f is not differentiable"):
        check_grad(lambda x: Relu()(x), np.array([1.0, 0.0]))


class Step(Op):
    def forward(self, xp, x):
        return xp.where(x >= 0, 1.0, 0.0)

    def backward(self, xp, g):
        return g * 0


def test_jumps_unbounded_slopes_and_edges():
    jump = check(Step, np.array([0.0, 1.0]))
    assert jump and [(k.kind, k.where) for k in jump.kinks] == [("jump", (0,))]
    assert "it jumps there" in str(jump)
    with np.errstate(all="ignore"):
        edge = check_grad(ops.sqrt, np.array([0.0, 1.0]))
        steep = check_grad(lambda x: ops.sqrt(ops.abs(x)), np.array([0.0, 1.0]), order=1)
    assert edge and [(k.kind, k.where) for k in edge.kinks] == [("edge", (0,))]
    assert "NaN or infinite just left of this point" in str(edge) and "1 edge, largest" in str(edge)
    assert "order 2 is not checked" in str(edge)
    assert [(k.kind, k.where) for k in steep.kinks] == [("unbounded", (0,))]


def test_a_large_input_with_a_kink_passes_and_a_wrong_one_does_not():
    x = data(12, 12)
    x[3, 5] = 0.0

    class Abs(Op):
        save_inputs = (0,)
        slope = 1.0

        def forward(self, xp, x):
            return xp.abs(x)

        def backward(self, xp, g, x):
            return self.slope * g * xp.where(x >= 0, 1.0, -1.0)

    class Wrong(Abs):
        slope = 1.01

    report = check(Abs, x, order=1)
    assert report and [k.where for k in report.kinks] == [(3, 5)]
    report = check(Wrong, x, order=1)
    assert not report.passed
    assert [d.text for d in report.diagnoses] == ["your gradient is 1.01 times the right one"]


@pytest.mark.parametrize("distance", [5e-5, 2e-4, 9e-4])
def test_a_kink_nearby_is_not_a_kink_here(distance):
    assert check_grad(ops.abs, np.array([distance, -1.0])).kinks == []


def test_strong_curvature_is_not_a_kink():
    assert check_grad(lambda x: ops.exp(30 * x), np.array([0.1, -0.2])).kinks == []
    assert check_grad(lambda x: ops.sin(x) * 1e6 + 1e9, np.array([0.1, 2.0])).kinks == []
