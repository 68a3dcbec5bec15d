"""A graph of n operations, used in the way that the first argument names; n is the second.

It runs in a thread with a stack of 1 MiB. (CPython 3.13 guards its own nested deallocation only
from some 600 KiB on.)
"""

import sys
import threading

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
