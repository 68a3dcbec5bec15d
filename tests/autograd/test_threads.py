"""Threads, tasks and forks, each in a process of its own: what goes wrong there ends the process.

Every script prints "done" as its last act; a crash, a deadlock or a failed assertion does not.
"""

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from leaves import leaf

from autograd import grad, ops

ROOT = Path(__file__).parent.parent.parent

START = """
import faulthandler, sys, threading
import numpy as np
from autograd import Parameter, Tensor, grad, ops, use_kernels
from autograd import enable_grad, is_grad_enabled, no_grad
from autograd.functional import recompute, hvp

faulthandler.enable()
sys.setswitchinterval(1e-5)  # change threads a hundred times more often than usual

def together(*functions):
    '''Run the functions at once, each in a thread; raises what any of them raised.'''
    barrier, errors = threading.Barrier(len(functions)), []
    def run(function):
        barrier.wait()
        try:
            function()
        except BaseException as error:
            errors.append(error)
    threads = [threading.Thread(target=run, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
"""


def run(script, timeout=240, **environment):
    environment = {"OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2", **environment}
    done = subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(script) + "\nprint('done')"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[-1:] == ["done"], done.stdout + done.stderr


NETWORK = """
def network(seed):
    '''Every kind of fast kernel, forward and backward; returns the loss and all gradients.'''
    rng = np.random.default_rng(seed)
    def parameter(*shape):
        return Parameter(rng.standard_normal(shape).astype(np.float32) * 0.1)
    table, norm, shift = parameter(64, 96), parameter(96), parameter(96)
    qkv, up, bias = parameter(288, 96), parameter(96, 96), parameter(96)
    ids, targets = rng.integers(0, 64, (4, 64)), rng.integers(0, 64, (4, 64))
    draw = np.random.default_rng(seed)
    def block(h):
        h = h + ops.causal_attention(ops.linear(ops.layer_norm(h, norm, shift), qkv), 3)
        return h + ops.dropout(ops.gelu(ops.linear(h, up, bias)), 0.1, True, draw)
    h = ops.embedding(table, ids)
    h = recompute(block, block(h), rngs=(draw,))
    loss = ops.linear_cross_entropy(h, table, targets)
    loss = loss + ops.cross_entropy(ops.softmax(ops.linear(h, table)), targets)
    loss.backward()
    return [loss.data, *(p.grad.data for p in (table, norm, shift, qkv, up, bias))]
"""


def test_kernels_in_two_threads_are_those_of_one():
    run(
        NETWORK
        + """
alone = {seed: network(seed) for seed in (1, 2)}
def repeat(seed):
    for _ in range(8):
        for a, b in zip(network(seed), alone[seed], strict=True):
            np.testing.assert_array_equal(a, b)
together(lambda: repeat(1), lambda: repeat(2))
"""
    )


def test_kernels_in_two_threads_with_threads_in_blas():
    # the number of BLAS threads is set for moments, so sums may be made in another order
    run(
        NETWORK
        + """
alone = {seed: network(seed) for seed in (1, 2, 3)}
def repeat(seed):
    for _ in range(4):
        for a, b in zip(network(seed), alone[seed], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
together(*(lambda seed=seed: repeat(seed) for seed in alone))
""",
        OPENBLAS_NUM_THREADS="2",
    )


def test_the_first_kernel_of_a_process_in_two_threads(tmp_path):
    # loading numba and compiling, with an empty cache, is part of what must not collide
    run(
        """
        x = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
        found = {}
        def work(name):
            t = Tensor(x, requires_grad=True)
            ops.softmax(t).backward(x)
            found[name] = t.grad.data
        together(lambda: work("a"), lambda: work("b"))
        np.testing.assert_array_equal(found["a"], found["b"])
        """,
        TINYGRAD_LLM_CACHE=str(tmp_path),
    )


def test_threads_that_share_parameters_by_grad():
    run(
        """
        rng = np.random.default_rng(0)
        w, x = Parameter(rng.standard_normal((20, 20))), rng.standard_normal((40, 20))
        def loss(part):
            return (ops.tanh(ops.matmul(part, w)) ** 2).sum()
        (whole,) = grad(loss(x), w)
        found = {}
        def work(k):
            for _ in range(50):
                (found[k],) = grad(loss(x[20 * k : 20 * k + 20]), w)
        together(lambda: work(0), lambda: work(1))
        np.testing.assert_allclose(found[0].data + found[1].data, whole.data, rtol=1e-12)
        assert w.grad is None
        """
    )


def test_threads_that_add_into_one_grad_lose_nothing():
    # large enough for NumPy to let another thread run in the middle of an addition
    run(
        """
        w, table = Parameter(np.zeros(200_000)), Parameter(np.zeros((5000, 8)))
        ids = np.arange(5000)
        def work():
            for _ in range(100):
                ((w * 1.0).sum() + ops.embedding(table, ids).sum()).backward()
        together(work, work)
        np.testing.assert_array_equal(w.grad.data, np.full(200_000, 200.0))
        np.testing.assert_array_equal(table.grad.data, np.full((5000, 8), 200.0))
        """
    )


def test_two_threads_through_one_graph():
    # an op may add into the gradient that its own pass has of its input, not into the other's
    run(
        """
        from autograd import Op
        meeting = threading.Barrier(2, timeout=60)
        class Meet(Op):
            fresh_gradients = works_in_place = True
            def forward(self, xp, x):
                return x * 2.0
            def backward(self, xp, g, room=None):
                meeting.wait()  # both threads are in the backward of this node
                buffer = room.claim_buffer(0)
                meeting.wait()
                if buffer is None:
                    return g * 2.0
                buffer += g * 2.0
                return buffer
        x, found = Parameter(np.ones(3)), {}
        h = Meet()(x)
        def through(scale):
            y = (h * scale).sum() + (x * scale).sum() + (x * scale).sum()
            found[scale] = grad(y, x, retain_graph=True)[0].data
        together(lambda: through(1.0), lambda: through(10.0))
        np.testing.assert_array_equal(found[1.0], np.full(3, 4.0))
        np.testing.assert_array_equal(found[10.0], np.full(3, 40.0))
        """
    )


def test_second_derivatives_in_two_threads():
    run(
        """
        x = np.linspace(-1, 1, 7)
        def f(x):
            return (ops.sin(x) * ops.exp(x)).sum()
        expected = 2 * np.cos(x) * np.exp(x) * x  # f'' = 2 cos exp
        def work():
            for _ in range(30):
                np.testing.assert_allclose(hvp(f, (x,), (x,))[0].data, expected, rtol=1e-12)
        together(work, work)
        """
    )


def test_modes_stay_in_their_thread():
    run(
        """
        from concurrent.futures import ThreadPoolExecutor
        x = Parameter(np.ones(3))
        barrier = threading.Barrier(2)
        def off():
            for _ in range(200):
                with no_grad(), use_kernels("reference"):
                    barrier.wait()
                    assert not (x * 2.0).requires_grad
                    barrier.wait()
        def on():
            for _ in range(200):
                barrier.wait()
                assert (x * 2.0).requires_grad  # while the other thread is inside no_grad
                barrier.wait()
        together(off, on)
        with no_grad(), ThreadPoolExecutor(2) as pool:  # a new thread starts with recording on
            assert list(pool.map(lambda _: is_grad_enabled(), range(4))) == [True] * 4
            assert not is_grad_enabled()
        """
    )


def test_a_decorated_function_and_generator_in_two_threads():
    run(
        """
        x = Parameter(np.ones(3))
        @no_grad()
        def evaluate():
            return (x * 2.0).requires_grad
        @no_grad()
        def batches(n):
            for _ in range(n):
                assert not (x * 2.0).requires_grad
                yield is_grad_enabled()
        def work():
            for _ in range(100):
                assert not evaluate()
                for inside in batches(3):
                    assert not inside
                    assert (x * 2.0).requires_grad  # the loop's body is not the generator's
        together(work, work)
        shared = batches(400)  # one generator, advanced by whichever thread has its turn
        lock = threading.Lock()
        def take():
            for _ in range(200):
                with lock:
                    next(shared)
                assert is_grad_enabled()
        together(take, take)
        """
    )


def test_modes_stay_in_their_task():
    run(
        """
        import asyncio
        x = Parameter(np.ones(3))
        @no_grad()
        async def decorated(n):
            for _ in range(n):
                assert not (x * 2.0).requires_grad
                await asyncio.sleep(0)
        async def inside(n):
            for _ in range(n):
                with no_grad():
                    await asyncio.sleep(0)
                    assert not (x * 2.0).requires_grad
                    with enable_grad():
                        await asyncio.sleep(0)
                        assert (x * 2.0).requires_grad
        async def outside(n):
            for _ in range(n):
                assert (x * 2.0).requires_grad
                await asyncio.sleep(0)
        async def generator():
            @no_grad()
            def numbers():
                yield from (is_grad_enabled() for _ in range(3))
            for enabled in numbers():
                assert not enabled and is_grad_enabled()
                await asyncio.sleep(0)
        async def main():
            with no_grad():  # a task, and a thread of asyncio's, start as their creator was
                child = asyncio.create_task(asyncio.to_thread(is_grad_enabled))
            assert not await child
            await asyncio.gather(decorated(50), inside(50), outside(50), generator(), outside(50))
            assert is_grad_enabled()
        asyncio.run(main())
        """
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_other_threads_compute():
    run(
        """
        import os, signal, time
        x = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
        w, b = Parameter(np.ones(300, np.float32)), Parameter(np.zeros(300, np.float32))
        def step():
            t = Tensor(x, requires_grad=True)
            ops.softmax(ops.gelu(ops.layer_norm(t, w, b))).backward(x)
            return t.grad.data
        expected, stop = step(), threading.Event()
        def loop():
            while not stop.is_set():
                step()
        threads = [threading.Thread(target=loop) for _ in range(2)]
        for thread in threads:
            thread.start()
        codes = []
        for k in range(12):
            child = os.fork()
            if child == 0:
                signal.alarm(10)  # a deadlock ends the child by a signal, and is seen
                os._exit(0 if np.array_equal(step(), expected) else 1)
            codes.append(os.waitpid(child, 0)[1])
            time.sleep(0.002 * k)
        stop.set()
        for thread in threads:
            thread.join()
        assert codes == [0] * 12, codes
        np.testing.assert_array_equal(step(), expected)
        """
    )


def test_two_threads_build_and_differentiate_at_once():
    results = {}

    def work(seed):
        x = leaf(50, seed=seed)
        for _ in range(50):
            y = ops.tanh(x)
            for _ in range(10):
                y = ops.sin(y) * y
            (g,) = grad(y.sum(), x)
        results[seed] = g.data

    threads = [threading.Thread(target=work, args=(s,)) for s in (1, 2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for seed in (1, 2):
        concurrent = results[seed].copy()
        work(seed)
        np.testing.assert_array_equal(results[seed], concurrent)
