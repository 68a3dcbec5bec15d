"""ops.feed_forward is linear, gelu and linear in a row: without biases, frozen, and used twice."""

import numpy as np
import pytest

from autograd import Parameter, Tensor, grad, ops, use_kernels
from autograd.device import numpy_namespace

both_kernels = pytest.mark.parametrize("kernels", ["reference", "cpu"])


def layer(K=4, M=6, C=3, dtype="f8"):
    """x, up_weight, up_bias, down_weight and down_bias, all of which require gradients."""
    rng = np.random.default_rng(0)
    shapes = [(2, 5, K), (M, K), (M,), (C, M), (C,)]
    return [Parameter(rng.standard_normal(shape).astype(dtype)) for shape in shapes]


def composed(x, up_weight, up_bias, down_weight, down_bias, approximate="tanh"):
    hidden = ops.linear(x, up_weight, up_bias)
    return ops.linear(ops.gelu(hidden, approximate), down_weight, down_bias)


def assert_same(function, expected, inputs):
    """Both give the same output, and the same gradients of the inputs that require one."""
    wanted = [a for a in inputs if isinstance(a, Tensor) and a.requires_grad]
    y, z = function(*inputs), expected(*inputs)
    np.testing.assert_allclose(y.data, z.data, rtol=1e-12)
    g = np.random.default_rng(1).standard_normal(y.shape)
    for a, b in zip(grad(y, wanted, g), grad(z, wanted, g), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12, atol=1e-12)


@both_kernels
@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("without", [(), (2,), (4,), (2, 4)])
def test_it_is_linear_gelu_linear_and_each_bias_may_be_none(kernels, approximate, without):
    inputs = [None if i in without else a for i, a in enumerate(layer())]
    with use_kernels(kernels):
        assert_same(
            lambda *a: ops.feed_forward(*a, approximate=approximate),
            lambda *a: composed(*a, approximate=approximate),
            inputs,
        )


@both_kernels
@pytest.mark.parametrize("learns", range(5))
def test_only_what_is_wanted_is_computed(kernels, learns):
    inputs = [a if i == learns else a.detach() for i, a in enumerate(layer())]
    with use_kernels(kernels):
        assert_same(ops.feed_forward, composed, inputs)
        node = ops.feed_forward(*inputs)._node
        gradients = node.backward(numpy_namespace, np.ones((2, 5, 3)), *node.saved)
    products = [gradients[i] is not None for i in (0, 1, 3)]
    assert products == [i == learns for i in (0, 1, 3)]


@both_kernels
def test_layers_that_share_weights_add_their_gradients(kernels):
    def twice(function):
        return lambda x, *weights: function(function(x, *weights), *weights)

    def tied(function):  # one square matrix goes up and down
        return lambda x, w, b, *_: function(function(x, w, b, w, b), w, b, w, b)

    with use_kernels(kernels):
        assert_same(twice(ops.feed_forward), twice(composed), layer(C=4))
    x, w, b, _, _ = layer(K=4, M=4)
    with use_kernels(kernels):
        assert_same(tied(ops.feed_forward), tied(composed), [x, w, b])


def test_integers_and_mixed_types_become_floats_of_one_type():
    x, up_weight, up_bias, down_weight, down_bias = layer(dtype="f4")
    y = ops.feed_forward(np.ones((2, 4), int), up_weight, up_bias.data.astype("f8"), down_weight,
                         down_bias)  # fmt: skip
    assert y.dtype == np.float64 and y.shape == (2, 3)


@pytest.mark.parametrize(
    "i, shape, words",
    [
        (0, (5, 3), r"x has shape \(5, 3\), up_weight \(6, 4\) and down_weight \(3, 6\)"),
        (0, (), r"x has shape \(\)"),
        (1, (6,), r"up_weight \(6,\)"),
        (3, (3, 5), r"down_weight \(3, 5\), expected \(\.\.\., K\), \(M, K\) and \(C, M\)"),
        (2, (4,), r"up_bias has shape \(4,\), expected \(6,\)"),
        (4, (1,), r"down_bias has shape \(1,\), expected \(3,\)"),
    ],
)
def test_shapes_that_do_not_fit(i, shape, words):
    inputs = layer()
    inputs[i] = np.zeros(shape)
    with pytest.raises(ValueError, match=f"^feed_forward: .*{words}"):
        ops.feed_forward(*inputs)


def test_an_unknown_approximation():
    with pytest.raises(ValueError, match="feed_forward: approximate is 'fast'"):
        ops.feed_forward(*layer(), approximate="fast")
