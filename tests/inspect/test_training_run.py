"""What is measured of a checkpoint: gradients, the next step, activations, dead units."""

import numpy as np
import pytest

from autograd import Tensor, ops
from tinygrad_llm.config import GPTConfig, LlamaConfig
from tinygrad_llm.inspect import training_run
from tinygrad_llm.inspect.training_run import (
    OFF,
    criterion,
    is_off,
    layer_of,
    measure_checkpoint,
    run_numbers,
)
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.training.optim import AdamW, clip_scale, global_norm

B, T, V = 3, 8, 30
SHAPE = dict(vocab_size=V, block_size=T, n_layer=2, n_head=2, n_embd=16)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def models():
    llama = LlamaConfig(**SHAPE, n_hidden=24, mlp_bias=True, tied=True)
    gelu = LlamaConfig(**SHAPE, n_hidden=24, mlp_bias=True, activation="gelu_tanh")
    return {"gpt": GPT(GPTConfig(**SHAPE)), "llama": Llama(llama), "gemma": Llama(gelu)}


@pytest.fixture(params=["gpt", "llama", "gemma"])
def model(request):
    return models()[request.param]


def batch(rng):
    ids = rng.integers(0, V, (B, T + 1))
    return ids[:, :-1], ids[:, 1:]


def test_norms_are_those_of_backward_and_of_the_optimizers_step(model, rng):
    x, y = batch(rng)
    optimizer = AdamW(model.named_parameters(), lr=0.01, weight_decay=0.1)
    model.loss(x, y).backward()
    optimizer.step()  # so that there are moments
    optimizer.zero_grad()
    weights = {name: p.numpy().copy() for name, p in model.named_parameters()}
    state = {name: array.copy() for name, array in optimizer.state_dict().items()}

    def step():
        factor = clip_scale(global_norm(optimizer.params.values()), 0.5)
        optimizer.step(grad_scale=factor)
        return factor

    found = measure_checkpoint(model, x, y, step)
    for name, p in model.named_parameters():
        assert p.grad is None and np.array_equal(p.numpy(), weights[name])
    loss = model.loss(x, y)
    loss.backward()
    assert found.loss == pytest.approx(loss.item(), rel=1e-6)
    expected = {name: np.linalg.norm(p.grad.numpy()) for name, p in model.named_parameters()}
    assert [name for name, _ in found.parameters] == list(expected)
    np.testing.assert_allclose(found.grad_norm, list(expected.values()), rtol=1e-5)
    optimizer.load_state_dict(state)
    assert found.clip == pytest.approx(step(), rel=1e-6) and found.clip < 1
    moved = [np.linalg.norm(p.numpy() - weights[n]) for n, p in model.named_parameters()]
    np.testing.assert_allclose(found.update_norm, moved, rtol=1e-4)
    np.testing.assert_allclose(
        found.weight_norm, [np.linalg.norm(w) for w in weights.values()], rtol=1e-5
    )


def test_without_a_step(model, rng):
    found = measure_checkpoint(model, *batch(rng))
    assert np.isnan(found.clip) and np.isnan(found.update_norm).all()
    assert found.dead.tolist() == [0, 0]


def test_activations_are_those_of_the_blocks(rng):
    model = models()["gpt"]
    x, y = batch(rng)
    found = measure_checkpoint(model, x, y)
    h = model.embed(x)
    for n, block in enumerate(model.h):
        branch = block.attn(block.ln_1(h))
        middle = h + branch
        hidden = block.mlp.c_fc(block.ln_2(middle))
        h = block(h)
        for part, array in (("stream", h), ("attention", branch), ("hidden", hidden)):
            size = np.sqrt(np.mean(array.numpy().astype(np.float64) ** 2))
            assert found.scale[part][n] == pytest.approx(size, rel=1e-5)
    assert all("forward" not in vars(module) for module in model.modules())


def test_planted_dead_units_are_found(model, rng):
    """Biases far below the edge switch units off, one is below it for some tokens only."""
    mlps = [b.mlp for b in (model.h if isinstance(model, GPT) else model.layers)]
    layer = mlps[1].c_fc if isinstance(model, GPT) else mlps[1].gate_proj
    bias = layer.bias.numpy().copy()
    bias[:3] = -20
    layer.bias.assign_(bias)
    x, y = batch(rng)
    found = measure_checkpoint(model, x, y)
    assert found.dead.tolist() == [0, 3]
    assert found.units.tolist() == [layer.weight.shape[0]] * 2
    assert found.off[1] == pytest.approx(3 / layer.weight.shape[0], rel=1e-6)

    weight = layer.weight.numpy().copy()  # the three react to their input: now it varies
    weight[2] = 200 * rng.normal(size=weight.shape[1])
    layer.weight.assign_(weight)
    assert measure_checkpoint(model, x, y).dead.tolist() == [0, 2]


@pytest.mark.parametrize(
    "activation, formula",
    [
        ("silu", lambda x: x / (1 + np.exp(-x))),
        ("gelu_tanh", lambda x: x / (1 + np.exp(-1.5957691 * (x + 0.044715 * x**3)))),
    ],
)
def test_off_is_where_value_and_slope_vanish(activation, formula):
    x = np.linspace(-18, 10, 2801)
    slope = (formula(x + 1e-5) - formula(x - 1e-5)) / 2e-5
    expected = (np.abs(formula(x)) < OFF) & (np.abs(slope) < OFF)
    assert np.array_equal(is_off(x, activation), expected)
    assert not expected[x > -1].any()  # small numbers are not off: their slope is not
    edge = float(criterion(activation).rstrip(".").split()[-1])
    assert x[expected].max() == pytest.approx(edge, abs=0.02)


def test_a_run_in_rows(rng):
    model = models()["gpt"]
    x, y = batch(rng)
    found = [measure_checkpoint(model, x, y, lambda: 1.0) for _ in range(2)]
    run = run_numbers([10, 20], found)
    assert run["steps"].tolist() == [10, 20]
    assert run["layers"] == ["wte", "wpe", "h.0", "h.1", "ln_f"] and run["blocks"] == ["h.0", "h.1"]
    P = len(run["parameters"])
    for name in ("grad_norm", "weight_norm", "update_norm"):
        assert run[name].shape == (2, P)
    assert run["layer_grad_norm"].shape == run["layer_ratio"].shape == (2, 5)
    assert run["dead"].shape == run["units"].shape == run["scale"]["hidden"].shape == (2, 2)
    inside = [n for n, p in enumerate(run["parameters"]) if p["layer"] == 3]
    assert all(run["parameters"][n]["name"].startswith("h.1.") for n in inside)
    together = np.sqrt((run["grad_norm"][0, inside] ** 2).sum())
    assert run["layer_grad_norm"][0, 3] == pytest.approx(together)
    assert np.all(run["layer_ratio"] == 0)  # the step moved nothing
    total = np.sqrt((run["layer_grad_norm"][0] ** 2).sum())
    assert total == pytest.approx(np.sqrt((run["grad_norm"][0] ** 2).sum()))


def test_layers_of_parameters():
    assert layer_of("h.11.attn.c_attn.weight") == "h.11"
    assert layer_of("layers.0.mlp.up_proj.weight") == "layers.0"
    assert layer_of("ln_f.bias") == "ln_f" and layer_of("lm_head.weight") == "lm_head"
    assert layer_of("table") == "table"


def test_activations_have_a_name_each():
    x = Tensor(np.linspace(-2, 2, 9))
    for name, f in training_run.ACTIVATIONS.items():
        assert f(x).shape == x.shape and name.startswith(("silu", "gelu"))
    assert np.array_equal(training_run.ACTIVATIONS["silu"](x).data, ops.silu(x).data)
