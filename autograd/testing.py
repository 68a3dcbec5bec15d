"""Gradient checking: is what ``backward`` says what the function does?

A derivative can be measured without knowing any calculus, by moving the input a little:

    D(h) = (L(x + h d) - L(x - h d)) / 2h            error O(h^2)
    R(h) = (4 D(h/2) - D(h)) / 3                     error O(h^4), Richardson's extrapolation

``check_grad`` compares R with the dot product of the gradient and d, for random directions d and,
on small inputs, for every single element. A tensor-valued f is first weighted to one number,
L = sum(w f(x)), with random w.

The second order is the same check of another number, G = sum(v dL/dx): its value comes from the
first-order backward that was just proven, its gradient from differentiating that backward.

Tolerance: |a - n| <= rtol max|n| + 10 eps sum|w f| / h, the second term being the rounding noise
of the difference quotient. There is no constant absolute tolerance: one of 1e-6 would pass a
gradient of size 1e-8 that is half wrong.
"""

from dataclasses import dataclass

import numpy as np

from autograd._grad_report import Check, GradCheckError, GradReport
from autograd._tensor import Tensor
from autograd.engine import grad
from autograd.kernels.dispatch import use_kernels

STEPS = (1e-3, 1e-4, 1e-5)
"""Steps h tried in turn until one agrees: the first suits inputs of size 1, the others kinks and
poles nearby. A wrong gradient agrees with none of them."""
SMALL = 64
"""Up to this many elements an input is checked element by element unless told otherwise."""
LOCATE = 2000
"""A failed direction is traced to single elements in inputs of at most this size."""


def check_grad(
    f,
    *inputs,
    order=2,
    rtol=1e-6,
    directions=3,
    elementwise=None,
    seed=0,
    raise_on_failure=True,
):
    """Compare f's gradients with finite differences, in float64, to first or second order.

    ``f`` maps Tensors to one Tensor of any shape. ``inputs`` are arrays or Tensors: those of
    floating-point type are copied to float64 and checked, others (ids, masks) are passed on.
    ``directions`` random directions are tried per input; ``elementwise`` says whether every element
    is checked by itself too (None: where an input has at most 64).

    Returns a GradReport. Raises GradCheckError, with the report as its message, when a gradient is
    wrong and ``raise_on_failure``; also when f is not deterministic or not finite at the inputs.
    """
    if order not in (1, 2):
        raise ValueError(f"order is {order}, but only 1 and 2 can be checked")
    # Three streams: with one seed a direction could equal the data, and a function that does not
    # change along its own input (any scale-invariant one) would pass whatever its gradient.
    weight_rng, direction_rng, second_rng = (np.random.default_rng([seed, i]) for i in range(3))
    arrays = [_copy(x) for x in inputs]
    names = {i: f"input {i}" for i, a in enumerate(arrays) if a.dtype.kind == "f"}
    report = GradReport()
    y, report.problem = _examine(f, arrays, names)
    if report.problem is None:
        arrays.append(weight_rng.standard_normal(y.shape))
        check = _Checker(report, rtol, directions, elementwise, direction_rng)
        first = _FirstOrder(f, list(names), 1)
        check(first, arrays, names)
        if order == 2 and report.passed:  # meaningless when the first order is already wrong
            v = [second_rng.standard_normal(arrays[i].shape) for i in names]
            names[len(inputs)] = "the gradient of the output"
            check(_SecondOrder(f, list(names)[:-1], v), arrays, names)
    if raise_on_failure and not report.passed:
        raise GradCheckError(str(report))
    return report


def _copy(x):
    x = x.data if isinstance(x, Tensor) else np.asarray(x)
    return np.array(x, dtype=np.float64 if x.dtype.kind == "f" else None)


def _tensors(arrays, wanted):
    return [Tensor(a, requires_grad=i in wanted) for i, a in enumerate(arrays)]


def _examine(f, arrays, names):
    """Call f twice. Returns its output and a sentence if it cannot be checked (else None)."""
    if not names:
        return (
            None,
            "no input has a floating-point type, so there is nothing to differentiate",
        )
    first, second = (f(*_tensors(arrays, names)) for _ in range(2))
    if not isinstance(first, Tensor):
        return None, f"f returned {type(first).__name__}, expected one Tensor"
    if first.shape != second.shape or not np.array_equal(first.data, second.data, equal_nan=True):
        return None, (
            "f is not deterministic: two calls with the same inputs gave different outputs; "
            "give its random generator a fixed seed inside f"
        )
    if not np.isfinite(first.data).all():
        return None, "f is not finite at these inputs, so differences of it say nothing"
    if first.dtype != np.float64:
        return (
            None,
            f"f turned float64 inputs into {first.dtype}: it must keep their type",
        )
    if not first.requires_grad:
        return (
            None,
            "f's output does not depend on its inputs through recorded operations",
        )
    return first, None


class _FirstOrder:
    """L = sum(w f(x)); arrays are the inputs and then w."""

    def __init__(self, f, wanted, order):
        self.f, self.wanted, self.order = f, wanted, order

    def value(self, arrays):
        """L, and the size of the terms it was summed from."""
        *arrays, w = arrays
        terms = w * self.f(*_tensors(arrays, ())).data
        return terms.sum(), np.abs(terms).sum()

    def gradients(self, arrays):
        *arrays, w = arrays
        xs = _tensors(arrays, self.wanted)
        found = grad(self.f(*xs), [xs[i] for i in self.wanted], w, allow_unused=True)
        return {i: _array(g, arrays[i]) for i, g in zip(self.wanted, found, strict=True)}


class _SecondOrder:
    """G = sum(v dL/dx); its inputs are x and w, since L's gradient depends on both."""

    order = 2

    def __init__(self, f, wanted, v):
        self.f, self.wanted, self.v = f, wanted, v

    def value(self, arrays):
        """G, and the size of what it was computed from.

        That includes L's: a dL/dx that cancels to 0 still carries the rounding noise of its terms.
        """
        first = _FirstOrder(self.f, self.wanted, 1)
        found, (_, size) = first.gradients(arrays), first.value(arrays)
        terms = [v * found[i] for i, v in zip(self.wanted, self.v, strict=True)]
        return sum(t.sum() for t in terms), size + sum(np.abs(t).sum() for t in terms)

    def gradients(self, arrays):
        xs = _tensors(arrays, [*self.wanted, len(arrays) - 1])
        y, w = self.f(*xs[:-1]), xs[-1]
        inputs = [xs[i] for i in self.wanted]
        first = grad(y, inputs, w, create_graph=True, allow_unused=True)
        total = sum((g * v).sum() for g, v in zip(first, self.v, strict=True) if g is not None)
        wanted = [*self.wanted, len(arrays) - 1]
        if isinstance(total, Tensor) and total.requires_grad:
            second = grad(total, [xs[i] for i in wanted], allow_unused=True)
        else:
            second = [None] * len(wanted)
        return {i: _array(g, arrays[i]) for i, g in zip(wanted, second, strict=True)}


def _array(g, like):
    return np.zeros(like.shape) if g is None else g.data


class _Checker:
    """Compares a function's gradients with its differences and writes Checks to the report."""

    def __init__(self, report, rtol, directions, elementwise, rng):
        self.report, self.rtol, self.rng = report, rtol, rng
        self.directions, self.elementwise = directions, elementwise

    def __call__(self, function, arrays, names):
        gradients = function.gradients(arrays)
        for i, name in names.items():
            gradient, size = gradients[i], arrays[i].size
            if size == 0:
                continue
            each = size <= SMALL if self.elementwise is None else self.elementwise
            agree = True
            if self.directions:
                agree = self._along_directions(function, arrays, i, name, gradient)
            if each or (not agree and size <= LOCATE):
                self._every_element(function, arrays, i, name, gradient)

    def _along_directions(self, function, arrays, i, name, gradient):
        ds = [self.rng.standard_normal(arrays[i].shape) for _ in range(self.directions)]
        ds = [d / np.linalg.norm(d) for d in ds]
        analytic = np.array([np.vdot(gradient, d) for d in ds])
        numeric, noise = self._numeric(function, arrays, i, ds, analytic)
        return self._record(function, name, "direction", analytic, numeric, noise, None)

    def _every_element(self, function, arrays, i, name, gradient):
        units = (_unit(arrays[i].shape, k) for k in range(arrays[i].size))
        numeric, noise = self._numeric(function, arrays, i, units, gradient.ravel())
        analytic = gradient.ravel()
        self._record(function, name, "element", analytic, numeric, noise, arrays[i].shape)

    def _numeric(self, function, arrays, i, directions, analytic):
        """R along each direction, and the rounding noise of the step each was taken with."""
        numeric, noise = np.zeros(len(analytic)), np.zeros(len(analytic))
        for k, d in enumerate(directions):
            best = np.inf
            for h in STEPS:
                n, scale = _richardson(function, arrays, i, d, h)
                error = abs(n - analytic[k])
                if error < best or not np.isfinite(best):
                    best, numeric[k] = error, n
                    noise[k] = 10 * np.finfo(np.float64).eps * scale / h
                if error <= self.rtol * abs(n):
                    break
        return numeric, noise

    def _record(self, function, name, kind, analytic, numeric, noise, shape):
        error = np.abs(analytic - numeric)
        error = np.where(np.isfinite(error), error, np.inf)
        scale = np.abs(numeric).max()
        tolerance = self.rtol * scale + noise
        worst = int(np.argmax(error - tolerance))
        self.report.checks.append(
            Check(
                order=function.order,
                input=name,
                kind=kind,
                error=float(error[worst]),
                tolerance=float(tolerance[worst]),
                scale=float(scale),
                analytic=float(analytic[worst]),
                numeric=float(numeric[worst]),
                where=None if shape is None else tuple(map(int, np.unravel_index(worst, shape))),
                wrong=int((error > tolerance).sum()),
                size=len(analytic),
            )
        )
        return self.report.checks[-1].passed


def _unit(shape, k):
    d = np.zeros(shape)
    d.flat[k] = 1.0
    return d


def _richardson(function, arrays, i, d, h):
    def difference(h):
        up, down = list(arrays), list(arrays)
        up[i], down[i] = np.asarray(arrays[i] + h * d), np.asarray(arrays[i] - h * d)
        (a, size_a), (b, size_b) = function.value(up), function.value(down)
        return (a - b) / (2 * h), max(size_a, size_b)

    (coarse, size), (fine, _) = difference(h), difference(h / 2)
    return (4 * fine - coarse) / 3, size


@dataclass
class KernelReport:
    """A fast kernel beside its reference: the largest error of the output and of each gradient."""

    output: float
    gradients: list[float]
    rtol: float

    @property
    def error(self):
        return max([self.output, *self.gradients])

    @property
    def passed(self):
        return bool(self.error <= self.rtol)

    def __bool__(self):
        return self.passed


def check_kernel(f, *inputs, mode="cpu", rtol=None, seed=0, raise_on_failure=True):
    """Compare f under ``use_kernels(mode)`` with f under ``use_kernels("reference")``.

    Output and gradients (for a random gradient of the output) may differ by ``rtol`` times the
    largest reference value; the default is 2e-6 in float32 and 1e-13 in float64. NaN and infinities
    must be at the same places. Raises GradCheckError on a difference, unless told otherwise, and
    RuntimeError when f's kernels cannot run in that mode.
    """
    arrays = [x.data if isinstance(x, Tensor) else np.asarray(x) for x in inputs]
    wanted = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    results = []
    for kernels in ("reference", mode):
        with use_kernels(kernels):
            xs = _tensors([a.copy() for a in arrays], wanted)
            y = f(*xs)
            w = np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)
            found = grad(y, [xs[i] for i in wanted], w, allow_unused=True)
        found = [_array(g, arrays[i]) for i, g in zip(wanted, found, strict=True)]
        results.append([y.data, *found])
    if rtol is None:
        rtol = 2e-6 if results[0][0].dtype == np.float32 else 1e-13
    output, *gradients = (_relative(a, b) for a, b in zip(*results, strict=True))
    report = KernelReport(output, gradients, rtol)
    if raise_on_failure and not report.passed:
        told = ", ".join(f"{e:.2e}" for e in gradients)
        raise GradCheckError(
            f"the {mode} kernel differs from its reference: output by {output:.2e}, gradients by "
            f"{told}, relative to their largest value; allowed {rtol:.0e}"
        )
    return report


def _relative(reference, value):
    """max|value - reference| / max|reference| over what is finite; infinite on any mismatch."""
    same = np.isnan(reference) == np.isnan(value)
    same &= (np.isinf(reference) == np.isinf(value)) | np.isnan(reference)
    if reference.shape != value.shape or reference.dtype != value.dtype or not same.all():
        return float("inf")
    finite = np.isfinite(reference)
    if not np.array_equal(np.sign(reference[np.isinf(reference)]), np.sign(value[np.isinf(value)])):
        return float("inf")
    if not finite.any():
        return 0.0
    difference = np.abs(value[finite].astype(np.float64) - reference[finite]).max()
    return float(difference / (np.abs(reference[finite]).max() or 1.0))
