"""The backward pass: gradients carried from the outputs back to what they were computed from.

Nodes are taken from newest to oldest, so each is reached when its gradient is complete (see
``engine.py``). ``backward`` adds into the ``.grad`` of leaf tensors; ``grad`` returns gradients and
writes nothing. Under ``create_graph`` every backward runs on Tensors and is itself recorded.

The loop of ``reference.py`` is in ``_Pass``: ``run`` takes the nodes in their order, and
``differentiate`` runs one and adds up what it returns. The rest is what ``engine.py`` lists.
"""

import os
import threading
from collections.abc import Sequence
from typing import Any

from autograd import _methods
from autograd._tensor import Tensor
from autograd.accumulate import Pending, Scatter
from autograd.call_site import describe, name_the_line
from autograd.device import namespace
from autograd.grad_mode import enable_grad
from autograd.hooks import RETAIN
from autograd.in_place import InPlace
from autograd.leaf import Leaf, creation_order
from autograd.observe import current_observers, notify
from autograd.plain import plain_array
from autograd.questions import see
from autograd.unbroadcast import fit_to_input


def run_backward(roots, targets=None, create_graph=False, retain_graph=False):
    """Carry gradients from ``roots``, pairs (node, gradient), back through the graph.

    Without ``targets`` the gradients of leaf tensors are added to their ``.grad``. With targets, a
    set of nodes, nothing is written; a dictionary is returned from node to (gradient, whether the
    pass is the array's only owner).
    """
    return _Pass(targets, create_graph, retain_graph).run(roots)


class _Pass:
    """One walk back through the graph, and the rules that it follows."""

    def __init__(self, targets, create_graph, retain_graph):
        self.targets, self.create_graph, self.retain_graph = targets, create_graph, retain_graph
        self.pending = Pending(create_graph)
        self.observers = current_observers()
        self.needs_every_contribution = any([o.needs_every_contribution for o in self.observers])
        self.gradients = {}  # of the targets

    def run(self, roots):
        """Carry gradients back from ``roots``; see ``run_backward``."""
        observers, targets = self.observers, self.targets
        oldest = min([node.order for node in targets], default=0) if targets else 0
        for node, gradient in roots:
            if observers:
                notify(observers, "on_contribution", None, None, node, gradient)
            self.pending.add(node, gradient, fresh=False)
        try:
            # Every use of a node's output is a newer node. So when a node's turn comes, all of them
            # have contributed, and its gradient g is complete. (owned: the pass is g's only owner.)
            for node, g, owned in self.pending.newest_first():
                if node.order < oldest:  # older than every target: cannot lead to one
                    break
                if isinstance(g, Scatter):
                    g, owned = g.densify(), True
                if observers:
                    notify(observers, "on_gradient", node, g)
                if node.hooks is not None:
                    g, owned = run_hooks(node, g, owned, self.create_graph)
                if targets is not None and node in targets:
                    self.gradients[node], owned = (g, owned), False

                # A leaf keeps its gradient; an operation hands it on to its inputs.
                if type(node) is not Leaf:
                    self.differentiate(node, g, owned)
                elif targets is None:
                    node.accumulate(g, owned, self.create_graph)
        except Exception as error:
            name_the_line(error, node)
            raise
        return self.gradients

    def differentiate(self, node, g, owned):
        """Run the backward of one operation and add what it returns to its inputs' gradients."""
        if node.inputs is None:
            refuse_released(node)
        for version in node.versions:
            if version is not None and version[0][0] != version[1]:
                refuse_changed(node, version)

        # The chain rule for this operation: from dL/d output to dL/d input, for each input.
        if self.create_graph:
            xp = _methods.ops.constants.namespace_like(g)
            gradients = recorded_backward(node, xp, g)
        else:
            xp, saved = namespace(g), node.saved
            if node.works_in_place and not self.needs_every_contribution:
                reusable = owned and not self.observers and isinstance(g, xp.array_type)
                reusable_g = g if reusable else None  # (NumPy's scalars cannot be written to)
                room = InPlace(node, self.pending, reusable_g, bool(self.observers))
                gradients = node.backward(xp, g, *saved, room=room)
            elif len(saved) == 1:  # calls without unpacking are faster
                gradients = node.backward(xp, g, saved[0])
            elif len(saved) == 2:
                gradients = node.backward(xp, g, saved[0], saved[1])
            else:
                gradients = node.backward(xp, g, *saved)
        if type(gradients) is not tuple:
            gradients = tuple(gradients) if isinstance(gradients, list) else (gradients,)
        inputs = node.inputs
        if len(gradients) != len(inputs):
            raise RuntimeError(
                f"{describe(node)} returned {len(gradients)} gradients for {len(inputs)} inputs"
            )

        # An input may have been used elsewhere too: its gradient is the sum over all uses.
        # (fresh: nothing else uses this array, so it may become the sum, or .grad, without a copy.)
        may_keep = not self.needs_every_contribution
        for i, source in enumerate(inputs):
            if source is None:  # a constant, or an input that requires no gradient
                continue
            gradient = fitted = gradients[i]
            if (
                gradient is None
                or gradient.shape != source.shape
                or gradient.dtype is not source.dtype
            ):
                fitted = fit_to_input(xp, node, i, gradient)
            if self.observers:
                notify(self.observers, "on_contribution", node, i, source, fitted)
            fresh = may_keep and (node.fresh_gradients or fitted is not gradient)
            self.pending.add(source, fitted, fresh)

        # What it saved is no longer needed: memory falls as the pass goes on.
        if self.observers:
            notify(self.observers, "after_backward", node, not self.retain_graph)
        if not self.retain_graph:
            node.saved = node.inputs = node.cache = None


def refuse_released(node):
    """Raise RuntimeError for a node that an earlier pass has released."""
    raise RuntimeError(
        f"backward reached {describe(node)} a second time, and its saved values are gone: "
        "the first backward released them. Pass retain_graph=True to the first one"
        + see("Why can backward run only once?")
    )


def refuse_changed(node, version):
    """Raise RuntimeError for a node that saved a tensor which has changed since."""
    counter, when_saved = version
    raise RuntimeError(
        f"{describe(node)} saved a tensor that was changed in place before backward "
        f"(it is at version {counter[0]}, it was saved at version {when_saved}): run "
        "backward before the change, or compute on a copy"
        + see("Why is an in-place change an error?")
    )


def recorded_backward(node, xp, g):
    """What the backward of ``node`` returns under create_graph: Tensors with a history."""
    start, saved, cache = next(creation_order), node._saved_tensors(), node.cache
    node.cache = None  # it must be computed again, as a function of the inputs
    try:
        gradients = node.backward(xp, g, *saved)
    finally:
        node.cache = cache
    if not isinstance(gradients, (tuple, list)):
        gradients = (gradients,)
    gradients = tuple([x.densify(xp) if isinstance(x, Scatter) else x for x in gradients])
    for i, gradient in enumerate(gradients):
        if gradient is not None and not isinstance(gradient, Tensor):
            raise TypeError(
                f"the backward of {describe(node)} returned {type(gradient).__name__} for its "
                f"input {i} under create_graph, expected a Tensor: compute with the functions of "
                "xp that backward is given, and not with those of NumPy"
                + see("How does double backward work?")
            )
    if node.read:  # the nodes just recorded use the same index, targets or mask: check it there too
        _, made = nodes_since(start, [x for x in gradients if x is not None])
        for new in made:
            new.read = (*new.read, *node.read)
            new.versions = [*new.versions, *node.read]
    return gradients


def nodes_since(start, tensors):
    """The nodes that ``tensors`` were computed from, in two lists.

    First those numbered below ``start`` that the later ones were computed from; then the Ops
    numbered from ``start`` on.
    """
    earlier, later, seen = [], [], set()
    stack = [x._node for x in tensors]
    while stack:
        node = stack.pop()
        if node is None or node.order in seen:
            continue
        seen.add(node.order)
        if node.order < start:
            earlier.append(node)
        elif not isinstance(node, Leaf):
            later.append(node)
            stack.extend(node.inputs or ())
    return earlier, later


# --- hooks ----------------------------------------------------------------------------------------


def run_hooks(node, g, owned, create_graph):
    """The gradient ``g`` of ``node`` after its hooks, and whether the pass is its only owner.

    Under ``create_graph`` gradients are Tensors with a history, otherwise arrays.
    """
    for key, function in list(node.hooks.items()):
        if key == RETAIN:
            continue
        replacement = function(g if create_graph else Tensor(namespace(g).asarray(g)))
        owned = False  # the hook may have kept it
        if replacement is None:
            continue
        name = getattr(function, "__qualname__", type(function).__name__)
        if not isinstance(replacement, Tensor):
            raise TypeError(
                f"the hook {name} returned {type(replacement).__name__}: return a Tensor, or None "
                "to leave the gradient as it is"
            )
        if replacement.shape != node.shape or replacement.dtype != node.dtype:
            raise ValueError(
                f"the hook {name} returned a gradient of shape {replacement.shape} and type "
                f"{replacement.dtype}, expected {node.shape} and {node.dtype}"
            )
        g = replacement if create_graph else replacement._data
    if RETAIN in node.hooks:
        _retain(node.hooks[RETAIN](), g, create_graph)
        owned = False
    return g, owned


def _retain(tensor, g, create_graph):
    """Add ``g`` to the ``.grad`` of a computed tensor, if that tensor still exists."""
    if tensor is None:
        return
    if create_graph:
        tensor._grad = g if tensor._grad is None else tensor._grad + g
        return
    xp = namespace(g)
    total = xp.array(g) if tensor._grad is None else xp.asarray(tensor._grad._data + g)
    tensor._grad = Tensor(total)


# --- what users call ------------------------------------------------------------------------------

grad_lock = threading.RLock()
"""Held while a pass adds into ``.grad``: two threads may share parameters."""


def _new_lock():
    global grad_lock
    grad_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)  # the thread that held the old one is not there


def backward(outputs, gradients, retain_graph=None, create_graph=False):
    """Add the gradient of each output, weighted by ``gradients``, into the leaves' ``.grad``.

    Threads wait for each other here, since they may add to the same parameters; in ``grad`` they
    need not.
    """
    retain_graph = create_graph if retain_graph is None else retain_graph
    with grad_lock, enable_grad():
        pairs = zip(outputs, gradients, strict=True)
        roots = [starting_gradient(y, g, create_graph) for y, g in pairs]
        run_backward(roots, None, create_graph, retain_graph)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> tuple[Tensor, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``; nothing is written to ``.grad``.

    ``outputs`` and ``inputs`` are a Tensor or a sequence of Tensors; ``grad_outputs`` holds for
    each output a weight of its shape (None: 1, for outputs of one element). With ``create_graph``
    the results can be differentiated again. Returns a tuple of Tensors, one per input.

    Raises TypeError for anything but Tensors, and ValueError for an input that does not require a
    gradient, or that the outputs do not depend on (with ``allow_unused`` its entry is None
    instead). The signature is that of torch.autograd.grad.
    """
    outputs, inputs = _tensors(outputs, "outputs"), _tensors(inputs, "inputs")
    if grad_outputs is None:
        grad_outputs = [None] * len(outputs)
    elif not isinstance(grad_outputs, (list, tuple)):
        grad_outputs = [grad_outputs]
    if len(grad_outputs) != len(outputs):
        raise ValueError(f"{len(grad_outputs)} grad_outputs for {len(outputs)} outputs")
    for i, x in enumerate(inputs):
        if x._node is None:
            raise ValueError(
                f"input {i}, of shape {x.shape}, does not require a gradient: "
                "set requires_grad=True before the computation"
                + see("Why is there nothing to differentiate?")
            )
    retain_graph = create_graph if retain_graph is None else retain_graph
    with enable_grad():
        pairs = zip(outputs, grad_outputs, strict=True)
        roots = [starting_gradient(y, g, create_graph) for y, g in pairs]
        nodes = {x._node for x in inputs}
        gradients = run_backward(roots, nodes, create_graph, retain_graph)
    missing = [i for i, x in enumerate(inputs) if x._node not in gradients]
    if missing and not allow_unused:
        raise ValueError(
            f"the outputs do not depend on input {missing[0]}, of shape "
            f"{inputs[missing[0]].shape}: remove it, or pass allow_unused=True to get None for it"
            + see("Why is there nothing to differentiate?")
        )
    if create_graph:
        return tuple([gradients.get(x._node, (None, False))[0] for x in inputs])
    returned: set[Any] = set()  # nodes
    return tuple([_own_result(gradients, x._node, returned) for x in inputs])


def _tensors(tensors, what):
    """A Tensor or a sequence of Tensors as a list."""
    several = not isinstance(tensors, Tensor) and hasattr(tensors, "__iter__")
    tensors = list(tensors) if several else [tensors]
    for x in tensors:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"grad: {what} must be a Tensor or a sequence of Tensors, and hold a "
                f"{type(x).__name__}: compute with autograd.ops, on Tensors throughout"
            )
    return tensors


def _own_result(gradients, node, returned):
    """The gradient of a target as a Tensor, in an array that was not returned already."""
    if node not in gradients:
        return None
    g, owned = gradients[node]
    xp = namespace(g)
    if not owned or node in returned:
        g = xp.array(g)
    returned.add(node)
    return Tensor(xp.asarray(g))


def starting_gradient(output, gradient, create_graph):
    """The node of ``output`` with the gradient that the pass starts from: (node, dL/d output).

    It is 1 for an output of one element, dL/dL, and otherwise must be given: the weight of each
    element.
    """
    if output._node is None:
        if output.dtype.kind != "f":
            raise RuntimeError(
                f"this tensor, of shape {output.shape}, holds {output.dtype}, and only "
                "floating-point numbers have a derivative: there is nothing to differentiate"
                + see("Why has argmax no gradient?")
            )
        raise RuntimeError(
            f"this tensor, of shape {output.shape}, was not computed from any tensor that requires "
            "a gradient (or under no_grad): there is nothing to differentiate"
            + see("Why is there nothing to differentiate?")
        )
    xp = namespace(output._data)
    if gradient is None:
        if output.size != 1:
            raise RuntimeError(
                f"the output has shape {output.shape}: only a single number can be differentiated "
                "without saying how its elements are weighted; pass a gradient of that shape, or "
                "sum first" + see("What is a vjp?")
            )
        gradient = xp.ones(output.shape, dtype=output.dtype)
        return output._node, Tensor(gradient) if create_graph else gradient
    if not isinstance(gradient, Tensor):
        gradient = xp.asarray(plain_array(gradient, "the gradient that backward starts from"))
        gradient = Tensor(gradient) if create_graph else gradient
    elif not create_graph:
        gradient = xp.asarray(gradient._data)
    if gradient.shape != output.shape:
        raise ValueError(
            f"the gradient has shape {gradient.shape}, the output {output.shape}: they must agree"
        )
    if gradient.dtype != output.dtype:
        gradient = gradient.astype(output.dtype)
    return output._node, gradient
