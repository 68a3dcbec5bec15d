"""A bug hunt: the backward pass of a tape, run again with one bug planted in it.

For every bug of ``wrong_backwards.py`` that fits, one operation is chosen, the engine's own pass
runs with the wrong backward in the place of the right one, and what arrives and what is handed on
is kept at sampled elements. Beside it stands what finite differences say.

Finite differences of what? The gradient that arrives at a tensor is the derivative of the loss with
respect to that tensor. What one operation hands to one of its inputs is a derivative too: with
respect to the input as that operation alone reads it, while its other readers see the old value.
So each operation can be proven by itself, and the first at which gradient and proof part is the one
with the bug.
"""

import inspect
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MethodType
from typing import Any

import numpy as np

from autograd._tensor import Tensor
from autograd.backward import _Pass, starting_gradient
from autograd.debug.explorer.again import hooks_in, recomputes, refusal_to_repeat
from autograd.debug.explorer.held import without_hooks
from autograd.debug.explorer.replay import CannotReplayError, Replay
from autograd.debug.explorer.tape import Call, Tape, Value, is_ours
from autograd.debug.explorer.wrong_backwards import PLANTABLE, Plantable
from autograd.debug.format import raw
from autograd.grad_mode import enable_grad
from autograd.kernels.dispatch import use_kernels
from autograd.observe import Observer

LARGEST = 100_000
"""Elements of all gradients together: a page for larger graphs has no bug hunt."""
MOST_CALLS = 200
SAMPLE = 3
"""Elements of every gradient that are compared, besides one for each bug."""
ROUNDING = 64
"""How many times the rounding of the largest element a right gradient may be off."""
RTOL = 1e-6
"""What finite differences may be off by themselves, relative to the largest element."""
STEP = 1e-5
"""Of finite differences, relative to the largest number that is moved."""


@dataclass(eq=False, repr=False)
class Record:
    """One gradient that can be proven.

    ``call`` and ``input`` name what an operation hands to one input; with ``input`` None it is what
    arrives at the output of ``call``, and with ``call`` None what arrives at a leaf.
    """

    value: Value
    call: Call | None
    input: int | None
    right: np.ndarray
    cells: list[int] = field(default_factory=list)
    """Flat indices of the sampled elements."""
    proof: list[float] = field(default_factory=list)
    """What finite differences say at these."""
    tolerance: float = 0.0

    @property
    def key(self):
        """(call, input, leaf): what tells records apart."""
        call = None if self.call is None else self.call.index
        return call, self.input, self.value.index if call is None else None


@dataclass(eq=False, repr=False)
class Planting:
    """A bug, the call that it was planted in (None: the engine's rule), and what came of it."""

    plantable: Plantable
    call: Call | None
    gradients: dict[tuple, np.ndarray]
    found_at: Value | None = None
    """The output of the first operation (or the leaf) at which gradient and proof part."""


class CannotHuntError(ValueError):
    """The gradients of a tape cannot be proven before a bug is planted; the message says why."""


def part(tape: Tape, builder: Any = None) -> dict[str, Any] | None:
    """What the page's view "Bug zoo" shows of ``tape``; None where no bug can be planted."""
    try:
        records, plantings = hunt(tape)
    except (CannotReplayError, CannotHuntError) as error:
        return {"refused": str(error)}
    if not plantings:
        return None
    sizes = [len(r.cells) for r in records]
    number = {r.key: i for i, r in enumerate(records)}
    return {
        "rows": _rows(tape, records, number),
        "shapes": [list(r.value.shape) for r in records],
        "first": np.cumsum([0, *sizes]).astype(np.int32),
        "cells": np.array([c for r in records for c in r.cells], np.int32),
        "proof": np.array([p for r in records for p in r.proof], np.float32),
        "tolerance": np.array([r.tolerance for r in records], np.float32),
        "norms": np.array([_norm(r.right) for r in records], np.float32),
        "bugs": [_described(p, records) for p in plantings],
    }


def hunt(tape: Tape) -> tuple[list[Record], list[Planting]]:
    """The records of the right pass, and every planted bug that shows in them.

    Raises CannotReplayError or CannotHuntError where the right pass cannot be proven.
    """
    size = sum(c.array.size for v in tape.values for c in v.contributions)
    if len(tape.calls) > MOST_CALLS or size > LARGEST:
        raise CannotHuntError(
            f"the graph has {len(tape.calls)} calls and {size} contributions to gradients: bugs "
            f"are planted in graphs of at most {MOST_CALLS} and {LARGEST}"
        )
    if hooks_in(tape):
        raise CannotHuntError("a hook sees the gradients, and would run once more for every bug")
    if recomputes(tape):
        raise CannotHuntError(
            "a part of it is recomputed during backward, and each pass makes that part anew"
        )
    if refusal := refusal_to_repeat(tape):
        raise CannotHuntError(refusal)
    if not all(np.isfinite(a).all() for v in tape.values for a in (v.gradient,) if a is not None):
        raise CannotHuntError("a gradient holds NaN or an infinity")
    if not np.isfinite(tape.loss.array).all():
        raise CannotHuntError("the loss is not finite, so differences of it say nothing")
    right = run_pass(tape)
    records = records_of(tape, right)
    plantings: list[Planting] = []
    for plantable in sorted(PLANTABLE, key=lambda p: _hash(p.bug.name)):
        if any(p.plantable.bug is plantable.bug for p in plantings):
            continue
        for call in places_for(tape, plantable):
            planting = Planting(plantable, call, run_pass(tape, plantable, call))
            culprit = culprit_of(records, planting)
            if culprit is not None:
                _add_telling_element(culprit, planting)
                plantings.append(planting)
                break
    prove(tape, records)
    already = first_difference(records, right)
    if already is not None:
        raise CannotHuntError(
            f"at {already.key} the right gradient misses finite differences already: see Proof"
        )
    for planting in plantings:
        planting.found_at = first_difference(records, planting.gradients)
    return records, plantings


def places_for(tape, plantable):
    """The calls that a bug may be planted in, in the order in which they are tried."""
    if plantable.op is None:
        several = any(len(v.contributions) > 1 for v in tape.values)
        return [None] if several else []
    calls = [c for c in tape.calls if c.name == plantable.op and is_ours(type(c.op))]
    calls = [c for c in calls if c.out.contributions]
    calls = [c for c in calls if plantable.fits(c)]
    start = _hash(plantable.bug.name) // 7 % max(1, len(calls))
    return calls[start:] + calls[:start]


def _hash(name):
    return zlib.crc32(name.encode())


# --- running the pass ---------------------------------------------------------------------------


class _Gradients(Observer):
    """Every contribution and every complete gradient of a pass, by the key of its record."""

    needs_every_contribution = True

    def __init__(self, tape):
        self.calls = {c.op.order: c.index for c in tape.calls}
        self.leaves = {v.node.order: v.index for v in tape.values if v.kind == "leaf"}
        self.found: dict[tuple, np.ndarray] = {}

    def on_contribution(self, op, i, node, gradient):
        if op is not None:
            self.found[self.calls[op.order], i, None] = np.array(raw(gradient))

    def on_gradient(self, node, gradient):
        call = self.calls.get(node.order)
        leaf = self.leaves.get(node.order) if call is None else None
        self.found[call, None, leaf] = np.array(raw(gradient))


def run_pass(tape: Tape, plantable: Plantable | None = None, call: Call | None = None) -> dict:
    """All gradients of one backward pass over the tape's graph, with a bug planted or without.

    The pass is the engine's. Nothing is written to ``.grad``, and the graph stays as it was.
    """
    watch = _Gradients(tape)
    leaves = {v.node for v in tape.values if v.kind == "leaf"}
    loss = Tensor._make(tape.loss.array, tape.loss.node, [0])
    start = starting_gradient(loss, None, False)
    nodes = [v.node for v in tape.values if v.node is not None]
    with (
        use_kernels("reference"),
        without_hooks(nodes),
        enable_grad(),
        watch,
        np.errstate(all="ignore"),
    ):
        a_pass = _Pass(leaves, False, True)
        if plantable is not None and call is None:
            a_pass.pending = plantable.wrong(False)
        with _planted(plantable, call):
            a_pass.run([start])
    return watch.found


@contextmanager
def _planted(plantable, call):
    """The op of ``call`` with a wrong backward of its own, inside the block."""
    if plantable is None or call is None:
        yield
        return
    call.op.backward = MethodType(plantable.wrong, call.op)
    try:
        yield
    finally:
        del call.op.backward


# --- the records and their proof ------------------------------------------------------------------


def records_of(tape: Tape, right: dict) -> list[Record]:
    """One Record for each gradient of the right pass, in the order of the pass."""
    records: list[Record] = []
    eps = max(float(np.finfo(g.dtype).eps) for g in right.values())
    noise = 10 * float(np.finfo(np.float64).eps) * abs(float(tape.loss.array.reshape(())[()]))
    floor = eps * max((float(np.abs(g).max(initial=0.0)) for g in right.values()), default=0.0)
    by_call = {c.index: c for c in tape.calls}
    leaves = {v.index: v for v in tape.values if v.kind == "leaf"}
    for (index, i, leaf), g in right.items():
        call = None if index is None else by_call[index]
        if call is None:
            value = leaves[leaf]
        else:
            value = call.out if i is None else call.args[i]
        record = Record(value, call, i, g)
        largest = float(np.abs(g).max(initial=0.0))
        record.tolerance = max(ROUNDING * eps, RTOL) * largest + 4 * floor + noise / STEP
        record.cells = _sample(g, seed=len(records))
        records.append(record)
    return records


def _sample(g, seed):
    """The flat index of the largest element, and of a few others."""
    if not g.size:
        return []
    rng = np.random.default_rng([seed, 11])
    largest = int(np.argmax(np.abs(g)))
    others = rng.permutation(g.size)[:SAMPLE].tolist()
    return list(dict.fromkeys([largest, *others]))[:SAMPLE]


def culprit_of(records: list[Record], planting: Planting) -> Record | None:
    """The first record, in the order of the pass, in which a planted bug shows anywhere."""
    for record in records:
        wrong = planting.gradients.get(record.key)
        if wrong is None or not _near(wrong, record.right, record.tolerance):
            return record
    return None


def _near(a, b, tolerance):
    return a.shape == b.shape and bool(np.all(np.abs(a - b) <= tolerance))


def _add_telling_element(record, planting):
    """Let the sample contain the element that the bug changes most."""
    wrong = planting.gradients[record.key]
    telling = int(np.argmax(np.abs(wrong.astype(np.float64) - record.right)))
    if telling not in record.cells:
        record.cells.append(telling)


def prove(tape: Tape, records: list[Record]) -> None:
    """Fill in what central differences in float64 say at the sampled elements."""
    run = Replay(tape, np.float64)
    for record in records:
        if record.cells and (refusal := run.refusal(record.value.index)):
            raise CannotHuntError(refusal)
    for record in records:
        rows = np.random.default_rng([len(record.cells), 5]).permutation(len(record.cells))
        record.cells = [record.cells[i] for i in rows]  # the telling one is not always the last
        record.proof = [slope(run, record, cell) for cell in record.cells]


def slope(run: Replay, record: Record, cell: int) -> float:
    """d loss / d element ``cell`` of what the record is the gradient of."""
    x = run.arrays[record.value.index]
    h = _step(x)
    changed = x.copy()
    losses = []
    for sign in (1, -1):
        changed.reshape(-1)[cell] = x.reshape(-1)[cell] + sign * h
        losses.append(_loss_with(run, record, changed))
    return (losses[0] - losses[1]) / (2 * h)


def _step(x):
    return STEP * max(1.0, float(np.abs(x).max(initial=0.0)))


def _loss_with(run, record, array):
    """The loss with ``array`` in place of the value, for all its readers or for one."""
    if record.input is None:
        return run.loss_at(record.value.index, array)
    call = record.call
    args = [array if i == record.input else a for i, a in enumerate(call.args)]
    y = run._compute(replace(call, args=args), run.arrays)
    return run.loss_at(call.out.index, y)


def first_difference(records: list[Record], gradients: dict) -> Value | None:
    """Where gradient and proof differ first in the order of the pass; None if nowhere.

    It is the output of an operation that is handed, or hands on, a wrong gradient. It is a leaf if
    only what arrives there is wrong.
    """
    for record in records:
        if differs(record, gradients.get(record.key)):
            return record.value if record.call is None else record.call.out
    return None


def differs(record: Record, gradient: np.ndarray | None) -> bool:
    """Whether the gradient misses the proof at one of the sampled elements."""
    if gradient is None or gradient.shape != record.value.shape:
        return True
    at = gradient.reshape(-1)[record.cells]
    return bool(np.any(~(np.abs(at - np.array(record.proof)) <= record.tolerance)))


# --- for the page ---------------------------------------------------------------------------------


def _rows(tape, records, number):
    """One row for each step of the pass: its call or leaf, and the numbers of its records."""
    rows = []
    for kind, what in tape.events:
        if kind == "backward":
            hands = [
                {"input": r.input, "key": r.value.key, "record": number[r.key]}
                for r in records
                if r.call is what and r.input is not None
            ]
            arrives = number[what.index, None, None]
            op, key = what.name, what.out.key
            rows.append({"op": op, "key": key, "arrives": arrives, "hands": hands})
        elif kind == "leaf":
            arrives = number[None, None, what.index]
            rows.append({"op": "", "key": what.key, "arrives": arrives, "hands": []})
    return rows


def _described(planting, records):
    bug, plantable = planting.plantable.bug, planting.plantable
    gradients = [planting.gradients.get(r.key) for r in records]
    wrong = [
        g.reshape(-1)[r.cells] if g is not None else np.full(len(r.cells), np.nan)
        for r, g in zip(records, gradients, strict=True)
    ]
    return {
        "name": bug.name,
        "story": bug.story,
        "note": plantable.note,
        "caught": bug.caught_by,
        "op": plantable.op or "",
        "at": "" if planting.found_at is None else planting.found_at.key,
        "hints": list(plantable.hints),
        "wrong": source_of(bug.wrong),
        "right": source_of(bug.right),
        "planted": source_of(plantable.wrong) if plantable.adapted else "",
        "gradients": np.concatenate(wrong).astype(np.float32),
        "norms": np.array([_norm(g) for g in gradients], np.float32),
    }


def _norm(g):
    return float("nan") if g is None else float(np.sqrt(np.sum(np.square(g, dtype=np.float64))))


def source_of(code: Any) -> str:
    """The source of a class or function of the zoo, without its documentation."""
    return inspect.getsource(code).rstrip()
