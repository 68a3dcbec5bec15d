"""Large numbers that hardly differ, and float16, whose squares overflow from 256 on.

What is right is what float64 gives for the very same numbers: they are exact in it.
"""

import numpy as np
import pytest

from autograd import Tensor, grad, ops, use_kernels

each_mode = pytest.mark.parametrize("kernels", ["reference", "auto"])
TARGETS = np.array([0, 3, -100, 5, 1, 2])


def normalized(x, weight, bias):
    return ops.layer_norm(x, weight, bias, eps=1e-12)


OPERATIONS = {
    "layer_norm": lambda x: normalized(x, np.ones(64, x.dtype), np.zeros(64, x.dtype)),
    "layer_norm of all": lambda x: ops.layer_norm(x, eps=1e-12, axis=None),
    "rms_norm": ops.rms_norm,
    "softmax": ops.softmax,
    "log_softmax": ops.log_softmax,
    "logsumexp": lambda x: ops.logsumexp(x, axis=-1),
    "var": lambda x: ops.var(x, axis=-1),
    "var of all": ops.var,
    "std": lambda x: ops.std(x, axis=0),
    "mean": lambda x: ops.mean(x, axis=-1),
    "cross_entropy": lambda x: ops.cross_entropy(x, TARGETS, reduction="none"),
    "cross_entropy, smoothed": lambda x: ops.cross_entropy(x, TARGETS, label_smoothing=0.1),
    "cross_entropy, probabilities": lambda x: ops.cross_entropy(
        x, np.tile(np.linspace(0, 1, 64, dtype=x.dtype), (6, 1)), reduction="none"
    ),
    "linear_cross_entropy": lambda x: ops.linear_cross_entropy(
        x, np.eye(64, dtype=x.dtype), TARGETS
    ),
}
each_operation = pytest.mark.parametrize("name", OPERATIONS)


def value_and_gradient(f, x, seed=0):
    x = Tensor(x, requires_grad=True)
    y = f(x)
    w = np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)
    (g,) = grad(y, x, w)
    assert y.dtype == g.dtype == x.dtype
    return y.data, g.data


@each_mode
@each_operation
@pytest.mark.parametrize("mean, spread", [(1e4, 1e-2), (-1e6, 1.0), (3e7, 5.0)])
def test_large_numbers_that_hardly_differ(name, kernels, mean, spread):
    x = (mean + spread * np.random.default_rng(1).standard_normal((6, 64))).astype(np.float32)
    with use_kernels(kernels):
        found = value_and_gradient(OPERATIONS[name], x)
    exact = value_and_gradient(OPERATIONS[name], x.astype(np.float64))
    for a, b in zip(found, exact, strict=True):
        assert np.abs(a - b).max() <= 3e-6 * np.abs(b).max()


@each_mode
@pytest.mark.parametrize("value", [123456.7, 0.1, -3e8, 1e-20])
@pytest.mark.parametrize("n", [3, 64, 1000])
def test_a_constant_row_is_normalized_to_0(kernels, value, n):
    x = np.full((2, n), value, np.float32)
    with use_kernels(kernels):
        y, g = value_and_gradient(ops.layer_norm, x)
    np.testing.assert_array_equal(y, 0)
    assert np.isfinite(g).all()
    for f in (ops.var, ops.std):
        y, g = value_and_gradient(lambda x, f=f: f(x, axis=-1), x)
        np.testing.assert_array_equal(y, 0)
        np.testing.assert_array_equal(g, 0)


@each_mode
def test_layer_norm_second_derivative_of_large_numbers(kernels):
    def gradient_of_gradient(x):
        x, v = Tensor(x, requires_grad=True), np.arange(8, dtype=x.dtype)
        (g,) = grad((ops.layer_norm(x) * v).sum(), x, create_graph=True)
        return grad((g * v[::-1]).sum(), x)[0].data

    x = (1e4 + np.random.default_rng(0).standard_normal((2, 8))).astype(np.float32)
    with use_kernels(kernels):
        found, exact = gradient_of_gradient(x), gradient_of_gradient(x.astype(np.float64))
    assert np.abs(found - exact).max() <= 1e-5 * np.abs(exact).max()


LARGE = np.float16([[300, -300, 250, 1], [30000, -30000, 500, 0], [2, 3, 4, 5]])
IN_FLOAT16 = {
    "layer_norm": ops.layer_norm,
    "rms_norm": ops.rms_norm,
    "softmax": ops.softmax,
    "log_softmax": ops.log_softmax,
    "logsumexp": lambda x: ops.logsumexp(x, axis=-1),
    "var": lambda x: ops.var(x[2:] * 100, axis=-1),  # of 200 to 500: their squares are too large
    "std": lambda x: ops.std(x, axis=-1),
    "mean": lambda x: ops.mean(x, axis=-1),
    "sum": lambda x: ops.sum(x, axis=0),
    "cross_entropy": lambda x: ops.cross_entropy(x, np.array([0, 2, 1])),
    "cross_entropy, weighted": lambda x: ops.cross_entropy(
        x, np.array([0, 2, 1]), weight=np.array([1.0, 2.0, 0.5, 1.0])
    ),
    "cross_entropy, probabilities": lambda x: ops.cross_entropy(x, np.full(x.shape, 0.25)),
    "attention": lambda x: ops.scaled_dot_product_attention(x, x, x, dropout_p=0.0),
    "causal_attention": lambda x: ops.causal_attention(ops.concatenate([x, x, x], -1)[None], 2),
    "linear": lambda x: ops.linear(x * 0.01, np.ones((2, 4), x.dtype)),
}


@each_mode
@pytest.mark.parametrize("name", IN_FLOAT16)
def test_float16_computes_in_float32(name, kernels):
    with use_kernels(kernels):
        y, g = value_and_gradient(IN_FLOAT16[name], LARGE)
        exact = value_and_gradient(IN_FLOAT16[name], LARGE.astype(np.float64))
    for a, b in zip((y, g), exact, strict=True):
        assert np.isfinite(b).all()
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3 * np.median(np.abs(b)) + 1e-4)


@each_mode
def test_float16_second_derivatives_compute_in_float32(kernels):
    def second(x):
        x = Tensor(x, requires_grad=True)
        (g,) = grad((ops.rms_norm(x) * np.arange(2, dtype=x.dtype)).sum(), x, create_graph=True)
        return grad(g[0, 0] * 300, x)[0].data

    x = np.float16([[300, -400]])
    with use_kernels(kernels):
        found, exact = second(x), second(x.astype(np.float64))
    assert found.dtype == np.float16 and np.abs(exact).max() > 1e-4
    np.testing.assert_allclose(found, exact, rtol=2e-2)


@pytest.mark.parametrize("axis", [0, 1, None])
def test_a_sum_of_many_float16_goes_past_2048(axis):
    x = Tensor(np.ones((5000, 2), np.float16), requires_grad=True)
    expected = np.sum(x.data, axis=axis, dtype=float)
    np.testing.assert_allclose(ops.sum(x, axis=axis).data, expected, rtol=1e-3)
    bias = Tensor(np.zeros(2, np.float16), requires_grad=True)
    assert grad((x + bias).sum(), bias)[0].data.tolist() == [5000, 5000]  # sums over the rows


def test_log_sum_exp_of_more_numbers_than_float16_counts():
    x = Tensor(np.zeros(70000, np.float16), requires_grad=True)
    assert float(ops.logsumexp(x).data) == np.float16(np.log(70000))
    assert float(ops.log_softmax(x).data[0]) == -np.float16(np.log(70000))


def test_float16_with_float32_gives_float32():
    x, weight = np.float16([[300, -300]]), np.ones(2, np.float32)
    with use_kernels("reference"):
        y = ops.layer_norm(x, weight, np.zeros(2, np.float32))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.data, [[1, -1]], rtol=1e-6)
