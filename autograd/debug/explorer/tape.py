"""A tape: everything that one forward and one backward pass computed, kept to be looked at.

The engine forgets on purpose: a value that no derivative needs dies during forward, a gradient as
soon as it has been handed on. ``record`` watches a computation (``autograd/observe.py``) and keeps
all of it: every call with its arguments and its output, every contribution to every gradient, every
gradient when it is complete, and the order of it all. The arrays are the engine's own.

From a function everything is known. From a loss that was computed before, only what its graph
holds: saved arrays, leaves, and what can be computed again from these.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

from autograd._tensor import Tensor
from autograd.backward import run_backward, starting_gradient
from autograd.debug.explorer.held import hooked, without_hooks
from autograd.debug.explorer.naming import Names, Unique
from autograd.debug.explorer.read_back import Reader
from autograd.debug.explorer.values import Call, Contribution, Tape, Value, is_ours, same
from autograd.debug.format import raw
from autograd.device import is_array
from autograd.grad_mode import enable_grad
from autograd.kernels.dispatch import use_kernels
from autograd.leaf import Leaf
from autograd.questions import see

__all__ = ["Call", "Contribution", "Tape", "Value", "is_ours", "record", "same"]

SHORT = {"NumberToPower": "power", "PowerToNumber": "power"}
"""What the outputs of these operations are called; others have the operation's name."""


def record(
    loss: Tensor | Callable[[], Tensor],
    model: Any = None,
    names: Mapping[str, Tensor] | None = None,
) -> Tape:
    """The Tape of ``loss``: a scalar Tensor with its graph, or a function that computes one.

    ``model`` is anything with ``named_modules()`` and ``named_parameters()``; ``names`` maps names
    to tensors. A function is called once, with the reference implementations of the fused
    operations, so every number can be followed. No ``.grad`` is written, and the graph is kept.

    Raises TypeError for anything else, ValueError for a loss of more than one element, one that
    nothing was recorded for, and one whose graph has been released, and RuntimeError where a tensor
    that a backward needs was changed in place since.
    """
    recorder = _Recorder(Names(model, names))
    if isinstance(loss, Tensor):
        function, root = None, loss
        _check(root)
        recorder.read_graph(root)
        recorder.outside = False
    elif callable(loss):
        function = loss
        with use_kernels("reference"), enable_grad(), recorder:
            root = loss()
        _check(root)
        if root._node.order not in recorder.by_node:
            recorder.read_graph(root)
    else:
        raise TypeError(f"explore takes a Tensor or a function, not {type(loss).__name__}")
    recorder.loss = recorder.by_node[root._node.order]
    recorder.events.append(("start", recorder.loss))
    leaves = {v.node for v in recorder.values if v.kind == "leaf"}
    nodes = [v.node for v in recorder.values if v.node is not None]
    with (
        use_kernels("reference") if function else nullcontext(),
        without_hooks(nodes, retained_only=True),
        enable_grad(),
        recorder,
    ):
        run_backward([starting_gradient(root, None, False)], leaves, False, True)
    recorder.name_values()
    return Tape(
        recorder.values, recorder.calls, recorder.events, recorder.loss, function, model,
        recorder.outside,
    )  # fmt: skip


def _check(loss):
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"the function to explore returned {type(loss).__name__}, expected the loss, a Tensor"
        )
    if loss.size != 1:
        raise ValueError(
            f"the loss to explore has shape {loss.shape}, expected one number: explore its sum or "
            "its mean, or one of its elements"
        )
    if loss._node is None:
        raise ValueError(
            "the loss to explore was not computed from any tensor that requires a gradient"
            + see("Why is there nothing to differentiate?")
        )
    if isinstance(loss._node, Leaf):
        raise ValueError("the loss to explore is a leaf: nothing was computed")


_LAST = "explorer"  # the key of the hook that runs last


class _Recorder(Reader):
    """Watches a computation and its backward pass."""

    needs_every_contribution = True

    def __init__(self, names):
        super().__init__()
        self.names = names
        self.loss: Any = None  # None while the function runs: a pass inside it is no part of ours
        self.last_place = -1
        self.keep: list[Any] = []  # what must live as long as its id is a key

    # --- forward ---------------------------------------------------------------------------------

    def after_forward(self, op, args, output):
        if output._node is not op:
            return
        module, variable, place = self.names.look_around(op)
        if self.calls and self.calls[-1].op.site == op.site and place > self.last_place:
            self.calls[-1].variable = ""  # the same line of the user: this one goes on with it
        self.last_place = place
        values = [self._argument(op, i, arg) for i, arg in enumerate(args)]
        self._add_call(op, values, output._data, module, variable)

    def _argument(self, op, i, arg):
        """The Value of an argument, or a plain number as it is."""
        if isinstance(arg, Tensor):
            node = arg._node
            if node is not None:
                if node.order not in self.by_node:
                    self.keep.append(arg)
                    if isinstance(node, Leaf):
                        self._add_value("leaf", arg._data, arg.shape, arg.dtype, node)
                    else:
                        self._read_outside(arg)
                return self.by_node[node.order]
            arg = arg._data
        if not is_array(arg):
            return arg
        if id(arg) not in self.by_array:
            self.keep.append(arg)
            self.by_array[id(arg)] = self._add_value("constant", arg, arg.shape, arg.dtype)
        return self.by_array[id(arg)]

    # --- backward --------------------------------------------------------------------------------

    def on_contribution(self, op, i, node, gradient):
        value = self.by_node.get(node.order)
        if value is not None and self.loss is not None:
            call = None if op is None else self.call_of.get(op.order)
            value.contributions.append(Contribution(call, i, raw(gradient)))

    def on_gradient(self, node, gradient):
        value = self.by_node.get(node.order)
        if value is None or self.loss is None:
            return
        value.gradient = raw(gradient)
        if hooked(node):
            self._see_after_hooks(node, value)
        if value.kind == "leaf":
            self.events.append(("leaf", value))
        elif value.call is not None:
            self.events.append(("backward", value.call))

    def _see_after_hooks(self, node, value):
        """Have a hook of ours run after all others, which sees what they made of the gradient."""

        def see_it(g):
            node.hooks.pop(_LAST, None)
            if not same(g._data, value.gradient):
                value.before_hooks, value.gradient = value.gradient, raw(g)

        node.hooks[_LAST] = see_it

    # --- names -----------------------------------------------------------------------------------

    def name_values(self):
        """Give every Value its key, which is unique."""
        unique = Unique()
        per_module: dict[str, int] = {}
        for call in self.calls:
            per_module[call.module] = per_module.get(call.module, 0) + 1
        call = self.loss.call
        self.loss.key = unique(call.variable or "loss")
        for value in self.values:
            if value is self.loss:
                continue
            if value.call is None:
                name = self.names.of(value.node) or self.names.of_array(value.array)
                name = name or ("constant" if value.kind == "constant" else "leaf")
            else:
                call = value.call
                own = call.variable or SHORT.get(
                    type(call.op).__name__, type(call.op).__name__.lower()
                )
                name = own
                if call.module:
                    alone = per_module[call.module] == 1
                    name = call.module if alone else f"{call.module}.{own}"
            value.key = unique(name)
