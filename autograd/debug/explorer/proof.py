"""The part "proof" of the page: checks and curves for a sample of elements of every tensor.

``measure.py`` says what is measured, and how. Here is which elements: a few of every tensor that
has a gradient, the largest entry among them, as many as a budget of work allows.
"""

import math
import zlib
from typing import Any

import numpy as np

from autograd.debug.explorer.measure import (
    STEPS,
    VERDICTS,
    Check,
    Curve,
    Prover,
    largest_element,
    rtol_of,
)
from autograd.debug.explorer.tape import Tape, Value

ELEMENTS = 4
"""Of every tensor, if the budget allows."""
BUDGET = 3e9
"""How much work the sample may be: in nanoseconds, roughly, of one processor. Of a model it may be
fifty times as much as its loss, but not more than MOST."""
MOST = 8e9


def part(tape: Tape, builder: Any, budget: float | None = None) -> dict[str, Any]:
    """``graph.proof``: checks and curves for a sample of elements, the same one every time.

    ``checks`` and ``curves`` are tables as columns: arrays with an entry per row, in which tensors
    are named by their ids on the page. ``elements`` lists the checked elements of a tensor, under
    its id and that of its gradient. ``unproven`` says of which tensors nothing could be measured,
    and why; ``left_out`` counts those left out to save time.
    """
    prover = Prover(tape)
    proven, unproven = [], []
    for value in tape.values:
        if value.gradient is None or value.dtype.kind != "f":
            continue
        reason = prover.refusal(value.index)
        if reason:
            unproven.append({"tensor": builder.value_items[value].id, "reason": reason})
        else:
            proven.append(value)
    if budget is None:
        whole = max((prover.cost(value.index) for value in proven), default=0.0)
        budget = min(max(BUDGET, 50 * whole), MOST)
    each, chosen = _affordable(prover, proven, 0.4 * budget)
    checks = [
        check
        for value in chosen
        for check in prover.check(value.index, choose(value, each, prover.exact[value.index]))
    ]
    first = {check.tensor: check for check in reversed(checks)}
    curves = [
        prover.curve(value.index, first[value.index].element)
        for value in _within(prover, chosen, 4 * len(STEPS), 0.6 * budget)
        if first[value.index].exact and math.isfinite(first[value.index].exact)
    ]
    elements: dict[int, list[int]] = {}
    for check in checks:
        value = tape.values[check.tensor]
        for item in (builder.value_items[value], builder.gradient_items[value]):
            elements.setdefault(item.id, []).append(check.element)
    ids = [builder.value_items[value].id for value in tape.values]
    return {
        "loss": prover.loss,
        "type": str(tape.loss.dtype),
        "rtol": rtol_of(tape.loss.dtype),
        "checks": columns(checks, ids),
        "verdicts": list(VERDICTS),
        "curves": curve_columns(curves, ids),
        "unproven": unproven,
        "left_out": len(proven) - len(chosen),
        "hooked": [builder.value_items[v].id for v in tape.values if v.before_hooks is not None],
        "elements": elements,
    }


def choose(value: Value, n: int, exact: Any = None) -> list[int]:
    """``n`` flat indices into a value: that of the largest gradient, and others by chance.

    Chance is decided by the value's name, so the choice is always the same. The largest is that of
    ``exact``, the gradient in float64, if there is one.
    """
    gradient = np.asarray(value.gradient if exact is None else exact)
    first = largest_element(gradient)
    rng = np.random.default_rng([zlib.crc32(value.key.encode()), 31])
    others = rng.choice(gradient.size, min(n, gradient.size), replace=False).tolist()
    return [first, *sorted(int(k) for k in others if k != first)[: n - 1]]


def _affordable(prover, values, budget):
    """(elements per tensor, the values that are checked)."""
    for each in (ELEMENTS, 2, 1):
        if sum(prover.cost(v.index) for v in values) * 2 * each <= budget:
            return each, values
    return 1, _within(prover, values, 2, budget)


def _within(prover, values, runs, budget):
    """All of the values, or as many, evenly spread, as ``runs`` replays of each may cost."""
    if runs * sum(prover.cost(v.index) for v in values) <= budget:
        return values
    values = [v for v in values if runs * prover.cost(v.index) <= budget]
    values = [v for v in values if v is not prover.tape.loss]  # of itself it is too simple
    stride = math.ceil(runs * sum(prover.cost(v.index) for v in values) / budget)
    return values[::-1][:: max(stride, 1)][::-1]


def columns(checks: list[Check], ids: list[int]) -> dict[str, np.ndarray]:
    """A table of Checks as columns; ``ids`` are the page's numbers of the tape's values.

    A verdict is its index in VERDICTS.
    """
    table = _named(checks, ids)
    for name in ("x", "gradient", "exact", "difference", "step", "noise", "rounding", "tolerance"):
        table[name] = np.array([getattr(c, name) for c in checks], dtype=np.float64)
    verdicts = [VERDICTS.index(c.verdict) for c in checks]
    return table | {"verdict": np.array(verdicts, dtype=np.int32)}


def curve_columns(curves: list[Curve], ids: list[int]) -> dict[str, np.ndarray]:
    """A table of Curves with the same steps; ``slopes32`` and ``slopes64`` have a row for each."""
    steps = curves[0].steps if curves else np.asarray(STEPS)
    table = _named(curves, ids) | {"steps": steps}
    for name in ("x", "exact"):
        table[name] = np.array([getattr(c, name) for c in curves], dtype=np.float64)
    for name in ("slopes32", "slopes64"):
        rows = np.array([getattr(c, name) for c in curves], dtype=np.float64)
        table[name] = rows.reshape(len(curves), len(steps))
    return table


def _named(rows, ids):
    return {
        "tensor": np.array([ids[row.tensor] for row in rows], dtype=np.int32),
        "element": np.array([row.element for row in rows], dtype=np.int32),
    }
