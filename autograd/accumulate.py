"""Adding up the contributions to one gradient.

A value that was used more than once receives a contribution from each use, and the derivative of
the whole is their sum. Here is how that sum is formed without needless copies, how a gradient is
brought back to the shape its input had before broadcasting, and the sparse gradient of an index.
"""

import heapq

from autograd.device import is_array, namespace, numpy_namespace


class Scatter:
    """A gradient that is zero everywhere but at ``index``, where ``values`` are added.

    Slicing returns one of these instead of a mostly empty array, so n slices of one tensor add
    into one buffer: O(size) in all, not O(n size).
    """

    def __init__(self, shape, index, values):
        self.shape, self.index, self.values = shape, index, values
        self.dtype = values.dtype

    def dense(self, xp):
        return xp.scatter_add(self.shape, self.index, self.values)


class Entry:
    """The gradient of one node's output while contributions still arrive."""

    __slots__ = ("node", "gradient", "owned")

    def __init__(self, node, gradient, owned):
        self.node, self.gradient, self.owned = node, gradient, owned


class Pending(dict[int, Entry]):
    """The gradients that are still being added up in one backward pass, by number of the node.

    ``thread`` runs the pass, and ``accumulating`` says whether it ends in ``.grad``. A node knows
    the pass that runs its backward; when two threads go through one graph at once (each with
    retain_graph), the thread tells whether that is the one that asks.
    """

    __slots__ = ("thread", "accumulating")

    def __init__(self, thread, accumulating):
        self.thread, self.accumulating = thread, accumulating


def contribute(pending, heap, node, gradient, fresh, create_graph):
    """Add one contribution to the pending gradient of ``node``.

    The first is borrowed as it is; the second is summed with it into a buffer of our own, and
    later ones are added in place. Under ``create_graph`` gradients are Tensors, never changed.
    """
    entry = pending.get(node.order)
    if entry is None:
        pending[node.order] = Entry(node, gradient, fresh)
        heapq.heappush(heap, -node.order)
        return
    held = entry.gradient
    if gradient is held:  # added in place through Op.into
        return
    if create_graph:
        entry.gradient = held + gradient
        return
    if isinstance(held, Scatter):
        if isinstance(gradient, Scatter):
            held, entry.owned = dense(held), True
        else:
            held, gradient = gradient, held
            entry.owned = fresh
    xp = namespace_of(held)
    if entry.owned and type(held) is xp.array_type:
        if isinstance(gradient, Scatter):
            xp.add_at(held, gradient.index, gradient.values)
        else:
            held += gradient
        entry.gradient = held
    elif isinstance(gradient, Scatter):
        entry.gradient = xp.array(held)
        xp.add_at(entry.gradient, gradient.index, gradient.values)
        entry.owned = True
    else:
        entry.gradient = xp.asarray(held + gradient)
        entry.owned = True


def dense(scatter):
    """The Scatter as a whole array."""
    return scatter.dense(namespace_of(scatter.values))


def namespace_of(gradient):
    """The namespace of an array or of a NumPy scalar."""
    return namespace(gradient) if is_array(gradient) else numpy_namespace


def unbroadcast(xp, g, shape):
    """Sum ``g`` over the axes along which an array of ``shape`` was broadcast to ``g.shape``.

    Broadcasting copies; the derivative of a copy is a sum over the copies. Returns None when no
    broadcasting leads from ``shape`` to ``g.shape``.
    """
    extra = g.ndim - len(shape)
    if extra < 0:
        return None
    axes = tuple(range(extra))
    for axis, n in enumerate(shape, start=extra):
        if n != g.shape[axis]:
            if n != 1:
                return None
            axes += (axis,)
    return xp.reshape(xp.sum(g, axis=axes), shape)
