"""Every node runs once, after all the nodes that use its output."""

import numpy as np
import pytest
from leaves import leaf

from autograd import Op, Tensor, grad, no_grad


def test_a_value_used_twice_gets_both_gradients():
    x = Tensor(np.array(3.0), requires_grad=True)
    y = x * x  # the same tensor on both sides
    (y + x).backward()
    assert x.grad.item() == 7.0


@pytest.mark.parametrize("create_graph", [False, True])
def test_the_same_tensor_on_both_sides_of_a_sum(create_graph):
    # Add returns one and the same array for both of its inputs
    x = leaf(3)
    (g,) = grad((x + x).sum(), x, create_graph=create_graph)
    np.testing.assert_array_equal(g.data, np.full(3, 2.0))
    y = leaf(3)
    z = y * 1.0
    (z + z + z).sum().backward(create_graph=create_graph)
    np.testing.assert_array_equal(y.grad.data, np.full(3, 3.0))


class Scale(Op):
    save_inputs = (0,)

    def __init__(self, factor):
        self.factor = factor

    def forward(self, xp, x):
        return self.factor * x * x

    def backward(self, xp, g, x):
        return g * 2 * self.factor * x


def test_an_op_called_twice_is_two_nodes():
    scale, x, z = Scale(3.0), leaf(3), leaf(3, seed=1)
    a, b = scale(x), scale(z)
    with no_grad():
        scale(leaf(5))
    assert a._node is not b._node
    (a + b * 2.0).sum().backward()
    np.testing.assert_allclose(x.grad.data, 6 * x.data)
    np.testing.assert_allclose(z.grad.data, 12 * z.data)
    (g,) = grad(scale(scale(x)).sum(), x)
    np.testing.assert_allclose(g.data, 4 * 27 * x.data**3)


def test_a_node_waits_for_all_its_uses():
    # b is used by the newest op and by an older one: depth first would run b's backward twice
    a = Tensor(np.array(2.0), requires_grad=True)
    b = a * a
    c = b * 3.0
    d = c * b
    (d + c).backward()
    assert a.grad.item() == pytest.approx(12 * 2.0**3 + 6 * 2.0)


def test_a_long_chain_needs_no_recursion():
    x = Tensor(np.array(1.0), requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.backward()
    assert x.grad.item() == 1.0
