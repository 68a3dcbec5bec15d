"""Differentiating a gradient: backward under ``create_graph=True``."""

import numpy as np
import pytest
from leaves import leaf

from autograd import Op, Parameter, Tensor, grad, ops


def test_higher_derivatives():
    x = Tensor(np.array(0.7), requires_grad=True)
    y, expected = ops.sin(x), [np.cos(0.7), -np.sin(0.7), -np.cos(0.7), np.sin(0.7)]
    for value in expected:
        (y,) = grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(value)


def test_backward_with_create_graph_lands_in_grad():
    x = leaf(3)
    (x**3).sum().backward(create_graph=True)
    penalty = (x.grad * x.grad).sum()
    x.zero_grad()
    penalty.backward()
    np.testing.assert_allclose(x.grad.data, 36 * x.data**3)


def test_a_cache_survives_a_differentiable_backward():
    x, w, b = leaf(2, 5), Parameter(np.ones(5)), Parameter(np.zeros(5))
    y = ops.layer_norm(x, w, b)
    cache = y._node.cache
    weights = np.arange(10.0).reshape(2, 5)
    first = grad(y, x, weights, create_graph=True)
    assert y._node.cache is cache
    np.testing.assert_allclose(grad(y, x, weights)[0].data, first[0].data, atol=1e-12)


def test_a_backward_that_computes_with_numpy_is_refused_where_it_would_be_a_constant():
    class Squared(Op):
        save_inputs = (0,)

        def forward(self, xp, x):
            return x * x

        def backward(self, xp, g, x):
            array = x.data if isinstance(x, Tensor) else x
            return (g.data if isinstance(g, Tensor) else g) * 2 * array

    x = Parameter(np.ones(2))
    Squared()(x).sum().backward()
    with pytest.raises(TypeError, match="returned ndarray for its input 0 under create_graph"):
        Squared()(x).sum().backward(create_graph=True)
