"""Reverse-mode automatic differentiation on NumPy and CuPy arrays, written to be read.

    from autograd import Tensor, ops
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = (ops.exp(x) * x).sum()
    y.backward()
    x.grad                          # Tensor: exp(x) * x + exp(x)

Start with ``reference.py``, the whole engine on one page, then any op in ``ops/``; the fused ones
have a folder with their derivation in ``kernels/``. ``engine.py`` (the graph) and ``backward.py``
(the pass) are the engine that is used.
"""

import importlib
from typing import TYPE_CHECKING

from autograd import _methods, backward, ops
from autograd._tensor import Parameter, Tensor, tensor
from autograd.activations import save_activations
from autograd.backward import grad
from autograd.engine import Op
from autograd.grad_mode import enable_grad, is_grad_enabled, no_grad
from autograd.kernels.dispatch import use_kernels
from autograd.precision import matmul_precision
from autograd.saved_tensors import saved_tensors_hooks

_methods.ops, _methods.backward = ops, backward.backward  # a Tensor's only links upwards

IS_TINYGRAD_LLM = True
"""Tells this package from the other one of its import name (see tinygrad_llm/__init__.py)."""

__all__ = [
    "Op",
    "Parameter",
    "Tensor",
    "check_grad",
    "debug",
    "enable_grad",
    "functional",
    "grad",
    "is_grad_enabled",
    "matmul_precision",
    "no_grad",
    "ops",
    "save_activations",
    "saved_tensors_hooks",
    "tensor",
    "use_kernels",
]


if TYPE_CHECKING:  # a type checker is to know these, and to report any other name
    from autograd import debug, functional
    from autograd.testing import check_grad
else:

    def __getattr__(name):
        if name == "check_grad":  # loaded when first used
            from autograd.testing import check_grad

            return check_grad
        if name in ("debug", "functional"):
            return importlib.import_module(f"autograd.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
