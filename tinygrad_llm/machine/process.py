"""Two settings for a process that only trains: keep freed memory, and let BLAS threads sleep.

Both affect the whole process, so importing the package changes neither; the command line and the
benchmarks make them, for their own processes.

Memory. A training step frees and allocates the same hundreds of megabytes again and again. By
default glibc returns large blocks at once (munmap), and the kernel then clears every page before
handing it out again, which costs about as much as the arithmetic done in it.

Threads. After a product OpenBLAS's threads do not sleep: they spin for 2^26 ticks, about 20
milliseconds, in case another product follows. If one of our kernels follows, its own threads share
a core with an idle, spinning one. But waking a thread takes some 30 microseconds, and the kernels
between the products of a few hundred tokens, as in fine-tuning, are not much longer. So the threads
spin for a time that is short next to a kernel over a large batch, and long next to waking up.
"""

import ctypes
import os
import platform
import sys

from tinygrad_llm.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
KEEP_UP_TO = 1 << 30  # blocks up to this size come from the heap, which is not trimmed
SPIN = 20  # 2^20 ticks of the processor's clock, some 0.4 milliseconds


def keep_freed_memory() -> bool:
    """Keep freed memory for reuse; returns whether this system can (Linux with glibc)."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    limit = (1 << 31) - 1  # the largest int: never trim
    return bool(mallopt(M_MMAP_THRESHOLD, KEEP_UP_TO) and mallopt(M_TRIM_THRESHOLD, limit))


def let_blas_sleep() -> bool:
    """Let OpenBLAS's threads sleep soon after a product; returns whether they will.

    OpenBLAS reads the variable when NumPy loads it: after that it is too late, and the result is
    False. A value that the user has set stays.
    """
    if "numpy" in sys.modules:
        return "OPENBLAS_THREAD_TIMEOUT" in os.environ
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", str(SPIN))
    return True


def check_blas() -> None:
    """Raise UserError if the user has chosen a BLAS (TINYGRAD_LLM_BLAS) that is not there."""
    if os.environ.get("TINYGRAD_LLM_BLAS"):
        from autograd.kernels import _mkl
        from autograd.kernels.product import choice

        try:
            if _mkl.chosen() == "mkl":
                _mkl.library()
            choice.is_chosen()
        except ValueError as error:
            raise UserError(str(error)) from None
