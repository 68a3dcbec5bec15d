"""A layer and its low-rank change as one operation: what the separate operations compute."""

import numpy as np
import pytest

from autograd import Parameter, Tensor, grad, ops
from autograd.device import numpy_namespace
from autograd.kernels.dispatch import use_kernels
from autograd.testing import check_grad
from tinygrad_llm.finetune.low_rank import LowRank, low_rank
from tinygrad_llm.quantized.linear import ops_for
from tinygrad_llm.quantized.matrix import quantize_int8

RNG = np.random.default_rng(0)
IN, OUT, R, SCALE = 32, 7, 2, 1.5
ROUNDING = {"float64": 1e-13, "float32": 1e-5}


def normal(*shape, dtype="float64"):
    return RNG.standard_normal(shape).astype(dtype)


def weight_of(stored, dtype="float64"):
    W = normal(OUT, IN, dtype=dtype)
    return quantize_int8(W.astype(np.float32)) if stored == "int8" else Tensor(W)


def apart(x, weight, bias, A, B, scale):
    """The same in separate operations."""
    y = ops_for(weight).linear(x, weight, bias)
    return y + ops.linear(scale * ops.linear(x, A), B)


def close(found, expected, tolerance):
    return np.abs(found - expected).max(initial=0) <= tolerance * np.abs(expected).max(initial=1)


def parameters(lead, dtype):
    return [Parameter(normal(*s, dtype=dtype)) for s in ((*lead, IN), (R, IN), (OUT, R))]


@pytest.fixture(params=["auto", "reference"])
def kernels(request):
    with use_kernels(request.param):
        yield


cases = pytest.mark.parametrize(
    "stored, bias, lead, dtype",
    [
        ("float", True, (3,), "float64"),
        ("float", False, (2, 3), "float64"),
        ("float", True, (2, 0), "float64"),
        ("float", True, (), "float64"),
        ("float", True, (40,), "float32"),
        ("int8", True, (2, 3), "float64"),
        ("int8", False, (40,), "float32"),
    ],
)


@cases
def test_output_and_gradients(stored, bias, lead, dtype, kernels):
    weight, b = weight_of(stored, dtype), Tensor(normal(OUT, dtype=dtype)) if bias else None
    inputs, g = parameters(lead, dtype), normal(*lead, OUT, dtype=dtype)
    expected = apart(inputs[0], weight, b, *inputs[1:], SCALE)
    found = low_rank(inputs[0], weight, b, *inputs[1:], SCALE)
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert close(found.data, expected.data, ROUNDING[dtype])
    pairs = zip(grad(found, inputs, g), grad(expected, inputs, g), strict=True)
    for ours, theirs in pairs:
        assert ours.dtype == theirs.dtype and close(ours.data, theirs.data, ROUNDING[dtype])


@cases
def test_without_a_change_the_layer_is_as_it_was_to_the_last_bit(
    stored, bias, lead, dtype, kernels
):
    weight, b = weight_of(stored, dtype), Tensor(normal(OUT, dtype=dtype)) if bias else None
    x, A, B = parameters(lead, dtype)
    B.assign_(np.zeros_like(B.data))
    expected = ops_for(weight).linear(x, weight, b)
    assert np.array_equal(low_rank(x, weight, b, A, B, SCALE).data, expected.data)


@pytest.mark.parametrize("stored", ["float", "int8"])
def test_of_two_types_the_common_one(stored, kernels):
    weight, (x, A, B) = weight_of(stored, "float32"), parameters((3,), "float32")
    x = Parameter(x.data.astype("float64"))
    found = low_rank(x, weight, None, A, B, SCALE)
    assert found.dtype == apart(x, weight, None, A, B, SCALE).dtype == np.float64
    assert [g.dtype for g in grad(found.sum(), [x, A, B])] == [p.dtype for p in (x, A, B)]


@pytest.mark.parametrize("stored", ["float", "int8"])
def test_derivatives_of_both_orders(stored):
    weight, b = weight_of(stored), Tensor(normal(OUT))
    inputs = [p.data for p in parameters((3,), "float64")]
    check_grad(lambda x, A, B: low_rank(x, weight, b, A, B, SCALE), *inputs, order=2)


@pytest.mark.parametrize("stored", ["float", "int8"])
@pytest.mark.parametrize("before", ["another", "a residual", "a view"])
def test_layers_of_the_same_input_add_up_their_gradients(stored, before, kernels):
    """Backward adds to the gradient of x that it finds, if no other tensor shares it."""
    weights = [weight_of(stored) for _ in range(3)]
    x, *AB = parameters((2, 3), "float64")

    def loss(layer):
        outputs = [layer(x, weight, None, *AB, SCALE) for weight in weights]
        total = outputs[0] * ops.tanh(outputs[1]) - outputs[2]
        if before == "a residual":  # comes first in backward, and is shared with the other summand
            total = ops.concatenate([total, x + 2 * x], axis=-1)
        if before == "a view":
            total = ops.concatenate([total, ops.swapaxes(ops.swapaxes(x, 0, 1), 0, 1)], axis=-1)
        return ops.sum(ops.square(total))

    results = []
    for layer in (low_rank, apart):
        for p in (x, *AB):
            p.zero_grad()
        loss(layer).backward()
        results.append([p.grad.data.copy() for p in (x, *AB)])
    for ours, theirs in zip(*results, strict=True):
        assert close(ours, theirs, 1e-12)


def test_only_what_is_needed_is_computed():
    weight = weight_of("float")
    for needed in range(3):
        inputs = [Tensor(p.data) for p in parameters((3,), "float64")]
        inputs[needed].requires_grad = True
        y = low_rank(inputs[0], weight, None, *inputs[1:], SCALE)
        assert isinstance(y._node, LowRank)
        arrays = [p.data for p in (*inputs, weight)]
        gradients = y._node.backward(numpy_namespace, np.ones(y.shape), *arrays)
        assert [g is not None for g in gradients] == [i == needed for i in range(4)]


def test_a_weight_that_changed_before_backward_is_an_error():
    weight, (x, A, B) = weight_of("float"), parameters((3,), "float64")
    y = low_rank(x, weight, None, A, B, SCALE)
    weight.assign_(weight.data + 1)
    with pytest.raises(RuntimeError, match="LowRank.* saved a tensor that was changed in place"):
        y.sum().backward()
