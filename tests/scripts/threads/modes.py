"""no_grad and use_kernels apply only to the thread that entered them; a new thread records."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from together import together

from autograd import Parameter, is_grad_enabled, no_grad, use_kernels

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
with no_grad(), ThreadPoolExecutor(2) as pool:
    assert list(pool.map(lambda _: is_grad_enabled(), range(4))) == [True] * 4
    assert not is_grad_enabled()
print("done")
