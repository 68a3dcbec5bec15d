"""Which instructions a product is computed with on this processor."""

import functools

from autograd.kernels import _mkl, _processor
from autograd.kernels.dispatch import compiling


@functools.cache
def method(precision: str = "bf16") -> str | None:
    """The kernel's instructions for products in this precision; None if it has none here.

    For bf16 "amx" or "avx512-bf16". Without either, operands are rounded by NumPy and multiplied in
    float32: correct, but slower than float32 (``why_not`` says what is missing). For float32 it is
    "float32", AVX-512's multiply-add; which products it computes, ``cpu._is_ours`` says.
    """
    if not compiling() or not _processor.has("avx512f", "avx512bf16"):
        return None
    if precision == "float32":
        return "float32"
    if _processor.has("amx-bf16") and _processor.tiles_granted():
        return "amx"
    return None if _processor.is_intel() else "avx512-bf16"


def is_chosen() -> bool:
    """Whether the user asks for this kernel for all large float32 products (TINYGRAD_LLM_BLAS).

    Raises ValueError where it cannot compute them.
    """
    if _mkl.chosen() != "kernel":
        return False
    if method("float32") is None:
        raise ValueError(
            f"{_mkl.VARIABLE} is 'kernel', but this project's float32 kernel needs numba and a "
            f"processor with AVX512-BF16: unset {_mkl.VARIABLE}"
        )
    return True


def why_not() -> str | None:
    """Why there are no fast bf16 products here, as a clause; None where there are."""
    if method() is not None:
        return None
    if not compiling():
        return "numba compiles nothing, since NUMBA_DISABLE_JIT is set"
    if not _processor.has("avx512bf16"):
        return "this processor has no instructions for bf16 products (AMX or AVX512-BF16)"
    if _processor.has("amx-bf16"):
        return "the system does not grant this process AMX's tile registers"
    return "on this processor AVX512-BF16 does half as many operations a cycle as float32"
