"""Bytes alive after every step of a pass: what the tape keeps, and which gradients wait.

Three kinds of arrays are counted, each buffer once, however many hold it:

    tape      what the nodes keep for backward (``kept_arrays`` of autograd/debug/memory.py);
              leaves and parameters exist with or without a graph, and are not counted
    waiting   gradients that are not complete, or whose turn has not come: the engine's ``Pending``
    grad      complete gradients of leaves, which become their ``.grad``

What a backward needs for itself while it runs is not: a step is counted when it is over. The
gradients are those of a real pass, whose sums are looked at after every step. A series can be
measured on the nodes of a tape (``series_of_tape``), or in a new run of the function, whose nodes
are released as the pass goes on (``series_of_run``); the two agree.
"""

import weakref
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograd._tensor import Parameter, Tensor
from autograd.accumulate import Scatter
from autograd.backward import _Pass, starting_gradient
from autograd.debug.explorer.again import (
    CannotRepeatError,
    call_again,
    recomputes,
    refusal_to_repeat,
)
from autograd.debug.explorer.held import without_hooks
from autograd.debug.explorer.naming import Names
from autograd.debug.explorer.tape import Tape, Value
from autograd.debug.memory import _buffer, kept_arrays
from autograd.functional.recomputation import Recompute
from autograd.grad_mode import enable_grad
from autograd.kernels.dispatch import use_kernels
from autograd.leaf import Leaf
from autograd.observe import Observer

TAPE, WAITING, GRAD = range(3)


@dataclass(eq=False, repr=False)
class Holder:
    """Who holds a buffer, as what, from one step to before another (None: to the end)."""

    name: str
    what: str
    start: int
    stop: int | None = None


@dataclass(eq=False, repr=False)
class Buffer:
    """Memory that is alive after the steps from ``start`` to before ``stop``."""

    kind: int
    nbytes: int
    start: int
    stop: int | None = None
    holders: list[Holder] = field(default_factory=list)


class Account:
    """The buffers of a run, step by step. ``labels`` say what the steps are: (phase, op, name)."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        self.labels: list[tuple[str, str, str]] = []
        self._kept: dict[int, Buffer] = {}  # id of an array -> what the tape keeps
        self._nodes: dict[int, list] = {}  # order of a node -> [(id, Holder)]
        self._waiting: dict[int, Buffer] = {}
        self._alive: list[Any] = []  # gradients, so that no id is used twice

    @property
    def now(self):
        """The number of the next step."""
        return len(self.labels)

    def step(self, phase, op="", name=""):
        self.labels.append((phase, op, name))

    def keep(self, node, name, leaves):
        """The tape keeps the arrays of ``node``, but for the buffers in ``leaves`` (ids)."""
        held = self._nodes.setdefault(node.order, [])
        seen = {key for key, _ in held}
        for what, array in kept_arrays(node):
            array = _buffer(array)
            key = id(array)
            if key in leaves or key in seen:
                continue
            seen.add(key)
            if key not in self._kept:
                self._kept[key] = Buffer(TAPE, array.nbytes, self.now)
                self.buffers.append(self._kept[key])
            holder = Holder(name, what, self.now)
            self._kept[key].holders.append(holder)
            held.append((key, holder))

    def release(self, order):
        """The node numbered ``order`` has run, or nobody refers to it any more."""
        for key, holder in self._nodes.pop(order, ()):
            holder.stop = self.now
            if all(h.stop is not None for h in self._kept[key].holders):
                self._kept.pop(key).stop = self.now

    def wait(self, pending, name_of):
        """Look at the sums of a pass after the step that comes next."""
        found: dict[int, tuple[int, list[str]]] = {}
        for node, total, _ in pending._sums.values():
            scattered = isinstance(total, Scatter)
            array = _buffer(total.values if scattered else total)
            self._alive.append(array)
            found.setdefault(id(array), (array.nbytes, []))[1].append(name_of(node))
        for key in [key for key in self._waiting if key not in found]:
            buffer = self._waiting.pop(key)
            buffer.stop = self.now
            for holder in buffer.holders:
                holder.stop = self.now if holder.stop is None else holder.stop
        for key, (nbytes, names) in found.items():
            if key not in self._waiting:
                self._waiting[key] = Buffer(WAITING, nbytes, self.now)
                self.buffers.append(self._waiting[key])
            self._hold(self._waiting[key], names)

    def _hold(self, buffer, names):
        current = {h.name: h for h in buffer.holders if h.stop is None}
        for name in [n for n in current if n not in names]:
            current[name].stop = self.now
        for name in names:
            if name not in current:
                buffer.holders.append(Holder(name, "gradient", self.now))

    def gradient(self, nbytes, name):
        """A leaf has its gradient from the next step on."""
        holder = Holder(name, "grad", self.now)
        self.buffers.append(Buffer(GRAD, nbytes, self.now, None, [holder]))

    def bytes(self, kind=None) -> np.ndarray:
        """Bytes alive after every step, of one kind or of all."""
        change = np.zeros(self.now + 1, np.int64)
        for b in self.buffers:
            if kind is None or b.kind == kind:
                change[min(b.start, self.now)] += b.nbytes
                change[self.now if b.stop is None else min(b.stop, self.now)] -= b.nbytes
        return np.cumsum(change)[: self.now]


class _Backward(Observer):
    """Looks at a pass after every step of it, for an Account."""

    def __init__(self, account, name_of):
        self.account, self.name_of = account, name_of
        self.a_pass: Any = None

    def run(self, loss, leaves, retain_graph):
        """The pass from ``loss``; gradients of leaves are returned, and written nowhere."""
        root = starting_gradient(loss, None, False)
        start = np.asarray(root[1])
        self.account._alive.append(start)
        self._start_with(root[0], start)
        with use_kernels("reference"), enable_grad(), self:
            self.a_pass = _Pass(leaves, False, retain_graph)
            self.a_pass.run([root])

    def _start_with(self, node, gradient):
        buffer = Buffer(WAITING, gradient.nbytes, self.account.now)
        buffer.holders.append(Holder(self.name_of(node), "gradient", self.account.now))
        self.account.buffers.append(buffer)
        self.account._waiting[id(gradient)] = buffer
        self.account.step("start", "", self.name_of(node))

    def on_gradient(self, node, gradient):
        if isinstance(node, Leaf):
            name = self.name_of(node)
            self.account.wait(self.a_pass.pending, self.name_of)
            self.account.gradient(int(np.prod(node.shape)) * node.dtype.itemsize, name)
            self.account.step("leaf", "", name)

    def after_backward(self, op, released):
        self.account.wait(self.a_pass.pending, self.name_of)
        self.account.release(op.order)
        self.account.step("backward", type(op).__name__, self.name_of(op))


# --- two ways to measure --------------------------------------------------------------------------


def series_of_tape(tape: Tape) -> Account:
    """What the nodes of a tape keep, and a pass over its graph, which stays as it is."""
    account, parameters = Account(), _parameters(tape.model)
    for call in tape.calls:
        args = [a for a in call.args if isinstance(a, Value) and a.kind == "leaf"]
        leaves = {id(_buffer(a.array)) for a in args if a.array is not None}
        account.keep(call.op, call.out.key, leaves | parameters)
        account.step("forward", call.name, call.out.key)
    names = {v.node.order: v.key for v in tape.values if v.node is not None}
    loss = Tensor._make(tape.loss.array, tape.loss.node, [0])
    leaves = {v.node for v in tape.values if v.kind == "leaf"}
    nodes = [v.node for v in tape.values if v.node is not None]
    with without_hooks(nodes):
        _Backward(account, lambda node: names[node.order]).run(loss, leaves, True)
    return account


def _parameters(model):
    """The ids of the buffers of a model's parameters."""
    if model is None:
        return set()
    return {id(_buffer(p._data)) for _, p in model.named_parameters() if isinstance(p, Tensor)}


class _Forward(Observer):
    """Counts what a running function records, and forgets what nobody refers to any more.

    ``keys`` are the names of the calls in their order, if these are known; otherwise a call is
    named after its module, or after the variable of its result where ``known`` says so.
    """

    def __init__(self, account, model, keys=None, known=()):
        self.account, self.keys, self.known = account, keys, set(known)
        self.names: dict[int, str] = {}
        self.leaves: set[Any] = set()
        self.started, self.segments = False, 0
        self._found = Names(model)
        self._references: list[Any] = []

    def after_forward(self, op, args, output):
        if output._node is not op:
            return
        name = self.names[op.order] = self._name(op)
        read = [arg for arg in args if isinstance(arg, Tensor)]
        self.leaves |= {x._node for x in read if isinstance(x._node, Leaf)}
        self.account.keep(op, name, _given(read))
        self.account.step("again" if self.started else "forward", type(op).__name__, name)
        order, account = op.order, self.account
        self._references.append(weakref.ref(op, lambda _: account.release(order)))

    def _name(self, op):
        if isinstance(op, Recompute) and self.keys is None:
            self.segments += 1
            return f"segment {self.segments}"
        module, variable, _ = self._found.look_around(op)
        if self.keys is not None:
            return self.keys[min(len(self.names), len(self.keys) - 1)]
        full = f"{module}.{variable}" if module and variable else module or variable
        return full if full in self.known or not module else module

    def after_saving(self, op):
        self.account.keep(op, self.names[op.order], _given(op.saved[0].tensors()))

    def name_of(self, node):
        if node.order in self.names:
            return self.names[node.order] or type(node).__name__.lower()
        return self._found.of(node) or "leaf"


def _given(tensors):
    """The ids of the buffers of leaves and parameters among ``tensors``."""
    given = [x for x in tensors if isinstance(x, Parameter) or isinstance(x._node, Leaf)]
    return {id(_buffer(x._data)) for x in given}


def series_of_run(
    function: Any, model: Any = None, keys: list[str] | None = None, known: Any = ()
) -> Account:
    """A run of ``function`` and of backward, measured while it happens. No ``.grad`` is written.

    ``keys`` and ``known`` are names, as ``_Forward`` explains.
    """
    account = Account()
    forward = _Forward(account, model, keys, known)
    with use_kernels("reference"), enable_grad(), forward:
        loss = call_again(function)
        forward.started = True
        forward.names[loss._node.order] = "loss"
        _Backward(account, forward.name_of).run(loss, forward.leaves, False)
    return account


# --- for the page ---------------------------------------------------------------------------------


def part(tape: Tape, builder: Any = None) -> dict[str, Any] | None:
    """What the page's view "Memory" shows of ``tape``."""
    recomputed = recomputes(tape)
    if refusal := refusal_to_repeat(tape):
        return {"refused": refusal}
    keys = [call.out.key for call in tape.calls]
    if recomputed or _some_are_forgotten(tape):
        if tape.function is None or tape.outside:
            return {"refused": _why_not_again(tape)}
        try:
            account = series_of_run(tape.function, tape.model, keys)
        except CannotRepeatError as error:
            return {"refused": str(error)}
    else:
        account = series_of_tape(tape)
    if account.now != len(tape.events):
        return {"refused": "a second run of the function did not take the same steps"}
    found: dict[str, Any] = {"series": columns(account)}
    if recomputed:
        found["why"] = "This graph was recorded with recomputation already."
    elif tape.function is None:
        found["why"] = (
            "The page was made from a loss. To run the model a second time, with recomputation, "
            "explore needs the function that computes it."
        )
    elif getattr(tape.model, "recompute", None) is not False:
        found["why"] = (
            "Nothing here can be recomputed: the graph was not recorded from a model with an "
            "attribute recompute, as the GPT of tinygrad_llm has."
        )
    else:
        try:
            with _recomputing(tape.model):
                again = series_of_run(tape.function, tape.model, known=keys)
        except CannotRepeatError as error:
            return found | {"why": f"No run with recomputation: {error}."}
        found["recompute"] = columns(again) | {"labels": [list(x) for x in again.labels]}
    return found


def _why_not_again(tape):
    if tape.function is None:
        return (
            "what a recomputed segment holds is seen only while the function runs: give explore "
            "the function that computes the loss"
        )
    return "a part of the graph was computed before the function was called"


def _some_are_forgotten(tape):
    """Whether there are calls that the loss does not depend on: nobody keeps their nodes."""
    return any(call.out.gradient is None for call in tape.calls)


@contextmanager
def _recomputing(model):
    """The model with recomputation; its random numbers are as they were afterwards."""
    state = getattr(getattr(model, "rng", None), "bit_generator", None)
    before = None if state is None else state.state
    model.recompute = True
    try:
        yield
    finally:
        model.recompute = False
        if state is not None:
            state.state = before


def columns(account: Account) -> dict[str, Any]:
    """The buffers and their holders as columns; -1 is a stop that never comes."""
    names: dict[str, int] = {}

    def number(text):
        return names.setdefault(text, len(names))

    holders = [(i, h) for i, b in enumerate(account.buffers) for h in b.holders]
    found: dict[str, Any] = {
        "steps": account.now,
        "kind": np.array([b.kind for b in account.buffers], np.int32),
        "bytes": np.array([b.nbytes for b in account.buffers], np.float64),
        "start": np.array([b.start for b in account.buffers], np.int32),
        "stop": np.array([_stop(b) for b in account.buffers], np.int32),
        "buffer": np.array([i for i, _ in holders], np.int32),
        "by": np.array([number(h.name) for _, h in holders], np.int32),
        "as": np.array([number(h.what) for _, h in holders], np.int32),
        "from": np.array([h.start for _, h in holders], np.int32),
        "until": np.array([_stop(h) for _, h in holders], np.int32),
    }
    return found | {"names": list(names)}


def _stop(x):
    return -1 if x.stop is None else x.stop
