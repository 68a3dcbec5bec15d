"""A gradient has the type of its tensor."""

import numpy as np

from autograd import Tensor


def test_python_scalars_stay_weak():
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    y = 0.5 * x + 1 - x / 3.0
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == np.float32


def test_gradient_dtype_is_the_inputs():
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    y = Tensor(np.ones(3), requires_grad=True)
    z = x * y
    assert z.dtype == np.float64
    z.sum().backward()
    assert x.grad.dtype == np.float32 and y.grad.dtype == np.float64
