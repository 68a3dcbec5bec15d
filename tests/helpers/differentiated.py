"""Functions for the tests of the functional API, and their Jacobians by differences."""

import numpy as np

from autograd import Tensor, ops

RNG = np.random.default_rng(0)
X, V = RNG.standard_normal(4), RNG.standard_normal(4)
W = RNG.standard_normal((3, 4))


def scalar(x):
    return (ops.sin(x) * x * x).sum() + x[0] * x[1] * x[2]


def vector(x):
    return ops.exp(x[:3]) * ops.sin(x[1:]) + ops.matmul(Tensor(W), x)


def differences(f, x, h=1e-6):
    """The Jacobian of f by central differences: output shape + input shape."""
    columns = []
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = h
        up, down = (f(Tensor(x + s.reshape(x.shape))).data for s in (step, -step))
        columns.append((up - down) / (2 * h))
    return np.stack(columns, axis=-1).reshape(np.shape(columns[0]) + x.shape)


def assert_close(found, expected, rtol=1e-10, atol=1e-12):
    assert isinstance(found, Tensor)
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found.data, expected, rtol=rtol, atol=atol)
