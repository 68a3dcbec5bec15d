"""The threads of the compiled kernels: who runs which rows, errors, and systems that refuse."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from autograd import Tensor, ops, use_kernels
from autograd.kernels import _threads
from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part


@jit
def add_one(x, start, stop):
    for i in range(start, stop):
        x[i] += 1


@jit
def part_sums(x, sums, step, start, stop):
    for i in range(start, stop):
        sums[start // step] += x[i]


@pytest.fixture
def three_threads(monkeypatch):
    monkeypatch.setattr(_threads, "n_threads", lambda: 3)


@pytest.mark.parametrize("n, step", [(0, 4), (1, 4), (4, 4), (5, 4), (1000, 7), (1000, 1)])
def test_parallel_rows_covers_every_row_once(three_threads, n, step):
    x = np.zeros(n)
    for _ in range(20):
        parallel_rows(add_one, n, step, x)
    np.testing.assert_array_equal(x, np.full(n, 20.0))


def test_parts_do_not_depend_on_the_threads(monkeypatch):
    x = np.random.default_rng(0).standard_normal(10_000).astype("f4")
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(_threads, "n_threads", lambda threads=threads: threads)
        sums = np.zeros(10, "f4")
        parallel_rows(part_sums, 10_000, 1000, x, sums, 1000)
        results.append(sums)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_helpers_take_part(three_threads):
    """Two parts that wait for each other can only end if two threads run them."""
    meeting, names = threading.Barrier(2, timeout=20), set()

    def wait(start, stop):
        meeting.wait()
        names.add(threading.current_thread().name)

    parallel_rows(wait, 2, 1)
    assert len(names) == 2


def test_an_error_in_a_part_is_raised(three_threads):
    meeting = threading.Barrier(2, timeout=20)

    def fail_in_helper(start, stop):
        meeting.wait()
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("from a helper")

    with pytest.raises(RuntimeError, match="from a helper"):
        parallel_rows(fail_in_helper, 2, 1)
    x = np.zeros(100)
    parallel_rows(add_one, 100, 1, x)  # the helpers are still there
    assert x.sum() == 100


@pytest.mark.parametrize("where", ["in its own part", "before it"])
def test_ctrl_c_waits_for_the_helpers(three_threads, monkeypatch, where):
    """After it, the caller may free the arrays that the kernel writes."""
    begun, events = threading.Event(), []

    def kernel(start, stop):
        if threading.current_thread() is threading.main_thread():
            interrupt()
        begun.set()
        events.append("begun")
        time.sleep(0.2)
        events.append("done")

    def interrupt(*arguments):
        assert begun.wait(20)
        raise KeyboardInterrupt

    give = _threads._Helper.give
    if where == "before it":
        monkeypatch.setattr(_threads._Helper, "give", lambda *a: (give(*a), interrupt()))
    with pytest.raises(KeyboardInterrupt):
        parallel_rows(kernel, 50, 1)
    found = list(events)
    assert 1 <= found.count("begun") == found.count("done") <= 4
    monkeypatch.undo()
    x = np.zeros(50)
    parallel_rows(add_one, 50, 1, x)  # and the helpers are there for the next
    assert x.tolist() == [1] * 50 and events == found


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="the system has no such signals")
def test_a_second_ctrl_c_waits_too(three_threads):
    events, busy, main = [], threading.Event(), threading.main_thread().ident

    def kernel(start, stop):
        if threading.current_thread() is threading.main_thread():
            assert busy.wait(20)
            threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT)).start()
            raise KeyboardInterrupt
        events.append("begun")
        busy.set()
        time.sleep(0.5)
        events.append("done")

    with pytest.raises(KeyboardInterrupt):
        parallel_rows(kernel, 50, 1)
    assert 1 <= events.count("begun") == events.count("done")


def test_the_first_call_compiles_in_the_calling_thread(three_threads):
    class Kernel:
        """A kernel that numba has compiled for no types yet."""

        overloads, threads = {}, set()

        def __call__(self, start, stop):
            time.sleep(0.01)
            self.threads.add(threading.current_thread())

    parallel_rows(Kernel(), 20, 1)
    assert Kernel.threads == {threading.main_thread()}


def test_rows_per_part():
    assert rows_per_part(10, 3) >= 10  # small work is one part: no thread is woken
    step = rows_per_part(4096, 1024)
    assert 4096 / step <= _threads.PARTS and step * 1024 >= _threads.SMALLEST_PART
    assert rows_per_part(0, 0) >= 1


@pytest.mark.parametrize("name", ["sched_getaffinity", "sched_setaffinity"])
def test_kernels_run_where_the_system_refuses_to_place_threads(monkeypatch, name):
    if not hasattr(os, name):
        pytest.skip("threads are not placed on this system")

    def refuse(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(_threads, "n_threads", lambda: 3)
    monkeypatch.setattr(_threads, "_team", [])  # helpers that have not been placed
    x = np.ones((1024, 300), np.float32)
    np.testing.assert_allclose(ops.gelu(Tensor(x)).data, 0.8413447, rtol=1e-6)


def test_kernels_run_where_no_more_threads_can_be_started(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(_threads, "n_threads", lambda: 3)
    monkeypatch.setattr(_threads, "_team", [])
    x = np.ones((1024, 300), np.float32)
    with use_kernels("cpu"):
        np.testing.assert_allclose(ops.gelu(Tensor(x)).data, 0.8413447, rtol=1e-6)
