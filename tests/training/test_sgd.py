"""SGD against PyTorch's, step by step, and what it keeps; groups of parameters in any optimizer."""

import numpy as np
import pytest
from optimizer_steps import check_continuation, set_gradients

from autograd import Parameter, Tensor, use_kernels
from tinygrad_llm.training.optim import SGD, AdamW, Muon


def parameters(dtype=np.float64):
    rng = np.random.default_rng(0)
    shapes = {"0.weight": (5, 3), "0.bias": (3,), "scalar": (), "cube": (2, 2, 2)}
    return {n: Parameter(np.asarray(rng.normal(size=s), dtype)) for n, s in shapes.items()}


@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("momentum, nesterov", [(0.0, False), (0.9, False), (0.9, True)])
def test_each_step_matches_pytorch(kernels, momentum, nesterov):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ours, rng = parameters(), np.random.default_rng(1)
    theirs = {n: torch.nn.Parameter(torch.tensor(p.data.copy())) for n, p in ours.items()}
    groups = [
        {"params": [t for t in theirs.values() if t.ndim >= 2], "weight_decay": 0.1},
        {"params": [t for t in theirs.values() if t.ndim < 2], "weight_decay": 0.0},
    ]
    reference = torch.optim.SGD(groups, lr=0.01, momentum=momentum, nesterov=nesterov)
    optimizer = SGD(ours.items(), 0.01, momentum, nesterov, weight_decay=0.1)
    for step in range(6):
        set_gradients(ours, rng)
        for name, p in ours.items():
            theirs[name].grad = torch.tensor(p.grad.data.copy())
        if step in (0, 3):  # a parameter that is sometimes without a gradient
            ours["cube"].grad = theirs["cube"].grad = None
        with use_kernels(kernels):
            optimizer.step()
        reference.step()
        for name, p in ours.items():
            np.testing.assert_allclose(p.data, theirs[name].detach().numpy(), rtol=1e-12)


def test_without_momentum_it_is_gradient_descent():
    p = Parameter(np.array([1.0, -2.0]))
    p.grad = Tensor(np.array([0.5, 3.0]))
    SGD([p], lr=0.1).step(grad_scale=2.0)
    np.testing.assert_allclose(p.data, [1 - 0.1, -2 - 0.6])


def test_nesterov_needs_momentum_as_in_pytorch():
    p = Parameter(np.ones(2))
    with pytest.raises(
        ValueError, match="SGD: nesterov looks ahead along the momentum, which is 0"
    ):
        SGD([p], nesterov=True)
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    with pytest.raises(ValueError, match="momentum"):
        torch.optim.SGD([torch.ones(2, requires_grad=True)], nesterov=True)


def test_state_continues_bit_for_bit():
    check_continuation(
        lambda: parameters(np.float32), lambda items: SGD(items, 0.01, 0.9, True, 0.1)
    )


# --- groups ------------------------------------------------------------------------------------


def step_of(optimizer, params):
    """By how much a step moves each parameter."""
    before = {name: p.data.copy() for name, p in params.items()}
    optimizer.step()
    return {name: before[name] - p.data for name, p in params.items()}


@pytest.mark.parametrize("kind", [SGD, AdamW, Muon])
def test_the_size_of_the_state_is_known_before_the_first_step(kind):
    params = parameters()
    optimizer = kind(params.items())
    expected = optimizer.state_size()
    set_gradients(params, np.random.default_rng(2))
    optimizer.step()
    arrays = [a for n, a in optimizer.state_dict().items() if not n.endswith(".step")]
    assert sum(array.size for array in arrays) == expected > 0


@pytest.mark.parametrize("kind", [SGD, AdamW, Muon])
def test_a_group_has_its_own_rate_which_follows_the_schedule(kind):
    params = parameters()
    set_gradients(params, np.random.default_rng(2))
    alone = step_of(kind(params.items(), lr=0.01, weight_decay=0.0), params)
    params = parameters()
    set_gradients(params, np.random.default_rng(2))
    some = [(name, params[name]) for name in ("0.weight", "0.bias")]
    rest = [(name, params[name]) for name in ("scalar", "cube")]
    groups = [{"params": some, "lr": 0.03}, {"params": iter(rest)}]
    optimizer = kind(groups, lr=0.01, weight_decay=0.0)
    optimizer.lr = 0.02  # as a schedule sets it
    for name, moved in step_of(optimizer, params).items():
        expected = alone[name] * (6 if name.startswith("0") else 2)
        np.testing.assert_allclose(moved, expected, rtol=1e-9)


@pytest.mark.parametrize("kind", [SGD, AdamW, Muon])
def test_a_group_has_its_own_decay_which_is_that_of_all_its_tensors(kind):
    params = parameters()
    for p in params.values():
        p.grad = Tensor(np.zeros(p.shape))
    groups = [
        {"params": [("0.weight", params["0.weight"])]},
        {"params": [("0.bias", params["0.bias"])], "weight_decay": 0.5},
        {"params": [("cube", params["cube"])], "weight_decay": 0.0},
        {"params": [("scalar", params["scalar"])]},
    ]
    before = {name: p.data.copy() for name, p in params.items()}
    kind(groups, lr=0.1, weight_decay=0.2).step()
    for name, decay in (("0.weight", 0.2), ("0.bias", 0.5), ("cube", 0.0), ("scalar", 0.0)):
        np.testing.assert_allclose(params[name].data, before[name] * (1 - 0.1 * decay))


def test_groups_without_names_are_numbered_through():
    a, b, c = (Parameter(np.ones(2)) for _ in range(3))
    optimizer = SGD([{"params": [a, b]}, {"params": [c]}])
    assert optimizer.params == {"0": a, "1": b, "2": c}
    assert [list(group.params) for group in optimizer.groups] == [["0", "1"], ["2"]]
    optimizer.groups[1].lr_ratio = float("nan")
    with pytest.raises(ValueError, match="lr_ratio of group 1 is nan"):
        optimizer.step()


@pytest.mark.parametrize(
    "groups, words",
    [
        ([{"params": "w", "learning_rate": 1}], "key 'learning_rate', expected params, lr"),
        ([{"params": "w", "weight_deacy": 1}], "'weight_deacy', perhaps 'weight_decay'"),
        ([{"lr": 1.0}], "group 0 is without params"),
        ([{"params": object()}], "params of group 0 is one object, expected several parameters"),
        ([{"params": "w"}, "w"], "group 1 is of type Parameter, expected a dict"),
        ([{"params": "w", "lr": "1e-3"}], "lr of group 0 is '1e-3', expected a number"),
        ([{"params": "w", "lr": -1.0}], "lr of group 0 is -1.0, expected a finite"),
        ([{"params": "w", "weight_decay": -1.0}], "weight_decay of group 0 is -1.0"),
        ([{"params": "w"}, {"params": "w"}], "one parameter twice, as '0' and as '1'"),
        ([{"params": ""}], "no parameters"),
    ],
)
def test_groups_that_make_no_sense(groups, words):
    w = Parameter(np.ones(3))

    def filled(group):
        if group == "w":
            return w
        return {k: [w] if v == "w" else [] if v == "" else v for k, v in group.items()}

    with pytest.raises((ValueError, TypeError), match=words):
        AdamW([filled(group) for group in groups])


def test_one_parameter_is_not_several():
    with pytest.raises(TypeError, match="params of group 0 is one Parameter, expected several"):
        SGD([{"params": Parameter(np.ones(2))}])


def test_a_group_cannot_have_a_rate_in_proportion_to_zero():
    with pytest.raises(ValueError, match="lr is 0, and group 0 has a learning rate of its own"):
        SGD([{"params": [Parameter(np.ones(2))], "lr": 0.1}], lr=0.0)
