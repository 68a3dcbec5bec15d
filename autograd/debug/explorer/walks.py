"""Why newest first: one graph, walked in the engine's order and by naive recursion.

Three walks carry the gradient of the loss back through the same nodes, each with the node's own
backward:

    newest  the engine's order: a node's turn comes when every use of its output has contributed
    once    recursion into the inputs; a node hands its gradient on when it is first reached, as
            ``depth_first`` in the bug zoo does: what arrives later stays where it is
    every   recursion that hands on, at every arrival, all that the node has gathered so far: what
            it handed on before is counted again

A walk is recorded as events: a node runs, a leaf receives, a part arrives too late. Every event
has the gradient that the node holds at that time and the contributions that it still waits for,
so a reader sees where the first wrong number comes from.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

import numpy as np

from autograd._tensor import Tensor
from autograd.accumulate import Pending, Scatter
from autograd.debug.explorer.again import refusal_to_repeat
from autograd.debug.explorer.held import hooked
from autograd.device import namespace
from autograd.functional.recomputation import Recompute
from autograd.grad_mode import enable_grad
from autograd.kernels.dispatch import use_kernels
from autograd.leaf import Leaf
from autograd.unbroadcast import fit_to_input

RUNS, LEAF, LATE, AGAIN = range(4)
KINDS = ("runs", "leaf", "late", "again")
MOST_EVENTS = 2000
"""The recursion at every arrival follows every path. With more events than this it is not run to
its end."""
FIRST_EVENTS = 100
"""How many of them are run then."""
WHOLE = 20_000
"""A walk keeps the gradient of every event while they have no more elements than this together."""
SAMPLES = 40
"""Otherwise it keeps a corner of the gradients of this many nodes that run too early."""
CORNER = 4


class WalkedGraph:
    """The nodes that ``root`` was computed from, newest first, and the uses between them.

    A recomputed segment hands on to nodes that are newer than itself: they come right after it.

    An edge is one use, (user, input, used): the indices of two nodes and the position of the input.
    It is the path of one contribution. The edges of a node are those into it.
    """

    def __init__(self, root: Any) -> None:
        found, waiting = {root}, [(-root.order, root)]
        self.nodes: list[Any] = []
        while waiting:
            _, node = heappop(waiting)
            self.nodes.append(node)
            for source in inputs_of(node):
                if source is not None and source not in found:
                    found.add(source)
                    heappush(waiting, (-source.order, source))
        self.index = {node: i for i, node in enumerate(self.nodes)}
        self.edges: list[tuple[int, int, int]] = []
        self.arriving: list[list[int]] = [[] for _ in self.nodes]
        self.leaving: list[dict[int, int]] = [{} for _ in self.nodes]
        for i, node in enumerate(self.nodes):
            for position, source in enumerate(inputs_of(node)):
                if source is not None:
                    edge, used = len(self.edges), self.index[source]
                    self.edges.append((i, position, used))
                    self.arriving[used].append(edge)
                    self.leaving[i][position] = edge

    def paths(self) -> list[int]:
        """How many paths lead from the root to each node: exact, however many there are."""
        counts = [0] * len(self.nodes)
        counts[0] = 1
        for user, _, used in self.edges:  # newest first: a user is counted before what it used
            counts[used] += counts[user]
        return counts


@dataclass
class Walk:
    """What happened, event by event: see ``columns`` for the meaning of each list."""

    name: str
    kinds: list[int] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)
    edges: list[int] = field(default_factory=list)
    missing: list[list[int]] = field(default_factory=list)
    gradients: list[Any] = field(default_factory=list)
    ended: bool = True

    def add(self, kind, node, edge, missing, gradient):
        self.kinds.append(kind)
        self.nodes.append(node)
        self.edges.append(edge)
        self.missing.append(missing)
        self.gradients.append(gradient)

    def early(self) -> list[int]:
        """The events at which a node hands on a gradient that is not complete."""
        events = range(len(self.kinds))
        return [e for e in events if self.kinds[e] in (RUNS, AGAIN) and self.missing[e]]

    def results(self) -> dict[int, Any]:
        """The gradient that each leaf ends with."""
        pairs = zip(self.kinds, self.nodes, self.gradients, strict=True)
        return {node: gradient for kind, node, gradient in pairs if kind == LEAF}


def inputs_of(node):
    """The nodes that a node was computed from; None where an input requires no gradient."""
    return () if isinstance(node, Leaf) else node.inputs


def contributions(node, g) -> Iterator[tuple[int, Any]]:
    """Pairs (position, gradient) of the inputs of ``node``: its backward, on the gradient ``g``."""
    xp = namespace(g)
    if isinstance(node, Recompute):  # it has run: its input is the output of the second run
        gradients = g
    else:
        gradients = node.backward(xp, g, *node.saved)
    gradients = gradients if isinstance(gradients, (tuple, list)) else (gradients,)
    for i, (source, gradient) in enumerate(zip(node.inputs, gradients, strict=True)):
        if source is not None:
            unfit = gradient is None or gradient.shape != source.shape
            if unfit or gradient.dtype != source.dtype:
                gradient = fit_to_input(xp, node, i, gradient)
            yield i, gradient


def newest_first(graph: WalkedGraph, g) -> Walk:
    """The engine's order, with the sums that the engine makes."""
    walk, pending, arrived = Walk("newest"), Pending(False), {-1}
    pending.add(graph.nodes[0], g, False)
    for node, total, _ in pending.newest_first():
        total = total.densify() if isinstance(total, Scatter) else namespace(total).array(total)
        i = graph.index[node]
        missing = [edge for edge in graph.arriving[i] if edge not in arrived]
        walk.add(LEAF if isinstance(node, Leaf) else RUNS, i, -1, missing, total)
        if not isinstance(node, Leaf):
            for position, gradient in contributions(node, total):
                arrived.add(graph.leaving[i][position])
                pending.add(node.inputs[position], gradient, False)
    return walk


def recursion(graph: WalkedGraph, g, every=False, most=None) -> Walk:
    """Into the inputs at once. ``every``: a node that has run hands on again at each arrival.

    ``most`` stops the walk after so many events. This is, with a stack in place of the calls,

        def visit(node, gradient):
            total[node] += gradient
            if node has not run, or every:
                for source, part in contributions(node, total[node]):
                    visit(source, part)
    """
    walk = Walk("every" if every else "once")
    total: dict[int, Any] = {}
    ran, arrived = set(), {-1}
    calls = [iter([(0, -1, g)])]
    while calls:
        arrival = next(calls[-1], None)
        if arrival is None:
            calls.pop()
            continue
        if most is not None and len(walk.kinds) == most:
            walk.ended = False
            break
        i, edge, gradient = arrival
        node = graph.nodes[i]
        arrived.add(edge)
        total[i] = namespace(g).asarray(total[i] + gradient) if i in total else gradient
        missing = [e for e in graph.arriving[i] if e not in arrived]
        if isinstance(node, Leaf):
            kind = LEAF
        elif i in ran:
            kind = AGAIN if every else LATE
        else:
            kind = RUNS
        walk.add(kind, i, edge, missing, total[i])
        if kind in (LEAF, LATE):
            continue
        ran.add(i)
        inputs = []
        for position, part in contributions(node, total[i]):
            part = part.densify() if isinstance(part, Scatter) else part
            inputs.append((graph.index[node.inputs[position]], graph.leaving[i][position], part))
        calls.append(iter(inputs))
    return walk


# --- what the page is given -----------------------------------------------------------------------


def norm(array) -> float:
    wide = np.asarray(array, dtype=np.float64)
    return float(np.sqrt(np.sum(wide * wide)))


def difference(array, expected):
    """How much they differ, in float64; nothing where both are the same infinity."""
    wide, right = np.asarray(array, np.float64), np.asarray(expected, np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(wide == right, 0.0, wide - right)


def worst_element(array, expected) -> tuple[int, ...]:
    """The index of the element that differs most; () where there is none."""
    if not array.size:
        return ()
    off = np.abs(difference(array, expected))
    off = np.where(np.isnan(off), np.inf, off)
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(off)), off.shape))


def verdict(array, expected) -> str:
    """ "equal" bit for bit, "rounding" if only the order of summation differs, or "wrong"."""
    if np.array_equal(array, expected, equal_nan=True):
        return "equal"
    allowed = 1000 * float(np.finfo(expected.dtype).eps) * max(norm(array), norm(expected))
    return "rounding" if norm(difference(array, expected)) <= allowed else "wrong"


def corner(array, expected) -> dict[str, Any]:
    """A block of CORNER x CORNER elements of both, at the element that differs most."""
    worst = worst_element(array, expected)
    start = [
        min(index // CORNER * CORNER, max(n - CORNER, 0)) if axis >= array.ndim - 2 else index
        for axis, (index, n) in enumerate(zip(worst, array.shape, strict=True))
    ]
    block = tuple(
        slice(s, s + (CORNER if axis >= array.ndim - 2 else 1)) for axis, s in enumerate(start)
    )
    return {"at": start, "got": np.array(array[block]), "expected": np.array(expected[block])}


def columns(walk: Walk, complete: dict[int, Any]) -> dict[str, Any]:
    """A Walk as plain values and arrays. ``complete``: the right gradient of each node.

    kind, node, edge    of each event: a number in KINDS, and indices; edge -1: no single arrival
    norm, off           the length of the gradient that the node holds, and of what it is off by
    missing             the edges that have not arrived, of all events one after the other; those
                        of event e are missing[missingFrom[e]] up to missingFrom[e + 1]
    gradients           the gradient of each event, or None; or instead
    corners             {event: a block of it} of nodes that run too early, where all is too much
    results             of each leaf: its gradient against the right one
    """
    pairs = [(g, complete[i]) for g, i in zip(walk.gradients, walk.nodes, strict=True)]
    whole = sum(g.size for g in walk.gradients) <= WHOLE
    early = walk.early()
    made: dict[str, Any] = {
        "name": walk.name,
        "kind": np.array(walk.kinds, dtype=np.int32),
        "node": np.array(walk.nodes, dtype=np.int32),
        "edge": np.array(walk.edges, dtype=np.int32),
        "norm": np.array([norm(g) for g, _ in pairs]),
        "off": np.array([norm(difference(g, right)) for g, right in pairs]),
        "missing": np.array([e for edges in walk.missing for e in edges], dtype=np.int32),
        "missingFrom": np.cumsum([0, *map(len, walk.missing)]).astype(np.int32),
        "early": np.array(early, dtype=np.int32),
        "ended": walk.ended,
        "gradients": [np.asarray(g) for g in walk.gradients] if whole else None,
        "corners": {} if whole else {str(e): corner(*pairs[e]) for e in early[:SAMPLES]},
        "results": None,
    }
    if walk.ended:
        made["results"] = _results(walk.results(), complete)
    return made


def _results(gradients, complete):
    leaves = sorted(gradients)
    worst = [worst_element(gradients[i], complete[i]) for i in leaves]
    elements = [
        (gradients[i][at], complete[i][at], difference(gradients[i], complete[i])[at])
        if gradients[i].size
        else (0.0, 0.0, 0.0)
        for i, at in zip(leaves, worst, strict=True)
    ]
    return {
        "node": np.array(leaves, dtype=np.int32),
        "norm": np.array([norm(gradients[i]) for i in leaves]),
        "expected": np.array([norm(complete[i]) for i in leaves]),
        "off": np.array([norm(difference(gradients[i], complete[i])) for i in leaves]),
        "verdict": [verdict(gradients[i], complete[i]) for i in leaves],
        "worst": [list(at) for at in worst],
        "elements": np.array(elements, dtype=np.float64).reshape(-1, 3),
    }


def walk_graph(root: Any, names: dict[Any, tuple[str, str]]) -> dict[str, Any]:
    """All three walks from the node ``root``, a single number.

    ``names`` has for each node its name and how it was made ("c = b * b").
    """
    graph = WalkedGraph(root)
    paths = graph.paths()
    g = np.ones(root.shape, dtype=root.dtype)
    newest = newest_first(graph, g)
    complete = dict(zip(newest.nodes, newest.gradients, strict=True))
    once = recursion(graph, g)
    most = None if sum(paths) <= MOST_EVENTS else FIRST_EVENTS
    every = recursion(graph, g, every=True, most=most)
    nodes = []
    for i, node in enumerate(graph.nodes):
        name, text = names.get(node, (f"{type(node).__name__} {node.order}", ""))
        nodes.append(
            {
                "name": name,
                "text": text,
                "op": None if isinstance(node, Leaf) else type(node).__name__,
                "shape": list(node.shape),
                "dtype": str(node.dtype),
                "gradient": complete[i] if complete[i].size <= WHOLE // 10 else None,
            }
        )
    return {
        "nodes": nodes,
        "norms": np.array([norm(complete[i]) for i in range(len(nodes))]),
        "edges": np.array(graph.edges, dtype=np.int32).reshape(-1, 3),
        "paths": str(sum(paths)),  # may be more than a float holds
        "hooked": any(hooked(node) for node in graph.nodes),
        "walks": {w.name: columns(w, complete) for w in (newest, once, every)},
    }


def example_reuse() -> dict[str, Any]:
    """b = a + a; c = b * b: the smallest graph on which recursion fails."""
    a = Tensor(3.0, requires_grad=True)
    b = a + a
    c = b * b
    return walk_graph(
        c._node, {a._node: ("a", "a = 3"), b._node: ("b", "b = a + a"), c._node: ("c", "c = b * b")}
    )


def example_residual() -> dict[str, Any]:
    """A residual stream of two blocks: h goes into each block, and around it."""
    w = Tensor([0.5, 1.0], requires_grad=True)
    h0 = w * Tensor([2.0, 0.5])
    block0 = h0 * h0
    h1 = h0 + block0
    block1 = h1 * h1
    h2 = h1 + block1
    loss = h2.sum()
    made = [
        (w, "w", "w = (0.5, 1)"),
        (h0, "h0", "h0 = w * (2, 0.5)"),
        (block0, "block0", "block0 = h0 * h0"),
        (h1, "h1", "h1 = h0 + block0"),
        (block1, "block1", "block1 = h1 * h1"),
        (h2, "h2", "h2 = h1 + block1"),
        (loss, "loss", "loss = sum(h2)"),
    ]
    return walk_graph(loss._node, {x._node: (name, text) for x, name, text in made})


EXAMPLES = {"reuse": example_reuse, "residual": example_residual}


def part(tape: Any, builder: Any = None) -> dict[str, Any]:
    """The walks of a tape's graph, and those of the two examples, for the page.

    ``refused`` says why the graph itself cannot be walked.
    """
    with enable_grad():
        examples = {name: example() for name, example in EXAMPLES.items()}
    if refusal := refusal_to_repeat(tape):
        return {"examples": examples, "refused": refusal}
    root = tape.loss.node
    names = {}
    for value in tape.values:
        if value.node is not None:
            place = value.call.place if value.call is not None else None
            names[value.node] = (value.key, place.source if place is not None else "")
    with use_kernels("reference") if tape.function else nullcontext():  # as ``record`` does
        walked = walk_graph(root, names)
    return {
        "this": walked,
        "examples": examples,
    }
