"""What the compiled kernels share: how they are compiled, their maximum, exp and erf, and threads.

A kernel is a serial function over the rows ``start`` to ``stop`` that does not hold the GIL;
``parallel_rows`` cuts the rows into parts and lets a few threads take them one by one. Compared
with numba's own ``parallel=True``: a quarter of the compile time, a third of the cost of a call,
the same speed on large arrays, and none of its threading layers to collide with (two Python
threads in numba's workqueue layer abort the process; its omp layer fights with OpenBLAS).

Three things are here because kernels went wrong without them:

- The flags. ``fastmath=True`` lets the compiler assume that there is no NaN and no infinity, and
  then gelu(inf) is NaN. Only the flags that reorder and contract arithmetic are given.
- exp. numba calls the C library once per element; the one below is a polynomial and a shift of
  the exponent, which the compiler turns into vector instructions, forty times as fast.
- The cache key. Whether a compiled kernel on disk may be used depends on its own file and on those
  of the helpers that it calls: the hash of all of them is in the key, and so is which BLAS the
  matrix product calls.
"""

import ctypes
import hashlib
import itertools
import math
import os
import queue
import threading
from pathlib import Path

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from autograd import _erf
from autograd.kernels import _blas
from autograd.kernels._disk_cache import DiskCache

# Never nnan or ninf. Nor arcp: with it 1 / sqrt(x) becomes an estimate and a Newton step, which is
# NaN where x is infinite. A kernel that wants one reciprocal for many quotients says so.
FLAGS = {"reassoc", "contract", "nsz"}
# Helpers keep the order that they are written in, and disappear into the loop that calls them.
HELPER = {"fastmath": {"contract"}, "error_model": "numpy", "forceinline": True}


COMPILING = not numba.config.DISABLE_JIT
"""False where NUMBA_DISABLE_JIT is set. The helpers below exist as compiled code only."""


# --- Compiling ------------------------------------------------------------------------------------


def _sources():
    """All files that hold compiled code or its constants: a kernel may call a helper of any."""
    folder = Path(_blas.__file__).parent
    files = (__file__, _erf.__file__, *folder.glob("_*.py"), *folder.glob("*/cpu.py"))
    return sorted(Path(file) for file in files)


def _sources_hash():
    digest = hashlib.sha256()
    for file in _sources():
        digest.update(file.read_bytes())
    return f"{digest.hexdigest()} {_blas.integer_bits()}"


_HELPERS = _sources_hash()


def jit(function):
    """Compile a serial kernel: no GIL, NaN and infinities respected, kept in _disk_cache.py."""
    dispatcher = numba.njit(nogil=True, error_model="numpy", fastmath=FLAGS)(function)
    dispatcher._cache = DiskCache(function, _HELPERS)
    return dispatcher


def part(function):
    """A function that becomes a part of each kernel that calls it, and is none of its own.

    Else a kernel would call it by name, and run the copy of whichever kernel was compiled or loaded
    first: copies that were optimized in different places add up in different orders, and the first
    process, which compiles, would not have the bits of the next, which reads from the disk.
    """
    return numba.njit(nogil=True, error_model="numpy", fastmath=FLAGS, forceinline=True)(function)


# --- minus_both, maximum, exp and erf -------------------------------------------------------------


@numba.njit(**HELPER)
def minus_both(x, large, rest):
    """(x - large) - rest, in this order, which the flags of a kernel would let go.

    Where x and ``large`` are close, their difference is exact, and so is what is left.
    """
    return (x - large) - rest


@intrinsic
def maximum(typing_context, a, b):
    """The larger of two numbers of one float type, NaN if either is, as numpy.maximum.

    The comparison that one would write cannot be vectorised into a running maximum unless the
    compiler may ignore NaN; LLVM's own operation says what NaN does, and can: ten times as fast.
    """

    def generate(context, builder, signature, arguments):
        kind = arguments[0].type
        called = ir.FunctionType(kind, [kind, kind])
        llvm_maximum = builder.module.declare_intrinsic("llvm.maximum", [kind], called)
        return builder.call(llvm_maximum, arguments)

    return a(a, b), generate


def exp(x):
    """exp(x) inside a kernel, for a float32 or float64 number, to about one unit in the last place.

    x = z ln 2 + r with z an integer and |r| <= ln 2 / 2; then exp(x) = 2^z exp(r). exp(r) is its
    Taylor polynomial, of the degree whose remainder is below the rounding; 2^z is written into the
    exponent bits, in two factors, so that denormal results and overflow to infinity come out right.
    """
    raise NotImplementedError("exp is for compiled kernels: use numpy.exp")


@intrinsic
def _float_of_bits(typing_context, bits):
    """The float32 (float64) number whose bits are those of an int32 (int64)."""
    to = {types.int32: types.float32, types.int64: types.float64}[bits]
    llvm = {types.int32: ir.FloatType(), types.int64: ir.DoubleType()}[bits]

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], llvm)

    return to(bits), generate


# ln 2 in two parts: z times the first is exact, as it has few bits; the second is what is missing.
# Only "contract": reordering would put the two parts together again.
@overload(exp, jit_options=HELPER)
def _exp(x):
    if x == types.float32:
        F, INT, bias, shift = np.float32, np.int32, np.int32(127), np.int32(23)
        low, high, degree = F(-104.0), F(89.0), 7  # beyond: 0 and infinity
        ln2, rest = F(0.693359375), F(-2.1219444005469057e-4)
    elif x == types.float64:
        F, INT, bias, shift = np.float64, np.int64, np.int64(1023), np.int64(52)
        low, high, degree = F(-746.0), F(710.0), 13
        ln2, rest = F(6.93147180369123816490e-01), F(1.90821492927058770002e-10)
    else:
        return None
    per_ln2, half = F(1 / math.log(2)), F(0.5)
    taylor = tuple(F(1 / math.factorial(k)) for k in range(degree, -1, -1))

    def implementation(x):
        c = x if x > low else low  # NaN takes the bound, so that the integer is always defined
        c = c if c < high else high
        z = np.floor(c * per_ln2 + half)
        r = (c - z * ln2) - z * rest
        y = taylor[0]
        for k in range(1, degree + 1):
            y = y * r + taylor[k]
        n = INT(z)
        m = INT(n >> INT(1))  # INT again: numba widens what it computes from int32
        y = y * _float_of_bits(INT((m + bias) << shift))
        y = y * _float_of_bits(INT((n - m + bias) << shift))
        return y if x == x else x

    return implementation


def erf(x):
    """erf(x) inside a kernel, for a float32 or float64 number (autograd/_erf.py has the method)."""
    raise NotImplementedError("erf is for compiled kernels: use autograd._erf.erf")


@overload(erf, jit_options=HELPER)
def _erf_number(x):
    if x not in (types.float32, types.float64):
        return None
    F = np.float32 if x == types.float32 else np.float64

    def constants(pair):
        return tuple(tuple(F(c) for c in reversed(half)) for half in pair)

    (p1, q1), (p2, q2) = constants(_erf.SMALL), constants(_erf.MIDDLE)
    (p3, q3), (p4, q4) = constants(_erf.TAIL), constants(_erf.FAR_TAIL)
    at_one, one, six, shift = F(_erf.AT_ONE), F(1), F(6), F(0.5625)
    cut1, cut2, cut3 = F(0.84375), F(1.25), F(1 / 0.35)

    def implementation(x):
        size = abs(x)
        near = size if size < cut1 else cut1
        t = near * near
        small = near + near * (_horner(p1, t) / _horner(q1, t))
        t = (size if size < cut2 else cut2) - one
        middle = at_one + _horner(p2, t) / _horner(q2, t)
        far = size if size > cut2 else cut2
        far = far if far < six else six
        t = one / (far * far)
        inner, outer = _horner(p3, t) / _horner(q3, t), _horner(p4, t) / _horner(q4, t)
        tail = one - exp(-far * far - shift + (inner if far < cut3 else outer)) / far
        y = small if size < cut1 else (middle if size < cut2 else tail)
        y = -y if x < 0 else y
        return y if x == x else x

    return implementation


@numba.njit(**HELPER)
def _horner(coefficients, t):
    y = coefficients[0]
    for k in range(1, len(coefficients)):
        y = y * t + coefficients[k]
    return y


# --- Threads --------------------------------------------------------------------------------------

# A part has at least so many numbers: 10 to 50 microseconds of work, above the cost of a hand-over.
SMALLEST_PART = 1 << 16
PARTS = 16


def rows_per_part(n_rows, row_size):
    """How many rows one part has: the same for the same sizes, whatever the number of threads."""
    return max(1, -(-n_rows // PARTS), -(-SMALLEST_PART // max(1, row_size)))


def parallel_rows(kernel, n_rows, step, *arguments):
    """Call ``kernel(*arguments, start, stop)`` for every part of ``step`` rows, in several threads.

    The calling thread takes parts as well, and never waits for a thread that has not begun: one
    that is late (OpenBLAS's threads spin on its core for a while after each product) finds nothing
    left to do. Parts are fixed by ``step`` alone; a kernel that sums over rows writes its sum to
    row ``start // step`` of a buffer, and the result does not depend on who ran what.
    """
    if n_rows <= step:
        if n_rows > 0:
            kernel(*arguments, 0, n_rows)
        return
    helpers = _helpers()
    work = _Work(kernel, arguments, n_rows, step)
    for helper in helpers[: work.parts - 1]:
        helper.give(work)
    own = work.run()
    for _ in range(work.parts - own):
        error = work.finished.get()
        if error is not None:
            raise error


class _Work:
    """One call of a kernel, cut in parts; threads take the next part until none is left."""

    def __init__(self, kernel, arguments, n_rows, step):
        self.kernel, self.arguments, self.n_rows, self.step = (
            kernel,
            arguments,
            n_rows,
            step,
        )
        self.parts = -(-n_rows // step)
        self.take = itertools.count().__next__  # one bytecode under the GIL: no part is taken twice
        self.finished = queue.SimpleQueue()  # None, or the error, of each part done by a helper

    def run(self, report=None):
        done = 0
        while (part := self.take()) < self.parts:
            start = part * self.step
            self.kernel(*self.arguments, start, min(start + self.step, self.n_rows))
            done += 1
            if report is not None:
                report(None)
        return done


class _Helper:
    """A daemon thread that runs what it is given, away from the core of the thread that gives it.

    Linux likes to wake a thread on the core of the one that woke it, on the assumption that the
    waker is about to sleep. Ours is about to compute, and both would share one core; so that core
    is excluded.
    """

    def __init__(self, number):
        self.inbox = queue.SimpleQueue()
        self.avoids = None
        self.thread = threading.Thread(
            target=self._loop, name=f"autograd-kernel-{number}", daemon=True
        )
        self.thread.start()

    def give(self, work):
        if _getcpu is not None:
            here = _getcpu()
            if here != self.avoids:
                self.avoids = here
                self._keep_away_from(here)
        self.inbox.put(work)

    def _keep_away_from(self, core):
        """A hint for speed. Sandboxes and some systems refuse it, and then it is left out."""
        try:
            elsewhere = os.sched_getaffinity(0) - {core}
            if elsewhere:
                os.sched_setaffinity(self.thread.native_id, elsewhere)
        except OSError:
            pass

    def _loop(self):
        while True:
            work = self.inbox.get()
            try:
                work.run(report=work.finished.put)
            except BaseException as error:  # raised again in the thread that asked
                work.finished.put(error)
            del work  # an idle helper keeps no arrays alive


def _find_getcpu():
    if not hasattr(os, "sched_setaffinity"):
        return None
    return getattr(ctypes.CDLL(None), "sched_getcpu", None)


_getcpu = _find_getcpu()
_team: list[_Helper] = []
_team_process = None


def n_threads():
    """Threads that a kernel may use: NUMBA_NUM_THREADS, else the cores this process may run on."""
    return numba.config.NUMBA_NUM_THREADS  # get_num_threads would start numba's own threads


def _helpers():
    global _team, _team_process
    if _team_process != os.getpid():  # threads do not survive a fork
        _team, _team_process = [], os.getpid()
    wanted = n_threads() - 1
    while len(_team) < wanted:
        try:
            _team.append(_Helper(len(_team) + 1))
        except RuntimeError:  # the system starts no more threads: those that there are do the work
            break
    return _team[:wanted]
