"""Gradient checking: does ``backward`` return the derivative of ``forward``?

``check.py`` contains check_grad and explains how it measures. Its parts, in the order of a check:
``rules.py`` looks at everything about backward except its numbers, with ``in_place.py`` for what it
changes in place, ``differences.py`` measures with one step, ``slopes.py`` finds the step,
``comparison.py`` goes through elements and directions, ``kinks.py`` finds points without a
derivative, ``diagnosis.py`` names the likely mistake, ``raised.py`` explains an exception, and
``report.py`` is the result. ``curves.py`` draws error against step size, and ``kernel.py`` compares
a fast kernel with its reference.
"""

from autograd.testing.check import check_grad
from autograd.testing.curves import (
    ErrorCurve,
    draw_error_curves,
    error_curve,
    plot_error_curve,
)
from autograd.testing.kernel import KernelReport, check_kernel
from autograd.testing.kinks import Kink
from autograd.testing.report import Check, Diagnosis, GradCheckError, GradReport

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
