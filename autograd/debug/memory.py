"""The memory of the tape: which arrays the nodes of a graph keep for backward, and since when.

Saved values, caches and masks count, each once, however many nodes keep it. Leaf tensors do not,
nor do frozen parameters: they exist with or without a graph.
"""

import weakref
from collections import defaultdict
from dataclasses import dataclass

from autograd._tensor import Parameter, Tensor
from autograd.debug.format import place_at
from autograd.device import namespace
from autograd.functional.recomputation import Segment
from autograd.leaf import Leaf
from autograd.saved_tensors import PackedValues, arrays_kept


@dataclass(frozen=True)
class Peak:
    """The tape at its largest, in bytes, and what it consisted of: (op, place, bytes) each."""

    bytes: int
    holders: tuple


NO_ARRAYS = frozenset(("inputs", "hooks", "saved", "versions", "read", "site", "needs"))


class Tape:
    """Which buffers the nodes keep for backward, from when to when."""

    def __init__(self):
        self.changes: list[tuple[float, int, tuple[str, tuple]]] = []  # time, bytes, (op, site)
        self._buffers: dict[int, list] = {}  # id -> [number of nodes that keep it, bytes, owner]
        self._nodes: dict[int, tuple] = {}  # id of a node -> (weak reference, its buffers)
        self._now = 0.0

    def keep(self, op, args, event):
        """Count what ``op`` keeps; returns its bytes, including those other nodes keep too."""
        leaves = {
            id(_buffer(a._data))
            for a in args
            if isinstance(a, Tensor) and (isinstance(a, Parameter) or isinstance(a._node, Leaf))
        }
        buffers = [_buffer(array) for _, array in kept_arrays(op)]
        unique = {id(b): b for b in buffers if id(b) not in leaves}
        self._now = event.start + event.seconds
        owner = (event.op, event.site)
        for key, buffer in unique.items():
            if key in self._buffers:
                self._buffers[key][0] += 1
            else:
                self._buffers[key] = [1, buffer.nbytes, owner]
                self.changes.append((self._now, buffer.nbytes, owner))
        number = id(op)
        reference = weakref.ref(op, lambda _: self._drop(number))
        self._nodes[number] = (reference, tuple(unique))
        return sum(b.nbytes for b in unique.values())

    def release(self, op, event):
        self._now = event.start + event.seconds
        self._drop(id(op))

    def _drop(self, number):
        _, keys = self._nodes.pop(number, (None, ()))
        for key in keys:
            entry = self._buffers[key]
            entry[0] -= 1
            if not entry[0]:
                self.changes.append((self._now, -entry[1], entry[2]))
                del self._buffers[key]

    def peak(self) -> Peak:
        size = best = at = 0
        for i, (_, change, _) in enumerate(self.changes):
            size += change
            if size > best:
                best, at = size, i + 1
        sizes: defaultdict[tuple[str, tuple], int] = defaultdict(int)
        for _, change, owner in self.changes[:at]:
            sizes[owner] += change
        holders = sorted(sizes.items(), key=lambda item: -item[1])
        return Peak(best, tuple((op, place_at(site), n) for (op, site), n in holders if n))


def kept_arrays(node):
    """Every (name, array) a node keeps: what it saved, its cache, arrays among its attributes.

    Of what saved_tensors_hooks have packed it is the packed array.
    """
    names = [f"input {i}" for i in node.save_inputs] + ["output"] * node.save_output
    saved = node.saved or ()
    saved = saved.kept if isinstance(saved, PackedValues) else saved
    arrays = [(n, a) for n, s in zip(names, saved, strict=False) for a in arrays_kept(s)]
    arrays += [pair for s in saved if isinstance(s, Segment) for pair in s.arrays()]
    stack = [(k, v) for k, v in vars(node).items() if k not in NO_ARRAYS]
    while stack:
        name, value = stack.pop()
        if isinstance(value, (tuple, list)):
            stack.extend((name, v) for v in value)
        else:
            arrays.extend((name, a) for a in arrays_kept(value))
    return arrays


def _buffer(array):
    """The array that owns the memory of a view."""
    kind = namespace(array).array_type
    while isinstance(array.base, kind):
        array = array.base
    return array
