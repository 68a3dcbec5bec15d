"""What one cell of a tensor was computed from, read in Python: for tensors too large for the page.

The page explains a cell by the rule of the line that made it (``rules.py``, ``rules.js``), from
numbers that are embedded in it. Of a large tensor only a sample is. Here the same terms are read
from the arrays themselves.
"""

import itertools
import math
from typing import Any

import numpy as np

from autograd.debug.explorer.document import Builder
from autograd.debug.explorer.lines import Item, Items, Line, backward_lines, forward_lines
from autograd.debug.explorer.tape import Contribution
from autograd.device import is_array

MOST = 20_000
"""Terms in one answer."""
REDUCTIONS = {"sum", "mean", "max", "min", "prod", "logsumexp", "var", "std"}


class NoTermsError(ValueError):
    """The terms of a cell cannot be listed; the message says why."""


def terms_of(builder: Builder, item: Item, cell: tuple[int, ...]) -> dict[str, Any]:
    """The line that made a cell of ``item``, and the factors of each of its terms.

    ``terms`` is a list of lists of factors, {"id", "name", "cell", "value"} or {"number"}; an id is
    None for a tensor that the page does not know. A line that made nothing, of a leaf, is None.
    Raises NoTermsError where they cannot be listed, and IndexError for a cell that does not exist.
    """
    check_cell(item, cell)
    line = line_of(builder, item)
    stored = _number(item.array[cell])
    if line is None:
        return {"line": None, "stored": stored, "terms": []}
    terms = _read(line, item, cell)
    inputs = [x.id if isinstance(x, Item) else {"number": _number(x)} for x in line.inputs]
    attrs = {k: v for k, v in line.attrs.items() if not isinstance(v, np.ndarray)}
    described = {"op": line.op, "rule": line.rule, "inputs": inputs, "attrs": attrs}
    return {"line": described | {"text": line.text}, "stored": stored, "terms": terms}


def check_cell(item: Item, cell: tuple[int, ...]) -> None:
    """Raise NoTermsError where no array was kept, and IndexError for a cell outside of it."""
    if item.array is None:
        raise NoTermsError("nobody kept the array of this tensor")
    shape = item.array.shape
    if len(cell) != len(shape) or not all(0 <= i < n for i, n in zip(cell, shape, strict=True)):
        raise IndexError(f"a tensor of shape {tuple(shape)} has no element {list(cell)}")


def line_of(builder: Builder, item: Item) -> Line | None:
    """The line that made an Item: the page's, or one that is found now."""
    page_line = item.line
    if page_line is not None and not _is_unmapped(page_line):
        return page_line
    for value, known in builder.value_items.items():
        if known is item:
            if value.call is None:
                return None
            lines = forward_lines(value.call, _known(builder), builder.value_items)
            made = next((line for line in reversed(lines) if line.out is item), None)
            item.line = page_line
            return made
    for contribution, known in builder.contribution_items.items():
        if known is item and contribution.call is not None:
            return _of_contribution(builder, contribution)
    return page_line


def _is_unmapped(line):
    """Whether elements were moved, and a graph of this size does not keep from where to where."""
    return line.rule in ("move", "scatter") and "map" not in line.attrs


def _of_contribution(builder: Builder, contribution: Contribution) -> Line | None:
    call = contribution.call
    assert call is not None and contribution.input is not None
    g = builder.gradient_items[call.out]
    _, found = backward_lines(call, _known(builder), builder.value_items, g)
    source = found.get(contribution.input)
    if source is None:
        return None
    if source.kind == "inner" and source.line is not None:
        return source.line
    return Line("Identity", "elementwise", [source], source, {"formula": "a"})


def _known(builder):
    """Items that know the arrays of all values and gradients."""
    items = Items()
    for item in (*builder.value_items.values(), *builder.gradient_items.values()):
        items.add(item)
    return items


# --- the rules -----------------------------------------------------------------------------------


def _read(line, item, cell):
    rule = line.rule
    if _is_unmapped(line):
        raise NoTermsError(f"{line.op} moved elements, and from where to where was not kept")
    if rule == "elementwise":
        return [[_at_broadcast(x, cell) for x in line.inputs]]
    if rule == "add":
        return [[_at_broadcast(x, cell)] for x in line.inputs]
    if rule == "seed":
        return []
    if rule == "matmul":
        return _matmul(*line.inputs, cell)
    if rule in REDUCTIONS:
        return _reduced(line, cell)
    if rule == "move":
        return [[_moved(line, item, cell)]]
    if rule == "scatter":
        return _scattered(line, item, cell)
    raise NoTermsError(f"{line.op} was not taken apart into terms")


def _array(x):
    return np.asarray(x.array if isinstance(x, Item) else x)


def _factor(x, cell):
    if not isinstance(x, Item):
        return {"number": _number(x)}
    cell = tuple(int(i) for i in cell)
    known = {"id": x.id if x.id >= 0 else None, "name": x.name, "cell": list(cell)}
    return known | {"value": _number(x.array[cell])}


def _at_broadcast(x, cell):
    """The factor of an input at the element that broadcasting reads."""
    shape = _array(x).shape
    last = cell[len(cell) - len(shape) :]
    return _factor(x, [0 if n == 1 else i for i, n in zip(last, shape, strict=True)])


def _matmul(a, b, cell):
    row, column = cell[-2:]
    n = _array(a).shape[-1]
    _limit(n)

    def lead(x):
        shape = _array(x).shape[:-2]
        last = cell[len(cell) - 2 - len(shape) : -2]
        return [0 if length == 1 else i for i, length in zip(last, shape, strict=True)]

    left, right = lead(a), lead(b)
    return [[_factor(a, [*left, row, k]), _factor(b, [*right, k, column])] for k in range(n)]


def _reduced(line, cell):
    (source, *_) = line.inputs
    shape, axes = _array(source).shape, line.attrs.get("axes")
    axes = list(range(len(shape))) if axes is None else axes
    _limit(math.prod(shape[a] for a in axes))
    kept = iter(cell)
    first = []
    for axis in range(len(shape)):
        if axis in axes:
            first.append(None)
            if line.attrs.get("keepdims"):
                next(kept)
        else:
            first.append(next(kept))
    places = itertools.product(*(range(shape[a]) for a in axes))
    terms = []
    for place in places:
        inside = iter(place)
        terms.append([_factor(source, [next(inside) if i is None else i for i in first])])
    return terms


def _moved(line, item, cell):
    at = int(np.ravel_multi_index(cell, item.array.shape)) if cell else 0
    source = int(line.attrs["map"][at])
    if source < 0:
        return {"number": _number(line.attrs.get("constant", 0))}
    which = int(line.attrs["input"][at]) if "input" in line.attrs else 0
    x = line.inputs[which]
    return _factor(x, np.unravel_index(source, _array(x).shape))


def _scattered(line, item, cell):
    at = int(np.ravel_multi_index(cell, item.array.shape)) if cell else 0
    (source, *_) = line.inputs
    arrived = np.flatnonzero(np.asarray(line.attrs["map"]) == at)
    _limit(len(arrived))
    if "from" in line.attrs:
        arrived = np.asarray(line.attrs["from"])[arrived]
    shape = _array(source).shape
    return [[_factor(source, np.unravel_index(int(k), shape))] for k in arrived]


def _limit(n):
    if n > MOST:
        raise NoTermsError(f"this cell has {n:,} terms; at most {MOST:,} are listed")


def _number(x):
    if is_array(x) or isinstance(x, np.generic):
        return x.item()
    return x if isinstance(x, (bool, int, float)) else repr(x)
