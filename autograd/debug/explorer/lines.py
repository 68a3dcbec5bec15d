"""The lines of an operation: what it computes, one primitive operation at a time.

A forward and a backward are written once, in NumPy's vocabulary ``xp``. Run with ``xp =
autograd.ops``, each of their lines becomes one or more recorded operations of a few kinds: a matrix
product, a sum over an axis, an elementwise function, a move of elements. So one small set of rules
(``rules.py`` here, ``rules.js`` on the page) explains every number, inside the fused operations and
in the gradients too.
"""

import linecache
from copy import copy
from dataclasses import dataclass, field
from itertools import islice
from sys import _getframe
from typing import Any

import numpy as np

from autograd import _methods
from autograd._tensor import Tensor
from autograd.accumulate import Scatter
from autograd.debug.explorer.naming import statement_of
from autograd.debug.explorer.rules import rule_of
from autograd.debug.explorer.tape import Call, Value
from autograd.debug.explorer.values import is_ours
from autograd.device import is_array
from autograd.functional.recomputation import Recompute
from autograd.grad_mode import no_grad
from autograd.observe import Observer
from autograd.unbroadcast import fit_to_input

FACTORIZATIONS = ("autograd.ops.decompositions", "autograd.ops.linalg")
"""Their operations hand out parts of what NumPy computed at once: there is no line to follow."""


@dataclass(eq=False)
class Item:
    """A tensor of the page. ``kind``: leaf, constant, computed, gradient, contribution or inner."""

    array: Any
    kind: str = "inner"
    name: str = ""
    line: "Line | None" = field(default=None, repr=False)  # and so on to the leaves
    id: int = -1


@dataclass(eq=False)
class Line:
    """One primitive operation: ``out`` follows from ``inputs`` (Items and numbers) by ``rule``.

    ``file`` and ``row`` are the place in our source that it was computed at, "" and 0 if none.
    """

    op: str
    rule: str
    inputs: list[Any]
    out: Item
    attrs: dict[str, Any] = field(default_factory=dict)
    file: str = ""
    row: int = 0
    text: str = ""
    variable: str = ""
    id: int = -1


class Items:
    """The Item of every array that is known so far; arrays are told apart by identity."""

    def __init__(self, maps: bool = True) -> None:
        self.maps = maps  # whether lines say where each element came from: see rules.py
        self._by_array: dict[int, tuple[Any, Item]] = {}

    def add(self, item: Item) -> Item:
        if item.array is not None:
            self._by_array.setdefault(id(item.array), (item.array, item))
        return item

    def view_of(self, item: Item) -> Any:
        """Another array object with the same elements, which is known as ``item``'s."""
        view = item.array[...]
        self._by_array[id(view)] = (view, item)  # kept alive, so that its id stays its own
        return view

    def get(self, array: Any) -> Item | None:
        return self._by_array.get(id(array), (None, None))[1]


class _Watch(Observer):
    """Turns each call of an operation into a Line."""

    def __init__(self, items, formula):
        self.items, self.formula = items, formula
        self.lines: list[Line] = []

    def after_forward(self, op, args, output):
        array = output._data
        if self.items.get(array) is not None:  # it returned its input
            return
        inputs = [self.item_of(arg) for arg in args]
        arrays = [x.array if isinstance(x, Item) else x for x in inputs]
        rule, attrs = rule_of(op, arrays, array, self.items.maps)
        line = Line(type(op).__name__, rule, inputs, self.items.add(Item(array)), attrs)
        line.out.line = line
        self._place(line)
        self.lines.append(line)

    def item_of(self, arg):
        """The Item of an argument; a number stays a number."""
        array = arg._data if isinstance(arg, Tensor) else arg
        if not is_array(array):
            return array
        item = self.items.get(array)
        return item if item is not None else self.items.add(Item(array, "constant"))

    def _place(self, line):
        """Find the line of the formula that is running, and name what its variables hold."""
        frame: Any = _getframe(2)
        for _ in range(25):
            if frame is None:
                return
            code = frame.f_code
            in_reference = code.co_filename.endswith("reference.py")
            if in_reference or frame.f_locals.get("self") is self.formula:
                if not line.row:
                    self._read(line, code, frame.f_lasti)
                self._name(frame.f_locals)
                if not in_reference:
                    return
            frame = frame.f_back

    def _read(self, line, code, offset):
        positions = next(islice(code.co_positions(), offset // 2, None))
        first, last = positions[0] or 0, positions[1] or 0
        line.file, line.row = short(code.co_filename), first
        rows = range(first, last + 1)
        line.text = " ".join(linecache.getline(code.co_filename, n).strip() for n in rows)
        _, line.variable = statement_of(code, offset)
        line.out.name = line.variable

    def _name(self, variables):
        for name, value in variables.items():
            item = self.items.get(value._data) if isinstance(value, Tensor) else None
            if item is not None and item.kind == "inner" and not item.name:
                item.name = name


def short(file: str) -> str:
    """A file of this package, from the folder autograd on."""
    head, mark, tail = file.replace("\\", "/").rpartition("/autograd/")
    return f"autograd/{tail}" if mark else file


def forward_lines(call: Call, items: Items, values: dict[Value, Item]) -> list[Line]:
    """The lines of a call's forward; the last of them makes the Item of its output."""
    out = values[call.out]
    inputs = [values[a] if isinstance(a, Value) else a for a in call.args]
    arrays = [x.array if isinstance(x, Item) else x for x in inputs]
    known = out.array is not None and all(x is not None for x in arrays)
    rule, attrs = rule_of(call.op, arrays, out.array, items.maps) if known else ("opaque", {})
    if rule == "opaque" and known and not isinstance(call.op, Recompute):
        op = call.op._uncalled_copy()
        op.needs = (False,) * len(arrays)
        watch = _Watch(items, op)
        try:
            with no_grad(), watch:
                tensors = [Tensor(a) if is_array(a) else a for a in arrays]
                y = op.forward(_xp(out.array), *tensors)
        except Exception:
            if is_ours(type(op)) and type(op).__module__ not in FACTORIZATIONS:
                raise
            y = None  # one of the user's that takes arrays alone: it stays one line
        if isinstance(y, Tensor) and watch.lines:
            return _ending_in(watch.lines, items, items.get(y._data), out)
    line = Line(type(call.op).__name__, rule, inputs, out, attrs)
    out.line = line
    return [line]


def backward_lines(
    call: Call, items: Items, values: dict[Value, Item], g: Item
) -> tuple[list[Line], dict[int, Item]]:
    """The lines of a call's backward, and for each input the Item that it contributes."""
    node = call.op
    if isinstance(node, Recompute) or node.saved is None:
        return [], {}
    op = copy(node)
    op.cache = None  # computed again, as a function of what was saved
    watch = _Watch(items, op)
    found: dict[int, Item] = {}
    try:
        with no_grad(), watch:
            xp = _xp(g.array)
            saved = [Tensor(a) if is_array(a) else a for a in node.saved]
            gradients = op.backward(xp, Tensor(items.view_of(g)), *saved)
            if not isinstance(gradients, (tuple, list)):
                gradients = (gradients,)
            for i, source in enumerate(node.inputs):
                if source is None:
                    continue
                gradient = gradients[i]
                if isinstance(gradient, Scatter):
                    gradient = gradient.densify(xp)
                gradient = fit_to_input(xp, node, i, gradient)
                found[i] = watch.item_of(gradient)
    except Exception:
        if is_ours(type(node)):
            raise
        return [], {}  # an operation of the user's that computes with NumPy: nothing to follow
    return watch.lines, found


def _ending_in(lines, items, last, out):
    """``lines``, of which the one that made ``last`` makes ``out`` instead."""
    if last is None or last.line is None or last.line not in lines:
        source = last if last is not None else lines[-1].out
        lines.append(Line("Identity", "elementwise", [source], out, {"formula": "a"}))
        out.line = lines[-1]
        return lines
    replace(lines, last, out)
    return lines


def replace(lines: list[Line], old: Item, new: Item) -> None:
    """Put ``new`` in the place of ``old``, which one of the lines made."""
    for line in lines:
        line.inputs = [new if x is old else x for x in line.inputs]
        if line.out is old:
            line.out, new.line = new, line


def _xp(array):
    """autograd.ops, with makers of constants for the library of ``array``."""
    return _methods.ops.constants.namespace_like(Tensor(np.asarray(array)))
