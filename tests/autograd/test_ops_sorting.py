"""Step functions, indices and order: NumPy's and PyTorch's values, and the gradients."""

import numpy as np
import pytest

from autograd import Tensor, grad, ops

TIES = np.array([[3.0, 1.0, 3.0, 2.0], [0.0, 0.0, -1.0, 0.0]])
NAN = np.array([1.0, np.nan, -np.inf, np.nan, np.inf, 1.0])


def leaf(array):
    return Tensor(array, requires_grad=True)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("axis", [None, 0, -1, np.int64(1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_places_are_numpys(name, axis, keepdims):
    for array in (TIES, TIES.astype("f2"), TIES.astype(int), NAN.reshape(2, 3)):
        y = getattr(ops, name)(leaf(array) if array.dtype.kind == "f" else array, axis, keepdims)
        expected = getattr(np, name)(array, axis=axis, keepdims=keepdims)
        np.testing.assert_array_equal(y.data, expected)
        assert y.dtype == np.intp and y.shape == expected.shape and not y.requires_grad


@pytest.mark.parametrize("axis", [None, 0, -1])
def test_argsort_is_stable_in_both_directions(axis):
    for array in (TIES, TIES.astype("f4"), NAN.reshape(2, 3)):
        order = ops.argsort(array, axis)
        np.testing.assert_array_equal(order.data, np.argsort(array, axis, kind="stable"))
        down = ops.argsort(array, axis, descending=True)
        # the same as sorting the negated numbers upward, but that NaN is the largest
        large = np.where(np.isnan(array), np.inf, np.where(array == np.inf, 1e9, array))
        np.testing.assert_array_equal(down.data, np.argsort(-large, axis, kind="stable"))
    np.testing.assert_array_equal(ops.argsort([2, 1, 2], descending=True).data, [0, 2, 1])


def test_sort_and_topk_give_equal_elements_their_own_gradient():
    x = leaf(TIES)
    w = np.arange(8.0).reshape(2, 4)
    expected = np.array([[0, 3, 1, 2], [4, 5, 7, 6]])  # 3 3 2 1 and 0 0 0 -1, first come first
    np.testing.assert_array_equal(grad(ops.sort(x, descending=True), x, w)[0].data, expected)
    values, places = ops.topk(x, 2)
    np.testing.assert_array_equal(values.data, [[3, 3], [0, 0]])
    np.testing.assert_array_equal(places.data, [[0, 2], [0, 1]])
    (g,) = grad(values, x, w[:, :2])
    np.testing.assert_array_equal(g.data, [[0, 0, 1, 0], [4, 5, 0, 0]])
    values, places = ops.topk(x, np.int64(2), axis=-1, largest=False)
    np.testing.assert_array_equal(values.data, [[1, 2], [-1, 0]])
    np.testing.assert_array_equal(places.data, [[1, 3], [2, 0]])
    for sorted, expected in [(True, [[1, 3, 0], [2, 0, 1]]), (False, [[0, 1, 3], [0, 1, 2]])]:
        places = ops.topk(x, 3, largest=False, sorted=sorted)[1]
        np.testing.assert_array_equal(places.data, expected)
    assert ops.topk(x, 0)[0].shape == (2, 0) and ops.topk([4, 5], 1)[0].data == [5]


def test_topk_takes_nan_for_the_largest_as_pytorch_does():
    torch = pytest.importorskip("torch")
    for k in range(len(NAN) + 1):
        for largest in (True, False):
            ours, theirs = ops.topk(NAN, k, 0, largest), torch.tensor(NAN).topk(k, 0, largest)
            np.testing.assert_array_equal(ours[0].data, theirs.values.numpy())
    np.testing.assert_array_equal(ops.topk(NAN, 3)[1].data, [1, 3, 4])


@pytest.mark.parametrize("name", [*ops.discrete.STEPS])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4"])
def test_steps_keep_the_type(name, dtype):
    array = np.array([-2, 0, 3]).astype(dtype) / (2 if dtype[0] == "f" else 1)
    array = array.astype(dtype)
    expected = getattr(np, name)(array)
    y = getattr(ops, name)(array)
    np.testing.assert_array_equal(y.data, expected)
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(getattr(ops, name)(array.tolist()).data, expected)


def test_floor_division_is_numpys_and_keeps_the_type():
    a = np.array([7.0, -7.0, 0.3], np.float32)
    for b in (2, np.float32(-2), np.full(3, 0.1, np.float32), [1.0, 2.0, 3.0]):
        y = Tensor(a) // b
        expected = a // (np.asarray(b) if isinstance(b, list) else b)
        np.testing.assert_array_equal(y.data, expected)
        assert y.dtype == expected.dtype and not y.requires_grad
    np.testing.assert_array_equal((7 // Tensor(a)).data, 7 // np.where(a == 0, 1, a))
    np.testing.assert_array_equal((a // leaf(a)).data, np.ones(3))


def test_truth_and_places_of_what_is_not_zero():
    x = leaf(np.array([[0.0, 2.0], [0.0, np.nan]]))
    for axis in (None, 0, 1):
        for name in ("any", "all"):
            y = getattr(ops, name)(x, axis)
            np.testing.assert_array_equal(y, getattr(np, name)(x.data, axis))
            assert isinstance(y, np.ndarray) and y.dtype == bool
    rows, columns = ops.nonzero(x)
    np.testing.assert_array_equal(rows.data, [0, 1])
    np.testing.assert_array_equal(columns.data, [1, 1])
    assert x[ops.nonzero(x)].shape == (2,)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: ops.argmax(TIES, 2), np.exceptions.AxisError, "argmax: axis 2"),
        (lambda: ops.argsort(TIES, -3), np.exceptions.AxisError, "argsort: axis -3"),
        (lambda: ops.sort(1.0), np.exceptions.AxisError, "sort: axis -1"),
        (lambda: ops.topk(1.0, 1), np.exceptions.AxisError, "topk: axis -1"),
        (lambda: ops.any(TIES, 2), np.exceptions.AxisError, "axis 2"),
        (lambda: ops.topk(TIES, 5), ValueError, "k is 5, but must be from 0 to 4"),
        (lambda: ops.topk(TIES, -1), ValueError, "k is -1"),
        (lambda: ops.topk(TIES, 1.0), TypeError, "k must be an integer, not the float 1.0"),
        (lambda: ops.argmin(np.ones((2, 0)), 1), ValueError, r"no elements .* \(2, 0\), axis 1"),
        (lambda: ops.argmax([]), ValueError, "no elements to choose"),
    ],
)
def test_refusals_are_sentences(call, error, message):
    with pytest.raises(error, match=message):
        call()
