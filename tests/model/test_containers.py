"""ModuleList, Sequential and ModuleDict, next to PyTorch's where it is installed."""

import copy
import pickle

import numpy as np
import pytest

from autograd import Parameter, Tensor, ops
from tinygrad_llm.model.containers import ModuleDict, ModuleList, Sequential
from tinygrad_llm.model.layers import LayerNorm, Linear
from tinygrad_llm.model.module import Module


def layers(n):
    return [Linear(1, i + 1) for i in range(n)]


def test_a_list_of_modules_is_a_list():
    """Every operation, on a ModuleList and on a plain list."""
    for make in (ModuleList, lambda modules: Sequential(*modules)):
        plain = layers(4)
        row = make(plain)
        for change in (
            lambda r, m: r.append(m),
            lambda r, m: r.extend([m]),
            lambda r, m: r.insert(1, m),
            lambda r, m: r.__setitem__(-2, m),
            lambda r, m: r.__delitem__(0),
            lambda r, m: r.__delitem__(slice(1, 3)),
        ):
            new = Linear(1, 9)
            change(plain, new)
            change(row, new)
            assert list(row) == plain and len(row) == len(plain)
            assert [n for n, _ in row.named_children()] == [str(i) for i in range(len(plain))]
        assert row[0] is plain[0] and row[-1] is plain[-1] and plain[1] in row
        assert type(row[1:]) is type(row) and list(row[1:]) == plain[1:]
        with pytest.raises(IndexError):
            row[9]
        row.eval()  # sets an attribute that is no member
        assert list(row) == plain


def test_a_row_of_more_than_ten_keeps_its_order():
    row = ModuleList(layers(12))
    assert [layer.weight.shape[0] for layer in row] == list(range(1, 13))
    row.insert(0, Linear(1, 20))
    assert [layer.weight.shape[0] for layer in row] == [20, *range(1, 13)]


def test_sequential_runs_its_steps_in_order():
    rng = np.random.default_rng(0)
    model = Sequential(Linear(2, 8, rng=rng), ops.tanh, LayerNorm(8), Linear(8, 1, rng=rng))
    x = Tensor(rng.standard_normal((4, 2)).astype("f4"))
    expected = model[3](model[2](ops.tanh(model[0](x))))
    np.testing.assert_array_equal(model(x).data, expected.data)
    assert list(model.state_dict()) == [
        "0.weight", "0.bias", "2.weight", "2.bias", "3.weight", "3.bias",
    ]  # fmt: skip
    model(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin(x).data, expected.data)
    assert Sequential()(x) is x


def test_what_is_no_step_is_refused():
    with pytest.raises(TypeError, match=r"is a list, expected .*: write Sequential\(\*steps\)"):
        Sequential([Linear(1, 1)])
    with pytest.raises(TypeError, match=r"the class LayerNorm: make a module of it, LayerNorm\("):
        Sequential(LayerNorm)
    row = ModuleList(layers(2))
    for change in (lambda: row.append(3.0), lambda: row.insert(0, ops.tanh),
                   lambda: row.__setitem__(0, None)):  # fmt: skip
        with pytest.raises(TypeError, match="ModuleList holds modules, not"):
            change()
        assert len(row) == 2 and all(isinstance(m, Module) for m in row)


def test_module_dict():
    heads = ModuleDict({"a": Linear(2, 2), "b": LayerNorm(2)})
    heads["a"] = Linear(3, 1)
    assert list(heads) == heads.keys() == ["a", "b"] and len(heads) == 2 and "b" in heads
    assert heads["a"].weight.shape == (1, 3) and heads.values()[0] is heads.items()[0][1]
    assert list(heads.state_dict()) == ["a.weight", "a.bias", "b.weight", "b.bias"]
    for name in ("", "a.b", 3, "keys", "training"):
        with pytest.raises(ValueError, match="cannot name a module"):
            heads[name] = Linear(1, 1)
    assert heads.pop("b").weight.shape == (2,) and list(heads) == ["a"]
    heads.update({"c": Linear(1, 1)})
    del heads["a"]
    assert list(heads) == ["c"] and list(heads.state_dict()) == ["c.weight", "c.bias"]
    with pytest.raises(KeyError):
        heads.pop("a")
    with pytest.raises(TypeError, match="ModuleDict holds modules, not float"):
        heads["c"] = 1.0
    with pytest.raises(TypeError, match="ModuleList holds modules, not Parameter"):
        ModuleList([Parameter(np.ones(2))])
