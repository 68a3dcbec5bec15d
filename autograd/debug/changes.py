"""Writes that the engine cannot see: a checksum of everything that a graph keeps for backward.

``assign_`` and ``.data = ...`` count as changes, and backward refuses to use what was changed. But
an array can be written into past its tensor: ``x.data[0] = 1``, ``np.multiply(a, b, out=x.data)``,
or by whoever made the array that was wrapped. Then backward computes, without a word, the
derivative at values that forward never saw. Here every kept array is looked at again after each
operation, so the write is known to lie between two lines. That reads all of them every time: for a
search, not for training.
"""

import weakref
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd.call_site import call_site, describe
from autograd.debug._tape import held_arrays
from autograd.debug._text import place_at, shortened
from autograd.device import to_numpy
from autograd.leaf import Leaf
from autograd.observe import Observer


class ChangedError(RuntimeError):
    """An array that a graph keeps was written into before backward had used it."""


@dataclass
class Kept:
    """One array that a node keeps: its checksum then, and between which two events it changed."""

    name: str
    array: Any
    checksum: int
    change: tuple | None = None


class detect_changes(Observer):  # noqa: N801 (beside detect_anomaly)
    """Within this context, backward raises ChangedError for what was written into since forward.

    Watched is everything that an operation called inside keeps for backward: inputs, outputs,
    caches, indices, ids, targets, masks. The message names the line that kept the array, and the
    two lines between which it changed: the last operation after which it was still the same, and
    the operation, or the call of backward, at which it no longer was.

    A write to what no backward will use any more is no error.
    """

    def __init__(self):
        self._nodes: dict[int, tuple] = {}  # id of a node -> (weak reference, what it keeps)
        self._last: tuple | None = None  # the last event: what it was, and its site

    def after_forward(self, op, args, output):
        now = ("", call_site(1))
        self._look(self._everything(), now)
        if output._node is op:
            self._keep(op)
        self._last = now

    def after_saving(self, op):
        self._keep(op)

    def on_contribution(self, op, i, node, gradient):
        if op is None:  # a pass starts
            now = ("the call of backward at ", call_site(1))
            self._look(self._everything(), now)
            self._last = now

    def on_gradient(self, node, gradient):
        if isinstance(node, Leaf):
            return
        now = (f"the backward of {type(node).__name__}, made at ", node.site)
        reference, kept = self._nodes.get(id(node), (None, ()))
        if reference is not None and reference() is node:
            self._look(kept, now)
            held = {id(array) for _, array in held_arrays(node)}
            for one in kept:
                if one.change is not None and id(one.array) in held:  # a cache may be given away
                    self._refuse(node, one)
        self._last = now

    def after_backward(self, op, released):
        if released:
            self._nodes.pop(id(op), None)

    def _keep(self, op):
        kept = [Kept(name, array, _checksum(array)) for name, array in held_arrays(op)]
        number = id(op)
        reference = weakref.ref(op, lambda _: self._nodes.pop(number, None))
        self._nodes[number] = reference, kept

    def _everything(self):
        return [one for _, kept in list(self._nodes.values()) for one in kept]

    def _look(self, kept, now):
        """Note of each array that no longer has its checksum between which events it changed."""
        sums: dict[int, int] = {}  # several nodes may keep one array
        for one in kept:
            if one.change is None:
                key = id(one.array)
                if key not in sums:
                    sums[key] = _checksum(one.array)
                if sums[key] != one.checksum:
                    one.change = self._last, now

    def _refuse(self, node, one):
        before, after = map(_event, one.change)
        raise ChangedError(
            f"{describe(node)} keeps an array for backward ({one.name}, of shape "
            f"{one.array.shape}) that was written into: it was as kept after {before}, and no "
            f"longer at {after}. Run backward before the write, compute on a copy, or change "
            "tensors with assign_, which counts"
        )


def _event(event):
    what, site = event
    place = place_at(site)
    return f"{what}{place} ({shortened(place.source)})"


def _checksum(array):
    return zlib.crc32(np.ascontiguousarray(to_numpy(array)))
