"""A linear layer of constant weights and its low-rank change, as one operation.

    y = x W^T + b + h B^T        h = s x A^T

W (out, in) and b (out,) are constants, and W may be quantized. As separate operations these lines
write three arrays of the size of y, which is most of their time: the products with A and B have few
operations for each number. Here the change is added by BLAS to the product with W, in the same
array. Backward does the same with x's gradient:

    g_h = s g B        g_A = g_h^T x        g_B = g^T h        g_x = g W + g_h A

and adds to what other layers of the same x have contributed.
"""

import math
from typing import Any

import numpy as np

from autograd import Tensor
from autograd.engine import Op
from autograd.kernels import linear as linear_kernel, product as product_kernel
from autograd.kernels.dispatch import compiling, kernel_lock, runs_reference
from autograd.ops.arguments import of_one_type
from autograd.precision import at_current_precision
from tinygrad_llm.quantized.linear import Product, TransposedProduct
from tinygrad_llm.quantized.matrix import QuantizedMatrix


def low_rank(x: Tensor, weight: Any, bias: Any, A: Tensor, B: Tensor, scale: float) -> Tensor:
    """x W^T + b + s (x A^T) B^T: x (..., in), W (out, in), b (out,), A (r, in), B (out, r).

    W is a Tensor or a QuantizedMatrix. W and b, which may be None, get no gradients. Where types
    differ, all is computed in the common one.
    """
    matrix = weight if isinstance(weight, QuantizedMatrix) else None
    constants = [c for c in (weight if matrix is None else None, bias) if c is not None]
    return at_current_precision(LowRank(scale, matrix))(*of_one_type(x, A, B, *constants))


class LowRank(Op):
    """y = x W^T + b + s (x A^T) B^T, for constant W and b.

    Shapes: x (..., in), A (r, in), B (out, r), W (out, in), b (out,) -> (..., out)
    Saves: x, A, B, W; caches h (N, r)

    A quantized W is no input but ``matrix``. There may be no b. The products with A and B are
    float32 at any precision: they are few.
    """

    fresh_gradients = True
    works_in_place = True
    precision = "float32"

    def __init__(self, scale, matrix=None):
        self.scale, self.matrix = scale, matrix
        self.save_inputs = (0, 1, 2, 3) if matrix is None else (0, 1, 2)

    def forward(self, xp, x, A, B, *constants):
        self.cache = h = self._hidden(xp, x, A)  # (N, r)
        if self.matrix is None:
            weight, bias = constants[0], constants[1] if len(constants) > 1 else None
            y = linear_kernel.forward(xp, x, weight, bias, precision=self.precision)
        else:
            y = Product(self.matrix).forward(xp, x)  # (..., out)
            for bias in constants:
                y += bias
        return xp.reshape(_plus_product(xp, _rows(xp, y), h, B.T), y.shape)

    def backward(self, xp, g, x, A, B, weight=None, room=None):
        g_x = g_A = g_B = None
        h = self.cache if self.cache is not None else self._hidden(xp, x, A)
        rows = _rows(xp, g)  # (N, out)
        if self.needs[2]:
            g_B = rows.T @ h  # (out, r)
        if self.needs[0] or self.needs[1]:
            g_h = self.scale * (rows @ B)  # (N, r)
        if self.needs[1]:
            g_A = g_h.T @ _rows(xp, x)  # (r, in)
        if self.needs[0]:  # last: the next backward finds it in cache
            g_x = _plus_product(xp, self._times_weight(xp, rows, weight, x, room), g_h, A)
            g_x = xp.reshape(g_x, x.shape)
        return g_x, g_A, g_B, *(None for _ in self.inputs[3:])

    def _hidden(self, xp, x, A):
        """h (N, r): a factor of few numbers."""
        return self.scale * (_rows(xp, x) @ A.T)

    def _times_weight(self, xp, g, weight, x, room):
        """g W (N, in), added to x's gradient so far, if there is one that may be changed."""
        buffer = None if room is None else room.claim_buffer(0)
        total = None if buffer is None else xp.reshape(buffer, (-1, x.shape[-1]))
        if self.matrix is not None:
            product = TransposedProduct(self.matrix).apply(xp, g)
            return product if total is None else total + product
        if total is None:
            return product_kernel.product(xp, g, weight, precision=self.precision)
        return _plus_product(xp, total, g, weight, self.precision)


def _rows(xp, x):
    """(..., n) as (N, n)."""
    *lead, n = x.shape
    return xp.reshape(x, (math.prod(lead), n))


def _plus_product(xp, y, a, b, precision="float32"):
    """y + a b: y (N, n), which may be changed, a (N, k), b (k, n)."""
    fast = type(y) is np.ndarray and y.dtype in (np.float32, np.float64) and compiling()
    if fast and not runs_reference():
        from autograd.kernels.product.cpu import multiply

        with kernel_lock:
            multiply(a, b, y, precision, add=True)
        return y
    return y + xp.product(a, b, precision)
