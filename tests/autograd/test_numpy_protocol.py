"""NumPy's functions on a Tensor: operators, functions that only read, and errors for the rest."""

import numpy as np
import pytest

from autograd import Parameter, Tensor, ops
from autograd._numpy_protocol import OTHER_NAMES

X = np.array([[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    "function, name",
    [
        (np.sum, "sum"), (np.mean, "mean"), (np.max, "max"), (np.amax, "max"), (np.min, "min"),
        (np.amin, "min"), (np.prod, "prod"), (np.exp, "exp"), (np.abs, "abs"), (np.fabs, "abs"),
        (np.sqrt, "sqrt"), (np.cumsum, "cumsum"), (np.sort, "sort"), (np.transpose, "transpose"),
        (np.permute_dims, "transpose"), (np.ravel, "ravel"), (np.zeros_like, "zeros_like"),
        (np.average, "mean"), (np.isnan, "isnan"), (np.add.reduce, "sum"),
        (np.multiply.reduce, "prod"), (np.maximum.reduce, "max"), (np.add.accumulate, "cumsum"),
        (np.linalg.inv, "linalg.inv"), (np.linalg.norm, "linalg.norm"),
        (np.linalg.det, "linalg.det"), (np.linalg.trace, "trace"),
        (lambda t: np.concatenate([X, t]), "concatenate"),
        (lambda t: np.concat([t, t]), "concatenate"),
        (lambda t: np.stack([t]), "stack"), (lambda t: np.where(X > 1, t, 0.0), "where"),
        (lambda t: np.reshape(t, 4), "reshape"), (lambda t: np.dot(X, t), "dot"),
        (lambda t: np.einsum("ij->j", t), "einsum"), (lambda t: np.maximum(t, 0), "maximum"),
        (lambda t: np.clip(t, 0, 1), "clip"), (lambda t: np.take(t, [0]), "take"),
        (lambda t: np.linalg.solve(X, t), "linalg.solve"),
        (lambda t: np.expand_dims(t, 0), "expand_dims"),
        (lambda t: np.linalg.outer(t[0], t[1]), "outer"),
        (lambda t: np.multiply.outer(t, t), "outer"),
        (lambda t: np.linalg.multi_dot([t, t, t]), "matmul"),
        (lambda t: np.float_power(t, 2), "power"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("requires_grad", [False, True])
def test_the_operation_of_that_name_is_named(function, name, requires_grad):
    with pytest.raises(TypeError) as caught:
        function(Tensor(X, requires_grad=requires_grad))
    text = str(caught.value)
    assert f" autograd.ops.{name}(...)" in text and text.count(":") == 1, text
    part = ops.linalg if name.startswith("linalg.") else ops
    assert callable(getattr(part, name.removeprefix("linalg.")))


@pytest.mark.parametrize(
    "function, shown",
    [
        (np.cbrt, "np.cbrt"), (np.spacing, "np.spacing"), (np.fft.fft, "np.fft.fft"),
        (np.median, "np.median"), (np.linalg.eig, "np.linalg.eig"), (np.cov, "np.cov"),
        (np.logaddexp.reduce, "np.logaddexp.reduce"),
        (lambda t: np.interp(t, [0], [0]), "np.interp"),
    ],
)  # fmt: skip
def test_a_missing_function_is_an_error_that_says_so(function, shown):
    with pytest.raises(TypeError) as caught:
        function(Parameter(X))
    assert str(caught.value).startswith(f"{shown} does not know about gradients")
    assert "autograd.ops has no such function" in str(caught.value)


def test_every_other_name_leads_somewhere_or_is_not_needed():
    for other in OTHER_NAMES.values():
        part, _, name = other.rpartition(".")
        assert hasattr(ops.linalg if part else ops, name) or other in ("vstack",), other


def test_a_function_that_only_reads_gets_the_arrays(tmp_path):
    t = Parameter(X)
    assert np.shape(t) == (2, 2) and np.ndim(t) == 2 and np.size(t) == 4
    assert np.allclose(t, X) and np.array_equal(t, X) and np.isclose(X, t).all()
    assert np.shares_memory(t, X) and np.result_type(t, np.float32) == np.float64
    np.save(tmp_path / "t.npy", t)
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), X)


def test_a_function_that_writes_is_an_error_that_names_assign():
    t = Parameter(X.copy())
    for write in (
        lambda: np.copyto(np.zeros((2, 2)), t), lambda: np.fill_diagonal(t, 0),
        lambda: np.put(t, [0], 1), lambda: np.putmask(t, X > 0, 0.0),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="assign_"):
            write()
    np.testing.assert_array_equal(t.data, X)


def test_nothing_is_written_into_an_array():
    a, t = X.copy(), Parameter(X)
    with pytest.raises(TypeError, match=r"array \+= tensor do.*autograd\.ops\.add"):
        a += t
    with pytest.raises(TypeError, match=r"autograd\.ops\.multiply"):
        np.multiply(t, 2, out=a)
    with pytest.raises(TypeError, match=r"np\.add\.at"):
        np.add.at(a, [0], t)
    np.testing.assert_array_equal(a, X)


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "**", "@", "//"])
def test_operators_with_an_array_on_the_left_are_ours(symbol):
    y = eval(f"a {symbol} b", {"a": X, "b": Parameter(X)})
    assert type(y) is Tensor
    np.testing.assert_allclose(y.data, eval(f"a {symbol} a", {"a": X}))
