"""Rotary position embedding with numba: a copy, whose pairs are then turned in place.

NumPy makes about ten passes over memory. With one array to read and to write, the compiler sees
that no pair overlaps another, and uses vector instructions for both layouts: copying and then
turning is faster than turning from one array into another. Backward turns the gradient that comes
in, without a copy where no one else needs it.
"""

import math

import numpy as np

from autograd.kernels._jit import jit
from autograd.kernels._threads import parallel_rows, rows_per_part


def forward(xp, x, cos, sin, layout):
    return _turn(np.array(x, order="C"), cos, sin, layout)


def backward(xp, g, cos, sin, layout, room=None):
    in_place = room is not None and room.reusable_g is not None and g.flags.c_contiguous
    return _turn(g if in_place else np.array(g, order="C"), cos, -sin, layout)


def _turn(x, cos, sin, layout):
    *lead, D = x.shape
    *tables, half = cos.shape
    angles = np.arange(math.prod(tables)).reshape(tables)
    angles = np.broadcast_to(angles, lead).reshape(-1)  # for each row of x its row of the tables
    cos, sin = (np.ascontiguousarray(a).reshape(math.prod(tables), half) for a in (cos, sin))
    rows = x.reshape(math.prod(lead), D)
    arrays = (rows, cos, sin, angles, layout == "half")
    parallel_rows(_turn_rows, len(rows), rows_per_part(len(rows), D), *arrays)
    return x


@jit
def _turn_rows(x, cos, sin, angles, by_halves, start, stop):
    half = cos.shape[1]
    for i in range(start, stop):
        row, c, s = x[i], cos[angles[i]], sin[angles[i]]
        if by_halves:
            for j in range(half):
                a, b = row[j], row[half + j]
                row[j] = a * c[j] - b * s[j]
                row[half + j] = a * s[j] + b * c[j]
        else:
            for j in range(half):
                a, b = row[2 * j], row[2 * j + 1]
                row[2 * j] = a * c[j] - b * s[j]
                row[2 * j + 1] = a * s[j] + b * c[j]
