"""Elementwise operations, reductions and running sums, each compared with PyTorch's."""

import numpy as np
import torch
import torch.nn.functional as F
from oracle.drawing import CASES, broadcastable, case, dims, filled, shape, some_axes

from autograd import ops

UNARY = {
    "real": "abs exp exp2 expm1 square negative sin cos arctan sinh cosh tanh sigmoid erf relu "
    "silu arcsinh nan_to_num "
    "ceil fix floor rint round sign trunc",
    "positive": "log log2 log10 sqrt reciprocal",
    "unit": "log1p tan arcsin arccos arctanh",
}
THEIRS = {"relu": F.relu, "silu": F.silu, "rint": torch.round}
for _domain, _names in UNARY.items():
    for _name in _names.split():

        @case(_name, _domain)
        def unary(rng, name=_name):
            theirs = THEIRS.get(name) or getattr(torch, name)
            return [shape(rng)], getattr(ops, name), theirs


for _domain, _names in {
    "real": "add subtract multiply logaddexp",
    "nonzero": "divide arctan2 hypot",
    "positive": "power remainder mod fmod",
    "distinct": "maximum minimum",
}.items():
    for _name in _names.split():
        theirs = {"power": torch.pow, "mod": torch.remainder}.get(_name) or getattr(torch, _name)
        CASES[_name] = (
            lambda rng, name=_name, f=theirs: (broadcastable(rng), getattr(ops, name), f),
            _domain,
        )


for _name in ("fmax", "fmin"):

    @case(_name, "distinct")
    def extremum_besides_nan(
        rng, name=_name
    ):  # 0.06: where both are equal, PyTorch gives the first the gradient
        ours, theirs = getattr(ops, name), getattr(torch, name)
        return broadcastable(rng), lambda a, b: ours(a, b + 0.06), lambda a, b: theirs(a, b + 0.06)


@case("arccosh", "positive")
def arccosh(rng):
    return [shape(rng)], lambda x: ops.arccosh(x + 1), lambda x: torch.arccosh(x + 1)


@case("copy")
def copy(rng):
    return [shape(rng)], ops.copy, torch.clone


@case("clip", "distinct")
def clip(rng):
    if rng.random() < 0.5:
        low, high = [(-0.4, None), (None, 0.7), (-0.4, 0.7)][rng.integers(3)]
        return [shape(rng)], lambda x: ops.clip(x, low, high), lambda x: torch.clamp(x, low, high)
    return (  # 0.06: where the bounds are equal, PyTorch loses the gradient of a number beyond them
        broadcastable(rng, 3),
        lambda x, low, high: ops.clip(x, low, high + 0.06),
        lambda x, *bounds: torch.clamp(*torch.broadcast_tensors(x, bounds[0], bounds[1] + 0.06)),
    )


@case("where")
def where(rng):
    a, b, c = broadcastable(rng, 3)
    mask = rng.random(c) < 0.5
    theirs = torch.tensor(mask)
    return [a, b], lambda a, b: ops.where(mask, a, b), lambda a, b: torch.where(theirs, a, b)


@case("astype")
def astype(rng):
    def ours(x):
        return ops.astype(ops.astype(x, np.float64) * 2, x.dtype)

    return [shape(rng)], ours, lambda x: x * 2


for _domain, _name, _theirs in [
    ("real", "sum", lambda x, a, k: torch.sum(x, dims(x, a), keepdim=k)),
    ("real", "mean", lambda x, a, k: torch.mean(x, dims(x, a), keepdim=k)),
    ("real", "var", lambda x, a, k: torch.var(x, dims(x, a), correction=0, keepdim=k)),
    ("real", "std", lambda x, a, k: torch.std(x, dims(x, a), correction=0, keepdim=k)),
    ("distinct", "max", lambda x, a, k: torch.amax(x, dims(x, a), keepdim=k)),
    ("distinct", "min", lambda x, a, k: torch.amin(x, dims(x, a), keepdim=k)),
    ("real", "logsumexp", lambda x, a, k: torch.logsumexp(x, dims(x, a), keepdim=k)),
]:

    @case(_name, _domain)
    def reduction(rng, name=_name, theirs=_theirs):
        s = filled(rng, 1)
        if name == "std":
            s = tuple(n + 1 for n in s)  # of one number it is 0: see test_oracle_kinks.py
        axis, keepdims = some_axes(rng, len(s)), bool(rng.integers(2))

        def ours(x):
            return getattr(ops, name)(x, axis=axis, keepdims=keepdims)

        return [s], ours, lambda x: theirs(x, axis, keepdims)


@case("prod")
def prod(rng):
    s, keepdims = shape(rng, 1), bool(rng.integers(2))
    axis = int(rng.integers(len(s))) if rng.random() < 0.7 else None

    def theirs(x):
        return torch.prod(x) if axis is None else torch.prod(x, axis, keepdim=keepdims)

    return [s], lambda x: ops.prod(x, axis, keepdims and axis is not None), theirs


for _name in ("cumsum", "cumprod"):

    @case(_name)
    def running(rng, name=_name):
        s = shape(rng, 1)
        axis = int(rng.integers(-len(s), len(s)))
        return [s], lambda x: getattr(ops, name)(x, axis), lambda x: getattr(torch, name)(x, axis)
