"""Checking a gradient: an operation of your own in ten lines, three planted bugs, two orders.

What it teaches. Whether a derivative is right can be *measured*, with nothing but the function:
move the input a little and see how the output changes. So there is no need to trust a backward
written by hand, and this project trusts none.

    D(h) = (f(x + h) - f(x - h)) / 2h

Read the parts in order. Part 1 is an operation and its check, ten lines to copy for your own.
Part 2 plants bugs in it and reads the reports. Part 3 is a bug that only the *second* order can
find: forward right, gradient right, and yet wrong as soon as the gradient is differentiated.
Part 4 shows why a step h of 1e-12 is worse than one of 1e-5: the U-curve of error against step.

Before: 03_tensors_and_broadcasting.py. Next: 05_attention_step_by_step.py. The checker is
autograd/testing/check.py; ``tinygrad-llm gradcheck`` runs it over every operation of the project.

Exercises, answered in solutions/04_gradient_check.py. Try first.

1. A small gradient, half wrong. Write an operation y = 1e-9 x^2 whose backward forgets the 2, and
   compare it with the measured gradient by np.allclose. What happens, and what does check_grad say?
2. Points that see nothing. For which POINTS does ``CutsTooEarly`` pass? Which points should the
   check of an operation with branches have?
3. A forward that overflows. What is Softplus of 800? Is its gradient there wrong? Write a forward
   that is right, for any x, and check it at 800.
"""

import math
import textwrap

import numpy as np

from autograd import Op, Tensor, check_grad

POINTS = np.linspace(-2, 2, 5)


def say(text):
    """Print a block of text without its margin."""
    print(textwrap.dedent(text).removeprefix("\n"), end="")


def quote(text):
    """Print a text that the program computed, folded to the width of a page."""
    print(textwrap.fill(text, 92, initial_indent=" " * 4, subsequent_indent=" " * 8))


# --- part 1: the ten lines (with the two imports of NumPy and autograd above) ---------------------


class Softplus(Op):
    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.log(1 + xp.exp(x))

    def backward(self, xp, g, x):
        return g * xp.sigmoid(x)


def part_1_ten_lines():
    report = check_grad(lambda x: Softplus()(x), POINTS)
    assert report.passed and report.max_error(1) < 1e-8 and report.max_error(2) < 1e-8
    say(f"""
        1. An operation of your own: softplus, y = log(1 + e^x), so dy/dx = sigmoid(x)

            {report}

        forward and backward are written once, in terms of a namespace xp: NumPy's functions, or
        CuPy's, or, when a derivative is itself differentiated, the engine's own. That is why the
        check could go to order 2 without another rule. save_inputs names the inputs that backward
        receives after g, the gradient of the output.

    """)


# --- part 2: planted bugs -------------------------------------------------------------------------


class ForgetsUpstream(Softplus):
    """The local derivative alone. Right whenever g happens to be 1, as in (f(x)).sum()."""

    def backward(self, xp, g, x):
        return xp.sigmoid(x)


class CutsTooEarly(Softplus):
    """For large x, softplus is x and its slope 1. But 1.5 is not large."""

    def backward(self, xp, g, x):
        return xp.where(x > 1.5, g, g * xp.sigmoid(x))


def part_2_planted_bugs():
    print("2. Two bugs, and the reports that catch them")
    for bug in (ForgetsUpstream, CutsTooEarly):
        report = check_grad(lambda x, bug=bug: bug()(x), POINTS, raise_on_failure=False)
        print()
        quote(f"{bug.__name__}: {bug.__doc__}")
        for line in str(report).splitlines():
            quote(line)
        assert not report.passed
        assert {check.order for check in report.failures} == {1}
        if bug is CutsTooEarly:  # one point of the five lies above 1.5, and it is named
            assert [c.where for c in report.failures if c.where is not None] == [(4,)]
            assert "at element (4,)" in str(report)

    x = Tensor(POINTS, requires_grad=True)
    ForgetsUpstream()(x).sum().backward()
    assert np.allclose(x.grad.data, 1 / (1 + np.exp(-POINTS)))
    say("""

        A test with y.sum().backward() cannot see the first bug, because g is 1 there.
        check_grad weights the outputs with random numbers, so that every g is different.

    """)


# --- part 3: what the second order adds -----------------------------------------------------------


class StaleSlope(Softplus):
    """Computes the slope in forward, from exp(x), and keeps it in an attribute."""

    def forward(self, xp, x):
        e = xp.exp(x)
        self.slope = e / (1 + e)
        return xp.log(1 + e)

    def backward(self, xp, g, x):
        return g * self.slope


class CachedSlope(StaleSlope):
    """The same done right: ``cache`` is None whenever the derivative is to be differentiated."""

    def forward(self, xp, x):
        e = xp.exp(x)
        self.cache = e / (1 + e)
        return xp.log(1 + e)

    def backward(self, xp, g, x):
        slope = self.cache if self.cache is not None else xp.sigmoid(x)
        return g * slope


def part_3_the_second_order():
    first = check_grad(lambda x: StaleSlope()(x), POINTS, order=1)
    report = check_grad(lambda x: StaleSlope()(x), POINTS, order=2, raise_on_failure=False)
    worst = next(c for c in report.failures if c.where is not None)
    assert first.passed and not report.passed
    assert {check.order for check in report.failures} == {2}
    assert all(c.analytic == 0 for c in report.failures)  # a constant has no derivative
    fixed = check_grad(lambda x: CachedSlope()(x), POINTS)
    assert fixed.passed
    say(f"""
        3. A bug that only the second order sees

            StaleSlope: {StaleSlope.__doc__}
            order 1: {first}
            order 2: {str(report).splitlines()[0]}
                     at element {worst.where} backward says {worst.analytic:+.6f},
                                          differences say {worst.numeric:+.6f}

        The slope depends on x, but the attribute is a plain array: to the second derivative it is
        a constant, and d(slope)/dx comes out as 0. A Hessian, or a loss that contains a gradient,
        is then wrong without any error. Values that depend on the inputs belong in self.cache,
        and backward recomputes them when it finds None there, as CachedSlope does:

            {fixed}

    """)


# --- part 4: which step to measure with -----------------------------------------------------------


def difference(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


def richardson(f, x, h):
    """D(h/2) is off by a quarter of what D(h) is, so this combination cancels the h^2 term."""
    return (4 * difference(f, x, h / 2) - difference(f, x, h)) / 3


def part_4_the_u_curve():
    say("""
        4. The U-curve: error of a measured derivative against the step h, in float64
        of sin at x = 1, whose derivative is cos(1) = 0.5403...

               h        D(h)       Richardson
    """)
    exponents = range(-1, -14, -1)
    plain, better = [], []
    for k in exponents:
        h = 10.0**k
        plain.append(abs(difference(math.sin, 1.0, h) - math.cos(1.0)))
        better.append(abs(richardson(math.sin, 1.0, h) - math.cos(1.0)))
        print(f"     1e{k:03d}   {plain[-1]:.1e}     {better[-1]:.1e}   {bar(plain[-1])}")
    best, best_r = exponents[int(np.argmin(plain))], exponents[int(np.argmin(better))]
    # two arms: it falls as h^2, and then rises as eps / h
    assert 50 < plain[0] / plain[1] < 200 and 50 < plain[1] / plain[2] < 200
    assert plain[-1] > 1e3 * min(plain) and -7 <= best <= -4
    assert min(better) < min(plain) and best_r > best
    say(f"""

        For larger steps the formula is to blame: the error falls as h^2, a hundredfold per row.
        For smaller steps rounding is: f(x + h) and f(x - h) agree in more and more digits, their
        difference keeps fewer and fewer, and the error grows as 1e-16 / h. The smallest error of
        D(h) is {min(plain):.0e}, near h = 1e{best:03d}. Richardson's two steps reach
        {min(better):.0e} at 1e{best_r:03d}.

        check_grad uses Richardson's formula. It starts with a step of 1e-3 of each element and
        tries others if that one gives no answer. A gradient may be off by 1e-6 of its size plus
        the rounding noise of the step. That bound is never a constant, which would pass every
        gradient that is smaller than the constant.
    """)


def bar(error):
    """One star per factor of ten above 1e-16."""
    return "*" * max(0, round(16 + math.log10(error))) if error > 0 else ""


if __name__ == "__main__":
    part_1_ten_lines()
    part_2_planted_bugs()
    part_3_the_second_order()
    part_4_the_u_curve()
