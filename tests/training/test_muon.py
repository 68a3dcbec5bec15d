"""Muon against PyTorch's, step by step; which parameters it trains; its two factors; its state."""

import math

import numpy as np
import pytest
from optimizer_steps import check_continuation, set_gradients

from autograd import Parameter, use_kernels
from tinygrad_llm.config import PRESETS
from tinygrad_llm.errors import UserError
from tinygrad_llm.model import build_model
from tinygrad_llm.training.optim import AdamW, Muon

BLOCK = {"h.0.up.weight": (12, 4), "h.0.down.weight": (4, 12), "h.1.square.weight": (6, 6)}
REST = {"wte.weight": (9, 4), "h.0.up.bias": (12,), "ln_f.weight": (4,), "h.0.cube": (2, 3, 4)}
OPTIONS = {"lr": 0.02, "weight_decay": 0.1}


def parameters(shapes=None, dtype=np.float64):
    rng = np.random.default_rng(0)
    shapes = shapes or BLOCK | REST
    return {n: Parameter(rng.normal(size=s).astype(dtype)) for n, s in shapes.items()}


@pytest.fixture
def torch(monkeypatch):
    """PyTorch, whose Muon iterates in float64 here: it rounds to bfloat16 otherwise."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this PyTorch has no Muon")
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda x: x.double().clone())
    return torch


@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("factor, theirs", [("adamw", "match_rms_adamw"), ("spectral", "original")])
def test_each_step_matches_pytorch(torch, kernels, nesterov, factor, theirs):
    ours, rng = parameters(), np.random.default_rng(1)
    copies = {n: torch.nn.Parameter(torch.tensor(p.data.copy())) for n, p in ours.items()}
    muon = torch.optim.Muon(
        [copies[n] for n in BLOCK], momentum=0.9, nesterov=nesterov, adjust_lr_fn=theirs, **OPTIONS
    )
    groups = [
        {"params": [copies[n] for n in REST if copies[n].ndim >= 2], "weight_decay": 0.1},
        {"params": [copies[n] for n in REST if copies[n].ndim < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95))
    optimizer = Muon(
        ours.items(), momentum=0.9, nesterov=nesterov, factor=factor, adamw_lr_ratio=0.5, **OPTIONS
    )
    for step in range(6):
        set_gradients(ours, rng)
        for name, p in ours.items():
            copies[name].grad = torch.tensor(p.grad.data.copy())
        if step in (0, 3):  # a parameter that is sometimes without a gradient
            ours["h.0.up.weight"].grad = copies["h.0.up.weight"].grad = None
        with use_kernels(kernels):
            optimizer.step()
        muon.step()
        adamw.step()
        for name, p in ours.items():
            np.testing.assert_allclose(
                p.data, copies[name].detach().numpy(), rtol=1e-9, err_msg=f"{name}, step {step}"
            )


def test_it_agrees_with_pytorch_in_bfloat16_as_far_as_bfloat16_goes():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this PyTorch has no Muon")
    ours, rng = parameters({"h.0.weight": (64, 48)}, np.float32), np.random.default_rng(1)
    p = ours["h.0.weight"]
    start, theirs = p.data.copy(), torch.nn.Parameter(torch.tensor(p.data.copy()))
    muon, optimizer = (
        torch.optim.Muon([theirs], lr=1.0, weight_decay=0.0),
        Muon(ours.items(), lr=1.0, weight_decay=0.0, factor="spectral"),
    )
    set_gradients(ours, rng)
    theirs.grad = torch.tensor(p.grad.data.copy())
    muon.step()
    optimizer.step()
    ours_step, their_step = p.data - start, theirs.detach().numpy() - start
    off = np.linalg.norm(ours_step - their_step) / np.linalg.norm(ours_step)
    assert off < 0.03


def test_the_matrices_of_the_blocks_and_no_other():
    for preset, per_layer in (("tiny", 4), ("llama-tiny", 7)):
        model = build_model(PRESETS[preset])
        parts = Muon(model.named_parameters()).parts
        assert len(parts) == per_layer * model.config.n_layer
        assert all(".weight" in name and "ln" not in name and "norm" not in name for name in parts)
        stacked = {name for name, n in parts.items() if n == 3}
        assert stacked == {name for name in parts if name.endswith("c_attn.weight")}


def test_the_step_of_a_matrix_has_singular_values_within_the_interval():
    params, rng = parameters(dtype=np.float32), np.random.default_rng(2)
    params["h.2.attn.c_attn.weight"] = Parameter(rng.normal(size=(24, 8)).astype(np.float32))
    before = {name: p.data.copy() for name, p in params.items()}
    set_gradients(params, rng)
    Muon(params.items(), lr=1.0, weight_decay=0.0, factor="spectral").step()
    for name in (*BLOCK, "h.2.attn.c_attn.weight"):
        step = before[name] - params[name].data
        for part in np.split(step, 3 if "c_attn" in name else 1):
            s = np.linalg.svd(part / math.sqrt(max(1, part.shape[0] / part.shape[1])))[1]
            assert ((s > 0.68) & (s < 1.21)).all(), name


def test_the_factor_makes_steps_as_large_as_those_of_adamw():
    """0.2 lr is the root mean square for any shape, up to what Newton-Schulz leaves."""
    for shape in ((64, 64), (256, 64), (64, 256)):
        params = parameters({"h.0.weight": shape})
        p, start = params["h.0.weight"], params["h.0.weight"].data.copy()
        set_gradients(params, np.random.default_rng(3))
        Muon(params.items(), lr=0.1, weight_decay=0.0).step()
        assert np.sqrt(np.mean((p.data - start) ** 2)) == pytest.approx(0.02, rel=0.2)


def test_the_length_of_a_gradient_does_not_matter():
    steps = []
    for scale in (1.0, 0.01):
        params = parameters({"h.0.weight": (6, 4)})
        set_gradients(params, np.random.default_rng(4))
        Muon(params.items(), weight_decay=0.0).step(grad_scale=scale)
        steps.append(params["h.0.weight"].data)
    np.testing.assert_allclose(*steps, rtol=1e-12)


def test_state_continues_bit_for_bit():
    check_continuation(
        lambda: parameters(dtype=np.float32), lambda items: Muon(items, **OPTIONS), seed=5
    )


def test_what_is_kept_of_each_half():
    params = parameters()
    set_gradients(params, np.random.default_rng(6))
    optimizer = Muon(params.items())
    optimizer.step()
    expected = {f"{n}.{kind}" for n in BLOCK for kind in ("momentum", "step")}
    expected |= {f"{n}.{kind}" for n in REST for kind in ("m", "v", "step")}
    assert set(optimizer.state_dict()) == expected
    with pytest.raises(UserError, match="h.0.down.weight.momentum.*no parameter .* in AdamW"):
        AdamW(params.items()).load_state_dict(optimizer.state_dict())


def test_what_muon_refuses():
    params = parameters()
    with pytest.raises(ValueError, match="no matrix of a block: name the parameters"):
        Muon([p for p in params.values() if p.ndim == 1])
    with pytest.raises(ValueError, match=r"h.0.cube has the shape \(2, 3, 4\), expected a matrix"):
        Muon(params.items(), matrices=lambda name, p: "cube" in name)
    with pytest.raises(ValueError, match=r"\(12, 4\), expected a matrix of 5 equal parts"):
        Muon(params.items(), stacked={"up.weight": 5})
    for name, value, words in (
        ("momentum", 1.0, "momentum is 1.0, expected at least 0 and below 1"),
        ("steps", 0, "steps is 0, expected a whole number"),
        ("factor", "rms", "factor is 'rms', expected adamw or spectral"),
        ("adamw_lr_ratio", -1.0, "adamw_lr_ratio is -1.0"),
        ("betas", (0.9, 1.0), r"betas\[1\] is 1.0"),
        ("eps", math.nan, "eps is nan"),
    ):
        with pytest.raises(ValueError, match=words):
            Muon(params.items(), **{name: value})
