"""The ends of the graph: tensors that were given, not computed."""

import os
import threading
import weakref
from itertools import count

from autograd.device import namespace

sequence = count(1)
"""Numbers the nodes in order of creation: an op is always newer than its inputs."""

_turn = threading.RLock()


def turn():
    """The lock held while a pass adds into ``.grad``: two threads may share parameters."""
    return _turn


def _new_turn():
    global _turn
    _turn = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_turn)  # whoever held the old one is not in the child


class Leaf:
    """The node of a tensor that was not computed: gradients that reach it land in ``.grad``.

    It knows its tensor only weakly, so that graph and tensor form no reference cycle. A gradient
    for a tensor that nobody holds any more is dropped.
    """

    __slots__ = ("tensor", "shape", "dtype", "order", "owned", "hooks", "__weakref__")

    def __init__(self, tensor):
        self.tensor = weakref.ref(tensor)
        self.shape, self.dtype = tensor._data.shape, tensor._data.dtype
        self.order = next(sequence)
        self.owned = False  # whether .grad is an array that the engine made
        self.hooks = None

    def accumulate(self, g, owned, create_graph):
        """Add ``g`` to the tensor's gradient.

        What lands there is writable, contiguous, of the tensor's shape and dtype, and shared with
        nobody.
        """
        tensor = self.tensor()
        if tensor is None or tensor._node is None:  # gone, or frozen since forward
            return
        if tensor._data.shape != self.shape:
            raise RuntimeError(
                f"a tensor of shape {self.shape} was given data of shape {tensor._data.shape} "
                "between forward and backward: run backward before the change"
            )
        held = tensor._grad
        if held is not None and held._data.shape != self.shape:
            raise RuntimeError(
                f"a gradient of shape {self.shape} meets one of shape {held._data.shape}, from "
                "before the tensor was given other data: call zero_grad() in between"
            )
        if create_graph:
            tensor._grad = g if held is None else held + g
            self.owned = False
        elif held is None or not self.owned:
            xp = namespace(tensor._data)
            if held is not None:
                g, owned = held._data + g, True
            contiguous = type(g) is xp.array_type and g.flags.c_contiguous
            contiguous = contiguous and getattr(g.flags, "writeable", True)  # CuPy's always are
            if not (owned and contiguous and g.base is None):
                g = xp.array(g, dtype=self.dtype, order="C")
            tensor._grad = tensor._make(g, None, [0])
            self.owned = True
        else:
            held._data += g
            held._version[0] += 1
