"""Samples of the operations that NumPy has too."""

import math
from typing import Any

import numpy as np

from autograd import ops
from autograd._sample import Sample


def erf(x):
    return np.vectorize(math.erf, otypes=[float])(x)


IDS = np.array([[1, 3, 1], [0, 0, 4]])


def _scatter(values):
    y = np.zeros((5, 3))
    np.add.at(y, IDS[0], values)
    return y


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
    Sample("power", lambda x: x**3, lambda x: x**3, ((4,),), keeps=(0,), note="x^3"),
    Sample("power", lambda x: 2.0**x, lambda x: 2.0**x, ((4,),), keeps=(0,), note="2^x"),
    Sample("negative", ops.negative, np.negative, **_unary),
    Sample("abs", ops.abs, np.abs, **_unary, domain="nonzero", keeps=(0,)),
    Sample("sqrt", ops.sqrt, np.sqrt, **_unary, domain="positive", keeps=("y",)),
    Sample(
        "square", ops.square, np.square, **_unary, keeps=(0,), definition=lambda x: ops.power(x, 2)
    ),
    Sample("exp", ops.exp, np.exp, **_unary, keeps=("y",)),
    Sample("log", ops.log, np.log, **_unary, domain="positive", keeps=(0,)),
    Sample(
        "tanh", ops.tanh, np.tanh, **_unary, keeps=("y",),
        definition=lambda x: 1 - 2 / (ops.exp(2 * x) + 1),
    ),
    Sample("sin", ops.sin, np.sin, **_unary, keeps=(0,)),
    Sample("cos", ops.cos, np.cos, **_unary, keeps=(0,)),
    Sample(
        "sigmoid", ops.sigmoid, lambda x: 1 / (1 + np.exp(-x)), **_unary, keeps=("y",),
        definition=lambda x: 1 / (1 + ops.exp(-x)),
    ),
    Sample("erf", ops.erf, erf, **_unary, keeps=(0,)),
    Sample("maximum", ops.maximum, np.maximum, **_binary, domain="distinct", keeps=(0, 1)),
    Sample("minimum", ops.minimum, np.minimum, **_binary, domain="distinct", keeps=(0, 1)),
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

REDUCTIONS = [
    Sample("sum", ops.sum, np.sum, **_unary),
    Sample(
        "sum",
        lambda x: ops.sum(x, axis=(0, -1), keepdims=True),
        lambda x: np.sum(x, axis=(0, -1), keepdims=True),
        ((2, 3, 4),),
        note="two axes",
    ),
    Sample(
        "mean",
        lambda x: ops.mean(x, axis=-1),
        lambda x: np.mean(x, axis=-1),
        **_unary,
        definition=lambda x: ops.sum(x, axis=-1) / x.shape[-1],
    ),
    Sample(
        "var",
        lambda x: ops.var(x, axis=1),
        lambda x: np.var(x, axis=1),
        **_unary,
        keeps=(0,),
        definition=lambda x: ops.mean(ops.square(x - ops.mean(x, axis=1, keepdims=True)), axis=1),
    ),
    Sample(
        "max",
        lambda x: ops.max(x, axis=0),
        lambda x: np.max(x, axis=0),
        ((3, 4),),
        "distinct",
        empty=((3, 0),),
        keeps=(0, "y"),
    ),
    Sample("max", ops.max, np.max, ((3, 4),), "distinct", keeps=(0, "y"), note="of all"),
    Sample(
        "min",
        lambda x: ops.min(x, axis=0, keepdims=True),
        lambda x: np.min(x, axis=0, keepdims=True),
        ((3, 4),),
        "distinct",
        empty=((3, 0),),
        keeps=(0, "y"),
    ),
    Sample(
        "logsumexp",
        lambda x: ops.logsumexp(x, axis=-1),
        lambda x: np.log(np.exp(x).sum(-1)),
        **_unary,
        keeps=(0, "y"),
        definition=lambda x: ops.log(ops.sum(ops.exp(x), axis=-1)),
    ),
]

SHAPE = [
    Sample(
        "reshape",
        lambda x: ops.reshape(x, (-1, x.shape[0] or 1)),
        lambda x: np.reshape(x, (-1, x.shape[0] or 1)),
        ((3, 4),),
        empty=((0, 4),),
    ),
    Sample("transpose", ops.transpose, np.transpose, **_unary),
    Sample(
        "transpose",
        lambda x: ops.transpose(x, (2, 0, -2)),
        lambda x: np.transpose(x, (2, 0, -2)),
        ((2, 3, 4),),
        note="by axes",
    ),
    Sample(
        "swapaxes",
        lambda x: ops.swapaxes(x, 0, -1),
        lambda x: np.swapaxes(x, 0, -1),
        ((2, 3, 4),),
        empty=((2, 0, 4),),
    ),
    Sample(
        "expand_dims",
        lambda x: ops.expand_dims(x, -2),
        lambda x: np.expand_dims(x, -2),
        **_unary,
    ),
    Sample("squeeze", ops.squeeze, np.squeeze, ((1, 3, 1),), empty=((0, 1),)),
    Sample(
        "squeeze",
        lambda x: ops.squeeze(x, 0),
        lambda x: np.squeeze(x, 0),
        ((1, 3, 1),),
        note="axis",
    ),
    Sample(
        "broadcast_to",
        lambda x: ops.broadcast_to(x, (2, 3, 4)),
        lambda x: np.broadcast_to(x, (2, 3, 4)),
        ((3, 1),),
    ),
    Sample(
        "concatenate",
        lambda a, b: ops.concatenate([a, b, a], axis=-1),
        lambda a, b: np.concatenate([a, b, a], axis=-1),
        ((2, 3), (2, 1)),
        empty=((2, 0), (2, 1)),
    ),
    Sample(
        "stack",
        lambda a, b: ops.stack([a, b], axis=-1),
        lambda a, b: np.stack([a, b], axis=-1),
        **_binary,
    ),
    Sample(
        "split",
        lambda x: ops.concatenate([2.0 * part for part in ops.split(x, 2, axis=1)[::-1]]),
        lambda x: np.concatenate([2.0 * part for part in np.split(x, 2, axis=1)[::-1]]),
        ((3, 4),),
    ),
]

INDEX = [
    Sample(
        "getitem",
        lambda x: x[1:, ::2],
        lambda x: x[1:, ::2],
        ((3, 4),),
        empty=((1, 4),),
    ),
    Sample(
        "getitem",
        lambda x: x[[0, 2, 0], None],
        lambda x: x[[0, 2, 0], None],
        ((3, 4),),
        note="repeated rows",
    ),
    Sample(
        "getitem",
        lambda x: x[_mask],
        lambda x: x[_mask],
        ((3, 4),),
        note="boolean mask",
    ),
    Sample(
        "getitem",
        lambda x: x[0] * x[:, 1:2] + x[..., -1],
        lambda x: x[0] * x[:, 1:2] + x[..., -1],
        ((3, 3),),
        keeps=(0, 1),
        note="several uses",
    ),
    Sample(
        "scatter_add",
        lambda x: ops.scatter_add((5, 3), IDS[0], x),
        _scatter,
        ((3, 3),),
    ),
    Sample(
        "take_along_axis",
        lambda x: ops.take_along_axis(x, IDS % 2, axis=0),
        lambda x: np.take_along_axis(x, IDS % 2, axis=0),
        ((2, 3),),
    ),
]

LINEAR_ALGEBRA = [
    Sample(
        "matmul",
        ops.matmul,
        np.matmul,
        ((3, 4), (4, 2)),
        empty=((0, 4), (4, 2)),
        keeps=(0, 1),
    ),
    Sample(
        "matmul",
        ops.matmul,
        np.matmul,
        ((2, 1, 3, 4), (5, 4, 2)),
        keeps=(0, 1),
        note="broadcast batches",
    ),
    Sample(
        "matmul",
        ops.matmul,
        np.matmul,
        ((4,), (4,)),
        keeps=(0, 1),
        note="vector vector",
    ),
    Sample(
        "matmul",
        ops.matmul,
        np.matmul,
        ((4,), (2, 4, 3)),
        keeps=(0, 1),
        note="vector matrices",
    ),
    Sample(
        "matmul",
        ops.matmul,
        np.matmul,
        ((2, 3, 4), (4,)),
        keeps=(0, 1),
        note="matrices vector",
    ),
]
