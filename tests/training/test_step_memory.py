"""Nothing of a finished training step stays in memory, with the garbage collector off.

The graph has no reference cycles, so each node and array goes when its last user does. If one
crept in, memory would grow until the collector happens to run; here it never does.
"""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

from autograd import Tensor, grad, no_grad
from autograd.functional import value_and_grad
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model import GPT
from tinygrad_llm.model.module import functional_call
from tinygrad_llm.training.optim import AdamW

CONFIG = GPTConfig(vocab_size=64, block_size=32, n_layer=2, n_head=2, n_embd=32, dropout=0.1)


def batch(rng):
    ids = rng.integers(0, CONFIG.vocab_size, (8, CONFIG.block_size + 1))
    return ids[:, :-1], ids[:, 1:]


def nodes_of(tensor):
    """Weak references to every node that the tensor was computed by."""
    found, stack = {}, [tensor._node]
    while stack:
        node = stack.pop()
        if node is not None and hasattr(node, "inputs") and id(node) not in found:
            found[id(node)] = node
            stack.extend(node.inputs)
    return [weakref.ref(node) for node in found.values()]


def plain(model, x, y):
    loss = model.loss(x, y)
    nodes = nodes_of(loss)
    loss.backward()
    return nodes


def never_differentiated(model, x, y):
    return nodes_of(model.loss(x, y))


def failed(model, x, y):
    loss = model.loss(x, y)
    nodes = nodes_of(loss)
    model.wte.weight.assign_(model.wte.weight.data)
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()
    return nodes


def by_grad(model, x, y):
    loss = model.loss(x, y)
    nodes = nodes_of(loss)
    grad(loss, model.parameters())
    return nodes


def penalty(model, x, y):
    loss = model.loss(x, y)
    bias = model.ln_f.bias
    (g,) = grad(loss, bias, create_graph=True)
    total = loss + (g * g).sum()
    nodes = nodes_of(total)
    total.backward()
    return nodes


def recorded_into_grad(model, x, y):
    loss = model.loss(x, y)
    nodes = nodes_of(loss)
    loss.backward(create_graph=True)
    nodes += nodes_of(model.ln_f.bias.grad)
    model.zero_grad()
    return nodes


def functional(model, x, y):
    names = dict(model.named_parameters())
    seen = []

    def loss(tensors):
        value = functional_call(model, tensors, x, y, method="loss")
        seen.extend(nodes_of(value))
        return value

    with no_grad():
        value, gradients = value_and_grad(loss)({n: p.data for n, p in names.items()})
    for name, g in gradients.items():
        names[name].grad = g
    return seen


STEPS = [plain, never_differentiated, by_grad, penalty, recorded_into_grad, functional]


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("step", [*STEPS, failed], ids=lambda f: f.__name__)
def test_every_node_is_gone(step, recompute, no_collector):
    model = GPT(CONFIG, recompute=recompute)
    nodes = step(model, *batch(np.random.default_rng(0)))
    assert len(nodes) > 5
    alive = [node() for node in nodes if node() is not None]
    assert alive == []


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("step", STEPS, ids=lambda f: f.__name__)
def test_memory_does_not_grow(step, recompute, no_collector):
    model, rng = GPT(CONFIG, recompute=recompute), np.random.default_rng(0)
    optimizer = AdamW(model.named_parameters())

    def train():
        step(model, *batch(rng))
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(3):  # compiles kernels, makes the optimizer's moments
        train()
    tracemalloc.start()
    try:
        train()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(4):
            train()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before > 300_000  # a step takes memory, which is seen here,
    assert after - before < 0.05 * (peak - before)  # and gives it back


def test_a_tensor_that_outlives_the_step_keeps_its_values_only(no_collector):
    model = GPT(CONFIG)
    loss = model.loss(*batch(np.random.default_rng(0)))
    nodes = nodes_of(loss)
    loss.backward()
    assert isinstance(loss, Tensor) and np.isfinite(loss.item())
    assert [node() for node in nodes if node() is not None] == [loss._node]
    assert loss._node.saved is None and loss._node.cache is None
