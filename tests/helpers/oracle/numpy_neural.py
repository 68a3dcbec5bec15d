"""Linear algebra and the operations of networks with their formulas: more lines of the table."""

import math

import numpy as np
from oracle import arguments as a, formulas
from oracle.arrays import pick, shape
from oracle.numpy_table import FLOATS, entry, x

from autograd import ops

# --- Number by number ----------------------------------------------------------------------------

for _name, _formula in {
    "log_sigmoid": lambda x: -np.log1p(np.exp(-x)),
    "softplus": lambda x, beta=1.0: np.log1p(np.exp(beta * x)) / beta,
    "elu": lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x)),
    "leaky_relu": lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
}.items():
    _options = {"softplus": "beta", "elu": "alpha", "leaky_relu": "negative_slope"}.get(_name)
    _options = {_options: a.one_of(0.5, 2, np.float32(0.25))} if _options else {}
    entry(_name, x, numpy=formulas.of_floats(_formula), **_options)


def _gated(activation):
    def formula(gate, up, **options):
        if np.shape(gate) != np.shape(up):
            raise ValueError
        product = activation(np.asarray(gate, "f8"), **options) * np.asarray(up)
        return product.astype(np.result_type(_type(gate, up), np.float16))

    return formula


def _same(rng, first):
    return first if rng.random() < 0.9 else shape(rng)


entry("swiglu", x, _same, dtypes=FLOATS, coarse=True, numpy=_gated(formulas.silu))
entry("geglu", x, _same, dtypes=FLOATS, coarse=True,
      numpy=_gated(lambda x, approximate="tanh": formulas.gelu(x, approximate)),
      approximate=a.one_of("none", "tanh", "fast"))  # fmt: skip


def _dropout(x, p, seed):
    keep = np.random.default_rng(seed).random(np.shape(x), dtype=np.float32) >= p
    return np.asarray(x) * keep / (1 - p)


entry("dropout", x, dtypes=FLOATS, numpy=_dropout,
      ours=lambda x, p, seed: ops.dropout(x, p, rng=np.random.default_rng(seed)),
      p=a.one_of(0.25, 0.5), seed=a.one_of(1, 2, 3))  # fmt: skip

# --- Rows ----------------------------------------------------------------------------------------


def _rows(rng, first):
    return shape(rng, 1, 3, (0, 2, 3, 4))


def _last(rng, first):
    """The length of the first operand's last axis, or rarely another."""
    return first[-1:] if rng.random() < 0.9 else shape(rng, 0, 2)


def _type(*xs):
    return np.result_type(*map(np.asarray, xs))


def _check(x, *others):
    if not all(np.shape(w) == np.shape(x)[-1:] for w in others):
        raise ValueError


def _layer_norm(x, w, b, eps=1e-5):
    _check(x, w, b)
    wide = np.asarray(x).astype("f8")
    mean, var = (f(wide, -1, keepdims=True) for f in (np.mean, np.var))
    return np.asarray((wide - mean) / np.sqrt(var + eps) * w + b).astype(_type(x, w, b))


def _rms_norm(x, w, eps=1e-5):
    _check(x, w)
    wide = np.asarray(x).astype("f8")
    y = wide / np.sqrt(np.mean(wide * wide, -1, keepdims=True) + eps) * w
    return np.asarray(y).astype(_type(x, w))


EXACT = np.array(["d", "d", "f"])
entry("layer_norm", _rows, _last, _last, dtypes=EXACT, numpy=_layer_norm, coarse=True,
      ours=lambda x, w, b, eps=1e-5: ops.layer_norm(x, w, b, eps),
      eps=a.one_of(1e-5, 0.5))  # fmt: skip
entry("rms_norm", _rows, _last, dtypes=EXACT, numpy=_rms_norm, coarse=True,
      ours=lambda x, w, eps=1e-5: ops.rms_norm(x, w, eps), eps=a.one_of(1e-5, 0.5))  # fmt: skip

# --- Matrices ------------------------------------------------------------------------------------


def _weight(rng, first):
    return (3, *first[-1:]) if rng.random() < 0.9 else shape(rng, 1, 3)


def _linear(x, w, b):
    if np.ndim(w) != 2 or np.shape(b) != np.shape(w)[:1]:
        raise ValueError
    x, w, b = (np.asarray(v, _type(x, w, b)) for v in (x, w, b))
    return x @ w.T + b


def _bias(rng, first):
    return (3,) if rng.random() < 0.9 else shape(rng, 0, 2)


entry("linear", _rows, _weight, _bias, coarse=True, numpy=_linear,
      ours=lambda x, w, b: ops.linear(x, w, b))  # fmt: skip


def _feed_forward(x, up_weight, up_bias, down_weight, down_bias, approximate="tanh"):
    dtype = _type(x, up_weight, up_bias, down_weight, down_bias)
    hidden = formulas.gelu(_linear(x, up_weight, up_bias), approximate)
    return _linear(hidden, down_weight, down_bias).astype(dtype)


def _down_weight(rng, first):
    return (2, 3) if rng.random() < 0.9 else shape(rng, 1, 3)


def _down_bias(rng, first):
    return (2,) if rng.random() < 0.9 else shape(rng, 0, 2)


entry("feed_forward", _rows, _weight, _bias, _down_weight, _down_bias, dtypes=EXACT,
      numpy=_feed_forward, coarse=True, approximate=a.one_of("none", "tanh", "fast"))  # fmt: skip


def _table(rng, first):
    return (4, 3) if rng.random() < 0.9 else shape(rng)


def _embedding(weight, ids):
    ids = np.asarray(ids)
    if ids.dtype.kind not in "iu" or (ids < 0).any() or np.ndim(weight) != 2:
        raise IndexError
    return np.asarray(weight)[ids]


def _ids(rng, first):
    wanted = tuple(rng.integers(0, 4, rng.integers(0, 3)))
    if rng.random() < 0.1:
        return pick(rng, [0.5, [0.0], "0", [True], [-1, 0], [7]])
    return rng.integers(0, 4, wanted).astype(pick(rng, ["i8", "i8", "u1"]))


entry("embedding", _table, numpy=_embedding, ids=_ids)

# --- Losses --------------------------------------------------------------------------------------


def _logits(rng, first):
    return (*shape(rng, 0, 2), int(rng.integers(1, 5)))


def _targets(rng, first):
    """A class for every row; some are ignored, and sometimes one does not exist."""
    found = rng.integers(0, first[-1] + (rng.random() < 0.1), first[:-1])
    return np.where(rng.random(first[:-1]) < 0.2, -100, found)


def _cross_entropy(logits, targets, reduction="mean"):
    logits = np.asarray(logits)
    counts = targets != -100
    if ((targets < 0) & counts).any() or (targets >= logits.shape[-1]).any():
        raise IndexError
    p = formulas.log_softmax(logits.astype("f8"), -1)
    found = np.take_along_axis(p, np.where(counts, targets, 0)[..., None], -1)[..., 0]
    losses = np.where(counts, -found, 0)
    total = {"mean": lambda: losses.sum() / max(1, counts.sum()), "sum": losses.sum}
    return np.asarray(total.get(reduction, lambda: losses)()).astype(logits.dtype)


entry("cross_entropy", _logits, dtypes=EXACT, numpy=_cross_entropy, targets=_targets,
      ours=lambda x, targets, reduction="mean": ops.cross_entropy(x, targets, reduction=reduction),
      reduction=a.one_of("mean", "sum", "none"))  # fmt: skip
entry("linear_cross_entropy", lambda rng, _: (*shape(rng, 0, 2), 2), lambda rng, _: (3, 2),
      dtypes=EXACT, coarse=True, targets=lambda rng, s: _targets(rng, (*s[:-1], 3)),
      numpy=lambda h, w, targets: _cross_entropy(np.asarray(h) @ np.asarray(w).T, targets),
      )  # fmt: skip

# --- Rotary embedding ----------------------------------------------------------------------------

ANGLES = np.linspace(-3, 3, 6).reshape(3, 2)


def _rope(x, layout="half"):
    x = np.asarray(x)
    if x.shape[-2:-1] != (3,) or x.shape[-1] < 4 or layout == "whole":
        raise ValueError
    a, b = ([0, 1], [2, 3]) if layout == "half" else ([0, 2], [1, 3])
    y = x.astype(np.result_type(x, np.float16))
    turned = (x[..., a] + 1j * x[..., b]) * np.exp(1j * ANGLES)
    y[..., a], y[..., b] = turned.real, turned.imag
    return y


entry("rope", lambda rng, _: (*shape(rng, 0, 2), 3, int(rng.integers(3, 7))), dtypes=EXACT,
      numpy=_rope, layout=a.one_of("half", "interleaved", "whole"),
      ours=lambda x, layout="half": ops.rope(x, np.cos(ANGLES), np.sin(ANGLES), layout),
      )  # fmt: skip

# --- Attention -----------------------------------------------------------------------------------


def _attention(q, k, v, is_causal=False, scale=None, attn_mask=None):
    if is_causal and attn_mask is not None:
        raise ValueError
    q, k, v = map(np.asarray, (q, k, v))
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1]:
        raise ValueError
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    s = (q @ np.swapaxes(k, -1, -2)).astype("f8") * scale
    allowed = np.tri(*s.shape[-2:], dtype=bool) if is_causal else attn_mask
    e = np.exp(s) * (1 if allowed is None else allowed)
    total = e.sum(-1, keepdims=True)
    return ((e / np.where(total == 0, 1, total)) @ v).astype(np.result_type(q, k, v))


def _heads(length):
    def draw(rng, first):
        lead = (1, *(first[1:-2] if first else (2,)))[: rng.integers(0, 3)]
        return (*lead, length, 2) if rng.random() < 0.95 else shape(rng)

    return draw


entry("scaled_dot_product_attention", _heads(3), _heads(4), _heads(4), dtypes=EXACT,
      numpy=_attention, coarse=True, is_causal=a.flag, scale=a.one_of(0.5, 1, np.float64(2)),
      attn_mask=a.one_of(None, None, None, np.tri(3, 4, 1, dtype=bool)))  # fmt: skip


def _grouped_query_attention(q, k, v, window=None):
    q, k, v = map(np.asarray, (q, k, v))
    if isinstance(window, (float, list, str)) or k.shape != v.shape or window == 0:
        raise ValueError
    if q.ndim != 4 or k.ndim != 4 or q.shape[0] != k.shape[0]:
        raise ValueError
    (_, H, T, _), (_, G, S, _) = q.shape, k.shape
    if T > S or G == 0 or H % G:
        raise ValueError
    k, v = (np.repeat(a, H // G, axis=1) for a in (k, v))
    seen = np.tri(T, S, S - T, dtype=bool)
    if window is not None:
        seen &= ~np.tri(T, S, S - T - window, dtype=bool)
    return _attention(q, k, v, attn_mask=seen)


def _keys(rng, first):
    lead = first[:1] if len(first) == 4 else (1,)
    return (*lead, 2, 3, 2) if rng.random() < 0.95 else shape(rng)


entry("grouped_query_attention",
      lambda rng, _: (int(rng.integers(0, 3)), int(rng.integers(1, 5)), int(rng.integers(0, 5)), 2),
      _keys, _keys, dtypes=EXACT, numpy=_grouped_query_attention, coarse=True,
      window=a.one_of(None, 1, np.int64(2), 9, 0, 2.0))  # fmt: skip


def _causal_attention(qkv, n_head):
    qkv = np.asarray(qkv)
    if isinstance(n_head, (float, list, str)) or n_head < 1 or qkv.shape[-1] % (3 * n_head):
        raise ValueError
    B, T, C = qkv.shape
    parts = np.moveaxis(qkv.reshape(B, T, 3, n_head, C // 3 // n_head), (2, 3), (0, 2))
    return np.swapaxes(_attention(*parts, is_causal=True), 1, 2).reshape(B, T, C // 3)


entry("causal_attention", lambda rng, _: (*shape(rng, 2, 2, (1, 2, 3)), pick(rng, [12, 12, 6, 4])),
      dtypes=EXACT, numpy=_causal_attention, n_head=a.integer(0, 2))  # fmt: skip

# --- numpy.linalg --------------------------------------------------------------------------------


def _square(rng, first):
    n = int(rng.integers(0, 4))
    return (*shape(rng, 0, 1), n, n) if rng.random() < 0.9 else shape(rng)


def _far_from_singular(f):
    """f of x + 5 I."""

    def call(x, *others):
        n = np.shape(x if isinstance(x, list) else x.data if hasattr(x, "data") else x)[-1:]
        return f(x + 5 * np.eye(*n, dtype=getattr(x, "dtype", float)) if n else x, *others)

    return call


SOLVABLE = np.array(["d", "d", "f"])
for _name in "inv det".split():
    entry(f"linalg.{_name}", _square, dtypes=SOLVABLE,
          numpy=_far_from_singular(getattr(np.linalg, _name)),
          ours=_far_from_singular(getattr(ops.linalg, _name)))  # fmt: skip


def _system(rng, first):
    """Right-hand sides, as vectors and as matrices, that fit or do not."""
    n = first[-1:] if first else (2,)
    return pick(rng, [n, (*first[:-2], *n, 2), (*n, 1), shape(rng)])


entry("linalg.solve", _square, _system, dtypes=SOLVABLE, coarse=True,
      numpy=_far_from_singular(np.linalg.solve),
      ours=_far_from_singular(ops.linalg.solve))  # fmt: skip


def _gram(library, x):
    """x x^T + I, which is positive definite."""
    return library.matmul(x, library.swapaxes(x, -1, -2)) + np.eye(3)


entry("linalg.cholesky", lambda rng, _: (*shape(rng, 0, 1), 3, int(rng.integers(1, 4))),
      dtypes=np.array(["d", "f"]), coarse=True,
      numpy=lambda x: np.linalg.cholesky(_gram(np, np.asarray(x))),
      ours=lambda x: ops.linalg.cholesky(_gram(ops, x)))  # fmt: skip
entry("linalg.norm", lambda rng, _: shape(rng, 0, 3, (1, 2, 3)), dtypes=FLOATS, kinks="ties",
      coarse=True, axis=a.axes_or_none, keepdims=a.flag,
      ord=a.one_of(None, 1, 2, 3.5, np.inf, -np.inf, "fro", -1, "x"))  # fmt: skip


def _matrices(rng, first):
    return (*shape(rng, 0, 1), *rng.integers(1, 4, 2)) if rng.random() < 0.9 else shape(rng, 0, 1)


def _symmetric(f, swapaxes):
    """f of x + x^T, so that every change is symmetric."""
    return lambda x, **options: f(x + swapaxes(x, -1, -2), **options)


entry("linalg.slogdet", _square, dtypes=SOLVABLE,
      numpy=_far_from_singular(np.linalg.slogdet),
      ours=_far_from_singular(ops.linalg.slogdet))  # fmt: skip
entry("linalg.eigh", lambda rng, _: (*shape(rng, 0, 1), *[int(rng.integers(0, 4))] * 2),
      dtypes=SOLVABLE, UPLO=a.one_of("L", "U"),
      numpy=lambda x, UPLO="L": _symmetric(np.linalg.eigh, np.swapaxes)(np.asarray(x), UPLO=UPLO),
      ours=lambda x, UPLO="L": _symmetric(ops.linalg.eigh, ops.swapaxes)(
          ops.asarray(x), UPLO=UPLO))  # fmt: skip
entry("linalg.svd", _matrices, dtypes=SOLVABLE, kinks="ties", compute_uv=a.flag,
      numpy=lambda x, compute_uv=True: np.linalg.svd(x, full_matrices=False, compute_uv=compute_uv),
      )  # fmt: skip
entry("linalg.qr", _matrices, dtypes=SOLVABLE, kinks="ties")
entry("linalg.pinv", _matrices, dtypes=SOLVABLE, kinks="ties")
entry("linalg.matrix_norm", _matrices, dtypes=SOLVABLE, coarse=True, kinks="ties", keepdims=a.flag,
      ord=a.one_of("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf, "x"))  # fmt: skip
entry("linalg.vector_norm", lambda rng, _: shape(rng, 0, 3, (1, 2, 3)), dtypes=FLOATS,
      coarse=True, kinks="ties", axis=a.axes_or_none, keepdims=a.flag,
      ord=a.one_of(2, 1, 3.5, np.inf, -np.inf, "x"))  # fmt: skip
