"""The gradient that backward starts from: 1 for a number, the caller's weights for an array."""

import numpy as np
import pytest
from leaves import leaf

from autograd import Parameter, Tensor, no_grad


def test_backward_weights_the_elements():
    x = leaf(2, 3)
    w = np.arange(6.0).reshape(2, 3)
    (x * 2.0).backward(w)
    np.testing.assert_array_equal(x.grad.data, 2 * w)
    y = leaf(2, 3)
    (y * 2.0).backward(Tensor(w))
    np.testing.assert_array_equal(y.grad.data, 2 * w)


def test_backward_of_more_than_one_number_asks_for_weights():
    with pytest.raises(RuntimeError, match=r"shape \(2, 3\).*pass a gradient"):
        (leaf(2, 3) * 2.0).backward()
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\), the output \(2, 3\)"):
        (leaf(2, 3) * 2.0).backward(np.ones(3))


@pytest.mark.parametrize("create_graph", [False, True])
def test_the_gradient_that_backward_starts_from(create_graph):
    def run(gradient):
        p = Parameter(np.ones(2, np.float32))
        (p * 3).backward(gradient, create_graph=create_graph)
        assert p.grad.dtype == np.float32
        return p.grad.data.tolist()

    for weights in ([1, 2], (1.0, 2.0), np.array([1, 2]), Tensor(np.array([1.0, 2.0]))):
        assert run(weights) == [3.0, 6.0]
    for wrong in (1.0, [1.0], [[1.0, 2.0]], np.ones(3)):
        with pytest.raises(ValueError, match="they must agree"):
            run(wrong)


def test_nothing_to_differentiate():
    with pytest.raises(RuntimeError, match="not computed from any tensor that requires"):
        Tensor(np.ones(())).backward()
    x = leaf(3)
    with no_grad():
        y = x.sum()
    assert not y.requires_grad
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()
