"""check_grad: does ``backward`` return the derivative of ``forward``?

A derivative can be measured without knowing any calculus, by moving the input a little:

    D(t) = (L(x + t d) - L(x - t d)) / 2t            error O(t^2)
    R(t) = (4 D(t/2) - D(t)) / 3                     error O(t^4), Richardson's extrapolation

``check_grad`` compares R with the dot product of the gradient and d, for random directions d and,
on small inputs, for every single element. A tensor-valued f is first weighted to one number,
L = sum(w f(x)), with random w.

The second order is the same check of another number, G = sum(v dL/dx): its value comes from the
first-order backward, which has just passed, and its gradient from differentiating that backward.

Tolerance: |a - n| <= rtol |n| + 10 eps sum|w f| / t for each element separately, where the second
term is the rounding noise of the difference quotient. There is no absolute tolerance: atol = 1e-6
would accept a gradient of 1e-8 that is 50 % off. Nor is there an absolute step: each element moves
in proportion to its own size, and a search finds t.
"""

import copy
from collections.abc import Callable

import numpy as np

from autograd._tensor import Tensor, TensorLike
from autograd.engine import Op
from autograd.questions import see
from autograd.testing.comparison import Comparison
from autograd.testing.differences import FirstOrder, SecondOrder, scales, tensors
from autograd.testing.raised import describe_error
from autograd.testing.report import GradCheckError, GradReport
from autograd.testing.rules import check_rules

__all__ = ["check_grad"]


def check_grad(
    f: Callable[..., Tensor],
    *inputs: TensorLike,
    order: int = 2,
    rtol: float = 1e-6,
    directions: int = 3,
    elementwise: bool | None = None,
    seed: int = 0,
    raise_on_failure: bool = True,
) -> GradReport:
    """Compare f's gradients with finite differences, in float64, to first or second order.

    ``f`` maps Tensors to one Tensor of any shape, or is an Op. ``inputs`` are arrays or Tensors:
    those of floating-point type are copied to float64 and checked, and others (ids, masks) are
    passed to f unchanged. ``directions`` random directions are tried for each input. If
    ``elementwise``, every single element is checked too (None: if the input has at most 64).

    Also checked: that f gives the same results for every memory layout of its inputs, that it gives
    the same gradient when backward runs twice or when f is called again before it, and that nothing
    is changed in place. Where f has no derivative at an element (the two one-sided slopes differ),
    the report says so, and any value between the slopes is accepted. A change of type is a warning.

    ``rtol`` is the accepted error, relative to each slope: with the default, a gradient that is
    wrong by one part in a million passes; with rtol=1e-8 it fails. Inputs may be of any size, and
    so may each of their elements. The report counts the elements that could not be measured; an
    input of which nothing could be measured (all kinks, all noise) fails the check.

    Returns a GradReport, whose ``diagnoses`` name the likely mistakes. If the check fails and
    ``raise_on_failure``, raises GradCheckError with the report as its message. The check also fails
    if f is not deterministic or not finite at the inputs, or if f or its backward raises; that
    exception is then the error's cause. Raises ValueError for an ``order`` other than 1 and 2.
    """
    if order not in (1, 2):
        raise ValueError(f"order is {order}, but only 1 and 2 can be checked")
    f = _fresh(f) if isinstance(f, Op) else f
    # Three streams, different from any stream of data: with one seed a direction could equal the
    # data, and a function that does not change along its own input (any scale-invariant one) would
    # pass with any gradient. (NumPy's streams of the seeds 0 and [0, 0] are equal.)
    weight_rng, direction_rng, second_rng = (
        np.random.default_rng([seed, k, 6947]) for k in range(3)
    )
    arrays = [_copy(x) for x in inputs]
    names = {i: f"input {i}" for i, a in enumerate(arrays) if a.dtype.kind == "f"}
    report, raised, current_order = GradReport(), None, 1
    try:
        with np.errstate(all="ignore"):  # the report says what is not finite
            y, report.problem = _examine(f, arrays, names)
            if report.problem is None:
                _warn_of_empty(report, arrays, names)
                w = weight_rng.standard_normal(y.shape)
                report.faults, warnings, usable = check_rules(f, arrays, names, w)
                report.warnings += warnings
                if usable:
                    arrays.append(w)
                    compare = Comparison(
                        report, rtol, directions, elementwise, direction_rng, y.data
                    )
                    compare(FirstOrder(f, list(names)), arrays, names)
                    # the second order is meaningless when the first is already wrong
                    if order == 2 and report.passed and compare.finite:
                        current_order = 2
                        v = [
                            second_rng.standard_normal(arrays[i].shape) * scales(arrays[i])
                            for i in names
                        ]
                        second = SecondOrder(f, list(names), v)
                        names[len(inputs)] = "the gradient of the output"
                        compare(second, arrays, names)
                    elif order == 2 and report.passed:
                        report.warnings.append("order 2 is not checked: the gradient is not finite")
    except Exception as error:
        raised, sentence = error, describe_error(error, current_order)
        if report.checks:
            report.faults.append(sentence)
        else:
            report.problem = sentence
    if raise_on_failure and not report.passed:
        raise GradCheckError(str(report)) from raised
    return report


def _warn_of_empty(report, arrays, names):
    """Warn of inputs without elements: there is nothing to move in them."""
    for i, name in names.items():
        if arrays[i].size == 0:
            report.warnings.append(f"{name}, of shape {arrays[i].shape}, has no elements to move")


def _fresh(op):
    """A function that applies a new copy of ``op`` at each call, since an Op is one node."""
    return lambda *xs: copy.copy(op)(*xs)


def _copy(x):
    x = x.data if isinstance(x, Tensor) else np.asarray(x)
    return np.array(x, dtype=np.float64 if x.dtype.kind == "f" else None)


def _examine(f, arrays, names):
    """Call f twice. Returns its output and None, or a sentence if f cannot be checked."""
    if not names:
        problem = "no input has a floating-point type, so there is nothing to differentiate"
        return None, problem + see("How do I check a whole Module?")
    first, second = (f(*tensors([a.copy() for a in arrays], names)) for _ in range(2))
    if not isinstance(first, Tensor):
        return None, f"f returned {type(first).__name__}, expected one Tensor"
    if first.shape != second.shape or not np.array_equal(first.data, second.data, equal_nan=True):
        return None, (
            "f is not deterministic: two calls with the same inputs gave different outputs; "
            "give its random generator a fixed seed inside f"
            + see("What does backward do with dropout?")
        )
    if not np.isfinite(first.data).all():
        return None, "f returns NaN or infinity here, so finite differences are meaningless"
    if first.dtype.kind != "f":
        problem = f"f returned {first.dtype}, which has no derivative"
        return None, problem + see("Why has argmax no gradient?")
    if first.dtype != np.float64:
        problem = f"f turned float64 inputs into {first.dtype}: it must keep their type"
        return None, problem + see("Why float64 to check a gradient?")
    if first.size == 0 or not any(arrays[i].size for i in names):
        return None, "there is nothing to measure: f's output, or every input, has no elements"
    if not first.requires_grad:
        problem = "f's output does not depend on its inputs through recorded operations"
        return None, problem + see("Why is there nothing to differentiate?")
    return first, None
