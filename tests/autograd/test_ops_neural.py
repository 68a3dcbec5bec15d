"""The options, limits and errors of the operations of networks, in every kernel mode.

That values and derivatives of both orders are PyTorch's is in test_oracle.py, over random options.
"""

import numpy as np
import pytest

from autograd import Tensor, grad, ops, use_kernels
from autograd.functional import recompute

AxisError = np.exceptions.AxisError
NAN, INF = np.nan, np.inf
MODES = ["reference", "auto"]
each_mode = pytest.mark.parametrize("kernels", MODES)


def normal(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def value_and_gradient(f, x):
    x = Tensor(x, requires_grad=True)
    y = f(x)
    return y.data, grad(y, x, np.ones(y.shape, y.dtype))[0].data


# --- axes and shapes ------------------------------------------------------------------------------

OVER_AXES = {
    "softmax": (ops.softmax, lambda x: np.exp(x) / np.exp(x).sum()),
    "log_softmax": (ops.log_softmax, lambda x: x - np.log(np.exp(x).sum())),
    "layer_norm": (ops.layer_norm, lambda x: (x - x.mean()) / np.sqrt(x.var() + 1e-5)),
    "rms_norm": (ops.rms_norm, lambda x: x / np.sqrt((x * x).mean() + 1e-5)),
}
over_axes = pytest.mark.parametrize("name", OVER_AXES)


@each_mode
@over_axes
@pytest.mark.parametrize(
    "axis", [-1, 1, np.int64(-2), np.array(0), (0, 2), (2, 0), (-1,), (np.int8(1), -1), None, ()]
)
def test_normalizing_over_any_axes(name, axis, kernels):
    """For any axes, the result is that of one row with all their numbers."""
    f, of_row = OVER_AXES[name]
    x = normal(2, 3, 4)
    axes = range(3) if axis is None else np.atleast_1d(axis).astype(int) % 3
    rest = [i for i in range(3) if i not in axes]
    expected = np.empty_like(x)
    for place in np.ndindex(*[x.shape[i] for i in rest]):
        index = [slice(None)] * 3
        for i, k in zip(rest, place, strict=True):
            index[i] = k
        expected[tuple(index)] = of_row(x[tuple(index)])
    with use_kernels(kernels):
        y = f(Tensor(x), axis=axis)
    np.testing.assert_allclose(y.data, expected, rtol=1e-12, atol=1e-14)


@each_mode
@over_axes
def test_a_single_number_has_no_axis_to_normalize_over(name, kernels):
    f, of_row = OVER_AXES[name]
    for axis in (-1, 0, None, ()):
        with use_kernels(kernels):
            y, g = value_and_gradient(lambda x, axis=axis: f(x, axis=axis), 3.0)
        np.testing.assert_allclose(y, of_row(np.array(3.0)), rtol=1e-12)
        assert g.shape == () and abs(g) < 1e-5


@each_mode
@over_axes
@pytest.mark.parametrize("shape, axis", [((0,), -1), ((3, 0), -1), ((0, 3), -1), ((0, 3), 0)])
def test_normalizing_empty_arrays(name, shape, axis, kernels):
    with use_kernels(kernels):
        y, g = value_and_gradient(lambda x: OVER_AXES[name][0](x, axis=axis), np.zeros(shape))
    assert y.shape == g.shape == shape


@over_axes
def test_axes_that_are_refused(name):
    f, x = OVER_AXES[name][0], Tensor(normal(2, 3))
    for axis in (2, -3, np.int64(5), (0, 2)):
        with pytest.raises(AxisError, match=f"{name}: axis .* is out of bounds"):
            f(x, axis=axis)
    with pytest.raises(AxisError, match=name):
        f(Tensor(3.0), axis=1)
    with pytest.raises(ValueError, match="names an axis twice"):
        f(x, axis=(1, -1))
    for axis in ("last", 1.0, True):
        with pytest.raises(TypeError, match=f"{name}: axis must be an integer"):
            f(x, axis=axis)


def test_affine_parameters_have_the_lengths_of_the_axes():
    x = normal(2, 3, 4)
    for weight, axis in ((np.ones(3), -1), (np.ones((3, 2)), (0, 1)), (np.ones(()), -1)):
        with pytest.raises(ValueError, match="layer_norm: the weight has shape"):
            ops.layer_norm(x, weight, axis=axis)
        with pytest.raises(ValueError, match="rms_norm: the weight has shape"):
            ops.rms_norm(x, weight, axis=axis)
    with pytest.raises(ValueError, match="layer_norm: the bias has shape"):
        ops.layer_norm(x, None, np.ones(3))
    only_bias = ops.layer_norm(x, None, np.arange(4.0)).data
    np.testing.assert_allclose(only_bias - np.arange(4.0), ops.layer_norm(x).data)


def test_lists_are_accepted_as_arrays():
    rows, ids = [[1.0, 2.0], [3.0, 5.0]], [0, 1]
    for call in (
        lambda x: ops.softmax(x),
        lambda x: ops.log_softmax(x, axis=None),
        lambda x: ops.layer_norm(x, [1.0, 2.0], [0.0, 1.0]),
        lambda x: ops.rms_norm(x, [1.0, 2.0]),
        lambda x: ops.linear(x, [[1.0, 2.0]], [3.0]),
        lambda x: ops.embedding(x, ids),
        lambda x: ops.cross_entropy(x, ids, weight=[1.0, 2.0]),
        lambda x: ops.cross_entropy(x, [[0.5, 0.5], [1.0, 0.0]]),
        lambda x: ops.linear_cross_entropy(x, [[1.0, 0.0], [0.0, 1.0]], ids),
        lambda x: ops.scaled_dot_product_attention(x, x, rows, [[True, False], [True, True]]),
    ):
        np.testing.assert_array_equal(call(rows).data, call(np.array(rows)).data)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, n: ops.layer_norm(x, eps=n),
        lambda x, n: ops.rms_norm(x, eps=n),
        lambda x, n: ops.dropout(x, n, rng=np.random.default_rng(0)),
        lambda x, n: ops.softplus(x, n),
        lambda x, n: ops.elu(x, n),
        lambda x, n: ops.leaky_relu(x, n),
        lambda x, n: ops.cross_entropy(x, np.array([0, 1]), label_smoothing=n),
        lambda x, n: ops.cross_entropy(x, np.array([0, 1]), weight=[n, n, n]),
        lambda x, n: ops.cross_entropy(x, np.full((2, 3), n), label_smoothing=n),
        lambda x, n: ops.scaled_dot_product_attention(
            x, x, x, scale=n, dropout_p=n, rng=np.random.default_rng(0)
        ),
    ],
)
def test_options_do_not_change_the_type(call):
    """Unlike Python's, a NumPy number is not weak: it would turn float32 into float64."""
    for mode in MODES:
        with use_kernels(mode):
            y, g = value_and_gradient(lambda x: call(x, np.float64(0.25)), np.float32(normal(2, 3)))
        assert y.dtype == g.dtype == np.float32


# --- activations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f, left, right",
    [
        (ops.softplus, (0, 0), (INF, 1)),
        (lambda x: ops.softplus(x, 3.0), (0, 0), (INF, 1)),
        (ops.log_sigmoid, (-INF, 1), (0, 0)),
        (ops.elu, (-1, 0), (INF, 1)),
        (ops.leaky_relu, (-INF, 0.01), (INF, 1)),
    ],
)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_activations_at_their_ends(f, left, right, dtype):
    for x, expected in ((-INF, left), (INF, right)):
        found = value_and_gradient(f, np.array(x, dtype))
        np.testing.assert_array_equal(np.array(found), np.array(expected, dtype))
    for x in (-60000, 60000, NAN):  # nothing overflows on the way; NaN stays
        with np.errstate(over="ignore"):  # beta times the largest float16 is infinite, and may be
            y, g = value_and_gradient(f, np.array(x, dtype))
        assert np.isnan(y) == np.isnan(x) and (np.isnan(x) or np.isfinite([y, g]).all())


def test_kinks_have_the_slope_of_the_left_side():
    assert value_and_gradient(ops.leaky_relu, np.zeros(()))[1] == 0.01
    assert value_and_gradient(lambda x: ops.elu(x, 0.5), np.zeros(()))[1] == 0.5


def test_softplus_is_exact_where_pytorch_gives_x():
    y = ops.softplus(np.array([25.0])).data
    assert 0 < y[0] - 25 < 2e-11


def test_softplus_needs_a_positive_beta():
    for beta in (0, -1.0, NAN):
        with pytest.raises(ValueError, match="softplus: beta is .* must be positive"):
            ops.softplus(np.ones(2), beta)


# --- embedding and dropout ------------------------------------------------------------------------


@each_mode
@pytest.mark.parametrize("padding_idx", [2, -2, np.int64(2)])
def test_padding_gets_no_gradient(padding_idx, kernels):
    ids = np.array([[2, 0], [2, 1]])
    weight = Tensor(normal(4, 3), requires_grad=True)
    with use_kernels(kernels):
        y = ops.embedding(weight, ids, padding_idx)
        np.testing.assert_array_equal(y.data, weight.data[ids])
        g = np.ones(y.shape)
        g[0, 0] = NAN  # what arrives at padding does not matter
        y.backward(g)
    np.testing.assert_array_equal(weight.grad.data, [[1] * 3, [1] * 3, [0] * 3, [0] * 3])


def test_padding_among_other_gradients_of_the_table():
    """The table of a tied model: the padding row keeps its gradients from other operations."""
    weight = Tensor(normal(4, 3), requires_grad=True)
    (ops.embedding(weight, np.array([1, 3]), 3).sum() + (2 * weight).sum()).backward()
    np.testing.assert_array_equal(weight.grad.data, [[2] * 3, [3] * 3, [2] * 3, [2] * 3])


def test_embedding_refuses():
    table = np.ones((4, 3))
    for ids, error, sentence in (
        (np.array([0.0]), TypeError, "embedding ids must be integers, not float64"),
        (np.array([True]), TypeError, "embedding ids must be integers, not bool"),
        (np.array([-1]), IndexError, "embedding: id -1 is outside the table of 4 rows"),
        (np.array([0, 4]), IndexError, "embedding: id 4 is outside the table of 4 rows"),
    ):
        with pytest.raises(error, match=sentence):
            ops.embedding(table, ids)
    for padding_idx in (4, -5):
        with pytest.raises(IndexError, match=f"padding_idx {padding_idx} is outside the table"):
            ops.embedding(table, [0], padding_idx)
    with pytest.raises(TypeError, match="padding_idx must be an integer"):
        ops.embedding(table, [0], 1.5)
    for shape in ((), (4,), (4, 3, 2)):
        with pytest.raises(
            ValueError, match=r"embedding: the table has shape .* expected \(V, C\)"
        ):
            ops.embedding(np.ones(shape), [0])
    assert ops.embedding(table, np.zeros((2, 0), np.uint8)).shape == (2, 0, 3)


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, NAN])
def test_probabilities_of_dropout(p):
    rng, x = np.random.default_rng(0), np.ones((2, 2))
    with pytest.raises(ValueError, match="dropout: p is .* at least 0 and below 1"):
        ops.dropout(x, p, rng=rng)
    with pytest.raises(ValueError, match="attention: dropout_p is .* at least 0 and below 1"):
        ops.scaled_dot_product_attention(x, x, x, dropout_p=p, rng=rng)
    for rng in (None, 3):
        with pytest.raises(ValueError, match="pass rng=np.random.default_rng"):
            ops.dropout(x, 0.5, rng=rng)
        with pytest.raises(ValueError, match="pass rng=np.random.default_rng"):
            ops.scaled_dot_product_attention(x, x, x, dropout_p=0.5, rng=rng)


# --- attention ------------------------------------------------------------------------------------


def test_attention_drops_weights_and_not_results():
    x, rng = np.ones((1, 200, 1)), np.random.default_rng(0)
    y = ops.scaled_dot_product_attention(x, x, x, dropout_p=0.25, rng=rng).data
    assert 0.9 < y.min() and y.max() < 1.1 and y.std() > 0.01  # of 200 equal weights, 3 in 4 stay
    np.testing.assert_allclose(y.mean(), 1, atol=0.01)
    keep = np.random.default_rng(0).random((1, 200, 200), dtype=np.float32) >= 0.25
    np.testing.assert_allclose(y[..., 0], keep.mean(axis=-1) / 0.75)


def test_attention_with_dropout_in_a_recomputed_segment():
    rng, x = np.random.default_rng(0), normal(2, 5, 4)

    def attend(x):
        return ops.scaled_dot_product_attention(x, x, x, dropout_p=0.5, rng=rng)

    y, g = value_and_gradient(attend, x)
    rng = np.random.default_rng(0)
    again = value_and_gradient(lambda x: recompute(attend, x, rngs=(rng,)), x)
    np.testing.assert_array_equal(again[0], y)
    np.testing.assert_allclose(again[1], g, rtol=1e-12)


def test_grouped_heads_are_heads_that_repeat():
    q, k, v = normal(2, 6, 3, 4), normal(2, 2, 5, 4, seed=1), normal(2, 2, 5, 4, seed=2)
    repeated = [np.repeat(x, 3, axis=1) for x in (k, v)]
    for mask in (
        None,
        normal(3, 5) > 0,
        normal(6, 3, 5),
        normal(2, 1, 3, 5),
        normal(2, 6, 1, 5) > -1,
    ):
        found = ops.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
        expected = ops.scaled_dot_product_attention(q, *repeated, mask)
        np.testing.assert_allclose(found.data, expected.data, rtol=1e-12, atol=1e-15)
    dropped = [
        ops.scaled_dot_product_attention(
            q, *kv, enable_gqa=grouped, dropout_p=0.5, rng=np.random.default_rng(1)
        ).data
        for kv, grouped in (((k, v), True), (repeated, False))
    ]
    np.testing.assert_allclose(*dropped, rtol=1e-12, atol=1e-15)


def test_a_query_that_sees_nothing_gives_zeros():
    x = Tensor(normal(3, 2), requires_grad=True)
    mask = np.array([[True, False, False], [False] * 3, [True] * 3])
    for attn_mask in (mask, np.where(mask, 0.0, -INF)):
        y = ops.scaled_dot_product_attention(x, x, x, attn_mask)
        assert (y.data[1] == 0).all()
        assert np.isfinite(grad(y.sum(), x)[0].data).all()


def test_attention_refuses():
    def attend(q, k, v, *options, **named):
        return ops.scaled_dot_product_attention(
            np.ones(q), np.ones(k), np.ones(v), *options, **named
        )

    square = ((2, 3, 4),) * 3
    for arguments, options, error, sentence in (
        (((3,), (2, 3), (2, 3)), {}, ValueError, "do not fit: expected"),
        (((3, 4), (3, 5), (3, 4)), {}, ValueError, "do not fit: expected"),
        (((2, 3, 4), (3, 3, 4), (3, 3, 4)), {}, ValueError, "do not fit: the axes before"),
        (square, {"attn_mask": np.ones((3, 5), bool)}, ValueError, "attn_mask .3, 5. do not fit"),
        (square, {"attn_mask": np.ones((5, 3, 3))}, ValueError, "attn_mask .5, 3, 3. do not fit"),
        (square, {"attn_mask": np.ones((3, 3), int)}, TypeError, "must be boolean"),
        (
            square,
            {"attn_mask": np.ones((3, 3), bool), "is_causal": True},
            ValueError,
            "pass attn_mask or is_causal, not both",
        ),
        (((3, 4),) * 3, {"enable_gqa": True}, ValueError, "with enable_gqa expected"),
        (
            ((5, 3, 4), (2, 3, 4), (2, 3, 4)),
            {"enable_gqa": True},
            ValueError,
            "5 heads .* not a mult",
        ),
        (((4, 3, 4), (2, 3, 4), (1, 3, 4)), {"enable_gqa": True}, ValueError, "with enable_gqa"),
        (((4, 3, 4), (0, 3, 4), (0, 3, 4)), {"enable_gqa": True}, ValueError, "not a multiple of"),
        (
            ((4, 3, 4), (2, 3, 4), (2, 3, 4)),
            {"enable_gqa": True, "attn_mask": np.ones((2, 3, 3), bool)},
            ValueError,
            "does not fit the 4 heads of q",
        ),
    ):
        with pytest.raises(error, match=f"^scaled_dot_product_attention: .*{sentence}"):
            attend(*arguments, **options)
    for n_head in (0, -1):
        with pytest.raises(ValueError, match="n_head is .* must be at least 1"):
            ops.causal_attention(np.ones((1, 2, 6)), n_head)
    with pytest.raises(TypeError, match="n_head must be an integer"):
        ops.causal_attention(np.ones((1, 2, 6)), 2.0)
