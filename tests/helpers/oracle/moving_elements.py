"""Operations on shapes, order and indices, each compared with PyTorch's."""

import numpy as np
import torch
import torch.nn.functional as F
from oracle.drawing import broadcastable, case, dims, filled, shape, some_axes, t

from autograd import ops


@case("reshape")
def reshape(rng):
    s = filled(rng, 1)
    return [s], lambda x: ops.reshape(x, (-1, s[0])), lambda x: x.reshape(-1, s[0])


@case("ravel")
def ravel(rng):
    return [shape(rng)], ops.ravel, torch.ravel


@case("transpose")
def transpose(rng):
    s = shape(rng, 1)
    axes = tuple(int(i) for i in rng.permutation(len(s)))
    return [s], lambda x: ops.transpose(x, axes), lambda x: x.permute(axes)


for _name in ("swapaxes", "moveaxis"):

    @case(_name)
    def move_one_axis(rng, name=_name):
        s = shape(rng, 1)
        a, b = (int(i) for i in rng.integers(-len(s), len(s), 2))
        f = (getattr(ops, name), getattr(torch, name))
        return [s], lambda x: f[0](x, a, b), lambda x: f[1](x, a, b)


@case("expand_dims")
def expand_dims(rng):
    s = shape(rng)
    axis = int(rng.integers(-len(s) - 1, len(s) + 1))
    return [s], lambda x: ops.expand_dims(x, axis), lambda x: x.unsqueeze(axis)


@case("squeeze")
def squeeze(rng):
    return [shape(rng)], ops.squeeze, torch.squeeze


@case("broadcast_to")
def broadcast_to(rng):
    a, b = broadcastable(rng)
    to = np.broadcast_shapes(a, b)
    return [a], lambda x: ops.broadcast_to(x, to), lambda x: torch.broadcast_to(x, to)


@case("concatenate")
def concatenate(rng):
    s = shape(rng, 1)
    axis = int(rng.integers(len(s)))
    other = (*s[:axis], int(rng.integers(4)), *s[axis + 1 :])
    return (
        [s, other],
        lambda a, b: ops.concatenate([a, b, a], axis),
        lambda a, b: torch.cat([a, b, a], axis),
    )


@case("stack")
def stack(rng):
    s = shape(rng)
    axis = int(rng.integers(-len(s) - 1, len(s) + 1))
    return [s, s], lambda a, b: ops.stack([a, b], axis), lambda a, b: torch.stack([a, b], axis)


@case("split")
def split(rng):
    s = (*shape(rng, 0, 2), 6)
    cuts = [3, [1, 4], [2]][rng.integers(3)]
    return (
        [s],
        lambda x: ops.concatenate(ops.split(x, cuts, -1)[::-1], -1),
        lambda x: torch.cat(torch.tensor_split(x, cuts, -1)[::-1], -1),
    )


@case("pad")
def pad(rng):
    modes = {"constant": "constant", "edge": "replicate", "reflect": "reflect", "wrap": "circular"}
    mode = list(modes)[rng.integers(4)]
    (a, b), (c, d) = width = rng.integers(0, 3, (2, 2)).tolist()
    return (
        [(2, 3, 4, 5)],
        lambda x: ops.pad(x, [(0, 0), (0, 0), *width], mode),
        lambda x: F.pad(x, (c, d, a, b), modes[mode]),
    )


@case("flip")
def flip(rng):
    s = shape(rng, 1)
    axis = some_axes(rng, len(s))

    def theirs(x):
        return torch.flip(x, (axis,) if isinstance(axis, int) else dims(x, axis))

    return [s], lambda x: ops.flip(x, axis), theirs


@case("roll")
def roll(rng):
    s = shape(rng, 2)
    axis, shift = (0, -1), (int(rng.integers(-6, 7)), 1)
    if rng.random() < 0.5:
        axis, shift = None, shift[0]
    return [s], lambda x: ops.roll(x, shift, axis), lambda x: torch.roll(x, shift, axis)


@case("tile")
def tile(rng):
    s, reps = shape(rng), tuple(int(n) for n in rng.integers(0, 4, rng.integers(1, 4)))
    return [s], lambda x: ops.tile(x, reps), lambda x: torch.tile(x, reps)


@case("repeat")
def repeat(rng):
    s = shape(rng, 1)
    axis = int(rng.integers(len(s)))
    n = int(rng.integers(4)) if rng.random() < 0.5 else rng.integers(0, 3, s[axis])
    theirs = n if isinstance(n, int) else torch.tensor(n)
    return (
        [s],
        lambda x: ops.repeat(x, n, axis),
        lambda x: torch.repeat_interleave(x, theirs, axis),
    )


@case("getitem")
def getitem(rng):
    rows, mask = rng.integers(-3, 3, (2, 4)), rng.random((3, 4)) < 0.5
    index = [
        (slice(1, None), slice(None, None, 2)),
        (..., -1),
        (None, 1, ..., None),
        (rows,),
        (slice(None), rows, slice(0, 2)),
        (rows, rows[0]),
        (rows, slice(None), rows),
        (mask,),
        (1, [0, 0, 2]),
    ][rng.integers(9)]
    theirs = tuple(torch.tensor(i) if isinstance(i, np.ndarray) else i for i in index)
    return [(3, 4, 5)], lambda x: x[index], lambda x: x[theirs]


@case("take")
def take(rng):
    indices = rng.integers(0, 6, shape(rng, 0, 2))
    if rng.random() < 0.5:
        return [(2, 3)], lambda x: ops.take(x, indices), lambda x: torch.take(x, t(indices))
    return (
        [(2, 6, 3)],
        lambda x: ops.take(x, indices.ravel(), -2),
        lambda x: torch.index_select(x, 1, t(indices.ravel())),
    )


@case("take_along_axis")
def take_along_axis(rng):
    axis = int(rng.integers(3))
    s = [2, 3, 4]
    indices = rng.integers(0, s[axis], [5 if i == axis else n for i, n in enumerate(s)])
    return (
        [tuple(s)],
        lambda x: ops.take_along_axis(x, indices, axis),
        lambda x: torch.take_along_dim(x, t(indices), axis),
    )


@case("scatter_add")
def scatter_add(rng):
    rows = rng.integers(0, 4, 5)
    return (
        [(5, 3)],
        lambda x: ops.scatter_add((4, 3), rows, x),
        lambda x: torch.zeros(4, 3, dtype=x.dtype).index_add(0, t(rows), x),
    )


@case("sort", "distinct")
def sort(rng):
    s = shape(rng, 1)
    axis = int(rng.integers(-len(s), len(s)))
    down = bool(rng.integers(2))
    return (
        [s],
        lambda x: ops.sort(x, axis, down),
        lambda x: torch.sort(x, dim=axis, descending=down, stable=True).values,
    )


@case("topk", "distinct")
def topk(rng):
    s, largest = filled(rng, 1), bool(rng.integers(2))
    axis = int(rng.integers(-len(s), len(s)))
    k = int(rng.integers(0, s[axis] + 1))
    return (
        [s],
        lambda x: ops.topk(x, k, axis, largest)[0],
        lambda x: torch.topk(x, k, axis, largest).values,
    )


for _name in ("vstack", "hstack", "dstack", "column_stack"):

    @case(_name)
    def stack_along(rng, name=_name):
        s = [shape(rng, 1, 1), (2, *shape(rng, 1, 2))][rng.integers(2)]
        ours, theirs = getattr(ops, name), getattr(torch, name)
        return [s, s], lambda a, b: ours([a, b, a]), lambda a, b: theirs([a, b, a])


for _name in ("atleast_1d", "atleast_2d", "atleast_3d"):

    @case(_name)
    def at_least(rng, name=_name):
        return [shape(rng)], getattr(ops, name), getattr(torch, name)


@case("append")
def append(rng):
    s = shape(rng, 1)
    axis = [None, -1][rng.integers(2)]
    return (
        [s, s],
        lambda a, b: ops.append(a, b, axis),
        lambda a, b: torch.cat([a.ravel(), b.ravel()] if axis is None else [a, b], -1),
    )


@case("array_split")
def array_split(rng):
    s, n = shape(rng, 1), int(rng.integers(1, 6))
    axis = int(rng.integers(-len(s), len(s)))
    return (
        [s],
        lambda x: ops.concatenate(ops.array_split(x, n, axis)[::-1], axis),
        lambda x: torch.cat(torch.tensor_split(x, n, axis)[::-1], axis),
    )


@case("diff")
def diff(rng):
    s = filled(rng, 1)
    axis, n = int(rng.integers(-len(s), len(s))), int(rng.integers(1, 4))
    before = tuple(1 if i == axis % len(s) else k for i, k in enumerate(s))
    return (
        [s, before],
        lambda x, b: ops.diff(x, n, axis, prepend=b),
        lambda x, b: torch.diff(x, n, axis, prepend=b),
    )


@case("linspace")
def linspace(rng):
    a, b = broadcastable(rng)
    n = int(rng.integers(0, 5))

    def theirs(start, stop):
        start, stop = torch.broadcast_tensors(start, stop)
        t = torch.linspace(0, 1, n, dtype=start.dtype).reshape(n, *[1] * start.ndim)
        return start + (stop - start) * t

    return [a, b], lambda start, stop: ops.linspace(start, stop, n), theirs
