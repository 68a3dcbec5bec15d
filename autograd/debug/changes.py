"""Writes that the engine cannot see, found by a checksum of everything a graph keeps for backward.

``assign_`` and ``.data = ...`` count as changes, and backward refuses to use what was changed. But
code can write into an array directly: ``x.data[0] = 1``, ``np.multiply(a, b, out=x.data)``, or
through another reference to the array that a Tensor wraps. Backward then silently computes the
derivative at values that forward never saw. This tool compares every kept array after each
operation, so it knows between which two lines the write happened. Since it reads all of them every
time, use it to search, not to train.
"""

import weakref
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd.call_site import call_site, describe
from autograd.debug.format import place_at, shortened
from autograd.debug.memory import kept_arrays
from autograd.device import to_numpy
from autograd.leaf import Leaf
from autograd.observe import Observer
from autograd.questions import see


class ChangedError(RuntimeError):
    """An array that a graph keeps was written into before backward had used it."""


@dataclass
class Kept:
    """One array that a node keeps, its checksum, and between which two events it changed."""

    name: str
    array: Any
    checksum: int
    change: tuple | None = None


class detect_changes(Observer):  # noqa: N801 (named like detect_anomaly)
    """Within this context, backward raises ChangedError for arrays written to since forward.

    It watches everything that an operation called inside keeps for backward: inputs, outputs,
    caches, indices, ids, targets, masks. The message names the line that kept the array and the
    two lines between which it changed: the last operation after which it was still the same, and
    the operation, or the call of backward, at which it no longer was.

    Writing to an array that no backward will use any more is not an error.
    """

    def __init__(self):
        self._nodes: dict[int, tuple] = {}  # id of a node -> (weak reference, what it keeps)
        self._last: tuple | None = None  # the last event: what it was, and its site

    def after_forward(self, op, args, output):
        now = ("", call_site())
        self._look(self._everything(), now)
        if output._node is op:
            self._keep(op)
        self._last = now

    def after_saving(self, op):
        self._keep(op)

    def on_contribution(self, op, i, node, gradient):
        if op is None:  # a pass starts
            now = ("the call of backward at ", call_site())
            self._look(self._everything(), now)
            self._last = now

    def on_gradient(self, node, gradient):
        if isinstance(node, Leaf):
            return
        now = (f"the backward of {type(node).__name__}, made at ", node.site)
        reference, records = self._nodes.get(id(node), (None, ()))
        if reference is not None and reference() is node:
            self._look(records, now)
            still_kept = {id(array) for _, array in kept_arrays(node)}
            for record in records:
                # an array that is no longer kept is a cache that backward has given away
                if record.change is not None and id(record.array) in still_kept:
                    self._refuse(node, record)
        self._last = now

    def after_backward(self, op, released):
        if released:
            self._nodes.pop(id(op), None)

    def _keep(self, op):
        records = [Kept(name, array, _checksum(array)) for name, array in kept_arrays(op)]
        number = id(op)
        reference = weakref.ref(op, lambda _: self._nodes.pop(number, None))
        self._nodes[number] = reference, records

    def _everything(self):
        return [record for _, records in list(self._nodes.values()) for record in records]

    def _look(self, records, now):
        """Note of each array that no longer has its checksum between which events it changed."""
        sums: dict[int, int] = {}  # several nodes may keep one array
        for record in records:
            if record.change is None:
                key = id(record.array)
                if key not in sums:
                    sums[key] = _checksum(record.array)
                if sums[key] != record.checksum:
                    record.change = self._last, now

    def _refuse(self, node, one):
        before, after = map(_event, one.change)
        raise ChangedError(
            f"{describe(node)} keeps an array for backward ({one.name}, of shape "
            f"{one.array.shape}) that was written to: it was unchanged after {before}, and had "
            f"changed at {after}. Run backward before the write, compute on a copy, or change "
            "tensors with assign_, which counts as a change"
            + see("Why is an in-place change an error?")
        )


def _event(event):
    what, site = event
    place = place_at(site)
    return f"{what}{place} ({shortened(place.source)})"


def _checksum(array):
    return zlib.crc32(np.ascontiguousarray(to_numpy(array)))
