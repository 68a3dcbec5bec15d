"""Tensors as Python's numbers, text and copies: a gradient is never lost silently."""

import array
import copy
import math
import operator
import pickle
import statistics

import numpy as np
import pytest

from autograd import Parameter, Tensor, enable_grad, no_grad, ops
from autograd.functional import grad as gradient_of

ENDING = {
    "float": float,
    "int": int,
    "complex": complex,
    "math.exp": math.exp,
    "math.floor": math.floor,
    "math.isclose": lambda x: math.isclose(x, 1.0),
    "math.fsum": lambda x: math.fsum([x, x]),
    "statistics.fmean": lambda x: statistics.fmean([x, x]),
    "percent": lambda x: "%.3f" % x,  # noqa: UP031
    "array.array": lambda x: array.array("d", [x]),
    "np.float64": np.float64,
    "np.float32": np.float32,
    "np.array": lambda x: np.array([x, x]),
    "np.asarray": np.asarray,
    "np.full": lambda x: np.full(3, x),
    "np.zeros slice": lambda x: np.zeros(2).__setitem__(slice(0, 1), x),
    "linspace": lambda x: np.linspace(0, x, 3),
    "Generator.normal": lambda x: np.random.default_rng(0).normal(x),
}


@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("name", ENDING)
def test_what_makes_a_number_refuses_a_tensor_that_requires_a_gradient(name, computed):
    x = Tensor(2.0, requires_grad=True)
    with pytest.raises(TypeError, match=r"ops.*(\.item\(\)|\.detach\(\)|tensor\.data)"):
        ENDING[name](x * 1.5 if computed else x)


def test_an_array_filled_element_by_element_is_refused():
    def f(x):
        a = np.zeros(2)
        a[0] = x[0] * x[1]
        return ops.sum(Tensor(a))

    with pytest.raises(ValueError) as caught:  # NumPy's own, raised from ours
        gradient_of(f)(np.array([2.0, 3.0]))
    assert isinstance(caught.value.__cause__, TypeError)
    assert "ops.stack" in str(caught.value.__cause__)
    with pytest.raises(TypeError, match=r"autograd\.ops"):
        gradient_of(lambda x: x * math.exp(x))(1.0)


def test_without_a_gradient_they_work():
    x = Tensor(2.0)
    assert float(x) == 2.0 and int(x) == 2 and complex(x) == 2 and math.sqrt(x * 2) == 2
    with no_grad():
        assert float(Parameter(np.float64(2.0)) * 3) == 6.0
    assert float(Parameter(np.float64(2.0)).detach()) == 2.0


def test_what_looks_at_values_works_for_all():
    x = Parameter(np.array([0.12345, 2.0]))
    loss = x.sum()
    assert loss.item() == 2.12345 and bool(loss) and len(x) == 2 and loss > 2
    assert (
        f"{loss:.3f}" == "2.123" and f"{loss:>8.2f}|" == "    2.12|" and f"{x[:1]:.1e}" == "1.2e-01"
    )
    assert f"{x}" == str(x) and f"{loss}" == str(loss) and f"{Tensor(np.array(7)):03d}" == "007"
    with pytest.raises(TypeError, match=r"single number, and this tensor has shape \(2,\)"):
        f"{x:.3f}"


def test_only_single_integers_are_indices():
    two = Tensor(np.array(2))
    assert operator.index(two) == 2 and [1, 2, 3][two] == 3 and list(range(two)) == [0, 1]
    assert ops.ones((two, 3)).shape == (2, 3)
    for wrong in (
        Tensor(2.0),
        Tensor(np.array([2])),
        Tensor(np.array(True)),
        Parameter(np.ones(())),
    ):
        with pytest.raises(TypeError, match="only a 0-d tensor of integers"):
            operator.index(wrong)


@pytest.mark.filterwarnings("ignore:you are shuffling")
def test_elements_cannot_be_set():
    x = Parameter(np.ones(3))
    for write in (lambda: operator.setitem(x, 0, 2.0), lambda: np.random.default_rng(0).shuffle(x)):
        with pytest.raises(TypeError, match="assign_"):
            write()
    with pytest.raises(TypeError):
        del x[0]
    np.testing.assert_array_equal(x.data, np.ones(3))


AUGMENTED = {
    "+": operator.iadd, "-": operator.isub, "*": operator.imul, "/": operator.itruediv,
    "//": operator.ifloordiv, "%": operator.imod, "**": operator.ipow, "@": operator.imatmul,
}  # fmt: skip


@pytest.mark.parametrize("symbol", AUGMENTED)
def test_a_leaf_that_learns_is_not_changed_by_augmented_assignment(symbol):
    """PyTorch's way to write an optimizer would bind a name, and train nothing."""
    frozen = Parameter(np.ones((2, 2)), requires_grad=False)
    learning = Tensor(np.ones((2, 2)), requires_grad=True)
    for p in (Parameter(np.ones((2, 2))), frozen, learning):
        for mode in (no_grad, enable_grad):
            with mode(), pytest.raises(TypeError) as error:
                AUGMENTED[symbol](p, np.ones((2, 2)))
            for way_out in (f"p.data {symbol}= value", f"p.assign_(p.data {symbol} value)"):
                assert way_out in str(error.value)
        assert (p.data == 1).all()


@pytest.mark.parametrize("symbol", AUGMENTED)
def test_augmented_assignment_of_other_tensors_computes_a_new_one(symbol):
    leaf = Tensor(np.full((2, 2), 3.0), requires_grad=True)
    for x in (Tensor(np.full((2, 2), 3.0)), leaf * 1):
        before, y = x, x
        y = AUGMENTED[symbol](y, np.full((2, 2), 2.0))
        assert y is not before and (before.data == 3).all()
        plain = AUGMENTED[symbol](np.full((2, 2), 3.0), np.full((2, 2), 2.0))
        np.testing.assert_array_equal(y.data, plain)
        assert y.requires_grad == (x.requires_grad and symbol != "//")  # which has no gradient


def test_the_ways_out_of_augmented_assignment_train():
    x = Parameter(np.array([1.0, 2.0]))
    (x * x).sum().backward()
    saved = x * x
    x.data -= 0.1 * x.grad.data
    np.testing.assert_allclose(x.data, [0.8, 1.6])
    x.assign_(x.data - 0.1)
    np.testing.assert_allclose(x.data, [0.7, 1.5])
    with pytest.raises(RuntimeError, match="changed"):  # a graph that saved the old values
        saved.sum().backward()


# --- copies --------------------------------------------------------------------------------------

COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("kind", [Parameter, Tensor])
def test_a_copy_is_an_independent_leaf(how, kind):
    p = kind(np.array([1.0, 2.0], np.float32), requires_grad=True)
    q = COPIES[how](p)
    assert type(q) is kind and q.requires_grad and q.is_leaf and q.dtype == np.float32
    ((p * 3).sum() + (q * 5).sum()).backward()
    assert p.grad.data.tolist() == [3.0, 3.0] and q.grad.data.tolist() == [5.0, 5.0]
    q.assign_([7, 8])
    assert p.data.tolist() == [1.0, 2.0]
    y = p * p
    q.assign_([9, 9])  # not a change of p
    y.sum().backward()


@pytest.mark.parametrize("how", COPIES)
def test_what_a_copy_takes_along(how):
    p = Parameter(np.ones(2))
    (p * 3).sum().backward()
    called = []
    p.register_hook(called.append)
    q = COPIES[how](p)
    if how == "pickle":
        assert q.grad is None
    else:
        assert q.grad.data.tolist() == [3.0, 3.0] and q.grad.data is not p.grad.data
    (q * 2).sum().backward()
    assert not called and p.grad.data.tolist() == [3.0, 3.0]
    t = COPIES[how](Tensor(np.arange(3)))
    assert not t.requires_grad and t.dtype == np.int64


@pytest.mark.parametrize("how", COPIES)
def test_a_computed_tensor_is_not_copied(how):
    y = Parameter(np.ones(2)) * 2
    with pytest.raises(RuntimeError, match=r"computed tensor .*Multiply.*\.detach\(\)"):
        COPIES[how](y)
    assert COPIES[how](y.detach()).data.tolist() == [2.0, 2.0]
    with no_grad():
        assert not COPIES[how](Parameter(np.ones(2)) * 2).requires_grad


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_what_is_one_object_stays_one(how):
    p = Parameter(np.ones(2))
    copied = COPIES[how]({"a": p, "b": [p], "same array": p.detach()})
    assert copied["a"] is copied["b"][0] is not p
    y = (copied["a"] * copied["a"]).sum()
    copied["same array"].assign_([5, 5])
    assert copied["a"].data.tolist() == [5.0, 5.0]
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_a_gradient_with_a_history_is_not_copied():
    p = Parameter(np.ones(2))
    (p * p * p).sum().backward(create_graph=True)
    with pytest.raises(RuntimeError, match="computed tensor"):
        copy.deepcopy(p)


def test_a_subclass_keeps_what_it_has():
    class Named(Parameter):
        def __init__(self, data, name):
            super().__init__(data)
            self.name = name

    q = copy.deepcopy(Named(np.ones(2), ["w"]))
    assert type(q) is Named and q.name == ["w"] and q.requires_grad
