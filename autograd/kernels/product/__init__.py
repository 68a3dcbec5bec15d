"""Products of large matrices: float32, or rounded to bf16 (README.md has the derivation)."""

from autograd.kernels.dispatch import any_layout, dispatch
from autograd.kernels.product.choice import method, why_not
from autograd.kernels.product.held import packed_weights_held

(product,) = dispatch(__name__, "product", takes=any_layout)

__all__ = ["method", "packed_weights_held", "product", "why_not"]
