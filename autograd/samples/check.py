"""SAMPLES, an entry (or a few) for every differentiable operation, and what is checked of each.

The test suite and ``tinygrad-llm gradcheck`` check the same things for each entry: forward against
plain NumPy, gradients to second order against finite differences, the written backward against the
differentiated definition, and every kernel against its reference. The test suite also checks types,
layouts, empty inputs, and what is kept in memory until backward, and fails if an operation has no
entry here.
"""

from dataclasses import dataclass, field

import numpy as np

from autograd._tensor import Tensor
from autograd.backward import grad
from autograd.samples.activation import ACTIVATIONS
from autograd.samples.array import DIFFERENCES, INDEX, REDUCTIONS, SHAPE
from autograd.samples.attention import ATTENTION
from autograd.samples.elementwise import ELEMENTWISE
from autograd.samples.linalg import LINEAR_ALGEBRA, PRODUCTS
from autograd.samples.loss import LOSSES
from autograd.samples.neural import NEURAL
from autograd.samples.sample import Sample
from autograd.testing import KernelReport, check_grad, check_kernel
from autograd.testing.report import GradReport

__all__ = ["SAMPLES", "Sample", "SampleReport", "check_sample"]

SAMPLES: list[Sample] = [
    *ELEMENTWISE,
    *REDUCTIONS,
    *DIFFERENCES,
    *SHAPE,
    *INDEX,
    *PRODUCTS,
    *LINEAR_ALGEBRA,
    *ACTIVATIONS,
    *NEURAL,
    *ATTENTION,
    *LOSSES,
]


@dataclass
class SampleReport:
    """The result of checking one sample: relative errors, and a sentence for each problem."""

    sample: Sample
    forward: float
    """max|op - NumPy| / max|NumPy|, in float64."""
    gradient: GradReport
    definition: float | None = None
    """The same for the written backward against the differentiated definition."""
    kernels: dict[str, KernelReport] = field(default_factory=dict)
    """The fast kernel against its reference, by dtype, for operations that have one."""

    @property
    def problems(self):
        problems = []
        if not self.forward <= FORWARD_TOLERANCE:
            problems.append(f"forward differs from NumPy by {self.forward:.1e}")
        if not self.gradient:
            problems.append(str(self.gradient))
        if self.definition is not None and not self.definition <= DEFINITION_TOLERANCE:
            problems.append(
                f"backward differs from the differentiated definition by {self.definition:.1e}"
            )
        for dtype, report in self.kernels.items():
            if not report:
                problems.append(
                    f"the {dtype} kernel differs from its reference by {report.error:.1e}"
                )
        return problems

    @property
    def passed(self):
        return not self.problems


FORWARD_TOLERANCE = 1e-12
DEFINITION_TOLERANCE = 1e-11


def check_sample(sample, seed=0):
    """Run one sample through forward, gradients of order 1 and 2, definition and kernels."""
    arrays = sample.inputs(seed)
    y = sample.call(*map(Tensor, arrays)).data
    report = SampleReport(
        sample,
        forward=_difference(y, np.asarray(sample.numpy(*arrays))),
        gradient=check_grad(sample.call, *arrays, order=2, raise_on_failure=False),
    )
    if sample.definition is not None:
        w = np.random.default_rng(seed).standard_normal(y.shape)
        xs = [Tensor(a, requires_grad=True) for a in arrays]
        hand, derived = (grad(f(*xs), xs, w) for f in (sample.call, sample.definition))
        report.definition = max(
            _difference(a.data, b.data) for a, b in zip(hand, derived, strict=True)
        )
    if sample.kernel:
        for dtype in ("float32", "float64"):
            typed = sample.inputs(seed, dtype)
            report.kernels[dtype] = check_kernel(
                sample.call, *typed, mode="auto", raise_on_failure=False
            )
    return report


def _difference(value, expected):
    if value.shape != expected.shape:
        return float("inf")
    if expected.size == 0:
        return 0.0
    return float(np.abs(value - expected).max() / (np.abs(expected).max() or 1.0))
