"""The backward pass: gradients carried from the outputs back to what they were computed from.

Nodes are taken from newest to oldest, so each is reached when its gradient is complete (see
``engine.py``). ``backward`` adds into the ``.grad`` of leaf tensors; ``grad`` returns gradients and
writes nothing. Under ``create_graph`` every backward runs on Tensors and is recorded in its turn.
"""

from heapq import heappop, heappush

from autograd import _methods
from autograd._tensor import Tensor
from autograd.accumulate import (
    Scatter,
    contribute,
    dense,
    fitted,
    namespace_of,
)
from autograd.call_site import describe, name_the_line
from autograd.device import namespaces
from autograd.grad_mode import enable_grad
from autograd.hooks import run_hooks
from autograd.in_place import InPlace
from autograd.leaf import Leaf, sequence, turn
from autograd.observe import current_observers, tell
from autograd.seed import seed


def run_backward(roots, targets=None, create_graph=False, retain_graph=False):
    """Carry gradients from ``roots``, pairs (node, gradient), back through the graph.

    Without ``targets`` the gradients of leaf tensors land in their ``.grad``. With targets, a set
    of nodes, nothing is written; a dictionary from node to (gradient, whether nobody else holds
    it) is returned.
    """
    observers = current_observers()
    separate = any([observer.separate for observer in observers])
    pending: dict[int, tuple] = {}
    heap: list[int] = []
    found = {}
    oldest = min((node.order for node in targets), default=0) if targets else 0
    for node, gradient in roots:
        if observers:
            tell(observers, "on_contribution", None, None, node, gradient)
        contribute(pending, heap, node, gradient, False, create_graph)
    try:
        while heap:
            order = -heappop(heap)
            if order < oldest:  # older than every target: cannot lead to one
                break
            node, g, owned = pending.pop(order, CLAIMED)
            if node is None:
                continue
            if isinstance(g, Scatter):
                g, owned = dense(g), True
            if observers:
                tell(observers, "on_gradient", node, g)
            if node.hooks is not None:
                g, owned = run_hooks(node, g, owned, create_graph)
            if targets is not None and node in targets:
                found[node], owned = (g, owned), False
            if type(node) is Leaf:
                if targets is None:
                    node.accumulate(g, owned, create_graph)
                continue
            _step(node, g, owned, pending, heap, create_graph, observers, separate)
            if observers:
                tell(observers, "after_backward", node, not retain_graph)
            if not retain_graph:
                node.saved = node.inputs = node.cache = None
    except Exception as error:
        name_the_line(error, node)
        raise
    return found


CLAIMED = (None, None, False)
"""For a number of the heap whose gradient an operation has claimed: the sum has one of its own."""


def _step(node, g, owned, pending, heap, create_graph, observers, separate):
    """Run one node's backward and hand its results to the nodes of its inputs.

    With ``separate`` no contribution is added to in place: an observer wants each as it was.
    """
    inputs = node.inputs
    if inputs is None:
        raise RuntimeError(
            f"backward reached {describe(node)} a second time, and its saved values are gone: "
            "the first backward released them. Pass retain_graph=True to the first one"
        )
    for version in node.versions:
        if version is not None and version[0][0] != version[1]:
            raise RuntimeError(
                f"{describe(node)} saved a tensor that was changed in place before backward "
                f"(it is at version {version[0][0]}, it was saved at version {version[1]}): run "
                "backward before the change, or compute on a copy"
            )
    if create_graph:
        xp = _methods.ops.constants.beside(g)
        gradients = _recorded_backward(node, xp, g)
    else:
        xp = namespaces.get(type(g)) or namespace_of(g)
        saved = node.saved
        if node.works_in_place and not separate:
            room = InPlace(node, pending, g if owned and not observers else None, bool(observers))
            gradients = node.backward(xp, g, *saved, room=room)
        elif len(saved) == 1:
            gradients = node.backward(xp, g, saved[0])
        else:
            gradients = node.backward(xp, g, *saved)
    if type(gradients) is not tuple:
        gradients = tuple(gradients) if isinstance(gradients, list) else (gradients,)
    if len(gradients) != len(inputs):
        raise RuntimeError(
            f"{describe(node)} returned {len(gradients)} gradients for {len(inputs)} inputs"
        )
    fresh = node.fresh_gradients and not separate
    for i, source in enumerate(inputs):
        if source is None:
            continue
        gradient = gradients[i]
        if gradient is None or gradient.shape != source.shape or gradient.dtype is not source.dtype:
            gradient = fitted(xp, node, i, gradient)
        if observers:
            tell(observers, "on_contribution", node, i, source, gradient)
        order = source.order
        if order in pending:
            contribute(pending, heap, source, gradient, fresh, create_graph)
        else:  # as contribute does: the common case, without a call
            pending[order] = (source, gradient, fresh)
            heappush(heap, -order)


def _recorded_backward(node, xp, g):
    """What the backward of ``node`` returns under create_graph: Tensors, recorded in their turn."""
    start, saved, cache = next(sequence), node._saved_tensors(), node.cache
    node.cache = None
    try:
        gradients = node.backward(xp, g, *saved)
    finally:
        node.cache = cache
    if not isinstance(gradients, (tuple, list)):
        gradients = (gradients,)
    gradients = tuple([x.dense(xp) if isinstance(x, Scatter) else x for x in gradients])
    for i, gradient in enumerate(gradients):
        if gradient is not None and not isinstance(gradient, Tensor):
            raise TypeError(
                f"the backward of {describe(node)} returned {type(gradient).__name__} for its "
                f"input {i} under create_graph, expected a Tensor: compute with the functions of "
                "xp that backward is given, and not with those of NumPy"
            )
    if node.read:  # the new nodes keep the same arrays
        _, made = nodes_since(start, [x for x in gradients if x is not None])
        for new in made:
            new.read = (*new.read, *node.read)
            new.versions = [*new.versions, *node.read]
    return gradients


def nodes_since(start, tensors):
    """The nodes that ``tensors`` were computed from: those numbered below ``start``, next to the
    later ones, and the Ops numbered from ``start`` on."""
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


def backward(outputs, gradients, retain_graph=None, create_graph=False):
    """Add the gradient of each output, weighted by ``gradients``, into the leaves' ``.grad``.

    Threads take turns here, since they may add to the same parameters; in ``grad`` they need not.
    """
    retain_graph = create_graph if retain_graph is None else retain_graph
    with turn(), enable_grad():
        roots = [seed(o, g, create_graph) for o, g in zip(outputs, gradients, strict=True)]
        run_backward(roots, None, create_graph, retain_graph)


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    create_graph=False,
    retain_graph=None,
    allow_unused=False,
):
    """The gradients of ``outputs`` with respect to ``inputs``; nothing is written to ``.grad``.

    ``outputs`` and ``inputs`` are a Tensor or a sequence of Tensors; ``grad_outputs`` holds for
    each output a weight of its shape (None: 1, for outputs of one element). With ``create_graph``
    the results can be differentiated again. Returns a tuple of Tensors, one per input.

    Raises TypeError for what is no Tensor, and ValueError for an input that the outputs do not
    depend on, unless ``allow_unused`` (then its entry is None), and for a tensor that does not
    require a gradient. The signature is that of torch.autograd.grad.
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
            )
    retain_graph = create_graph if retain_graph is None else retain_graph
    with enable_grad():
        roots = [seed(o, g, create_graph) for o, g in zip(outputs, grad_outputs, strict=True)]
        nodes = {x._node for x in inputs}
        found = run_backward(roots, nodes, create_graph, retain_graph)
    missing = [i for i, x in enumerate(inputs) if x._node not in found]
    if missing and not allow_unused:
        raise ValueError(
            f"the outputs do not depend on input {missing[0]}, of shape "
            f"{inputs[missing[0]].shape}: remove it, or pass allow_unused=True to get None for it"
        )
    if create_graph:
        return tuple(found[x._node][0] if x._node in found else None for x in inputs)
    taken = set()
    return tuple(_owned_result(found, x._node, taken) for x in inputs)


def _tensors(given, what):
    """A Tensor or a sequence of Tensors as a list."""
    several = not isinstance(given, Tensor) and hasattr(given, "__iter__")
    listed = list(given) if several else [given]
    for x in listed:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"grad: {what} must be a Tensor or a sequence of Tensors, and hold a "
                f"{type(x).__name__}: compute with autograd.ops, on Tensors throughout"
            )
    return listed


def _owned_result(found, node, taken):
    if node not in found:
        return None
    g, owned = found[node]
    xp = namespace_of(g)
    if not owned or node in taken:
        g = xp.array(g)
    taken.add(node)
    return Tensor(xp.asarray(g))
