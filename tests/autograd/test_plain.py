"""The engine accepts arrays of numbers or booleans, and array-likes; nothing else."""

import re
from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from autograd import Parameter, Tensor, grad, ops, tensor
from autograd.functional import grad as gradient_of
from autograd.samples import SAMPLES

X = np.array([[1.0, 2.0], [3.0, 4.0]])

NOT_NUMBERS = {
    "strings": np.array([["a", "b"], ["c", "d"]]),
    "bytes": np.array([[b"a", b"b"], [b"c", b"d"]]),
    "objects": np.array([[1, 2], [3, 4]], dtype=object),
    "complex": X * (1 + 1j),
    "complex64": (X * 1j).astype(np.complex64),
    "dates": np.array([["2020-01-01"] * 2] * 2, dtype="M8[D]"),
    "times": np.ones((2, 2), dtype="m8[s]"),
    "records": np.zeros((2, 2), dtype=[("a", float)]),
    "masked": np.ma.array(X, mask=[[0, 1], [0, 0]]),
    "masked without a mask": np.ma.array(X),
}
ENTRANCES = {
    "Tensor": lambda a: Tensor(a),
    "Parameter": lambda a: Parameter(a),
    "tensor": lambda a: tensor(a),
    "data": lambda a: setattr(Tensor(X), "data", a),
    "data of a parameter": lambda a: setattr(Parameter(X), "data", a),
    "assign_": lambda a: Parameter(X.copy()).assign_(a),
    "grad": lambda a: setattr(Parameter(X), "grad", a),
    "backward": lambda a: (Parameter(X) * 2).backward(a),
    "backward, create_graph": lambda a: (Parameter(X) * 2).backward(a, create_graph=True),
    "grad_outputs": lambda a: grad(Parameter(X) * 2, [Parameter(X)], a),
    "left": lambda a: a * Parameter(X),
    "left, power": lambda a: a ** Parameter(X),
    "left, division": lambda a: a / Parameter(X),
    "right": lambda a: Parameter(X) * a,
    "addition": lambda a: Parameter(X) + a,
    "power": lambda a: Parameter(X) ** a,
    "matmul": lambda a: Parameter(X) @ a,
    "rmatmul": lambda a: a @ Parameter(X),
    "maximum": lambda a: ops.maximum(Parameter(X), a),
    "exp": lambda a: ops.exp(a),
    "sum": lambda a: ops.sum(a),
    "concatenate": lambda a: ops.concatenate([Parameter(X), a]),
    "clip": lambda a: ops.clip(Parameter(X), a, None),
    "where, condition": lambda a: ops.where(a, Parameter(X), 0.0),
    "where, value": lambda a: ops.where(X > 0, Parameter(X), a),
    "index": lambda a: Parameter(X)[a],
    "index in a tuple": lambda a: Parameter(X)[a, 0],
    "take": lambda a: ops.take(Parameter(X), a),
    "take_along_axis": lambda a: ops.take_along_axis(Parameter(X), a, 0),
    "embedding": lambda a: ops.embedding(Parameter(X), a),
    "targets": lambda a: ops.cross_entropy(Parameter(np.ones((2, 2, 4))), a),
    "attention mask": lambda a: ops.scaled_dot_product_attention(
        *[Parameter(X)] * 3, attn_mask=a
    ),
    "linear": lambda a: ops.linear(a, Parameter(X)),
    "softmax": lambda a: ops.softmax(a),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", NOT_NUMBERS)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_anything_but_an_array_of_numbers_is_refused_everywhere(entrance, kind):
    with pytest.raises(TypeError) as caught:
        ENTRANCES[entrance](NOT_NUMBERS[kind])
    said = "mask" if "masked" in kind else "real numbers|numbers or booleans|integers"
    assert re.search(said, str(caught.value))


@pytest.mark.parametrize(
    "value", ["a", b"a", 1j, Fraction(1, 3), Decimal(1), date(2020, 1, 1), object(), {1: 2}, "1.0"]
)
def test_single_values_that_are_not_numbers_are_refused(value):
    x = Parameter(X)
    for use in (Tensor, lambda v: x * v, lambda v: v - x, lambda v: ops.exp(v), x.assign_):
        with pytest.raises(TypeError):
            use(value)


def test_a_complex_value_in_between_is_an_error_at_once():
    with pytest.raises(TypeError, match=r"operand 1 of Multiply is complex .* two tensors"):
        gradient_of(lambda x: ops.abs(x * (1 + 1j)) ** 2 + x)(3.0)
    for dtype in (complex, np.complex64, object, "U3"):
        with pytest.raises(TypeError, match="the result of AsType"):
            Parameter(X).astype(dtype)
        with pytest.raises(TypeError, match="the result of AsType"):
            Tensor(X).astype(dtype)


def test_fractions_are_not_written_into_integers():
    ids = Tensor(np.array([1, 2]))
    with pytest.raises(TypeError, match="cannot assign float64 to int64"):
        ids.assign_([0.5, 1.5])
    assert ids.assign_([3, 4]).data.tolist() == [3, 4]


# --- subclasses of NumPy's array -----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_is_an_array_like_every_other(tmp_path):
    m = np.matrix(X)
    t = Tensor(m)
    assert type(t.data) is np.ndarray and np.shares_memory(t.data, m)
    np.testing.assert_array_equal((t * t).data, X * X)
    x = Parameter(X)
    for y in (x * m, m * x, ops.multiply(x, m), ops.where(m > 2, x, 0.0), x[np.matrix([0, 1])]):
        assert type(y.data) is np.ndarray
    np.testing.assert_array_equal((x * m).data, X * X)
    np.testing.assert_array_equal((m * x).data, X * X)
    x.data = m
    x.grad = m
    assert type(x.data) is type(x.grad.data) is np.ndarray


def test_a_memory_map_is_a_view(tmp_path):
    mapped = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", float, (2, 2))
    mapped[:] = X
    t = Tensor(mapped, requires_grad=True)
    assert type(t.data) is np.ndarray and np.shares_memory(t.data, mapped)
    (t * mapped).sum().backward()
    np.testing.assert_array_equal(t.grad.data, X)


# --- array-likes as operands ---------------------------------------------------------------------

SAME = {
    "a list": [[2.0, 3.0], [4.0, 5.0]],
    "a tuple": ((2.0, 3.0), (4.0, 5.0)),
    "a row": [2.0, 3.0],
    "a list of arrays": [np.array([2.0, 3.0]), np.array([4.0, 5.0])],
    "a list of integers": [[2, 3], [4, 5]],
    "a list of booleans": [[True, False], [True, True]],
    "a list of NumPy scalars": [np.float64(2.0), np.float32(3.0)],
    "a list of Tensors": [Tensor(2.0), Tensor(3.0)],
    "a range": range(2, 4),
    "a number": 3,
    "a boolean": True,
    "a NumPy number": np.float64(3.0),
    "a NumPy integer": np.int64(3),
    "an array": np.array([[2.0, 3.0], [4.0, 5.0]]),
}
BINARY = "add subtract multiply divide power maximum minimum".split()


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("like", SAME)
def test_array_likes_are_operands_to_second_order(name, like):
    op, value = getattr(ops, name), SAME[like]
    plain = np.asarray([v.item() for v in value] if like == "a list of Tensors" else value)

    def everything(other, swapped):
        x = Parameter(X)
        y = op(other, x) if swapped else op(x, other)
        (first,) = grad((y * y).sum(), x, create_graph=True)
        (second,) = grad((first * first).sum(), x)
        return [y.data, first.data, second.data]

    for swapped in (False, True):
        with np.errstate(all="ignore"):
            found, expected = everything(value, swapped), everything(plain, swapped)
            y = getattr(np, name)(*((plain, X) if swapped else (X, plain)))
        np.testing.assert_allclose(found[0], y, rtol=1e-14)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)


def test_a_list_may_change_after_its_use():
    x, factor, index = Parameter(X), [2.0, 3.0], [0, 1]
    y = (x * factor).sum() + x[index, index].sum()
    factor[0], index[0] = 100.0, 1
    y.backward()
    np.testing.assert_array_equal(x.grad.data, [[3.0, 3.0], [2.0, 4.0]])


def test_numbers_of_python_are_weak_and_those_of_numpy_are_not():
    x = Parameter(X.astype(np.float32))
    for weak in (2, 2.5, True):
        for y in (x * weak, weak * x, x + weak, weak - x, x / weak, x**weak, ops.maximum(x, weak)):
            assert y.dtype == np.float32
            assert grad(y.sum(), x)[0].dtype == np.float32
    for strong in (np.float64(2), np.array(2.0), [2.0, 3.0]):
        y = x * strong
        assert y.dtype == (X.astype(np.float32) * np.asarray(strong)).dtype == np.float64
        assert grad(y.sum(), x)[0].dtype == np.float32
    assert (x * np.float32(2)).dtype == np.float32


def test_tensors_in_a_list_would_lose_their_history():
    x = Parameter(np.float64(2.0))
    with pytest.raises(TypeError, match="lose its history"):
        Tensor([x, x * 2])
    with pytest.raises(TypeError, match="lose its history"):
        Parameter(X) * [x, 2.0]


# --- every operation -----------------------------------------------------------------------------

SEVERAL = [s for s in SAMPLES if len(s.inputs()) > 1 and s.name != "where"]  # reads a shape itself


@pytest.mark.parametrize("sample", SEVERAL, ids=lambda s: s.name)
def test_every_operation_takes_lists_next_to_a_tensor(sample):
    arrays = sample.inputs()
    for i, array in enumerate(arrays):

        def everything(others, i=i, array=array):
            x = Tensor(array, requires_grad=True)
            found = [y := sample.call(*others[:i], x, *others[i + 1 :])]
            if y.requires_grad:
                found += grad((y * y).sum(), x, create_graph=True)
            if found[-1].requires_grad:
                found += grad((found[-1] * found[-1]).sum(), x, allow_unused=True)
            return [y.data for y in found if y is not None]

        expected = everything([Tensor(a) for a in arrays])
        found = everything([a.tolist() for a in arrays])
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


SINGLE = (
    "abs exp log sqrt sum mean max var prod cumsum sort softmax log_softmax relu gelu silu".split()
)
SINGLE += "ravel transpose flip squeeze tril trace logsumexp stack concatenate tile".split()
OPTIONS = {"tile": (2,)}


@pytest.mark.parametrize("name", [*SINGLE, "linalg.inv", "linalg.det", "linalg.norm"])
def test_operations_of_one_operand_take_lists(name):
    op = getattr(ops.linalg if name.startswith("linalg.") else ops, name.removeprefix("linalg."))
    options = OPTIONS.get(name, ())
    y = op(X.tolist(), *options)
    assert isinstance(y, Tensor) and not y.requires_grad
    np.testing.assert_array_equal(y.data, op(Tensor(X), *options).data)
