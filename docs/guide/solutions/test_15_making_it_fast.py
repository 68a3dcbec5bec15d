"""Solutions of chapter 15: an MLP in one operation, AdamW in place, recomputation."""

import tracemalloc

import numpy as np
from check import check
from engine import Tensor, no_grad, tanh, total
from model import mlp
from train import AdamW

C = (2 / np.pi) ** 0.5


def fused_mlp(x, w1, b1, w2, b2):
    """GELU(x w1 + b1) w2 + b2: keeps x and h = x w1 + b1, and computes GELU again."""
    h = x.data @ w1.data + b1.data

    def gelu(h):
        t = np.tanh(C * (h + 0.044715 * h * h * h))
        return 0.5 * h * (1 + t), t

    def rule(g):
        a, t = gelu(h)
        rows = lambda v: v.reshape(-1, v.shape[-1])  # (N, features)
        g_a = g @ w2.data.T
        g_h = g_a * (0.5 * (1 + t) + 0.5 * h * (1 - t * t) * C * (1 + 3 * 0.044715 * h * h))
        return (
            g_h @ w1.data.T,
            rows(x.data).T @ rows(g_h), rows(g_h).sum(0),
            rows(a).T @ rows(g), rows(g).sum(0),
        )  # fmt: skip

    return Tensor(gelu(h)[0] @ w2.data + b2.data, (x, w1, b1, w2, b2), rule)


def test_exercise_15_1():
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in ((2, 3, 4), (4, 8), (8,), (8, 4), (4,))]
    check(fused_mlp, *arrays)
    x, w1, b1, w2, b2 = (Tensor(a) for a in arrays)
    p = {"c_fc.weight": w1, "c_fc.bias": b1, "c_proj.weight": w2, "c_proj.bias": b2}
    assert np.allclose(fused_mlp(x, w1, b1, w2, b2).data, mlp(x, p).data, rtol=1e-12)


class InPlace(AdamW):
    """The same steps, written into the arrays that are there."""

    def step(self, lr, scale=1.0):
        (beta1, beta2), self.t = self.betas, self.t + 1
        for name, p in self.parameters.items():
            g, m, v = p.grad, self.m[name], self.v[name]
            g *= scale  # ours: the engine made it for this parameter alone
            m *= beta1
            v *= beta2
            buffer = g * g  # the only new array
            buffer *= 1 - beta2
            v += buffer
            g *= 1 - beta1
            m += g
            np.divide(v, 1 - beta2**self.t, out=buffer)
            np.sqrt(buffer, out=buffer)
            buffer += self.eps
            np.divide(m, buffer, out=buffer)
            buffer *= lr / (1 - beta1**self.t)
            if p.data.ndim == 2:
                p.data *= 1 - lr * self.weight_decay
            p.data -= buffer
            p.grad = None


def test_exercise_15_2():
    rng = np.random.default_rng(0)
    start = {"w": rng.normal(size=(300, 200)), "b": rng.normal(size=200)}
    gradients = [{n: rng.normal(size=a.shape) for n, a in start.items()} for _ in range(5)]
    results, peaks = [], []
    for optimizer_class in (AdamW, InPlace):
        p = {n: Tensor(a.copy(), requires_grad=True) for n, a in start.items()}
        optimizer = optimizer_class(p)
        for step in gradients:
            for name, g in step.items():
                p[name].grad = g.copy()
            tracemalloc.start()
            optimizer.step(0.01, scale=0.5)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        results.append(p)
    for name in start:
        assert np.allclose(results[0][name].data, results[1][name].data, rtol=1e-12)
    one = start["w"].nbytes
    assert max(peaks[5:]) < 1.2 * one < 4 * one < min(peaks[:5])


def recompute(f, x):
    """f(x), of which only x is kept; its insides are computed again when the gradient comes."""
    with no_grad():
        y = f(x)

    def rule(g):
        again = Tensor(x.data, requires_grad=True)
        total(f(again) * g).backward()  # g reaches f(again) unchanged: d sum(y g) / dy = g
        return (again.grad,)

    return Tensor(y.data, (x,), rule)


def test_exercise_15_3():
    rng = np.random.default_rng(0)
    data, g = rng.normal(size=(100, 50)), rng.normal(size=(100, 50))

    def deep(x):
        for _ in range(10):
            x = tanh(x * 1.1 + 0.1)
        return x

    found, held = [], []
    for f in (deep, lambda x: recompute(deep, x)):
        x = Tensor(data.copy(), requires_grad=True)
        tracemalloc.start()
        y = f(x)
        held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        total(y * g).backward()
        found.append(x.grad)
    assert np.array_equal(*found)
    assert held[1] < held[0] / 10
