"""grad(): gradients as a tuple, with nothing written into ``.grad``."""

import numpy as np
import pytest
from leaves import leaf

from autograd import Parameter, Tensor, grad, ops


def test_grad_gives_a_tuple_and_writes_nothing():
    x, y = leaf(3), leaf(3, seed=1)
    gx, gy = grad((x * y).sum(), (x, y))
    np.testing.assert_array_equal(gx.data, y.data)
    np.testing.assert_array_equal(gy.data, x.data)
    assert x.grad is None and y.grad is None and not gx.requires_grad
    (only,) = grad((x * 2.0).sum(), x)
    np.testing.assert_array_equal(only.data, np.full(3, 2.0))


def test_grad_of_an_intermediate_and_a_leaf_together():
    x = leaf(3)
    y = x * x
    z = (y * y).sum()
    gy, gx, again = grad(z, (y, x, y))
    np.testing.assert_allclose(gy.data, 2 * x.data**2)
    np.testing.assert_allclose(gx.data, 4 * x.data**3)
    np.testing.assert_array_equal(again.data, gy.data)
    assert not np.shares_memory(again.data, gy.data)


def test_grad_with_several_outputs_and_weights():
    x = leaf(3)
    (g,) = grad([x * x, 3.0 * x], x, grad_outputs=[np.ones(3), np.full(3, 2.0)])
    np.testing.assert_allclose(g.data, 2 * x.data + 6)
    with pytest.raises(ValueError, match="1 grad_outputs for 2 outputs"):
        grad([x * x, 3.0 * x], x, grad_outputs=[np.ones(3)])


def test_grad_of_an_unused_input():
    x, other = leaf(3), leaf(2)
    with pytest.raises(ValueError, match=r"do not depend on input 1, of shape \(2,\)"):
        grad((x * x).sum(), (x, other))
    _, none = grad((x * x).sum(), (x, other), allow_unused=True)
    assert none is None
    with pytest.raises(ValueError, match="input 0.*does not require a gradient"):
        grad((x * x).sum(), Tensor(np.ones(3)))


@pytest.mark.parametrize("wrong", [3.0, np.ones(2), [np.ones(2)], ["x"], None])
def test_grad_takes_tensors(wrong):
    x = Parameter(np.ones(2))
    with pytest.raises(TypeError, match="grad: outputs must be a Tensor"):
        grad(wrong, x)
    with pytest.raises(TypeError, match="grad: inputs must be a Tensor"):
        grad((x * 2).sum(), wrong)


def test_an_array_among_the_inputs_takes_no_gradient_and_no_harm():
    x, factor = Parameter(np.ones(2)), [2.0, 3.0]
    y = ops.multiply(x, factor) + ops.multiply(factor, x)
    assert grad(y.sum(), x)[0].data.tolist() == [4.0, 6.0] and factor == [2.0, 3.0]
