"""Tensor itself: wrapping, NumPy's behaviour, and clear refusals."""

import numpy as np
import pytest

import autograd
from autograd import Parameter, Tensor, ops, tensor


def test_public_names():
    for name in (
        "Tensor Parameter tensor no_grad enable_grad grad ops use_kernels check_grad"
    ).split():
        assert hasattr(autograd, name)


def test_wrapping_shares_and_tensor_copies():
    a = np.zeros(3)
    assert Tensor(a).data is a
    t = tensor(a)
    a[0] = 1
    assert t.data[0] == 0
    assert tensor([1, 2], dtype=np.float32).dtype == np.float32
    assert tensor(t).data is not t.data
    with pytest.raises(TypeError, match="detach"):
        Tensor(t)
    with pytest.raises(TypeError, match="numbers"):
        Tensor(["a"])


def test_attributes_are_numpys():
    a = np.arange(6.0).reshape(2, 3)
    t = Tensor(a)
    assert (t.shape, t.ndim, t.size, t.dtype, len(t)) == ((2, 3), 2, 6, np.float64, 2)
    np.testing.assert_array_equal(t.T.data, a.T)
    assert t.numpy() is a
    assert Tensor(np.array(2.5)).item() == 2.5
    assert float(Tensor(np.array(2.5))) == 2.5 and int(Tensor(np.array(2))) == 2
    with pytest.raises(ValueError):
        t.item()


@pytest.mark.parametrize(
    "method",
    [
        lambda x: x.reshape(3, 2),
        lambda x: x.reshape((3, -1)),
        lambda x: x.transpose(),
        lambda x: x.transpose(1, 0),
        lambda x: x.transpose((1, 0)),
        lambda x: x.swapaxes(0, 1),
        lambda x: x.sum(),
        lambda x: x.sum(axis=0),
        lambda x: x.sum(axis=(0, 1), keepdims=True),
        lambda x: x.mean(axis=1),
        lambda x: x.max(axis=-1),
        lambda x: x.min(),
        lambda x: x.astype(np.float32),
        lambda x: x[1],
        lambda x: x[:, 1:],
        lambda x: x[..., None, 0],
        lambda x: x[[0, 0]],
        lambda x: x[x > 2],
        lambda x: -x + 1 - 2 * x / 3,
        lambda x: (1 - x) * (2 / (x + 1)) ** 2 + 2.0**x,
        lambda x: abs(x - 3),
        lambda x: x @ x.T,
        lambda x: np.ones((4, 2)) @ x,
        lambda x: np.ones(3) * x + np.ones((2, 1)) - x,
        lambda x: np.ones(3) / (x + 1),
        lambda x: np.float64(2.0) * x,
    ],
)
def test_methods_and_operators_are_numpys(method):
    a = np.arange(6.0).reshape(2, 3)
    y = method(Tensor(a, requires_grad=True))
    assert isinstance(y, Tensor) and y.requires_grad
    expected = np.asarray(method(a))
    assert y.shape == expected.shape and y.dtype == expected.dtype
    np.testing.assert_allclose(y.data, expected)


def test_unary_methods():
    a = np.array([0.5, 2.0])
    for name in ("exp", "log", "tanh", "sqrt"):
        np.testing.assert_allclose(getattr(Tensor(a), name)().data, getattr(np, name)(a))


def test_reductions_give_arrays_not_scalars():
    for y in (Tensor(np.ones(3)).sum(), Tensor(np.ones(3)).max(), Tensor(np.ones(3))[0]):
        assert isinstance(y.data, np.ndarray) and y.shape == ()


def test_comparisons_give_raw_booleans_and_hashing_is_by_identity():
    x, y = Tensor(np.arange(3.0)), Tensor(np.arange(3.0))
    assert type(x == y) is np.ndarray and (x == y).all()
    assert list(x < 1) == [True, False, False] and list(x >= y) == [True] * 3
    assert list(np.ones(3) > x) == [True, False, False]
    assert list(x != 0.0) == [False, True, True]
    assert len({x, y}) == 2


def test_numpy_functions_name_the_right_one():
    x = Tensor(np.ones(3), requires_grad=True)
    with pytest.raises(TypeError, match=r"autograd\.ops\.exp"):
        np.exp(x)
    with pytest.raises(TypeError, match=r"autograd\.ops\.add"):
        array = np.ones(3)
        array += x
    with pytest.raises(TypeError, match="detach"):
        np.asarray(x)
    np.testing.assert_array_equal(np.asarray(x.detach()), np.ones(3))


def test_only_floats_require_gradients():
    with pytest.raises(TypeError, match="int64"):
        Tensor(np.arange(3), requires_grad=True)
    t = Tensor(np.arange(3))
    with pytest.raises(TypeError, match="floating-point"):
        t.requires_grad = True
    assert not (Tensor(np.ones(3), requires_grad=True) > 0).dtype == float


def test_requires_grad_can_be_set_on_what_was_not_computed():
    x = Tensor(np.ones(3))
    x.requires_grad = True
    y = x * 2.0
    assert x.is_leaf and not y.is_leaf
    with pytest.raises(RuntimeError, match="detach"):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2.0).requires_grad


def test_assigning_data():
    p = Parameter(np.ones(3))
    y = (p * 2.0).sum()
    p.data = np.zeros(3)  # the same shape and type: the gradient still lands here
    y.backward()
    np.testing.assert_array_equal(p.grad.data, np.full(3, 2.0))
    p.zero_grad()
    p.data = np.zeros((2, 2), np.float32)
    (p * 3.0).sum().backward()
    assert p.grad.shape == (2, 2) and p.grad.dtype == np.float32
    with pytest.raises(TypeError, match="cannot hold int64"):
        p.data = np.arange(3)


def test_assign_changes_the_elements_in_place():
    a = np.zeros(3)
    p = Parameter(a)
    assert p.assign_([1, 2, 3]) is p
    np.testing.assert_array_equal(a, [1, 2, 3])
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        p.assign_(np.ones(2))
    with pytest.raises(RuntimeError, match="computed"):
        (p * 2.0).assign_(np.ones(3))


def test_grad_must_fit():
    p = Parameter(np.ones(3))
    with pytest.raises(ValueError, match=r"\(2,\)"):
        p.grad = np.ones(2)


def test_detach_shares_the_array():
    x = Tensor(np.ones(3), requires_grad=True)
    d = x.detach()
    assert d.data is x.data and not d.requires_grad


def test_repr_says_where_it_came_from():
    x = Tensor(np.ones(2), requires_grad=True)
    assert repr(x) == "Tensor([1., 1.], requires_grad=True)"
    assert repr(ops.exp(x * 0)) == "Tensor([1., 1.], op=Exp)"
    assert repr(Parameter(np.ones(1, np.float32))) == (
        "Parameter([1.], dtype=float32, requires_grad=True)"
    )


def test_iteration_and_truth():
    assert [t.item() for t in Tensor(np.arange(3.0))] == [0, 1, 2]
    with pytest.raises(TypeError, match="0-d"):
        iter(Tensor(np.array(1.0)))
    assert bool(Tensor(np.array(1.0)))
    with pytest.raises(ValueError):
        bool(Tensor(np.ones(2)))


def test_reading_the_gradient_of_a_computed_tensor_warns(recwarn):
    w = Parameter(np.ones(2))
    y, kept = w * 2, w * 3
    kept.retain_grad()
    assert w.grad is None and kept.grad is None and (w.detach() * 2).grad is None
    assert len(recwarn) == 0
    with pytest.warns(UserWarning, match="retain_grad.*assign_"):
        assert y.grad is None


def test_arrays_that_do_not_fit_are_named_with_the_operation():
    t = Parameter(np.ones((2, 3)))
    for call, words in (
        (lambda: t @ t, r"MatMul of shapes \(2, 3\) and \(2, 3\): matmul: .*mismatch"),
        (lambda: t + [1, 2], r"Add of shapes \(2, 3\) and \(2,\): operands could not"),
        (lambda: t.reshape(4), r"Reshape of shape \(2, 3\): cannot reshape"),
        (lambda: ops.linear(t, t.T), "^linear: x has shape"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(IndexError, match=r"GetItem of shape \(2, 3\): index 5 is out of bounds"):
        t[5]
