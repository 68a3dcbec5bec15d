"""Hooks on tensors: registering functions that see, and may replace, a gradient on its way back.

A hook belongs to the tensor's node in the graph. The backward pass runs it when the gradient of
that node is complete, before the gradient is passed further back or added to ``.grad``
(``run_hooks`` in ``backward.py``: it makes Tensors, and Tensor is built on this file). A node has
no dictionary of hooks until one is registered.
"""

import weakref
from itertools import count

from autograd.questions import see

RETAIN = "retain"
"""The key under which a node keeps a weak reference to the tensor of ``retain_grad``."""

_numbers = count()


class Handle:
    """The result of ``register_hook``: ``remove()``, or the end of a ``with``, removes the hook."""

    def __init__(self, hooks, key):
        self._hooks, self._key = hooks, key

    def remove(self):
        """Remove the hook. A second call does nothing."""
        self._hooks.pop(self._key, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.remove()


def register(tensor, function):
    """A hook on the gradient of ``tensor``; see Tensor.register_hook."""
    if not callable(function):
        raise TypeError(f"a hook is a function of the gradient, not {type(function).__name__}")
    hooks = _hooks_of(tensor, "a hook")
    key = next(_numbers)
    hooks[key] = function
    return Handle(hooks, key)


def retain_grad(tensor):
    """Keep the gradient of a computed tensor in its ``.grad``; see Tensor.retain_grad."""
    hooks = _hooks_of(tensor, "retain_grad")
    if not tensor.is_leaf:
        hooks[RETAIN] = weakref.ref(tensor)


def _hooks_of(tensor, what):
    node = tensor._node
    if node is None:
        raise RuntimeError(
            f"{what} needs a tensor that requires a gradient, and this one, of shape "
            f"{tensor.shape}, does not: set requires_grad=True before the computation"
            + see("Why is there nothing to differentiate?")
        )
    if node.hooks is None:
        node.hooks = {}
    return node.hooks
