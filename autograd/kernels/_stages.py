"""Work in stages within one compiled call per thread: what follows a stage needs all of it.

A step of a language model with one token is some hundred small pieces of work in a row, each of a
few microseconds when several threads share it. To start threads for each, or to return to Python in
between, would cost more than the work. So every thread runs the whole kernel, and the kernel names
its stages:

    for chunk in chunks(counters[0], n):     # the chunks of stage 0, shared among the threads
        ...
    for chunk in chunks(counters[1], m):     # begins when all of stage 0 is done
        ...

A thread takes the next chunk of the stage until none is left, and then waits for those that others
are still at. It never waits for a thread that has taken none: one that is late finds the stages
over, and passes through them. What chunks there are must depend on sizes alone; then the result
does not depend on the threads.

Memory that a later stage writes again may be read only within a chunk: a late thread passes by
when that is long under way.
"""

import ctypes
import sys

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from autograd.kernels._jit import KERNEL

LINE = 8
"""int64 numbers in a cache line: counters of which two share one would slow each other down."""
PATIENCE = 2000
"""How often a waiting thread looks before it offers its core to others."""


def new_counters(n_stages):
    """Counters for one call: how many chunks of each stage have been taken, and are done."""
    return np.zeros((n_stages, 2, LINE), np.int64)


def _address(builder, address):
    return builder.inttoptr(address, ir.IntType(64).as_pointer())


@intrinsic
def _add(typing_context, address, n):
    """Add n to the int64 at an address, as one operation among all threads; returns the old one."""

    def generate(context, builder, signature, arguments):
        address, n = arguments
        return builder.atomic_rmw("add", _address(builder, address), n, "acq_rel")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def read_now(typing_context, address):
    """The int64 at an address as it is now; what was written before it can be read afterwards."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(_address(builder, arguments[0]), "acquire", 8)

    return types.int64(types.int64), generate


def _find_yield():
    """The system's function by which a thread offers its core to others."""
    if sys.platform == "win32":
        return ctypes.windll.kernel32.SwitchToThread
    return ctypes.CDLL(None).sched_yield


llvmlite.binding.add_symbol("autograd_yield", ctypes.cast(_find_yield(), ctypes.c_void_p).value)
_yield = types.ExternalFunction("autograd_yield", types.int32())


@numba.njit(**KERNEL)
def chunks(counters, n):
    """The chunks of a stage that fall to this thread, some of 0 to n - 1; then waits for all n.

    ``counters`` are the stage's (2, LINE).
    """
    taken, done = counters[0].ctypes.data, counters[1].ctypes.data
    chunk = _add(taken, 1)
    while chunk < n:
        yield chunk
        _add(done, 1)
        chunk = _add(taken, 1)
    looks = 0
    while read_now(done) < n:
        looks += 1
        if looks % PATIENCE == 0:
            _yield()
