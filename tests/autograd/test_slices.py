"""Gradients of slices and indices, added into one buffer."""

import numpy as np
from leaves import leaf

from autograd import Tensor, grad
from autograd.accumulate import Scatter
from autograd.device import numpy_namespace


def test_n_slices_add_into_one_buffer():
    x = leaf(5)
    total = sum((x[i] * float(i) for i in range(5)), start=Tensor(np.array(0.0)))
    total.backward()
    np.testing.assert_array_equal(x.grad.data, np.arange(5.0))
    y = leaf(4)
    (y[1:3] + y[[0, 0]] + y[2:] * 3.0).sum().backward()
    np.testing.assert_array_equal(y.grad.data, [2, 1, 4, 3])


def test_slices_mixed_with_dense_gradients_in_every_order():
    def parts(x):
        return [x[1:].sum(), (x * 2.0).sum(), x[[0, 0, 3]].sum(), x.sum()]

    expected = np.array([2.0, 0, 0, 1]) + [0, 1, 1, 1] + 2.0 + 1.0
    for order in ([0, 1, 2, 3], [1, 0, 3, 2], [3, 2, 1, 0], [2, 0, 1, 3]):
        x = leaf(4)
        p = parts(x)
        (p[order[0]] + p[order[1]] + p[order[2]] + p[order[3]]).backward()
        np.testing.assert_array_equal(x.grad.data, expected)


def test_second_derivative_through_slices():
    x = leaf(4)
    (g,) = grad((x[1:3] ** 3).sum() + (x[[0, 0]] ** 2).sum(), x, create_graph=True)
    (h,) = grad(g.sum(), x)
    np.testing.assert_allclose(h.data, [4, 6 * x.data[1], 6 * x.data[2], 0])


def test_a_scatter_knows_its_dense_form():
    s = Scatter((4,), np.array([1, 1, 3]), np.ones(3))
    np.testing.assert_array_equal(s.densify(numpy_namespace), [0, 2, 0, 1])
