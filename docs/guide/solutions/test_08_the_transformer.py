"""Solutions of chapter 8: RMS norm, what each part says, rows that learn nothing."""

import numpy as np
from attention import causal_self_attention, part
from check import check
from engine import Tensor, mean, total, transpose
from model import GPT, Config, block, cross_entropy, initial, layer_norm, mlp
from train import AdamW


def rms_norm(x, weight, eps=1e-5):
    """y = x / sqrt(mean(x^2) + eps) * weight: the scale is taken away, the mean is not."""
    return x * (mean(x * x) + eps) ** -0.5 * weight


def test_exercise_8_1():
    rng = np.random.default_rng(0)
    x, w, g = rng.normal(size=(3, 6)), rng.normal(size=6), rng.normal(size=(3, 6))
    check(rms_norm, x, w)  # the engine's gradient against differences

    # By hand: x_j is the numerator of its own output, and moves the scale of all outputs.
    # With n = x r and h = g w:  g_x = r (h - n mean(h n)). The mean's term is gone.
    r = ((x * x).mean(-1, keepdims=True) + 1e-5) ** -0.5
    n, h = x * r, g * w
    by_hand = r * (h - n * (h * n).mean(-1, keepdims=True))
    tensor = Tensor(x, requires_grad=True)
    total(rms_norm(tensor, Tensor(w)) * g).backward()
    assert np.allclose(by_hand, tensor.grad, rtol=1e-12, atol=1e-14)

    # doubling the input changes nothing (but for eps), shifting it does
    same = rms_norm(Tensor(2 * x), Tensor(w)).data
    assert np.allclose(same, rms_norm(Tensor(x), Tensor(w)).data, rtol=1e-4)
    assert not np.allclose(rms_norm(Tensor(x + 1), Tensor(w)).data, same, rtol=1e-2)


def contributions(model, ids, token):
    """Name -> what this part adds to the logit of `token` after the last of ids (1, T)."""
    p, T = model.parameters, ids.shape[1]
    terms = {"embedding": p["wte.weight"][ids], "positions": p["wpe.weight"][:T]}
    x = terms["embedding"] + terms["positions"]
    for i in range(model.config.n_layer):
        h = part(p, f"h.{i}.")
        y = layer_norm(x, part(h, "ln_1."))
        a = causal_self_attention(y, part(h, "attn."), model.config.n_head)
        x = x + a
        m = mlp(layer_norm(x, part(h, "ln_2.")), part(h, "mlp."))
        x = x + m
        terms[f"attention {i}"], terms[f"mlp {i}"] = a, m

    # the last norm is linear if its scale r is held fixed: it takes off the mean, then scales
    last = x.data[0, -1]
    r = (last.var() + 1e-5) ** -0.5
    row = p["wte.weight"].data[token]
    weight, bias = p["ln_f.weight"].data, p["ln_f.bias"].data
    found = {}
    for name, term in terms.items():
        v = np.broadcast_to(term.data, (1, T, len(row)))[0, -1]
        found[name] = float(((v - v.mean()) * r * weight) @ row)
    found["bias"] = float(bias @ row)
    return found


def test_exercise_8_2():
    config = Config(30, block_size=16, n_layer=3, n_head=2, n_embd=16)
    rng = np.random.default_rng(0)
    model = GPT(config, initial(config, rng, np.float64))
    ids = rng.integers(0, 30, size=(1, 9))
    found = contributions(model, ids, token=7)
    assert len(found) == 2 + 2 * 3 + 1
    assert np.isclose(sum(found.values()), model(ids).data[0, -1, 7], rtol=1e-12)
    # no part is superfluous
    assert all(abs(value) > 1e-4 for name, value in found.items() if name != "bias")


def test_exercise_8_3():
    config = Config(30, block_size=16, n_layer=1, n_head=2, n_embd=16)
    rng = np.random.default_rng(0)
    arrays = initial(config, rng, np.float64)
    p = {name: Tensor(a, requires_grad=True) for name, a in arrays.items()}
    p["head"] = Tensor(rng.normal(0, 0.25, size=(30, 16)), requires_grad=True)
    before = {name: p[name].data.copy() for name in ("wte.weight", "head")}

    def logits(ids):
        x = p["wte.weight"][ids] + p["wpe.weight"][: ids.shape[1]]
        x = layer_norm(block(x, part(p, "h.0."), 2), part(p, "ln_f."))
        return x @ transpose(p["head"], (1, 0))

    optimizer = AdamW(p, weight_decay=0)
    for _ in range(3):
        ids = rng.integers(0, 20, size=(4, 11))  # tokens 20 to 29 never occur
        cross_entropy(logits(ids[:, :-1]), ids[:, 1:]).backward()
        optimizer.step(1e-2)

    moved = {name: np.any(p[name].data != before[name], axis=1) for name in before}
    # the way in: only rows that were read have a gradient
    assert moved["wte.weight"][:20].all() and not moved["wte.weight"][20:].any()
    # the way out: every row has one, as every logit has a share in the softmax. Tokens that
    # never came are pushed away.
    assert moved["head"].all()
