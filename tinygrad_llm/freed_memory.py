"""Freed memory, given back to the system while a corpus passes through.

The C library of Linux keeps what is freed, in a pool for each thread, in case it is needed again.
Texts, and tables that grow, leave these pools full of holes that nothing fits into: the longer the
corpus, the more of them. So the stages that read all of it give them back now and then.
"""

import ctypes
from collections.abc import Callable
from functools import cache

EVERY = 1 << 26  # characters after which freed memory goes back: more often would cost time


class FreedMemory:
    """Counts the text that passes, and gives freed memory back now and then."""

    def __init__(self) -> None:
        self._passed = 0

    def passed(self, characters: int) -> None:
        """Count text that was used and is not needed any more."""
        self._passed += characters
        if self._passed >= EVERY:
            self.give_back()

    def give_back(self) -> None:
        """Return freed memory to the system, where the C library has a function for it."""
        self._passed = 0
        trim = _malloc_trim()
        if trim is not None:
            trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # not glibc; Windows has no such library
        return None
