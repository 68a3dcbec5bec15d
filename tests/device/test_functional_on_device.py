"""The functional API on arrays that are not NumPy's: the same derivatives as on NumPy's."""

import numpy as np
import pytest

from autograd import Tensor, functional as F, ops, use_kernels
from autograd.device import namespace_on, to_numpy

A = np.random.default_rng(0).standard_normal((3, 3))
X, V = np.array([0.3, -1.2, 2.0]), np.array([1.0, 0.5, -2.0])


def f(x):
    return ops.sum(ops.tanh(x * x) + ops.sin(x[::-1]) * x)


def vector(x):
    return ops.softmax(ops.exp(x) * 0.5)


CASES = {
    "grad": lambda x, v: F.grad(f)(x),
    "value_and_grad": lambda x, v: F.value_and_grad(f)(x)[1],
    "vjp": lambda x, v: F.vjp(vector, x)[1](v)[0],
    "jvp": lambda x, v: F.jvp(vector, (x,), (v,))[1],
    "jacobian": lambda x, v: F.jacobian(vector)(x),
    "hessian": lambda x, v: F.hessian(f)(x),
    "hvp": lambda x, v: F.hvp(f, (x,), (v,))[0],
    "grad of grad": lambda x, v: F.grad(lambda y: ops.sum(F.grad(f)(y) * v))(x),
    "recompute": lambda x, v: F.grad(lambda y: ops.sum(F.recompute(vector, y) * v))(x),
}


@pytest.mark.parametrize("case", CASES)
def test_derivatives_of_functions(case, device):
    found = []
    with use_kernels("reference"):
        for where in ("cpu", device):
            xp = namespace_on(where)
            y = CASES[case](Tensor(xp.asarray(X), requires_grad=True), Tensor(xp.asarray(V)))
            assert y.device == where
            found.append(to_numpy(y.data))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12, atol=1e-14)


def test_a_recomputed_dropout_mask_is_the_same_again(device):
    results = []
    for where in ("cpu", device):
        rng = np.random.default_rng(3)
        x = Tensor(namespace_on(where).asarray(X), requires_grad=True)
        y = F.recompute(lambda x, rng=rng: ops.dropout(x * x, 0.4, rng=rng), x, rngs=[rng])
        y.backward(np.ones(3))
        results.append(x.grad.numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)
