"""Fork while two threads run kernels: the children must be able to compute, too."""

import os
import signal
import threading
import time

import numpy as np

from autograd import Parameter, Tensor, ops

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
        signal.alarm(10)  # in a deadlock this signal ends the child, which the code shows
        os._exit(0 if np.array_equal(step(), expected) else 1)
    codes.append(os.waitpid(child, 0)[1])
    time.sleep(0.002 * k)
stop.set()
for thread in threads:
    thread.join()
assert codes == [0] * 12, codes
np.testing.assert_array_equal(step(), expected)
print("done")
