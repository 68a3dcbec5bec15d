"""The built-in graphs of a language model show what their texts say."""

import numpy as np
import pytest

from autograd.debug.explorer.tape import record
from autograd.device import numpy_namespace as xp
from autograd.kernels.attention import reference as attention
from tinygrad_llm.inspect.explorable import EXPLORABLE, SHOWN, VOCABULARY


@pytest.fixture(scope="module")
def tapes():
    made = {name: make() for name, make in EXPLORABLE.items()}
    return {name: (e, record(e.loss, e.model)) for name, e in made.items()}


@pytest.mark.parametrize("name", EXPLORABLE)
def test_each_graph_is_described_and_can_be_computed_again(tapes, name):
    e, tape = tapes[name]
    assert e.about.endswith(".") and not e.title.endswith(".")
    assert e.loss().item() == e.loss().item()
    trained = {n for n, p in e.model.named_parameters() if p.requires_grad}
    keys = {v.key for v in tape.leaves}
    assert trained <= keys
    assert all(v.gradient.any() for v in tape.leaves if v.key in trained)


def test_the_gpt_is_small_and_its_attention_is_not_uniform(tapes):
    e, tape = tapes["gpt"]
    config = e.model.config
    assert (config.n_layer, config.n_head, config.n_embd, config.block_size) == (2, 2, 16, 8)
    assert e.labels["tokens"] == SHOWN.split()[:8] and e.labels["vocabulary"] == VOCABULARY
    assert e.labels["tokens"].count("the") == 3 and e.labels["tokens"].count("dog") == 2
    assert 0.3 < tape.loss.array < np.log(len(VOCABULARY)) - 0.5  # it has learned, and not all
    for call in tape.calls:
        if type(call.op).__name__ == "CausalAttention":
            Q, K, _ = attention.split(xp, call.args[0].array, 2)
            P = attention.weights(xp, Q, K)[0][0]
            assert np.abs(P[:, 7] - 1 / 8).max() > 0.05 and np.abs(P[:, 4] - 1 / 5).max() > 0.1
    for parameter in e.model.parameters():
        np.testing.assert_allclose(np.round(parameter.numpy(), 2), parameter.numpy(), atol=1e-6)


def test_the_frozen_layer_under_lora_gets_no_gradient(tapes):
    _, tape = tapes["lora"]
    with_gradient = {v.key.rsplit(".", 1)[-1] for v in tape.leaves if v.gradient is not None}
    assert {"A", "B"} <= with_gradient
    assert not with_gradient & {"weight", "bias"}


def test_dpo_pushes_the_two_answers_apart_by_the_same_factor(tapes):
    _, tape = tapes["dpo"]
    logps = next(v for v in tape.values if v.key == "total")
    chosen, rejected = logps.gradient
    assert chosen < 0 and rejected == -chosen
