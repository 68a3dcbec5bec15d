"""Matrix products inside a compiled kernel: calls of the BLAS behind NumPy, without Python.

numba has ``np.dot``, through SciPy, for contiguous matrices and without "add to". Here OpenBLAS's
own functions are registered with LLVM under names of our own, which the linker looks up whenever a
kernel is loaded, also from the cache on disk: no address is ever stored.

``product`` and ``transpose`` are also ordinary functions. A kernel written with them runs compiled
where OpenBLAS was found, and by Python where it was not (``kernel.py_func``), with NumPy's.
"""

import llvmlite.binding
import numba
import numpy as np
from numba import types
from numba.extending import overload

from autograd.kernels import _blas
from autograd.kernels._jit import HELPER, jit

ROW_MAJOR, PLAIN, TRANSPOSED = np.int32(101), np.int32(111), np.int32(112)  # cblas.h
_LAYOUT = "product: a matrix has no axis of neighbours, which BLAS needs"


def available():
    """Whether kernels can be compiled with ``product``: whether OpenBLAS was found."""
    return _blas.cblas("gemm") is not None and _blas.cblas("omatcopy") is not None


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


def whole_product(a, b, out, add):
    """``product`` called from Python, by BLAS with all its threads: for large matrices.

    With ``add`` it is one pass less over ``out`` than NumPy needs, and no second array.
    """
    (_compiled_product if available() else product)(a, b, out, out.dtype.type(1), add)


def transpose(a, out):
    """out = a^T: a (M, N), out (N, M). Views are taken as they are if their rows are whole.

    OpenBLAS's copy is six times as fast as a loop compiled here: it turns blocks in registers.
    """
    out[...] = a.T


_whole = types.Integer.from_bitwidth(_blas.integer_bits() or 64)
_integer = np.int32 if _blas.integer_bits() == 32 else np.int64


def _declare(function, arguments):
    """The C functions cblas_s``function`` and cblas_d``function``, by their type of numbers."""
    found = {}
    for number, kind in ((types.float32, "s"), (types.float64, "d")):
        # the width is in the name: the cache on disk may outlive this NumPy
        name = f"autograd_{kind}{function}_{_whole.bitwidth}"
        llvmlite.binding.add_symbol(name, _blas.cblas(function)[kind])
        signature = types.void(*arguments(number, types.CPointer(number)))
        found[number] = types.ExternalFunction(name, signature)
    return found


def _gemm_arguments(number, pointer):
    flag, whole = types.int32, _whole
    yield from (flag, flag, flag, whole, whole, whole)
    yield from (number, pointer, whole, pointer, whole, number, pointer, whole)


def _omatcopy_arguments(number, pointer):
    flag, whole = types.int32, _whole
    yield from (flag, flag, whole, whole, number, pointer, whole, pointer, whole)


_gemm = _declare("gemm", _gemm_arguments) if available() else {}
_omatcopy = _declare("omatcopy", _omatcopy_arguments) if available() else {}


@numba.njit(**HELPER)
def _rows_lie(strides, n_rows, width, size):
    """Whether each row's elements are side by side, and the rows one behind the other.

    The stride of an axis of length 1 may be anything: nobody steps along it.
    """
    rows = n_rows == 1 or (strides[0] >= width * size and strides[0] % size == 0)
    return rows and (width == 1 or strides[1] == size)


@numba.njit(**HELPER)
def _row_step(stride, n_rows, width, size):
    """How many elements lie from one row to the next, as BLAS is told."""
    return width if n_rows == 1 else stride // size


@overload(transpose)
def _transpose(a, out):
    omatcopy = _omatcopy.get(out.dtype)
    if omatcopy is None or a.dtype != out.dtype:
        return None
    size = out.dtype.bitwidth // 8

    def implementation(a, out):
        M, N = a.shape
        if out.shape[0] != N or out.shape[1] != M:
            raise ValueError("transpose: the shapes do not fit")
        if M == 0 or N == 0:
            return
        if not (_rows_lie(a.strides, M, N, size) and _rows_lie(out.strides, N, M, size)):
            raise ValueError("transpose: the elements of a row must be side by side")
        omatcopy(
            ROW_MAJOR, TRANSPOSED, _integer(M), _integer(N), out.dtype.type(1),
            a.ctypes, _integer(_row_step(a.strides[0], M, N, size)),
            out.ctypes, _integer(_row_step(out.strides[0], N, M, size)),
        )  # fmt: skip

    return implementation


@overload(product)
def _product(a, b, out, scale, add):
    gemm = _gemm.get(out.dtype)
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
        if _rows_lie(a.strides, M, K, size):
            a_order, a_step = PLAIN, _row_step(a.strides[0], M, K, size)
        elif _rows_lie(a.strides[::-1], K, M, size):
            a_order, a_step = TRANSPOSED, _row_step(a.strides[1], K, M, size)
        else:
            raise ValueError(_LAYOUT)
        if _rows_lie(b.strides, K, N, size):
            b_order, b_step = PLAIN, _row_step(b.strides[0], K, N, size)
        elif _rows_lie(b.strides[::-1], N, K, size):
            b_order, b_step = TRANSPOSED, _row_step(b.strides[1], N, K, size)
        else:
            raise ValueError(_LAYOUT)
        if not _rows_lie(out.strides, M, N, size):
            raise ValueError(_LAYOUT)
        out_step = _row_step(out.strides[0], M, N, size)
        beta = out.dtype.type(1) if add else out.dtype.type(0)
        gemm(
            ROW_MAJOR, a_order, b_order, _integer(M), _integer(N), _integer(K),
            scale, a.ctypes, _integer(a_step), b.ctypes, _integer(b_step),
            beta, out.ctypes, _integer(out_step),
        )  # fmt: skip

    return implementation


@jit
def _compiled_product(a, b, out, scale, add):
    product(a, b, out, scale, add)
