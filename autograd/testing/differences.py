"""Derivatives measured by moving the inputs: the numbers that gradients are compared with.

    D(t) = (L(x + t d) - L(x - t d)) / 2t            error O(t^2)
    R(t) = (4 D(t/2) - D(t)) / 3                     error O(t^4), Richardson's extrapolation

L is one number computed from the function's output, L = sum(w f(x)); the second order measures
G = sum(v dL/dx) in the same way. Both are sums of terms, and the terms are subtracted before they
are added up: an output of size 1e8 that does not change then cannot hide one of size 1e-8.

Every element moves in proportion to its own size: d is |x| times random numbers, or times a one in
a single place. So t is a relative step, and a slope along d has the unit of L. slopes.py chooses t.
The values in R also show, at no further cost, whether the function bends where it should be
straight: see kinks.py.
"""

from dataclasses import dataclass

import numpy as np

from autograd._tensor import Tensor
from autograd.backward import grad

EPS = float(np.finfo(np.float64).eps)


class FirstOrder:
    """L = sum(w f(x)) of arrays x, w. Its terms are the weighted outputs.

    ``inputs`` are the indices of the arrays to differentiate with respect to.
    """

    order = 1

    def __init__(self, f, inputs):
        self.f, self.inputs = f, inputs

    def terms(self, arrays):
        *arrays, w = arrays
        return (w * self.f(*tensors(arrays, ())).data).ravel()

    def size(self, arrays):
        """The sum of the terms' sizes: L is rounded relative to it."""
        return float(np.abs(self.terms(arrays)).sum())

    def gradients(self, arrays):
        *arrays, w = arrays
        xs = tensors(arrays, self.inputs)
        gradients = grad(self.f(*xs), [xs[i] for i in self.inputs], w, allow_unused=True)
        return {i: array_of(g, arrays[i]) for i, g in zip(self.inputs, gradients, strict=True)}

    def weights(self, arrays):
        """The weight of every term."""
        return arrays[-1].ravel()

    def weighted(self, arrays, weights):
        """This function and its arrays with other weights for the terms."""
        return self, [*arrays[:-1], weights.reshape(arrays[-1].shape)]


class SecondOrder:
    """G = sum(v dL/dx); its inputs are x and w, since L's gradient depends on both.

    Its terms are the weighted elements of L's gradients.
    """

    order = 2

    def __init__(self, f, inputs, v):
        self.f, self.inputs, self.v = f, inputs, v

    def terms(self, arrays):
        gradients = FirstOrder(self.f, self.inputs).gradients(arrays)
        parts = [v * gradients[i] for i, v in zip(self.inputs, self.v, strict=True)]
        return np.concatenate([part.ravel() for part in parts])

    def size(self, arrays):
        """L's terms count too: a dL/dx that cancels to 0 still has their rounding noise."""
        first = FirstOrder(self.f, self.inputs)
        return float(np.abs(self.terms(arrays)).sum()) + first.size(arrays)

    def gradients(self, arrays):
        indices = [*self.inputs, len(arrays) - 1]
        xs = tensors(arrays, indices)
        y, w = self.f(*xs[:-1]), xs[-1]
        first = grad(y, [xs[i] for i in self.inputs], w, create_graph=True, allow_unused=True)
        total = sum((g * v).sum() for g, v in zip(first, self.v, strict=True) if g is not None)
        if isinstance(total, Tensor) and total.requires_grad:
            second = grad(total, [xs[i] for i in indices], allow_unused=True)
        else:
            second = [None] * len(indices)
        return {i: array_of(g, arrays[i]) for i, g in zip(indices, second, strict=True)}

    def weights(self, arrays):
        return np.concatenate([v.ravel() for v in self.v])

    def weighted(self, arrays, weights):
        ends = np.cumsum([v.size for v in self.v])[:-1]
        parts = zip(np.split(weights, ends), self.v, strict=True)
        return SecondOrder(self.f, self.inputs, [p.reshape(v.shape) for p, v in parts]), arrays


class Line:
    """The terms of ``function`` as input i moves along d."""

    def __init__(self, function, arrays, i, d, here, unsteady):
        self.function, self.arrays, self.i, self.d = function, arrays, i, d
        self.x, self.here = arrays[i], here  # here: the terms at t = 0
        self.unsteady = unsteady  # the size of each term that is only noise, 0 for the others
        self.moved = np.zeros(here.shape, bool)  # the terms that have changed at some step
        infinite = ~np.isfinite(self.x)
        self.infinite = infinite if infinite.any() else None

    def point(self, t):
        return np.asarray(self.x + t * self.d)

    def pair(self, t):
        """x + t d and the opposite point, which is as far from x even after rounding."""
        there = self.x + t * self.d
        return np.asarray(there), np.asarray(self.x - (there - self.x))

    def apart(self, a, b):
        """The difference of two points; 0 where the elements are infinite."""
        if self.infinite is None:
            return a - b
        return np.where(self.infinite, 0.0, np.where(self.infinite, 0.0, a) - b)

    def at(self, x):
        """The terms at a point; NaN where the function has no value."""
        moved = list(self.arrays)
        moved[self.i] = x
        try:
            terms = self.function.terms(moved)
        except (ValueError, ArithmeticError):  # outside a domain that f itself checks
            return np.full(self.here.shape, np.nan)
        return terms if terms.shape == self.here.shape else np.full(self.here.shape, np.nan)

    def __call__(self, t):
        return self.at(self.point(t))


@dataclass
class Step:
    """The slope of a line at 0, measured with one step."""

    t: float
    slope: float
    """R(t)."""
    expected: float
    """The slope by backward's gradient between the same points, which are rounded."""
    noise: float
    """A bound on the rounding noise of ``slope``."""
    size: float
    """The sum of the sizes of the terms that have changed so far."""
    still: np.ndarray
    """The terms that did not change with this step."""
    bend: float
    """Right slope minus left slope if that does not shrink as t is halved, otherwise 0."""
    smooth: bool
    """D(t) and D(t/2) agree roughly and nothing bends: the function looks straight here."""

    @property
    def finite(self):
        return bool(np.isfinite(self.slope))

    @property
    def gap(self):
        """The distance between backward and the measurement."""
        gap = abs(self.expected - self.slope)
        return float(gap) if np.isfinite(gap) else np.inf


def central(line, gradient, t):
    """R(t), and what its values show about the function."""
    points = [*line.pair(t), *line.pair(t / 2)]
    up, down, half_up, half_down = (line.at(x) for x in points)
    here = line.here
    moved = (up != here) | (down != here) | (half_up != here) | (half_down != here)
    line.moved |= moved
    # Points are rounded: their real distance along d, and the gain from halving it
    square = np.vdot(line.d, line.d)
    whole, half = (np.vdot(line.d, line.apart(a, b)) / square for a, b in (points[:2], points[2:]))
    gain = (whole / half) ** 2
    coarse, fine = (up - down).sum() / whole, (half_up - half_down).sum() / half
    size = np.maximum(np.abs(here), np.abs(up))[line.moved].sum()
    added = np.vdot(np.abs(gradient), np.abs(line.d))  # the terms of backward's own slope
    noise = 10 * EPS * (size / t + (added if np.isfinite(added) else 0.0))
    noise += 3 * line.unsteady[line.moved].sum() / t
    # right slope minus left slope: proportional to t where the function is smooth
    gap = abs((up + down - 2 * here).sum()) / t
    half_gap = abs((half_up + half_down - 2 * here).sum()) / (t / 2)
    finite = bool(np.isfinite(gap) and np.isfinite(half_gap))
    steepest = max(abs(coarse), abs(fine))
    visible = 100 * noise + 1e-5 * steepest
    bend = half_gap if half_gap > 0.7 * gap and half_gap > visible else 0.0
    if abs(fine) > 1.2 * abs(coarse) and abs(fine) > visible:  # steeper and steeper: a jump
        bend = max(bend, abs(fine))
    alike = abs(coarse - fine) <= 0.1 * steepest + noise
    rises = [np.vdot(gradient, line.apart(a, b)) for a, b in (points[:2], points[2:])]
    expected = (gain * rises[1] / half - rises[0] / whole) / (gain - 1)
    finite &= bool(np.any(points[2] != line.x))  # otherwise the step is too small to move x
    return Step(
        t=t,
        slope=float((gain * fine - coarse) / (gain - 1)) if finite else np.nan,
        expected=float(expected),
        noise=float(noise),
        size=float(size),
        still=~moved,
        bend=float(bend) if finite else 0.0,
        smooth=bool(finite and alike and not bend),
    )


def one_sided(line, gradient, t):
    """The slope from one side, for the edge of a domain; t may be negative. Error O(t^3)."""
    points = [line.point(s) for s in (t, t / 2, t / 4)]
    values = [line.at(x) for x in points]
    slopes = [(v - line.here).sum() * k / t for k, v in zip((1, 2, 4), values, strict=True)]
    predicted = [
        np.vdot(gradient, line.apart(x, line.x)) * k / t
        for k, x in zip((1, 2, 4), points, strict=True)
    ]
    moved = values[0] != line.here
    size = max(np.abs(a)[moved].sum() for a in (line.here, values[0]))
    noise = float(50 * EPS * size / abs(t))
    slope, expected = (float((8 * s[2] - 6 * s[1] + s[0]) / 3) for s in (slopes, predicted))
    return Step(t, slope, expected, noise, float(size), ~moved, 0.0, bool(np.isfinite(slope)))


def a_hair_away(arrays, kinked, rng):
    """A point that differs in the last digits of all coordinates that have no kink."""
    nearby = list(arrays)
    for i, fixed in kinked.items():
        hair = 10 * EPS * rng.uniform(-1, 1, arrays[i].shape)
        nearby[i] = np.asarray(arrays[i] * (1 + np.where(fixed, 0.0, hair)))
    return nearby


def unsteady(function, here, points):
    """The size of each term that is only rounding noise, 0 for the others.

    A sum that cancels to 0 leaves 1e-17, and a different 1e-17 a hair away: the relative error of
    such a term is far larger than 1e-16. ``points`` are some points a hair away.
    """
    noise = np.zeros(here.shape)
    for arrays in points:
        there = Line(function, arrays, 0, 0.0, here, noise)(0.0)
        noise = np.maximum(noise, np.abs(there - here))
    return np.where(noise > 0.1 * np.abs(here), noise, 0.0)


def scales(x):
    """The unit in which each element moves: its size, or that of the largest if it is 0.

    0 for an element that is not finite and cannot move.
    """
    size = np.abs(x)
    finite = np.isfinite(size)
    largest = size[finite].max(initial=0.0) or 1.0
    return np.where(finite, np.where(size == 0, largest, size), 0.0)


def evenly(x):
    """One unit for all elements, their root mean square, unless their sizes differ too much."""
    each = scales(x)
    largest = each.max(initial=0.0) or 1.0
    if np.any((each > 0) & (each < 1e-6 * largest)):
        return each
    return np.where(each > 0, largest * np.sqrt(np.mean((each / largest) ** 2)), 0.0)


def unit(shape, k):
    """Zeros of ``shape`` with a one as the k-th element."""
    d = np.zeros(shape)
    d.flat[k] = 1.0
    return d


def tensors(arrays, differentiable):
    """The arrays as Tensors; those with an index in ``differentiable`` require gradients."""
    return [Tensor(a, requires_grad=i in differentiable) for i, a in enumerate(arrays)]


def array_of(g, like):
    """A gradient as an array: zeros where the output does not depend on the input."""
    return np.zeros(like.shape, like.dtype) if g is None else g.data
