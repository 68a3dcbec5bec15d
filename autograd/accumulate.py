"""Adding up the contributions to one gradient.

A value that was used more than once receives a contribution from each use, and the derivative of
the whole is their sum. Here is how that sum is formed without needless copies, how a gradient is
brought back to the shape its input had before broadcasting, and the sparse gradient of an index.
"""

from heapq import heappush

from autograd.call_site import describe
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


def contribute(pending, heap, node, gradient, fresh, create_graph):
    """Add one contribution to the pending gradient of ``node``: (node, gradient, owned).

    The first is borrowed as it is; the second is summed with it into a buffer of our own, and
    later ones are added in place. Under ``create_graph`` gradients are Tensors, never changed.
    """
    order = node.order
    if order not in pending:
        pending[order] = (node, gradient, fresh)
        heappush(heap, -order)
        return
    _, held, owned = pending[order]
    total, owned = _sum(held, owned, gradient, fresh, create_graph)
    pending[order] = (node, total, owned)


def _sum(held, owned, gradient, fresh, create_graph):
    """held + gradient, in place where ``held`` is owned, and whether the sum is owned."""
    if create_graph:
        return held + gradient, False
    if isinstance(held, Scatter):
        if isinstance(gradient, Scatter):
            held, owned = dense(held), True
        else:
            held, gradient, owned = gradient, held, fresh
    xp = namespace_of(held)
    if not owned or type(held) is not xp.array_type:
        if fresh and type(gradient) is xp.array_type:  # it is ours: add the borrowed one to it
            gradient += held
            return gradient, True
        if not isinstance(gradient, Scatter):
            return xp.asarray(held + gradient), True
        held = xp.array(held)
    if isinstance(gradient, Scatter):
        xp.add_at(held, gradient.index, gradient.values)
    else:
        held += gradient
    return held, True


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


def fitted(xp, node, i, gradient):
    """The gradient that ``node`` returned for its input i, in that input's shape and dtype."""
    if gradient is None:
        raise RuntimeError(f"{describe(node)} returned no gradient for its input {i}")
    source = node.inputs[i]
    if gradient.shape != source.shape:
        summed = unbroadcast(xp, gradient, source.shape) if node.broadcasts else None
        if summed is None:
            raise RuntimeError(
                f"{describe(node)} returned a gradient of shape {gradient.shape} for its "
                f"input {i}, whose shape is {source.shape}"
            )
        gradient = summed
    if gradient.dtype != source.dtype:
        if isinstance(gradient, Scatter):
            gradient = dense(gradient)
        gradient = xp.astype(gradient, source.dtype)
    return gradient
