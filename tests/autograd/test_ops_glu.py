"""Gated linear units: their limits, their room to work in place, and what they refuse."""

import numpy as np
import pytest
from kernel_checks import INF, both_dtypes, normal, room, xp

from autograd import Tensor, grad, kernels, ops, use_kernels

units = pytest.mark.parametrize(
    "unit",
    [ops.swiglu, ops.geglu, lambda a, b: ops.geglu(a, b, "none")],
    ids=["swi", "ge", "exact"],
)


@pytest.mark.parametrize("mode", ["auto", "reference"])
@units
@both_dtypes
def test_the_gate_is_shut_at_minus_infinity_and_open_at_infinity(unit, dtype, mode):
    largest = np.finfo(dtype).max
    a = Tensor(np.array([-INF, -largest, -1e4, 0, 1e4, INF], dtype), requires_grad=True)
    b = Tensor(np.full(6, 0.5, dtype), requires_grad=True)
    with use_kernels(mode), np.errstate(over="raise", invalid="raise"):
        y = unit(a, b)
        g_a, g_b = grad(y, [a, b], np.ones(6, dtype))
    np.testing.assert_array_equal(y.data, [0, 0, 0, 0, 5e3, INF])
    np.testing.assert_array_equal(g_a.data, [0, 0, 0, 0.25, 0.5, 0.5])
    np.testing.assert_array_equal(g_b.data, [0, 0, 0, 0, 1e4, INF])


def test_they_are_their_activation_times_the_other_half():
    a, b = normal(5, 7), normal(5, 7, seed=1)
    np.testing.assert_allclose(ops.swiglu(a, b).data, (ops.silu(a) * b).data)
    np.testing.assert_allclose(ops.geglu(a, b).data, (ops.gelu(a, "tanh") * b).data)
    np.testing.assert_allclose(ops.geglu(a, b, "none").data, (ops.gelu(a) * b).data)


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_tanh"])
@both_dtypes
def test_the_gradient_of_up_is_written_over_one_that_may_be_overwritten(activation, dtype):
    a, b, g = (normal(3, 50, dtype=dtype, seed=k) for k in range(3))
    before, backward = g.copy(), kernels.glu.backward
    expected = backward(xp, g, a, b, activation)
    np.testing.assert_array_equal(g, before)
    g_a, g_b = backward(xp, g, a, b, activation, room=room(g=g))
    assert g_b is g
    np.testing.assert_array_equal(g_a, expected[0])
    np.testing.assert_array_equal(g_b, expected[1])


def test_a_constant_half_gets_no_gradient():
    a, b = normal(3, 4), normal(3, 4, seed=1)
    for k in range(2):
        halves = [Tensor(h, requires_grad=i == k) for i, h in enumerate((a, b))]
        ops.swiglu(*halves).sum().backward()
        both = [Tensor(h, requires_grad=True) for h in (a, b)]
        ops.swiglu(*both).sum().backward()
        np.testing.assert_array_equal(halves[k].grad.data, both[k].grad.data)
        assert halves[1 - k].grad is None


def test_two_types_and_integers():
    a, b = np.ones(3, np.float32), np.ones(3)
    assert ops.swiglu(a, a).dtype == np.float32
    assert ops.swiglu(a, b).dtype == ops.swiglu([1, 2, 3], [4, 5, 6]).dtype == np.float64


def test_wrong_arguments():
    with pytest.raises(ValueError, match="swiglu: gate has shape .3, 4. and up .4,., expected"):
        ops.swiglu(normal(3, 4), normal(4))
    with pytest.raises(ValueError, match="geglu: gate has shape"):
        ops.geglu(normal(3, 4), normal(4, 3))
    with pytest.raises(ValueError, match='geglu: approximate is .*, but must be "none" or "tanh"'):
        ops.geglu(normal(3), normal(3), "fast")
