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

from autograd.kernels.dispatch import kernel_lock

_held: dict[tuple, tuple] = {}  # (id of the weight, turned, instructions) -> (reference, Packed)
_depth = 0


@contextmanager
def packed_weights_held():
    """In this context packed weights are kept. They must not be changed meanwhile.

    For all threads of the process. The outermost context ends it.
    """
    global _depth
    with kernel_lock:
        _depth += 1
    try:
        yield
    finally:
        with kernel_lock:
            _depth -= 1
            if _depth == 0:
                _held.clear()


def held():
    """Whether packed weights are kept now."""
    return _depth > 0


def packed_weight(weight, turned, instructions, pack):
    """``pack(...)`` of a weight, or with ``turned`` of its transpose, or what was packed before."""
    key = id(weight), turned, instructions
    if key not in _held:  # an id may be given again, but not before its array and this are gone
        alive = weakref.ref(weight, lambda _: _held.pop(key, None))
        _held[key] = alive, pack(weight.T if turned else weight, instructions)
    return _held[key][1]
