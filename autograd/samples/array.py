"""Samples of reductions, running sums, shapes and indices."""

from typing import Any

import numpy as np

from autograd import ops
from autograd.samples.sample import Sample

IDS = np.array([[1, 3, 1], [0, 0, 4]])


def _scatter(values):
    y = np.zeros((5, 3))
    np.add.at(y, IDS[0], values)
    return y


_binary: dict[str, Any] = {"shapes": ((3, 4), (3, 4)), "empty": ((0, 4), (0, 4))}
_unary: dict[str, Any] = {"shapes": ((3, 4),), "empty": ((0, 4),)}
_mask = np.arange(12).reshape(3, 4) % 3 == 0


def _same(op, *args, **others):
    """A sample of an operation whose arguments are the same in ops and in NumPy."""
    options = {k: others.pop(k) for k in set(others) - set(Sample.__dataclass_fields__)}
    return Sample(
        op,
        lambda x: getattr(ops, op)(x, *args, **options),
        lambda x: getattr(np, op)(x, *args, **options),
        **others,
    )


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
    _same("var", shapes=((5, 2),), keeps=(0,), ddof=1, note="ddof 1"),
    Sample(
        "std",
        lambda x: ops.std(x, axis=1),
        lambda x: np.std(x, axis=1),
        **_unary,
        keeps=(0, "y"),
        definition=lambda x: ops.sqrt(ops.var(x, axis=1)),
    ),
    _same("std", (0, -1), keepdims=True, shapes=((2, 3, 4),), keeps=(0, "y"), note="two axes"),
    Sample(
        "prod",
        lambda x: ops.prod(x, axis=1),
        lambda x: np.prod(x, axis=1),
        **_unary,
        keeps=(0,),
        definition=lambda x: x[:, 0] * x[:, 1] * x[:, 2] * x[:, 3],
    ),
    _same("prod", (2, 0), shapes=((2, 3, 2),), empty=((2, 0, 2),), keeps=(0,), note="two axes"),
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
    *[_same("cumsum", axis=a, **_unary, note=f"axis {a}") for a in (None, 0, -1)],
    *[_same("cumprod", axis=a, **_unary, keeps=(0,), note=f"axis {a}") for a in (None, 0, -1)],
    Sample(
        "cumprod",
        lambda x: ops.cumprod(x, axis=1),
        lambda x: np.cumprod(x, axis=1),
        ((2, 7),),
        "positive",
        keeps=(0,),
        definition=lambda x: ops.exp(ops.cumsum(ops.log(x), axis=1)),
        note="positive",
    ),
]

DIFFERENCES = [
    _same("diff", **_unary),
    _same("diff", n=2, axis=0, shapes=((4, 3),), note="second"),
    _same("diff", shapes=((3, 4),), axis=1, prepend=0.5, append=1, note="edges"),
    Sample(
        "linspace", lambda a, b: ops.linspace(a, b, 5), lambda a, b: np.linspace(a, b, 5), **_binary
    ),
    Sample(
        "linspace",
        lambda a, b: ops.linspace(a, b, 4, endpoint=False, axis=-1),
        lambda a, b: np.linspace(a, b, 4, endpoint=False, axis=-1),
        ((2, 1), (3,)),
        note="broadcast",
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
    *[
        Sample(
            op,
            lambda a, b, op=op: getattr(ops, op)([a, b, a]),
            lambda a, b, op=op: getattr(np, op)([a, b, a]),
            shapes,
            empty=empty,
            note=note,
        )
        for op, shapes, empty, note in [
            ("vstack", ((2, 3), (3,)), ((0, 3), (3,)), ""),
            ("hstack", ((2, 3), (2, 1)), ((2, 0), (2, 1)), ""),
            ("hstack", ((3,), (2,)), None, "vectors"),
            ("dstack", ((2, 3), (2, 3)), ((2, 0), (2, 0)), ""),
            ("dstack", ((3,), (1, 3, 2)), None, "of different axes"),
            ("column_stack", ((2, 3), (2,)), ((2, 0), (2,)), ""),
        ]
    ],
    Sample("append", ops.append, np.append, ((2, 3), (4,)), empty=((0, 3), (4,))),
    Sample(
        "append",
        lambda a, b: ops.append(a, b, axis=1),
        lambda a, b: np.append(a, b, axis=1),
        ((2, 3), (2, 1)),
        note="along an axis",
    ),
    *[_same(f"atleast_{n}d", shapes=((3,),), empty=((0,),)) for n in (1, 2, 3)],
    Sample(
        "array_split",
        lambda x: ops.concatenate(ops.array_split(x, 3, axis=1)[::-1], axis=1),
        lambda x: np.concatenate(np.array_split(x, 3, axis=1)[::-1], axis=1),
        **_unary,
    ),
    _same("moveaxis", 0, -1, shapes=((2, 3, 4),), empty=((2, 0, 4),)),
    _same("moveaxis", (0, -1), (1, 0), shapes=((2, 3, 4, 1),), note="two axes"),
    _same("ravel", **_unary),
    _same("copy", **_unary),
    _same("pad", ((1, 0), (2, 3)), **_unary, constant_values=-1.5),
    _same("pad", 2, shapes=((),), note="no axes"),
    *[
        _same("pad", (2, 3), shapes=((4, 5),), mode=mode, note=mode)
        for mode in ("edge", "reflect", "symmetric", "wrap")
    ],
    _same("flip", **_unary),
    _same("flip", (0, -1), shapes=((2, 3, 2),), note="two axes"),
    _same("roll", 5, **_unary),
    _same("roll", (1, -2), axis=(0, 1), shapes=((3, 4),), note="two axes"),
    _same("tile", (2, 1, 3), **_unary),
    _same("tile", 2, shapes=((3, 4),), note="last axis"),
    _same("repeat", 3, axis=1, **_unary),
    _same("repeat", 2, shapes=((3, 4),), note="flattened"),
    _same("repeat", [0, 2, 1], axis=0, shapes=((3, 4),), note="each its own"),
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
    _same("take", IDS % 3, **_unary, axis=1),
    _same("take", [[-1, 5]], shapes=((3, 4),), note="flattened"),
    _same("sort", shapes=((4, 5),), domain="distinct", empty=((3, 0),)),
    _same("sort", shapes=((4, 5),), domain="distinct", axis=0, note="axis 0"),
    _same("sort", shapes=((4, 5),), domain="distinct", axis=None, note="flattened"),
    Sample(
        "sort",
        lambda x: ops.sort(x, 1, descending=True),
        lambda x: np.sort(x, 1)[:, ::-1],
        ((4, 5),),
        "distinct",
        note="descending",
    ),
    *[
        Sample(
            "topk",
            lambda x, largest=largest: ops.topk(x, 2, axis=0, largest=largest)[0],
            lambda x, sign=sign: sign * np.sort(sign * x, axis=0)[:2],
            ((4, 5),),
            "distinct",
            empty=((2, 0),),
            note=note,
        )
        for largest, sign, note in [(True, -1, "largest"), (False, 1, "smallest")]
    ],
    *[
        Sample(  # the indices have no gradient, but the values have one
            op,
            lambda x, op=op, kept=kept: ops.take_along_axis(
                x, getattr(ops, op)(x, axis=1, **kept), 1
            ),
            lambda x, op=op, kept=kept: np.take_along_axis(
                x, getattr(np, op)(x, axis=1, **kept), 1
            ),
            ((4, 5),),
            "distinct",
            empty=((0, 4),),
            note="what is there",
        )
        for op, kept in [
            ("argmax", {"keepdims": True}),
            ("argmin", {"keepdims": True}),
            ("argsort", {}),
        ]
    ],
]
