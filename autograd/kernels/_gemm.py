"""Matrix products inside a compiled kernel: calls of the BLAS behind NumPy, without Python.

numba has ``np.dot``, through SciPy, for contiguous matrices and without adding to the output. Here
OpenBLAS's own functions are registered with LLVM under names of our own. The linker looks these up
whenever a kernel is loaded, from the cache on disk too: no address is ever stored.

``gemm_in_kernel`` and ``transpose`` are also ordinary functions. A kernel that calls them runs
compiled if OpenBLAS was found, and otherwise as Python (``kernel.py_func``) with NumPy's products.
"""

import llvmlite.binding
import numba
import numpy as np
from numba import types
from numba.extending import overload

from autograd.kernels import _blas, _mkl
from autograd.kernels._jit import HELPER, jit
from autograd.kernels._threads import n_threads, parallel_rows
from autograd.kernels.dispatch import kernel_lock

ROW_MAJOR, PLAIN, TRANSPOSED = np.int32(101), np.int32(111), np.int32(112)  # cblas.h


def available():
    """Whether kernels can be compiled with ``gemm_in_kernel``: whether OpenBLAS was found."""
    return _blas.cblas("gemm") is not None and _blas.cblas("omatcopy") is not None


def gemm_in_kernel(a, b, out, scale, add):
    """out = scale a b, or with ``add`` out += scale a b: a (M, K), b (K, N), out (M, N).

    a and b may be views with one contiguous axis, out a view whose last axis is contiguous. ``out``
    must not overlap the others.
    """
    product = np.matmul(a, b)
    product *= out.dtype.type(scale)
    if add:
        out += product
    else:
        out[...] = product


def gemm_all_threads(a, b, out, add):
    """out = a b, or with ``add`` out += a b, from Python and in all of BLAS's threads.

    For large matrices: NumPy's BLAS multiplies them, or MKL if the user has chosen it. Compared
    with NumPy's own product, ``add`` needs one pass less over ``out``, and no second array.
    """
    if _mkl.takes(a, b, out):
        rows, columns = _grid(_mkl.threads(n_threads()), *out.shape)
        with kernel_lock:
            parallel_rows(_cells, rows * columns, 1, a, b, out, add, rows, columns)
        return
    one = out.dtype.type(1)
    (_compiled_gemm if available() else gemm_in_kernel)(a, b, out, one, add)


def _grid(threads, M, N):
    """(rows, columns) of the cells of a product (M, N), one for each thread.

    Each thread reads, and copies in its own order, all of a in its cell's rows and all of b in its
    columns. The grid is the one in which this is least.
    """
    rows = [r for r in range(1, threads + 1) if threads % r == 0]
    best = min(rows, key=lambda r: r * N + threads // r * M)
    return best, threads // best


def _cells(a, b, out, add, rows, columns, start, stop):
    """MKL's product in the cells from ``start`` to ``stop``, each by itself."""
    (M, N), line = out.shape, 16  # whole cache lines of numbers
    height, width = -(-M // (rows * line)) * line, -(-N // (columns * line)) * line
    for cell in range(start, stop):
        i, j = cell // columns * height, cell % columns * width
        part = out[i : i + height, j : j + width]
        if part.size:
            _mkl.gemm(a[i : i + height], b[:, j : j + width], part, add)


def transpose(a, out):
    """out = a^T: a (M, N), out (N, M). Both may be views whose last axis is contiguous.

    OpenBLAS's copy is six times as fast as a loop compiled here: it transposes blocks in registers.
    """
    out[...] = a.T


_whole = types.Integer.from_bitwidth(_blas.integer_bits() or 64)
_integer = np.int32 if _blas.integer_bits() == 32 else np.int64


def _declare(function, arguments):
    """The C functions cblas_s``function`` and cblas_d``function``, by their type of numbers."""
    functions = {}
    for number, kind in ((types.float32, "s"), (types.float64, "d")):
        # the width is in the name: the cache on disk may outlive this NumPy
        name = f"autograd_{kind}{function}_{_whole.bitwidth}"
        llvmlite.binding.add_symbol(name, _blas.cblas(function)[kind])
        signature = types.void(*arguments(number, types.CPointer(number)))
        functions[number] = types.ExternalFunction(name, signature)
    return functions


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
def _leading_dimension(strides, rows, columns, size):
    """Elements from the start of one row to the next; 0 if the rows do not suit BLAS.

    A row's elements must be adjacent, and the rows must not overlap. The stride of an axis of
    length 1 may be anything: no step is ever taken along it.
    """
    if columns != 1 and strides[1] != size:
        return 0
    if rows == 1:
        return columns
    suits = strides[0] >= columns * size and strides[0] % size == 0
    return strides[0] // size if suits else 0


@numba.njit(**HELPER)
def _layout(strides, rows, columns, size):
    """How BLAS reads a matrix: (PLAIN or TRANSPOSED, its leading dimension)."""
    step = _leading_dimension(strides, rows, columns, size)
    if step > 0:
        return PLAIN, step
    step = _leading_dimension(strides[::-1], columns, rows, size)
    if step > 0:
        return TRANSPOSED, step
    raise ValueError("gemm_in_kernel: neither axis is contiguous, and BLAS needs one")


@overload(transpose)
def _transpose(a, out):
    omatcopy = _omatcopy.get(out.dtype)
    if omatcopy is None or a.dtype != out.dtype:
        return None
    size = out.dtype.bitwidth // 8

    def implementation(a, out):
        M, N = a.shape
        if out.shape[0] != N or out.shape[1] != M:
            raise ValueError("transpose: the shape of out must be that of a, reversed")
        if M == 0 or N == 0:
            return
        lda = _leading_dimension(a.strides, M, N, size)
        ldb = _leading_dimension(out.strides, N, M, size)
        if lda == 0 or ldb == 0:
            raise ValueError("transpose: the last axis is not contiguous, and BLAS needs it to be")
        omatcopy(
            ROW_MAJOR, TRANSPOSED, _integer(M), _integer(N),
            out.dtype.type(1), a.ctypes, _integer(lda), out.ctypes, _integer(ldb),
        )  # fmt: skip

    return implementation


@overload(gemm_in_kernel)
def _gemm_in_kernel(a, b, out, scale, add):
    gemm = _gemm.get(out.dtype)
    if gemm is None or not a.dtype == b.dtype == out.dtype:
        return None
    size = out.dtype.bitwidth // 8

    def implementation(a, b, out, scale, add):
        (M, K), N = a.shape, b.shape[1]
        if b.shape[0] != K or out.shape[0] != M or out.shape[1] != N:
            raise ValueError("gemm_in_kernel: the shapes must be (M, K), (K, N) and (M, N)")
        if M == 0 or N == 0 or K == 0:
            if not add:
                out[:] = 0
            return
        a_order, lda = _layout(a.strides, M, K, size)
        b_order, ldb = _layout(b.strides, K, N, size)
        ldc = _leading_dimension(out.strides, M, N, size)
        if ldc == 0:
            raise ValueError("gemm_in_kernel: the last axis of out must be contiguous")
        beta = out.dtype.type(1) if add else out.dtype.type(0)
        gemm(
            ROW_MAJOR, a_order, b_order, _integer(M), _integer(N), _integer(K),
            scale, a.ctypes, _integer(lda), b.ctypes, _integer(ldb),
            beta, out.ctypes, _integer(ldc),
        )  # fmt: skip

    return implementation


@jit
def _compiled_gemm(a, b, out, scale, add):
    gemm_in_kernel(a, b, out, scale, add)
