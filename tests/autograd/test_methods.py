"""A Tensor's methods and operators against those of a NumPy array."""

import numpy as np
import pytest

from autograd import Tensor, grad

ARRAY = np.array([[1.5, -2.5, 0.5], [3.0, 1.5, -1.0]])
WITH_GRADIENT = {
    "squeeze": lambda x: x[:, None].squeeze(1),
    "squeeze all": lambda x: x[None, :, None].squeeze(),
    "ravel": lambda x: x.T.ravel(),
    "flatten": lambda x: x.T.flatten(),
    "copy": lambda x: x.copy(),
    "repeat": lambda x: x.repeat(2),
    "repeat along": lambda x: x.repeat([1, 2], axis=0),
    "take": lambda x: x.take([0, 5, 0]),
    "take along": lambda x: x.take([[2, 0]], axis=-1),
    "diagonal": lambda x: x.diagonal(1),
    "trace": lambda x: x.trace(-1),
    "sum": lambda x: x.sum((0, 1)),
    "prod": lambda x: x.prod(1),
    "prod keepdims": lambda x: x.prod(keepdims=True),
    "var": lambda x: x.var(0),
    "var ddof": lambda x: x.var(axis=1, ddof=1, keepdims=True),
    "std": lambda x: x.std(),
    "std ddof": lambda x: x.std(axis=-1, ddof=1),
    "cumsum": lambda x: x.cumsum(),
    "cumsum along": lambda x: x.cumsum(0),
    "cumprod": lambda x: x.cumprod(axis=1),
    "clip": lambda x: x.clip(-1, 2),
    "clip min": lambda x: x.clip(min=0.0),
    "clip max": lambda x: x.clip(max=0.0),
    "dot": lambda x: x.dot(ARRAY.T),
    "dot number": lambda x: x.dot(2.0),
    "+": lambda x: +x,
    "%": lambda x: x % 2,
    "right %": lambda x: 7.25 % x,
    "divmod": lambda x: divmod(x, 2)[1],
    "right divmod": lambda x: divmod(7.25, x)[1],
    "array %": lambda x: ARRAY[0] % x,
}
CONSTANT = {
    "argmax": lambda x: x.argmax(),
    "argmax along": lambda x: x.argmax(axis=1, keepdims=True),
    "argmin": lambda x: x.argmin(0),
    "argsort": lambda x: x.argsort(),
    "round": lambda x: x.round(),
    "round decimals": lambda x: (x / 3).round(2),
    "//": lambda x: x // 2,
    "right //": lambda x: 7.25 // x,
    "array //": lambda x: ARRAY[0] // x,
    "divmod": lambda x: divmod(x, 2)[0],
}
PLAIN = {
    "any": lambda x: x.any(),
    "any along": lambda x: x.any(axis=1),
    "all": lambda x: x.all(axis=(0, 1), keepdims=True),
    "itemsize": lambda x: x.itemsize,
    "nbytes": lambda x: x.nbytes,
    "tolist": lambda x: x.tolist(),
    "tolist of a number": lambda x: x[0, 0].tolist(),
}


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("name", WITH_GRADIENT)
def test_methods_with_a_gradient(name, dtype):
    array, f = ARRAY.astype(dtype), WITH_GRADIENT[name]
    x = Tensor(array, requires_grad=True)
    y, expected = f(x), np.asarray(f(array))
    assert isinstance(y, Tensor) and y.requires_grad
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.data, expected, rtol=1e-2 if dtype == "f2" else 1e-6)
    if dtype != "f8" and name not in ("dot", "array %"):  # whose other operand is float64
        assert y.dtype == dtype
    (g,) = grad(y, x, np.ones(y.shape, y.dtype))
    assert g.shape == x.shape and g.dtype == dtype


@pytest.mark.parametrize("name", CONSTANT)
def test_methods_that_give_constants(name):
    y, expected = CONSTANT[name](Tensor(ARRAY, requires_grad=True)), CONSTANT[name](ARRAY)
    assert isinstance(y, Tensor) and not y.requires_grad
    np.testing.assert_array_equal(y.data, expected)
    assert y.dtype == expected.dtype and y.shape == expected.shape


@pytest.mark.parametrize("name", PLAIN)
def test_methods_that_give_plain_values(name):
    found, expected = PLAIN[name](Tensor(ARRAY, requires_grad=True)), PLAIN[name](ARRAY)
    np.testing.assert_array_equal(found, expected)
    assert not isinstance(found, Tensor)


def test_where_a_method_is_not_numpys():
    x = Tensor(ARRAY, requires_grad=True)
    y = x.sort()  # NumPy's sorts in place and returns None
    np.testing.assert_array_equal(y.data, np.sort(ARRAY))
    np.testing.assert_array_equal(x.sort(0, descending=True).data, np.sort(ARRAY, 0)[::-1])
    assert grad(y, x, np.ones(y.shape))[0].data.all()
    np.testing.assert_array_equal(x.abs().data, abs(ARRAY))  # an array has no such method
    np.testing.assert_array_equal(round(x).data, np.round(ARRAY))  # nor this
    np.testing.assert_array_equal(round(x / 3, 2).data, np.round(ARRAY / 3, 2))
    assert [t.tolist() for t in (x > 1).nonzero()] == [[0, 1, 1], [0, 0, 1]]
    assert [t.data.tolist() for t in x.nonzero()] == [t.tolist() for t in ARRAY.nonzero()]


def test_copies_share_no_memory():
    x = Tensor(ARRAY.copy(), requires_grad=True)
    for y in (x.copy(), x.flatten(), +x):
        assert not np.shares_memory(x.data, y.data)
        x.assign_(x.data + 1)  # so the change is none to the copy, nor to what saved it
        loss = (y * y).sum()
        x.assign_(x.data + 1)
        np.testing.assert_array_equal(grad(loss, x)[0].data, 2 * y.data.reshape(x.shape))
    assert np.shares_memory(x.data, x.ravel().data)


def test_a_tensor_is_not_changed_in_place():
    x = Tensor(ARRAY.copy(), requires_grad=True)
    with pytest.raises(TypeError, match="not assigned to.*assign_"):
        x[0] = 1.0
    with pytest.raises(TypeError, match="full_like"):
        x.fill(0)
    np.testing.assert_array_equal(x.data, ARRAY)


def test_pythons_error_for_wrong_arguments_names_the_tensor():
    with pytest.raises(TypeError, match=r"^Tensor\.sum\(\) got an unexpected keyword argument"):
        Tensor(np.ones(2)).sum(dim=0)
