"""Gradient checking: is what ``backward`` says what the function does?

A derivative can be measured without knowing any calculus, by moving the input a little:

    D(t) = (L(x + t d) - L(x - t d)) / 2t            error O(t^2)
    R(t) = (4 D(t/2) - D(t)) / 3                     error O(t^4), Richardson's extrapolation

``check_grad`` compares R with the dot product of the gradient and d, for random directions d and,
on small inputs, for every single element. A tensor-valued f is first weighted to one number,
L = sum(w f(x)), with random w.

The second order is the same check of another number, G = sum(v dL/dx): its value comes from the
first-order backward that was just proven, its gradient from differentiating that backward.

Tolerance: |a - n| <= rtol |n| + 10 eps sum|w f| / t, of each element for itself, the second term
being the rounding noise of the difference quotient. There is no constant absolute tolerance: one of
1e-6 would pass a gradient of size 1e-8 that is half wrong. Nor is there an absolute step: each
element moves in proportion to its own size, and t is found by trying.
"""

import copy
from dataclasses import dataclass

import numpy as np

from autograd._tensor import Tensor
from autograd.backward import grad
from autograd.engine import Op
from autograd.kernels.dispatch import use_kernels
from autograd.testing.audit import audit
from autograd.testing.comparison import Comparison
from autograd.testing.differences import FirstOrder, SecondOrder, array_of, scales, tensors
from autograd.testing.raised import told
from autograd.testing.report import GradCheckError, GradReport

__all__ = ["KernelReport", "check_grad", "check_kernel"]


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

    ``rtol`` is the error that is accepted, relative to each slope: at the default a gradient that
    is wrong by one part in a million passes, with rtol=1e-8 it fails. Inputs may be of any size,
    each element of its own. What cannot be measured is counted and said; an input of which nothing
    can be measured (all kinks, all noise) fails the check.

    Returns a GradReport, whose ``diagnoses`` say what a wrong gradient looks like. Raises
    GradCheckError, with the report as its message, when the check fails and ``raise_on_failure``;
    also when f is not deterministic or not finite at the inputs, and, with the exception as its
    cause, when f or its backward raises.
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
    report, raised, now = GradReport(), None, 1
    try:
        with np.errstate(all="ignore"):  # what is not finite is reported
            y, report.problem = _examine(f, arrays, names)
            if report.problem is None:
                _tell_empty(report, arrays, names)
                w = weight_rng.standard_normal(y.shape)
                report.faults, warnings, usable = audit(f, arrays, names, w)
                report.warnings += warnings
                if usable:
                    arrays.append(w)
                    compare = Comparison(
                        report, rtol, directions, elementwise, direction_rng, y.data
                    )
                    compare(FirstOrder(f, list(names)), arrays, names)
                    # the second order is meaningless when the first is already wrong
                    if order == 2 and report.passed and compare.finite:
                        now = 2
                        v = [
                            second_rng.standard_normal(arrays[i].shape) * scales(arrays[i])
                            for i in names
                        ]
                        wanted = list(names)
                        names[len(inputs)] = "the gradient of the output"
                        compare(SecondOrder(f, wanted, v), arrays, names)
                    elif order == 2 and report.passed:
                        report.warnings.append("order 2 is not checked: the gradient is not finite")
    except Exception as error:
        raised, sentence = error, told(error, now)
        if report.checks:
            report.faults.append(sentence)
        else:
            report.problem = sentence
    if raise_on_failure and not report.passed:
        raise GradCheckError(str(report)) from raised
    return report


def _tell_empty(report, arrays, names):
    """Nothing can be moved in an input without elements, or seen in such an output."""
    for i, name in names.items():
        if arrays[i].size == 0:
            report.warnings.append(f"{name}, of shape {arrays[i].shape}, has no elements to move")


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
    if first.size == 0 or not any(arrays[i].size for i in names):
        return None, "there is nothing to measure: f's output, or all of its inputs, are empty"
    if not first.requires_grad:
        return (
            None,
            "f's output does not depend on its inputs through recorded operations",
        )
    return first, None


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
