"""Samples of the elementwise operations."""

import math
from typing import Any

import numpy as np

from autograd import ops
from autograd.samples.sample import Sample


def erf(x):
    return np.vectorize(math.erf, otypes=[float])(x)


_binary: dict[str, Any] = {"shapes": ((3, 4), (3, 4)), "empty": ((0, 4), (0, 4))}
_unary: dict[str, Any] = {"shapes": ((3, 4),), "empty": ((0, 4),)}
_mask = np.arange(12).reshape(3, 4) % 3 == 0

ELEMENTWISE = [
    Sample("add", ops.add, np.add, **_binary),
    Sample("add", ops.add, np.add, ((3, 1, 4), (2, 1)), note="broadcast"),
    Sample("subtract", ops.subtract, np.subtract, **_binary),
    Sample("subtract", ops.subtract, np.subtract, ((), (2, 3)), note="broadcast"),
    Sample("multiply", ops.multiply, np.multiply, **_binary, keeps=(0, 1)),
    Sample("multiply", ops.multiply, np.multiply, ((2, 3), (3,)), keeps=(0, 1), note="broadcast"),
    Sample("divide", ops.divide, np.divide, **_binary, domain="nonzero", keeps=(0, 1)),
    Sample(
        "divide", ops.divide, np.divide, ((4,), (2, 1)), "nonzero", keeps=(0, 1), note="broadcast"
    ),
    Sample("power", ops.power, np.power, **_binary, domain="positive", keeps=(0, 1)),
    Sample("power", lambda x: x**2, lambda x: x**2, ((4,),), keeps=(0,), note="x^2"),
    Sample("power", lambda x: x**3, lambda x: x**3, ((4,),), keeps=(0,), note="x^3"),
    Sample("power", lambda x: 2.0**x, lambda x: 2.0**x, ((4,),), keeps=("y",), note="2^x"),
    Sample("negative", ops.negative, np.negative, **_unary),
    Sample("abs", ops.abs, np.abs, **_unary, domain="nonzero", keeps=(0,)),
    Sample("reciprocal", ops.reciprocal, np.reciprocal, **_unary, domain="nonzero", keeps=("y",)),
    Sample("sqrt", ops.sqrt, np.sqrt, **_unary, domain="positive", keeps=("y",)),
    Sample(
        "square", ops.square, np.square, **_unary, keeps=(0,), definition=lambda x: ops.power(x, 2)
    ),
    Sample("exp", ops.exp, np.exp, **_unary, keeps=("y",)),
    Sample(
        "expm1", ops.expm1, np.expm1, **_unary, keeps=(0,), definition=lambda x: ops.exp(x) - 1
    ),
    Sample("log", ops.log, np.log, **_unary, domain="positive", keeps=(0,)),
    Sample("log10", ops.log10, np.log10, **_unary, domain="positive", keeps=(0,)),
    Sample(
        "exp2", ops.exp2, np.exp2, **_unary, keeps=("y",), definition=lambda x: ops.power(2.0, x)
    ),
    Sample("log1p", ops.log1p, np.log1p, **_unary, domain="unit", keeps=(0,)),
    Sample("log2", ops.log2, np.log2, **_unary, domain="positive", keeps=(0,)),
    Sample(
        "logaddexp", ops.logaddexp, np.logaddexp, **_binary, keeps=(0, 1),
        definition=lambda a, b: ops.log(ops.exp(a) + ops.exp(b)),
    ),
    Sample(
        "logaddexp", ops.logaddexp, np.logaddexp, ((2, 1), (3,)), keeps=(0, 1), note="broadcast"
    ),
    Sample(
        "tanh", ops.tanh, np.tanh, **_unary, keeps=(0,),
        definition=lambda x: 1 - 2 / (ops.exp(2 * x) + 1),
    ),
    Sample("sin", ops.sin, np.sin, **_unary, keeps=(0,)),
    Sample("cos", ops.cos, np.cos, **_unary, keeps=(0,)),
    Sample(
        "tan", ops.tan, np.tan, **_unary, domain="unit", keeps=("y",),
        definition=lambda x: ops.sin(x) / ops.cos(x),
    ),
    Sample("arcsin", ops.arcsin, np.arcsin, **_unary, domain="unit", keeps=(0,)),
    Sample("arccos", ops.arccos, np.arccos, **_unary, domain="unit", keeps=(0,)),
    Sample("arctan", ops.arctan, np.arctan, **_unary, keeps=(0,)),
    Sample(
        "arctan2", ops.arctan2, np.arctan2, ((3, 4), (4,)), "nonzero", ((0, 4), (4,)),
        keeps=(0, 1),
    ),
    Sample(
        "sinh", ops.sinh, np.sinh, **_unary, keeps=(0,),
        definition=lambda x: (ops.exp(x) - ops.exp(-x)) / 2,
    ),
    Sample(
        "cosh", ops.cosh, np.cosh, **_unary, keeps=(0,),
        definition=lambda x: (ops.exp(x) + ops.exp(-x)) / 2,
    ),
    Sample(
        "arcsinh", ops.arcsinh, np.arcsinh, **_unary, keeps=(0,),
        definition=lambda x: ops.log(x + ops.sqrt(x * x + 1)),
    ),
    Sample(
        "arccosh", lambda x: ops.arccosh(1 + x), lambda x: np.arccosh(1 + x), **_unary,
        domain="positive", cache=12, note="of 1 + x",
    ),
    Sample(
        "arctanh", ops.arctanh, np.arctanh, **_unary, domain="unit", keeps=(0,),
        definition=lambda x: (ops.log1p(x) - ops.log1p(-x)) / 2,
    ),
    Sample(
        "hypot", ops.hypot, np.hypot, ((3, 4), (4,)), "nonzero", ((0, 4), (4,)),
        keeps=(0, 1, "y"), definition=lambda a, b: ops.sqrt(a * a + b * b),
    ),
    Sample(
        "sigmoid", ops.sigmoid, lambda x: 1 / (1 + np.exp(-x)), **_unary, keeps=(0,),
        definition=lambda x: 1 / (1 + ops.exp(-x)),
    ),
    Sample("erf", ops.erf, erf, **_unary, keeps=(0,)),
    Sample("maximum", ops.maximum, np.maximum, **_binary, domain="distinct", keeps=(0, 1)),
    Sample("minimum", ops.minimum, np.minimum, **_binary, domain="distinct", keeps=(0, 1)),
    Sample("fmax", ops.fmax, np.fmax, **_binary, domain="distinct", keeps=(0, 1)),
    Sample("fmin", ops.fmin, np.fmin, **_binary, domain="distinct", keeps=(0, 1)),
    Sample(
        "fmax", lambda x: ops.fmax(x, 0.35), lambda x: np.fmax(x, 0.35), **_unary,
        domain="distinct", keeps=(0,), note="a number",
    ),
    Sample("nan_to_num", ops.nan_to_num, np.nan_to_num, **_unary),
    Sample(
        "nan_to_num",
        lambda x: ops.nan_to_num(ops.where(x > 0, x, np.nan), nan=0.5),
        lambda x: np.where(x > 0, x, 0.5),
        **_unary,
        domain="nonzero",
        note="half of it NaN",
    ),
    Sample("remainder", ops.remainder, np.remainder, **_binary, domain="positive", keeps=(0, 1)),
    Sample(
        "remainder", lambda x: x % 0.5, lambda x: x % 0.5, **_unary, domain="between",
        note="by a number",
    ),
    Sample("mod", ops.mod, np.mod, **_binary, domain="positive", keeps=(0, 1)),
    Sample("fmod", ops.fmod, np.fmod, **_binary, domain="positive", keeps=(0, 1)),
    Sample(
        "clip",
        lambda x: ops.clip(x, -0.35, 0.95),
        lambda x: np.clip(x, -0.35, 0.95),
        **_unary,
        domain="distinct",
        keeps=(0,),
    ),
    Sample(
        "clip", ops.clip, np.clip, ((4, 5), (5,), ()), "distinct", keeps=(0, 1, 2),
        note="bounds with gradients",
    ),
    *[
        Sample(  # a constant c, so that x c has the gradient c
            op,
            lambda x, op=op: x * getattr(ops, op)(x),
            lambda x, op=op: x * getattr(np, op)(x),
            **_unary,
            domain="between",
            cache=12,
            note="a factor",
        )
        for op in ops.discrete.STEPS
    ],
    Sample(
        "floor_divide", lambda x: x * (x // 0.5), lambda x: x * (x // 0.5), **_unary,
        domain="between", cache=12, note="a factor",
    ),
    Sample(
        "where",
        lambda a, b: ops.where(np.resize(_mask, a.shape), a, b),
        lambda a, b: np.where(np.resize(_mask, a.shape), a, b),
        **_binary,
    ),
    Sample(
        "astype",
        lambda x: ops.astype(ops.astype(x, np.longdouble), x.dtype),
        lambda x: x,
        **_unary,
        note="to long double and back",
    ),
]  # fmt: skip
