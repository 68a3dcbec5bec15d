"""The rules of working in place: what a backward may do with the room that it is given.

An Op with ``works_in_place = True`` may add to sums and overwrite ``g`` (see
``autograd/in_place.py``). A mistake there shows only when a sum has arrived before it, or when
something else needs ``g``, and so perhaps not in f. Here each backward is run again with a room
where every sum exists, and with one where nothing may be changed. What it returns must be the same
as without a room, plus the sums that it claimed.
"""

import numpy as np

from autograd.accumulate import Scatter
from autograd.unbroadcast import fit_to_input

CLOSE = 1e-9
"""Adding to a sum may change a gradient by this much of the largest element, by rounding."""


class Room:
    """A room as ``InPlace`` is one, with a sum of random numbers for each input, or with none."""

    def __init__(self, node, g, full):
        self.reusable_g = g if full else None
        self.sums, self.copies, self.to_read = {}, {}, set()
        self._node, self._full = node, full

    def claim_buffer(self, i):
        return self._claim(i)

    def claim_partial(self, i):
        total = self._claim(i)
        if total is not None:
            self.to_read.add(self._node.inputs[i])
        return total

    def _claim(self, i):
        source = self._node.inputs[i]
        if not self._full or source is None or source in self.sums:
            return None
        total = np.random.default_rng(6).standard_normal(source.shape).astype(source.dtype)
        self.sums[source], self.copies[source] = total, total.copy()
        return total


def faults_in_place(node, backward, xp, g, saved):
    """The rules that ``backward`` breaks when it has room to work in place, as sentences."""
    expected = _totals(xp, node, backward(xp, g, *saved, room=None))
    name, faults = type(node).__name__, []
    for full in (True, False):
        own_g = g.copy()
        room = Room(node, own_g, full)
        actual = _totals(xp, node, backward(xp, own_g, *saved, room=room))
        if not full and not np.array_equal(own_g, g, equal_nan=True):
            faults.append(f"the backward of {name} overwrites g where room.reusable_g is None")
        for source, total in expected.items():
            i = node.inputs.index(source)
            claimed = room.copies.get(source)
            if source in room.to_read and not np.array_equal(room.sums[source], claimed):
                faults.append(
                    f"the backward of {name} writes to what it claimed with claim_partial({i}), "
                    "which other gradients may share: it may only read it"
                )
            if claimed is not None and not _close(actual[source], total + claimed):
                faults.append(
                    f"the backward of {name} claims the sum of input {i}'s gradient and does not "
                    "return that sum plus its own contribution"
                )
            elif claimed is None and not _close(actual[source], total):
                faults.append(
                    f"the backward of {name} returns a different gradient for its input {i} when "
                    "it is given room to work in place"
                )
    return faults


def _totals(xp, node, gradients):
    """For each input's node the sum of what a backward returned for it."""
    several = gradients if isinstance(gradients, (tuple, list)) else (gradients,)
    totals = {}
    for i, (source, gradient) in enumerate(zip(node.inputs, several, strict=True)):
        if source is not None:
            gradient = fit_to_input(xp, node, i, gradient)
            if isinstance(gradient, Scatter):
                gradient = gradient.densify()
            totals[source] = totals.get(source, 0.0) + gradient
    return totals


def _close(a, b):
    size = np.abs(b[np.isfinite(b)]).max(initial=0.0)
    return np.allclose(a, b, rtol=0, atol=CLOSE * size, equal_nan=True)
