"""A graph that the engine recorded alone, read back: its calls, and the values that it holds.

A node holds what its derivative needs. Other values are computed again where their inputs are
known. A leaf's is what it holds now: it may have been changed since, so what was computed from it
is compared with what the graph holds.
"""

from typing import Any

import numpy as np

from autograd.call_site import describe
from autograd.debug.explorer.held import alike, behind, released, sources_of
from autograd.debug.explorer.values import Call, Value, is_ours
from autograd.debug.format import place_of
from autograd.device import is_array, namespace
from autograd.functional.recomputation import Recompute
from autograd.leaf import Leaf
from autograd.observe import Observer
from autograd.questions import see


class Reader(Observer):
    """Values and calls, and how those of a graph are found. The recorder (tape.py) is one."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.calls: list[Call] = []
        self.events: list[tuple[str, Any]] = []
        self.by_node: dict[int, Value] = {}  # order of a node -> Value
        self.by_array: dict[int, Value] = {}  # id of a constant's array -> Value
        self.call_of: dict[int, Call] = {}  # order of a node -> Call
        self.outside = False  # whether a graph was read
        self._doubtful: set[Value] = set()  # from a leaf that may have been changed since

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
                value = self._add_value("leaf", array, node.shape, node.dtype, node)
                if tensor is not None and tensor._version[0]:
                    self._doubtful.add(value)
            else:
                args = [self._read_input(node, i, s) for i, s in enumerate(sources_of(node))]
                self._add_call(node, args, self._read_output(node))
                self.calls[-1].unseen = isinstance(node, Recompute)
        self.by_node[root._node.order].array = root._data
        for call in self.calls[first:]:
            doubtful = [a for a in call.args if isinstance(a, Value) and a in self._doubtful]
            if call.out.array is None:
                self._compute_again(call)
                if doubtful:
                    self._doubtful.add(call.out)
            elif doubtful:
                self._judge(call, doubtful)
        for value in self._doubtful:
            value.changed = value.call is None

    def _judge(self, call, doubtful):
        """Whether ``doubtful``, arguments of a call, are what they were when it computed."""
        arrays = [a.array if isinstance(a, Value) else a for a in call.args]
        if call.unseen or any(a is None for a in arrays):
            return
        y = self._run_again(call, arrays)
        if y is not None and alike(y, call.out.array, arrays):
            self._doubtful.difference_update(doubtful)
        elif y is not None:
            self._forget(doubtful)

    def _forget(self, values):
        """These were changed, or computed from what was: what they held is not known."""
        while values:
            value = values.pop()
            value.array = None
            self._doubtful.discard(value)
            args = [] if value.call is None else value.call.args
            values += [a for a in args if isinstance(a, Value) and a in self._doubtful]

    def _compute_again(self, call):
        """The output of a call whose inputs are known, although it is needed by no derivative."""
        arrays = [a.array if isinstance(a, Value) else a for a in call.args]
        if call.unseen or any(a is None for a in arrays):
            return
        call.out.array = self._run_again(call, arrays)

    def _run_again(self, call, arrays):
        """The output of a call; None where an operation of the user's does not allow it."""
        op = call.op._uncalled_copy()
        op.needs = (False,) * len(arrays)
        xp = namespace(next(a for a in arrays if is_array(a)))
        try:
            y = xp.asarray(op.forward(xp, *arrays))
        except Exception:  # whatever the user's code raises
            if is_ours(type(call.op)):
                raise
            return None
        return y if y.shape == call.out.shape else None

    def _read_input(self, node, i, source):
        """The Value of input ``i``; what the node saved of it fills in what was not known."""
        saved = dict(zip(node.save_inputs, node.saved, strict=False)).get(i)
        if source is not None:
            value = self.by_node[source.order]
            if is_array(saved) and saved.shape == value.shape:
                if value.array is None or value.kind == "leaf":
                    value.array = saved  # backward refuses to run if it was changed since
                self._doubtful.discard(value)
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
