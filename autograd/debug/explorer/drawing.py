"""The drawing's part of a graph: where each tensor stands, and how the edges run (layout.py)."""

from typing import Any

from autograd.debug.explorer.layout import layout
from autograd.debug.explorer.tape import Tape, Value


def part(tape: Tape, builder: Any) -> dict[str, Any]:
    """``nodes``, rows [tensor, x, y]; ``edges``, rows [from, to, x, y, x, y, ...].

    What was computed is drawn, and the leaves and constants it was computed from.
    """
    ids = {value: item.id for value, item in builder.value_items.items()}
    used: dict[Value, None] = {}
    edges: dict[tuple[int, int], None] = {}
    for call in tape.calls:
        for argument in call.args:
            if isinstance(argument, Value):
                used[argument] = None
                edges[ids[argument], ids[call.out]] = None
        used[call.out] = None
    given = [value for value in used if value.call is None]
    computed = [value for value in used if value.call is not None]
    order = [ids[value] for value in (*given, *computed)]
    places, paths = layout(order, edges, {ids[value] for value in given})
    return {
        "nodes": [[key, *map(round, places[key])] for key in order],
        "edges": [
            [source, target, *(round(c) for point in points for c in point)]
            for (source, target), points in paths.items()
        ],
    }
