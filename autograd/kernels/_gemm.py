"""A matrix product inside a compiled kernel: a call of the BLAS behind NumPy, without Python.

numba has ``np.dot``, through SciPy, for contiguous matrices and without "add to". Here OpenBLAS's
cblas_sgemm and cblas_dgemm are registered with LLVM under names of our own, which the linker looks
up whenever a kernel is loaded, also from the cache on disk: no address is ever stored.

``product`` is also an ordinary function. A kernel written with it runs compiled where OpenBLAS was
found, and by Python where it was not (``kernel.py_func``), with NumPy's products.
"""

import llvmlite.binding
import numpy as np
from numba import types
from numba.extending import overload

from autograd.kernels import _blas

ROW_MAJOR, PLAIN, TRANSPOSED = np.int32(101), np.int32(111), np.int32(112)  # cblas.h
_LAYOUT = "product: a matrix has no axis of neighbours, which BLAS needs"


def available():
    """Whether kernels can be compiled with ``product``: whether OpenBLAS was found."""
    return _blas.gemm() is not None


def product(a, b, out, scale, add):
    """out = scale a b, or with ``add`` out += scale a b: a (M, K), b (K, N), out (M, N).

    Views are taken as they are if one axis of each has its elements side by side (of ``out``, the
    last one). ``out`` must not overlap the others.
    """
    found = np.matmul(a, b)
    found *= out.dtype.type(scale)
    if add:
        out += found
    else:
        out[...] = found


def _declare():
    addresses, bits = _blas.gemm()
    whole, flag = types.Integer.from_bitwidth(bits), types.int32
    for kind, number in (("s", types.float32), ("d", types.float64)):
        name = f"autograd_{kind}gemm_{bits}"  # with the width: the cache may outlive this NumPy
        llvmlite.binding.add_symbol(name, addresses[kind])
        pointer = types.CPointer(number)
        signature = types.void(
            flag, flag, flag, whole, whole, whole,
            number, pointer, whole, pointer, whole, number, pointer, whole,
        )  # fmt: skip
        yield number, types.ExternalFunction(name, signature)


_functions = dict(_declare()) if available() else {}
_integer = np.int32 if available() and _blas.gemm()[1] == 32 else np.int64


@overload(product)
def _product(a, b, out, scale, add):
    gemm = _functions.get(out.dtype)
    if gemm is None or not a.dtype == b.dtype == out.dtype:
        return None
    size = out.dtype.bitwidth // 8

    def implementation(a, b, out, scale, add):
        (M, K), N = a.shape, b.shape[1]
        if b.shape[0] != K or out.shape[0] != M or out.shape[1] != N:
            raise ValueError("product: the shapes do not fit")
        if M == 0 or N == 0 or K == 0:
            if not add:
                out[:] = 0
            return
        if a.strides[1] == size and a.strides[0] >= K * size:
            a_order, a_step = PLAIN, a.strides[0] // size
        elif a.strides[0] == size and a.strides[1] >= M * size:
            a_order, a_step = TRANSPOSED, a.strides[1] // size
        else:
            raise ValueError(_LAYOUT)
        if b.strides[1] == size and b.strides[0] >= N * size:
            b_order, b_step = PLAIN, b.strides[0] // size
        elif b.strides[0] == size and b.strides[1] >= K * size:
            b_order, b_step = TRANSPOSED, b.strides[1] // size
        else:
            raise ValueError(_LAYOUT)
        if out.strides[1] != size or out.strides[0] < N * size:
            raise ValueError(_LAYOUT)
        beta = out.dtype.type(1) if add else out.dtype.type(0)
        gemm(
            ROW_MAJOR, a_order, b_order, _integer(M), _integer(N), _integer(K),
            scale, a.ctypes, _integer(a_step), b.ctypes, _integer(b_step),
            beta, out.ctypes, _integer(out.strides[0] // size),
        )  # fmt: skip

    return implementation
