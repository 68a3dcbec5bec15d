"""Reverse-mode differentiation: the operation as a graph node, recording, and the backward pass.

The whole method in one paragraph. Calling an ``Op`` computes its output with plain arrays and, when
an input wants a gradient, keeps the Op itself as the node of the output: what its derivative needs,
and links to the nodes of its inputs. ``backward`` walks these nodes from newest to oldest. An
operation is always newer than everything it was computed from, so when a node is reached every
use of its output has already been handled and its gradient is complete: newest first *is* a
reverse topological order, and no separate sort is needed.

    dL/dx = sum over the ops that used x of (dL/d output) (d output/dx)

The sum is the reason gradients are *added* into place: x may be used more than once.
"""

from copy import copy
from heapq import heappop, heappush
from typing import Any

from autograd import _tensor, device
from autograd._tensor import Tensor
from autograd.accumulate import (
    Pass,
    Scatter,
    contribute,
    current_pass,
    dense,
    fitted,
    namespace_of,
)
from autograd.call_site import call_site, describe, describe_site, name_the_line
from autograd.device import is_array, namespace, namespaces, numpy_namespace
from autograd.grad_mode import enable_grad, is_grad_enabled
from autograd.hooks import run_hooks
from autograd.leaf import Leaf, sequence, turn
from autograd.observe import current_observers, tell
from autograd.seed import seed

new_tensor = object.__new__  # a Tensor without __init__: its checks are for users

NOT_CALLED = ()  # the inputs of an Op that is no node yet


class Op:
    """One differentiable operation, and once called, one node of the graph.

    A subclass gives ``forward(self, xp, *inputs)``, the output as an array, and
    ``backward(self, xp, g, *saved)``, the gradient of every input (None where ``self.needs[i]`` is
    false) given the gradient ``g`` of the output. Both are written against a namespace ``xp``. For
    first derivatives it is NumPy or CuPy; under ``create_graph=True`` it is ``autograd.ops``, all
    values are Tensors, and backward itself is recorded: second derivatives need no other rule.

    Three kinds of things may be kept for backward:

    - ``save_inputs`` (positions) and ``save_output``: handed to backward after ``g``, in that
      order, the output last;
    - ``self.cache``: values that depend differentiably on the inputs (a mean, a log-sum-exp). It
      is None under ``create_graph``, where they must be recomputed, or a second derivative would
      take them for constants;
    - any other attribute: what has no derivative (an axis, a shape, ids, a dropout mask). NumPy
      arrays among them are brought to the inputs' array library when the Op is called.
    """

    broadcasts = False
    """The engine may sum a gradient over the axes along which its input was broadcast."""
    save_inputs: tuple[int, ...] = ()
    save_output = False
    saved_for: dict[int, tuple[int, ...]] = {}
    """A saved input named here is kept only if one of these inputs wants a gradient, else None."""
    returns_view = False
    """The output may share memory with input 0, and so shares its version."""
    fresh_gradients = False
    """backward returns arrays that nobody else holds: they may be kept without a copy."""

    needs: tuple[bool, ...] = ()
    inputs: Any = NOT_CALLED
    saved: Any = ()
    versions: Any = ()
    cache = None
    hooks: Any = None
    _own_frames = 1

    def __init_subclass__(cls):
        # autograd.ops calls its ops from its own functions: one frame less to look at (call_site)
        cls._own_frames = 2 if cls.__module__.startswith("autograd.ops.") else 1

    def forward(self, xp, *inputs):
        raise TypeError(f"{type(self).__name__} defines no forward")

    def backward(self, xp, g, *saved):
        raise TypeError(f"{type(self).__name__} has no gradient")

    def __call__(self, *args) -> Tensor:
        """Compute the output; record this node when recording is on and an input wants it."""
        if self.inputs is not NOT_CALLED:  # a node already: this call gets one of its own
            again = copy(self)
            again.inputs, again.cache = NOT_CALLED, None
            return again(*args)
        observers = current_observers()
        if observers:
            tell(observers, "before_forward", self, args)

        arrays, nodes, needs, xp = [], [], [], None
        for arg in args:
            if isinstance(arg, Tensor):
                array, node = arg._data, arg._node
                if xp is None:
                    xp = namespaces.get(type(array)) or namespace(array)
            else:
                array = arg
                node = None
            arrays.append(array)
            nodes.append(node)
            needs.append(node is not None)
        if xp is None:
            held = (*args, *vars(self).values())  # a condition may be the only array there is
            xp = next((namespace(a) for a in held if is_array(a)), numpy_namespace)
        record = True in needs and is_grad_enabled()
        self.needs = tuple(needs) if record else (False,) * len(needs)

        if xp is not numpy_namespace:
            device.bring_constants(xp, self)
        try:
            if len(arrays) == 1:  # the common case: a call without unpacking is faster
                data = self.forward(xp, array)
            else:
                data = self.forward(xp, *arrays)
        except Exception:
            device.refuse_mixture(type(self).__name__, arrays)  # says so, if that is why
            raise
        if type(data) is not xp.array_type:
            data = self.as_array(xp, data)

        output = new_tensor(Tensor)
        output._data, output._node, output._grad = data, None, None
        if self.returns_view and isinstance(args[0], Tensor):
            output._version = args[0]._version
        else:
            output._version = [0]
        dtype = data.dtype
        if record and dtype.kind == "f":
            output._node = self
            self.inputs, self.hooks = nodes, None  # its own: a class's default reads slower
            self.shape, self.dtype, self.order = data.shape, dtype, next(sequence)
            self.site = call_site(self._own_frames)
            # what backward is to be given, and of each Tensor the version it is at
            saved: list[Any] = []
            versions: list[Any] = []
            only_for = self.saved_for
            for i in self.save_inputs:
                value, source = arrays[i], args[i]
                if only_for and i in only_for and not self._wants_any(only_for[i]):
                    value = source = None
                saved.append(value)
                if isinstance(source, Tensor):
                    versions.append((source._version, source._version[0]))
                else:
                    versions.append(None)
            if self.save_output:
                saved.append(data)
                versions.append((output._version, output._version[0]))
            self.saved, self.versions = saved, versions
        else:
            self.cache = None
        if observers:
            tell(observers, "after_forward", self, args, output)
        return output

    def as_array(self, xp, data):
        """The output as an array: NumPy's reductions give scalars, and we keep 0-d arrays."""
        return xp.asarray(data)

    def _wants_any(self, inputs):
        return any([self.needs[i] for i in inputs if i < len(self.needs)])

    def into(self, i):
        """The buffer that already holds part of input i's gradient, to be added to, or None.

        A kernel that is given one adds its contribution in place and returns the buffer itself.
        The engine owns it; a reference never uses it.
        """
        current = current_pass.get()
        return current.into(self.inputs[i]) if current is not None and self.needs[i] else None

    def take(self, i):
        """The gradient that input i has so far, for a backward that adds it itself, or None.

        It may be borrowed: it is only read, and what backward returns for input i is then the sum.
        """
        current = current_pass.get()
        return current.take(self.inputs[i]) if current is not None and self.needs[i] else None

    def spare(self):
        """The array ``g`` where nobody else needs it, to write a gradient into, or None."""
        current = current_pass.get()
        return None if current is None else current.spare

    def _saved_tensors(self):
        """What was saved, as Tensors that continue this graph (for ``create_graph``)."""
        nodes = [self.inputs[i] for i in self.save_inputs]
        if self.save_output:
            nodes.append(self)
        return [
            Tensor._make(value, node, version[0] if version else [0]) if is_array(value) else value
            for value, node, version in zip(self.saved, nodes, self.versions, strict=True)
        ]

    def __repr__(self):
        return f"<{type(self).__name__} {describe_site(self)}>"


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
    current = None
    if not create_graph and not separate:
        current = Pass(pending, targets is None, bool(observers))
    token = current_pass.set(current)
    try:
        while heap:
            order = -heappop(heap)
            if order < oldest:  # older than every target: cannot lead to one
                break
            node, g, owned = pending.pop(order)
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
            if current is not None:
                current.spare = g if owned and not observers else None
            _step(node, g, pending, heap, create_graph, observers, separate)
            if observers:
                tell(observers, "after_backward", node, not retain_graph)
            if not retain_graph:
                node.saved = node.inputs = node.cache = None
    except Exception as error:
        name_the_line(error, node)
        raise
    finally:
        current_pass.reset(token)
    return found


def _step(node, g, pending, heap, create_graph, observers, separate):
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
        xp, saved, cache = _tensor.ops.constants.beside(g), node._saved_tensors(), node.cache
        node.cache = None
        try:
            gradients = node.backward(xp, g, *saved)
        finally:
            node.cache = cache
    else:
        xp = namespaces.get(type(g)) or namespace_of(g)
        saved = node.saved
        if len(saved) == 1:
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
        if create_graph and isinstance(gradient, Scatter):
            gradient = gradient.dense(xp)
        if observers:
            tell(observers, "on_contribution", node, i, source, gradient)
        order = source.order
        if order in pending:
            contribute(pending, heap, source, gradient, fresh, create_graph)
        else:  # as contribute does: the common case, without a call
            pending[order] = (source, gradient, fresh)
            heappush(heap, -order)


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

    Raises ValueError for an input that the outputs do not depend on, unless ``allow_unused``
    (then its entry is None), and for a tensor that does not require a gradient. The signature is
    that of torch.autograd.grad.
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
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


def _owned_result(found, node, taken):
    if node not in found:
        return None
    g, owned = found[node]
    xp = namespace_of(g)
    if not owned or node in taken:
        g = xp.array(g)
    taken.add(node)
    return Tensor(xp.asarray(g))
