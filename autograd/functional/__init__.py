"""Derivatives of functions, rather than of tensors: names and conventions as in JAX and torch.func.

``transforms.py`` holds the functions, ``recomputation.py`` trades arithmetic for memory,
``call.py`` is one call of a function on tensors of its own, and ``tree.py`` takes nested arguments
apart.
"""

from autograd.functional.recomputation import recompute
from autograd.functional.transforms import (
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    value_and_grad,
    vjp,
)

checkpoint = recompute  # PyTorch's name for it

__all__ = [
    "checkpoint", "grad", "hessian", "hvp", "jacobian", "jvp", "recompute", "value_and_grad", "vjp",
]  # fmt: skip
