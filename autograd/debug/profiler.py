"""Where time and memory go: per op and per line of the user's code, forward and backward.

The time of an op includes what the engine does for it, and excludes ops that ran inside it. Memory
is that of the tape (``memory.py``); ``flops.py`` counts the arithmetic.
"""

import json
import os
import threading
import time
import weakref
from collections import defaultdict
from dataclasses import dataclass, field
from html import escape
from typing import TypeVar

from autograd._notebook import table_html
from autograd._tensor import Tensor
from autograd.call_site import call_site
from autograd.debug.flops import backward_flops, flops
from autograd.debug.format import Place, bytes_text, count_text, place_at, shortened, table
from autograd.debug.memory import Peak, Tape
from autograd.device import is_array
from autograd.engine import Op
from autograd.observe import Observer

PathT = TypeVar("PathT", str, os.PathLike)
NOWHERE = Place("", 0, "")


@dataclass
class Row:
    """The cost of one op, or of one line: seconds, calls, bytes kept for backward, operations."""

    calls: int = 0
    forward: float = 0.0
    backward_calls: int = 0
    backward: float = 0.0
    saved: int = 0
    flops: int = 0
    ops: set = field(default_factory=set)
    place: Place = NOWHERE

    @property
    def seconds(self) -> float:
        return self.forward + self.backward


@dataclass
class _Event:
    op: str
    site: tuple  # of the call; its file and line are looked up on demand
    kind: str  # "forward" or "backward"
    start: float
    seconds: float = 0.0
    inner: float = 0.0  # of the ops that ran inside
    details: dict = field(default_factory=dict)


class profile(Observer):  # noqa: N801 (PyTorch's name)
    """``with profile() as p:`` measures every op called and every backward step inside.

    ``print(p.table())`` shows them by op, ``p.table("line")`` by line; ``p.peak`` is the tape at
    its largest; ``p.chrome_trace(path)`` writes a file for chrome://tracing or ui.perfetto.dev.
    Measuring costs a few microseconds per op, so tiny ops look slower than they are.
    """

    def __init__(self):
        self.events: list[_Event] = []
        self.seconds = 0.0
        self._running: list[tuple[Op, _Event]] = []
        self._flops: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
        self._tape = Tape()
        self._zero = time.perf_counter()

    def __enter__(self):
        self._zero = time.perf_counter() - self.seconds
        return super().__enter__()

    def __exit__(self, *exc_info):
        super().__exit__(*exc_info)
        self.seconds = time.perf_counter() - self._zero
        self._running.clear()

    # --- what the engine reports -----------------------------------------------------------------

    def before_forward(self, op, args):
        if not hasattr(op, "site"):
            op.site = call_site()
        self._begin(op, "forward")

    def after_forward(self, op, args, output):
        event = self._end(op)
        if event is None:
            return
        shapes = [tuple(a.shape) for a in args if isinstance(a, Tensor) or is_array(a)]
        count = flops(op, shapes, output.shape)
        event.details = {"inputs": shapes, "output": output.shape, "flops": count}
        if output._node is op:
            self._flops[op] = count
            event.details["saved_bytes"] = self._tape.keep(op, args, event)

    def after_saving(self, op):
        if op in self._flops:  # what its segment keeps was unknown when its call, the last, ended
            event, (segment,) = self.events[-1], op.saved
            event.details["saved_bytes"] = self._tape.keep(op, segment.tensors(), event)

    def on_gradient(self, node, gradient):
        if isinstance(node, Op):
            self._begin(node, "backward")

    def after_backward(self, op, released):
        event = self._end(op)
        if event is not None:
            count = backward_flops(op, self._flops.get(op, 0))
            event.details = {"output": op.shape, "flops": count}
            if released:
                self._tape.release(op, event)

    def _begin(self, op, kind):
        event = _Event(type(op).__name__, op.site, kind, 0.0)
        self._running.append((op, event))
        event.start = time.perf_counter() - self._zero

    def _end(self, op):
        now = time.perf_counter() - self._zero
        while self._running:
            running, event = self._running.pop()
            if running is op:  # any other was ended by an exception
                event.seconds = now - event.start
                if self._running:
                    self._running[-1][1].inner += event.seconds
                self.events.append(event)
                return event
        return None  # it began before the profile did

    # --- what the user asks ----------------------------------------------------------------------

    def rows(self, by: str = "op") -> dict[str, Row]:
        """A dictionary from op, or from "file:line", to its Row. Raises ValueError otherwise."""
        if by not in ("op", "line"):
            raise ValueError(f'rows and tables are by "op" or by "line", not {by!r}')
        places = {site: place_at(site) for site in {event.site for event in self.events}}
        rows: defaultdict[str, Row] = defaultdict(Row)
        for event in self.events:
            place = places[event.site]
            row = rows[event.op if by == "op" else str(place)]
            own = event.seconds - event.inner
            row.ops.add(event.op)
            row.place = place
            row.flops += event.details["flops"]
            if event.kind == "forward":
                row.calls, row.forward = row.calls + 1, row.forward + own
                row.saved += event.details.get("saved_bytes", 0)
            else:
                row.backward_calls, row.backward = row.backward_calls + 1, row.backward + own
        return dict(sorted(rows.items(), key=lambda item: -item[1].seconds))

    def table(self, by: str = "op", limit: int = 20) -> str:
        """The rows as text, the most expensive first, with totals and the tape's peak."""
        headers, lines, shown = self._cells(by, limit)
        text = table(headers, lines)
        if by == "line":  # under each line: what ran there, and the source
            head, rule, *body = text.splitlines()
            for i, row in enumerate(shown):
                what = ", ".join(sorted(row.ops))
                body[i] += "\n    " + shortened(f"{what}: {row.place.source}", 76)
            text = "\n".join([head, rule, *body])
        return "\n".join([text, *self._totals(by, limit)])

    def _repr_html_(self) -> str:
        """For notebooks: the table by op, with the totals below it."""
        headers, lines, _ = self._cells("op", 20)
        totals = "<br>".join(map(escape, self._totals("op", 20)))
        return f"{table_html('time and memory by op', headers, lines)}<div>{totals}</div>"

    def _cells(self, by, limit):
        """(headers, lines, rows) of a table of the most expensive ``limit`` rows."""
        rows = self.rows(by)
        total = sum(row.seconds for row in rows.values()) or 1.0
        headers = [by, ">calls", ">forward ms", ">backward ms", ">share", ">saved", ">FLOP"]
        shown = list(rows.items())[:limit]
        lines = [self._line(name if by == "op" else row.place.short, row, total)
                 for name, row in shown]  # fmt: skip
        if by == "op":
            headers.append(">GFLOP/s")
            for line, (_, row) in zip(lines, shown, strict=True):
                line.append(f"{row.flops / row.seconds / 1e9:.2f}" if row.seconds else "-")
        return headers, lines, [row for _, row in shown]

    def _totals(self, by, limit):
        """The lines below the table."""
        rows = self.rows(by)
        seconds = sum(row.seconds for row in rows.values()) or 1.0
        totals = [f"... and {len(rows) - limit} more"] if len(rows) > limit else []
        totals.append(
            f"{sum(row.calls for row in rows.values())} ops, {seconds * 1e3:.2f} ms in ops of "
            f"{self.seconds * 1e3:.2f} ms observed"
        )
        peak = self.peak
        if peak.holders:
            op, place, size = peak.holders[0]
            totals += [
                f"peak memory of the tape: {bytes_text(peak.bytes)}",
                f"{op} at {place.short} holds {bytes_text(size)} of it",
            ]
        return totals

    @staticmethod
    def _line(name, row, total):
        return [
            name, row.calls, f"{row.forward * 1e3:.3f}", f"{row.backward * 1e3:.3f}",
            f"{row.seconds / total:.1%}", bytes_text(row.saved), count_text(row.flops),
        ]  # fmt: skip

    @property
    def peak(self) -> Peak:
        """The Peak of the tape: its size, and which ops kept how much of it at that moment."""
        return self._tape.peak()

    def chrome_trace(self, path: PathT) -> PathT:
        """Write the events as a trace (the Trace Event Format) to ``path``; returns the path.

        Open it at chrome://tracing or ui.perfetto.dev. The counter is the size of the tape.
        """
        where = {"pid": os.getpid(), "tid": threading.get_ident() % 2**31}
        events = [
            {
                "name": event.op,
                "cat": event.kind,
                "ph": "X",
                "ts": event.start * 1e6,
                "dur": event.seconds * 1e6,
                "args": {"line": str(place_at(event.site)), **event.details},
                **where,
            }
            for event in sorted(self.events, key=lambda e: e.start)
        ]
        size = 0
        for when, change, _ in self._tape.changes:
            size += change
            counter = {"name": "tape", "ph": "C", "ts": when * 1e6, "args": {"bytes": size}}
            events.append({**counter, **where})
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"traceEvents": events, "displayTimeUnit": "ms"}, file)
        return path
