"""One entry (or a few) for every differentiable operation: inputs to try it on, and its meaning.

The test suite and ``tinygrad-llm gradcheck`` drive each entry through the same list: forward beside
plain NumPy, gradients to second order beside finite differences, the written backward beside the
differentiated definition, every kernel beside its reference, types, layouts, empty inputs, and what
is kept in memory until backward. A test fails when an operation has no entry here.
"""

from autograd._sample import Sample
from autograd._samples_array import ELEMENTWISE, INDEX, LINEAR_ALGEBRA, REDUCTIONS, SHAPE
from autograd._samples_neural import LOSSES, NEURAL

__all__ = ["SAMPLES", "Sample"]

SAMPLES: list[Sample] = [
    *ELEMENTWISE,
    *REDUCTIONS,
    *SHAPE,
    *INDEX,
    *LINEAR_ALGEBRA,
    *NEURAL,
    *LOSSES,
]
