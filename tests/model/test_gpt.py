"""GPT: shapes, causality, tied weights, learning, and what it refuses."""

import math

import numpy as np
import pytest
from kept_bytes import kept_bytes

from autograd import Parameter, Tensor, grad, matmul_precision, no_grad, use_kernels
from tinygrad_llm.config import PRESETS, GPTConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.model import GPT
from tinygrad_llm.model.summary import (
    activation_floats,
    flops_per_token,
    operand_floats,
    summary,
)

CONFIG = GPTConfig(vocab_size=13, block_size=8, n_layer=2, n_head=2, n_embd=8)


def batch(B=2, T=6, seed=0, V=CONFIG.vocab_size):
    stream = np.random.default_rng(seed).integers(0, V, (B, T + 1))
    return stream[:, :-1], stream[:, 1:]


def generic(config=CONFIG, seed=0, dtype=np.float64):
    """A model whose parameters are all far from their starting values."""
    model, rng = GPT(config, seed=seed), np.random.default_rng(seed + 1)
    for parameter in model.parameters():
        parameter.data = parameter.data + 0.3 * rng.standard_normal(parameter.shape)
    return model.astype(dtype)


# --- names, initialisation ------------------------------------------------------------------


def test_parameter_names_are_gpt2s():
    names = [name for name, _ in GPT(CONFIG).named_parameters()]
    block = [
        "ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight",
        "attn.c_proj.bias", "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias",
        "mlp.c_proj.weight", "mlp.c_proj.bias",
    ]  # fmt: skip
    blocks = [f"h.{i}.{name}" for i in range(2) for name in block]
    assert names == ["wte.weight", "wpe.weight", *blocks, "ln_f.weight", "ln_f.bias"]


def test_initialisation():
    config = GPTConfig(vocab_size=500, block_size=64, n_layer=8, n_head=4, n_embd=64)
    for name, parameter in GPT(config, seed=1).named_parameters():
        value = parameter.data
        assert value.dtype == np.float32, name
        if name.endswith("bias"):
            assert not value.any(), name
        elif value.ndim == 1:
            assert (value == 1).all(), name
        else:
            expected = 0.02 / math.sqrt(16) if "c_proj" in name else 0.02
            assert value.std() == pytest.approx(expected, rel=0.06), name
            assert abs(value.mean()) < 4 * expected / math.sqrt(value.size), name


def test_seed_decides_the_weights_and_dropout_does_not_touch_them():
    state = GPT(CONFIG, seed=3).state_dict()
    dropped = GPTConfig(**{**vars(CONFIG), "dropout": 0.1})
    for name, value in GPT(dropped, seed=3).state_dict().items():
        np.testing.assert_array_equal(value, state[name])
    assert not np.array_equal(GPT(CONFIG, seed=4).wte.weight.data, state["wte.weight"])
    assert not any(p.data.any() for p in [GPT(CONFIG, initialize=False).wte.weight])


def test_untrained_loss_is_that_of_a_guess():
    config = GPTConfig(vocab_size=1000, block_size=32, n_layer=2, n_head=2, n_embd=32)
    ids, targets = batch(4, 32, V=1000)
    assert GPT(config).loss(ids, targets).item() == pytest.approx(math.log(1000), rel=0.02)


# --- forward --------------------------------------------------------------------------------


def test_shapes_and_next_token_logits():
    model = generic()
    ids, _ = batch(3, 5)
    logits = model(ids)
    assert logits.shape == (3, 5, 13) and model.hidden(ids).shape == (3, 5, 8)
    np.testing.assert_allclose(
        model.next_token_logits(ids).data, logits.data[:, -1], rtol=1e-12, atol=1e-12
    )


def test_ids_may_be_lists_tensors_and_unsigned():
    model = generic()
    ids, _ = batch()
    expected = model(ids).data
    for given in (ids.tolist(), Tensor(ids), ids.astype(np.uint16), np.asfortranarray(ids)):
        np.testing.assert_array_equal(model(given).data, expected)


def test_gradients_do_not_depend_on_the_layout_of_the_ids():
    ids, targets = batch()
    gradients = []
    for arrange in (np.ascontiguousarray, np.asfortranarray):
        model = generic()
        model.loss(arrange(ids), arrange(targets)).backward()
        gradients.append(model.wte.weight.grad.data)
    np.testing.assert_array_equal(gradients[0], gradients[1])


@pytest.mark.parametrize("kernels", ["reference", "auto"])
def test_a_future_token_cannot_change_a_past_logit(kernels):
    model = generic(dtype=np.float32)
    ids, _ = batch(1, 8)
    with no_grad(), use_kernels(kernels):
        before = model(ids).data
        for t in range(8):
            changed = ids.copy()
            changed[:, t] = (changed[:, t] + 1) % 13
            after = model(changed).data
            np.testing.assert_array_equal(after[:, :t], before[:, :t])
            assert (after[:, t:] != before[:, t:]).any(axis=-1).all()


def test_position_matters():
    model = generic()
    logits = model(np.full((1, 8), 5)).data[0]
    assert len(np.unique(logits.round(9), axis=0)) == 8


def test_loss_is_the_cross_entropy_of_the_logits():
    model = generic()
    ids, targets = batch()
    targets = targets.copy()
    targets[0, :3] = -100
    logits = model(ids).data
    logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    nll = -np.take_along_axis(logp, np.where(targets < 0, 0, targets)[..., None], -1)[..., 0]
    nll[targets < 0] = 0
    assert model.loss(ids, targets).item() == pytest.approx(nll.sum() / 9, rel=1e-12)
    assert model.loss(ids, targets, reduction="sum").item() == pytest.approx(nll.sum(), rel=1e-12)
    each = model.loss(ids, targets, reduction="none")
    np.testing.assert_allclose(each.data, nll, rtol=1e-11, atol=1e-12)
    assert model.loss(ids, np.full_like(ids, -100)).item() == 0


def test_ignore_index_can_be_a_token():
    model = generic()
    ids, targets = batch()
    each = model.loss(ids, targets, reduction="none").data
    kept = targets != 4
    assert model.loss(ids, targets, ignore_index=4).item() == pytest.approx(each[kept].mean())


# --- tied weights, kernels, dropout ---------------------------------------------------------


def test_tied_weights_are_one_array_and_their_gradient_the_sum_of_both_uses():
    model = generic()
    ids, targets = batch()
    model.loss(ids, targets).backward()
    both = model.wte.weight.grad.data
    assert not any("lm_head" in name for name in model.state_dict())

    # the same loss with the table on the way in as an object of its own
    table_in = Parameter(model.wte.weight.data.copy())
    table_out = model.wte.weight
    model.wte.weight = table_in
    hidden = model.hidden(ids)
    logits = hidden @ table_out.T
    logp = logits - logits.exp().sum(axis=-1, keepdims=True).log()
    rows, columns = np.indices(ids.shape)
    loss = -logp[rows, columns, targets].mean()
    g_in, g_out = grad(loss, [table_in, table_out])
    assert np.abs(g_in.data).max() > 1e-3 and np.abs(g_out.data).max() > 1e-3
    np.testing.assert_allclose(both, g_in.data + g_out.data, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype, rtol", [(np.float32, 2e-5), (np.float64, 1e-12)])
def test_reference_and_fast_kernels_agree(dtype, rtol):
    config = GPTConfig(vocab_size=67, block_size=40, n_layer=2, n_head=3, n_embd=24)
    ids, targets = batch(3, 40, V=67)
    losses, gradients = [], []
    for kernels in ("reference", "auto"):
        model = GPT(config).astype(dtype)
        with use_kernels(kernels):
            loss = model.loss(ids, targets)
            loss.backward()
        losses.append(loss.item())
        gradients.append({n: p.grad.data for n, p in model.named_parameters()})
    assert losses[1] == pytest.approx(losses[0], rel=rtol)
    for name, expected in gradients[0].items():
        found = gradients[1][name]
        assert found.dtype == dtype
        assert np.abs(found - expected).max() <= rtol * np.abs(expected).max(), name


def test_dropout_repeats_from_the_saved_state_and_is_off_in_eval():
    model = GPT(GPTConfig(**{**vars(CONFIG), "dropout": 0.3}))
    ids, targets = batch()
    state = model.rng.bit_generator.state
    first, second = model.loss(ids, targets).item(), model.loss(ids, targets).item()
    assert first != second
    model.rng.bit_generator.state = state
    assert [model.loss(ids, targets).item() for _ in range(2)] == [first, second]
    model.eval()
    state = model.rng.bit_generator.state
    assert model.loss(ids, targets).item() == model.loss(ids, targets).item()
    assert model.rng.bit_generator.state == state


def test_one_batch_can_be_overfitted():
    model = GPT(GPTConfig(vocab_size=32, block_size=16, n_layer=2, n_head=2, n_embd=32))
    ids, targets = batch(4, 16, V=32)
    moments = [(np.zeros(p.shape), np.zeros(p.shape)) for p in model.parameters()]
    first = model.loss(ids, targets).item()
    for step in range(1, 61):  # Adam, in four lines
        model.loss(ids, targets).backward()
        for parameter, (m, v) in zip(model.parameters(), moments, strict=True):
            g = parameter.grad.data
            m += 0.1 * (g - m)
            v += 0.05 * (g * g - v)
            m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.95**step)
            parameter.assign_(parameter.data - 1e-2 * m_hat / (np.sqrt(v_hat) + 1e-8))
        model.zero_grad()
    assert first > 3.3
    assert model.loss(ids, targets).item() < 0.1


# --- bad input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ids, words",
    [
        (np.zeros((1, 9), int), "9 tokens, but this model's block_size is 8"),
        (np.array([[1, 13]]), "id 13 is outside the table of 13 rows, the model's vocabulary"),
        (np.array([[1, -1]]), "id -1 is outside the table of 13 rows, the model's vocabulary"),
        (np.array([1, 2]), r"shape \(2,\), expected \(B, T\)"),
        (np.zeros((1, 0), int), r"shape \(1, 0\), expected \(B, T\)"),
    ],
)
@pytest.mark.parametrize("method", ["forward", "next_token_logits", "loss"])
def test_bad_ids_are_told_in_a_sentence(ids, words, method):
    model = GPT(CONFIG)
    targets = (np.zeros(ids.shape, int),) if method == "loss" else ()
    with pytest.raises(UserError, match=words) as caught:
        getattr(model, method)(ids, *targets)
    assert "\n" not in str(caught.value)


def test_ids_are_integers():
    for ids in (np.zeros((1, 2)), [[0.5]], [], Tensor(np.zeros((1, 2)))):
        with pytest.raises(TypeError, match="embedding ids must be integers, not float64"):
            GPT(CONFIG)(ids)


@pytest.mark.parametrize(
    "targets, error, words",
    [
        (np.array([[1, 13]]), IndexError, "target 13 is neither one of the 13 classes nor"),
        (np.array([[1, -1]]), IndexError, "target -1 is neither one of the 13 classes nor"),
        (np.array([[1]]), ValueError, r"targets have shape \(1, 1\)"),
        (np.array([[1.0, 2.0]]), TypeError, "not targets of float64"),
    ],
)
def test_bad_targets_are_told_in_a_sentence(targets, error, words):
    with pytest.raises(error, match=words):
        GPT(CONFIG).loss(np.array([[0, 1]]), targets)


@pytest.mark.parametrize("n_embd, n_head", [(10, 4), (8, 3)])
def test_heads_must_divide_the_channels(n_embd, n_head):
    with pytest.raises(UserError, match="must be a multiple of n_head"):
        GPTConfig(n_embd=n_embd, n_head=n_head)


# --- summary --------------------------------------------------------------------------------


def test_parameter_counts_of_the_presets():
    def derived(c):
        block = 12 * c.n_embd**2 + 13 * c.n_embd
        return (c.vocab_size + c.block_size + 2) * c.n_embd + c.n_layer * block

    assert GPT(PRESETS["tiny"], initialize=False).num_parameters() == derived(PRESETS["tiny"])
    assert derived(PRESETS["gpt2"]) == 124_439_808  # what OpenAI's file holds


def test_summary_adds_up():
    model = GPT(CONFIG)
    lines = model.summary().splitlines()
    total = next(line for line in lines if line.startswith("total"))
    assert f" {model.num_parameters():,} " in total
    row = next(line for line in lines if line.startswith("h.*.attn.c_attn.weight"))
    assert row.split() == ["h.*.attn.c_attn.weight", "24", "x", "8", "2", "384", "19.9%"]
    assert any("MFLOP" in line or "kFLOP" in line for line in lines)


def test_flops_of_gpt2_are_about_six_per_parameter():
    c = PRESETS["gpt2"]
    flops = flops_per_token(c, c.block_size)
    assert flops == 6 * (12 * 12 * 768**2 + 50257 * 768) + 6 * 12 * 768 * 1024
    assert flops / (6 * 124_439_808) == pytest.approx(1.07, abs=0.01)


def test_derived_activations_are_what_the_graph_holds():
    # with the fast kernels: it is their bookkeeping that the figure describes
    config = GPTConfig(vocab_size=64, block_size=32, n_layer=3, n_head=2, n_embd=16)
    model = GPT(config)
    ids, targets = batch(2, 32, V=64)
    held = kept_bytes(model.loss(ids, targets), model)
    gradient_of_table = model.wte.weight.data.nbytes  # the loss has this one ready as well
    assert held - gradient_of_table == 4 * ids.size * activation_floats(config)
    with matmul_precision("bf16"):
        less = kept_bytes(model.loss(ids, targets), model)
    assert held - less == 2 * ids.size * operand_floats(config)
    text = summary(model, precision="bf16")
    kept = (less - gradient_of_table) / ids.size / 1024
    assert f"kept for backward: {kept:.3g} KiB, partly in bf16, per token" in text
