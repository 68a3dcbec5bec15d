"""Module: the walk over parameters, saving and loading, and its guards."""

import collections
import copy
import pickle

import numpy as np
import pytest

from autograd import Parameter, Tensor
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model.containers import ModuleList
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.model.layers import Dropout, Embedding, LayerNorm, Linear
from tinygrad_llm.model.module import Module, functional_call
from tinygrad_llm.training.optim import AdamW


class Tied(Module):
    """A table, a layer, and an output layer whose weight is the table."""

    def __init__(self):
        self.table = Embedding(5, 3)
        self.rows = ModuleList([Linear(3, 3), Linear(3, 3, bias=False)])
        self.scale = Parameter(np.ones(3, np.float32))
        self.head = Linear(3, 5, bias=False)
        self.head.weight = self.table.weight
        self.drop = Dropout(0.5, np.random.default_rng(0))

    def forward(self, ids):
        x = self.table(ids)
        for row in self.rows:
            x = row(x)
        return self.head(x * self.scale)


def filled(seed=0):
    model, rng = Tied(), np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.assign_(rng.standard_normal(parameter.shape))
    return model


def test_parameters_come_once_and_own_before_children():
    assert [name for name, _ in Tied().named_parameters()] == [
        "scale", "table.weight", "rows.0.weight", "rows.0.bias", "rows.1.weight",
    ]  # fmt: skip
    assert Tied().num_parameters() == 3 + 15 + 12 + 9


def test_module_names():
    names = [name for name, _ in Tied().named_modules()]
    assert names == ["", "table", "rows", "rows.0", "rows.1", "head", "drop"]


def test_train_and_eval_reach_every_module():
    model = Tied()
    assert model.drop.training
    assert not model.eval().drop.training and not model.rows[1].training
    assert model.train().drop.training and model.head.training


def test_dropout_only_in_training_and_by_its_generator():
    layer = Dropout(0.5, np.random.default_rng(3))
    x = Tensor(np.ones((4, 100)))
    first = layer(x).data
    assert set(np.unique(first)) == {0.0, 2.0}
    layer.rng.bit_generator.state = np.random.default_rng(3).bit_generator.state
    np.testing.assert_array_equal(layer(x).data, first)
    assert layer.eval()(x) is x


def test_layers_compute_what_they_say():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 4, 3)).astype(np.float32)
    linear = Linear(3, 5)
    linear.weight.assign_(rng.standard_normal((5, 3)))
    linear.bias.assign_(rng.standard_normal(5))
    expected = x @ linear.weight.data.T + linear.bias.data
    np.testing.assert_allclose(linear(Tensor(x)).data, expected, rtol=1e-5)
    y = LayerNorm(3)(Tensor(x)).data
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-6)
    np.testing.assert_allclose(y.var(-1), 1, atol=1e-3)


def test_layer_norm_without_affine_parameters_and_over_several_axes():
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype("f4")
    plain = LayerNorm(4, elementwise_affine=False)
    assert plain.state_dict() == {} and list(LayerNorm(4, bias=False).state_dict()) == ["weight"]
    np.testing.assert_allclose(plain(Tensor(x)).data.std(axis=-1), 1, rtol=1e-3)
    layer = LayerNorm((3, 4))
    assert layer.weight.shape == layer.bias.shape == (3, 4)
    layer.bias.assign_(np.ones((3, 4), "f4"))
    np.testing.assert_allclose(layer(Tensor(x)).data.mean(axis=(1, 2)), 1, rtol=1e-5)


def test_the_row_of_padding_is_never_trained():
    table = Embedding(3, 2, padding_idx=-1)
    table(np.array([[0, 2], [2, 2]])).sum().backward()
    assert table.weight.grad.data.tolist() == [[1, 1], [0, 0], [0, 0]]
    with pytest.raises(IndexError, match="padding_idx 3 is outside"):
        Embedding(3, 2, padding_idx=3)(np.array([0]))


def test_zero_grad():
    model = filled()
    model(np.array([[0, 1]])).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_apply_reaches_every_module_from_the_bottom_up():
    model, seen = Tied(), []
    assert model.apply(seen.append) is model
    names = {id(module): name for name, module in model.named_modules()}
    assert [names[id(module)] for module in seen] == [
        "table", "rows.0", "rows.1", "rows", "head", "drop", "",
    ]  # fmt: skip


def test_requires_grad_freezes_and_thaws():
    model, ids = filled(), np.array([[0, 1]])
    model(ids).sum().backward()
    assert model.rows.requires_grad_(False) is model.rows
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert frozen == ["rows.0.weight", "rows.0.bias", "rows.1.weight"]
    assert all(p.grad is None for p in model.rows.parameters()) and model.scale.grad is not None
    model(ids).sum().backward()
    assert all(p.grad is None for p in model.rows.parameters())
    model.requires_grad_()
    assert all(p.requires_grad for p in model.parameters())


def test_astype_keeps_ties_and_gradients_flow():
    model = filled()
    model(np.array([[0, 1]])).sum().backward()
    model.astype(np.float64)
    assert model.head.weight is model.table.weight
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float64)}
    assert all(p.grad is None for p in model.parameters())
    model(np.array([[0, 1]])).sum().backward()
    assert model.scale.grad.dtype == np.float64


def test_state_dict_round_trip():
    model, other = filled(0), filled(1)
    state = model.state_dict()
    assert list(state) == [name for name, _ in model.named_parameters()]
    assert other.load_state_dict(state) == ([], [])
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
        assert value is not state[name]


@pytest.mark.parametrize(
    "change, error, words",
    [
        (lambda s: s.pop("scale"), KeyError, "this Tied: it lacks scale \\(strict=False"),
        (lambda s: s.update(other=np.ones(2)), KeyError, "it has other, which the model does not"),
        (
            lambda s: [s.pop(name) for name in list(s)] and s.update(x=1, y=2),
            KeyError,
            "it lacks scale, table.weight, rows.0.weight and 2 more and has x, y, which",
        ),
        (
            lambda s: s.update(scale=np.ones(4)),
            ValueError,
            r"scale: expected shape \(3,\), found \(4,\)",
        ),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, words):
    model, state = filled(0), dict(filled(1).state_dict())
    before = {name: value.copy() for name, value in model.state_dict().items()}
    change(state)
    with pytest.raises(error, match=words):
        model.load_state_dict(state)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_not_strict_says_what_it_left_out():
    model = filled()
    state = {"scale": np.full(3, 7.0), "other": np.ones(1)}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing[0] == "table.weight" and len(missing) == 4 and unexpected == ["other"]
    np.testing.assert_array_equal(model.scale.data, 7)


def test_a_parameter_is_not_overwritten_by_an_array():
    layer = Linear(2, 2)
    with pytest.raises(TypeError, match="assign_"):
        layer.weight = np.ones((2, 2))
    layer.bias = None  # but it can be removed
    assert len(layer.parameters()) == 1


class Branches(Module):
    """Parameters in every container in which they are found."""

    def __init__(self):
        self.layers = [Linear(2, 2), Linear(2, 2, bias=False)]
        self.pair = (LayerNorm(2), 3, None)
        self.heads = {"a": Linear(2, 1), "b": [{"scale": Parameter(np.ones(2, np.float32))}]}
        self.layers.append(self.layers[0])  # tied

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.heads["a"](self.pair[0](x) * self.heads["b"][0]["scale"])


def test_lists_tuples_and_dicts_are_walked():
    model = Branches()
    assert [name for name, _ in model.named_parameters()] == [
        "heads.b.0.scale", "layers.0.weight", "layers.0.bias", "layers.1.weight", "pair.0.weight",
        "pair.0.bias", "heads.a.weight", "heads.a.bias",
    ]  # fmt: skip
    assert [name for name, _ in model.named_children()] == [
        "layers.0", "layers.1", "layers.2", "pair.0", "heads.a",
    ]  # fmt: skip
    model.layers.append(Linear(2, 2))  # what comes later is found too
    assert "layers.3.weight" in model.state_dict()
    assert not model.eval().layers[3].training and not model.pair[0].training
    twin = Branches()
    twin.layers.append(Linear(2, 2))
    twin.load_state_dict(model.state_dict())
    copy.deepcopy(model).load_state_dict(twin.state_dict())
    assert model.layers[2] is model.layers[0]


def test_functional_call_replaces_what_is_in_containers():
    model, x = Branches(), np.ones((1, 2), np.float32)
    layers, heads, pair = model.layers, model.heads, model.pair
    tensors = {n: Tensor(2 * p.data, requires_grad=True) for n, p in model.named_parameters()}
    y = functional_call(model, tensors, x)
    assert model.layers is layers and model.heads is heads and model.pair is pair
    y.sum().backward()
    assert all(t.grad is not None for t in tensors.values())
    assert all(p.grad is None for p in model.parameters())
    doubled = Branches()
    doubled.load_state_dict({n: t.data for n, t in tensors.items()})
    np.testing.assert_array_equal(doubled(x).data, y.data)


Pair = collections.namedtuple("Pair", "left right")


def test_named_tuples_and_unrelated_containers_stay_what_they_are():
    class Two(Module):
        def __init__(self):
            self.pair = Pair(Parameter(np.ones(1)), 2.0)
            self.sizes = [1, 2]

        def forward(self, sizes):
            assert self.sizes is sizes and isinstance(self.pair, Pair)
            return self.pair.left * self.pair.right

    model = Two()
    y = functional_call(model, {"pair.0": Tensor(np.full(1, 3.0))}, model.sizes)
    assert y.item() == 6.0


HIDDEN = {
    "deque": lambda: collections.deque([Linear(2, 2)]),
    "set": lambda: {Linear(2, 2)},
    "a set in a list": lambda: [1, {Parameter(np.ones(2))}],
    "a tensor that learns": lambda: Tensor(np.ones(2), requires_grad=True),
    "tensors that learn in a list": lambda: [Tensor(np.ones(2), requires_grad=True)],
    "tensors that learn in a dict": lambda: {"a": (Tensor(np.ones(2), requires_grad=True),)},
}


@pytest.mark.parametrize("make", HIDDEN.values(), ids=HIDDEN)
def test_what_the_walk_would_miss_is_refused(make):
    module = Module()
    with pytest.raises(TypeError, match="Module.things.* would not be found"):
        module.things = make()
    assert not hasattr(module, "things")


@pytest.mark.parametrize("key", [1, "", "a.b", None, ("a", 1)])
def test_a_key_that_is_no_name_is_refused(key):
    module = Module()
    with pytest.raises(TypeError, match="Module.heads: .* cannot name what a module contains"):
        module.heads = {key: Linear(2, 2)}
    module.heads = {key: 1.0}  # of anything else, any dict may be an attribute


@pytest.mark.parametrize("walk", ["parameters", "state_dict", "train", "zero_grad"])
def test_what_was_hidden_later_is_refused_by_every_walk(walk):
    class Grid(Module):
        def __init__(self):
            self.layers, self.heads, self.scale = set(), {}, Tensor(np.ones(2))

    def learn(grid):
        grid.scale.requires_grad = True

    for hide in (lambda g: g.layers.add(Linear(2, 2)), lambda g: g.heads.update({1: Linear(1, 1)}),
                 learn):  # fmt: skip
        grid = Grid()
        getattr(grid, walk)()  # empty containers hide nothing
        hide(grid)
        with pytest.raises(TypeError, match="Grid.(layers|heads|scale).* (would not|cannot)"):
            getattr(grid, walk)()
        with pytest.raises(TypeError, match="Grid.(layers|heads|scale).* (would not|cannot)"):
            getattr(ModuleList([grid]), walk)()


def test_parameters_of_the_class_are_refused():
    for value in (Parameter(np.ones(2)), Linear(2, 2), [Linear(2, 2)]):
        with pytest.raises(TypeError, match="Bad.shared.* set it in __init__"):
            type("Bad", (Module,), {"shared": value})


def test_containers_of_other_things_are_welcome():
    module, loop = Module(), []
    loop.append(loop)
    module.sizes, module.names, module.loop = [1, 2], {"a": np.ones(2)}, loop
    module.seen = [Linear(2, 2)(np.ones((1, 2), np.float32))]  # computed, as to look at it later
    assert module.parameters() == []


def test_functional_call_replaces_tied_parameters_together_and_puts_them_back():
    model, ids = filled(), np.array([[0, 4, 2]])
    parameter = model.table.weight
    table = Tensor(np.full((5, 3), 0.5, np.float32), requires_grad=True)
    y = functional_call(model, {"table.weight": table}, ids)
    assert model.table.weight is parameter and model.head.weight is parameter
    assert np.ptp(y.data) == 0  # all rows alike, going in and coming out
    y.sum().backward()
    assert table.grad is not None and parameter.grad is None

    with pytest.raises(KeyError, match="no parameter x"):
        functional_call(model, {"x": table}, ids)
    with pytest.raises(ValueError, match="scale: expected shape"):
        functional_call(model, {"scale": table}, ids)
    with pytest.raises(IndexError):  # an error inside puts them back too
        functional_call(model, {"table.weight": table}, np.array([[9]]))
    assert model.head.weight is parameter


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="ModuleList"):
        ModuleList()(1)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copied_module_learns_by_itself(how):
    model, ids = filled(), np.array([[0, 1], [2, 4]])
    twin = COPIES[how](model).eval()
    model.eval()
    assert twin.head.weight is twin.table.weight is not model.table.weight
    assert twin.num_parameters() == model.num_parameters()
    np.testing.assert_array_equal(twin(ids).data, model(ids).data)
    twin(ids).sum().backward()
    assert all(p.grad is None for p in model.parameters())
    assert all(p.grad is not None for p in twin.parameters())
    before = {name: array.copy() for name, array in model.state_dict().items()}
    AdamW(list(twin.named_parameters()), lr=0.1).step()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
        assert not np.array_equal(array, twin.state_dict()[name])


def test_a_model_and_its_optimizer_are_copied_together():
    model = filled().eval()
    optimizer, ids = AdamW(list(model.named_parameters()), lr=0.1), np.array([[0, 1]])
    model(ids).sum().backward()
    optimizer.step()
    twin, its_optimizer = copy.deepcopy((model, optimizer))
    for pair in ((model, optimizer), (twin, its_optimizer)):
        pair[0].zero_grad()
        pair[0](ids).sum().backward()
        pair[1].step()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, twin.state_dict()[name])
        assert array is not twin.state_dict()[name]


def test_a_copied_gpt_is_the_same_model():
    config = GPTConfig(vocab_size=11, block_size=6, n_layer=1, n_head=2, n_embd=8)
    model, ids = GPT(config, seed=0), np.array([[1, 2, 3]])
    twin = copy.deepcopy(model)
    assert [n for n, _ in twin.named_parameters()] == [n for n, _ in model.named_parameters()]
    loss = twin.loss(ids, ids)
    loss.backward()
    assert loss.item() == model.loss(ids, ids).item()
    assert all(p.grad is None for p in model.parameters())
    assert all(p.grad is not None for p in twin.parameters())
