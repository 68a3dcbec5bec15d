"""check_kernel: a fast kernel against its reference, forward and backward."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autograd._tensor import Tensor, TensorLike
from autograd.backward import grad
from autograd.kernels.dispatch import use_kernels
from autograd.testing.differences import array_of, tensors
from autograd.testing.report import GradCheckError

__all__ = ["KernelReport", "check_kernel"]


@dataclass
class KernelReport:
    """The largest errors of a fast kernel against its reference: output, and each gradient."""

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


def check_kernel(
    f: Callable[..., Tensor],
    *inputs: TensorLike,
    mode: str = "cpu",
    rtol: float | None = None,
    seed: int = 0,
    raise_on_failure: bool = True,
) -> KernelReport:
    """Compare f under ``use_kernels(mode)`` with f under ``use_kernels("reference")``.

    Output and gradients (for a random gradient of the output) may differ by ``rtol`` times the
    largest reference value; the default is 2e-6 in float32 and 1e-13 in float64. NaN and infinities
    must be in the same places. Returns a KernelReport. Raises GradCheckError on a larger difference
    if ``raise_on_failure``, and RuntimeError when f's kernels cannot run in that mode.
    """
    arrays = [x.data if isinstance(x, Tensor) else np.asarray(x) for x in inputs]
    floating = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    results = []
    for kernels in ("reference", mode):
        with use_kernels(kernels):
            xs = tensors([a.copy() for a in arrays], floating)
            y = f(*xs)
            w = np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)
            gradients = grad(y, [xs[i] for i in floating], w, allow_unused=True)
        pairs = zip(floating, gradients, strict=True)
        results.append([y.data, *(array_of(g, arrays[i]) for i, g in pairs)])
    if rtol is None:
        rtol = 2e-6 if results[0][0].dtype == np.float32 else 1e-13
    output, *errors = (_relative(a, b) for a, b in zip(*results, strict=True))
    report = KernelReport(output, errors, rtol)
    if raise_on_failure and not report.passed:
        listed = ", ".join(f"{e:.2e}" for e in errors)
        raise GradCheckError(
            f"the {mode} kernel differs from its reference: output by {output:.2e}, gradients by "
            f"{listed}, relative to their largest value; allowed {rtol:.0e}"
        )
    return report


def _relative(reference, value):
    """max|value - reference| / max|reference| over the finite elements.

    Infinite if shape, dtype or the places of NaN and infinities differ.
    """
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
