"""The product of two matrices at a precision, the definition: a (M, K), b (K, N) -> (M, N).

In "bf16", float32 operands are rounded (autograd/_bfloat16.py); all sums are float32.
"""


def product(xp, a, b, bias=None, precision="float32"):
    y = xp.product(a, b, precision)  # (M, N)
    return y if bias is None else y + bias
