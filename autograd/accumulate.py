"""Adding up the contributions to each gradient while a backward pass is under way.

A value that was used more than once receives a contribution from each use, and the derivative of
the whole is their sum. This file forms that sum without needless copies.
"""

from heapq import heappop, heappush

from autograd.device import is_array, namespace

NOTHING = (None, None, False)


class Scatter:
    """A gradient that is zero everywhere but at ``index``, where ``values`` are added.

    Slicing returns one of these instead of a mostly empty array, so n slices of one tensor add
    into one buffer: O(size) in all, not O(n size).
    """

    def __init__(self, shape, index, values):
        self.shape, self.index, self.values = shape, index, values
        self.dtype = values.dtype

    def densify(self, xp=None):
        """The whole array, with the functions of ``xp`` (None: those of its values' library)."""
        xp = namespace(self.values) if xp is None else xp
        return xp.scatter_add(self.shape, self.index, self.values)


class Pending:
    """The gradients that a pass has yet to use: for each node the sum of what has arrived so far.

    An entry is (node, sum, owned). The first contribution is borrowed as it is, since another node
    may have been handed the same array. The second is summed with it into a buffer that the pass
    owns, and later ones are added to that buffer in place. Under ``create_graph`` gradients are
    Tensors, and nothing is ever changed in place.
    """

    __slots__ = ("create_graph", "_sums", "_numbers")

    def __init__(self, create_graph):
        self.create_graph = create_graph
        self._sums = {}  # order of a node -> its entry
        self._numbers = []  # a heap of these orders, negated, since heapq takes out the smallest

    def add(self, node, gradient, fresh):
        """Add one contribution to the gradient of ``node``. ``fresh``: nothing else uses it."""
        order = node.order
        if order not in self._sums:
            self._sums[order] = (node, gradient, fresh)
            heappush(self._numbers, -order)
            return
        _, total, owned = self._sums[order]
        if self.create_graph:
            total, owned = total + gradient, False
        else:
            total, owned = _sum(total, owned, gradient, fresh)
        self._sums[order] = (node, total, owned)

    def newest_first(self):
        """Take out the entries one at a time, always that of the newest node.

        A number may be in the heap twice: when a sum is claimed its number stays there, and is
        pushed again when backward returns the sum. The second time there is no entry.
        """
        while self._numbers:
            entry = self._sums.pop(-heappop(self._numbers), None)
            if entry is not None:
                yield entry

    def claim(self, node, to_write):
        """Take out the sum of ``node`` so far, a contiguous array. None if there is none.

        ``to_write``: the caller will add to it, so it must be owned, or the answer is None.
        """
        _, total, owned = self._sums.get(node.order, NOTHING)
        if not is_array(total) or not total.flags.c_contiguous or (to_write and not owned):
            return None
        del self._sums[node.order]
        return total


def _sum(total, owned, gradient, fresh):
    """total + gradient, in place where ``total`` is owned, and whether the sum is owned."""
    if isinstance(total, Scatter):
        if isinstance(gradient, Scatter):
            total, owned = total.densify(), True
        else:  # the dense one is the one to add to
            total, gradient, owned = gradient, total, fresh
    xp = namespace(total)
    if not owned or type(total) is not xp.array_type:
        if fresh and type(gradient) is xp.array_type:  # add the borrowed one to it, not the reverse
            gradient += total
            return gradient, True
        if not isinstance(gradient, Scatter):
            return xp.asarray(total + gradient), True
        total = xp.array(total)
    if isinstance(gradient, Scatter):
        xp.add_at(total, gradient.index, gradient.values)
    else:
        total += gradient
    return total, True
