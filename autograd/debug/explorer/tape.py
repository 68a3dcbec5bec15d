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
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograd._tensor import Tensor
from autograd.backward import run_backward, starting_gradient
from autograd.call_site import describe
from autograd.debug.explorer.held import behind, hooked, released, sources_of, without_hooks
from autograd.debug.explorer.naming import Names, Unique
from autograd.debug.format import Place, place_of, raw
from autograd.device import is_array, namespace, to_numpy
from autograd.engine import Op
from autograd.functional.recomputation import Recompute
from autograd.grad_mode import enable_grad
from autograd.kernels.dispatch import use_kernels
from autograd.leaf import Leaf
from autograd.observe import Observer
from autograd.questions import see

SHORT = {"NumberToPower": "power", "PowerToNumber": "power"}
"""What the outputs of these operations are called; others have the operation's name."""


@dataclass(eq=False, repr=False)
class Contribution:
    """One term of a gradient: what ``call`` returned for its input number ``input``.

    ``call`` is None for the gradient of the loss itself, which is 1.
    """

    call: "Call | None"
    input: int | None
    array: Any


@dataclass(eq=False, repr=False)
class Value:
    """A tensor of the computation. ``kind`` is "leaf", "constant" or "computed".

    ``array`` is None where nobody kept it; ``gradient`` where none arrived. Where a hook replaced
    the gradient, ``gradient`` is what the hook returned, and ``before_hooks`` the sum before it.
    """

    index: int
    kind: str
    array: Any
    shape: tuple[int, ...]
    dtype: np.dtype
    node: Any = None
    call: "Call | None" = None
    key: str = ""
    gradient: Any = None
    before_hooks: Any = None
    contributions: list[Contribution] = field(default_factory=list)


@dataclass(eq=False, repr=False)
class Call:
    """One recorded call of an operation. ``args`` are Values, and plain numbers as they were.

    ``op`` is the node itself: what it saved is still there. ``module`` is the dotted name of the
    module that called it and ``variable`` what its result was assigned to, "" if that is not known.
    ``name`` is that of the operation's class; the second class of the same name is called Name#2.
    ``unseen``: it stands for a recomputed segment of a graph that was recorded before, and ``args``
    are what all of the segment was computed from.
    """

    index: int
    op: Op
    args: list[Any]
    out: Value
    place: Place | None
    module: str = ""
    variable: str = ""
    name: str = ""
    unseen: bool = False


@dataclass(eq=False, repr=False)
class Tape:
    """What ``record`` returns.

    ``events`` tells what happened, in order: ("forward", Call), ("start", Value of the loss),
    ("backward", Call), and ("leaf", Value) where the gradient of a leaf was complete. ``outside``
    tells whether ``function`` used a tensor that was computed before it was called.
    """

    values: list[Value]
    calls: list[Call]
    events: list[tuple[str, Any]]
    loss: Value
    function: Callable[[], Tensor] | None
    model: Any = None
    outside: bool = False

    @property
    def leaves(self) -> list[Value]:
        return [v for v in self.values if v.kind == "leaf"]

    def value_of(self, node) -> Value | None:
        """The Value of an engine node, or None."""
        return self._by_node.get(node.order)

    def __post_init__(self):
        self._by_node = {v.node.order: v for v in self.values if v.node is not None}
        classes = dict.fromkeys(type(call.op) for call in self.calls)
        unique = Unique()
        names = {c: unique(c.__name__) for c in sorted(classes, key=lambda c: not is_ours(c))}
        for call in self.calls:
            call.name = names[type(call.op)]


def is_ours(operation: type) -> bool:
    """Whether a class of operations belongs to this package, and not to a user."""
    return operation.__module__.startswith("autograd.")


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


def same(a, b) -> bool:
    """Whether two arrays hold the same numbers; NaN is the same as NaN."""
    a, b = to_numpy(a), to_numpy(b)
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


class _Recorder(Observer):
    """Watches a computation and its backward pass."""

    needs_every_contribution = True

    def __init__(self, names):
        self.names = names
        self.values: list[Value] = []
        self.calls: list[Call] = []
        self.events: list[tuple[str, Any]] = []
        self.loss: Any = None  # None while the function runs: a pass inside it is no part of ours
        self.by_node: dict[int, Value] = {}  # order of a node -> Value
        self.by_array: dict[int, Value] = {}  # id of a constant's array -> Value
        self.call_of: dict[int, Call] = {}  # order of a node -> Call
        self.last_place = -1
        self.keep: list[Any] = []  # what must live as long as its id is a key
        self.outside = False

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

    def _add_call(self, op, args, array, module="", variable=""):
        out = self._add_value("computed", array, op.shape, op.dtype, op)
        call = Call(len(self.calls), op, args, out, place_of(op), module, variable)
        out.call = self.call_of[op.order] = call
        self.calls.append(call)
        self.events.append(("forward", call))

    def _add_value(self, kind, array, shape, dtype, node=None):
        value = Value(len(self.values), kind, array, tuple(shape), np.dtype(dtype), node)
        self.values.append(value)
        if node is not None:
            self.by_node[node.order] = value
        return value

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

    # --- a graph that was recorded by the engine alone --------------------------------------------

    def read_graph(self, loss):
        """Take the calls from a graph, oldest first, with the values that it holds."""
        nodes = behind(loss._node, self.by_node)
        for node in nodes:
            if released(node):
                raise ValueError(
                    f"backward has released the graph at {describe(node)}: explore the loss "
                    "before, pass retain_graph=True, or give explore a function that computes it"
                    + see("Why can backward run only once?")
                )
        self._read_nodes(nodes, loss)

    def _read_outside(self, tensor):
        """The history of a tensor that was computed before the function was called."""
        nodes = behind(tensor._node, self.by_node)
        if any(map(released, nodes)):
            # if the loss depends on it, backward will say that its graph has been released
            self._add_value("constant", tensor._data, tensor.shape, tensor.dtype, tensor._node)
        else:
            self._read_nodes(nodes, tensor)

    def _read_nodes(self, nodes, root):
        self.outside = True
        first = len(self.calls)
        for node in nodes:
            if isinstance(node, Leaf):
                tensor = node.tensor()
                array = None if tensor is None else tensor._data
                self._add_value("leaf", array, node.shape, node.dtype, node)
            else:
                args = [self._read_input(node, i, s) for i, s in enumerate(sources_of(node))]
                self._add_call(node, args, self._read_output(node))
                self.calls[-1].unseen = isinstance(node, Recompute)
        self.by_node[root._node.order].array = root._data
        for call in self.calls[first:]:
            if call.out.array is None:
                self._compute_again(call)

    def _compute_again(self, call):
        """The output of a call whose inputs are known, although it is needed by no derivative."""
        arrays = [a.array if isinstance(a, Value) else a for a in call.args]
        if call.unseen or any(a is None for a in arrays):
            return
        op = call.op._uncalled_copy()
        op.needs = (False,) * len(arrays)
        y = op.forward(namespace(next(a for a in arrays if is_array(a))), *arrays)
        call.out.array = namespace(y).asarray(y) if is_array(y) else np.asarray(y)

    def _read_input(self, node, i, source):
        """The Value of input ``i``; what the node saved of it fills in what was not known."""
        saved = dict(zip(node.save_inputs, node.saved, strict=False)).get(i)
        if source is not None:
            value = self.by_node[source.order]
            if value.array is None and is_array(saved) and saved.shape == value.shape:
                value.array = saved
            return value
        if is_array(saved):
            if id(saved) not in self.by_array:
                self.by_array[id(saved)] = self._add_value(
                    "constant", saved, saved.shape, saved.dtype
                )
            return self.by_array[id(saved)]
        return saved  # a number, or None: unknown

    def _read_output(self, node):
        """The output that a node saved; None if it did not."""
        return node.saved[len(node.save_inputs)] if node.save_output else None

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
