"""The losses' options, their documented values, and their errors, in every kernel mode."""

import numpy as np
import pytest

from autograd import Tensor, grad, ops, use_kernels

NAN, INF = np.nan, np.inf
OPTIONS = [{}, {"weight": np.array([1.0, 2.0, 0.5])}, {"label_smoothing": 0.25}]
both_modes = pytest.mark.parametrize("kernels", ["reference", "auto"])
each_option = pytest.mark.parametrize("options", OPTIONS, ids=["plain", "weight", "smoothing"])


def normal(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def loss_and_gradient(x, targets, **options):
    x = Tensor(np.array(x, dtype=float), requires_grad=True)
    with np.errstate(all="ignore"):  # infinities and NaN on purpose
        y = ops.cross_entropy(x, targets, **options)
        (g,) = grad(y, x, np.ones(y.shape))
    return y.data, g.data


@both_modes
@each_option
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_loss_without_targets_is_0_in_every_order(kernels, options, reduction):
    x = Tensor(np.full((3, 3), NAN), requires_grad=True)
    with use_kernels(kernels):
        y = ops.cross_entropy(x, np.full(3, -100), reduction=reduction, **options)
        (g,) = grad(y.sum(), x, create_graph=True)
        (gg,) = grad(g.sum(), x)
    for value in (y, g, gg):
        np.testing.assert_array_equal(value.data, 0)


@both_modes
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_fused_loss_with_every_target_ignored(kernels, reduction):
    h, weight = (Tensor(np.full((3, 3), NAN), requires_grad=True) for _ in range(2))
    weight.assign_(np.ones((3, 3)))
    with use_kernels(kernels):
        y = ops.linear_cross_entropy(h, weight, np.full(3, -100), reduction=reduction)
        found = grad(y.sum(), (h, weight))
    for value in (y, *found):
        np.testing.assert_array_equal(value.data, 0)


@both_modes
@each_option
def test_rows_with_nan_or_infinity(kernels, options):
    """A NaN, an infinity, or only minus infinities make their row NaN, and no other row."""
    x = normal(6, 3)
    x[1, 0], x[2, 1], x[3], x[4] = NAN, INF, -INF, NAN
    targets = np.array([0, 1, 1, 2, -100, 2])
    with use_kernels(kernels):
        y, g = loss_and_gradient(x, targets, reduction="none", **options)
        expected = loss_and_gradient(x[[0, 5]], targets[[0, 5]], reduction="none", **options)
    assert np.isnan(y[1:4]).all() and np.isnan(g[[1, 3]]).all() and np.isnan(g[2]).any()
    assert y[4] == 0 and (g[4] == 0).all()
    np.testing.assert_allclose(y[[0, 5]], expected[0])
    np.testing.assert_allclose(g[[0, 5]], expected[1])


@both_modes
def test_a_class_of_probability_0(kernels):
    """A logit of minus infinity: no effect on other classes, but an infinite loss as the target."""
    with use_kernels(kernels):
        y, g = loss_and_gradient([[0, -INF, 0]] * 2, np.array([0, 1]), reduction="none")
        soft, g_soft = loss_and_gradient([[0, -INF, 0]], [[0.5, 0.0, 0.5]])
    np.testing.assert_allclose(y, [np.log(2), INF])
    np.testing.assert_allclose(g, [[-0.5, 0, 0.5], [0.5, -1, 0.5]])
    np.testing.assert_allclose(soft, np.log(2))
    np.testing.assert_array_equal(g_soft, 0)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_probabilities_of_one_class_are_that_class(reduction):
    x, targets = normal(2, 3, 4), np.array([[0, 2, 1], [3, 3, 0]])
    for options in ({}, {"label_smoothing": 0.3}):
        hard = loss_and_gradient(x, targets, reduction=reduction, **options)
        soft = loss_and_gradient(x, np.eye(4)[targets], reduction=reduction, **options)
        for a, b in zip(hard, soft, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    weight = np.array([1.0, 2.0, 0.0, 0.5])
    hard = loss_and_gradient(x, targets, reduction=reduction, weight=weight)
    soft = loss_and_gradient(x, np.eye(4)[targets], reduction=reduction, weight=weight)
    share = (
        weight[targets].sum() / 6 if reduction == "mean" else 1
    )  # the mean over rows, theirs too
    np.testing.assert_allclose(hard[1] * share, soft[1], rtol=1e-12)


@both_modes
def test_a_row_without_probabilities_adds_nothing(kernels):
    with use_kernels(kernels):
        y, g = loss_and_gradient(normal(2, 3), [[0, 0, 0], [0, 1.0, 0]], reduction="none")
    assert y[0] == 0 and (g[0] == 0).all() and y[1] > 0


def test_weights_that_leave_nothing_give_0():
    y, g = loss_and_gradient(normal(2, 3), np.array([1, 1]), weight=np.array([1.0, 0.0, 1.0]))
    assert y == 0 and (g == 0).all()


@pytest.mark.parametrize("dtype", ["i1", "u1", "u2", "i4", "u8", ">i4", ">u2"])
@both_modes
def test_targets_of_any_integer_type(dtype, kernels):
    x, targets = normal(3, 4), np.array([0, 3, 1])
    with use_kernels(kernels):
        found = loss_and_gradient(x, targets.astype(dtype))
        expected = loss_and_gradient(x, targets)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_integers_as_logits_cut_no_option_to_integers():
    x, targets = np.array([[3, 0, 1], [0, 2, 5]]), np.array([0, 1])
    for options in ({"weight": [0.5, 1.5, 1.0]}, {"label_smoothing": 0.3}):
        expected = ops.cross_entropy(x.astype(float), targets, **options).data
        assert ops.cross_entropy(x, targets, **options).data == expected
    soft = [[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]
    assert ops.cross_entropy(x, soft).data == ops.cross_entropy(x.astype(float), soft).data


@both_modes
def test_no_rows_and_a_single_one(kernels):
    with use_kernels(kernels):
        for options in OPTIONS:
            y, g = loss_and_gradient(np.zeros((0, 3)), np.zeros(0, int), **options)
            assert y == 0 and g.shape == (0, 3)
        y, g = loss_and_gradient(np.zeros((0, 3)), np.zeros((0, 3)))
        assert y == 0 and g.shape == (0, 3)
        y, g = loss_and_gradient([1.0, 2.0], np.array(1), reduction="none")
        assert y.shape == () and g.shape == (2,)


def fused(x, targets, **options):
    return ops.linear_cross_entropy(x, np.eye(x.shape[-1]), targets, **options)


@both_modes
@pytest.mark.parametrize("loss", [ops.cross_entropy, fused], ids=["cross_entropy", "fused"])
@pytest.mark.parametrize(
    "targets, options, error, sentence",
    [
        ([0, 3], {}, IndexError, "target 3 is neither one of the 3 classes nor ignore_index"),
        ([-1, 0], {}, IndexError, "target -1 is neither"),
        ([-100, 0], {"ignore_index": -1}, IndexError, "target -100 is neither"),
        ([0.0, 1.0], {}, TypeError, "float64"),
        ([True, False], {}, TypeError, "targets must be integers, not bool"),
        ([0], {}, ValueError, "targets have shape .1,., expected .2,."),
        ([[0, 1, 0], [1, 0, 0]], {}, ValueError, "floating-point numbers"),
        ([0, 1], {"reduction": "average"}, ValueError, "reduction is 'average'"),
        ([0, 1], {"ignore_index": None}, TypeError, "ignore_index must be an integer"),
        ([0, 1], {"ignore_index": 0.5}, TypeError, "ignore_index must be an integer"),
        ([0, 1], {"ignore_index": 10**30}, ValueError, "which no integer type can hold"),
    ],
)
def test_targets_and_options_that_are_refused(loss, targets, options, error, sentence, kernels):
    name = "cross_entropy" if loss is ops.cross_entropy else "linear_cross_entropy"
    with use_kernels(kernels), pytest.raises(error, match=f"^{name}.*{sentence}"):
        loss(np.ones((2, 3)), np.array(targets), **options)


@pytest.mark.parametrize(
    "targets, options, error, sentence",
    [
        ([0, 1], {"label_smoothing": -0.1}, ValueError, "label_smoothing is -0.1, but must be"),
        ([0, 1], {"label_smoothing": 1.1}, ValueError, "label_smoothing is 1.1"),
        ([0, 1], {"label_smoothing": NAN}, ValueError, "label_smoothing is nan"),
        (
            [0, 1],
            {"weight": np.ones(2)},
            ValueError,
            r"weight has shape \(2,\), expected .* \(3,\)",
        ),
        ([0, 1], {"weight": np.ones((2, 3))}, ValueError, "weight has shape"),
        (
            [0, 1],
            {"weight": Tensor(np.ones(3), requires_grad=True)},
            ValueError,
            "weight is a constant and gets no gradient",
        ),
        (np.ones((2, 3)), {"ignore_index": 0}, ValueError, "ignore_index works with classes"),
        (np.ones((2, 3)), {"reduction": "average"}, ValueError, "reduction is 'average'"),
        (np.ones((2, 2)), {}, TypeError, "targets must be integers"),
    ],
)
def test_options_that_are_refused(targets, options, error, sentence):
    with pytest.raises(error, match=f"^cross_entropy: .*{sentence}"):
        ops.cross_entropy(np.ones((2, 3)), np.array(targets), **options)


def test_logits_need_classes():
    for shape in ((), (2, 0), (0, 0)):
        with pytest.raises(ValueError, match="cross_entropy: logits have shape .* at least one"):
            ops.cross_entropy(np.ones(shape), np.zeros(shape[:-1], int))
    with pytest.raises(ValueError, match="linear_cross_entropy: weight has no rows"):
        ops.linear_cross_entropy(np.ones((2, 3)), np.ones((0, 3)), np.full(2, -100))
    with pytest.raises(ValueError, match="last axes must be equally long"):
        ops.linear_cross_entropy(np.ones(()), np.ones((2, 3)), np.array(0))


@pytest.mark.parametrize(
    "targets, options, what",
    [
        ([0, 1], {"label_smoothing": 0.1}, "label_smoothing"),
        ([0, 1], {"class_weight": None}, "class_weight"),
        (np.ones((2, 3)), {}, "targets of float64"),
    ],
)
def test_the_fused_loss_says_which_options_it_does_not_have(targets, options, what):
    with pytest.raises(TypeError, match=f"^linear_cross_entropy takes .* not {what}: use cross_"):
        ops.linear_cross_entropy(np.ones((2, 3)), np.eye(3), np.array(targets), **options)


def test_a_forced_kernel_says_that_it_does_not_have_the_option():
    x, targets = np.ones((2, 3)), np.array([0, 1])
    with use_kernels("cpu"):
        ops.cross_entropy(x, targets, label_smoothing=0.0)
        with pytest.raises(RuntimeError, match="the cpu kernel has no option label_smoothing"):
            ops.cross_entropy(x, targets, label_smoothing=0.1)
        with pytest.raises(RuntimeError, match="the cpu kernel has no option weight"):
            ops.cross_entropy(x, targets, weight=np.ones(3))
