"""Rows of an attention's dS sum to zero: checked over all heads, however large they are.

dS is the gradient of the scores, dS = P (dP - r) with r = sum over u of P dP. Its row sums to

    sum_s P dP - r sum_s P  =  0,   since the weights P sum to 1.

Adding one number to all scores of a row changes no weight, so the loss has no slope that way. In
floating-point numbers the sum is as large as rounding makes it. The bound: every term is at most

    A = sum_s P sum_d |dO| |V|

dP and r are sums over N channels, and O = P V and the sum of P are sums over M keys. Each addition
and product changes its result by at most eps/2 of its size, and the few steps in between count for
8. Twice this, (N + M + 8) eps A, is what rounding may leave.
"""

from typing import Any

import numpy as np

from autograd.debug.explorer.tape import Call, Tape
from autograd.device import numpy_namespace as xp
from autograd.kernels.attention import reference as packed
from autograd.kernels.grouped_query_attention import reference as grouped


def part(tape: Tape, builder: Any = None) -> dict[str, Any] | None:
    """The check for every attention whose gradient is known, by the key of its output."""
    found = {}
    for call in tape.calls:
        matrices = _matrices(call)
        if matrices is not None:
            found[call.out.key] = row_sums(*matrices)
    return found or None


def row_sums(P, dP, r, dO, V) -> dict[str, Any]:
    """How far the rows of dS are from summing to zero: the worst of them, and how many hold."""
    N, M = V.shape[-1], P.shape[-1]
    dS = P * (dP - r)
    sums: Any = np.sum(dS, axis=-1, dtype=np.float64)
    sizes = np.sum(P * (np.abs(dO) @ np.swapaxes(np.abs(V), -1, -2)), axis=-1, dtype=np.float64)
    bounds = (N + M + 8) * float(np.finfo(dS.dtype).eps) * sizes
    shares = np.abs(sums) / np.where(bounds > 0, bounds, 1)
    at = np.unravel_index(int(np.argmax(shares)), shares.shape)
    return {
        "rows": int(sums.size),
        "hold": int(np.sum(np.abs(sums) <= bounds)),
        "sum": float(sums[at]),
        "bound": float(bounds[at]),
        "at": [int(i) for i in at],
    }


def _matrices(call: Call):
    """P, dP, r, dO and V of a call, every head, by the lines of its reference; None if unknown."""
    op: Any = call.op
    g = call.out.gradient
    name = type(op).__name__
    if name not in ("CausalAttention", "GroupedQueryAttention") or g is None or not op.saved:
        return None
    if not g.size or g.dtype.itemsize < 4:
        return None  # float16: its reference computes in float32
    if name == "CausalAttention":
        qkv, y = op.saved
        B, T, C = g.shape
        Q, K, V = packed.split(xp, qkv, op.n_head)
        P = packed.weights(xp, Q, K, precision=op.precision)[0]
        dO, O = (a.reshape(B, T, op.n_head, -1).transpose(0, 2, 1, 3) for a in (g, y))  # noqa: E741
    else:
        q, k, v, y = op.saved
        scale, window, cap, ids = op.options
        P = grouped.weights(xp, q, k, scale, window, cap, ids, precision=op.precision)[0]
        dO, V = grouped.split(xp, g, v)
        O = grouped.split(xp, y, v)[0]  # noqa: E741
    dP = dO @ xp.swapaxes(V, -1, -2)
    return P, dP, xp.sum(dO * O, axis=-1, keepdims=True), dO, V
