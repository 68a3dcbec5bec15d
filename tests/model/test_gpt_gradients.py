"""The whole model against finite differences: every parameter tensor, orders 1 and 2, float64."""

import numpy as np
import pytest

from autograd import Tensor, check_grad, grad, use_kernels
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model import GPT
from tinygrad_llm.model.module import functional_call

CONFIG = GPTConfig(vocab_size=11, block_size=5, n_layer=2, n_head=2, n_embd=8)


@pytest.fixture
def setting():
    """A float64 model with parameters of size about 1/2, ids with repeats, one masked target."""
    rng = np.random.default_rng(0)
    model = GPT(CONFIG).astype(np.float64)
    for parameter in model.parameters():
        parameter.assign_(parameter.data + 0.4 * rng.standard_normal(parameter.shape))
    ids = rng.integers(0, 11, (2, 5))
    ids[1, :2] = ids[0, 0]
    targets = rng.integers(0, 11, (2, 5))
    targets[0, 1] = -100
    return model, ids, targets


def loss_of(model, ids, targets):
    names = [name for name, _ in model.named_parameters()]

    def loss(*tensors):
        given = dict(zip(names, tensors, strict=True))
        return functional_call(model, given, ids, targets, method="loss")

    return loss


@pytest.mark.parametrize("kernels", ["reference", "auto"])
def test_loss_to_second_order_in_every_parameter(setting, kernels):
    model = setting[0]
    values = [parameter.data for parameter in model.parameters()]
    with use_kernels(kernels):
        report = check_grad(loss_of(*setting), *values, order=2, directions=2, elementwise=False)
    assert report.passed
    checked = {(check.order, check.input) for check in report.checks}
    expected = {(order, f"input {i}") for order in (1, 2) for i in range(len(values))}
    assert expected <= checked


def test_every_element_to_first_order(setting):
    model = setting[0]
    values = [parameter.data for parameter in model.parameters()]
    report = check_grad(loss_of(*setting), *values, order=1, directions=0, elementwise=True)
    assert sum(check.size for check in report.checks) >= model.num_parameters()


def test_a_wrong_gradient_in_one_parameter_is_noticed(setting):
    """The check has power: a loss whose c_fc bias counts 1.001 times in backward only fails."""
    model = setting[0]
    loss = loss_of(*setting)
    names = [name for name, _ in model.named_parameters()]
    at = names.index("h.1.mlp.c_fc.bias")

    def wrong(*tensors):
        tensors = list(tensors)
        bias = tensors[at]
        tensors[at] = bias * 1.001 - bias.detach() * 0.001
        return loss(*tensors)

    values = [parameter.data for parameter in model.parameters()]
    report = check_grad(wrong, *values, order=1, elementwise=False, raise_on_failure=False)
    assert {check.input for check in report.checks if not check.passed} == {f"input {at}"}


def test_hessian_is_symmetric(setting):
    """u^T H v = v^T H u for random directions u, v through all parameters at once."""
    model, ids, targets = setting
    parameters = model.parameters()
    rng = np.random.default_rng(5)
    directions = [[rng.standard_normal(p.shape) for p in parameters] for _ in range(2)]
    products = []
    for u, v in (directions, directions[::-1]):
        first = grad(model.loss(ids, targets), parameters, create_graph=True)
        along = sum((g * Tensor(d)).sum() for g, d in zip(first, v, strict=True))
        second = grad(along, parameters)
        products.append(sum(np.vdot(g.data, d) for g, d in zip(second, u, strict=True)))
    assert products[0] == pytest.approx(products[1], rel=1e-10)
    assert abs(products[0]) > 1e-3
