"""Freezing by name: which parameters are meant, what is trained, and what that costs."""

import numpy as np
import pytest
from small_models import VOCAB_SIZE, small_model

from tinygrad_llm.errors import UserError
from tinygrad_llm.model.freezing import (
    freeze,
    matches,
    trainable_parameters,
    training_cost,
    unfreeze,
)
from tinygrad_llm.model.quantize import quantize_model
from tinygrad_llm.training.optim import AdamW

IDS, TARGETS = np.random.default_rng(0).integers(0, VOCAB_SIZE, (2, 2, 8))


@pytest.mark.parametrize(
    "name, pattern, expected",
    [
        ("layers.1.mlp.up_proj", "up_proj", True),
        ("layers.1.mlp.up_proj", "mlp.up_proj", True),
        ("layers.1.mlp.up_proj", "p_proj", False),
        ("layers.1.mlp.up_proj", "mlp", False),
        ("layers.1.mlp.up_proj", ["q_proj", "up_proj"], True),
        ("layers.1.mlp.up_proj", [], False),
        ("layers.11.mlp", r"layers\.1\..*", False),
        ("layers.1.mlp", r"layers\.1\..*", True),
        ("layers.1.mlp", [r"layers\.1\..*"], False),  # among several names none is a pattern
        ("up_proj", "up_proj", True),
    ],
)
def test_matches(name, pattern, expected):
    assert matches(name, pattern) == expected


def names(model):
    return [name for name, _ in trainable_parameters(model)]


def test_freezing_all_but_the_end_of_a_model():
    model = small_model("llama")
    every = names(model)
    assert freeze(model) == every and names(model) == []
    assert "layers.1.mlp.up_proj.weight" in unfreeze(model, ["layers.1", "norm"])
    assert names(model) == [n for n in every if n.startswith("layers.1.") or n == "norm.weight"]
    freeze(model, r".*\.mlp")
    assert not any(".mlp." in name for name in names(model)) and len(names(model)) == 7
    unfreeze(model)
    assert names(model) == every


def test_what_is_frozen_has_no_gradient_and_does_not_move():
    model = small_model("gpt2")
    model.loss(IDS, TARGETS).backward()
    freeze(model, ["wte", "wpe", "h.0"])
    frozen = {n: p for n, p in model.named_parameters() if not p.requires_grad}
    assert all(p.grad is None for p in frozen.values()) and len(frozen) == 14
    before = {name: array.copy() for name, array in model.state_dict().items()}
    model.zero_grad()
    model.loss(IDS, TARGETS).backward()
    AdamW(trainable_parameters(model), lr=0.1).step()
    for name, array in model.state_dict().items():
        assert np.array_equal(array, before[name]) == (name in frozen), name


def test_the_gradients_of_what_is_left_stay_the_same():
    whole, part = small_model("llama"), small_model("llama")
    freeze(part, ["embed_tokens", "layers.0", "lm_head"])
    for model in (whole, part):
        model.loss(IDS, TARGETS).backward()
    expected = dict(whole.named_parameters())
    for name, parameter in trainable_parameters(part):
        np.testing.assert_array_equal(parameter.grad.data, expected[name].grad.data)


def test_costs():
    model = small_model("llama, tied, with biases")
    whole = training_cost(model)
    assert whole.trained == whole.total == model.num_parameters()
    freeze(model, "embed_tokens")
    cost, table = training_cost(model), model.embed_tokens.weight
    assert cost.trained == whole.total - table.size and cost.total == whole.total
    assert cost.training_bytes == whole.training_bytes - 12 * table.size
    quantize_model(model)
    small = training_cost(model)
    assert small.total == whole.total and small.weight_bytes < whole.weight_bytes / 3
    assert small.trained == model.num_parameters() and small.share < 0.1


@pytest.mark.parametrize(
    "pattern, words",
    [
        (
            "layers.9",
            "no parameter of this Llama is meant by 'layers.9': its layers are embed",
        ),
        (["a", "b"], "is meant by 'a', 'b': its layers are"),
        ([], "is meant by no name"),
        ("(", "'\\(' is not a regular expression"),
    ],
)
@pytest.mark.parametrize("function", [freeze, unfreeze])
def test_a_pattern_that_means_nothing(function, pattern, words):
    model = small_model("llama")
    with pytest.raises(UserError, match=words):
        function(model, pattern)
    assert len(names(model)) == len(model.parameters())
