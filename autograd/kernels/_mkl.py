"""Intel's MKL for products of large matrices, where the variable TINYGRAD_LLM_BLAS asks for it.

The package ``mkl`` (``pip install mkl``) has the library, which is opened here by ctypes. On
Intel's processors its float32 product is faster than OpenBLAS's. The variable's other values are
"numpy", NumPy's BLAS, "kernel", this project's own (``kernels/product/``, float32 only), and
"auto", the one or the other of these two, by the sizes of the product.

MKL's own threads would be a second team besides the kernels', which spins after each product, and
its OpenMP a second one besides PyTorch's. So MKL computes in the thread that calls it, and the
kernels' threads share a product (``gemm_all_threads`` in _gemm.py). In its reproducible mode a
result does not depend on where the operands lie in memory.
"""

import ctypes
import functools
import os
import site
import sys
from pathlib import Path

import numpy as np

VARIABLE = "TINYGRAD_LLM_BLAS"
NAMES = ("auto", "numpy", "mkl", "kernel")
LEAST_WORK = 1 << 20
"""Multiply-adds of a product for which the threads are called: NumPy's BLAS has the smaller."""

_FILES = ("lib/libmkl_rt.so*", "lib/libmkl_rt*.dylib", "Library/bin/mkl_rt*.dll")
_SEQUENTIAL, _REPRODUCIBLE = 1, 2  # MKL_THREADING_SEQUENTIAL, MKL_CBWR_AUTO (mkl_service.h)
_ROW_MAJOR, _PLAIN, _TRANSPOSED = 101, 111, 112  # cblas.h
_NUMBERS = {
    np.dtype(np.float32): ("s", ctypes.c_float),
    np.dtype(np.float64): ("d", ctypes.c_double),
}


def chosen() -> str:
    """What computes large products, one of NAMES. Raises ValueError if the user names another."""
    name = os.environ.get(VARIABLE) or "auto"
    if name not in NAMES:
        raise ValueError(
            f"{VARIABLE} is {name!r}, expected 'auto', 'numpy', 'mkl' or 'kernel': set it to one "
            "of them, or unset it"
        )
    return name


@functools.cache
def library() -> ctypes.CDLL:
    """MKL, ready for use. Raises ValueError where it is not installed."""
    folders = dict.fromkeys(map(Path, (sys.prefix, sys.base_prefix, site.getuserbase())))
    files = [file for folder in folders for pattern in _FILES for file in folder.glob(pattern)]
    if not files:
        raise ValueError(
            f"{VARIABLE} is 'mkl', but there is no libmkl_rt in {sys.prefix}: install it with "
            f"`pip install mkl`, or unset {VARIABLE}"
        )
    try:
        mkl = ctypes.CDLL(str(files[0]))
    except OSError as error:
        raise ValueError(
            f"{VARIABLE} is 'mkl', but {files[0]} cannot be loaded ({error}): install it again "
            f"with `pip install --force-reinstall mkl`, or unset {VARIABLE}"
        ) from None
    mkl.MKL_Set_Threading_Layer(_SEQUENTIAL)
    if "MKL_CBWR" not in os.environ:
        mkl.MKL_CBWR_Set(_REPRODUCIBLE)
    for letter, number in _NUMBERS.values():
        flag, whole, pointer = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
        gemm = getattr(mkl, f"cblas_{letter}gemm")
        gemm.argtypes = [
            flag, flag, flag, whole, whole, whole,
            number, pointer, whole, pointer, whole, number, pointer, whole,
        ]  # fmt: skip
        gemm.restype = None
    return mkl


def version() -> str:
    """MKL's name and version."""
    text = ctypes.create_string_buffer(256)
    library().MKL_Get_Version_String(text, len(text))
    return text.value.decode().split(" for ")[0].strip()


def threads(most: int) -> int:
    """The threads that share a product: MKL_NUM_THREADS, and no more than ``most``."""
    wanted = os.environ.get("MKL_NUM_THREADS", "")
    return min(int(wanted), most) if wanted.isdecimal() and int(wanted) > 0 else most


def takes(a, b, out) -> bool:
    """Whether a product is MKL's: chosen, large, of one type, and with one contiguous axis each."""
    return (
        len(a) * b.size >= LEAST_WORK
        and chosen() == "mkl"
        and a.dtype == b.dtype == out.dtype
        and out.dtype in _NUMBERS
        and None not in (_layout(a), _layout(b))
        and _layout(out) == (_PLAIN, out.strides[0] // out.itemsize)
    )


def gemm(a, b, out, add):
    """out = a b, or with ``add`` out += a b, in this thread, of operands that ``takes`` accepts."""
    letter, _ = _NUMBERS[out.dtype]
    (M, K), N = a.shape, b.shape[1]
    (a_order, a_step), (b_order, b_step), (_, step) = map(_layout, (a, b, out))
    mkl = library()
    before = mkl.MKL_Set_Num_Threads_Local(1)  # if others have chosen MKL's threads before
    getattr(mkl, f"cblas_{letter}gemm")(
        _ROW_MAJOR, a_order, b_order, M, N, K,
        1, a.ctypes.data, a_step, b.ctypes.data, b_step, add, out.ctypes.data, step,
    )  # fmt: skip
    mkl.MKL_Set_Num_Threads_Local(before)


def _layout(matrix):
    """How BLAS reads a matrix: (_PLAIN or _TRANSPOSED, elements from row to row of memory).

    None if it cannot. Then, or if an axis of length 1 has a strange stride, NumPy's BLAS is called.
    """
    size, (rows, columns), (down, along) = matrix.itemsize, matrix.shape, matrix.strides
    if along == size and down % size == 0 and down >= columns * size:
        return _PLAIN, down // size
    if down == size and along % size == 0 and along >= rows * size:
        return _TRANSPOSED, along // size
    return None
