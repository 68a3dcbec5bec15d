"""Files that are mapped into memory: the system reads a page when it is looked at, and keeps it."""

import mmap


def forget_pages(data: mmap.mmap, begin: int, end: int) -> None:
    """Let the system take back the memory of the bytes from ``begin`` to ``end``.

    It would count as this process's memory. A page that is needed again is read again.
    """
    if begin < end and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
        start = begin - begin % mmap.PAGESIZE
        data.madvise(mmap.MADV_DONTNEED, start, end - start)
