"""The rules that check_grad tests: nothing changes in place, layouts, types, shapes, exceptions."""

import numpy as np
import pytest

from autograd import Op, Tensor, check_grad, ops
from autograd.debug import detect_anomaly
from autograd.testing.report import GradCheckError


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
    """Reads the elements in memory order."""

    def forward(self, xp, x):
        return xp.sin(x).ravel(order="K").reshape(x.shape)


@pytest.mark.parametrize(
    "op, fault",
    [
        (ChangesInput, "f changes its input 0 in place"),
        (
            ChangesUpstream,
            "the backward of ChangesUpstream changes the incoming gradient in place",
        ),
        (
            ChangesSaved,
            "the backward of ChangesSaved changes a value saved for backward in place",
        ),
        (
            NotFresh,
            "NotFresh sets fresh_gradients = True, but the gradient for input 0 shares memory with "
            "g or a saved array, which the engine would overwrite",
        ),
        (
            NewMask,
            "running backward twice gives different gradients: it modifies a saved array or draws "
            "random numbers",
        ),
        (
            OnTheClass,
            "another call of f before backward changes the gradient of the first: a value was kept "
            "outside the node (on the class, or in a shared buffer) and overwritten",
        ),
        (
            ReadsMemory,
            "f gives different results for Fortran-ordered inputs: its output differs",
        ),
    ],
)
def test_a_broken_rule_is_named(op, fault):
    report = check(op, data(3, 4))
    assert not report and fault in report.faults
    assert f"fault: {fault}" in str(report)
    assert check(Sine, data(3, 4)).faults == []


@pytest.mark.parametrize(
    "shapes, gradient, words",
    [
        (((3, 4), (4,)), lambda g: g, "looks like the sum over axis 0 is missing"),
        (((3, 4), (3, 1)), lambda g: g, "looks like the sum over axis 1 is missing"),
        (((2, 3, 4), (4,)), lambda g: g, "looks like the sum over axes 0, 1 is missing"),
        (((3, 4), (3, 4)), lambda g: g.T, "looks like a transpose is missing"),
        (((3, 4), (3, 4)), lambda g: g.sum(0), "looks like an extra sum over axis 0"),
    ],
)
def test_a_gradient_of_the_wrong_shape_is_explained(shapes, gradient, words):
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
        f"{words}"
    ]
    assert report.checks == [] and "gradient check failed: 1 fault" in str(report)


def test_a_backward_that_raises_is_reported():
    class Raises(Sine):
        def backward(self, xp, g, x):
            raise ZeroDivisionError("one too many")

    report = check(Raises, data(3))
    (fault,) = report.faults
    assert fault.startswith(
        "order 1: the backward of Raises raises ZeroDivisionError: one too many"
    )
    assert fault.endswith(': raise ZeroDivisionError("one too many"))')
    with pytest.raises(GradCheckError, match="the backward of Raises"):
        check_grad(lambda x: Raises()(x), data(3))


class Root(Op):
    """y = sqrt(x), with NumPy's functions in backward in place of xp's."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.sqrt(x)

    def backward(self, xp, g, x):
        return g / (2 * np.sqrt(x))


class Chosen(Root):
    def forward(self, xp, x):
        return xp.maximum(x, 0)

    def backward(self, xp, g, x):
        return np.where(x > 0, g, 0 * g)


class CubeRoot(Root):
    def forward(self, xp, x):
        return np.cbrt(x)

    def backward(self, xp, g, x):
        return g / (3 * np.cbrt(x) ** 2)


class Broken(Root):
    def backward(self, xp, g, x):
        return g / (2 * xp.sqrt(x)) if isinstance(x, np.ndarray) else {}["slope"]


@pytest.mark.parametrize(
    "op, error, advice",
    [
        (Root, TypeError, "Write xp.sqrt in place of np.sqrt: backward receives Tensors"),
        (Chosen, TypeError, "Write xp.where in place of np.where: backward receives Tensors"),
        (CubeRoot, TypeError, "Use only functions that xp has (there is no xp.cbrt): "),
        (
            Broken,
            KeyError,
            "the backward of Broken raises KeyError: 'slope' (test_check_grad_rules",
        ),
    ],
)
def test_an_exception_of_backward_at_order_2_is_explained(op, error, advice):
    report = check(op, np.array([1.0, 2.0]))
    assert not report and {c.order for c in report.checks} == {1} and report.failures == []
    (fault,) = report.faults
    assert fault.startswith(f"order 2: the backward of {op.__name__} raises {error.__name__}: ")
    assert advice in fault
    with pytest.raises(GradCheckError, match="order 2: the backward of") as raised:
        check_grad(lambda x: op()(x), np.array([1.0, 2.0]))
    assert isinstance(raised.value.__cause__, error)
    assert check(op, np.array([1.0, 2.0]), order=1)


def test_an_exception_of_f_is_reported():
    report = check_grad(lambda x: np.sin(x), np.ones(2), raise_on_failure=False)
    assert not report and "f raises TypeError: np.sin" in str(report)
    assert "(test_check_grad_rules.py:" in str(report)

    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_grad(interrupted, np.ones(2))


def test_a_change_of_type_is_a_warning():
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


def test_an_op_can_be_checked_directly():
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


def test_a_refused_layout_is_only_a_warning():
    class Picky(Sine):
        def forward(self, xp, x):
            if isinstance(x, np.ndarray) and not x.flags.c_contiguous:
                raise ValueError("only C-contiguous arrays")
            return xp.sin(x)

    report = check(Picky, data(3, 4))
    assert report and "f fails on strided inputs: ValueError: only C-contig" in str(report)


def test_a_check_works_in_anomaly_mode():
    with detect_anomaly():  # needs every contribution unchanged, so nothing works in place
        assert check_grad(lambda x: ops.gelu(x * 2.0) + x, np.linspace(-2.0, 2.0, 5)).passed


def test_a_backward_that_changes_the_incoming_gradient_is_not_measured():
    """The incoming gradient belongs to the check, so nothing could be measured after a change."""

    class Tanh(Op):
        save_output = True

        def forward(self, xp, x):
            return xp.tanh(x)

        def backward(self, xp, g, y):
            g *= 1 - y * y
            return g

    report = check_grad(lambda x: Tanh()(x), np.linspace(-2, 2, 5), raise_on_failure=False)
    assert report.faults == ["the backward of Tanh changes the incoming gradient in place"]
    assert not report.checks and not report.kinks and not report.diagnoses and not report.passed
