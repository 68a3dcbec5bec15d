"""Packed weights that are kept for a while: within a step the weights do not change.

    with packed_weights_held():
        forward and backward of every micro-batch
    optimizer.step()

Forward multiplies by W^T and backward by W, and each packs it in its own way. With one micro-batch
a step each is packed once anyway; with more, every further one finds the weights packed. That costs
as much memory as the weights themselves: two copies, of half the size in bf16.
"""

import weakref
from contextlib import contextmanager
from contextvars import ContextVar

_held: ContextVar[dict | None] = ContextVar("autograd_held_weights", default=None)
"""(id of the weight, turned, instructions) -> (reference, Packed); None where none are kept."""


@contextmanager
def packed_weights_held():
    """In this context packed weights are kept. They must not be changed meanwhile.

    For this thread alone, as ``no_grad``; within such a context another one changes nothing.
    """
    token = _held.set({} if _held.get() is None else _held.get())
    try:
        yield
    finally:
        _held.reset(token)


def held():
    """Whether packed weights are kept now."""
    return _held.get() is not None


def packed_weight(weight, turned, instructions, pack):
    """``pack(...)`` of a weight, or with ``turned`` of its transpose, or what was packed before."""
    kept = _held.get()
    key = id(weight), turned, instructions
    if key not in kept:  # an id may be given again, but not before its array and this are gone
        alive = weakref.ref(weight, lambda _: kept.pop(key, None))
        kept[key] = alive, pack(weight.T if turned else weight, instructions)
    return kept[key][1]
