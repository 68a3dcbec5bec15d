"""Recomputing activations instead of keeping them.

Backward needs the activations of forward, and those of a deep model may not fit into memory. A
recomputed segment keeps only its inputs; when backward reaches it, the segment runs once more and
is differentiated at once. This is also called gradient checkpointing (Chen, Xu, Zhang and Guestrin,
"Training deep nets with sublinear memory cost", 2016). With segments of equal length, a chain of n
operations in sqrt(n) segments keeps about 2 sqrt(n) activations for the price of one more forward.

It needs one unusual node and nothing from the engine. ``Recompute`` is the identity applied to the
segment's output, and forgets what that was computed from. Its backward runs the segment again and
*becomes the identity of the new output*: the engine hands the gradient to that output's node. The
new nodes are the newest of all, so newest first takes them next, before anything that the segment
was computed from. Nothing is differentiated separately: parameters that the function closes over,
second derivatives and ``grad()`` all work as if nothing were recomputed.

A function with several outputs is treated as one with a single output: all their elements side by
side in one array, from which the outputs are read again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd import ops
from autograd._tensor import Tensor
from autograd.backward import nodes_since
from autograd.device import is_array, namespace
from autograd.engine import Op
from autograd.functional.tree import flatten
from autograd.grad_mode import enable_grad
from autograd.leaf import Leaf, creation_order
from autograd.observe import current_observers, notify
from autograd.precision import current_precision, matmul_precision
from autograd.questions import see
from autograd.saved_tensors import current_hooks, use_hooks

SAMPLE_SIZE = 64


class Recompute(Op):
    """y = f(inputs), forgotten and computed again.

    Saves: the segment: f, its inputs, the states of its generators
    Derivative: g goes to the output of the second computation
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
        self.precision, self.hooks = current_precision(), current_hooks()
        self.leaves = []  # the nodes of the parameters and other leaf tensors that f reads

    def tensors(self):
        """The Tensors that the call was seen to read, besides computed ones it closes over."""
        read = (*self.inputs, *self.options.values(), *[node.tensor() for node in self.leaves])
        return [x for x in read if isinstance(x, Tensor)]

    def arrays(self):
        """Pairs (name, array) of what must not change until the second run."""
        arrays = [x for x in (*self.inputs, *self.options.values()) if is_array(x)]
        return [("read by f", array) for array in (*arrays, *[x._data for x in self.tensors()])]

    def run(self):
        """The outputs, a list of Tensors, and the Structure of what f returned."""
        outputs, structure = flatten(self.f(*self.inputs, **self.options))
        for y, path in zip(outputs, structure.paths("the output"), strict=True):
            if not isinstance(y, Tensor):
                raise TypeError(
                    f"recompute: {path} of f is of type {type(y).__name__}, expected a Tensor, or "
                    "tuples, lists and dicts of Tensors"
                )
        return outputs, structure

    def again(self):
        """The output computed a second time, with the random numbers of the first."""
        now = [rng.bit_generator.state for rng in self.rngs]
        try:
            for rng, state in zip(self.rngs, self.states, strict=True):
                rng.bit_generator.state = state
            with enable_grad(), matmul_precision(self.precision), use_hooks(self.hooks):
                outputs, _ = self.run()
                same = forms_of(outputs) == self.forms
                y = joined([y for y in outputs if y._node is not None]) if same else None
        finally:
            for rng, state in zip(self.rngs, now, strict=True):
                rng.bit_generator.state = state
        if y is None or not _alike(self.sample, y._data):
            raise RuntimeError(
                "recompute: f gave another result the second time. Does it draw from a random "
                "generator that is not in rngs, or read something that has changed since?"
                + see("What does recomputation save, and what does it cost?")
            )
        return y

    def remember(self, outputs, y):
        """Keep the outputs' shapes and types and a few of their numbers, to recognise them by."""
        self.forms, self.sample = forms_of(outputs), _sample(y._data)


def forms_of(outputs):
    return [(y.shape, y.dtype, y.requires_grad) for y in outputs]


def joined(tensors):
    """One Tensor: the only one as it is, or the elements of all, in the widest of their types."""
    if len(tensors) == 1:
        return tensors[0]
    return ops.concatenate([ops.reshape(y, (y.size,)) for y in tensors])


def parted(y, tensors):
    """What ``joined(tensors)`` was made of, read from it: a list of Tensors."""
    if len(tensors) == 1:
        return [y]
    parts, start = [], 0
    for like in tensors:
        part = ops.reshape(y[start : start + like.size], like.shape)
        parts.append(ops.astype(part, like.dtype))
        start += like.size
    return parts


def recompute(
    f: Callable[..., Any], *inputs: Any, rngs: Sequence[np.random.Generator] = (), **options: Any
) -> Any:
    """``f(*inputs, **options)``, whose intermediate values backward will compute again.

    ``f`` returns a Tensor, or nested tuples, lists and dicts of Tensors; if several of them require
    a gradient, they are copied side by side into one array. Gradients reach the inputs and
    everything else that f computes with, such as the parameters of a module. ``rngs`` are the
    np.random.Generators that f draws from: their states are saved, so that dropout has the same
    mask the second time, and backward leaves the generators as it found them.

    Everything works as without it, including second derivatives (``create_graph``); with those, and
    with ``retain_graph``, the recomputed values stay, and no memory is saved.

    Raises TypeError when f returns anything else, and RuntimeError in backward when f gives another
    result the second time, or when something that it read was changed in place. The signature
    follows torch.utils.checkpoint, and ``checkpoint`` is another name of this function.
    """
    segment = Segment(f, inputs, options, tuple(rngs))
    start = next(creation_order)
    with use_hooks(None):  # what this run records is forgotten
        outputs, structure = segment.run()
    recorded = [y for y in outputs if y._node is not None]
    if not recorded:
        return structure.build(outputs)
    whole = joined(recorded)
    segment.remember(outputs, whole)
    sources, inner = nodes_since(start, [whole])
    segment.leaves = [node for node in sources if isinstance(node, Leaf)]
    read = segment.tensors()
    output = Recompute()(whole)
    node = output._node
    node.inputs, node.needs, node.saved = sources, (True,) * len(sources), [segment]
    node.versions = [(x._version, x._version[0]) for x in read]
    node.versions += [version for op in inner for version in op.versions or ()]
    notify(current_observers(), "after_saving", node)
    parts = iter(parted(output, recorded))
    return structure.build([y if y._node is None else next(parts) for y in outputs])


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
