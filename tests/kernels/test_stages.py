"""Stages: every chunk runs once, and none before the stage before it is done."""

import threading
import time

import numpy as np
import pytest

from autograd.kernels._jit import COMPILING, jit
from autograd.kernels._threads import parallel_rows

if not COMPILING:
    pytest.skip("NUMBA_DISABLE_JIT is set: nothing is compiled", allow_module_level=True)

from numba import int64

from autograd.kernels._calls import address_of, caller
from autograd.kernels._stages import chunks, new_counters, read_now

N_STAGES, N_CHUNKS = 200, 7


@jit
def relay(counters, table, start, stop):
    """Row s + 1 is made of all of row s, read backwards; each chunk adds to its entry."""
    for s in range(len(table) - 1):
        n = table.shape[1]
        for chunk in chunks(counters[s], n):
            total = 0
            for i in range(n):
                total += (i + 1) * table[s, n - 1 - i]
            table[s + 1, chunk] += (total + chunk) % 1009


def expected_table():
    table = np.zeros((N_STAGES + 1, N_CHUNKS), np.int64)
    table[0] = np.arange(N_CHUNKS)
    for s in range(N_STAGES):
        total = sum((i + 1) * table[s, N_CHUNKS - 1 - i] for i in range(N_CHUNKS))
        table[s + 1] = (total + np.arange(N_CHUNKS)) % 1009
    return table


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_stages_follow_one_another(n_threads):
    for _ in range(20):
        table = np.zeros((N_STAGES + 1, N_CHUNKS), np.int64)
        table[0] = np.arange(N_CHUNKS)
        parallel_rows(relay, n_threads, 1, new_counters(N_STAGES), table)
        np.testing.assert_array_equal(table, expected_table())


def test_a_late_thread_passes_through():
    table = np.zeros((N_STAGES + 1, N_CHUNKS), np.int64)
    table[0] = np.arange(N_CHUNKS)
    counters = new_counters(N_STAGES)
    relay(counters, table, 0, 1)
    relay(counters, table, 1, 2)  # as if a thread came when all was done
    np.testing.assert_array_equal(table, expected_table())


@jit
def wait_for_a_chunk(counters, order, start, stop):
    for chunk in chunks(counters[0], 2):
        if chunk == 0:
            while read_now(order.ctypes.data) == 0:  # until the test says so
                pass
    order[1 + start] = 1


def test_a_thread_waits_for_chunks_that_others_have_begun():
    counters, order = new_counters(1), np.zeros(3, np.int64)
    threads = [
        threading.Thread(target=wait_for_a_chunk, args=(counters, order, i, i + 1))
        for i in range(2)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while counters[0, 1, 0] < 1 and time.monotonic() < deadline:
        time.sleep(0.01)  # until one chunk is done
    time.sleep(0.1)
    done, before = counters[0, 1, 0], order.tolist()
    order[0] = 1
    for thread in threads:
        thread.join(30)
    assert done == 1 and before == [0, 0, 0]
    assert order.tolist() == [1, 1, 1]


@jit
def store(numbers, i, value):
    numbers[i] = value


_call_store = caller(int64[::1], int64, int64)


@jit
def store_squares(address, numbers):
    for i in range(len(numbers)):
        _call_store(address, (numbers, i, i * i))


def test_a_call_by_address():
    numbers = np.zeros(5, np.int64)
    store_squares(address_of(store, int64[::1], int64, int64), numbers)
    assert numbers.tolist() == [0, 1, 4, 9, 16]
