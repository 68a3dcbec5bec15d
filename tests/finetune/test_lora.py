"""Adapters on a model: what they compute, what is trained, and what merging leaves."""

import copy

import numpy as np
import pytest
from small_models import VOCAB_SIZE, small_model

from autograd import Tensor
from autograd.kernels import linear as linear_kernel
from autograd.testing import check_grad
from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune import adapters
from tinygrad_llm.finetune.adapters import lora_layers
from tinygrad_llm.finetune.lora import (
    LoraLinear,
    adapter_names,
    add_lora,
    disable_adapter,
    merge_lora,
    merged,
    set_adapter,
)
from tinygrad_llm.finetune.lora_layer import Adapter
from tinygrad_llm.generation import Decoder, generate
from tinygrad_llm.model.freezing import trainable_parameters, training_cost
from tinygrad_llm.model.layers import Linear
from tinygrad_llm.model.module import functional_call
from tinygrad_llm.model.quantize import quantize_model
from tinygrad_llm.pretrained import save_pretrained
from tinygrad_llm.quantized.matrix import QuantizedMatrix
from tinygrad_llm.training.optim import AdamW

RNG = np.random.default_rng(0)
IDS, TARGETS = RNG.integers(0, VOCAB_SIZE, (2, 2, 12))
KINDS = {
    "LoRA": {},
    "rsLoRA": {"use_rslora": True},
    "DoRA": {"use_dora": True},
    "rsLoRA and DoRA": {"use_rslora": True, "use_dora": True},
}
kinds = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
bases = pytest.mark.parametrize("stored", ["float32", "int8"])


def base_model(kind="llama", stored="float32"):
    model = small_model(kind)
    return quantize_model(model) if stored == "int8" else model


def stir(model, size=0.1, seed=1):
    """Move every trained parameter, so that each counts."""
    rng = np.random.default_rng(seed)
    for _, parameter in trainable_parameters(model):
        parameter.assign_(parameter.data + size * rng.standard_normal(parameter.shape))
    return model


def close(found, expected, tolerance=1e-5):
    return np.abs(found - expected).max() < tolerance * np.abs(expected).max()


# --- one layer ------------------------------------------------------------------------------------


def a_layer(n_in=5, n_out=4, bias=True, seed=0):
    rng = np.random.default_rng(seed)
    layer = Linear(n_in, n_out, bias)
    for parameter in layer.parameters():
        parameter.data = rng.standard_normal(parameter.shape)
    return layer


def adapted(layer, r=2, alpha=3, rng=None, seed=1, **options):
    wrapped = LoraLinear(layer)
    wrapped.adapters["default"] = Adapter(layer, r, alpha, rng=rng, **options)
    wrapped.active = "default"
    numbers = np.random.default_rng(seed)
    for parameter in wrapped.adapters["default"].parameters():
        parameter.assign_(parameter.data + numbers.standard_normal(parameter.shape))
    return wrapped


def by_hand(layer, x, scale, dora=False):
    """The definition, with the whole of the changed weight."""
    base, adapter = layer.base_layer, layer.adapters["default"]
    weight = base.weight.data + scale * adapter.B.data @ adapter.A.data
    if dora:
        lengths = np.sqrt((weight**2).sum(axis=1))
        weight = (adapter.magnitude.data / lengths)[:, None] * weight
    return x @ weight.T + (0 if base.bias is None else base.bias.data)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "options, scale",
    [
        ({}, 3 / 2),
        ({"use_rslora": True}, 3 / np.sqrt(2)),
        ({"use_dora": True}, 3 / 2),
        ({"use_rslora": True, "use_dora": True}, 3 / np.sqrt(2)),
    ],
)
def test_the_layer_is_its_definition(options, scale, bias):
    layer, x = adapted(a_layer(bias=bias), **options), RNG.standard_normal((3, 5))
    expected = by_hand(layer, x, scale, "use_dora" in options)
    assert close(layer(Tensor(x)).data, expected, 1e-13)
    weight = layer.weight.data
    assert close(x @ weight.T + (layer.bias.data if bias else 0), expected, 1e-13)


def test_the_gradients_of_lora():
    layer, x = adapted(a_layer()), Tensor(RNG.standard_normal((3, 5)), requires_grad=True)
    parameters = dict(layer.named_parameters())

    def f(x, *tensors):
        return functional_call(layer, dict(zip(parameters, tensors, strict=True)), x)

    inputs = [x.data, *(parameter.data for parameter in parameters.values())]
    check_grad(f, *inputs, order=2)


def test_the_gradients_of_dora_take_the_lengths_for_constants():
    """As Liu et al. do: the gradient is that of c W x with c = m / n and n fixed."""
    layer, x = adapted(a_layer(), use_dora=True), RNG.standard_normal((3, 5))
    adapter, base = layer.adapters["default"], layer.base_layer
    g = RNG.standard_normal((3, 4))
    layer(Tensor(x)).backward(g)
    weight = base.weight.data + 1.5 * adapter.B.data @ adapter.A.data
    n = np.sqrt((weight**2).sum(axis=1))
    c = adapter.magnitude.data / n
    assert close(adapter.magnitude.grad.data, (g * (x @ weight.T)).sum(axis=0) / n, 1e-12)
    g_change = 1.5 * (g * c).T @ x  # of B A
    assert close(adapter.B.grad.data, g_change @ adapter.A.data.T, 1e-12)
    assert close(adapter.A.grad.data, adapter.B.data.T @ g_change, 1e-12)


@pytest.mark.parametrize("stored", ["float64", "int8"])
def test_the_lengths_of_rows_follow_every_change(stored):
    layer = adapted(a_layer(n_in=6), use_dora=True)
    base, adapter = layer.base_layer, layer.adapters["default"]
    if stored == "int8":
        quantize_model(layer)

    def expected():
        weight = base.weight
        numbers = weight.data if stored == "float64" else weight.dequantize(dtype=np.float64)
        changed = numbers + adapter.scale * adapter.B.data @ adapter.A.data
        return np.sqrt((changed**2).sum(axis=1))

    tolerance = 1e-13 if stored == "float64" else 1e-6
    assert close(adapter.lengths(base).data, expected(), tolerance)
    for parameter in (adapter.A, adapter.B):
        parameter.assign_(2 * parameter.data)
        assert close(adapter.lengths(base).data, expected(), tolerance)
    if stored == "float64":
        base.weight.assign_(base.weight.data + 1)
        assert close(adapter.lengths(base).data, expected(), tolerance)
        layer.astype(np.float32)
        assert adapter.lengths(base).dtype == np.float32


def test_a_row_that_is_cancelled_has_length_zero():
    layer = adapted(a_layer(bias=False), r=4, alpha=4, use_dora=True)
    base, adapter = layer.base_layer, layer.adapters["default"]
    adapter.B.assign_(np.eye(4))
    adapter.A.assign_(-base.weight.data)
    lengths = adapter.lengths(base).data
    assert np.isfinite(lengths).all() and lengths.max() < 1e-6


def test_dropout_acts_on_the_change_alone():
    layer = adapted(a_layer(), dropout=0.5, rng=np.random.default_rng(0))
    x = RNG.standard_normal((3, 5))
    base = layer.base_layer(Tensor(x)).data
    kept = np.random.default_rng(0).random((3, 5), dtype=np.float32) >= 0.5
    adapter = layer.adapters["default"]
    change = 1.5 * (2 * kept * x) @ adapter.A.data.T @ adapter.B.data.T
    assert close(layer(Tensor(x)).data, base + change, 1e-13)
    assert close(layer.eval()(Tensor(x)).data, by_hand(layer, x, 1.5), 1e-13)


def test_dropout_under_dora_acts_on_all_that_c_multiplies():
    layer = adapted(a_layer(), dropout=0.5, rng=np.random.default_rng(0), use_dora=True)
    x = RNG.standard_normal((3, 5))
    base, adapter = layer.base_layer, layer.adapters["default"]
    dropped = 2 * (np.random.default_rng(0).random((3, 5), dtype=np.float32) >= 0.5) * x
    weight = base.weight.data + 1.5 * adapter.B.data @ adapter.A.data
    c = adapter.magnitude.data / np.sqrt((weight**2).sum(axis=1))
    expected = base(Tensor(x)).data + c * (dropped @ weight.T) - dropped @ base.weight.data.T
    assert close(layer(Tensor(x)).data, expected, 1e-13)


# --- a model --------------------------------------------------------------------------------------


@kinds
@bases
@pytest.mark.parametrize("kind", ["llama", "llama, tied, with biases", "gemma3"])
def test_an_untrained_adapter_changes_nothing(kind, stored, options):
    model = base_model(kind, stored)
    before = model(IDS).data
    assert add_lora(model, 4, dropout=0.5, **options) is model
    np.testing.assert_array_equal(model(IDS).data, before)


@kinds
@bases
def test_an_untrained_adapter_on_gpt2(stored, options):
    """To the last bit but for its mlp, whose matrices and GELU are one operation otherwise."""
    model = base_model("gpt2", stored)
    before = model(IDS).data
    assert close(add_lora(copy.deepcopy(model), 4, **options)(IDS).data, before, 1e-6)
    add_lora(model, 4, targets="c_attn", **options)
    np.testing.assert_array_equal(model(IDS).data, before)


@kinds
@bases
@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen2"])
def test_merged_equals_unmerged(kind, stored, options):
    model = base_model(kind, stored)
    before, names = model(IDS).data, [name for name, _ in model.named_modules()]
    stir(add_lora(model, 4, **options))
    found = model(IDS).data
    assert np.abs(found - before).max() > 0.5
    with merged(model):
        assert close(model(IDS).data, found) and not lora_layers(model)
    np.testing.assert_array_equal(model(IDS).data, found)
    assert merge_lora(model) is model
    assert close(model(IDS).data, found)
    assert [name for name, _ in model.named_modules()] == names
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_merging_only_touches_layers_that_the_adapter_changes():
    model = stir(add_lora(base_model("llama", "int8"), targets=["q_proj", "down_proj"]))
    merge_lora(model)
    block = model.layers[0]
    assert isinstance(block.self_attn.k_proj.weight, QuantizedMatrix)
    assert block.self_attn.q_proj.weight.dtype == block.mlp.down_proj.weight.dtype == np.float32


def test_half_of_gpt2s_mlp_may_be_merged():
    model = stir(add_lora(base_model("gpt2", "int8"), targets="c_fc"))
    found = model(IDS).data
    assert close(merge_lora(model)(IDS).data, found)


@bases
def test_an_adapter_on_the_output_layer(stored):
    model = stir(add_lora(base_model("llama", stored), targets="lm_head"))
    found, loss = model(IDS).data, model.loss(IDS, TARGETS)
    assert close(model.next_token_logits(IDS).data, found[:, -1])
    assert list(lora_layers(model)) == ["lm_head"]
    merge_lora(model)
    assert close(model(IDS).data, found)
    assert abs(model.loss(IDS, TARGETS).item() - loss.item()) < 1e-5


@bases
@kinds
def test_gradients_reach_the_adapter_and_nothing_else(stored, options):
    """In float32 over int8; the numbers are those of the merged model's own gradient."""
    model = stir(add_lora(base_model("llama", stored), 4, **options))
    model.loss(IDS, TARGETS).backward()
    trained = dict(trainable_parameters(model))
    assert len(trained) == (3 if "use_dora" in options else 2) * 14
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == (name in trained) == (".adapters." in name), name
    if "use_dora" in options:
        return
    layer = model.layers[1].mlp.up_proj
    A, B, scale = (
        layer.adapters["default"].A,
        layer.adapters["default"].B,
        layer.adapters["default"].scale,
    )
    full = merge_lora(copy.deepcopy(model))
    full.zero_grad()
    full.loss(IDS, TARGETS).backward()
    g = full.layers[1].mlp.up_proj.weight.grad.data
    assert close(A.grad.data, scale * B.data.T @ g, 1e-3)
    assert close(B.grad.data, scale * g @ A.data.T, 1e-3)


def test_backward_computes_no_product_for_a_frozen_weight(monkeypatch):
    products = []

    def spy(xp, g, x, weight, needs, **options):
        products.append((needs[:2], x is not None))
        return backward(xp, g, x, weight, needs, **options)

    backward = linear_kernel.backward
    monkeypatch.setattr(linear_kernel, "backward", spy)
    model = stir(add_lora(base_model(), 4, dropout=0.1)).train()  # without, it is all low_rank.py's
    loss = model.loss(IDS, TARGETS)
    assert loss._node.needs == (True, False)  # nor for the output layer
    loss.backward()
    # Those of A and B have gradients for both factors; the base has none, and keeps no input. The
    # first block's q, k and v read what nothing trained has computed.
    assert products.count(((True, True), True)) == 2 * 14 - 3
    assert products.count(((False, True), True)) == 3
    assert products.count(((True, False), False)) == 14 - 3
    assert len(products) == 3 * 14 - 3


def test_an_optimizer_step_moves_the_adapter_alone():
    model = add_lora(base_model(), 4)
    before = {name: array.copy() for name, array in model.state_dict().items()}
    optimizer = AdamW(trainable_parameters(model), lr=0.1)
    losses = []
    for _ in range(6):
        loss = model.loss(IDS, TARGETS)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0] - 0.5
    for name, array in model.state_dict().items():
        assert np.array_equal(array, before[name]) == (".adapters." not in name), name


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@kinds
def test_recomputed_blocks_have_the_same_gradients(kind, options):
    """Dropout draws the same masks the second time."""
    gradients = []
    for recompute in (False, True):
        model = stir(add_lora(base_model(kind), 4, dropout=0.3, seed=3, **options)).train()
        if kind == "gpt2":
            model.rng.bit_generator.state = np.random.default_rng(5).bit_generator.state
        model.recompute = recompute
        model.loss(IDS, TARGETS).backward()
        gradients.append([p.grad.data for _, p in trainable_parameters(model)])
    for plain, again in zip(*gradients, strict=True):
        assert close(again, plain)


def test_dropout_in_a_llama_draws_from_the_models_generator():
    def run(seed):
        model = stir(add_lora(base_model(), 4, dropout=0.3, seed=seed), seed=2).train()
        return model, model(IDS).data

    model, found = run(1)
    np.testing.assert_array_equal(run(1)[1], found)
    assert run(2)[0].rng.bit_generator.state != run(1)[0].rng.bit_generator.state
    state = model.rng.bit_generator.state
    following = model(IDS).data
    model.rng.bit_generator.state = state
    np.testing.assert_array_equal(model(IDS).data, following)
    assert add_lora(base_model(), 4).rng is None  # nothing is drawn without dropout


# --- several adapters -----------------------------------------------------------------------------


def test_several_adapters_on_one_base():
    model = base_model()
    base = model(IDS).data
    outputs = {}
    for seed, (name, targets) in enumerate((("first", "all-linear"), ("second", ["q_proj"]))):
        stir(add_lora(model, 4, targets=targets, name=name, use_dora=seed == 1), seed=seed)
        outputs[name] = model(IDS).data
    assert adapter_names(model) == ["first", "second"]
    assert not close(outputs["first"], outputs["second"], 0.1)
    for name in ("first", "second", "first"):
        set_adapter(model, name)
        np.testing.assert_array_equal(model(IDS).data, outputs[name])
        trained = [where for where, _ in trainable_parameters(model)]
        assert trained and all(f".adapters.{name}." in where for where in trained)
    set_adapter(model, None)
    np.testing.assert_array_equal(model(IDS).data, base)
    assert trainable_parameters(model) == []
    set_adapter(model, "second")
    merge_lora(model)
    assert close(model(IDS).data, outputs["second"]) and adapter_names(model) == []


def test_a_reference_without_a_second_model():
    """The adapter is off for a while: gradients so far stay, and more can be added to them."""
    model = base_model()
    base = model(IDS).data
    stir(add_lora(model, 4))
    found, loss = model(IDS).data, model.loss(IDS, TARGETS)
    with disable_adapter(model):
        np.testing.assert_array_equal(model(IDS).data, base)
        assert model.loss(IDS, TARGETS)._node is None
    np.testing.assert_array_equal(model(IDS).data, found)
    loss.backward()
    gradients = [p.grad.data.copy() for _, p in trainable_parameters(model)]
    with disable_adapter(model):
        model(IDS)
    model.loss(IDS, TARGETS).backward()
    for (_, parameter), once in zip(trainable_parameters(model), gradients, strict=True):
        assert close(parameter.grad.data, 2 * once, 1e-6)


def test_a_copy_has_its_own_adapter():
    model = stir(add_lora(base_model(), 4, use_dora=True))
    found, other = model(IDS).data, copy.deepcopy(model)
    stir(other)
    np.testing.assert_array_equal(model(IDS).data, found)
    assert not close(other(IDS).data, found, 1e-2)


# --- what it costs, generation and saving ---------------------------------------------------------


def test_the_cost_of_training():
    full = training_cost(base_model())
    assert full.trained == full.total == base_model().num_parameters() and full.share == 1
    assert full.weight_bytes == 4 * full.total and full.training_bytes == 12 * full.total
    model = add_lora(base_model(stored="int8"), 4)
    cost = training_cost(model)
    sizes = [(m.base_layer.weight.shape) for m in lora_layers(model).values()]
    assert cost.trained == sum(4 * (n_out + n_in) for n_out, n_in in sizes)
    assert cost.total == full.total + cost.trained and cost.training_bytes == 12 * cost.trained
    assert full.weight_bytes / 4 < cost.weight_bytes < full.weight_bytes / 2
    assert str(cost).startswith(
        f"{cost.trained:,} of {cost.total:,} parameters are trained (7.04%)"
    )


def test_a_model_is_restored_when_merging_fails(monkeypatch):
    model = stir(add_lora(base_model(), 4))
    found, names = model(IDS).data, list(lora_layers(model))
    weights = [np.zeros((64, 64), np.float32)]  # enough for the first layer
    monkeypatch.setattr(adapters, "_merged_weight", lambda where, layer: weights.pop())
    with pytest.raises(IndexError), merged(model):
        raise AssertionError("never reached")
    assert list(lora_layers(model)) == names
    np.testing.assert_array_equal(model(IDS).data, found)


def test_a_merged_weight_must_be_finite():
    model = stir(add_lora(base_model(), 4, targets="down_proj"))
    layer = lora_layers(model)["layers.0.mlp.down_proj"].adapters["default"]
    layer.A.assign_(1e30 * layer.A.data)
    layer.B.assign_(1e30 * layer.B.data)
    for merge in (merge_lora, lambda m: merged(m).__enter__()):
        with pytest.raises(UserError, match=r"layers\.0\.mlp\.down_proj has infinite weights"):
            merge(model)


def test_generation_with_and_without_merging():
    model = stir(add_lora(base_model(), 4)).eval()
    decoder = Decoder(model)
    assert decoder.refusal == "a layer is a LoraLinear"
    ids = [list(step) for step in generate(decoder, IDS[:, :4], 8, temperature=0)]
    with merged(model):
        assert Decoder(model).refusal is None
        inside = Decoder(model, fused=False)
        assert [list(step) for step in generate(inside, IDS[:, :4], 8, temperature=0)] == ids


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_model_with_adapters_is_not_saved_as_one_without(kind, tmp_path):
    model = add_lora(base_model(kind))
    with pytest.raises(ValueError, match="base_layer.weight belongs to a layer with an adapter"):
        save_pretrained(model, None, tmp_path)
    assert not list(tmp_path.iterdir())


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, words",
    [
        ({"r": 0}, "r is 0, but must be a whole number of at least 1"),
        ({"r": 2.5}, "r is 2.5, but must be a whole number"),
        ({"r": True}, "r is True, but must be a whole number"),
        (
            {"r": 33},
            "r is 33, but layers.0.self_attn.k_proj is a matrix of 32 x 64, to which a rank above "
            "32 adds nothing: choose a smaller r or other targets",
        ),
        ({"alpha": 0}, "alpha is 0, but must be a number above 0"),
        ({"alpha": float("nan")}, "alpha is nan, but"),
        ({"dropout": 1.0}, "dropout is 1.0, but must be at least 0 and below 1"),
        (
            {"targets": "query"},
            "targets 'query' means no linear layer of this Llama, whose layers are "
            "layers.*.self_attn.q_proj, layers.*.self_attn.k_proj,",
        ),
        ({"targets": ["q_proj", "w_proj"]}, "targets 'w_proj' means no linear layer"),
        ({"targets": []}, "targets '' means no linear layer"),
        ({"targets": "(q"}, r"'\(q' is not a regular expression"),
        ({"name": "a.b"}, "'a.b' cannot name an adapter: use a word without a dot"),
        ({"name": "keys"}, "'keys' cannot name an adapter"),
        ({"name": "there"}, "the model has an adapter 'there' already: choose another name"),
    ],
)
def test_a_mistake_is_one_sentence(options, words):
    model = add_lora(base_model(), 2, targets="v_proj", name="there")
    before = [(name, p.requires_grad) for name, p in model.named_parameters()]
    with pytest.raises(UserError, match=words.replace("*", r"\*")):
        add_lora(model, **options)
    assert [(name, p.requires_grad) for name, p in model.named_parameters()] == before


def test_adapters_that_do_not_exist():
    model = base_model()
    with pytest.raises(UserError, match="the model has no adapter 'a': it has none"):
        set_adapter(model, "a")
    with pytest.raises(UserError, match="the model has no active adapter"):
        merge_lora(model)
    add_lora(model, name="b")
    with pytest.raises(UserError, match="the model has no adapter 'a': it has 'b'"):
        set_adapter(model, "a")


@pytest.mark.parametrize(
    "targets, expected",
    [
        ("q_proj", "layers.0.self_attn.q_proj layers.1.self_attn.q_proj"),
        (["1.self_attn.q_proj", "lm_head"], "layers.1.self_attn.q_proj lm_head"),
        (r"layers\.0\..*_proj", "layers.0.self_attn.q_proj layers.0.self_attn.k_proj "
         "layers.0.self_attn.v_proj layers.0.self_attn.o_proj layers.0.mlp.gate_proj "
         "layers.0.mlp.up_proj layers.0.mlp.down_proj"),
    ],
)  # fmt: skip
def test_targets(targets, expected):
    assert list(lora_layers(add_lora(base_model(), 2, targets=targets))) == expected.split()


def test_all_linear_is_all_but_the_output_layer():
    model = add_lora(base_model(), 2)
    assert len(lora_layers(model)) == 14 and "lm_head" not in lora_layers(model)
    assert len(lora_layers(add_lora(base_model("gpt2"), 2))) == 8
