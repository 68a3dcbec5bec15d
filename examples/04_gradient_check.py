"""Checking a gradient: an operation of your own in ten lines, three planted bugs, two orders.

What it teaches. Whether a derivative is right can be *measured*, with nothing but the function:
move the input a little and see what comes out. So nobody has to trust a hand-written backward, and
no backward of this project is trusted.

    D(h) = (f(x + h) - f(x - h)) / 2h

Read the parts in order. Part 1 is an operation and its check, ten lines to copy for your own.
Part 2 plants bugs in it and reads the reports. Part 3 is the bug that only the *second* order
sees: forward right, gradient right, and yet wrong as soon as someone differentiates the gradient.
Part 4 is why a step h of 1e-12 is worse than one of 1e-5: the U-curve of error against step size.

Before: 03_tensors_and_broadcasting.py. Next: 05_attention_step_by_step.py. The checker is
autograd/testing/check.py; ``tinygrad-llm gradcheck`` runs it over every operation of the project.
"""

import math
import textwrap

import numpy as np

from autograd import Op, Tensor, check_grad

POINTS = np.linspace(-2, 2, 5)


def say(text):
    """Print, folded to the width of a page."""
    print(textwrap.fill(text, 92, initial_indent="   ", subsequent_indent=" " * 8))


# --- part 1: the ten lines (with the two imports of NumPy and autograd above) ---------------------


class Softplus(Op):
    save_inputs = (0,)

    def forward(self, xp, x):
        return xp.log(1 + xp.exp(x))

    def backward(self, xp, g, x):
        return g * xp.sigmoid(x)


def part_1_ten_lines():
    print("1. An operation of your own: softplus, y = log(1 + e^x), so dy/dx = sigmoid(x)")
    print()
    report = check_grad(lambda x: Softplus()(x), POINTS)
    print(f"    {report}")
    assert report.passed and report.max_error(1) < 1e-8 and report.max_error(2) < 1e-8
    print()
    print("   forward and backward are written once, against a namespace xp: NumPy's functions, or")
    print("   CuPy's, or, when a derivative is to be differentiated, the engine's own. That is how")
    print("   the check could go to order 2 without another rule. save_inputs names what backward")
    print("   is handed after g, the gradient of the output.")
    print()


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
        say(f"{bug.__name__}: {bug.__doc__}")
        for line in str(report).splitlines():
            say(" " + line)
        assert not report.passed
        assert {check.order for check in report.failures} == {1}
        if bug is CutsTooEarly:  # one point of the five lies above 1.5, and it is named
            assert [c.where for c in report.failures if c.where is not None] == [(4,)]
            assert "at element (4,)" in str(report)

    x = Tensor(POINTS, requires_grad=True)
    ForgetsUpstream()(x).sum().backward()
    assert np.allclose(x.grad.data, 1 / (1 + np.exp(-POINTS)))
    print()
    print(
        "   The first bug is invisible to anyone who tests with y.sum().backward(), where g is 1."
    )
    print("   check_grad weights the outputs with random numbers, so that every g is different.")
    print()


# --- part 3: what the second order adds -----------------------------------------------------------


class StaleSlope(Softplus):
    """Computes the slope in forward, where exp(x) is at hand, and keeps it as an attribute."""

    def forward(self, xp, x):
        e = xp.exp(x)
        self.slope = e / (1 + e)
        return xp.log(1 + e)

    def backward(self, xp, g, x):
        return g * self.slope


class CachedSlope(StaleSlope):
    """The same saving done right: ``cache`` is None when the derivative is being differentiated."""

    def forward(self, xp, x):
        e = xp.exp(x)
        self.cache = e / (1 + e)
        return xp.log(1 + e)

    def backward(self, xp, g, x):
        slope = self.cache if self.cache is not None else xp.sigmoid(x)
        return g * slope


def part_3_the_second_order():
    print("3. A bug that only the second order sees")
    print()
    say(f"StaleSlope: {StaleSlope.__doc__}")
    first = check_grad(lambda x: StaleSlope()(x), POINTS, order=1)
    print(f"    order 1: {first}")
    report = check_grad(lambda x: StaleSlope()(x), POINTS, order=2, raise_on_failure=False)
    worst = next(c for c in report.failures if c.where is not None)
    print(f"    order 2: {str(report).splitlines()[0]}")
    print(f"             at element {worst.where} backward says {worst.analytic:+.6f},")
    print(f"                                  differences say {worst.numeric:+.6f}")
    assert first.passed and not report.passed
    assert {check.order for check in report.failures} == {2}
    assert all(c.analytic == 0 for c in report.failures)  # a constant has no derivative
    print()
    print("   The slope depends on x, but the attribute is a plain array: to the second derivative")
    print("   it is a constant, and d(slope)/dx comes out as 0. Whoever takes a Hessian, or trains")
    print(
        "   through a gradient, gets a wrong number and no error. What depends on the inputs goes"
    )
    print("   into self.cache, and backward recomputes it when it finds None there:")
    print()
    fixed = check_grad(lambda x: CachedSlope()(x), POINTS)
    say(f"CachedSlope: {fixed}")
    assert fixed.passed
    print()


# --- part 4: which step to measure with -----------------------------------------------------------


def difference(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


def richardson(f, x, h):
    """D(h/2) is off by a quarter of what D(h) is, so this combination cancels the h^2 term."""
    return (4 * difference(f, x, h / 2) - difference(f, x, h)) / 3


def part_4_the_u_curve():
    print("4. The U-curve: error of a measured derivative against the step h, in float64")
    print("   of sin at x = 1, whose derivative is cos(1) = 0.5403...")
    print()
    print("       h        D(h)       Richardson")
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
    print()
    print("   Above the minimum the formula is to blame: the error falls as h^2, a hundredfold")
    print("   per row. Below it rounding is: f(x + h) and f(x - h) agree in ever more digits,")
    print(
        "   their difference keeps ever fewer, and the error grows as 1e-16 / h. The best of D(h)"
    )
    print(
        f"   is {min(plain):.0e}, near h = 1e{best:03d}. Richardson's two steps reach "
        f"{min(better):.0e} at 1e{best_r:03d}."
    )
    print(
        "   check_grad uses Richardson, begins at 1e-3 of each element, tries others if that does"
    )
    print(
        "   not answer, and grants a gradient an error of 1e-6 of its size plus the rounding noise"
    )
    print("   of the step it used: never a constant, which would pass every gradient smaller than")
    print("   itself.")


def bar(error):
    """One star per factor of ten above 1e-16."""
    return "*" * max(0, round(16 + math.log10(error))) if error > 0 else ""


if __name__ == "__main__":
    part_1_ten_lines()
    part_2_planted_bugs()
    part_3_the_second_order()
    part_4_the_u_curve()
