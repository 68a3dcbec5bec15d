"""What check_grad says beside right and wrong: kinks, in-place changes, layouts, types, shapes."""

import numpy as np
import pytest

from autograd import Op, Tensor, check_grad, ops
from autograd._grad_report import GradCheckError
from autograd.debug import detect_anomaly


def data(*shape, seed=4):
    return np.random.default_rng(seed).standard_normal(shape)


def check(op, *arrays, **options):
    return check_grad(lambda *xs: op()(*xs), *arrays, raise_on_failure=False, **options)


class Sine(Op):
    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.sin(x)

    def backward(self, xp, g, x):
        return g * xp.cos(x)


# --- points without a derivative ------------------------------------------------------------------


def test_a_kink_is_reported_and_not_called_wrong():
    weight = 2.0
    report = check_grad(lambda x: ops.abs(x).sum() * weight, np.array([1.0, 0.0, -2.0]))
    (kink,) = report.kinks
    assert (kink.input, kink.where, kink.kind, kink.analytic) == ("input 0", (1,), "kink", 0.0)
    assert kink.left == pytest.approx(-kink.right) and abs(kink.left) > 0.01
    assert "note: f is not differentiable at input 0, element (1,): slope" in str(report)
    # the other elements and directions were checked, to second order
    assert {(c.order, c.kind) for c in report.checks} >= {(1, "element"), (2, "direction")}


@pytest.mark.parametrize(
    "f, arrays, where",
    [
        (ops.relu, [np.array([0.5, 0.0])], {("input 0", (1,))}),
        (lambda x: ops.max(x), [np.array([1.0, 3.0, 3.0])], {("input 0", (1,)), ("input 0", (2,))}),
        (ops.maximum, [np.array([1.0, 2.0])] * 2, None),
        (lambda x: ops.relu(x) ** 2, [np.array([0.0, 1.0])], {("input 0", (0,))}),
    ],
)
def test_kinks_of_ties_and_corners(f, arrays, where):
    report = check_grad(f, *arrays)
    found = {(k.input, k.where) for k in report.kinks}
    everywhere = {(f"input {i}", (k,)) for i in range(2) for k in range(2)}
    assert found == (where or everywhere)


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
    assert "not finite just to the left" in str(edge)
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
def test_a_kink_nearby_is_no_kink_here(distance):
    assert check_grad(ops.abs, np.array([distance, -1.0])).kinks == []


def test_strong_curvature_is_no_kink():
    assert check_grad(lambda x: ops.exp(30 * x), np.array([0.1, -0.2])).kinks == []
    assert check_grad(lambda x: ops.sin(x) * 1e6 + 1e9, np.array([0.1, 2.0])).kinks == []


# --- rules ----------------------------------------------------------------------------------------


class ChangesInput(Sine):
    def forward(self, xp, x):
        x += 1.0
        return xp.sin(x)


class ChangesUpstream(Sine):
    def backward(self, xp, g, x):
        g *= xp.cos(x)
        return g


class ChangesSaved(Sine):
    def backward(self, xp, g, x):
        y = g * xp.cos(x)
        x[...] = 0.0
        return y


class NotFresh(Op):
    fresh_gradients = True

    def forward(self, xp, x):
        return x * 1.0

    def backward(self, xp, g):
        return g


class NewMask(Op):
    def __init__(self):
        self.rng = np.random.default_rng(0)

    def forward(self, xp, x):
        return x * (self.rng.random(x.shape) > 0.5)

    def backward(self, xp, g):
        return g * (self.rng.random(g.shape) > 0.5)


class OnTheClass(Op):
    def forward(self, xp, x):
        OnTheClass.slope = xp.cos(x)
        return xp.sin(x)

    def backward(self, xp, g):
        return g * OnTheClass.slope


class ReadsMemory(Sine):
    """Takes the elements in the order in which they lie in memory."""

    def forward(self, xp, x):
        return xp.sin(x).ravel(order="K").reshape(x.shape)


@pytest.mark.parametrize(
    "op, fault",
    [
        (ChangesInput, "f changes its input 0 in place"),
        (
            ChangesUpstream,
            "the backward of ChangesUpstream changes the gradient that comes in in place",
        ),
        (
            ChangesSaved,
            "the backward of ChangesSaved changes a value saved for backward in place",
        ),
        (
            NotFresh,
            "NotFresh says fresh_gradients, but the gradient of its input 0 shares memory with "
            "what it was given: the engine would add into it",
        ),
        (
            NewMask,
            "a second backward through the same graph gives another gradient: backward changes "
            "what it keeps, or draws random numbers",
        ),
        (
            OnTheClass,
            "another call of f before backward changes the result of the first: something is kept "
            "outside the node (on the class, in a shared buffer) and was overwritten",
        ),
        (
            ReadsMemory,
            "f gives other results for Fortran-ordered inputs: its output differs",
        ),
    ],
)
def test_a_broken_rule_is_named(op, fault):
    report = check(op, data(3, 4))
    assert not report and fault in report.faults
    assert f"fault: {fault}" in str(report)
    assert check(Sine, data(3, 4)).faults == []


@pytest.mark.parametrize(
    "shapes, gradient, told",
    [
        (((3, 4), (4,)), lambda g: g, "looks like the sum over axis 0 is missing"),
        (((3, 4), (3, 1)), lambda g: g, "looks like the sum over axis 1 is missing"),
        (((2, 3, 4), (4,)), lambda g: g, "looks like the sum over axes 0, 1 is missing"),
        (((3, 4), (3, 4)), lambda g: g.T, "looks like a transpose is missing"),
        (((3, 4), (3, 4)), lambda g: g.sum(0), "looks like one sum too many, over axis 0"),
    ],
)
def test_a_gradient_of_the_wrong_shape_is_explained(shapes, gradient, told):
    class Plus(Op):
        def forward(self, xp, a, b):
            return a + b

        def backward(self, xp, g):
            return g, gradient(g)

    a, b = (data(*s) for s in shapes)
    report = check(Plus, a, b)
    wrong = gradient(np.zeros(np.broadcast_shapes(*shapes))).shape
    assert report.faults == [
        f"Plus returns a gradient of shape {wrong} for its input 1, whose shape is {b.shape}: "
        f"{told}"
    ]
    assert report.checks == [] and "gradient check failed: 1 fault" in str(report)


def test_a_backward_that_raises_is_reported():
    class Raises(Sine):
        def backward(self, xp, g, x):
            raise ZeroDivisionError("one too many")

    report = check(Raises, data(3))
    assert report.faults == ["backward raises ZeroDivisionError: one too many"]


def test_types_that_change_on_the_way_are_warned_of():
    class Promotes(Sine):
        def forward(self, xp, x):
            return xp.sin(x) * np.float64(1.0)

    class PromotesGradient(Sine):
        def backward(self, xp, g, x):
            return g * xp.cos(x) * np.ones(x.shape)

    report = check(Promotes, data(3))
    assert report and report.warnings == ["Promotes turns float32 inputs into float64"]
    assert "warning: Promotes turns float32" in str(report)
    report = check(PromotesGradient, data(3))
    assert report and report.warnings == [
        "PromotesGradient returns a float64 gradient for its float32 input 0"
    ]
    assert check(Sine, data(3)).warnings == []


def test_an_op_may_be_given_itself():
    assert check_grad(Sine(), data(3))


def test_data_and_weights_have_different_seeds():
    # g.T @ a is the transpose of the right gradient, and equal to it if g happens to be a
    class Transposed(Op):
        save_inputs = (0, 1)

        def forward(self, xp, a, b):
            return a @ b

        def backward(self, xp, g, a, b):
            return g @ b.T, g.T @ a

    for seed in range(3):
        a = np.random.default_rng(seed).standard_normal((4, 4))
        assert not check(Transposed, a, Tensor(data(4, 4)), seed=seed)


def test_a_layout_that_is_refused_is_no_wrong_result():
    class Picky(Sine):
        def forward(self, xp, x):
            if isinstance(x, np.ndarray) and not x.flags.c_contiguous:
                raise ValueError("only C-contiguous arrays")
            return xp.sin(x)

    report = check(Picky, data(3, 4))
    assert report and "f fails on strided inputs: ValueError: only C-contig" in str(report)


def test_a_check_may_be_watched():
    with detect_anomaly():  # wants each contribution as it was: nothing is in place then
        assert check_grad(lambda x: ops.gelu(x * 2.0) + x, np.linspace(-2.0, 2.0, 5)).passed
