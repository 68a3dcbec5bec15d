"""Gradient checking: is what ``backward`` says what the function does?

``check.py`` holds check_grad and says how it measures. Its parts, in the order of a check:
``differences.py`` measures with one step, ``slopes.py`` finds the step, ``comparison.py`` goes
through elements and directions, ``audit.py`` looks at what backward does besides returning
numbers, ``kinks.py`` finds points without a derivative, ``diagnosis.py`` names the mistake,
``report.py`` is what the user reads, and ``error_curve.py`` draws error against step size.
"""

from autograd.testing.check import KernelReport, check_grad, check_kernel
from autograd.testing.error_curve import (
    ErrorCurve,
    draw_error_curves,
    error_curve,
    plot_error_curve,
)
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
