"""A tape as data for the page: tensors, lines and steps, and what the other parts found out.

A graph is a nested dict of plain JSON values and NumPy arrays, which ``page.py`` embeds. Its parts:

    tensors   every value, gradient, contribution and inner variable, with its numbers
    lines     the primitive operations, each of which makes one tensor from others (lines.py)
    steps     what happened, in order: forward, the start of backward, backward, leaves
    cards, proof, walks, ...    one entry for each function in PARTS

A tensor of more than ``largest`` elements is sampled: a grid of its elements is embedded, and
statistics of all of them. A graph of more than ``everything`` elements has the lines of the first
call of each kind only.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from autograd.debug.explorer.lines import (
    Item,
    Items,
    Line,
    backward_lines,
    forward_lines,
)
from autograd.debug.explorer.on_host import on_host
from autograd.debug.explorer.parts import PARTS
from autograd.debug.explorer.sentences import done, sentence
from autograd.debug.explorer.statistics import sampled, statistics
from autograd.debug.explorer.tape import Call, Tape, Value
from autograd.debug.memory import kept_arrays
from autograd.device import is_array
from autograd.kernels.dispatch import use_kernels

LARGEST = 4096
EVERYTHING = 400_000


def graph_document(
    tape: Tape,
    name: str,
    title: str = "",
    about: str = "",
    labels: dict[str, Any] | None = None,
    largest: int = LARGEST,
    everything: int = EVERYTHING,
    parts: dict[str, Callable[..., Any]] | None = None,
) -> dict[str, Any]:
    """The graph of ``tape`` as data; ``labels`` are texts for rows, such as {"tokens": [...]}."""
    tape = on_host(tape)
    with np.errstate(all="ignore"):  # numbers that are not finite are shown as such
        with use_kernels("reference"):  # an operation is taken apart by its definition
            builder = Builder(tape, largest, everything)
        document = builder.document()
        document |= {"name": name, "title": title or name, "about": about, "labels": labels or {}}
        for key, part in (PARTS if parts is None else parts).items():
            found = part(tape, builder)
            if found:
                document[key] = found
    return document


class Builder:
    """Numbers the Items, Lines and steps of a tape, and describes them.

    ``value_items``, ``gradient_items`` and ``contribution_items`` give the Item of a Value, of its
    gradient, and of a Contribution. ``backward_step`` and ``forward_step`` give the number of a
    Call's step.
    """

    def __init__(self, tape: Tape, largest: int = LARGEST, everything: int = EVERYTHING) -> None:
        self.tape = tape
        self.items: list[Item] = []
        self.lines: list[Line] = []
        self.steps: list[dict[str, Any]] = []
        self.value_items: dict[Value, Item] = {}
        self.gradient_items: dict[Value, Item] = {}
        self.contribution_items: dict[Any, Item] = {}
        self.forward_step: dict[Call, int] = {}
        self.backward_step: dict[Call, int] = {}
        self._made_in: dict[Item, int] = {}
        self._changed: set[Item] = set()
        self._of: dict[Item, Item] = {}
        elements = sum(2 * int(np.prod(v.shape)) for v in tape.values)
        self.small = elements <= everything
        self._known = Items(maps=self.small)
        self.largest = largest
        if not self.small:  # what is shown of all tensors together stays bounded
            self.largest = max(64, min(largest, everything // (3 * len(tape.values))))
        self._shown: set[tuple[str, str]] = set()
        for value in tape.values:
            item = self._known.add(Item(value.array, value.kind, value.key))
            self.value_items[value] = self._add(item)
            if value.changed and value.array is not None:
                self._changed.add(item)
        for value in tape.values:
            if value.gradient is not None:
                item = Item(value.gradient, "gradient", value.key)
                self.gradient_items[value] = self._add(item)
                self._of[item] = self.value_items[value]
        self._take_steps()

    def document(self) -> dict[str, Any]:
        return {
            "loss": self.value_items[self.tape.loss].id,
            # of a loss that was computed before, by whatever kernels were in use then
            "kernels": "any" if self.tape.function is None or self.tape.outside else "reference",
            "tensors": [self._tensor(item) for item in self.items],
            "lines": [_line(line) for line in self.lines],
            "steps": self.steps,
        }

    def _add(self, item):
        if item.id < 0:
            item.id = len(self.items)
            self.items.append(item)
        return item

    def _add_lines(self, lines, n):
        for line in lines:
            for item in (*line.inputs, line.out):
                if isinstance(item, Item):
                    self._add(item)
                    self._made_in.setdefault(item, n)
            line.id = len(self.lines)
            self.lines.append(line)
        return [line.id for line in lines]

    def _explained(self, call, phase):
        """Whether this call's lines are on the page: all of a small graph, one of each kind."""
        kind = (call.name, phase)
        first = kind not in self._shown
        self._shown.add(kind)
        return self.small or first

    # --- steps -----------------------------------------------------------------------------------

    def _take_steps(self):
        for phase, what in self.tape.events:
            n = len(self.steps)
            step: dict[str, Any] = {"n": n, "phase": phase, "contributions": []}
            take = {"forward": self._forward, "start": self._start,
                    "backward": self._backward, "leaf": self._leaf}[phase]  # fmt: skip
            self.steps.append(step)
            take(step, what, n)
            step["sentence"] = sentence(phase, what)
        if self.steps and self.steps[-1]["phase"] == "leaf":
            self.steps[-1]["sentence"] += done()

    def _forward(self, step, call, n):
        self.forward_step[call] = n
        lines: list[Line] = []
        if self._explained(call, "forward"):
            lines = forward_lines(call, self._known, self.value_items)
        out = self.value_items[call.out]
        for value in (a for a in call.args if isinstance(a, Value)):
            self._made_in.setdefault(self.value_items[value], n)
        self._made_in[out] = n
        step |= self._describe(call) | {"lines": self._add_lines(lines, n)}
        step["saved"] = [self._saved(what, array) for what, array in kept_arrays(call.op)]

    def _describe(self, call):
        place = call.place
        return {
            "op": call.name,
            "name": call.out.key,
            "module": call.module,
            "variable": call.variable,
            "out": self.value_items[call.out].id,
            "inputs": [self._input(a) for a in call.args],
            "needs": list(call.op.needs),
            "site": place
            and {"file": from_root(place.file), "line": place.line, "source": place.source},
        }

    def _input(self, argument):
        if isinstance(argument, Value):
            return self.value_items[argument].id
        return {"number": argument if isinstance(argument, (int, float)) else repr(argument)}

    def _saved(self, what, array):
        item = self._known.get(array)
        return {
            "what": what, "shape": list(array.shape), "dtype": str(array.dtype),
            "bytes": int(array.nbytes), "tensor": None if item is None else item.id,
        }  # fmt: skip

    def _start(self, step, value, n):
        step |= {"op": "", "name": value.key, "out": self.value_items[value].id, "lines": []}
        step["contributions"] = self._contributions_from(None, {}, step, n, [value])

    def _backward(self, step, call, n):
        self.backward_step[call] = n
        step |= self._describe(call)
        step["lines"] = self._complete(call.out, n)
        if call in self.forward_step:
            step["forward"] = self.forward_step[call]
            self.steps[step["forward"]]["backward"] = n
        lines, found = [], {}
        if self._explained(call, "backward"):
            g = self.gradient_items[call.out]
            lines, found = backward_lines(call, self._known, self.value_items, g)
        step["lines"] += self._add_lines(lines, n)
        sources = [self.tape.value_of(x) for x in call.op.inputs if x is not None]
        step["contributions"] = self._contributions_from(call, found, step, n, sources)

    def _contributions_from(self, call, found, step, n, values):
        """The contributions of one call, each the end of its lines."""
        described = []
        for value in dict.fromkeys(v for v in values if v is not None):
            for contribution in value.contributions:
                if contribution.call is not call:
                    continue
                source = found.get(contribution.input)
                item = self._contribution(call, contribution.array, source, step, n)
                item.kind, item.name = "contribution", value.key
                self.contribution_items[contribution] = self._add(item)
                self._of[item], self._made_in[item] = self.value_items[value], n
                described.append(
                    {
                        "to": self.value_items[value].id,
                        "input": contribution.input,
                        "tensor": item.id,
                    }  # fmt: skip
                )
        return described

    def _contribution(self, call, array, source, step, n):
        """The Item of a contribution: what a line of ``step`` made, or a copy of something else."""
        if source is not None and source.kind == "inner":
            source.array = array  # the engine's own: a kernel may round otherwise
            return source
        item = Item(array)
        if source is not None or call is None:
            known = [] if source is None else [source]
            kind = ("Start", "seed", known, item) if call is None else (
                "Identity", "elementwise", known, item, {"formula": "a"})  # fmt: skip
            item.line = Line(*kind)
            step["lines"] += self._add_lines([item.line], n)
        return item

    def _complete(self, value, n):
        """The line that adds the contributions to a gradient."""
        item = self.gradient_items[value]
        parts = [self.contribution_items.get(c) for c in value.contributions]
        total = (
            item if value.before_hooks is None else Item(value.before_hooks, name="before hooks")
        )
        total.line = Line("Accumulate", "add", [p for p in parts if p is not None], total)
        lines = [total.line]
        if total is not item:
            item.line = Line("Hook", "hook", [total], item)
            lines.append(item.line)
        self._made_in[item] = n
        return self._add_lines(lines, n)

    def _leaf(self, step, value, n):
        step |= {"op": "", "name": value.key, "out": self.value_items[value].id}
        step["lines"] = self._complete(value, n)

    # --- tensors ---------------------------------------------------------------------------------

    def _tensor(self, item):
        of = self._of.get(item)
        array = item.array
        described: dict[str, Any] = {
            "id": item.id, "kind": item.kind, "name": item.name,
            "line": None if item.line is None else item.line.id,
            "step": self._made_in.get(item), "of": None if of is None else of.id,
        }  # fmt: skip
        if array is None:
            value = next(v for v, i in self.value_items.items() if i is item)
            described |= {"shape": list(value.shape), "dtype": str(value.dtype), "data": None}
        else:
            described |= {"shape": list(array.shape), "dtype": str(array.dtype)}
            grid, axes = sampled(array, self.largest)
            described["data"] = grid
            if axes is not None:
                described["sample"] = [list(map(int, axis)) for axis in axes]
                described["stats"] = statistics(array)
        if item in self._changed:
            described["changed"] = True
        if item.kind in ("leaf", "constant", "computed") and item.name:
            described["key"] = item.name
        return described


def from_root(file: str) -> str:
    """A file as a reader elsewhere knows it: below the folder that Python imports it from.

    A page is sent to others, whom the folders of its writer do not concern.
    """
    if os.path.isabs(file):
        roots = [os.path.join(os.path.abspath(folder), "") for folder in sys.path]
        root = max((r for r in roots if file.startswith(r)), key=len, default="")
        file = file[len(root) :] if root else os.path.basename(file)
    return file.replace("\\", "/")


def _line(line):
    described = {
        "op": line.op, "rule": line.rule, "out": line.out.id,
        "inputs": [x.id if isinstance(x, Item) else _number(x) for x in line.inputs],
    }  # fmt: skip
    if line.attrs:
        described["attrs"] = line.attrs
    if line.row:
        described |= {"file": line.file, "row": line.row, "text": line.text}
    if line.variable:
        described["variable"] = line.variable
    return described


def _number(x):
    x = x.item() if isinstance(x, np.generic) else x
    return {"number": x if isinstance(x, (int, float)) and not is_array(x) else repr(x)}
