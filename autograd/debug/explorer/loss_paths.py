"""The gradient of a cross-entropy by two paths, with the same numbers.

The loss of a row is  -sum_j y_j log p_j  with  p = softmax(x), weighted by r. Its gradient is

    by the chain rule, one operation at a time:  J g_p  with  g_p = -r y / p,  J = diag(p) - p p^T
    after simplifying by hand:                   r (p - y)

The second is what the operations compute that do all in one: ``CrossEntropy``,
``LinearCrossEntropy``, ``SoftCrossEntropy`` and ``LogSoftmax``. The first is what a graph computes
in which a ``Log`` follows a ``Softmax``. For each of these calls both are computed here, one by the
engine in the graph itself, the other by the engine from the same logits.

In float32 the paths part where the logits are large: exp(x) overflows, or p is 0, log p is minus
infinity and 0 times infinity is NaN. ``scaled_paths`` computes that for a few scales of the logits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd import ops
from autograd._tensor import Tensor
from autograd.backward import grad
from autograd.debug.explorer.tape import Call, Tape, Value
from autograd.device import numpy_namespace as xp
from autograd.grad_mode import enable_grad
from autograd.kernels.cross_entropy import reference as cross_entropy
from autograd.kernels.dispatch import use_kernels
from autograd.ops.exponential import Log
from autograd.ops.index import GetItem, TakeAlongAxis
from autograd.ops.loss import CrossEntropy, LinearCrossEntropy, SoftCrossEntropy
from autograd.ops.normalization import LogSoftmax, Softmax
from autograd.ops.shape import Reshape

ELEMENTS = 8192
"""A page has the rows of a call up to this many logits, and of wider rows ``COLUMNS`` each."""
COLUMNS = 48
ROWS = 4
SCALES = (1.0, 10.0, 100.0, 1000.0, 10000.0)


@dataclass(frozen=True)
class Paths:
    """One call: logits x, probabilities p, what they should have been y, the rows' weights r.

    All are (N, V), r is (N,). ``direct`` is r (p - y), ``separate`` the gradient through softmax
    and logarithm. ``fused`` says which of them the graph computed.
    """

    call: Call
    logits: Value | None
    fused: bool
    x: np.ndarray
    p: np.ndarray
    y: np.ndarray
    r: np.ndarray
    direct: np.ndarray
    separate: np.ndarray


def part(tape: Tape, builder: Any) -> dict[str, Any] | None:
    """The calls that are losses, as data for the page."""
    found = [_described(paths, builder) for call in tape.calls if (paths := paths_of(call, tape))]
    return {"scales": list(SCALES), "calls": found} if found else None


def paths_of(call: Call, tape: Tape) -> Paths | None:
    """Both paths of a call; None if it is no such loss, or got no gradient."""
    op, out = call.op, call.out
    if out.gradient is None or any(a.array is None for a in call.args if isinstance(a, Value)):
        return None
    arrays = [a.array if isinstance(a, Value) else a for a in call.args]
    g = out.gradient
    if isinstance(op, (CrossEntropy, LinearCrossEntropy)):
        targets, ignored, _ = op.options
        x = np.where((targets != ignored)[:, None], arrays[0], 0)
        if isinstance(op, LinearCrossEntropy):
            x = x @ arrays[1].T
        return _fused(call, x, _pulls(op, x, g))
    if isinstance(op, SoftCrossEntropy):
        return _fused(call, arrays[0], g[:, None] * arrays[1])
    if isinstance(op, LogSoftmax):
        return _fused(call, _rows(arrays[0]), -_rows(g))
    if isinstance(op, Softmax) and _meets_a_logarithm(out, tape):
        return _separate(call, _rows(arrays[0]), _rows(out.array), _rows(g))
    return None


def _rows(a):
    return a.reshape(-1, a.shape[-1])


def _pulls(op, x, g):
    """q = r y (N, V): how much each class of each row is pulled up, of the logits' type."""
    targets, ignored, reduction = op.options
    counts = targets != ignored
    weight = getattr(op, "weight", None)
    smoothing = getattr(op, "label_smoothing", 0.0)
    if reduction == "mean":
        g = g / cross_entropy.divisor(targets, counts, weight)
    rows = np.where(counts, g, 0)[:, None]
    hit = np.arange(x.shape[1]) == targets[:, None]
    each = 1.0 if weight is None else weight
    q = (1 - smoothing) * hit * each + smoothing / x.shape[1] * each
    return (rows * q).astype(x.dtype)


def _fused(call, x, q):
    """The paths of a call that does all in one: its own gradient, and the separate one."""
    if x.size == 0:
        return None
    r, y = _weights(q)
    p = _softmax(x)
    value = call.args[0]
    own = next((c.array for c in value.contributions if c.call is call and c.input == 0), None)
    if own is None or own.size != x.size or isinstance(call.op, LinearCrossEntropy):
        own = r[:, None] * (p - y)
        value = value if own is not None and value.shape == x.shape else None
    return Paths(call, value, True, x, p, y, r, _rows(own), separate_gradient(x, q))


def _separate(call, x, p, g_p):
    """The paths of a softmax whose output meets a logarithm: its own gradient, and p - y."""
    if x.size == 0:
        return None
    r, y = _weights(-g_p * p)
    value = call.args[0]
    own = next(c.array for c in value.contributions if c.call is call)
    return Paths(call, value, False, x, p, y, r, r[:, None] * (p - y), _rows(own))


def _weights(q):
    """r and y of q = r y. A row that pulls one class has y = 1 there, to the last digit."""
    r = q.sum(axis=-1, dtype=q.dtype)
    return r, q / np.where(r == 0, 1, r)[:, None]


def _meets_a_logarithm(value, tape):
    """Whether a logarithm is taken of this value, or of elements of it."""
    for call in tape.calls:
        if any(a is value for a in call.args):
            if isinstance(call.op, Log):
                return True
            moved = isinstance(call.op, (GetItem, TakeAlongAxis, Reshape))
            if moved and _meets_a_logarithm(call.out, tape):
                return True
    return False


def _softmax(x):
    with np.errstate(all="ignore"):
        return ops.softmax(Tensor(x)).data


def separate_gradient(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    """dL/dx (N, V) of L = -sum q log softmax(x), by softmax, a choice of elements and logarithm.

    The elements are those with a pull q that is not 0: the logarithm of the others is never taken.
    """
    with np.errstate(all="ignore"), use_kernels("reference"), enable_grad():
        logits = Tensor(x, requires_grad=True)
        chosen = np.nonzero(q)
        loss = -ops.sum(q[chosen] * ops.log(ops.softmax(logits)[chosen]))
        return grad(loss, [logits])[0].data


# --- what float32 makes of large logits -----------------------------------------------------------


def scaled_paths(x: np.ndarray, target: int, scale: float) -> dict[str, np.ndarray]:
    """One row's loss -log p of the ``target`` and its gradient, at logits ``scale`` x, in float32.

    Three ways: "plain", exp(x) / sum exp(x) and then the logarithm; "shifted", the same with the
    largest logit taken out; "fused", all in one. Each is {"p", "loss", "g"}: the probability of the
    target, the loss, and the gradient of the target's logit.
    """
    x = x.astype(np.float32) * np.float32(scale)
    one = np.float32(1)
    found = {}
    with np.errstate(all="ignore"):
        for name, shift in (("plain", np.float32(0)), ("shifted", x.max())):
            e = np.exp(x - shift)
            p = e / e.sum()
            g_p = -one / p[target]  # the derivative of -log p, and 0 for the other classes
            jacobian = p[target] * (one - p[target])
            found[name] = [p[target], -np.log(p[target]), jacobian * g_p]
        m, rest = cross_entropy.log_sum_exp(xp, x[None])
        p = np.exp(x[target] - m[0] - rest[0])
        found["fused"] = [p, rest[0] - (x[target] - m[0]), p - one]
    return {name: np.array(values, np.float32) for name, values in found.items()}


# --- as data --------------------------------------------------------------------------------------


def _described(paths, builder):
    """Some rows of a call, all their columns or those that matter, and the scaled losses."""
    n, v = paths.x.shape
    counted = np.flatnonzero(paths.r) if paths.r.any() else np.arange(n)
    full = v <= ELEMENTS
    rows = counted[: max(1, ELEMENTS // v)] if full else counted[:ROWS]
    pick = (rows, slice(None))
    columns = None
    if not full:
        heavy = np.argsort(-np.abs(paths.direct[rows]), axis=-1)[:, :COLUMNS]
        columns = np.sort(heavy, axis=-1)
        pick = (rows[:, None], columns)
    single = (paths.y[rows] == 1).any(axis=-1)
    targets = np.where(single, paths.y[rows].argmax(axis=-1), -1)
    difference = np.abs(paths.direct - paths.separate)
    nans = int(np.isnan(difference).sum())
    worst = int(np.nanargmax(difference)) if nans < difference.size else 0
    scaled = [
        [scaled_paths(paths.x[i], t, s) for s in SCALES]
        for i, t in zip(rows, targets, strict=True)
        if t >= 0
    ]
    described = {
        "step": builder.forward_step[paths.call],
        "op": paths.call.name,
        "fused": paths.fused,
        "logits": None if paths.logits is None else builder.value_items[paths.logits].id,
        "shape": [n, v],
        "rows": rows.astype(np.int32),
        "columns": None if columns is None else columns.astype(np.int32),
        "targets": targets.astype(np.int32),
        "r": paths.r[rows],
        **{name: getattr(paths, name)[pick] for name in ("x", "p", "y", "direct", "separate")},
        "difference": {
            "max": float(difference.flat[worst]),
            "at": [worst // v, worst % v],
            "nans": nans,
        },
        "largest": float(np.abs(paths.direct).max()),
    }
    if scaled:
        described["scaled_rows"] = np.flatnonzero(targets >= 0).astype(np.int32)
        for name in ("plain", "shifted", "fused"):
            described[f"scaled_{name}"] = np.array([[s[name] for s in row] for row in scaled])
    return described
