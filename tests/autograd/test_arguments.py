"""Axes and indices: all that NumPy accepts works forward and backward; the rest is an error.

One table holds a call for every function with an axis; each is given every kind of axis.
"""

import numpy as np
import pytest

from autograd import Tensor, grad, ops
from autograd.testing import check_grad

AXIS_ERROR = np.exceptions.AxisError

ONE_AXIS = {
    "cumsum": ops.cumsum,
    "cumprod": ops.cumprod,
    "sort": ops.sort,
    "take": lambda x, axis: ops.take(x, [0], axis),
    "take_along_axis": lambda x, axis: ops.take_along_axis(x, np.zeros((1, 1), int), axis),
    "repeat": lambda x, axis: ops.repeat(x, 2, axis),
    "split": lambda x, axis: ops.split(x, 1, axis)[0],
    "concatenate": lambda x, axis: ops.concatenate([x, x], axis),
    "stack": lambda x, axis: ops.stack([x, x], axis),
    "swapaxes": lambda x, axis: ops.swapaxes(x, axis, 0),
    "diagonal": lambda x, axis: ops.diagonal(x, 0, axis, 0),
    "trace": lambda x, axis: ops.trace(x, 0, axis, 0),
}
"""Functions of a (2, 3) array that take one axis."""

SEVERAL_AXES = {
    "sum": ops.sum,
    "mean": ops.mean,
    "prod": ops.prod,
    "var": ops.var,
    "std": ops.std,
    "max": ops.max,
    "min": ops.min,
    "logsumexp": ops.logsumexp,
    "flip": ops.flip,
    "roll": lambda x, axis: ops.roll(x, 1, axis),
    "expand_dims": ops.expand_dims,
    "squeeze": lambda x, axis: ops.squeeze(x[:1, :1], axis),
    "moveaxis": lambda x, axis: ops.moveaxis(x, axis, axis),
    "transpose": lambda x, axis: ops.transpose(x, axis if isinstance(axis, tuple) else (axis, 0)),
    "tensordot": lambda x, axis: ops.tensordot(x, x, (axis, axis)),
}
"""Functions that take one axis or a tuple of axes."""

EVERY = ONE_AXIS | SEVERAL_AXES


def matrix():
    return np.array([[1.0, 5.0, -2.0], [3.0, 0.5, 4.0]])


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("axis", [7, -7, np.int64(7)])
def test_an_axis_out_of_range_is_an_axis_error(name, axis):
    with pytest.raises(AXIS_ERROR, match=r"^\w+: axis -?7 is out of bounds"):
        EVERY[name](matrix(), axis)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("axis", [True, np.True_, 1.0, "1", np.array([[1]])])
def test_an_axis_that_is_not_an_integer_is_a_type_error(name, axis):
    with pytest.raises(TypeError, match="^[^\n]*axis[^\n]*must be an integer[^\n]*$"):
        EVERY[name](matrix(), axis)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.array, lambda i: np.int64(i - 2)])
def test_numpy_integers_are_axes_forward_and_backward(name, kind):
    f = EVERY[name]
    x = matrix()
    np.testing.assert_array_equal(f(x, kind(1)).data, f(x, 1 if kind(1) == 1 else -1).data)
    check_grad(lambda t: f(t, kind(1)), x, order=2)


@pytest.mark.parametrize(
    "name", sorted(set(SEVERAL_AXES) - {"expand_dims"})
)  # it counts other axes
def test_a_tuple_of_numpy_integers(name):
    f, x = SEVERAL_AXES[name], matrix()
    axes = np.int64(1), np.int64(-2)
    np.testing.assert_array_equal(f(x, axes).data, f(x, (1, 0)).data)
    check_grad(lambda t: f(t, axes), x, order=2)


@pytest.mark.parametrize("name", sorted(set(SEVERAL_AXES) - {"roll"}))
def test_an_axis_named_twice_is_refused(name):
    again = (1, -3) if name == "expand_dims" else (1, -1)
    for axis in ((0, 0), again):
        with pytest.raises(ValueError, match="names an axis twice"):
            SEVERAL_AXES[name](matrix(), axis)


@pytest.mark.parametrize("name", "sum prod max min logsumexp squeeze".split())
@pytest.mark.parametrize("axis", [0, -1, np.int64(0), None, ()])
def test_an_array_of_shape_0_has_one_axis_where_numpy_says_so(name, axis):
    x = Tensor(2.0, requires_grad=True)
    y = getattr(ops, name)(x, axis)
    assert y.shape == () and y.item() == 2
    assert grad(y, x)[0].item() == 1
    for refused in (1, -2, (0,)):
        with pytest.raises(AXIS_ERROR):
            getattr(ops, name)(x, refused)


@pytest.mark.parametrize("name", "mean var std sort flip roll split concatenate swapaxes".split())
def test_an_array_of_shape_0_has_no_axis_elsewhere(name):
    for axis in (0, -1):
        with pytest.raises(ValueError):
            EVERY[name](np.array(2.0), axis)


@pytest.mark.parametrize("name", "cumsum cumprod take repeat".split())
def test_shape_0_becomes_one_axis(name):
    x = Tensor(2.0, requires_grad=True)
    y = EVERY[name](x, -1)
    assert y.shape == ((2,) if name == "repeat" else (1,))
    assert grad(y.sum(), x)[0].item() == (2 if name == "repeat" else 1)
    with pytest.raises(AXIS_ERROR):
        EVERY[name](x, 1)


# --- Indices -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape, indices, axis",
    [
        ((2, 3), [[0]], 1),  # the indices broadcast
        ((2, 3), [[0, 2, 2]], 1),
        ((2, 3), [[-1], [0]], 0),
        ((1, 3), [[0], [2], [-1]], 1),  # x does
        ((1, 3, 1), [[[0, 2], [1, 1]]], -2),
        ((2, 3), [5, 0, 0], None),
    ],
)
def test_take_along_axis_broadcasts_as_numpys(shape, indices, axis):
    x = np.random.default_rng(3).standard_normal(shape)
    indices = np.array(indices)
    expected = np.take_along_axis(x, indices, axis)
    np.testing.assert_array_equal(ops.take_along_axis(x, indices, axis).data, expected)
    check_grad(lambda t: ops.take_along_axis(t, indices, axis), x, order=2)


def test_take_along_axis_refuses():
    x = np.ones((2, 3))
    with pytest.raises(IndexError, match="take_along_axis: the indices must be integers"):
        ops.take_along_axis(x, np.array([[0.0]]), 1)
    with pytest.raises(ValueError, match="must have equally many axes"):
        ops.take_along_axis(x, np.array([0]), 1)
    with pytest.raises(IndexError):
        ops.take_along_axis(x, np.array([[3]]), 1)


@pytest.mark.parametrize("mode", ["wrap", "clip"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_take_outside_the_axis(mode, axis):
    x, indices = np.arange(6.0).reshape(2, 3), [[-9, 4], [0, 100]]
    expected = np.take(x, indices, axis, mode=mode)
    np.testing.assert_array_equal(ops.take(x, indices, axis, mode).data, expected)
    check_grad(lambda t: ops.take(t, indices, axis, mode), x, order=2)


def test_take_nothing_and_from_nothing():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    y = ops.take_along_axis(x, np.zeros((0, 3), int), 0)
    assert y.shape == (0, 3) and grad(y.sum(), x)[0].data.tolist() == np.zeros((2, 3)).tolist()
    assert ops.take(np.ones(3), []).shape == (0,)
    assert ops.take(np.ones((0, 2)), [], 0, "wrap").shape == (0, 2)
    with pytest.raises(IndexError, match="nothing to take"):
        ops.take(np.ones(0), [0], mode="wrap")
    with pytest.raises(ValueError, match="mode is 'around'"):
        ops.take(np.ones(3), [0], mode="around")


def test_differences_of_any_number_end_when_nothing_is_left():
    assert (
        ops.diff(np.ones((2, 3)), n=10**30).shape == np.diff(np.ones((2, 3)), n=4).shape == (2, 0)
    )


@pytest.mark.parametrize("values", [(), (1,), (3,), (2, 1), (1, 3)])
def test_the_values_of_scatter_add_broadcast(values):
    x = np.random.default_rng(3).standard_normal(values)
    for index in ([0, 0], slice(1, 3)):
        read = np.zeros((4, 3))[index].shape
        expected = np.zeros((4, 3))
        np.add.at(expected, index, np.broadcast_to(x, read))
        np.testing.assert_allclose(ops.scatter_add((4, 3), index, x).data, expected)
        check_grad(lambda t, i=index: ops.scatter_add((4, 3), i, t), x, order=2)


def test_values_that_do_not_fit_are_refused_in_forward():
    for values in (np.ones((3, 3)), np.ones((2, 4)), np.ones((1, 1, 2, 3))):
        with pytest.raises(ValueError):
            ops.scatter_add((4, 3), [0, 0], values)


# --- Forms of the other arguments ----------------------------------------------------------------


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda x: ops.repeat(x, -1), ValueError, "repeats must not be negative"),
        (lambda x: ops.repeat(x, [1, -1], 0), ValueError, "repeats must not be negative"),
        (lambda x: ops.repeat(x, 1.5), TypeError, "repeats must be an integer"),
        (lambda x: ops.repeat(x, [1, 2, 3], 0), ValueError, "broadcast"),
        (lambda x: ops.tile(x, -1), ValueError, "reps must not be negative"),
        (lambda x: ops.tile(x, (1, 1.5)), TypeError, "reps must be an integer"),
        (lambda x: ops.pad(x, -1), ValueError, "pad_width must not be negative"),
        (lambda x: ops.pad(x, 0.5), TypeError, "pad_width must be an integer"),
        (lambda x: ops.roll(x, 1.0), TypeError, "shift must be an integer"),
        (lambda x: ops.roll(x, (1, 2, 3), (0, 1)), ValueError, "3 shifts for 2 axes"),
        (lambda x: ops.split(x, 0), ValueError, "into 0 equal parts"),
        (lambda x: ops.split(x, -1), ValueError, "into -1 equal parts"),
        (lambda x: ops.split(x, 2, 1), ValueError, "of length 3 cannot be cut into 2 equal parts"),
        (lambda x: ops.split(x, [0.5]), TypeError, "the indices must be an integer"),
        (lambda x: ops.concatenate([]), ValueError, "concatenate: no arrays"),
        (lambda x: ops.concatenate([1.0, 2.0]), ValueError, "have no axis"),
        (lambda x: ops.stack([]), ValueError, "got no arrays"),
        (lambda x: ops.stack([x, x[0]]), ValueError, "must have the same shape"),
        (lambda x: ops.transpose(x, (0,)), ValueError, "1 axes for an array that has 2"),
        (lambda x: ops.moveaxis(x, (0, 1), (0, 0)), ValueError, "names an axis twice"),
        (lambda x: ops.squeeze(x, 0), ValueError, "cannot remove axis 0"),
        (lambda x: ops.diagonal(x, 0, 1, -1), ValueError, "both are 1"),
        (lambda x: ops.diagonal(x, 0.5), TypeError, "offset must be an integer"),
        (lambda x: ops.tril(x, 0.5), TypeError, "k must be an integer"),
        (lambda x: ops.tensordot(x, x, (0, 1, 0)), ValueError, "axes of a and axes of b"),
        (lambda x: ops.tensordot(x, x, -1), ValueError, "-1 axes"),
        (lambda x: ops.broadcast_to(x, (2, 1.0)), TypeError, "the shape must be an integer"),
        (lambda x: ops.sum(x, [0]), TypeError, "axis must be an integer or a tuple"),
        (lambda x: ops.add(x, None), TypeError, "operand 1 of Add is None"),
        (lambda x: ops.exp(None), TypeError, "operand 0 of Exp is None"),
        (lambda x: ops.arctan2(x, None), TypeError, "operand 1 of ArcTan2 is None"),
        (lambda x: ops.logaddexp(None, x), TypeError, "operand 0 of LogAddExp is None"),
        (lambda x: ops.nan_to_num(None), TypeError, "operand 0 of NanToNum is None"),
        (lambda x: ops.floor({}), TypeError, "of floor must hold numbers"),
        (lambda x: ops.sign("a"), TypeError, "of sign must hold numbers"),
        (lambda x: ops.sign(True), TypeError, "sign does not take bool"),
        (lambda x: ops.floor_divide(x, "a"), TypeError, "of floor_divide must hold numbers"),
        (lambda x: ops.isnan(1j), TypeError, "of isnan is complex"),
        (lambda x: ops.isfinite([None]), TypeError, "of isfinite must hold numbers"),
        (lambda x: ops.var(x, ddof=1j), TypeError, "var: ddof must be a number"),
        (lambda x: ops.std(x, ddof="1"), TypeError, "std: ddof must be a number"),
        (lambda x: ops.dropout(x, "a"), TypeError, "dropout: p must be a number"),
        (lambda x: ops.round(x, None), TypeError, "decimals must be an integer"),
        (lambda x: ops.linalg.norm(x, (0, 1), (0, 1)), ValueError, "ord must be a number"),
        (
            lambda x: ops.cross_entropy(x, [0, 1], label_smoothing="a"),
            TypeError,
            "label_smoothing must be a number",
        ),
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call(np.ones((2, 3)))
    assert "\n" not in str(caught.value)


def test_joining_everything():
    a, b = np.arange(6.0).reshape(2, 3), np.array(7.0)
    expected = np.concatenate([a, b], axis=None)
    np.testing.assert_array_equal(ops.concatenate([a, b], axis=None).data, expected)
    check_grad(lambda a, b: ops.concatenate([a, b], None), a, b, order=2)


@pytest.mark.parametrize("shift, axis", [(1, (0, 0, 1)), ((1, 2), None), ((1, 2), 0), (2, ())])
def test_roll_along_several_axes(shift, axis):
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(ops.roll(x, shift, axis).data, np.roll(x, shift, axis))
    check_grad(lambda t: ops.roll(t, shift, axis), x, order=2)


def test_new_axes_in_several_places():
    x = np.ones((2, 3))
    for axis in [(0, -1), (0, 2), [1, 3], ()]:
        assert ops.expand_dims(x, axis).shape == np.expand_dims(x, axis).shape
        check_grad(lambda t, axis=axis: ops.expand_dims(t, axis), x, order=2)


# --- Types ---------------------------------------------------------------------------------------


EXPONENTIAL = (
    "sigmoid logsumexp erf softmax log_softmax gelu silu elu leaky_relu softplus log_sigmoid"
)


@pytest.mark.parametrize("dtype", [bool, "u1", "i1", "i2", "i4", "i8"])
@pytest.mark.parametrize("name", EXPONENTIAL.split())
def test_integers_are_made_floats_where_exponentials_are_taken(name, dtype):
    x = np.array([1, 0, 3, 2]).astype(dtype)
    y = getattr(ops, name)(x)
    assert y.dtype == np.exp(x).dtype
    expected = getattr(ops, name)(x.astype(float)).data
    np.testing.assert_allclose(y.data, expected, rtol=float(4 * np.finfo(y.dtype).eps))


@pytest.mark.parametrize("wide", range(3))
def test_a_fused_operation_on_mixed_types_has_the_common_one(wide):
    rng = np.random.default_rng(3)
    shapes = (4, 3), (2, 3), (2,)
    types = ["f8" if i == wide else pick for i, pick in enumerate(["i4", "f4", "f2"])]
    x, w, b = (rng.integers(-3, 4, s).astype(t) for s, t in zip(shapes, types, strict=True))
    y = ops.linear(x, w, b)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y.data, x @ w.T.astype(float) + b)
    y = ops.layer_norm(x.astype("f4"), w[0], w[1])
    assert y.dtype == np.result_type(np.float32, w.dtype)
    assert ops.cross_entropy(x, [0, 1, 2, 0]).dtype == "f8"


def test_clip_keeps_numpys_types_and_bounds():
    x = np.array([0, 3, 9], "u1")
    for low, high in [(-1, 5), (2, 300), (None, 4), (np.float16(0.5), np.float32(2))]:
        y, expected = ops.clip(x, low, high), np.clip(x, low, high)
        np.testing.assert_array_equal(y.data, expected)
        assert y.dtype == expected.dtype


def test_einsum_sums_in_the_common_type():
    counts, mask = np.arange(6).reshape(1, 2, 3), np.array([True, True, True])
    y = ops.einsum("i...,i...", counts, mask)  # the first i has length 1
    np.testing.assert_array_equal(y.data, 3 * counts[0])


def test_truth_along_axes():
    x = np.array([[1, 0], [2, 3]])
    for f, g in ((ops.all, np.all), (ops.any, np.any)):
        np.testing.assert_array_equal(f(x, (np.int64(0), -1)), g(x))
        with pytest.raises(TypeError, match="axis must be an integer"):
            f(x, 0.0)
        with pytest.raises(AXIS_ERROR):
            f(x, 2)
    assert ops.argmax(np.array(2.0), axis=-1).shape == ()


def test_powers_that_broadcast_have_second_derivatives():
    x, y = np.array([[1.0], [2.0]]), np.array([0.0, 2.5])
    tx, ty = (Tensor(a, requires_grad=True) for a in (x, y))
    g = grad(ops.power(tx, ty).sum(), [tx, ty], create_graph=True)
    second = grad([g[0].sum(), g[1].sum()], [tx, ty])
    assert [s.shape for s in second] == [x.shape, y.shape]
    n, log = y, np.log(x)
    slope = (n * (n - 1) * x ** (n - 2) + x ** (n - 1) * (1 + n * log)).sum(1, keepdims=True)
    np.testing.assert_allclose(second[0].data, slope)


def test_an_integer_next_to_a_float_does_not_narrow_the_gradient_of_a_power():
    base, exponent = np.array([3, 100], "u1"), np.array([1.25, -0.75])
    x = Tensor(exponent, requires_grad=True)
    (g,) = grad(ops.power(base, x).sum(), x)
    wide = base.astype(float)
    np.testing.assert_allclose(g.data, wide**exponent * np.log(wide), rtol=1e-14)
    x = Tensor([0.5, 1.01], requires_grad=True)
    lowest = np.array([-128, -128], "i1")
    (g,) = grad(ops.power(x, lowest).sum(), x)
    np.testing.assert_allclose(g.data, -128.0 * x.data**-129.0, rtol=1e-13)


def test_truth_is_a_number_in_a_power():
    x = Tensor([0.5, 2.0], requires_grad=True)
    assert grad(ops.power(x, True).sum(), x)[0].data.tolist() == [1, 1]
    assert grad(ops.power(True, x).sum(), x)[0].data.tolist() == [0, 0]


def test_a_float_zero_is_not_an_axis():
    with pytest.raises(TypeError, match="axis must be an integer"):
        ops.repeat(2.0, 3, axis=0.0)
