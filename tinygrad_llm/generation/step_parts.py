"""The formulas of a step for one token, or one head of it, which step_kernel.py puts together.

Each is inlined where it is used. Arrays are float32 and contiguous along the last axis.
"""

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from autograd.kernels._functions import tanh
from autograd.kernels._jit import inner_part
from autograd.kernels.attention.cpu import divide, exponentials, inner, largest_of
from autograd.kernels.gelu.cpu import gelu_and_slope
from autograd.kernels.glu.cpu import silu_and_slope
from tinygrad_llm.generation.step_records import GELU_TANH, LAYER_NORM, SILU
from tinygrad_llm.quantized import vectors as v


@intrinsic
def _pointer(typing_context, address):
    """The float32 numbers from an address on."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(types.int64), generate


@inner_part
def array_at(address, shape):
    """The float32 array at an address; nothing checks it."""
    return carray(_pointer(address), shape)


@intrinsic
def _integer(typing_context, address):
    """The int64 number at an address."""

    def generate(context, builder, signature, arguments):
        pointer = ir.IntType(64).as_pointer()
        return builder.load(builder.inttoptr(arguments[0], pointer))

    return types.int64(types.int64), generate


@inner_part
def integer_at(address, i):
    """Number i of an int64 array at an address."""
    return _integer(address + 8 * i)


@inner_part
def add_vector(y, address):
    """y + b, b at an address (0: there is none)."""
    if address != 0:
        b = array_at(address, (len(y),))
        for i in range(len(y)):
            y[i] += b[i]


@inner_part
def normalize(model, x, whole, weight, bias, y):
    """y = (x - mean) / sqrt(variance + eps) * (offset + weight) + bias.

    The statistics are those of ``whole``, of which x is a part or all. RMS: the mean counts as 0,
    and the variance is the mean square. ``weight`` and ``bias`` are addresses.
    """
    F, n = np.float32, np.float32(len(whole))
    mean = F(0)
    if model.norm_kind == LAYER_NORM:
        for i in range(len(whole)):
            mean += whole[i]
        mean /= n
    variance = F(0)
    for i in range(len(whole)):
        d = whole[i] - mean
        variance += d * d
    r = F(1) / np.sqrt(variance / n + model.norm_eps)
    w = array_at(weight, (len(x),))
    for i in range(len(x)):
        y[i] = (x[i] - mean) * r * (model.norm_offset + w[i])
    add_vector(y, bias)


@inner_part
def copy(x, y):
    """y = x, in place of y (``y[:] = x`` compiles ten times as long)."""
    for i in range(len(y)):
        y[i] = x[i]


@inner_part
def add(x, y):
    """x + y, in place of x."""
    for i in range(len(x)):
        x[i] += y[i]


@inner_part
def turn(x, cos, sin):
    """Rotary embedding: channels j and j + R/2 are turned by the angle j of the position."""
    half = len(cos)
    for j in range(half):
        a, b = x[j], x[half + j]
        x[j] = a * cos[j] - b * sin[j]
        x[half + j] = a * sin[j] + b * cos[j]


@inner_part
def attend(q, keys, values, first, last, scale, cap, scores, y):
    """y = sum_s p_s v_s with p = softmax(cap(scale q k_s)), for positions s from first to last.

    keys and values (R, D) are slots: position s lies in slot s mod R. So the positions are at most
    two runs of slots, and in both sums their order does not matter. A cap of 0 means none.
    """
    n, R = last - first + 1, len(keys)
    begin = first % R
    here = min(n, R - begin)  # the positions before the slots start again
    _scores(q, keys[begin : begin + here], scale, cap, scores[:here])
    _scores(q, keys[: n - here], scale, cap, scores[here:n])
    total = exponentials(scores[:n], largest_of(scores[:n]))
    for d in range(len(y)):
        y[d] = 0
    _add_weighted(scores[:here], values[begin : begin + here], y)
    _add_weighted(scores[here:n], values[: n - here], y)
    divide(y, total)


@inner_part
def _scores(q, keys, scale, cap, scores):
    for s in range(len(keys)):
        scores[s] = scale * inner(q, keys[s])
    if cap > 0:
        per_cap = np.float32(1) / cap
        for s in range(len(keys)):
            scores[s] = cap * tanh(scores[s] * per_cap)


def _columns(n):
    """For n Vectors of channels, from channel d on: they stay in registers for all s."""

    @inner_part
    def add(weights, values, y, d):
        to, at = y.ctypes.data + 4 * d, values.ctypes.data + 4 * d
        sums = v.read(n, to)
        for s in range(len(values)):
            sums = v.add_products(sums, (v.splat(weights[s]),), at, 4 * v.LANES)
            at += 4 * len(y)
        v.write(sums, to)

    return add


_add_four, _add_one = _columns(4), _columns(1)


@inner_part
def _add_weighted(weights, values, y):
    """y + sum_s w_s v_s, in place of y."""
    d, D = 0, len(y)
    while d + 4 * v.LANES <= D:
        _add_four(weights, values, y, d)
        d += 4 * v.LANES
    while d + v.LANES <= D:
        _add_one(weights, values, y, d)
        d += v.LANES
    for s in range(len(values)):
        for i in range(d, D):
            y[i] += weights[s] * values[s, i]


@inner_part
def activate(x, activation):
    """act(x), in place of x."""
    if activation == SILU:
        for i in range(len(x)):
            x[i] = silu_and_slope(x[i])[0]
    else:
        approximate = activation == GELU_TANH
        for i in range(len(x)):
            x[i] = gelu_and_slope(x[i], approximate)[0]


@inner_part
def gate(x, up):
    """x * up, in place of x."""
    for i in range(len(x)):
        x[i] *= up[i]


@inner_part
def cap_all(x, cap):
    """cap tanh(x / cap), in place of x; a cap of 0 means none."""
    if cap > 0:
        per_cap = np.float32(1) / cap
        for i in range(len(x)):
            x[i] = cap * tanh(x[i] * per_cap)
