"""Recomputing activations instead of keeping them.

Backward needs the activations of forward, and a deep model's do not fit. A checkpointed segment
keeps its inputs only; when backward reaches it, the segment runs once more, this time to be
differentiated at once (Chen, Xu, Zhang and Guestrin, "Training deep nets with sublinear memory
cost", 2016). With the segments of equal length, a chain of n operations in sqrt(n) segments keeps
about 2 sqrt(n) activations for the price of one more forward.

It takes one unusual node and nothing of the engine. ``Checkpoint`` is the identity of the segment's
output, and forgets what it was computed from. Its backward runs the segment again and *becomes the
identity of the new output*: the engine hands the gradient to that output's node. The new nodes are
the newest of all, so newest first takes them next, before anything that the segment was computed
from. Nothing is differentiated apart: parameters that the function closes over, second derivatives
and ``grad()`` all work as if there were no checkpoint.
"""

from autograd._tensor import Tensor
from autograd.device import namespace
from autograd.engine import Op
from autograd.grad_mode import enable_grad
from autograd.leaf import Leaf, sequence

SAMPLE_SIZE = 64


class Checkpoint(Op):
    """y = f(inputs), forgotten and computed again.

    Saves: the segment: f, its inputs, the states of its generators
    Back:  the gradient goes to the output of the second computation
    """

    returns_view = True

    def forward(self, xp, y):
        return y

    def backward(self, xp, g, segment):
        self.inputs[:] = [segment.again()._node]
        return g

    def _saved_tensors(self):
        return self.saved  # no arrays, but the segment: the same whatever computes


class Segment:
    """A call of a function that can be repeated."""

    def __init__(self, f, inputs, options, rngs):
        self.f, self.inputs, self.options, self.rngs = f, inputs, options, rngs
        self.states = [rng.bit_generator.state for rng in rngs]

    def run(self):
        """The output, as a Tensor."""
        y = self.f(*self.inputs, **self.options)
        if not isinstance(y, Tensor):
            raise TypeError(
                f"checkpoint: f returned {type(y).__name__}, expected one Tensor (checkpoint the "
                "parts by themselves, or concatenate them)"
            )
        return y

    def again(self):
        """The output computed a second time, with the random numbers of the first."""
        now = [rng.bit_generator.state for rng in self.rngs]
        try:
            for rng, state in zip(self.rngs, self.states, strict=True):
                rng.bit_generator.state = state
            with enable_grad():
                y = self.run()
        finally:
            for rng, state in zip(self.rngs, now, strict=True):
                rng.bit_generator.state = state
        if y._node is None or (y.shape, y.dtype) != self.form or not _alike(self.sample, y._data):
            raise RuntimeError(
                "checkpoint: f gave another result the second time. Does it draw from a random "
                "generator that is not in rngs, or read something that has changed since?"
            )
        return y

    def remember(self, y):
        """Keep a few of the output's numbers, to recognise it by."""
        self.form, self.sample = (y.shape, y.dtype), _sample(y._data)


def checkpoint(f, *inputs, rngs=(), **options):
    """``f(*inputs, **options)``, whose intermediate values backward will compute again.

    ``f`` returns one Tensor. Gradients reach the inputs and whatever else f computes with, such as
    the parameters of a module. ``rngs`` are the np.random.Generators that f draws from: their
    states are kept, so that dropout has the same mask again, and backward leaves the generators
    as it found them.

    Everything works as without it, second derivatives (``create_graph``) as well; there, and with
    ``retain_graph``, the values that were computed again stay, and no memory is saved.

    Raises RuntimeError in backward when f gives another result the second time, or when one of its
    inputs or parameters was changed in place. The signature follows torch.utils.checkpoint.
    """
    segment = Segment(f, inputs, options, tuple(rngs))
    start = next(sequence)
    y = segment.run()
    if y._node is None:
        return y
    segment.remember(y)
    sources = earlier_nodes([y], start)
    read = [x for x in inputs if isinstance(x, Tensor)]
    read += [x for node in sources if isinstance(node, Leaf) and (x := node.tensor()) is not None]
    output = Checkpoint()(y)
    node = output._node
    node.inputs, node.needs, node.saved = sources, (True,) * len(sources), [segment]
    node.versions = [(x._version, x._version[0]) for x in read]
    return output


def earlier_nodes(tensors, start):
    """The nodes numbered below ``start`` that these tensors were computed from, by later ones."""
    found, seen = [], set()
    stack = [x._node for x in tensors]
    while stack:
        node = stack.pop()
        if node is None or node.order in seen:
            continue
        seen.add(node.order)
        if node.order < start:
            found.append(node)
        elif not isinstance(node, Leaf):
            stack.extend(node.inputs or ())
    return found


def _sample(y):
    flat = y.reshape(-1)
    return flat[:: max(1, flat.size // SAMPLE_SIZE)].copy()


def _alike(sample, y):
    """Whether ``y`` has these numbers, up to what another order of summation may change."""
    xp = namespace(y)
    finite = xp.abs(xp.where(xp.isfinite(sample), sample, 0))
    size = xp.max(finite) if finite.size else 0
    tolerance = float(size) * float(xp.finfo(y.dtype).eps) ** 0.5
    return bool(xp.all(xp.isclose(_sample(y), sample, rtol=0, atol=tolerance, equal_nan=True)))
