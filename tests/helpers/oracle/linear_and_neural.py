"""Linear algebra and the operations of networks, each beside PyTorch's."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from oracle.drawing import broadcastable, case, filled, shape, t
from torch.nn.attention import SDPBackend, sdpa_kernel

from autograd import ops


@case("matmul")
def _(rng):
    n, k, m = (int(i) for i in rng.integers(0, 5, 3))
    a, b = broadcastable(rng)
    pairs = [((k,), (k,)), ((k,), (*b, k, m)), ((*a, n, k), (k,)), ((*a, n, k), (*b, k, m))]
    return pairs[rng.integers(4)], ops.matmul, torch.matmul


@case("dot")
def _(rng):
    n, k, m = (int(i) for i in rng.integers(1, 5, 3))
    return [((k,), (k,)), ((n, k), (k, m)), ((n, k), (k,))][rng.integers(3)], ops.dot, torch.matmul


@case("inner")
def _(rng):
    n, m, k = (int(i) for i in rng.integers(0, 5, 3))
    shapes = [((n, k), (m, k)), ((k,), (2, m, k)), ((), (n, k))][rng.integers(3)]
    return shapes, ops.inner, torch.inner


@case("kron")
def _(rng):
    return [filled(rng, 0, 3), filled(rng, 0, 3)], ops.kron, torch.kron


@case("cross")
def _(rng):
    a, b = broadcastable(rng)
    return (
        [(*a, 3), (*b, 3)],
        ops.cross,
        lambda a, b: torch.linalg.cross(*torch.broadcast_tensors(a, b)),
    )


@case("diag")
def _(rng):
    k = int(rng.integers(-3, 4))
    return [shape(rng, 1, 2)], lambda x: ops.diag(x, k), lambda x: torch.diag(x, k)


@case("diagflat")
def _(rng):
    k = int(rng.integers(-3, 4))
    return [shape(rng)], lambda x: ops.diagflat(x, k), lambda x: torch.diagflat(x, k)


@case("outer")
def _(rng):
    return [shape(rng, 1, 1), shape(rng, 1, 1)], ops.outer, torch.outer


@case("tensordot")
def _(rng):
    n, axes = [
        (((2, 3, 4), (3, 4, 5)), 2),
        (((2, 3), (4,)), 0),
        (((2, 3, 4), (4, 2, 3)), ([1, 2], [2, 0])),
    ][rng.integers(3)]
    return n, lambda a, b: ops.tensordot(a, b, axes), lambda a, b: torch.tensordot(a, b, axes)


@case("einsum")
def _(rng):
    a, b = broadcastable(rng)
    subscripts, shapes = [
        ("ij,jk->ik", ((2, 3), (3, 4))),
        ("...ij,...kj->...ik", ((*a, 2, 3), (*b, 4, 3))),
        ("ii->i", ((3, 3),)),
        ("iijj->ji", ((3, 3, 2, 2),)),
        ("ij,kl->", ((2, 3), (4, 2))),
        ("abc,cd,d,bd->ad", ((2, 3, 4), (4, 2), (2,), (3, 2))),
        ("i,i,i->i", ((3,), (3,), (3,))),
        ("bthd,bshd->bhts", ((2, 3, 2, 4), (2, 5, 2, 4))),
    ][rng.integers(8)]
    return shapes, lambda *x: ops.einsum(subscripts, *x), lambda *x: torch.einsum(subscripts, *x)


@case("diagonal")
def _(rng):
    k = int(rng.integers(-2, 3))
    f = [lambda x, f=f: f(x, k, -1, 0) for f in (ops.diagonal, torch.diagonal)]
    return [(3, 2, 4)], *f


@case("trace")
def _(rng):
    n, m = (int(i) for i in rng.integers(0, 5, 2))
    return [(n, m)], ops.trace, torch.trace


for _name in ("tril", "triu"):

    @case(_name)
    def _(rng, name=_name):
        k, s = int(rng.integers(-2, 3)), shape(rng, 2)
        return [s], lambda x: getattr(ops, name)(x, k), lambda x: getattr(torch, name)(x, k)


for _name in ("inv", "det"):

    @case(f"linalg.{_name}", "invertible")
    def _(rng, name=_name):
        n = int(rng.integers(0, 5))
        return [(*shape(rng, 0, 2), n, n)], getattr(ops.linalg, name), getattr(torch.linalg, name)


@case("linalg.solve", "invertible")
def _(rng):
    a, b = broadcastable(rng)
    n, k = int(rng.integers(1, 4)), 5
    if rng.random() < 0.3:
        return [(n, n), (n,)], ops.linalg.solve, torch.linalg.solve
    return [(*a, n, n), (*b, n, k)], ops.linalg.solve, torch.linalg.solve


@case("linalg.cholesky", "invertible")
def _(rng):
    n = int(rng.integers(1, 5))
    return (
        [(*shape(rng, 0, 1), n, n)],
        lambda x: ops.linalg.cholesky(x @ ops.swapaxes(x, -1, -2)),
        lambda x: torch.linalg.cholesky(x @ x.mT),
    )


@case("linalg.norm", "distinct")
def _(rng):
    keepdims = bool(rng.integers(2))
    ord, axis = [
        (None, None), (2, -1), (1, 0), (3.5, 1), (math.inf, -1), (-math.inf, 0),
        ("fro", (0, 1)), (1, (0, 1)), (-1, (1, 0)), (math.inf, (1, 2)), (-math.inf, (-1, 0)),
    ][rng.integers(11)]  # fmt: skip
    return (
        [(2, 3, 4)],
        lambda x: ops.linalg.norm(x + 0.03, ord, axis, keepdims),
        lambda x: torch.linalg.norm(x + 0.03, ord, axis, keepdims),
    )


@case("gelu")
def _(rng):
    kind = ["none", "tanh"][rng.integers(2)]
    return [shape(rng)], lambda x: ops.gelu(x, kind), lambda x: F.gelu(x, approximate=kind)


@case("gelu_linear")
def _(rng):
    kind, (n, m, c) = ["none", "tanh"][rng.integers(2)], rng.integers(1, 6, 3)
    return (
        [(2, n, m), (c, m), (m,), (c,)],
        lambda x, w, s, b: ops.gelu_linear(x, w, s, b, kind),
        lambda x, w, s, b: F.linear(F.gelu(x + s, approximate=kind), w, b),
    )


for _name in ("softmax", "log_softmax"):

    @case(_name)
    def _(rng, name=_name):
        s = shape(rng, 1)
        axis = int(rng.integers(-len(s), len(s)))
        return [s], lambda x: getattr(ops, name)(x, axis), lambda x: getattr(F, name)(x, dim=axis)


@case("layer_norm")
def _(rng):
    s = (*shape(rng, 0, 3), int(rng.integers(3, 6)))
    return [s, s[-1:], s[-1:]], ops.layer_norm, lambda x, w, b: F.layer_norm(x, s[-1:], w, b)


@case("rms_norm")
def _(rng):
    s = (*shape(rng, 0, 3), int(rng.integers(3, 6)))
    return [s, s[-1:]], ops.rms_norm, lambda x, w: F.rms_norm(x, s[-1:], w, eps=1e-5)


@case("linear")
def _(rng):
    *lead, k, m = (*shape(rng, 0, 2), *(int(i) for i in rng.integers(1, 5, 2)))
    bias = [(m,)] if rng.random() < 0.5 else []
    return [(*lead, k), (m, k), *bias], ops.linear, F.linear


@case("embedding")
def _(rng):
    ids = rng.integers(0, 5, shape(rng, 0, 3))
    return [(5, 3)], lambda w: ops.embedding(w, ids), lambda w: F.embedding(t(ids), w)


@case("dropout")
def _(rng):
    s, seed = shape(rng), int(rng.integers(100))
    keep = np.random.default_rng(seed).random(s, dtype=np.float32) >= 0.25

    def ours(x):
        return ops.dropout(x, 0.25, rng=np.random.default_rng(seed))

    return [s], ours, lambda x: x * torch.tensor(keep) / 0.75


@case("scaled_dot_product_attention")
def _(rng):
    T, S, D, E = (int(i) for i in rng.integers(1, 5, 4))
    lead = filled(rng, 1, 2)
    shapes = [(*lead, T, D), (*lead, S, D), (*lead, S, E)]
    kind = rng.integers(4)
    if kind == 0:
        options = {"scale": 0.3}
    elif kind == 1:
        options = {"is_causal": True}
    elif kind == 2:
        options = {"attn_mask": rng.random((T, S)) < 0.7}
    else:
        shapes.append((T, S))
        options = {}
    theirs = {k: torch.tensor(v) if k == "attn_mask" else v for k, v in options.items()}

    def oracle(*x):
        with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
            return F.scaled_dot_product_attention(*x, **theirs)

    return shapes, lambda *x: ops.scaled_dot_product_attention(*x, **options), oracle


@case("causal_attention")
def _(rng):
    B, T, H, D = (int(i) for i in rng.integers(1, 5, 4))

    def theirs(qkv):
        q, k, v = qkv.reshape(B, T, 3, H, D).permute(2, 0, 3, 1, 4)
        future = torch.full((T, T), -math.inf).triu(1)  # spelled out: theirs has no second order
        y = torch.softmax(q @ k.mT / math.sqrt(D) + future, -1) @ v
        return y.transpose(1, 2).reshape(B, T, H * D)

    return [(B, T, 3 * H * D)], lambda x: ops.causal_attention(x, H), theirs


@case("cross_entropy")
def _(rng):
    N, V = 5, int(rng.integers(2, 6))
    targets, reduction = rng.integers(0, V, N), ["mean", "sum", "none"][rng.integers(3)]
    targets[rng.integers(N)] = -100
    return (
        [(N, V)],
        lambda x: ops.cross_entropy(x, targets, reduction=reduction),
        lambda x: F.cross_entropy(x, t(targets), reduction=reduction),
    )


@case("linear_cross_entropy")
def _(rng):
    N, C, V = 5, int(rng.integers(1, 5)), int(rng.integers(2, 6))
    targets, reduction = rng.integers(0, V, N), ["mean", "sum", "none"][rng.integers(3)]
    targets[rng.integers(N)] = -100
    return (
        [(N, C), (V, C)],
        lambda h, w: ops.linear_cross_entropy(h, w, targets, reduction=reduction),
        lambda h, w: F.cross_entropy(h @ w.T, t(targets), reduction=reduction),
    )
