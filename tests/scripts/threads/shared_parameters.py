"""Two threads call grad() with respect to the same parameter, each with half of a batch."""

import numpy as np
from together import together

from autograd import Parameter, grad, ops

rng = np.random.default_rng(0)
w, x = Parameter(rng.standard_normal((20, 20))), rng.standard_normal((40, 20))


def loss(part):
    return (ops.tanh(ops.matmul(part, w)) ** 2).sum()


(whole,) = grad(loss(x), w)
halves = {}


def work(k):
    for _ in range(50):
        (halves[k],) = grad(loss(x[20 * k : 20 * k + 20]), w)


together(lambda: work(0), lambda: work(1))
np.testing.assert_allclose(halves[0].data + halves[1].data, whole.data, rtol=1e-12)
assert w.grad is None
print("done")
