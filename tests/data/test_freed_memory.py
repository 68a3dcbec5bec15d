"""Freed memory goes back to the system, neither too often nor never."""

from tinygrad_llm import freed_memory
from tinygrad_llm.freed_memory import EVERY, FreedMemory


def test_memory_goes_back_now_and_then(monkeypatch):
    calls = []
    monkeypatch.setattr(freed_memory, "_malloc_trim", lambda: calls.append)
    freed = FreedMemory()
    freed.passed(EVERY - 1)
    assert calls == []
    freed.passed(1)
    assert calls == [0]
    freed.passed(EVERY - 1)
    assert calls == [0]
    freed.give_back()
    freed.passed(EVERY - 1)
    assert calls == [0, 0]


def test_other_c_libraries_have_no_such_function(monkeypatch):
    FreedMemory().give_back()  # this one may have it
    freed_memory._malloc_trim.cache_clear()
    for error in (AttributeError, OSError, TypeError):

        def library(name, error=error):
            raise error

        monkeypatch.setattr(freed_memory.ctypes, "CDLL", library)
        assert freed_memory._malloc_trim() is None
        FreedMemory().give_back()
        freed_memory._malloc_trim.cache_clear()
