"""Joining, splitting, spacing, differences, products of vectors: NumPy's values, types, errors."""

import numpy as np
import pytest

from autograd import Tensor, grad, ops

AXIS_ERROR = np.exceptions.AxisError


def normal(*shape, seed=0):
    return np.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape))


OPERANDS = [2.5, [1.0, 2.0], [[1.0, 2.0], [3.0, 4.0]], normal(2), normal(2, 2), normal(2, 2, 3)]
CALLS = {
    "atleast_1d": lambda xp, x: xp.atleast_1d(x),
    "atleast_2d": lambda xp, x: xp.atleast_2d(x),
    "atleast_3d": lambda xp, x: xp.atleast_3d(x),
    "atleast_2d of two": lambda xp, x: xp.atleast_2d(x, 1.0)[0],
    "vstack": lambda xp, x: xp.vstack([x, x]),
    "hstack": lambda xp, x: xp.hstack((x, x, x)),
    "dstack": lambda xp, x: xp.dstack([x, x]),
    "column_stack": lambda xp, x: xp.column_stack([x, x]),
    "append": lambda xp, x: xp.append(x, [[0.5]]),
    "append to": lambda xp, x: xp.append([1], x),
    "inner": lambda xp, x: xp.inner(x, [1.0, 2.0] if np.shape(x)[-1:] == (2,) else 3.0),
    "kron": lambda xp, x: xp.kron(x, [[1.0, 0.5]]),
    "kron from": lambda xp, x: xp.kron([1.0, 0.5], x),
    "linspace": lambda xp, x: xp.linspace(x, 7, 4),
    "linspace step": lambda xp, x: xp.linspace(0, x, 3, endpoint=False, retstep=True, axis=-1)[1],
    "linspace of one": lambda xp, x: xp.linspace(x, 0.0, 1),
    "linspace of none": lambda xp, x: xp.linspace(x, 0.0, 0),
    "diagflat": lambda xp, x: xp.diagflat(x, -1),
    "diff": lambda xp, x: xp.diff(xp.atleast_1d(x), append=4.0),
    "diff 0": lambda xp, x: xp.diff(xp.atleast_1d(x), 0, prepend=1),
    "diff 9": lambda xp, x: xp.diff(xp.atleast_1d(x), np.int64(9)),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("operand", OPERANDS, ids=lambda x: f"{type(x).__name__} {np.shape(x)}")
def test_values_are_numpys_for_every_kind_of_operand(name, operand):
    call = CALLS[name]
    expected = np.asarray(call(np, operand))
    x = Tensor(np.array(operand), requires_grad=True)
    for y in (call(ops, operand), call(ops, x)):
        assert isinstance(y, Tensor) and y.shape == expected.shape and y.dtype == expected.dtype
        np.testing.assert_allclose(y.data, expected, rtol=1e-15)
    assert y.requires_grad
    w = normal(*y.shape, seed=1)
    (g,) = grad(y, x, w, allow_unused=True)
    if name not in ("diff", "linspace", "append", "append to"):  # linear in x: y = <dy/dx, x>
        np.testing.assert_allclose((g.data * x.data).sum(), (w * expected).sum(), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["f2", "f4", "i4", "i8", "?"])
def test_types_are_numpys(dtype):
    x = np.array([[1, 0, 1], [0, 1, 1]]).astype(dtype)
    for call in (
        lambda xp: xp.vstack([x, x]), lambda xp: xp.append(x, x, axis=0), lambda xp: xp.kron(x, x),
        lambda xp: xp.inner(x, x), lambda xp: xp.diag(x[0]), lambda xp: xp.diag(x, 1),
        lambda xp: xp.diff(x), lambda xp: xp.diff(x, axis=0, n=2), lambda xp: xp.linspace(x, x, 3),
        lambda xp: xp.linspace(1, 4, 4, dtype=dtype), lambda xp: xp.array_split(x, 2)[1],
    ):  # fmt: skip
        y, expected = call(ops), call(np)
        np.testing.assert_array_equal(y.data, expected)
        assert y.dtype == expected.dtype
    if dtype[0] == "f":  # a number takes the type of the Tensor next to it, as in arithmetic
        t = Tensor(x, requires_grad=True)
        for y in (
            ops.linspace(t, 1.0, 3), ops.linspace(0, t, 3), ops.append(t, 2.5), ops.dot(t, 2.5),
            ops.inner(2.5, t), ops.kron(2.5, t), ops.outer(2.5, t), ops.diff(t, prepend=0.5),
            ops.cross(t, t),
        ):  # fmt: skip
            assert y.dtype == dtype


@pytest.mark.parametrize("parts", [1, 2, 3, 7, np.int64(4), [2, 3], (0, 9), [-1], np.array([1])])
@pytest.mark.parametrize("axis", [0, -1])
def test_array_split_is_numpys(parts, axis):
    array = normal(5, 4)
    found, expected = ops.array_split(array, parts, axis), np.array_split(array, parts, axis)
    assert len(found) == len(expected)
    for y, a in zip(found, expected, strict=True):
        np.testing.assert_array_equal(y.data, a)
        assert y.shape == a.shape


@pytest.mark.parametrize(
    "options",
    [{}, {"axis": 0}, {"axisa": 0, "axisb": 1}, {"axisa": 0, "axisb": -1, "axisc": 0}],
    ids=str,
)
def test_cross_is_numpys(options):
    a, b = normal(3, 3), normal(3, 3, seed=1)
    np.testing.assert_array_equal(ops.cross(a, b, **options).data, np.cross(a, b, **options))
    x = Tensor(a, requires_grad=True)  # at right angles to both, whatever the axes
    y = ops.cross(x, b)
    np.testing.assert_allclose((y * x).sum(-1).data, 0, atol=1e-15)


def test_linspace_ends_exactly_and_shares_the_gradient_between_its_ends():
    a, b = Tensor(np.array(0.1), requires_grad=True), Tensor(np.array(0.7), requires_grad=True)
    y = ops.linspace(a, b, 7)
    assert y.data[0] == 0.1 and y.data[-1] == 0.7
    w = normal(7)
    for g, t in zip(grad(y, [a, b], w), (np.linspace(1, 0, 7), np.linspace(0, 1, 7)), strict=True):
        np.testing.assert_allclose(g.data, (t * w).sum(), rtol=1e-12)
    constant = ops.linspace(0, 10, 5)
    np.testing.assert_array_equal(constant.data, [0, 2.5, 5, 7.5, 10])
    assert not constant.requires_grad
    assert np.isnan(ops.linspace(0, 1, 1, retstep=True)[1].data)  # as NumPy's


def test_differences_undo_a_running_sum():
    x = Tensor(normal(3, 4), requires_grad=True)
    y = ops.diff(ops.cumsum(x, 1), axis=1, prepend=0.0)
    np.testing.assert_allclose(y.data, x.data, rtol=1e-12)
    np.testing.assert_allclose(grad(y, x, x.data)[0].data, x.data, rtol=1e-12)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: ops.vstack([]), ValueError, "no arrays"),
        (lambda: ops.append(normal(2, 2), normal(2, 2), 2), AXIS_ERROR, "axis 2"),
        (lambda: ops.array_split(normal(4), 0), ValueError, "parts must be positive, got 0"),
        (lambda: ops.array_split(normal(4), 2, 1), AXIS_ERROR, "array_split: axis 1"),
        (lambda: ops.array_split(normal(4), 1.5), TypeError, "must be an integer"),
        (lambda: ops.diff(1.0), AXIS_ERROR, "diff: axis -1"),
        (lambda: ops.diff(normal(3), -1), ValueError, "n must not be negative, got -1"),
        (lambda: ops.diff(normal(3), 1.0), TypeError, "n must be an integer"),
        (lambda: ops.linspace(0, 1, -1), ValueError, "num must not be negative"),
        (lambda: ops.linspace(0, 1, 3.0), TypeError, "num must be an integer"),
        (lambda: ops.linspace(0, 1, axis=1), AXIS_ERROR, "linspace: axis 1"),
        (lambda: ops.inner(normal(2, 3), normal(2)), ValueError, r"inner: .*\(2, 3\) and \(2,\)"),
        (lambda: ops.cross(normal(2), normal(2)), ValueError, "3 components, got 2 and 2"),
        (lambda: ops.cross(normal(3), 1.0), AXIS_ERROR, "cross: axis -1"),
        (lambda: ops.cross(normal(3), normal(3), axis=1), AXIS_ERROR, "cross: axis 1"),
        (lambda: ops.diag(1.0), ValueError, r"a vector or a matrix, got shape \(\)"),
        (lambda: ops.diag(normal(2, 2, 2)), ValueError, r"\(2, 2, 2\)"),
        (lambda: ops.diag(normal(2), 0.5), TypeError, "diag: k must be an integer"),
    ],
)
def test_refusals_are_sentences(call, error, message):
    with pytest.raises(error, match=message):
        call()
