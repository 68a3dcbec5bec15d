"""AdamW against the paper's formulas and PyTorch; which tensors decay; clipping; the state."""

import math
import re

import numpy as np
import pytest
from optimizer_steps import check_continuation, set_gradients

from autograd import Parameter, Tensor, use_kernels
from tinygrad_llm.errors import UserError
from tinygrad_llm.training.optim import AdamW, clip_scale, global_norm

OPTIONS = {"lr": 0.01, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}


def parameters(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    shapes = {"matrix": (5, 3), "bias": (3,), "scalar": (), "cube": (2, 2, 2)}
    return {n: Parameter(rng.normal(size=s).astype(dtype)) for n, s in shapes.items()}


def paper(p, gradients, *, decay, lr, betas, eps, scale=1.0):
    """Algorithm 2 of Loshchilov and Hutter, all in float64, one gradient after another."""
    b1, b2 = betas
    m = v = np.zeros_like(p)
    for t, g in enumerate(gradients, 1):
        g = g * scale
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        step = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        p = p - lr * (step + decay * p)
    return p


@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_follows_the_paper_and_decays_matrices_only(kernels):
    params, rng = parameters(), np.random.default_rng(1)
    start = {name: p.data.copy() for name, p in params.items()}
    seen = {name: [] for name in params}
    optimizer = AdamW(params.items(), **OPTIONS)
    with use_kernels(kernels):
        for _ in range(4):
            set_gradients(params, rng)
            for name, p in params.items():
                seen[name].append(p.grad.data.copy())
            optimizer.step(grad_scale=0.5)
    options = {k: OPTIONS[k] for k in ("lr", "betas", "eps")}
    for name, p in params.items():
        decay = 0.1 if name in ("matrix", "cube") else 0.0
        expected = paper(start[name], seen[name], decay=decay, scale=0.5, **options)
        np.testing.assert_allclose(p.data, expected, rtol=1e-12)
    assert {type(a) for a in optimizer.state_dict().values()} == {np.ndarray}


def test_matches_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ours, rng = parameters(), np.random.default_rng(2)
    theirs = {n: torch.nn.Parameter(torch.tensor(p.data.copy())) for n, p in ours.items()}
    groups = [
        {"params": [t for t in theirs.values() if t.ndim >= 2], "weight_decay": 0.1},
        {"params": [t for t in theirs.values() if t.ndim < 2], "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95), eps=1e-8)
    optimizer = AdamW(ours.items(), **OPTIONS)
    for step in range(6):
        set_gradients(ours, rng)
        for name, p in ours.items():
            theirs[name].grad = torch.tensor(p.grad.data.copy())
        if step in (0, 3):  # a parameter that is sometimes without a gradient
            ours["cube"].grad = theirs["cube"].grad = None
        optimizer.step()
        reference.step()
    for name, p in ours.items():
        np.testing.assert_allclose(p.data, theirs[name].detach().numpy(), rtol=1e-12)


def test_a_parameter_without_gradient_is_left_alone():
    params = parameters()
    before = params["matrix"].data.copy()
    set_gradients(params, np.random.default_rng(3))
    params["matrix"].grad = None
    optimizer = AdamW(params.items(), **OPTIONS)
    optimizer.step()
    np.testing.assert_array_equal(params["matrix"].data, before)
    assert not any(key.startswith("matrix") for key in optimizer.state_dict())


def test_a_step_bumps_the_version_and_zero_grad_forgets():
    p = Parameter(np.ones((2, 2)))
    y = (p * p).sum()
    p.grad = Tensor(np.ones((2, 2)))
    optimizer = AdamW([p])
    optimizer.step()
    with pytest.raises(RuntimeError):  # the graph of y saved the old values
        y.backward()
    optimizer.zero_grad()
    assert p.grad is None


def test_state_continues_bit_for_bit():
    check_continuation(lambda: parameters(dtype=np.float32), lambda items: AdamW(items, **OPTIONS))


@pytest.mark.parametrize("case", ["unknown", "shape", "dtype", "partial"])
def test_a_state_that_does_not_fit_changes_nothing(case):
    params = parameters()
    optimizer = AdamW(params.items())
    set_gradients(params, np.random.default_rng(5))
    optimizer.step()
    state = {k: v.copy() for k, v in optimizer.state_dict().items()}
    if case == "unknown":
        state["other.m"] = np.zeros(3)
    elif case == "shape":
        state["bias.v"] = np.zeros(4)
    elif case == "dtype":
        state["bias.v"] = np.zeros(3, np.float32)
    else:
        del state["scalar.step"]
    name = {"unknown": "other.m", "partial": "scalar.step"}.get(case, "bias.v")
    before = {k: v.copy() for k, v in optimizer.state_dict().items()}
    with pytest.raises(UserError, match=name):
        optimizer.load_state_dict(state)
    for key, value in optimizer.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_global_norm_and_clip_scale():
    params = parameters()
    set_gradients(params, np.random.default_rng(6))
    params["bias"].grad = None
    flat = np.concatenate([p.grad.data.ravel() for p in params.values() if p.grad is not None])
    assert global_norm(params.values()) == pytest.approx(np.linalg.norm(flat), rel=1e-12)
    assert clip_scale(4.0, 1.0) == 0.25
    assert clip_scale(0.5, 1.0) == clip_scale(1.0, 1.0) == 1.0
    assert clip_scale(100.0, 0.0) == 1.0  # 0 turns it off
    assert clip_scale(0.0, 1.0) == 1.0


def test_global_norm_survives_float32_overflow_and_reports_bad_numbers():
    p = Parameter(np.zeros(3, np.float32))
    p.grad = Tensor(np.full(3, 1e30, np.float32))
    assert global_norm([p]) == pytest.approx(math.sqrt(3) * 1e30, rel=1e-6)
    p.grad = Tensor(np.array([1, np.nan, 2], np.float32))
    assert math.isnan(global_norm([p]))


def test_refuses_an_empty_list():
    with pytest.raises(ValueError, match="no parameters"):
        AdamW([])


def test_parameters_of_two_modules_need_names_of_their_own():
    with pytest.raises(ValueError, match="two parameters called 'weight'.*decoder"):
        AdamW([("weight", Parameter(np.ones(2))), ("weight", Parameter(np.ones(2)))])
    p = Parameter(np.ones(2))
    with pytest.raises(ValueError, match="one parameter twice, as 'a' and as 'b'"):
        AdamW([("a", p), ("b", p)])
    with pytest.raises(ValueError, match="two parameters called '1'"):
        AdamW([("1", Parameter(np.ones(2))), Parameter(np.ones(2))])


def test_what_cannot_be_trained_is_refused():
    read_only = np.ones(4)
    read_only.setflags(write=False)
    for array in (read_only, np.broadcast_to(np.ones(2), (3, 2))):
        with pytest.raises(ValueError, match="parameter w cannot be changed.*array.copy"):
            AdamW([("w", Parameter(array))])
    with pytest.raises(ValueError, match="parameter 0 is int64"):
        AdamW([Parameter(np.arange(3), requires_grad=False)])
    with pytest.raises(TypeError, match="parameter w is of type ndarray"):
        AdamW([("w", np.ones(3))])
    p = Parameter(np.ones(4))
    optimizer = AdamW([p])
    p.data = read_only
    p.grad = np.ones(4)
    with pytest.raises(ValueError, match="read-only"):
        optimizer.step()


def test_parameters_that_share_memory_are_refused():
    table = Parameter(np.ones((4, 3)))
    untied = Parameter(table.data)  # wrapped, not copied
    with pytest.raises(ValueError, match="w1 and w2 share memory|w2 and w1 share memory"):
        AdamW([("w1", table), ("w2", untied)])
    halves = [Parameter(part) for part in (table.data[:, :2], table.data[:, 2:], table.data[:0])]
    AdamW(halves)  # intertwined, but no element is in both


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["lr", "eps", "weight_decay", "beta1", "beta2"])
def test_numbers_out_of_range_are_refused_at_once_and_before_each_step(name, value):
    def change(target, number):
        betas = (number, 0.9) if name == "beta1" else (0.9, number)
        key, new = ("betas", betas) if name.startswith("beta") else (name, number)
        return target({key: new})

    with pytest.raises(ValueError, match=re.escape(str(value))):
        change(lambda options: AdamW(parameters().items(), **options), value)
    params = parameters()
    optimizer = AdamW(params.items())
    change(lambda options: vars(optimizer).update(options), value)
    set_gradients(params, np.random.default_rng(0))
    before = {n: p.data.copy() for n, p in params.items()}
    with pytest.raises(ValueError, match="expected"):
        optimizer.step()
    assert all((p.data == before[n]).all() for n, p in params.items())
    change(lambda options: AdamW(parameters().items(), **options), 0.0)  # 0 is in every range


def test_a_beta_of_one_never_learns_and_is_refused():
    for betas in ((1.0, 0.9), (0.9, 1.0)):
        with pytest.raises(ValueError, match="below 1"):
            AdamW(parameters().items(), betas=betas)


@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_a_replaced_parameter_is_noticed(kernels):
    """The compiled kernel trusts the shapes: it would read past the end of the moments."""
    p, q = Parameter(np.ones(3)), Parameter(np.ones(2))
    optimizer = AdamW([("p", p), ("q", q)])
    p.grad, q.grad = np.ones(3), np.ones(2)
    p.data = np.ones(5)
    with use_kernels(kernels):
        with pytest.raises(ValueError, match=r"p is float64 \(5,\) and its gradient.*\(3,\)"):
            optimizer.step()
        p.data = np.ones(3)
        optimizer.step()
        for replaced in (np.ones(5), np.ones(3, np.float32)):
            p.data = replaced
            p.grad = np.ones_like(replaced)
            before = q.data.copy()
            with pytest.raises(ValueError, match="p is .* and its state of the last step"):
                optimizer.step()
            np.testing.assert_array_equal(q.data, before)  # nothing was changed


def test_a_norm_that_is_not_finite_is_not_clipped():
    for norm in (math.nan, math.inf):
        with pytest.raises(FloatingPointError, match="not finite"):
            clip_scale(norm, 1.0)
    for max_norm in (-1.0, math.nan):
        with pytest.raises(ValueError, match="max_norm"):
            clip_scale(1.0, max_norm)
    with pytest.raises(ValueError, match="grad_scale is nan"):
        AdamW(parameters().items()).step(grad_scale=math.nan)


def test_what_a_beginner_gives_an_optimizer():
    from tinygrad_llm.model.layers import Linear

    w = Parameter(np.ones(3))
    for params, words in (
        (w, r"one Parameter, expected several parameters: \[parameter\]"),
        (Linear(2, 2), r"one Linear, expected several parameters: model.named_parameters\(\)"),
        (None, "one NoneType"),
        ([np.ones(3)], "parameter 0 is of type ndarray"),
        ([[w]], "parameter 0 is of type list"),
        ([w, "x"], "parameter 1 is of type str"),
        ({"w": w}, "parameter 0 is of type str"),
        (iter([{"params": [w]}]), "parameter 0 is of type dict"),
    ):
        with pytest.raises(TypeError, match=words):
            AdamW(params)
    for options in ({"lr": "1e-3"}, {"betas": 0.9}, {"betas": (0.9, None)}, {"eps": None}):
        with pytest.raises(TypeError, match="expected a (number|pair of numbers)"):
            AdamW([w], **options)


def test_what_would_never_learn_is_refused():
    from tinygrad_llm.model.containers import ModuleList
    from tinygrad_llm.model.layers import Linear, normal_

    w = Parameter(np.ones(3))
    with pytest.raises(ValueError, match="parameter 0 was computed"):
        AdamW([w * 2])
    with pytest.raises(ValueError, match="none of the parameters requires a gradient"):
        AdamW([Tensor(np.ones(3))])
    AdamW([w, Tensor(np.ones(3))])  # some are frozen
    layers = ModuleList([Linear(2, 3), Linear(3, 2)])
    for layer in layers:
        layer.weight.assign_(np.zeros(layer.weight.shape))
    with pytest.raises(ValueError, match="all 2 matrices are zero.*layers.normal_"):
        AdamW(layers.named_parameters())
    AdamW(layers[0].named_parameters())  # one layer of zeros learns: a linear regression
    normal_(layers[0].weight, 0.02, np.random.default_rng(0))
    AdamW(layers.named_parameters())
