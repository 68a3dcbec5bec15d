"""Hooks on ops: functions that see what an op computes, forward and backward.

They observe only; what they return is ignored. To replace a gradient, hook the tensor
(``Tensor.register_hook``): there it is complete, and it is clear which value it belongs to.
"""

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from autograd._tensor import Tensor
from autograd.debug.format import raw
from autograd.engine import Op
from autograd.observe import Observer


class OpHook(Observer):
    """The result of ``register_op_hook``: ``remove()``, or the end of a ``with``, ends it."""

    def __init__(self, op, forward, backward):
        self._op, self._forward, self._backward = op, forward, backward
        self.needs_every_contribution = (
            backward is not None
        )  # each contribution is shown as it was returned
        self._arrived, self._returned = {}, {}
        self._running = False

    def __enter__(self):  # registering has already started it
        return self

    def remove(self) -> None:
        """Remove the hook. A second call does nothing."""
        self.stop()

    def _wants(self, op):
        if self._op is None or self._running:  # a hook does not observe what it computes itself
            return not self._running
        return type(op).__name__ == self._op if isinstance(self._op, str) else type(op) is self._op

    def _call(self, function, *args):
        self._running = True
        try:
            function(*args)
        finally:
            self._running = False

    def after_forward(self, op, args, output):
        if self._forward is not None and self._wants(op):
            self._call(self._forward, op, args, output)

    def on_gradient(self, node, gradient):
        if self._backward is not None and isinstance(node, Op) and self._wants(node):
            self._arrived[node] = gradient
            self._returned[node] = [None] * len(node.inputs or ())

    def on_contribution(self, op, i, node, gradient):
        if op in self._returned:
            self._returned[op][i] = gradient

    def after_backward(self, op, released):
        if op in self._arrived:
            gradient, returned = self._arrived.pop(op), self._returned.pop(op)
            gradients = tuple(None if g is None else _tensor(g) for g in returned)
            self._call(self._backward, op, _tensor(gradient), gradients)


def _kinds(kind):
    """Every subclass of ``kind``, at any depth: all ops there are, including the user's own."""
    return [each for child in kind.__subclasses__() for each in (child, *_kinds(child))]


def _tensor(gradient):
    return gradient if isinstance(gradient, Tensor) else Tensor(raw(gradient))


def register_op_hook(
    op: type[Op] | str | None = None,
    forward: Callable[[Op, tuple, Tensor], Any] | None = None,
    backward: Callable[[Op, Tensor, tuple[Tensor | None, ...]], Any] | None = None,
) -> OpHook:
    """Call ``forward`` and ``backward`` whenever an op has computed, in this thread or task.

    ``op`` is an Op subclass, the name of one ("Softmax"), or None for every op.

    - ``forward(op, inputs, output)``: the node, what it was called with, and its output.
    - ``backward(op, gradient, gradients)``: the gradient of the output, before hooks on that
      tensor, and a tuple with the gradient of each input, in the input's shape (None where it
      wants none). Not to be changed in place.

    Hooks run in the order in which they were registered; what they return is ignored, and their
    exceptions propagate. Returns a handle with ``remove()``. Raises TypeError if ``op`` is none of
    these, and ValueError for a name that no op has, or when neither function is given.
    """
    if not (op is None or isinstance(op, str) or (isinstance(op, type) and issubclass(op, Op))):
        raise TypeError(f"op must be an Op subclass, its name, or None for every op, not {op!r}")
    if isinstance(op, str):
        names = sorted({kind.__name__ for kind in _kinds(Op)})
        if op not in names:
            lower = {name.lower(): name for name in names}
            near = difflib.get_close_matches(op.lower().replace("_", ""), lower, 3)
            advice = "names are those of classes, as in Softmax"
            if near:
                advice = f"did you mean {', '.join(lower[name] for name in near)}?"
            raise ValueError(f"register_op_hook: there is no op {op!r} ({advice})")
    if forward is None and backward is None:
        raise ValueError("register_op_hook needs a forward function, a backward function or both")
    hook = OpHook(op, forward, backward)
    hook.start()
    return hook


@contextmanager
def keep_outputs(op: type[Op] | str) -> Iterator[list[Tensor]]:
    """The outputs of an op's calls, in their order: the tensors inside a model, to differentiate.

        with keep_outputs("Embedding") as outputs:
            loss = model.loss(ids, targets)
        (g,) = grad(loss, outputs[:1])

    ``op`` is an Op subclass or its name. An output that depends on nothing trained becomes a leaf
    that requires a gradient, so frozen weights do not hide what reaches it. Raises what
    ``register_op_hook`` raises.
    """
    outputs: list[Tensor] = []

    def keep(op, inputs, output):
        if not output.requires_grad:
            output.requires_grad = True
        outputs.append(output)

    with register_op_hook(op, forward=keep):
        yield outputs
