"""Solutions to the exercises of 04_gradient_check.py."""

import numpy as np
from _solutions import answer, example_of

from autograd import Op, Tensor, check_grad

lab = example_of(__file__)


class SmallAndHalfWrong(Op):
    """y = 1e-9 x^2, with half of its derivative."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return 1e-9 * x * x

    def backward(self, xp, g, x):
        return g * 1e-9 * x


def exercise_1():
    """A small gradient, half wrong.

    np.allclose(a, b) allows a difference of 1e-8 plus 1e-5 of b. Near 1 that is strict; at the size
    of this gradient it allows everything, even 0. Such gradients are common: a mean over a million
    elements divides by a million. A tolerance must be in proportion to what is compared, and the
    only constant in it may be the rounding noise of the measurement itself, which is known.
    """
    x = Tensor(lab.POINTS, requires_grad=True)
    SmallAndHalfWrong()(x).sum().backward()
    measured = lab.difference(lambda x: 1e-9 * x * x, lab.POINTS, 1e-5)
    report = check_grad(lambda x: SmallAndHalfWrong()(x), lab.POINTS, raise_on_failure=False)
    print(f"   backward  {x.grad.data}\n   measured  {measured}")
    print(f"   np.allclose: {np.allclose(x.grad.data, measured)}   check_grad: {report.passed}")
    assert np.allclose(x.grad.data, measured) and np.allclose(0, measured)
    assert not report.passed


def exercise_2():
    """Points that see nothing.

    CutsTooEarly passes on every set of points below 1.5. A check speaks for the points that it was
    made at, and for nothing else. So an operation with branches needs points in each of them, and
    points close to each border, on both sides. That is why the project's own operations come with
    samples that were chosen by hand (autograd/samples/) and not with one random array.
    """
    reports = {}
    for points in (np.linspace(-1, 1, 5), np.linspace(-1.4, 1.4, 99), np.array([1.4, 1.6])):
        report = check_grad(lambda x: lab.CutsTooEarly()(x), points, raise_on_failure=False)
        reports[len(points)] = report.passed
        span = f"{len(points):2d} points from {points[0]:+.1f} to {points[-1]:+.1f}"
        print(f"   {span}: {'passed' if report.passed else 'failed'}")
    assert reports == {5: True, 99: True, 2: False}


class StableSoftplus(Op):
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|): no exponent is positive."""

    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.maximum(x, 0.0) + xp.log(1 + xp.exp(-xp.abs(x)))

    def backward(self, xp, g, x):
        return g * xp.sigmoid(x)


def exercise_3():
    """A forward that overflows.

    e^800 is beyond the largest float64, so Softplus gives infinity where the answer is 800. Its
    backward is right even there: the slope is 1. So forward has to be mended, and backward, which
    was never wrong, stays. Take e^x out of the sum when x is positive: log(1 + e^x) =
    x + log(1 + e^-x). The same trick, taking out the largest exponent, makes every softmax safe.
    """
    points = np.array([-800.0, -2.0, 2.0, 800.0])
    with np.errstate(over="ignore"):
        before = lab.Softplus()(Tensor(points)).data
    after = StableSoftplus()(Tensor(points)).data
    report = check_grad(lambda x: StableSoftplus()(x), points)
    print(f"   before {before}\n   after  {after}\n   {report}")
    assert before[-1] == np.inf and after[-1] == 800 and report.passed
    assert np.allclose(before[:3], after[:3])


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
