"""The operations of networks, each compared with PyTorch's."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from oracle.drawing import case, filled, shape, t
from torch.nn.attention import SDPBackend, sdpa_kernel

from autograd import ops


@case("leaky_relu", "nonzero")
def leaky_relu(rng):
    slope = rng.random()
    return [shape(rng)], lambda x: ops.leaky_relu(x, slope), lambda x: F.leaky_relu(x, slope)


@case("elu", "nonzero")
def elu(rng):
    alpha = rng.random()
    return [shape(rng)], lambda x: ops.elu(x, alpha), lambda x: F.elu(x, alpha)


@case("softplus")
def softplus(rng):
    beta = 0.5 + rng.random()
    return [shape(rng)], lambda x: ops.softplus(x, beta), lambda x: F.softplus(x, beta)


@case("log_sigmoid")
def log_sigmoid(rng):
    return [shape(rng)], ops.log_sigmoid, F.logsigmoid


@case("gelu")
def gelu(rng):
    kind = ["none", "tanh"][rng.integers(2)]
    return [shape(rng)], lambda x: ops.gelu(x, kind), lambda x: F.gelu(x, approximate=kind)


@case("swiglu")
def swiglu(rng):
    return [shape(rng)] * 2, ops.swiglu, lambda a, b: F.silu(a) * b


@case("geglu")
def geglu(rng):
    kind = ["none", "tanh"][rng.integers(2)]
    return (
        [shape(rng)] * 2,
        lambda a, b: ops.geglu(a, b, kind),
        lambda a, b: F.gelu(a, approximate=kind) * b,
    )


@case("feed_forward")
def feed_forward(rng):
    kind, (n, k, m, c) = ["none", "tanh"][rng.integers(2)], rng.integers(1, 6, 4)
    return (
        [(2, n, k), (m, k), (m,), (c, m), (c,)],
        lambda *inputs: ops.feed_forward(*inputs, approximate=kind),
        lambda x, u, b, w, c: F.linear(F.gelu(F.linear(x, u, b), approximate=kind), w, c),
    )


for _name in ("softmax", "log_softmax"):

    @case(_name)
    def softmaxes(rng, name=_name):
        s = shape(rng, 1)
        axis = int(rng.integers(-len(s), len(s)))
        if rng.random() < 0.3:  # all axes as one, which PyTorch does not have
            return (
                [s],
                lambda x: getattr(ops, name)(x, None),
                lambda x: getattr(F, name)(x.reshape(-1), dim=0).reshape(x.shape),
            )
        return [s], lambda x: getattr(ops, name)(x, axis), lambda x: getattr(F, name)(x, dim=axis)


@case("layer_norm")
def layer_norm(rng):
    s = (*shape(rng, 0, 3), int(rng.integers(3, 6)))
    n = int(rng.integers(1, len(s) + 1)) if 0 not in s else 1
    axis, lengths = tuple(range(-n, 0)), s[-n:]
    affine = [lengths, lengths][: rng.integers(3)]
    return (
        [s, *affine],
        lambda x, *wb: ops.layer_norm(x, *wb, axis=axis),
        lambda x, *wb: F.layer_norm(x, lengths, *wb),
    )


@case("rms_norm")
def rms_norm(rng):
    s = (*shape(rng, 0, 3), int(rng.integers(3, 6)))
    affine = [s[-1:]] if rng.random() < 0.7 else []
    return [s, *affine], ops.rms_norm, lambda x, *w: F.rms_norm(x, s[-1:], *w, eps=1e-5)


@case("linear")
def linear(rng):
    *lead, k, m = (*shape(rng, 0, 2), *(int(i) for i in rng.integers(1, 5, 2)))
    bias = [(m,)] if rng.random() < 0.5 else []
    return [(*lead, k), (m, k), *bias], ops.linear, F.linear


@case("embedding")
def embedding(rng):
    ids = rng.integers(0, 5, shape(rng, 0, 3))
    padding = [None, 0, 3, -1][rng.integers(4)]
    return (
        [(5, 3)],
        lambda w: ops.embedding(w, ids, padding),
        lambda w: F.embedding(t(ids), w, padding),
    )


@case("dropout")
def dropout(rng):
    s, seed = shape(rng), int(rng.integers(100))
    keep = np.random.default_rng(seed).random(s, dtype=np.float32) >= 0.25

    def ours(x):
        return ops.dropout(x, 0.25, rng=np.random.default_rng(seed))

    return [s], ours, lambda x: x * torch.tensor(keep) / 0.75


@case("rope")
def rope(rng):
    T, D = int(rng.integers(1, 5)), int(rng.integers(2, 8))
    R = 2 * int(rng.integers(1, D // 2 + 1))
    angles = rng.standard_normal((T, R // 2))
    turns = torch.polar(torch.ones(T, R // 2, dtype=torch.float64), torch.tensor(angles))
    layout = ["half", "interleaved"][rng.integers(2)]

    def theirs(x):
        pairs = x[..., :R].unflatten(-1, (2, -1) if layout == "half" else (-1, 2))
        pairs = (pairs.mT if layout == "half" else pairs).contiguous()  # (..., T, R/2, 2)
        y = torch.view_as_real(torch.view_as_complex(pairs) * turns)
        y = (y.mT if layout == "half" else y).flatten(-2)
        return torch.cat((y, x[..., R:]), -1)

    ours = lambda x: ops.rope(x, np.cos(angles), np.sin(angles), layout)  # noqa: E731
    return [(*shape(rng, 0, 2), T, D)], ours, theirs


@case("scaled_dot_product_attention")
def scaled_dot_product_attention(rng):
    T, S, D, E = (int(i) for i in rng.integers(1, 5, 4))
    lead = filled(rng, 1, 2)
    shapes = [(*lead, T, D), (*lead, S, D), (*lead, S, E)]
    kind = rng.integers(5)
    if kind == 4:
        G, repeats = int(rng.integers(1, 3)), int(rng.integers(1, 4))
        shapes = [(*lead, G * repeats, T, D), (*lead, G, S, D), (*lead, G, S, E)]
        options = {"enable_gqa": True, "is_causal": bool(rng.integers(2))}
    elif kind == 0:
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


@case("grouped_query_attention")
def grouped_query_attention(rng):
    B, G, R, T, old, D, window = (int(i) for i in rng.integers(1, 4, 7))
    S, cap = T + old - 1, [None, 0.7][rng.integers(2)]
    starts = np.sort(rng.integers(0, S - T + 1 + np.arange(T), (B, T)))
    documents = starts if rng.integers(2) else None
    options = {"window": window, "softcap": cap, "scale": 0.6, "documents": documents}

    def theirs(q, k, v):
        k, v = (x.repeat_interleave(R, 1) for x in (k, v))
        s = 0.6 * q @ k.mT
        s = s if cap is None else cap * torch.tanh(s / cap)
        seen = torch.ones(T, S).tril(S - T) * torch.ones(T, S).triu(S - T - window + 1)
        if documents is not None:
            first = torch.tensor(documents)[:, None, :, None]
            seen = seen * (torch.arange(S) >= first)  # (B, 1, T, S)
        return torch.softmax(s + torch.log(seen).to(s), -1) @ v

    shapes = [(B, G * R, T, D), (B, G, S, D), (B, G, S, D)]
    return shapes, lambda *qkv: ops.grouped_query_attention(*qkv, **options), theirs


@case("causal_attention")
def causal_attention(rng):
    B, T, H, D = (int(i) for i in rng.integers(1, 5, 4))

    def theirs(qkv):
        q, k, v = qkv.reshape(B, T, 3, H, D).permute(2, 0, 3, 1, 4)
        future = torch.full((T, T), -math.inf).triu(1)  # written out: PyTorch's has no second order
        y = torch.softmax(q @ k.mT / math.sqrt(D) + future, -1) @ v
        return y.transpose(1, 2).reshape(B, T, H * D)

    return [(B, T, 3 * H * D)], lambda x: ops.causal_attention(x, H), theirs


@case("cross_entropy")
def cross_entropy(rng):
    N, V = 5, int(rng.integers(2, 6))
    targets, reduction = rng.integers(0, V, N), ["mean", "sum", "none"][rng.integers(3)]
    targets[rng.integers(N)] = -100
    options = {"reduction": reduction, "label_smoothing": [0.0, 0.1, 1.0][rng.integers(3)]}
    weight = rng.random(V) if rng.random() < 0.5 else None
    theirs = weight if weight is None else torch.tensor(weight)
    if rng.random() < 0.3:  # probabilities
        return (
            [(N, V), (N, V)],
            lambda x, q: ops.cross_entropy(x, q, weight=weight, **options),
            lambda x, q: F.cross_entropy(x, q, weight=theirs, **options),
        )
    return (
        [(N, V)],
        lambda x: ops.cross_entropy(x, targets, weight=weight, **options),
        lambda x: F.cross_entropy(x, t(targets), weight=theirs, **options),
    )


@case("linear_cross_entropy")
def linear_cross_entropy(rng):
    N, C, V = 5, int(rng.integers(1, 5)), int(rng.integers(2, 6))
    targets, reduction = rng.integers(0, V, N), ["mean", "sum", "none"][rng.integers(3)]
    targets[rng.integers(N)] = -100
    return (
        [(N, C), (V, C)],
        lambda h, w: ops.linear_cross_entropy(h, w, targets, reduction=reduction),
        lambda h, w: F.cross_entropy(h @ w.T, t(targets), reduction=reduction),
    )
