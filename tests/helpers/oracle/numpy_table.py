"""Every function of ``autograd.ops`` with NumPy's: one line for each, with its arguments.

An operand is a function that draws a shape, given that of the first one; an option draws a value
(see arguments.py). The function of the same name in NumPy is the oracle unless ``numpy`` is given.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from oracle import arguments as a, formulas
from oracle.arrays import DTYPES, operand, pick, shape
from oracle.judge import Call

from autograd import Tensor, ops

TABLE = {}
FLOATS = np.array(["d", "d", "f", "e"])


@dataclass
class Entry:
    name: str
    operands: tuple
    options: dict
    numpy: Callable
    ours: Callable
    kinks: str | None
    coarse: bool
    dtypes: np.ndarray

    def draw(self, rng):
        """One random call."""
        first = self.operands[0](rng, None) if self.operands else ()
        shapes = [first, *(f(rng, first) for f in self.operands[1:])][: len(self.operands)]
        operands = [operand(rng, s, self.dtypes) for s in shapes]
        parameters = inspect.signature(self.ours).parameters
        options = {
            name: draw(rng, first)
            for name, draw in self.options.items()
            if name not in parameters
            or parameters[name].default is inspect.Parameter.empty
            or rng.random() < 0.7
        }
        return Call(self.name, self.numpy, self.ours, operands, options, self.kinks, self.coarse)


def entry(
    name, *operands, numpy=None, ours=None, kinks=None, coarse=False, dtypes=DTYPES, **options
):
    """Add one function to the table; ``kinks`` and ``coarse`` are explained in Call."""
    if ours is None:
        ours = ops
        for part in name.split("."):
            ours = getattr(ours, part)
    if numpy is None:
        numpy = np
        for part in name.split("."):
            numpy = getattr(numpy, part)
    TABLE[name] = Entry(name, operands, options, numpy, ours, kinks, coarse, dtypes)


def x(rng, first):
    """An operand of any shape."""
    return shape(rng)


def vector(rng, first):
    """An array, but not a number."""
    return shape(rng, 1)


def mate(rng, first):
    """One that broadcasts with the first, but sometimes does not."""
    if rng.random() < 0.08:
        return shape(rng)
    found = tuple(1 if rng.random() < 0.25 else n for n in first)
    return found[rng.integers(0, len(found) + 1) :] if rng.random() < 0.4 else found


def typed_as(x, number):
    """A Python number as an array of x's type, since NumPy's functions differ in this."""
    plain = type(number) in (bool, int, float) and type(x) not in (bool, int, float)
    return np.asarray(number, np.result_type(np.asarray(x), number) if plain else None)


def joined(name):
    """A function of a sequence of arrays as one of its elements."""
    ours, theirs = getattr(ops, name), getattr(np, name)
    return {
        "numpy": lambda *xs, **options: theirs(list(map(np.asarray, xs)), **options),
        "ours": lambda *xs, **options: ours(list(xs), **options),
    }


# --- Number by number ----------------------------------------------------------------------------

for _name in (
    "exp exp2 expm1 log log10 log1p log2 sqrt square negative sin cos tan arcsin arccos arctan "
    "sinh cosh tanh arcsinh arccosh arctanh floor ceil trunc rint sign isfinite isnan abs"
).split():
    entry(_name, x)
for _name in "erf sigmoid silu relu".split():
    entry(_name, x, numpy=getattr(formulas, _name))
entry("reciprocal", x, numpy=lambda x: 1 / np.asarray(x))  # 1 / 2 is not 0
entry("fix", x, numpy=np.trunc)  # NumPy's own is slower, and of integers a float
entry("gelu", x, numpy=formulas.gelu, approximate=a.one_of("none", "tanh", "fast"))
entry("round", x, decimals=a.one_of(0, 1, -1, 2))
for _name in ("add subtract multiply divide power logaddexp arctan2 hypot floor_divide").split():
    entry(_name, x, mate)
for _name in "fmod mod remainder".split():
    entry(_name, x, mate, kinks="many")
entry("nan_to_num", x, nan=a.one_of(0.0, 1.5), posinf=a.one_of(None, 2.0))
entry("copy", x)
for _name in "maximum minimum fmax fmin".split():
    entry(_name, x, mate, kinks="ties")
entry("clip", x, mate, mate, kinks="ties")
entry(
    "where", x, mate, mate,
    numpy=lambda c, a, b: np.where(np.asarray(c) > 0, a, b),
    ours=lambda c, a, b: ops.where(np.asarray(c.data if isinstance(c, Tensor) else c) > 0, a, b),
)  # fmt: skip
entry("astype", x, numpy=lambda x, dtype: np.asarray(x).astype(dtype),
      dtype=a.one_of("f2", "f4", "f8", np.float32, float, "i4", bool))  # fmt: skip

# --- Along axes ----------------------------------------------------------------------------------

for _name in "sum mean prod".split():
    entry(_name, x, axis=a.axes_or_none, keepdims=a.flag)
for _name in "var std".split():
    entry(_name, x, axis=a.axes_or_none, keepdims=a.flag, ddof=a.one_of(0, 1, 0.5))
for _name in "max min".split():
    entry(_name, x, axis=a.axes_or_none, keepdims=a.flag, kinks="ties")
for _name in "all any".split():
    entry(_name, x, axis=a.axes_or_none, keepdims=a.flag)
for _name in "argmax argmin".split():
    entry(_name, x, axis=a.axis_or_none, keepdims=a.flag)
entry("logsumexp", x, numpy=formulas.logsumexp, axis=a.axes_or_none, keepdims=a.flag)
for _name in "softmax log_softmax".split():
    entry(_name, x, numpy=getattr(formulas, _name), axis=a.axes_or_none)
for _name in "cumsum cumprod".split():
    entry(_name, x, axis=a.axis_or_none)
entry("sort", x, axis=a.axis_or_none, kinks="ties")
entry("argsort", x, axis=a.axis_or_none,
      numpy=lambda x, axis=-1: np.argsort(x, axis, kind="stable"))  # fmt: skip

entry("topk", x, numpy=formulas.topk, k=a.integer(-1, 3), axis=a.axis, kinks="ties")
entry("diff", vector, n=a.one_of(1, 2, np.int64(3), -1, 1.5, "1"), axis=a.axis,
      prepend=a.one_of(0, 1.5), append=a.one_of(0.5),
      numpy=lambda x, n=1, axis=-1, **ends: np.diff(
          x, n, axis, **{k: typed_as(x, v) for k, v in ends.items()}))  # fmt: skip
entry("linspace", x, mate, num=a.integer(-1, 4), endpoint=a.flag,
      axis=lambda rng, s: a.axis(rng, s, extra=1))  # fmt: skip

# --- Moving elements -----------------------------------------------------------------------------

entry("reshape", x, shape=a.new_shape)
entry("ravel", x)
entry("transpose", x, axes=lambda rng, s: (
    tuple(rng.permutation(len(s)) - len(s) * rng.integers(2)) if rng.random() < 0.6
    else a.axes_or_none(rng, s)))  # fmt: skip
entry("swapaxes", x, axis1=a.axis, axis2=a.axis)
entry("moveaxis", x, source=a.axes, destination=a.axes)
entry("expand_dims", x, axis=lambda rng, s: a.axes(rng, s, extra=1))
entry("squeeze", lambda rng, _: shape(rng, lengths=(1, 1, 1, 2, 0)), axis=a.axes_or_none)
entry("broadcast_to", x, shape=a.broadcast_shape)
entry("concatenate", x, mate, **joined("concatenate"), axis=a.axis_or_none)
entry("stack", x, lambda rng, s: s if rng.random() < 0.8 else shape(rng), **joined("stack"),
      axis=lambda rng, s: a.axis(rng, s, extra=1))  # fmt: skip
for _name in "vstack hstack dstack column_stack".split():
    entry(_name, x, mate, **joined(_name))
for _name in "atleast_1d atleast_2d atleast_3d".split():
    entry(_name, x)
entry("append", x, mate, axis=a.axis_or_none,
      numpy=lambda x, values, axis=None: np.append(typed_as(values, x), typed_as(x, values), axis),
      )  # fmt: skip
entry("array_split", x, numpy=lambda x, **options: np.array_split(np.asarray(x), **options),
      indices_or_sections=a.integers(-1, 3), axis=a.axis)  # fmt: skip
entry("split", x, numpy=lambda x, **options: np.split(np.asarray(x), **options),
      indices_or_sections=a.integers(-1, 3), axis=a.axis)  # fmt: skip
entry("flip", x, axis=a.axes_or_none)
entry("roll", x, shift=a.integers(-4, 4), axis=a.axes_or_none)
entry("pad", x, pad_width=lambda rng, s: (
    rng.integers(0, 3, (len(s), 2)).tolist() if rng.random() < 0.5 else a.integers(0, 2)(rng, s)),
    mode=a.one_of("constant", "edge", "reflect", "symmetric", "wrap"))  # fmt: skip
entry("tile", x, reps=a.integers(-1, 3))
entry("repeat", x, repeats=a.integers(-1, 3, 4), axis=a.axis_or_none)
entry("getitem", x, numpy=lambda x, index: np.asarray(x)[index], index=a.index)


def _take(x, indices, axis=None, mode="raise"):
    if mode == "wrap" and np.size(x) == 0:
        mode = "clip"  # around an axis of length 0 NumPy goes for ever; here that is an error
    return np.take(x, indices, axis, mode=mode)


entry(
    "take",
    x,
    numpy=_take,
    indices=a.indices,
    axis=a.axis_or_none,
    mode=a.one_of("raise", "wrap", "clip"),
)
entry("take_along_axis", x,
      numpy=lambda x, indices, axis=-1: np.take_along_axis(np.asarray(x), indices, axis),
      indices=a.indices_along, axis=a.axis_or_none)  # fmt: skip
entry("nonzero", x)


def read_by(rng, first):
    """The shape of what _INDEX reads from (3, 4), or one that broadcasts to it, or any."""
    return pick(rng, [(2, 4), (1, 4), (4,), (1,), (), (2, 1), (3, 4), (1, 2, 4)])


entry("scatter_add", read_by, dtypes=DTYPES[DTYPES != "?"], numpy=formulas.scatter_add,
      ours=lambda x, shape, index: ops.scatter_add(shape, index, x),
      shape=a.one_of((3, 4), (3, 4), (5, 4), (1, 4), [3, 4], (3, 0)),
      index=a.one_of([0, 2], [1, 1], slice(0, 2), slice(None), np.array([-1, 0]), 0, (0, 1), [0.5],
                     [[0, 1]], (..., [0, 0, 1, 2]), [True, False, True]))  # fmt: skip

# --- Products and matrices -----------------------------------------------------------------------


FIT = [(), (3,), (3,), (3, 3), (3, 3), (2, 3, 3)]


def left(rng, first):
    return pick(rng, FIT if rng.random() < 0.6 else [(2, 3), (2, 2, 3), (0, 3), (2, 0), (1, 2, 3)])


def right(rng, first):
    return pick(rng, FIT if rng.random() < 0.6 else [(3, 2), (2, 3, 4), (2,), (0, 2), (4, 3, 1)])


entry("matmul", left, right)
entry("dot", left, right, numpy=lambda a, b: np.dot(typed_as(b, a), typed_as(a, b)))
entry("outer", vector, vector)
entry("inner", vector, lambda rng, s: (*shape(rng, 0, 2), *s[-1:]))
entry("kron", vector, vector)
entry("cross", lambda rng, _: (*shape(rng, 0, 2), 3), mate)
entry("tensordot", lambda rng, _: pick(rng, [(2, 3, 3), (3, 3)]),
      lambda rng, _: pick(rng, [(3, 3), (3, 3, 2), (3,)]), axes=a.one_of(
    0, 1, 2, np.int64(1), 3, (-1, 0), (0, 0), ((0, 1), (1, 0)), ([1], [0]), ((0, 0), (0, 0)), 1.0,
    (0, 1, 0), ((0,), (0, 1)), [np.int64(1), 0], (5, 0), True))  # fmt: skip
entry("einsum", *[lambda rng, _: pick(rng, [(3, 3)] * 4 + [(3,), (2, 3, 3), (1, 3), (2,)])] * 2,
      numpy=lambda p, q, subscripts: np.einsum(subscripts, p, q),
      ours=lambda p, q, subscripts: ops.einsum(subscripts, p, q),
      subscripts=a.one_of("ij,jk->ik", "ij,jk", "...j,j", "i,i", "...,...", "ij,kl->", "i...,i...",
                          "...ij,...jk->...ik", "ii,jj->ij", ",", "i,j->ji", "i,i->ii", "i,j->k",
                          "ij"))  # fmt: skip


def matrices(rng, first):
    return shape(rng, 1, 4) if rng.random() < 0.9 else ()


for _name in "diagonal trace".split():
    entry(_name, matrices, offset=a.integer(-3, 3), axis1=a.axis, axis2=a.axis)
for _name in "diag diagflat".split():
    entry(_name, lambda rng, _: shape(rng, 1, 2) if rng.random() < 0.9 else shape(rng),
          k=a.integer(-3, 3))  # fmt: skip
for _name in "tril triu".split():
    entry(_name, matrices, k=a.integer(-3, 3))

# --- Makers of constants -------------------------------------------------------------------------

dtype = a.one_of("f4", np.float16, int, bool, None)
lengths = a.one_of((), (2,), [2, 0], 3, np.int64(2), (-1,), 1.5)
for _name in "zeros ones".split():
    entry(_name, shape=lengths, dtype=dtype)
entry("full", shape=lengths, fill_value=a.one_of(1, 2.5, True), dtype=dtype)
for _name in "zeros_like ones_like".split():
    entry(_name, x, dtype=dtype)
entry("full_like", x, fill_value=a.one_of(1, 2, True), dtype=dtype)
entry("asarray", x, dtype=dtype)
entry("arange", numpy=lambda stop, dtype=None: np.arange(stop, dtype=dtype),
      ours=lambda stop, dtype=None: ops.arange(stop, dtype=dtype),
      stop=a.one_of(3, 0, 2.5, -1), dtype=a.one_of("f4", int, None))  # fmt: skip
