"""Files that are mapped into memory: the system reads a page when it is looked at, and keeps it."""

import mmap

AROUND = 1 << 21
"""Bytes. Linux also maps what is around the page that is looked at, before it and after it, if that
is in memory: 64 KB, or the whole of a large page, which may have 2 MB."""


def forget_pages(data: mmap.mmap, begin: int, end: int) -> None:
    """Let the system take back the memory of the bytes from ``begin`` to ``end``.

    It would count as this process's memory. A page that is needed again is read again.
    """
    if begin < end and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
        start = max(0, begin - AROUND)
        start -= start % mmap.PAGESIZE
        data.madvise(mmap.MADV_DONTNEED, start, end - start)
