"""Derivatives measured by moving the inputs: the numbers a gradient is compared with.

    D(h) = (L(x + h d) - L(x - h d)) / 2h            error O(h^2)
    R(h) = (4 D(h/2) - D(h)) / 3                     error O(h^4), Richardson's extrapolation

L is one number made of the function's output, L = sum(w f(x)); the second order measures
G = sum(v dL/dx) in the same way. The four values that R takes also tell, at no further cost,
whether the function bends where it should be straight: see autograd/_kinks.py.
"""

from dataclasses import dataclass

import numpy as np

from autograd._tensor import Tensor
from autograd.backward import grad

STEPS = (1e-3, 1e-4, 1e-5)
"""Steps h tried in turn until one agrees: the first suits inputs of size 1, the others kinks and
poles nearby. A wrong gradient agrees with none of them."""
EPS = float(np.finfo(np.float64).eps)


class FirstOrder:
    """L = sum(w f(x)); arrays are the inputs and then w."""

    order = 1

    def __init__(self, f, wanted):
        self.f, self.wanted = f, wanted

    def value(self, arrays):
        """L, and the size of the terms it was summed from."""
        *arrays, w = arrays
        terms = w * self.f(*tensors(arrays, ())).data
        return terms.sum(), np.abs(terms).sum()

    def gradients(self, arrays):
        *arrays, w = arrays
        xs = tensors(arrays, self.wanted)
        found = grad(self.f(*xs), [xs[i] for i in self.wanted], w, allow_unused=True)
        return {i: array_of(g, arrays[i]) for i, g in zip(self.wanted, found, strict=True)}


class SecondOrder:
    """G = sum(v dL/dx); its inputs are x and w, since L's gradient depends on both."""

    order = 2

    def __init__(self, f, wanted, v):
        self.f, self.wanted, self.v = f, wanted, v

    def value(self, arrays):
        """G, and the size of what it was computed from.

        That includes L's: a dL/dx that cancels to 0 still carries the rounding noise of its terms.
        """
        first = FirstOrder(self.f, self.wanted)
        found, (_, size) = first.gradients(arrays), first.value(arrays)
        terms = [v * found[i] for i, v in zip(self.wanted, self.v, strict=True)]
        return sum(t.sum() for t in terms), size + sum(np.abs(t).sum() for t in terms)

    def gradients(self, arrays):
        wanted = [*self.wanted, len(arrays) - 1]
        xs = tensors(arrays, wanted)
        y, w = self.f(*xs[:-1]), xs[-1]
        inputs = [xs[i] for i in self.wanted]
        first = grad(y, inputs, w, create_graph=True, allow_unused=True)
        total = sum((g * v).sum() for g, v in zip(first, self.v, strict=True) if g is not None)
        if isinstance(total, Tensor) and total.requires_grad:
            second = grad(total, [xs[i] for i in wanted], allow_unused=True)
        else:
            second = [None] * len(wanted)
        return {i: array_of(g, arrays[i]) for i, g in zip(wanted, second, strict=True)}


class Line:
    """A function of one number: how ``function`` changes as input i moves by t along d."""

    def __init__(self, function, arrays, i, d, here):
        self.function, self.arrays, self.i, self.d = function, arrays, i, d
        self.here, self.size = here  # the value at t = 0, and the size of its terms

    def __call__(self, t):
        moved = list(self.arrays)
        moved[self.i] = np.asarray(self.arrays[self.i] + t * self.d)
        with np.errstate(all="ignore"):  # a step out of the domain gives NaN, which is dealt with
            value, size = self.function.value(moved)
        if np.isfinite(size):
            self.size = max(self.size, size)
        return value


@dataclass
class Slope:
    """A measured derivative along a line."""

    value: float
    noise: float
    """The rounding noise of the step it was taken with."""
    bends: bool
    """The slopes on both sides did not approach each other: worth a closer look."""


def measure(line, analytic, rtol):
    """The slope of ``line`` at 0: R(h) for the first step that agrees with ``analytic``.

    Where none agrees, the one that comes closest: a wrong gradient is given every chance.
    """
    best = Slope(np.nan, np.nan, False)
    bends, found = False, []
    for h in STEPS:
        up, down, half_up, half_down = line(h), line(-h), line(h / 2), line(-h / 2)
        slope = (4 * (half_up - half_down) / h - (up - down) / (2 * h)) / 3
        noise = 10 * EPS * line.size / h
        # right slope minus left slope: proportional to h where the function is smooth
        gap, half_gap = (
            abs(up + down - 2 * line.here) / h,
            abs(half_up + half_down - 2 * line.here) / (h / 2),
        )
        bends |= not np.isfinite(gap) or bool(half_gap > 0.7 * gap and half_gap > 100 * noise)
        error, least = abs(slope - analytic), abs(best.value - analytic)
        if error < least or not np.isfinite(least):
            best = Slope(float(slope), float(noise), False)
        if error <= rtol * abs(slope):
            break
        found.append((slope, noise))
    else:
        # A kink of the derivative at this very point leaves an error proportional to h: take it out
        (coarse, _), (fine, noise) = found[-2:]
        slope = fine + (fine - coarse) / (STEPS[-2] / STEPS[-1] - 1)
        if abs(slope - analytic) < abs(best.value - analytic):
            best = Slope(float(slope), float(2 * noise), False)
    best.bends = bends
    return best


def unit(shape, k):
    """Zeros of ``shape`` with a one at the k-th element."""
    d = np.zeros(shape)
    d.flat[k] = 1.0
    return d


def tensors(arrays, wanted):
    return [Tensor(a, requires_grad=i in wanted) for i, a in enumerate(arrays)]


def array_of(g, like):
    """A gradient as an array: zeros where the output does not depend on the input."""
    return np.zeros(like.shape, like.dtype) if g is None else g.data
