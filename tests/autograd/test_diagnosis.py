"""Each planted mistake must get exactly its sentence; right gradients must get none."""

import numpy as np
import pytest

from autograd import Op, check_grad
from autograd.questions import see
from autograd.samples import SAMPLES
from autograd.testing.diagnosis import QUESTIONS, Case, diagnose

TRANSPOSE = see("Why is there a transpose in a matrix product's gradient?")
BROADCAST = see("Where does the sum in a broadcast's gradient come from?")
DOUBLE = see("How does double backward work?")


def data(*shape, seed=4):
    return np.random.default_rng(seed).standard_normal(shape)


class Exp(Op):
    """A right operation whose backward the mistakes replace. Shapes: x (...) -> (...)."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.exp(x) + xp.sin(x) * xp.mean(x)

    def right(self, xp, g, x):
        own = g * (xp.exp(x) + xp.cos(x) * xp.mean(x))
        return own + xp.broadcast_to(xp.sum(g * xp.sin(x)) / x.size, x.shape)

    def backward(self, xp, g, x):
        return self.right(xp, g, x)


def mistake(function):
    """Exp with ``function(right gradient, g, x, xp)`` for its gradient."""

    class Mistake(Exp):
        def backward(self, xp, g, x):
            return function(self.right(xp, g, x), g, x, xp)

    return Mistake


def with_one(shape, where, value):
    a = np.zeros(shape)
    a[where] = value
    return a


def along(*shape):
    """Random numbers that are the same along the axes where ``shape`` is 1."""
    return data(*shape, seed=8)


ELEMENTS = {
    "zero": (lambda r, g, x, xp: r * 0, "your gradient is zero everywhere"),
    "not finite": (
        lambda r, g, x, xp: r + with_one((3, 4), (1, 2), np.nan),
        "your gradient is nan at element (1, 2)",
    ),
    "not finite anywhere": (lambda r, g, x, xp: r * np.inf, "your gradient is not finite anywhere"),
    "ignores g": (
        lambda r, g, x, xp: xp.exp(x),
        "your backward does not multiply by g: it returns the same for g and 2 g",
    ),
    "g twice": (
        lambda r, g, x, xp: r * g,
        "your gradient is not linear in the incoming gradient g",
    ),
    "mask of g": (
        lambda r, g, x, xp: xp.where(g > 0, r, 0),
        "your gradient is not linear in the incoming gradient g",
    ),
    "sign": (lambda r, g, x, xp: -r, "your gradient has the wrong sign"),
    "twice": (lambda r, g, x, xp: 2 * r, "your gradient is 2.0 times the right one"),
    "a little more": (
        lambda r, g, x, xp: 1.0001 * r,
        "your gradient is 1.0001 times the right one",
    ),
    "mean without 1/N": (
        lambda r, g, x, xp: 4 * r,
        "your gradient is 4.0 times the right one, and 4 is the length of axis 1 of the input: "
        "looks like a mean without its 1/N",
    ),
    "divided by the size": (
        lambda r, g, x, xp: r / 12,
        "your gradient is 0.08333 times the right one, and that is 1 / the number of elements of "
        "the input: looks like a mean in place of a sum",
    ),
    "reversed": (
        lambda r, g, x, xp: xp.asarray(r[:, ::-1]),
        "your gradient is the right one reversed along axis 1",
    ),
    "shifted": (
        lambda r, g, x, xp: np.roll(r, 1, axis=0),
        "your gradient is the right one shifted by 1 along axis 0",
    ),
    "misplaced": (
        lambda r, g, x, xp: r.ravel()[np.random.default_rng(0).permutation(12)].reshape(3, 4),
        "your gradient has the right values in the wrong places",
    ),
    "reshape for transpose": (
        lambda r, g, x, xp: r.T.reshape(3, 4),
        "your gradient has the right values in the order of a transposed array: looks like a "
        "reshape in place of a transpose",
    ),
    "sum too many": (
        lambda r, g, x, xp: xp.broadcast_to(xp.sum(r, axis=0), x.shape),
        "looks like an extra sum over axis 0",
    ),
    "mean too many": (
        lambda r, g, x, xp: xp.broadcast_to(xp.mean(r, axis=1, keepdims=True), x.shape),
        "looks like an extra mean over axis 1",
    ),
    "factor x missing": (
        lambda r, g, x, xp: r / x,
        "a factor is missing: the right gradient is yours times the input",
    ),
    "factor x too many": (
        lambda r, g, x, xp: r * x,
        "there is an extra factor: your gradient is the right one times the input",
    ),
    "one element": (
        lambda r, g, x, xp: r + with_one((3, 4), (1, 1), 1e-3) * g,
        "only element (1, 1) is wrong",
    ),
    "last row": (
        lambda r, g, x, xp: r * np.array([[1.0], [1.0], [0.5]]),
        "only index 2 of axis 0 is wrong",
    ),
    "negative side": (
        lambda r, g, x, xp: xp.where(x > 0, r, 0),
        "your gradient is wrong exactly where the input is negative",
    ),
    "along ones": (
        lambda r, g, x, xp: r - xp.mean(g, axis=1, keepdims=True),
        "looks like a term along the ones vector (over axis 1) is missing",
    ),
    "along x": (
        lambda r, g, x, xp: r - 0.1 * x * xp.mean(g, axis=1, keepdims=True),
        "looks like a term along the input (over axis 1) is missing",
    ),
    "along x and ones": (
        lambda r, g, x, xp: r - (x + 2) * xp.mean(g, axis=1, keepdims=True),
        "looks like two terms: one along the input and one along the ones vector (over axis 1) "
        "are missing",
    ),
}


@pytest.mark.parametrize("name", ELEMENTS)
def test_a_mistake_gets_its_sentence(name):
    function, sentence = ELEMENTS[name]
    report = check_grad(lambda x: mistake(function)()(x), data(3, 4), raise_on_failure=False)
    assert [(d.order, d.input, d.text) for d in report.diagnoses] == [(1, "input 0", sentence)]
    assert f"diagnosis: order 1, input 0: {sentence}" in str(report)


def test_a_right_gradient_gets_no_sentence():
    assert check_grad(lambda x: Exp()(x), data(3, 4)).diagnoses == []


class MatMul(Op):
    save_inputs = (0, 1)

    def forward(self, xp, a, b):
        return a @ b

    def backward(self, xp, g, a, b):
        return g @ xp.swapaxes(b, -1, -2), xp.swapaxes(a, -1, -2) @ g


class TransposedMatMul(MatMul):
    def backward(self, xp, g, a, b):
        return g @ b.T, g.T @ a


class ExchangedMatMul(MatMul):
    def backward(self, xp, g, a, b):
        return a.T @ g, g @ b.T


class AddBias(Op):
    """x (N, C) + b (C,)."""

    def forward(self, xp, x, b):
        return x + b

    def backward(self, xp, g):
        return g, xp.sum(g, axis=0)


class FirstRowOnly(AddBias):
    def backward(self, xp, g):
        return g, g[0]


class MeanOverBatch(AddBias):
    def backward(self, xp, g):
        return g, xp.mean(g, axis=0)


class Total(Op):
    """x (N, C) times the sum of its rows' gradients: the same for every row."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.broadcast_to(xp.sum(x, axis=0), x.shape) * 1.0

    def backward(self, xp, g, x):
        return xp.broadcast_to(xp.sum(g, axis=0), x.shape)


class TotalWithoutSum(Total):
    def backward(self, xp, g, x):
        return g


class Softmax(Op):
    save_output = True

    def forward(self, xp, x):
        e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        return e / xp.sum(e, axis=-1, keepdims=True)

    def backward(self, xp, g, y):
        return y * g  # without y sum(g y)


@pytest.mark.parametrize(
    "op, shapes, expected",
    [
        (
            TransposedMatMul,
            ((4, 4), (4, 4)),
            [("input 1", f"your gradient is the transpose of the right one{TRANSPOSE}")],
        ),
        (
            ExchangedMatMul,
            ((4, 4), (4, 4)),
            [
                ("input 0", "your gradient is the one that belongs to input 1"),
                ("input 1", "your gradient is the one that belongs to input 0"),
            ],
        ),
        (
            FirstRowOnly,
            ((3, 4), (4,)),
            [
                (
                    "input 1",
                    "only index 0 of the output's axis 0 counts: looks like the sum over axis 0 "
                    f"is missing{BROADCAST}",
                )
            ],
        ),
        (
            MeanOverBatch,
            ((3, 4), (4,)),
            [
                (
                    "input 1",
                    "your gradient is 0.3333 times the right one, and that is 1 / the length of "
                    "axis 0 of the output: looks like a mean in place of a sum",
                )
            ],
        ),
        (
            TotalWithoutSum,
            ((3, 4),),
            [("input 0", f"looks like the sum over axis 0 is missing{BROADCAST}")],
        ),
        (
            Softmax,
            ((3, 5),),
            [("input 0", "looks like a term along the output (over axis 1) is missing")],
        ),
    ],
)
def test_mistakes_between_inputs(op, shapes, expected):
    arrays = [data(*s, seed=k) for k, s in enumerate(shapes)]
    report = check_grad(lambda *xs: op()(*xs), *arrays, raise_on_failure=False)
    assert [(d.input, d.text) for d in report.diagnoses] == expected


@pytest.mark.parametrize("order, text", [((0, 2, 1), "axes 1 and 2"), ((2, 1, 0), "axes 0 and 2")])
def test_exchanged_axes(order, text):
    class Exchanged(Exp):
        def backward(self, xp, g, x):
            return np.transpose(self.right(np, g, x), order)

    report = check_grad(lambda x: Exchanged()(x), data(3, 3, 3), raise_on_failure=False)
    assert [d.text for d in report.diagnoses] == [f"your gradient has {text} exchanged"]


class ConstantMean(Exp):
    """Keeps the mean as an attribute, where it is a constant to the second derivative."""

    def forward(self, xp, x):
        self.mean = xp.mean(x)
        return super().forward(xp, x)

    def backward(self, xp, g, x):
        own = g * (xp.exp(x) + xp.cos(x) * self.mean)
        return own + xp.broadcast_to(xp.sum(g * xp.sin(x)) / x.size, x.shape)


class ConstantSlope(Op):
    def forward(self, xp, x):
        self.slope = xp.cos(x)
        return xp.sin(x)

    def backward(self, xp, g):
        return g * self.slope


@pytest.mark.parametrize(
    "op, sentence",
    [
        (
            ConstantMean,
            "the first order is right and the second is wrong: looks like a stale cache, a value "
            "that depends on the inputs but is a constant to the second derivative",
        ),
        (
            ConstantSlope,
            "your second derivative is zero: backward uses a constant where it should use a value "
            "that depends on the inputs",
        ),
    ],
)
def test_a_wrong_second_order(op, sentence):
    report = check_grad(lambda x: op()(x), data(5), raise_on_failure=False)
    assert [(d.order, d.input, d.text) for d in report.diagnoses] == [
        (2, "input 0", sentence + DOUBLE)
    ]


def test_a_large_input_is_diagnosed_too():
    double, sentence = ELEMENTS["twice"]
    report = check_grad(lambda x: mistake(double)()(x), data(20, 20), raise_on_failure=False)
    assert [d.text for d in report.diagnoses] == [sentence]


def test_an_unknown_mistake_gets_no_sentence():
    odd = mistake(lambda r, g, x, xp: r + g * data(3, 4, seed=9))
    report = check_grad(lambda x: odd()(x), data(3, 4), raise_on_failure=False)
    assert not report and report.diagnoses == []


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.__name__)
def test_no_question_fits_noise(question):
    """No question finds structure in unrelated random numbers."""
    for seed in range(5):
        a, n, x, y = (data(4, 5, seed=seed * 10 + k) for k in range(4))
        case = Case(a, n, 1e-12, x=x, y=y, others={"input 1": y})
        assert question(case) is None


def test_a_gradient_of_one_element():
    double = Case(np.array(2.0), np.array(1.0), 1e-12)
    assert diagnose(double) == "your gradient is 2.0 times the right one"
    flat = diagnose(Case(np.array([1.0]), np.array([0.0]), 1e-12, x=np.array([1.0])))
    assert flat is not None and flat.startswith("the function is flat here: ")


class Rounds(Op):
    """A straight-through gradient: that of y = x for y = round(x)."""

    def forward(self, xp, x):
        return xp.round(x)

    def backward(self, xp, g):
        return g * 1.0


class Clips(Rounds):
    def forward(self, xp, x):
        return xp.minimum(xp.maximum(x, -0.7), 0.7)


class RoundsWithTanh(Rounds):
    save_inputs = (0,)

    def backward(self, xp, g, x):
        return g * (1 - xp.tanh(x) ** 2)


@pytest.mark.parametrize(
    "op, words",
    [
        (Rounds, "is the incoming gradient g itself (a straight-through gradient)"),
        (RoundsWithTanh, "that of another function"),
        (Clips, "your gradient is wrong exactly where the function is flat: it should be 0"),
    ],
)
def test_straight_through_gradients_are_named(op, words):
    report = check_grad(lambda x: op()(x), data(3, 4), raise_on_failure=False)
    (diagnosis,) = report.diagnoses
    assert "the function is flat" in diagnosis.text and words in diagnosis.text


class MatMul(Op):
    """y = x w; the mistakes are those that square matrices hide."""

    save_inputs = (0, 1)

    def forward(self, xp, x, w):
        return x @ w

    def backward(self, xp, g, x, w):
        return g @ w, xp.swapaxes(x, -1, -2) @ g


class MatMulForX(MatMul):
    def backward(self, xp, g, x, w):
        return g @ xp.swapaxes(w, -1, -2), x @ g


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 3)])
@pytest.mark.parametrize(
    "op, wrong, words",
    [
        (MatMul, 0, "yours is g @ W, the right one is g @ W.T, where g is the incoming gradient"),
        (MatMulForX, 1, "yours is W @ g, the right one is W.T @ g, where g is the incoming"),
    ],
)
def test_a_transpose_that_square_matrices_hide(op, wrong, words, shape):
    arrays = data(*shape), data(*shape, seed=5)
    report = check_grad(lambda *xs: op()(*xs), *arrays, raise_on_failure=False)
    (diagnosis,) = report.diagnoses
    assert diagnosis.input == f"input {wrong}" and words in diagnosis.text
    assert f"W is input {1 - wrong}" in diagnosis.text


def test_if_nothing_fits_a_square_input_other_shapes_are_proposed():
    class Odd(Exp):
        def backward(self, xp, g, x):
            return self.right(xp, g, x) * xp.cos(x * x)

    assert check_grad(lambda x: Odd()(x), data(3, 4), raise_on_failure=False).diagnoses == []
    (diagnosis,) = check_grad(lambda x: Odd()(x), data(4, 4), raise_on_failure=False).diagnoses
    assert "two axes of this input have the same length" in diagnosis.text


@pytest.mark.parametrize("sample", SAMPLES[::5], ids=lambda s: s.name)
def test_healthy_operations_get_no_diagnosis(sample):
    report = check_grad(sample.call, *sample.inputs())
    assert report.diagnoses == report.faults == report.kinks == []
