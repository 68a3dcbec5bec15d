"""The Llama family's model by itself: what each token sees, its options, its errors."""

import numpy as np
import pytest
from kept_bytes import kept_bytes

from autograd import matmul_precision, no_grad, ops
from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.model import Llama
from tinygrad_llm.model.summary import (
    activation_floats,
    flops_per_token,
    operand_floats,
    parameter_count,
)

SIZES = {
    "vocab_size": 53, "block_size": 16, "n_layer": 2, "n_head": 4, "n_kv_head": 2, "n_embd": 24,
    "n_hidden": 40,
}  # fmt: skip
VARIANTS = {
    "Llama": {},
    "tied": {"tied": True},
    "OLMo 2": {"norm_placement": "after", "qk_norm": "all"},
    "Gemma": {
        "norm_placement": "both", "norm_offset": True, "qk_norm": "head", "activation": "gelu_tanh",
        "embedding_scale": 5.0, "attention_softcap": 2.0, "logit_softcap": 1.5, "tied": True,
        "sliding_window": 4, "sliding_layers": (True, False), "rope_theta_sliding": 10.0,
    },
    "no rotary embedding": {"rope_layers": (False, False)},
    "all biases": {"qkv_bias": True, "out_bias": True, "mlp_bias": True},
}  # fmt: skip
HEADS_NORMED = {"qk_norm": "head", "norm_placement": "both"}


def make(seed=0, dtype=np.float64, **options):
    """A model whose parameters are all random."""
    model = Llama(LlamaConfig(**{**SIZES, **options})).astype(dtype)
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.assign_(parameter.data + 0.3 * rng.standard_normal(parameter.shape))
    return model


def random_ids(shape=(2, 12), seed=1):
    return np.random.default_rng(seed).integers(0, 53, shape)


def first_changed(model, position, T=12):
    """The positions whose logits change with the token at ``position``."""
    ids = random_ids((1, T))
    other = ids.copy()
    other[0, position] = (other[0, position] + 1) % 53
    with no_grad():
        changed = np.any(model(ids).data != model(other).data, axis=-1)
    return np.flatnonzero(changed[0])


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_no_token_sees_a_later_one(options):
    model = make(**options)
    for position in (0, 5, 11):
        changed = first_changed(model, position)
        assert changed[0] == position


def test_a_window_counts_the_token_itself():
    # two layers with windows of 3: each carries what it knows 2 tokens on
    np.testing.assert_array_equal(
        first_changed(make(sliding_window=3), 4), np.arange(4, 4 + 2 * 2 + 1)
    )
    only_first = make(sliding_window=3, sliding_layers=(True, False))
    np.testing.assert_array_equal(first_changed(only_first, 4), np.arange(4, 12))


def test_without_rotary_embedding_a_layer_sees_a_set():
    # with one layer, the last token sees the ones before it in no order
    model = make(n_layer=1, rope_layers=(False,))
    ids = random_ids((1, 8))
    shuffled = ids.copy()
    shuffled[0, :7] = ids[0, [3, 1, 6, 0, 2, 5, 4]]
    found, expected = model(shuffled).data[0, -1], model(ids).data[0, -1]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    turned = make(n_layer=1)
    assert np.abs(turned(shuffled).data[0, -1] - turned(ids).data[0, -1]).max() > 1e-3


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_the_loss_is_the_cross_entropy_of_the_logits(options):
    model, ids, targets = make(**options), random_ids(), random_ids(seed=2)
    targets[0, :3] = -100
    expected = ops.cross_entropy(model(ids), targets)
    np.testing.assert_allclose(model.loss(ids, targets).item(), expected.item(), rtol=1e-12)
    each = model.loss(ids, targets, reduction="none")
    assert each.shape == (2, 12)
    np.testing.assert_allclose(each.data.sum() / 21, expected.item(), rtol=1e-12)
    last = model.next_token_logits(ids).data
    np.testing.assert_allclose(last, model(ids).data[:, -1], rtol=1e-12)


def test_caps_bound_the_logits():
    assert np.abs(make(logit_softcap=1.5)(random_ids()).data).max() < 1.5
    assert np.abs(make()(random_ids()).data).max() > 1.5


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_recomputed_blocks_have_the_same_gradients(options):
    model, ids, targets = make(**options), random_ids(), random_ids(seed=2)
    gradients = []
    for recompute in (False, True):
        model.recompute = recompute
        model.zero_grad()
        model.loss(ids, targets).backward()
        gradients.append([p.grad.data.copy() for p in model.parameters()])
    for plain, again in zip(*gradients, strict=True):
        np.testing.assert_allclose(again, plain, rtol=1e-12, atol=1e-14)


def test_initial_weights():
    config = LlamaConfig(
        **{**SIZES, "n_embd": 64, "n_hidden": 128, "n_layer": 8}, qkv_bias=True, norm_offset=True
    )
    model = Llama(config, seed=3)
    assert model.layers[0].self_attn.q_proj.weight.dtype == np.float32
    for name, parameter in model.named_parameters():
        values, std = parameter.data, 0.02
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            std = 0.02 / 4  # sqrt(2 * 8)
        if parameter.ndim == 1:
            assert not values.any(), name  # biases; and norms, as differences from 1
        else:
            assert abs(values.std() / std - 1) < 0.1, name
    again, other = Llama(config, seed=3), Llama(config, seed=4)
    np.testing.assert_array_equal(again(random_ids()).data, model(random_ids()).data)
    assert np.abs(other(random_ids()).data - model(random_ids()).data).max() > 1e-3
    assert abs(model.loss(random_ids(), random_ids(seed=2)).item() - np.log(53)) < 0.1


def test_the_tables_follow_longer_sequences_and_types():
    model = make()
    ids = random_ids((1, 16))
    short = model(ids[:, :5]).data
    long = model(ids).data
    np.testing.assert_allclose(long[:, :5], short, rtol=1e-12)
    assert model.astype(np.float32)(ids).dtype == np.float32
    np.testing.assert_allclose(model.astype(np.float64)(ids).data, long, rtol=1e-4, atol=1e-5)


def test_summary():
    model = make(sliding_window=3, sliding_layers=(True, False))
    text = model.summary()
    assert "4 heads on 2 key heads of 6 channels" in text
    assert "1 layer with a window of 3" in text
    assert "layers.*.mlp.up_proj.weight" in text and "40 x 24" in text
    assert f"{sum(p.size for p in model.parameters()):,}" in text
    assert "keys and values: 192 B per token" in text  # 2 tables, 2 layers, 2 heads, 6 channels
    block = 2 * 24 * 24 + 2 * 24 * 12 + 3 * 24 * 40
    assert f"of generating: {2 * (2 * block + 53 * 24) / 1000:.3g} kFLOP" in text
    assert make(tied=True).summary().count("53 x 24") == 1


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_parameters_are_counted_without_making_them(options):
    model = make(**options)
    assert parameter_count(model.config) == model.num_parameters()


def test_arithmetic_of_training():
    block = 2 * 24 * 24 + 2 * 24 * 12 + 3 * 24 * 40
    products = 6 * (2 * block + 53 * 24)
    pairs = sum(range(1, 17)) / 16  # tokens that a query sees, on average; the formula says T / 2
    found = flops_per_token(LlamaConfig(**SIZES), 16)
    assert found == products + 12 * 24 * 2 * 8
    assert found == pytest.approx(products + 12 * 24 * 2 * pairs, rel=0.01)
    seen = sum(min(t, 4) for t in range(1, 17)) / 16
    found = flops_per_token(LlamaConfig(**SIZES, sliding_window=4), 16)
    assert found == pytest.approx(products + 12 * 24 * 2 * seen, rel=0.01)


@pytest.mark.parametrize(
    "options",
    [{}, {"tied": True}, *(VARIANTS[name] for name in ("OLMo 2", "all biases")), HEADS_NORMED],
)
def test_derived_activations_are_what_the_graph_holds(options):
    # with the fast kernels: it is their bookkeeping that the figure describes
    model = Llama(LlamaConfig(**{**SIZES, **options}))
    ids, targets = random_ids(), random_ids(seed=2)
    held = kept_bytes(model.loss(ids, targets), model)
    assert held - model.head.data.nbytes == 4 * ids.size * activation_floats(model.config)
    with matmul_precision("bf16"):
        less = kept_bytes(model.loss(ids, targets), model)
    assert held - less == 2 * ids.size * operand_floats(model.config)


@pytest.mark.parametrize(
    "ids, message",
    [
        (np.array([[53]]), "53 is outside the table of 53 rows, the model's vocabulary"),
        (np.array([1, 2]), r"ids have shape \(2,\), expected \(B, T\)"),
        (np.zeros((1, 0), int), r"ids have shape \(1, 0\)"),
        (np.zeros((1, 17), int), "the sequence has 17 tokens, but this model's block_size is 16"),
    ],
)
def test_wrong_ids(ids, message):
    with pytest.raises(UserError, match=message):
        make()(ids)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n_head": 5}, "n_embd is 24 and n_head 5: without a head_dim"),
        ({"n_kv_head": 3}, "n_head is 4 and n_kv_head 3"),
        ({"n_kv_head": -1}, "n_kv_head is -1"),
        ({"sliding_window": 0}, "sliding_window is 0, but must be at least 1"),
        ({"sliding_layers": (True,)}, "sliding_layers has 1 entries, expected one for each of the"),
        ({"rope_share": 0.5, "head_dim": 6}, "would turn 3 channels, but must turn pairs"),
        ({"rope_share": 2.0}, "rope_share is 2.0"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(UserError, match=message):
        LlamaConfig(**{**SIZES, **options})
