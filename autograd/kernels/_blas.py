"""The BLAS behind NumPy: how many threads it uses, and its matrix product for compiled kernels.

A product of large matrices is best shared between the cores by BLAS itself. Many products of small
matrices are not: the threads meet after each one, and wait for each other longer than they work.
There the kernels' threads take a matrix each, and BLAS has to leave them alone: one thread per
product. OpenBLAS, which NumPy's wheels bring, can be told so through its C interface; other
libraries (Accelerate, MKL) keep their own counsel, and ``openblas()`` is None.

The setting is process-wide: it is only ever changed under the dispatcher's lock.
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
    """A function that looks up OpenBLAS's own functions by name, or None without OpenBLAS."""
    library, name = _find() or (None, None)
    return library and (lambda f: getattr(library, name.format(f)))


@functools.cache
def _find():
    """The library and the pattern of its names, or None."""
    package = Path(np.__file__).parent
    folders = (package.parent / "numpy.libs", package / ".dylibs")
    files = [str(f) for folder in folders if folder.is_dir() for f in folder.glob("*openblas*")]
    for file in [*files, None]:  # None: whatever is loaded in this process already
        try:
            library = ctypes.CDLL(file)
        except (OSError, TypeError):  # Windows takes no None
            continue
        for name in _NAMES:
            if hasattr(library, name.format("set_num_threads")):
                return library, name
    return None


@functools.cache
def cblas(function):
    """Addresses of cblas_s``function`` and cblas_d``function`` by "s" and "d", or None."""
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
    """How wide the integers are that OpenBLAS takes: 32 or 64; 0 without OpenBLAS."""
    _, name = _find() or (None, "")
    return 64 if name.endswith("64_") else 32 if name else 0


@contextmanager
def one_thread_each():
    """Within this context every BLAS call runs in the thread that makes it."""
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
