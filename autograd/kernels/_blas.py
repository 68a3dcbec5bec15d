"""The BLAS behind NumPy: how many threads it uses, and its matrix product for compiled kernels.

BLAS itself shares a product of large matrices best among the cores. With many products of small
matrices its threads would meet after each one, and wait longer than they work. There each of the
kernels' threads multiplies matrices of its own, and BLAS must use one thread per product. The C
interface of OpenBLAS, which NumPy's wheels contain, has a function to set this. With another
library (Accelerate, MKL) ``openblas()`` is None.

The setting is process-wide: it is changed only under the dispatcher's lock.
"""

import ctypes
import functools
from contextlib import contextmanager
from pathlib import Path

import numpy as np

# NumPy's wheels prefix and suffix OpenBLAS's names; a distribution's NumPy has them plain.
_NAMES = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")


@functools.cache
def openblas():
    """A function that looks up OpenBLAS's functions by name, or None without OpenBLAS."""
    library, name = _find() or (None, None)
    return library and (lambda f: getattr(library, name.format(f)))


@functools.cache
def _find():
    """The library and the pattern of its names, or None."""
    package = Path(np.__file__).parent
    folders = (package.parent / "numpy.libs", package / ".dylibs")
    files = [str(f) for folder in folders if folder.is_dir() for f in folder.glob("*openblas*")]
    for file in [*files, None]:  # None: the libraries already loaded
        try:
            library = ctypes.CDLL(file)
        except (OSError, TypeError):  # Windows does not accept None
            continue
        for name in _NAMES:
            if hasattr(library, name.format("set_num_threads")):
                return library, name
    return None


@functools.cache
def cblas(function):
    """The addresses of cblas_s``function`` and cblas_d``function`` by "s" and "d", or None."""
    library, name = _find() or (None, None)
    if library is None:
        return None
    pattern = name.replace("openblas_{}", "cblas_{}{}")
    names = {kind: pattern.format(kind, function) for kind in "sd"}
    if not all(hasattr(library, full) for full in names.values()):
        return None
    return {
        kind: ctypes.cast(getattr(library, full), ctypes.c_void_p).value
        for kind, full in names.items()
    }


def integer_bits():
    """The width of OpenBLAS's integers in bits: 32 or 64; 0 without OpenBLAS."""
    _, name = _find() or (None, "")
    return 64 if name.endswith("64_") else 32 if name else 0


@contextmanager
def one_thread_each():
    """In this context every BLAS call runs in the thread that makes it."""
    find = openblas()
    if find is None:
        yield
        return
    before = find("get_num_threads")()
    find("set_num_threads")(1)
    try:
        yield
    finally:
        find("set_num_threads")(before)
