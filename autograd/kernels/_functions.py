"""Functions for compiled kernels: maximum, exp, erf, tanh, and a subtraction in a fixed order.

numba's own exp calls the C library once per element. The one here is a polynomial and a shift of
the exponent, which the compiler turns into vector instructions: forty times as fast. erf is built
on it.
"""

import math

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from autograd import _erf
from autograd.kernels._jit import HELPER, part


@numba.njit(**HELPER)
def minus_both(x, large, rest):
    """(x - large) - rest, in this order: a kernel's flags would let the compiler change it.

    If x and ``large`` are close, their difference is exact, and the result has all its digits.
    """
    return (x - large) - rest


@intrinsic
def maximum(typing_context, a, b):
    """The larger of two numbers of one float type, NaN if either is NaN, like numpy.maximum.

    A running maximum written with a comparison can be vectorised only if the compiler may ignore
    NaN. LLVM's own operation defines what NaN does and can be vectorised: it is ten times as fast.
    """

    def generate(context, builder, signature, arguments):
        number = arguments[0].type
        function = ir.FunctionType(number, [number, number])
        llvm_maximum = builder.module.declare_intrinsic("llvm.maximum", [number], function)
        return builder.call(llvm_maximum, arguments)

    return a(a, b), generate


def exp(x):
    """exp(x) inside a kernel, for a float32 or float64 number, to about one unit in the last place.

    x = z ln 2 + r with z an integer and |r| <= ln 2 / 2; then exp(x) = 2^z exp(r). exp(r) is its
    Taylor polynomial, of the degree whose remainder is below the rounding; 2^z is written into the
    exponent bits, in two factors, so that denormal results and overflow to infinity come out right.
    """
    raise NotImplementedError("this exp works only in compiled kernels: use numpy.exp")


@intrinsic
def _float_of_bits(typing_context, bits):
    """The float32 (float64) number whose bits are those of an int32 (int64)."""
    to = {types.int32: types.float32, types.int64: types.float64}[bits]
    llvm = {types.int32: ir.FloatType(), types.int64: ir.DoubleType()}[bits]

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], llvm)

    return to(bits), generate


def exp_or_zero(x):
    """exp(x) inside a kernel, but exactly 0 where the result would be denormal.

    For a term of a sum to which another adds 1: score - largest score, or the sigmoid's. On Intel's
    processors each instruction that makes a denormal number, or loses one, takes some 150 cycles.
    exp loses one on its way to exp(-infinity) = 0, and half of a tile on attention's diagonal is
    hidden. One factor 2^z is enough here, which saves up to a tenth of the time, but 2^128 is
    infinity: so are results from 2^127.5 on (in float64 from 2^1023.5). NaN stays NaN.
    """
    raise NotImplementedError("this exp_or_zero works only in compiled kernels: use numpy.exp")


@overload(exp, jit_options=HELPER)
def _exp(x):
    return _exponential(x, denormals=True)


@overload(exp_or_zero, jit_options=HELPER)
def _exp_or_zero(x):
    return _exponential(x, denormals=False)


# ln 2 is the sum of two parts: the first has few bits, so z times it is exact, and the second is
# the rest. HELPER allows no reordering, which would join the two parts again.
def _exponential(x, denormals):
    if x == types.float32:
        F, INT, bias, shift = np.float32, np.int32, np.int32(127), np.int32(23)
        low, high, degree = F(-104.0 if denormals else -87.0), F(89.0), 7  # beyond: 0, infinity
        ln2, rest = F(0.693359375), F(-2.1219444005469057e-4)
    elif x == types.float64:
        F, INT, bias, shift = np.float64, np.int64, np.int64(1023), np.int64(52)
        low, high, degree = F(-746.0 if denormals else -708.0), F(710.0), 13
        ln2, rest = F(6.93147180369123816490e-01), F(1.90821492927058770002e-10)
    else:
        return None
    per_ln2, half = F(1 / math.log(2)), F(0.5)
    taylor = tuple(F(1 / math.factorial(k)) for k in range(degree, -1, -1))

    def implementation(x):
        c = x if x > low else low  # NaN becomes the bound: the integer is always defined
        c = c if c < high else high
        z = np.floor(c * per_ln2 + half)
        r = (c - z * ln2) - z * rest
        y = taylor[0]
        for k in range(1, degree + 1):
            y = y * r + taylor[k]
        n = INT(z)
        if denormals:
            m = INT(n >> INT(1))  # INT again: numba's integer arithmetic widens int32
            y = y * _float_of_bits(INT((m + bias) << shift))
            y = y * _float_of_bits(INT((n - m + bias) << shift))
        else:
            y = y * _float_of_bits(INT((n + bias) << shift))
            y = y if x > low else F(0)
        return y if x == x else x

    return implementation


def erf(x):
    """erf(x) inside a kernel, for a float32 or float64 number (autograd/_erf.py has the method)."""
    raise NotImplementedError("this erf works only in compiled kernels: use autograd._erf.erf")


@overload(erf, jit_options=HELPER)
def _erf_number(x):
    if x not in (types.float32, types.float64):
        return None
    F = np.float32 if x == types.float32 else np.float64

    def constants(pair):
        return tuple(tuple(F(c) for c in reversed(half)) for half in pair)

    (p1, q1), (p2, q2) = constants(_erf.SMALL), constants(_erf.MIDDLE)
    (p3, q3), (p4, q4) = constants(_erf.TAIL), constants(_erf.FAR_TAIL)
    at_one, one, six, shift = F(_erf.AT_ONE), F(1), F(6), F(0.5625)
    cut1, cut2, cut3 = F(0.84375), F(1.25), F(1 / 0.35)

    def implementation(x):
        size = abs(x)
        near = size if size < cut1 else cut1
        t = near * near
        small = near + near * (_horner(p1, t) / _horner(q1, t))
        t = (size if size < cut2 else cut2) - one
        middle = at_one + _horner(p2, t) / _horner(q2, t)
        far = size if size > cut2 else cut2
        far = far if far < six else six
        t = one / (far * far)
        inner, outer = _horner(p3, t) / _horner(q3, t), _horner(p4, t) / _horner(q4, t)
        tail = one - exp_or_zero(-far * far - shift + (inner if far < cut3 else outer)) / far
        y = small if size < cut1 else (middle if size < cut2 else tail)
        y = -y if x < 0 else y
        return y if x == x else x

    return implementation


@numba.njit(**HELPER)
def _horner(coefficients, t):
    y = coefficients[0]
    for k in range(1, len(coefficients)):
        y = y * t + coefficients[k]
    return y


@part
def tanh(x):
    """tanh, with all its digits near 0, where 1 - exp(-2 |x|) loses them: there it is Lambert's
    continued fraction x / (1 + x^2 / (3 + x^2 / (5 + ...))), as one quotient."""
    F = type(x)
    size = abs(x)
    square = x * x
    a, b = F(15), F(1)
    for odd in (13, 11, 9, 7, 5, 3, 1):
        a, b = F(odd) * a + square * b, a
    e = exp(F(-2) * size)
    far = (F(1) - e) / (F(1) + e)
    far = -far if x < 0 else far
    return x * b / a if size < F(0.5) else far
