"""Two settings of a process that only trains: memory that is kept, and BLAS threads that sleep.

Both belong to the whole process, so importing the package changes neither; the command line and
the benchmarks ask for them, for processes of their own.

Memory. A training step frees and takes the same hundreds of megabytes again. By default glibc
returns large blocks at once (munmap), and the kernel then clears every page before handing it out
again, which costs about as much as the arithmetic done in it.

Threads. After a product OpenBLAS's threads do not sleep: they spin for 2^26 ticks, about 20
milliseconds, in case another product follows. What follows is a kernel of ours, whose own threads
then share a core with one that does nothing.
"""

import ctypes
import os
import platform
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
KEEP_UP_TO = 1 << 30  # blocks up to this size come from the heap, which is not trimmed
SPIN = 16  # 2^16 ticks of the processor's clock, some 20 microseconds: what waking up costs


def keep_freed_memory() -> bool:
    """Keep freed memory for reuse; returns whether this system can (Linux with glibc)."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    limit = (1 << 31) - 1  # the greatest int: never trim
    return bool(mallopt(M_MMAP_THRESHOLD, KEEP_UP_TO) and mallopt(M_TRIM_THRESHOLD, limit))


def let_blas_sleep() -> bool:
    """Have OpenBLAS's threads sleep soon after a product; returns whether it will be so.

    OpenBLAS reads the variable when NumPy loads it: afterwards it is too late, and False. A value
    that the user has set stays.
    """
    if "numpy" in sys.modules:
        return "OPENBLAS_THREAD_TIMEOUT" in os.environ
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", str(SPIN))
    return True
