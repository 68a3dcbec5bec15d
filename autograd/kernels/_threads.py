"""The threads of the compiled kernels: ``parallel_rows`` shares the rows of an array among them.

A kernel is a serial function over the rows ``start`` to ``stop`` that releases the GIL. Compared
with numba's own ``parallel=True``: a quarter of the compile time, a third of the cost of a call,
the same speed on large arrays, and none of its threading layers to collide with (two Python
threads in numba's workqueue layer abort the process; its omp layer fights with OpenBLAS).
"""

import ctypes
import itertools
import os
import queue
import threading

import numba

SMALLEST_PART = 1 << 16
"""Numbers in the smallest part: 10 to 50 microseconds of work, more than a hand-over costs."""
PARTS = 16
"""The most parts that one call is divided into."""


def rows_per_part(n_rows, row_size):
    """How many rows a part has. It depends on the sizes alone, not on the number of threads."""
    return max(1, -(-n_rows // PARTS), -(-SMALLEST_PART // max(1, row_size)))


def parallel_rows(kernel, n_rows, step, *arguments):
    """Call ``kernel(*arguments, start, stop)`` for every part of ``step`` rows, in several threads.

    The calling thread works too, and never waits for a thread that has not started a part: a thread
    that is late (OpenBLAS's threads spin on its core for a while after each product) finds no part
    left. The parts depend on ``step`` alone. A kernel that sums over rows writes the sum of its
    part to row ``start // step`` of a buffer, so the result does not depend on which thread ran
    which part.

    It never returns before the helpers are done with the arrays, not even when it is interrupted by
    Ctrl-C: the caller may then free them.
    """
    if n_rows <= step:
        if n_rows > 0:
            kernel(*arguments, 0, n_rows)
        return
    work = _Work(kernel, arguments, n_rows, step)
    # The first call compiles the kernel, for up to a minute. A helper could not be interrupted.
    compiled = getattr(kernel, "overloads", True)
    helpers = _helpers()[: work.parts - 1] if compiled else []
    try:
        for helper in helpers:
            helper.give(work)
        own = work.run()
        for _ in range(work.parts - own):
            error = work.finished.get()
            if error is not None:
                raise error
    except BaseException:
        work.abandon(helpers)
        raise


class _Work:
    """One call of a kernel in parts: each thread takes the next part until none is left."""

    def __init__(self, kernel, arguments, n_rows, step):
        self.kernel, self.arguments = kernel, arguments
        self.n_rows, self.step = n_rows, step
        self.parts = -(-n_rows // step)
        self.next_part = itertools.count().__next__  # atomic under the GIL: no part runs twice
        self.finished = queue.SimpleQueue()  # for each part run by a helper: None, or its error

    def run(self, report=None):
        """Run parts until none is left; returns how many. ``report(None)`` follows each part."""
        done = 0
        while (part := self.next_part()) < self.parts:
            start = part * self.step
            self.kernel(*self.arguments, start, min(start + self.step, self.n_rows))
            done += 1
            if report is not None:
                report(None)
        return done

    def abandon(self, helpers):
        """Begin no more parts, and wait for those that the helpers have begun."""
        try:
            while self.next_part() < self.parts:
                pass
            for helper in helpers:
                with helper.busy:
                    pass
        except KeyboardInterrupt:  # one more, while we wait: the first is raised soon enough
            self.abandon(helpers)


class _Helper:
    """A daemon thread that helps with the work put into its inbox.

    Linux likes to wake a thread on the core of the thread that woke it, on the assumption that the
    waker is about to sleep. Ours is about to compute, and the two would share one core, so a helper
    keeps off that core.
    """

    def __init__(self, number):
        self.inbox = queue.SimpleQueue()
        self.busy = threading.Lock()  # held while it works
        self.avoids = None
        self.thread = threading.Thread(
            target=self._loop, name=f"autograd-kernel-{number}", daemon=True
        )
        self.thread.start()

    def give(self, work):
        if _getcpu is not None:
            core = _getcpu()
            if core != self.avoids:
                self.avoids = core
                self._keep_off(core)
        self.inbox.put(work)

    def _keep_off(self, core):
        """Only for speed: where a sandbox or the system refuses it, the helper runs anywhere."""
        try:
            other_cores = os.sched_getaffinity(0) - {core}
            if other_cores:
                os.sched_setaffinity(self.thread.native_id, other_cores)
        except OSError:
            pass

    def _loop(self):
        while True:
            work = self.inbox.get()
            with self.busy:
                try:
                    work.run(report=work.finished.put)
                except BaseException as error:  # parallel_rows raises it in the calling thread
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
    """Threads that a kernel may use: NUMBA_NUM_THREADS, or the cores this process may run on."""
    return numba.config.NUMBA_NUM_THREADS  # get_num_threads would start numba's own threads


def _helpers():
    global _team, _team_process
    if _team_process != os.getpid():  # threads do not survive a fork
        _team, _team_process = [], os.getpid()
    n_helpers = n_threads() - 1
    while len(_team) < n_helpers:
        try:
            _team.append(_Helper(len(_team) + 1))
        except RuntimeError:  # the system starts no more threads: the existing ones do the work
            break
    return _team[:n_helpers]
