"""Two threads call the same function and the same generator, both decorated with no_grad."""

import threading

import numpy as np
from together import together

from autograd import Parameter, is_grad_enabled, no_grad

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
            assert (x * 2.0).requires_grad  # the body of the loop is not the generator's


together(work, work)

shared = batches(400)  # one generator, which both threads advance
lock = threading.Lock()


def advance():
    for _ in range(200):
        with lock:
            next(shared)
        assert is_grad_enabled()


together(advance, advance)
print("done")
