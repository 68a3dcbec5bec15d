"""The leaves of the graph: tensors that the user made rather than an operation."""

import sys
import weakref
from itertools import count

import numpy as np

from autograd.device import namespace
from autograd.questions import see

creation_order = count(1)
"""Numbers the nodes as they are created: an op is always newer than its inputs."""

CACHE_LINE = 64  # bytes


class Leaf:
    """The node of a tensor that was not computed: gradients that reach it are added to ``.grad``.

    It refers to its tensor only weakly, so that graph and tensor form no reference cycle. A
    gradient for a tensor that no longer exists is dropped.
    """

    __slots__ = ("tensor", "shape", "dtype", "order", "owned", "hooks", "__weakref__")

    def __init__(self, tensor):
        self.tensor = weakref.ref(tensor)
        self.shape, self.dtype = tensor._data.shape, tensor._data.dtype
        self.order = next(creation_order)
        self.owned = False  # whether .grad is an array that the engine made
        self.hooks = None

    def accumulate(self, g, owned, create_graph):
        """Add ``g`` to the tensor's gradient. ``owned``: nothing else uses the array ``g``.

        The array in ``.grad`` is writable and contiguous, has the tensor's shape and dtype, and is
        shared with nothing else.
        """
        tensor = self.tensor()
        if tensor is None or tensor._node is None:  # gone, or frozen since forward
            return
        if tensor._data.shape != self.shape:
            raise RuntimeError(
                f"a tensor of shape {self.shape} was given data of shape {tensor._data.shape} "
                "between forward and backward: run backward before the change"
            )
        before = tensor._grad
        if before is not None and before._data.shape != self.shape:
            raise RuntimeError(
                f"a gradient of shape {self.shape} meets one of shape {before._data.shape}, from "
                "before the tensor was given other data: call zero_grad() in between"
                + see("Why zero_grad?")
            )
        if create_graph:
            tensor._grad = g if before is None else before + g
            self.owned = False
        elif before is not None and self.owned:
            before._data += g
            before._version[0] += 1
        else:
            if before is not None:  # the user's array: the sum is a new one
                g, owned = before._data + g, True
            tensor._grad = tensor._make(self._own_array(tensor, g, owned), None, [0])
            self.owned = True

    def _own_array(self, tensor, g, owned):
        """``g`` as an array that nothing else shares: ``g`` itself if it can be, or a copy."""
        xp = namespace(tensor._data)
        usable = owned and type(g) is xp.array_type and _is_alone(g) and g.flags.c_contiguous
        if usable and getattr(g.flags, "writeable", True):  # CuPy's arrays always are
            return g
        return xp.array(g, dtype=self.dtype, order="C")


def _is_alone(g):
    """Whether ``g`` has memory of its own, or all of an array's to which only ``g`` refers.

    The latter is an array that begins with a cache line, or the new shape of a result.
    """
    if type(g.base) is not np.ndarray:
        return g.base is None
    only_g = sys.getrefcount(g.base) == 2  # g, and this call
    return only_g and g.base.base is None and g.base.nbytes - g.nbytes <= CACHE_LINE
