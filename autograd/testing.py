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

The parts: ``_differences.py`` measures, ``_audit.py`` looks at what backward does beside returning
numbers, ``_kinks.py`` finds points without a derivative, ``_diagnosis.py`` names the mistake, and
``_error_curve.py`` draws error against step size.
"""

import copy
from dataclasses import dataclass

import numpy as np

from autograd._audit import audit
from autograd._diagnosis import Case, diagnose
from autograd._differences import (
    FirstOrder,
    Line,
    SecondOrder,
    array_of,
    measure,
    tensors,
    unit,
)
from autograd._error_curve import ErrorCurve, draw_error_curves, error_curve, plot_error_curve
from autograd._grad_report import Check, Diagnosis, GradCheckError, GradReport
from autograd._kinks import Kink, look_closer
from autograd._tensor import Tensor
from autograd.backward import grad
from autograd.engine import Op
from autograd.kernels.dispatch import use_kernels

__all__ = [
    "Check",
    "Diagnosis",
    "ErrorCurve",
    "GradCheckError",
    "GradReport",
    "KernelReport",
    "Kink",
    "check_grad",
    "check_kernel",
    "draw_error_curves",
    "error_curve",
    "plot_error_curve",
]

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

    ``f`` maps Tensors to one Tensor of any shape; an Op serves too. ``inputs`` are arrays or
    Tensors: those of floating-point type are copied to float64 and checked, others (ids, masks) are
    passed on.
    ``directions`` random directions are tried per input; ``elementwise`` says whether every element
    is checked by itself too (None: where an input has at most 64).

    Also checked: that f gives the same results for every memory layout of its inputs, the same
    gradient when backward runs twice or f is called again before it, and that nothing is changed
    in place. Where f has no derivative at an element (the two one-sided slopes do not meet), the
    report says so; there any value between the slopes is accepted. Types that change on the way
    are warned of.

    Returns a GradReport, whose ``diagnoses`` say what a wrong gradient looks like. Raises
    GradCheckError, with the report as its message, when a gradient is wrong and
    ``raise_on_failure``; also when f is not deterministic or not finite at the inputs.
    """
    if order not in (1, 2):
        raise ValueError(f"order is {order}, but only 1 and 2 can be checked")
    f = _fresh(f) if isinstance(f, Op) else f
    # Three streams, unlike any that data is drawn from: with one seed a direction could
    # equal the data, and a function that does not change along its own input (any scale-invariant
    # one) would pass whatever its gradient. (NumPy's streams of the seeds 0 and [0, 0] are equal.)
    weight_rng, direction_rng, second_rng = (
        np.random.default_rng([seed, k, 6947]) for k in range(3)
    )
    arrays = [_copy(x) for x in inputs]
    names = {i: f"input {i}" for i, a in enumerate(arrays) if a.dtype.kind == "f"}
    report = GradReport()
    y, report.problem = _examine(f, arrays, names)
    if report.problem is None:
        w = weight_rng.standard_normal(y.shape)
        report.faults, report.warnings, usable = audit(f, arrays, names, w)
        if usable:
            arrays.append(w)
            check = _Checker(report, rtol, directions, elementwise, direction_rng, y.data)
            check(FirstOrder(f, list(names)), arrays, names)
            # the second order is meaningless when the first is already wrong
            if order == 2 and report.passed and check.finite:
                v = [second_rng.standard_normal(arrays[i].shape) for i in names]
                wanted = list(names)
                names[len(inputs)] = "the gradient of the output"
                check(SecondOrder(f, wanted, v), arrays, names)
            elif order == 2 and report.passed:
                report.warnings.append("order 2 is not checked: the gradient is not finite")
    if raise_on_failure and not report.passed:
        raise GradCheckError(str(report))
    return report


def _fresh(op):
    """A function that applies a new copy of ``op`` at each call: an Op is one node, used once."""
    return lambda *xs: copy.copy(op)(*xs)


def _copy(x):
    x = x.data if isinstance(x, Tensor) else np.asarray(x)
    return np.array(x, dtype=np.float64 if x.dtype.kind == "f" else None)


def _examine(f, arrays, names):
    """Call f twice. Returns its output and a sentence if it cannot be checked (else None)."""
    if not names:
        return (
            None,
            "no input has a floating-point type, so there is nothing to differentiate",
        )
    first, second = (f(*tensors([a.copy() for a in arrays], names)) for _ in range(2))
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


class _Checker:
    """Compares a function's gradients with its differences and writes Checks to the report."""

    def __init__(self, report, rtol, directions, elementwise, rng, y):
        self.report, self.rtol, self.rng, self.y = report, rtol, rng, y
        self.directions, self.elementwise = directions, elementwise
        self.finite = True  # all gradients of the last order
        self.kinked = {}  # input -> which of its elements have no derivative (bool)

    def __call__(self, function, arrays, names):
        with np.errstate(all="ignore"):  # what is not finite is reported
            gradients, here = function.gradients(arrays), function.value(arrays)
        self.finite = all(np.isfinite(g).all() for g in gradients.values())
        measured, failed = {}, []
        for i, name in names.items():
            x, gradient = arrays[i], gradients[i]
            if x.size == 0:
                continue
            self.kinked.setdefault(i, np.zeros(x.shape, bool))
            each = x.size <= SMALL if self.elementwise is None else self.elementwise
            lines = _Lines(function, arrays, i, here)
            done = len(self.report.checks)
            if each:
                measured[i] = self._every_element(lines, name, gradient)
            ds = self._directions(x.shape, self.kinked[i])
            agree = self._along(lines, name, np.where(self.kinked[i], 0, gradient), ds)
            if not agree and not each and x.size <= LOCATE:
                measured[i] = self._every_element(lines, name, gradient)
                if self.kinked[i].any():  # look again, past the points without a derivative
                    del self.report.checks[done]
                    ds = [d * ~self.kinked[i] for d in ds]
                    self._along(lines, name, np.where(self.kinked[i], 0, gradient), ds)
            if any(not c.passed for c in self.report.checks[done:]):
                failed.append(i)
        if failed and not self.report.faults:
            self._diagnose(function, arrays, names, gradients, measured, failed)

    def _directions(self, shape, kinked):
        ds = [self.rng.standard_normal(shape) * ~kinked for _ in range(self.directions)]
        return [d / np.linalg.norm(d) for d in ds if np.any(d)]

    def _along(self, lines, name, gradient, ds):
        ds = [d for d in ds if np.any(d)]
        if not ds:
            return True
        analytic = np.array([np.vdot(gradient, d) for d in ds])
        slopes = [measure(lines(d), a, self.rtol) for d, a in zip(ds, analytic, strict=True)]
        numeric, noise = np.array([(s.value, s.noise) for s in slopes]).T
        return self._record(lines.function, name, "direction", analytic, numeric, noise, None)

    def _every_element(self, lines, name, gradient):
        """Check each element; the numeric gradient and its noise, in the input's shape."""
        kinked = self.kinked[lines.i]
        numeric, noise = np.zeros(gradient.shape), np.zeros(gradient.shape)
        for k, where in enumerate(np.ndindex(gradient.shape)):
            line, analytic = lines(unit(gradient.shape, k)), gradient[where]
            slope = measure(line, analytic, self.rtol)
            numeric[where], noise[where] = slope.value, slope.noise
            if slope.bends and not kinked[where]:
                kink = look_closer(line, lines.function.order, name, where, analytic)
                if kink is not None:
                    kinked[where] = True
                    self.report.kinks.append(kink)
        smooth = ~kinked
        if smooth.any():
            places = [tuple(map(int, p)) for p in np.argwhere(smooth)]
            parts = (gradient[smooth], numeric[smooth], noise[smooth])
            self._record(lines.function, name, "element", *parts, places)
        return np.where(smooth, numeric, 0), noise

    def _record(self, function, name, kind, analytic, numeric, noise, places):
        error = np.abs(analytic - numeric)
        error = np.where(np.isfinite(error), error, np.inf)
        scale = np.abs(numeric).max()
        tolerance = self.rtol * scale + noise
        tolerance = np.where(np.isfinite(tolerance), tolerance, 0.0)
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
                where=None if places is None else places[worst],
                wrong=int((error > tolerance).sum()),
                size=len(analytic),
            )
        )
        return self.report.checks[-1].passed

    def _diagnose(self, function, arrays, names, gradients, measured, failed):
        first = function.order == 1
        for i in (i for i in failed if i in measured):
            numeric, noise = measured[i]
            last = len(arrays) - 1
            text = diagnose(
                Case(
                    np.where(self.kinked[i], 0, gradients[i]),
                    numeric,
                    float(noise.max()),
                    self.rtol,
                    function.order,
                    x=arrays[i] if i != last else None,
                    y=self.y if i != last else None,
                    others={names[j]: n for j, (n, _) in measured.items() if j != i},
                    upstream=self._upstream(function, arrays, i) if first else None,
                    w=arrays[last] if first else None,
                )
            )
            if text is not None:
                self.report.diagnoses.append(Diagnosis(function.order, names[i], text))

    def _upstream(self, function, arrays, i):
        """The analytic gradient of input i as a function of the gradient that comes in."""
        return lambda w: np.where(self.kinked[i], 0, function.gradients([*arrays[:-1], w])[i])


class _Lines:
    """The lines through ``arrays`` along which input i moves, by their direction."""

    def __init__(self, function, arrays, i, here):
        self.function, self.arrays, self.i, self.here = function, arrays, i, here

    def __call__(self, d):
        return Line(self.function, self.arrays, self.i, d, self.here)


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
            xs = tensors([a.copy() for a in arrays], wanted)
            y = f(*xs)
            w = np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)
            found = grad(y, [xs[i] for i in wanted], w, allow_unused=True)
        found = [array_of(g, arrays[i]) for i, g in zip(wanted, found, strict=True)]
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
