"""Ask glibc to keep freed memory instead of handing it back to the system after every use.

A training step frees and takes the same hundreds of megabytes again. By default glibc returns
large blocks at once (munmap), and the kernel then clears every page before handing it out again,
which costs about as much as the arithmetic done in it. Only the command line calls this, for a
process of its own; importing the package changes nothing.
"""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
KEEP_UP_TO = 1 << 30  # blocks up to this size come from the heap, which is not trimmed


def keep_freed_memory() -> bool:
    """Keep freed memory for reuse; returns whether this system can (Linux with glibc)."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    limit = (1 << 31) - 1  # the greatest int: never trim
    return bool(mallopt(M_MMAP_THRESHOLD, KEEP_UP_TO) and mallopt(M_TRIM_THRESHOLD, limit))
