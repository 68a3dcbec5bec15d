"""Graphs of 100,000 operations: nothing walks or frees them by recursion.

In a process of its own, and there in a thread with a stack of 1 MiB: an overflow ends a process
without an exception. (CPython 3.13 guards its own nested deallocation only from some 600 KiB on.)
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

SCRIPT = """
import sys, threading
import numpy as np
from autograd import Tensor, functional, grad, ops

def chain(x, n, f):
    for _ in range(n):
        x = f(x)
    return x

def leaf():
    return Tensor(np.array(1.0), requires_grad=True)

def backward(n):
    x = leaf()
    chain(x, n, lambda y: y * 1.0 + x * 0.0).backward()
    assert x.grad.item() == 1.0

def dropped(n):
    y = chain(leaf(), n, lambda y: y * y)
    del y  # never differentiated: the whole chain goes at once

def dropped_views(n):
    y = chain(leaf(), n, lambda y: y.reshape(()))
    del y

def dropped_after_use(n):
    x = leaf()
    y = chain(x, n, ops.sin)
    y.backward(retain_graph=True)
    assert x.grad.item() > 0.0
    del y

def recorded_backward(n):
    x = leaf()
    (g,) = grad(chain(x, n, ops.sin), x, create_graph=True)
    (h,) = grad(g, x)
    assert h.item() < 0.0

def recomputed(n):
    x = leaf()
    y = functional.recompute(lambda x: chain(x, n, ops.sin), x)
    (g,) = grad(y, x)
    assert g.item() > 0.0

def many_segments(n):
    x = leaf()
    chain(x, n, lambda y: functional.recompute(ops.sin, y)).backward()
    y = chain(x, n, lambda y: functional.recompute(ops.sin, y))
    del y

def functional_grad(n):
    assert functional.grad(lambda x: chain(x, n, ops.sin))(1.0).item() > 0.0

threading.stack_size(1024 * 1024)
thread = threading.Thread(target=globals()[sys.argv[1]], args=(int(sys.argv[2]),))
thread.start()
thread.join()
print("done")
"""


@pytest.mark.parametrize(
    "what, n",
    [
        ("backward", 100_000),
        ("dropped", 100_000),
        ("dropped_views", 100_000),
        ("dropped_after_use", 100_000),
        ("recorded_backward", 20_000),
        ("recomputed", 100_000),
        ("many_segments", 20_000),
        ("functional_grad", 100_000),
    ],
)
def test_a_long_chain(what, n):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, what, str(n)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
