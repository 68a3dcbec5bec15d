"""Hooks on tensors: functions that see, and may replace, a gradient on its way back.

A hook belongs to the tensor's node in the graph and runs when the gradient of that node is
complete, before it is handed further back or lands in ``.grad``. Nodes keep no hooks until one is
registered.
"""

import weakref
from itertools import count

from autograd._tensor import Tensor
from autograd.accumulate import namespace_of

_numbers = count()


class Handle:
    """What ``register_hook`` returns: ``remove()`` takes the hook away (also as a ``with``)."""

    def __init__(self, hooks, key):
        self._hooks, self._key = hooks, key

    def remove(self):
        """Take the hook away. A second call does nothing."""
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
        hooks["retain"] = weakref.ref(tensor)


def _hooks_of(tensor, what):
    node = tensor._node
    if node is None:
        raise RuntimeError(
            f"{what} needs a tensor that requires a gradient, and this one, of shape "
            f"{tensor.shape}, does not: set requires_grad=True before the computation"
        )
    if node.hooks is None:
        node.hooks = {}
    return node.hooks


def run_hooks(node, g, owned, keep):
    """The gradient ``g`` of ``node`` after its hooks, and whether nobody else holds it.

    With ``keep`` (create_graph) gradients are Tensors with a history; else they are arrays.
    """
    for key, function in list(node.hooks.items()):
        if key == "retain":
            continue
        given = g if keep else Tensor(namespace_of(g).asarray(g))
        replaced = function(given)
        owned = False  # the hook may have kept it
        if replaced is None:
            continue
        name = getattr(function, "__qualname__", type(function).__name__)
        if not isinstance(replaced, Tensor):
            raise TypeError(
                f"the hook {name} returned {type(replaced).__name__}: return a Tensor, or None to "
                "leave the gradient as it is"
            )
        if replaced.shape != node.shape or replaced.dtype != node.dtype:
            raise ValueError(
                f"the hook {name} returned a gradient of shape {replaced.shape} and type "
                f"{replaced.dtype}, expected {node.shape} and {node.dtype}"
            )
        g = replaced if keep else replaced._data
    retained = node.hooks.get("retain")
    if retained is not None:
        _retain(retained(), g, keep)
        owned = False
    return g, owned


def _retain(tensor, g, keep):
    """Add ``g`` to the ``.grad`` of a computed tensor, if anybody still holds that tensor."""
    if tensor is None:
        return
    if keep:
        tensor._grad = g if tensor._grad is None else tensor._grad + g
        return
    xp = namespace_of(g)
    total = xp.array(g) if tensor._grad is None else xp.asarray(tensor._grad._data + g)
    tensor._grad = Tensor(total)
