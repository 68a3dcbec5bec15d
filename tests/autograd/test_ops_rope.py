"""Rotary position embedding: what it is for, both layouts, and the shapes of its tables."""

import numpy as np
import pytest
from kernel_checks import both_dtypes, normal, room, xp

from autograd import Tensor, grad, kernels, ops, use_kernels

OMEGA = 10.0 ** -np.arange(3)
both_layouts = pytest.mark.parametrize("layout", ["half", "interleaved"])


def turned(x, positions, layout="half"):
    """x (..., T, D) with its rows at these positions."""
    angles = np.asarray(positions)[..., None] * OMEGA
    return ops.rope(x, np.cos(angles), np.sin(angles), layout).data


@both_layouts
def test_a_score_depends_on_the_distance_alone(layout):
    q, k = normal(4, 8), normal(5, 8, seed=1)

    def scores(shift):
        return turned(q, shift + np.arange(4), layout) @ turned(k, shift + np.arange(5), layout).T

    np.testing.assert_allclose(scores(1000), scores(0), rtol=1e-10)
    assert abs(scores(0) - q @ k.T).max() > 0.1


@both_layouts
def test_position_0_and_the_rest_of_the_channels_stay(layout):
    x = normal(2, 3, 8)
    y = turned(x, [0, 1, 2], layout)
    np.testing.assert_array_equal(y[:, 0], x[:, 0])
    np.testing.assert_array_equal(y[..., 6:], x[..., 6:])
    assert (y[:, 1:, :6] != x[:, 1:, :6]).all()
    np.testing.assert_allclose((y * y).sum(-1), (x * x).sum(-1))


def test_one_layout_is_the_other_with_its_channels_permuted():
    x, positions = normal(5, 6), np.arange(5)
    half_from_interleaved = [0, 2, 4, 1, 3, 5]
    np.testing.assert_array_equal(
        turned(x, positions, "interleaved")[:, half_from_interleaved],
        turned(x[:, half_from_interleaved], positions, "half"),
    )


def test_the_pairs_of_each_layout():
    x, cos, sin = (
        np.array([[1.0, 2, 3, 4]]),
        np.zeros(2),
        np.array([1.0, -1]),
    )  # +90 and -90 degrees
    assert ops.rope(x, cos, sin).data.tolist() == [[-3, 4, 1, -2]]
    assert ops.rope(x, cos, sin, "interleaved").data.tolist() == [[-2, 1, 4, -3]]


@both_layouts
def test_the_gradient_is_turned_by_the_opposite_angle(layout):
    x, g = Tensor(normal(2, 4, 7), requires_grad=True), normal(2, 4, 7, seed=1)
    angles = np.arange(4)[:, None] * OMEGA
    (g_x,) = grad(ops.rope(x, np.cos(angles), np.sin(angles), layout), x, g)
    np.testing.assert_allclose(g_x.data, turned(g, -np.arange(4), layout), atol=1e-15)


def test_new_tokens_after_old_ones_are_turned_as_in_the_whole_text():
    x = normal(2, 3, 7, 8)  # (B, H, T, D)
    whole = turned(x, np.arange(7))
    for p in range(7):
        np.testing.assert_array_equal(turned(x[:, :, p:], np.arange(p, 7)), whole[:, :, p:])


@pytest.mark.parametrize("mode", ["auto", "reference"])
def test_tables_of_any_shape_that_broadcasts(mode):
    x = normal(2, 3, 4, 6)  # (B, H, T, D)
    with use_kernels(mode):
        whole = turned(x, np.arange(4))
        by_token = ops.swapaxes(x, 1, 2)  # (B, T, H, D)
        np.testing.assert_array_equal(turned(by_token, np.arange(4)[:, None]), whole.swapaxes(1, 2))
        padded = np.array([[0, 1, 2, 3], [0, 0, 1, 2]])  # the second sequence starts a token later
        y = turned(x, padded[:, None])
        np.testing.assert_array_equal(y[0], whole[0])
        np.testing.assert_array_equal(y[1], turned(x[1], [0, 0, 1, 2]))
        np.testing.assert_array_equal(turned(x, 0), x)


@both_dtypes
def test_the_kernel_takes_transposed_heads(dtype):
    q = normal(2, 5, 3, 8, dtype=dtype).swapaxes(1, 2)  # (B, H, T, D), not contiguous
    cos, sin = normal(5, 4, dtype=dtype), normal(5, 4, dtype=dtype, seed=1)
    forward = kernels.rope.forward
    assert forward.refusal(xp, q, cos, sin, "half") is None
    before = q.copy()
    y = forward(xp, q, cos, sin, "half")
    np.testing.assert_array_equal(q, before)
    np.testing.assert_array_equal(y, forward(xp, before, cos, sin, "half"))


@both_layouts
@both_dtypes
def test_a_gradient_that_may_be_overwritten_is_turned_in_place(layout, dtype):
    g, cos, sin = (normal(5, n, dtype=dtype) for n in (9, 4, 4))
    backward = kernels.rope.backward
    expected, before = backward(xp, g, cos, sin, layout), g.copy()
    assert not np.shares_memory(expected, g)
    np.testing.assert_array_equal(g, before)
    found = backward(xp, g, cos, sin, layout, room=room(g=g))
    assert found is g
    np.testing.assert_array_equal(found, expected)


def test_integers_and_tables_of_another_type():
    cos, sin = np.cos(OMEGA), np.sin(OMEGA)
    assert ops.rope(np.ones(6, np.float32), cos, sin).dtype == np.float32
    assert ops.rope(np.ones(6, np.float16), cos, sin).dtype == np.float16
    np.testing.assert_array_equal(ops.rope([1, 2, 3, 4, 5, 6], [1, 1, 1], [0, 0, 0]), range(1, 7))


@pytest.mark.parametrize(
    "cos, sin",
    [
        ((4, 3), (4, 2)),  # not the same
        ((4, 4), (4, 4)),  # more pairs than channels
        ((3, 3), (3, 3)),  # another number of tokens
        ((2, 4, 3), (2, 4, 3)),  # another axis
        ((), ()),
    ],
    ids=str,
)
def test_tables_that_do_not_fit(cos, sin):
    with pytest.raises(ValueError, match="rope: x .4, 6., cos .* do not fit"):
        ops.rope(normal(4, 6), normal(*cos), normal(*sin))


def test_wrong_arguments():
    x, table = normal(4, 6), normal(4, 3)
    with pytest.raises(ValueError, match="layout is 'neox', but must be \"half\" or"):
        ops.rope(x, table, table, "neox")
    with pytest.raises(TypeError, match="cos and sin get no gradient.*detach it"):
        ops.rope(x, table, Tensor(table, requires_grad=True))


def test_a_table_that_changes_before_backward_is_an_error():
    x, cos = Tensor(normal(4, 6), requires_grad=True), Tensor(normal(4, 3))
    y = ops.rope(x, cos, cos)
    cos.assign_(2 * cos.data)
    with pytest.raises(RuntimeError, match="changed"):
        y.sum().backward()
