"""Working in place: what the backward of one operation may add to, and what it may overwrite.

Most of the time of a backward pass goes to large arrays, and every walk over one counts. A fused
kernel can save two: it adds its contribution to a sum that exists already, instead of returning an
array for the engine to add, and it writes a gradient over the one that came in, instead of into new
memory. Neither changes the mathematics, so a reference.py never does it.

An Op that can use this says ``works_in_place = True``. Its backward is then handed an ``InPlace``
as ``room``, or None where nothing may be changed: under ``create_graph``, and while an observer
needs every contribution as it was returned.
"""


class InPlace:
    """The room that one call of ``backward`` has to work in place. It is of no use afterwards.

    A sum that is claimed leaves the pass: what backward returns for that input must be the whole
    sum, the claimed part included. It then counts as the first contribution.
    """

    __slots__ = ("reusable_g", "_node", "_pending", "_observed")

    def __init__(self, node, pending, reusable_g, observed):
        self._node, self._pending, self._observed = node, pending, observed
        self.reusable_g = reusable_g
        """The array ``g`` if nothing else needs it, to write a gradient into; otherwise None."""

    def claim_buffer(self, i):
        """The sum of input i's gradient so far, to be added to in place and returned; or None.

        It is None when nothing has arrived, or when the only contribution is borrowed, an array
        that another gradient may share.
        """
        needed = self._node.needs[i]
        return self._pending.claim(self._node.inputs[i], to_write=True) if needed else None

    def claim_partial(self, i):
        """The sum of input i's gradient so far, only to be read; or None.

        It may be borrowed: backward adds it to a new array. Observers may keep what they see, and
        are shown each contribution without it, so with one there is nothing to claim.
        """
        needed = self._node.needs[i] and not self._observed
        return self._pending.claim(self._node.inputs[i], to_write=False) if needed else None
