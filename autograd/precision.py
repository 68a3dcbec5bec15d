"""The precision of matrix products: ``matmul_precision``.

A product in "bf16" rounds both of its operands to bf16 and adds up in float32. Processors that have
instructions for it compute it several times as fast as one in float32. All else keeps the type that
it has: weights, gradients, sums of gradients, softmax, norms, losses. So the word means the same as
in JAX's ``default_matmul_precision``; PyTorch's ``autocast`` rounds the results as well.

The operations that multiply large matrices obey it: linear, feed_forward, linear_cross_entropy,
causal_attention and grouped_query_attention. Each notes the precision when it is called, and its
backward uses the same one. Only float32 arrays are rounded. (``matmul`` is NumPy's, and
``scaled_dot_product_attention`` the general form: both compute in the type of their operands.)
"""

from contextvars import ContextVar, Token
from typing import Any, Self, TypeVar

from autograd.activations import OPERANDS
from autograd.grad_mode import Function, decorated

PRECISIONS = ("float32", "bf16")
_precision: ContextVar[str] = ContextVar("autograd_matmul_precision", default="float32")

current_precision = _precision.get
"""The precision of this context, one of PRECISIONS."""

AnyOp = TypeVar("AnyOp", bound=Any)


class matmul_precision:  # noqa: N801 (a context manager, named as no_grad is)
    """Within this context, or in the decorated function, products have this precision.

    ``precision`` is one of PRECISIONS. Raises ValueError for another.
    """

    def __init__(self, precision: str) -> None:
        if precision not in PRECISIONS:
            raise ValueError(
                f"unknown precision {precision!r}: choose one of {', '.join(PRECISIONS)}"
            )
        self.precision = precision
        self._tokens: list[Token[str]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_precision.set(self.precision))
        return self

    def __exit__(self, *exc_info: object) -> None:
        _precision.reset(self._tokens.pop())

    def __call__(self, function: Function) -> Function:
        return decorated(lambda: matmul_precision(self.precision), "matmul_precision", function)


def at_current_precision(op: AnyOp) -> AnyOp:
    """``op``, which notes the precision of this context for its forward and its backward."""
    precision = current_precision()
    if precision != op.precision:
        op.precision, op.packing = precision, OPERANDS
    return op
