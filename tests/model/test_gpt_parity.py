"""Loss and every gradient against PyTorch, on a GPT-2 written here from torch.nn.functional."""

import numpy as np
import pytest

from autograd import use_kernels
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model import GPT

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
F = torch.nn.functional

CONFIG = GPTConfig(vocab_size=101, block_size=24, n_layer=3, n_head=4, n_embd=32)


def torch_loss(p, ids, targets, config):
    """The loss of GPT-2 with parameters ``p``, a dictionary of torch tensors."""
    C, H = config.n_embd, config.n_head
    B, T = ids.shape

    def norm(x, name):
        return F.layer_norm(x, (C,), p[f"{name}.weight"], p[f"{name}.bias"], 1e-5)

    def linear(x, name):
        return F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])

    x = p["wte.weight"][ids] + p["wpe.weight"][:T]
    for i in range(config.n_layer):
        q, k, v = linear(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn").split(C, dim=-1)
        q, k, v = (a.view(B, T, H, C // H).transpose(1, 2) for a in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + linear(y.transpose(1, 2).reshape(B, T, C), f"h.{i}.attn.c_proj")
        y = F.gelu(linear(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc"), approximate="tanh")
        x = x + linear(y, f"h.{i}.mlp.c_proj")
    logits = norm(x, "ln_f") @ p["wte.weight"].T
    return F.cross_entropy(logits.reshape(B * T, -1), targets.reshape(-1), ignore_index=-100)


def relative(found, expected, scale=None):
    return np.abs(found - expected).max() / (np.abs(expected).max() if scale is None else scale)


@pytest.mark.parametrize("kernels", ["reference", "auto"])
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-10), (np.float32, 1e-4)])
def test_loss_and_every_gradient(dtype, tolerance, kernels):
    rng = np.random.default_rng(0)
    model = GPT(CONFIG).astype(dtype)
    for parameter in model.parameters():
        parameter.assign_(parameter.data + 0.1 * rng.standard_normal(parameter.shape))
    ids = rng.integers(0, 101, (3, 20))
    targets = rng.integers(0, 101, (3, 20))
    targets[1, :7] = -100

    theirs = {n: torch.tensor(v, requires_grad=True) for n, v in model.state_dict().items()}
    expected = torch_loss(theirs, torch.tensor(ids), torch.tensor(targets), CONFIG)
    expected.backward()
    with use_kernels(kernels):
        loss = model.loss(ids, targets)
        loss.backward()

    assert loss.dtype == dtype
    assert abs(loss.item() - expected.item()) <= tolerance * abs(expected.item())
    largest = max(np.abs(t.grad.numpy()).max() for t in theirs.values())
    for name, parameter in model.named_parameters():
        found, reference = parameter.grad.data, theirs[name].grad.numpy()
        assert found.dtype == dtype and found.shape == reference.shape
        if name.endswith("c_attn.bias"):
            # adding one vector to all keys shifts each row of scores by a constant, which softmax
            # ignores: the key third has gradient 0, so its error is measured against the largest
            C = CONFIG.n_embd
            assert relative(found[C : 2 * C], reference[C : 2 * C], largest) < tolerance, name
            found, reference = (np.delete(a, np.s_[C : 2 * C]) for a in (found, reference))
        assert relative(found, reference) < tolerance, name
