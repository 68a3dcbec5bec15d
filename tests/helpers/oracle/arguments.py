"""Random values, right and wrong, for the arguments that are not operands.

Each function draws for a given shape of the first operand. What it draws may be wrong on purpose:
then both we and NumPy have to say so.
"""

import numpy as np
from oracle.arrays import pick

NOT_INTEGERS = (1.0, "0", True, np.True_, np.float64(0), (0,), [0], np.array([0]))


def axis(rng, shape, extra=0):
    """One axis: usually right, sometimes out of range, sometimes not an integer."""
    n = len(shape) + extra
    right = int(rng.integers(-n, n)) if n else pick(rng, [0, -1])
    kind = rng.random()
    if kind < 0.65:
        return right
    if kind < 0.8:
        return pick(rng, [np.int64, np.int8, np.array])(right)
    if kind < 0.92:
        return int(pick(rng, [n, -n - 1, n + 3, -n - 4]))
    return pick(rng, NOT_INTEGERS)


def axis_or_none(rng, shape):
    return None if rng.random() < 0.2 else axis(rng, shape)


def axes(rng, shape, extra=0):
    """One axis or several, in a tuple, a list or a range."""
    n = len(shape) + extra
    kind = rng.random()
    if kind < 0.4:
        return axis(rng, shape, extra)
    if kind < 0.85:
        chosen = rng.permutation(n)[: rng.integers(0, n + 1)]
        found = [
            pick(rng, [int, int, np.int64])(i - n if rng.random() < 0.4 else i) for i in chosen
        ]
        return tuple(found) if rng.random() < 0.8 else found
    return tuple(axis(rng, shape, extra) for _ in range(rng.integers(1, 4)))


def axes_or_none(rng, shape):
    return None if rng.random() < 0.2 else axes(rng, shape)


def flag(rng, shape):
    return bool(rng.integers(2))


def integer(low, high):
    """An integer, rarely something else."""

    def draw(rng, shape):
        value = int(rng.integers(low, high + 1))
        kind = rng.random()
        if kind < 0.8:
            return value
        return np.int64(value) if kind < 0.93 else pick(rng, [1.5, "1", [1, [2]]])

    return draw


def integers(low, high, most=3):
    """One integer, or several in a tuple or list."""

    def draw(rng, shape):
        if rng.random() < 0.4:
            return integer(low, high)(rng, shape)
        return pick(rng, [tuple, list])(rng.integers(low, high + 1, rng.integers(0, most + 1)))

    return draw


def one_of(*values):
    return lambda rng, shape: pick(rng, values)


def new_shape(rng, shape):
    """Another shape with as many elements, perhaps with a -1, or a wrong shape."""
    size = int(np.prod(shape))
    if rng.random() < 0.15:
        return pick(rng, [(-1, -1), (size + 1,), 1.0, (2, 2.0), "x", (-2,)])
    factors = [n for n in (1, 2, 3, 4, 6) if n <= size and size % n == 0]
    n = int(pick(rng, factors)) if factors else 0
    found = (n, size // n) if n else shape
    return pick(rng, [found, list(found), (n, -1) if n else found, (np.int64(found[0]), -1)
                      if n else found, -1 if n else found])  # fmt: skip


def broadcast_shape(rng, shape):
    """A shape that the given one broadcasts to, or not."""
    found = tuple(int(n) if n != 1 else int(rng.integers(0, 4)) for n in shape)
    found = tuple(rng.integers(0, 3, rng.integers(0, 3)).tolist()) + found
    return found if rng.random() < 0.85 else pick(rng, [found[1:], (*found, 2), 3, (-1,), "x"])


def indices(rng, shape, n=None):
    """Integers from -n to n - 1 in any shape; sometimes one outside, sometimes not integers."""
    n = max(shape, default=1) if n is None else n
    wanted = tuple(rng.integers(0, 4, rng.integers(0, 3)))
    if rng.random() < 0.1:
        return pick(rng, [0.5, [0.0], "0", [[]], np.zeros(2, np.uint8), [True, False]])
    low, high = (-n, n) if rng.random() < 0.8 else (-n - 2, n + 2)
    found = rng.integers(low, max(high, low + 1), wanted)
    return found if rng.random() < 0.7 else found.tolist()


def indices_along(rng, shape):
    """Indices for take_along_axis: the shape of x, with lengths changed, and broadcasting."""
    wanted = [pick(rng, [n, n, 1, 1, 2]) for n in shape]
    if rng.random() < 0.1:
        wanted = wanted[1:]
    n = min(shape, default=1)
    dtype = pick(rng, [np.int64] * 9 + [float])
    return np.asarray(rng.integers(-max(n, 1), max(n, 1), wanted)).astype(dtype)


def index(rng, shape):
    """An index for x[...]: every kind, mixed, in a tuple or alone."""
    if rng.random() < 0.12:
        mask = rng.random(shape) < 0.5
        return pick(rng, [mask, mask.tolist(), (mask,), (mask, None)])
    items, left = [], list(shape)
    mates = tuple(rng.integers(1, 3, rng.integers(0, 2)))  # index arrays broadcast together
    for _ in range(rng.integers(0, len(shape) + 2)):
        kind = rng.integers(10)
        n = left[0] if left else 1
        if kind == 0:
            items.append(None)
            continue
        if kind == 1 and not any(i is Ellipsis for i in items):
            items.append(Ellipsis)
            continue
        if kind == 2:
            items.append(pick(rng, [True, False, np.True_, 0.5, "a", n, -n - 1, [0.0], (), [[]]]))
        elif kind in (3, 4):
            where = rng.integers(-n, n, mates) if n else np.zeros((*mates, 0), int)
            items.append(pick(rng, [where, where.tolist(), where.astype("i1")]))
        elif kind == 5:
            items.append(rng.random(n) < 0.5)
        elif kind == 6:
            items.append(pick(rng, [int, np.int64, np.array])(rng.integers(-n, max(n, 1))))
        else:
            a, b = rng.integers(-4, 5, 2)
            items.append(slice(pick(rng, [None, a]), pick(rng, [None, b]),
                               pick(rng, [None, None, 1, 2, -1, -2])))  # fmt: skip
        left = left[1:]
    if len(items) == 1 and rng.random() < 0.5:
        return items[0]
    return tuple(items)
