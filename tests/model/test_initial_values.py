"""The values with which layers are made: PyTorch's distributions, from a generator or a seed."""

import math

import numpy as np
import pytest

from autograd import Tensor
from tinygrad_llm.config import GPTConfig, LlamaConfig
from tinygrad_llm.model.gpt import GPT, Block
from tinygrad_llm.model.layers import (
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    RMSNorm,
    without_initial_values,
)
from tinygrad_llm.model.llama import Llama


def values(layer, name, library):
    tensor = getattr(layer, name)
    return (tensor.data if library == "ours" else tensor.detach()).__array__().ravel()


@pytest.mark.parametrize("n_in", [1, 7, 64])
def test_linear_is_uniform_between_pytorchs_bounds(n_in):
    """Both fill the interval to its ends, and have its variance."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    bound, n_out = 1 / math.sqrt(n_in), 20_000 // n_in
    made = {"ours": Linear(n_in, n_out, rng=0), "torch": torch.nn.Linear(n_in, n_out)}
    for library, layer in made.items():
        for name in ("weight", "bias"):
            x = values(layer, name, library)
            margin = 12 / len(x)  # that no draw falls into it has the probability e^-6
            assert -bound <= x.min() <= -bound * (1 - margin), (library, name)
            assert bound * (1 - margin) <= x.max() <= bound, (library, name)
            np.testing.assert_allclose(x.var(), bound**2 / 3, rtol=6 / math.sqrt(len(x)))
            np.testing.assert_allclose(x.mean(), 0, atol=4 * bound / math.sqrt(3 * len(x)))
    assert made["ours"].weight.dtype == np.float32


def test_embedding_is_standard_normal_as_pytorchs():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    made = {"ours": Embedding(100, 200, rng=0), "torch": torch.nn.Embedding(100, 200)}
    for library, layer in made.items():
        x = np.sort(values(layer, "weight", library))
        np.testing.assert_allclose([x.mean(), x.std()], [0, 1], atol=0.03)
        np.testing.assert_allclose(x[[3173, 10_000, 16_827]], [-1, 0, 1], atol=0.05)  # quantiles


def test_the_row_of_padding_starts_as_zero():
    table = Embedding(4, 3, padding_idx=-2).weight.data
    assert not table[2].any() and table[[0, 1, 3]].all()


def test_normalizations_start_as_the_identity():
    for layer in (LayerNorm(3), RMSNorm(3)):
        assert (layer.weight.data == 1).all()
    assert not LayerNorm(3).bias.data.any() and not RMSNorm(3, offset=True).weight.data.any()


def test_a_seed_or_a_generator_repeats_the_values():
    for make in (lambda rng: Linear(3, 4, rng=rng), lambda rng: Embedding(3, 4, rng=rng)):
        first = make(5).state_dict()
        for rng in (5, np.random.default_rng(5)):
            for name, array in make(rng).state_dict().items():
                np.testing.assert_array_equal(array, first[name])
        rng = np.random.default_rng(5)  # one for several layers: each gets others
        one, two = make(rng), make(rng)
        assert not np.array_equal(one.weight.data, two.weight.data)
        assert not np.array_equal(make(None).weight.data, make(None).weight.data)
    layer = Linear(3, 4, rng=1)
    layer.reset_parameters(5)
    np.testing.assert_array_equal(layer.weight.data, Linear(3, 4, rng=5).weight.data)


def test_a_linear_layer_without_inputs_is_zero():
    assert not Linear(0, 3).bias.data.any()


def test_models_make_their_layers_without_values():
    small = {"vocab_size": 9, "block_size": 4, "n_layer": 1, "n_head": 1, "n_embd": 4}
    for make, config in ((GPT, GPTConfig(**small)), (Llama, LlamaConfig(**small, n_hidden=4))):
        blank = make(config, initialize=False)
        assert not any(p.data.any() for p in blank.parameters() if p.ndim == 2)
        first, second = make(config, seed=3).state_dict(), make(config, seed=3).state_dict()
        for name, array in first.items():
            np.testing.assert_array_equal(array, second[name])
    assert Block(GPTConfig(**small)).attn.c_attn.weight.data.any()  # a block of its own has values
    with pytest.raises(RuntimeError), without_initial_values():
        assert not Linear(2, 2).weight.data.any()
        raise RuntimeError
    assert Linear(2, 2).weight.data.all()


def test_dropout_draws_by_itself():
    x = Tensor(np.ones((50, 50)))
    one, two = Dropout(), Dropout(0.5)
    assert one.p == 0.5 and not np.array_equal(one(x).data, two(x).data)
    np.testing.assert_array_equal(Dropout(0.5, 3)(x).data, Dropout(0.5, 3)(x).data)
    for p in (1, -0.1, float("nan")):
        with pytest.raises(ValueError, match="at least 0 and below 1"):
            Dropout(p)
