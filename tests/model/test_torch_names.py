"""Names that Module, Tensor and Optimizer share with PyTorch's, and those that they do not."""

import numpy as np
import pytest

from autograd import Parameter, Tensor
from tinygrad_llm.model.containers import ModuleList
from tinygrad_llm.model.layers import LayerNorm, Linear
from tinygrad_llm.model.module import Module
from tinygrad_llm.training.optim import SGD


class Ours(Module):
    def __init__(self, layers=ModuleList):
        self.first = Linear(2, 3)
        self.layers = layers([Linear(3, 3), LayerNorm(3)])
        self.last = Linear(3, 2)
        self.last.weight = self.layers[0].weight  # tied


@pytest.fixture
def theirs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(2, 3)
            self.layers = torch.nn.ModuleList([torch.nn.Linear(3, 3), torch.nn.LayerNorm(3)])
            self.last = torch.nn.Linear(3, 2)
            self.last.weight = self.layers[0].weight

    return Theirs()


def test_the_walks_are_those_of_pytorch(theirs):
    ours = Ours()

    def names(pairs):
        return [name for name, _ in pairs]

    assert names(ours.named_children()) == names(theirs.named_children())
    assert names(ours.named_modules()) == names(theirs.named_modules())
    assert names(ours.named_parameters()) == names(theirs.named_parameters())
    for walk in ("children", "modules"):
        kinds = [
            [type(m).__name__.replace("Theirs", "Ours") for m in getattr(model, walk)()]
            for model in (ours, theirs)
        ]
        assert kinds[0] == kinds[1]
    assert list(ours.children()) == [ours.first, ours.layers, ours.last]


def test_a_member_is_found_by_every_name_that_pytorch_finds_it_by(theirs):
    ours = Ours()
    for name, _ in theirs.named_modules():
        assert type(ours.get_submodule(name)).__name__ in (
            "Ours", type(theirs.get_submodule(name)).__name__
        )  # fmt: skip
    for name in theirs.state_dict():  # tied ones under both names
        assert ours.get_parameter(name).shape == tuple(theirs.get_parameter(name).shape)
    for name in ("layers.2", "first.weight", "no"):
        for model in (ours, theirs):
            with pytest.raises(AttributeError):
                model.get_submodule(name)
    for name in ("first", "first.wieght", ""):
        for model in (ours, theirs):
            with pytest.raises(AttributeError):
                model.get_parameter(name)


def test_the_nearest_name_is_named():
    with pytest.raises(AttributeError, match="Ours has no parameter 'first.wieght': did you mean "):
        Ours().get_parameter("first.wieght")
    with pytest.raises(AttributeError, match=r"no module 'zzz': named_modules\(\) lists them"):
        Ours().get_submodule("zzz")


def test_numel():
    for shape in ((), (0, 3), (2, 3)):
        assert Tensor(np.zeros(shape)).numel() == int(np.prod(shape))


def test_a_list_needs_no_module_list():
    ours = Ours(layers=list)
    assert ours.get_submodule("layers.1") is ours.layers[1]
    assert ours.get_parameter("layers.1.bias") is ours.layers[1].bias
    assert [name for name, _ in ours.named_children()] == ["first", "layers.0", "layers.1", "last"]


def test_tied_parameters():
    ours = Ours()
    assert "layers.0.weight" in ours.state_dict() and "last.weight" not in ours.state_dict()
    assert ours.get_parameter("last.weight") is ours.get_parameter("layers.0.weight")


def test_there_is_no_registry():
    ours = Ours()
    for name in ("register_parameter", "register_buffer", "add_module"):
        assert not hasattr(ours, name)
    ours.scale, ours.mean = Parameter(np.ones(3)), np.ones(3)
    assert "scale" in ours.state_dict() and "mean" not in ours.state_dict()


def test_a_learning_rate_is_an_attribute():
    optimizer = SGD([Parameter(np.ones(2))], lr=0.1)
    with pytest.raises(AttributeError, match=r"SGD has no param_groups: set \.lr and "):
        optimizer.param_groups[0]["lr"] = 0.2
    optimizer.lr = 0.2
    assert optimizer.lr == 0.2
