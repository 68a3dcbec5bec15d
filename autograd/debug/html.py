"""The graph as a page: one file, no outside links, readable without a server or a network.

The drawing is made here, as SVG; the page's script only shows the details of the node that is
clicked, moves and zooms. Layers run downward: a node stands below everything it was computed from,
and within its layer near the middle of its neighbours (Sugiyama, Tagawa and Toda 1981).

Text from the user's program (names, source lines) is data: escaped in the markup, and passed to the
script as JSON in which no tag can begin.
"""

import itertools
import json
import math
from dataclasses import asdict
from html import escape
from pathlib import Path

from autograd.debug.format import bytes_text

WIDTH, HEIGHT, GAP_X, GAP_Y = 176, 50, 22, 44
_TEMPLATE = Path(__file__).with_name("graph.html")


def page(graph, title):
    """The page of a Graph as a string."""
    nodes = graph.nodes
    places, bends = layout(nodes)
    points = [*places.values(), *(p for between in bends.values() for p in between)]
    width = max((x for x, _ in points), default=0) + WIDTH / 2 + GAP_X
    height = max((y for _, y in points), default=0) + (HEIGHT + GAP_Y) / 2
    drawing = "\n".join([*_edges(places, bends), *(_box(n, places[n.key]) for n in nodes)])
    saved = sum(n.saved_bytes for n in nodes)
    ops = sum(n.op is not None for n in nodes)
    summary = f"{ops} ops, {len(nodes) - ops} leaf tensors, {bytes_text(saved)} saved for backward"
    fields = {
        "TITLE": escape(title),
        "SUMMARY": escape(summary),
        "VIEW": f"0 0 {width:.0f} {height:.0f}",
        "DRAWING": drawing,
        "DATA": as_script_data([_details(n) for n in nodes]),
    }
    return fill(_TEMPLATE.read_text(encoding="utf-8"), fields)


def fill(template: str, fields: dict[str, str]) -> str:
    """A page: the template with the text of each field in the place of its name, {{NAME}}."""
    head, *rest = template.split("{{")
    parts = [head]
    for piece in rest:  # one pass: a value that looks like a field is left alone
        name, _, tail = piece.partition("}}")
        parts += [fields[name], tail]
    return "".join(parts)


def as_script_data(value):
    """JSON that is safe inside a script element: no tag, comment or entity can begin in it."""
    text = json.dumps(_without_nan(value), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _without_nan(value):
    """JSON has no NaN: such numbers become None, which the page shows as a dash."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(v) for v in value]
    return value


def layout(nodes):
    """Where to draw: the middle (x, y) of every node by key, and the bends of long edges.

    A computed node's layer is one below its lowest input; a leaf's is just above its first user.
    An edge that passes over layers gets a place of its own in each of them, so that it runs between
    the boxes: its bends, by (source, target). Sweeps down and up then pull everything toward the
    mean place of its neighbours.
    """
    known = {n.key for n in nodes}
    edges = {(source, n.key) for n in nodes for _, source in n.inputs if source in known}
    layer = _layers(nodes, edges)
    rows: dict[int, list] = {}
    for key, depth in layer.items():
        rows.setdefault(depth, []).append(key)
    above: dict = {key: [] for key in known}
    below: dict = {key: [] for key in known}
    bends = {}
    for source, target in sorted(edges):
        between = [(source, target, d) for d in range(layer[source] + 1, layer[target])]
        for place in between:
            rows[place[2]].append(place)
            above[place], below[place] = [], []
        chain = [source, *between, target]
        for upper, lower in itertools.pairwise(chain):
            below[upper].append(lower)
            above[lower].append(upper)
        bends[source, target] = between
    leaves = {n.key for n in nodes if n.op is None}
    x: dict = {}
    for row in rows.values():
        row.sort(key=str)
        for i, key in enumerate(row):
            x[key] = i * (WIDTH + GAP_X)
    for sweep in range(24):
        neighbours = above if sweep % 2 == 0 else below
        for depth in sorted(rows, reverse=sweep % 2 == 1):
            _settle(rows[depth], neighbours, x, leaves)
    left = min(x.values(), default=0) - WIDTH / 2 - GAP_X
    places = {
        key: (x[key] - left, depth * (HEIGHT + GAP_Y) + (HEIGHT + GAP_Y) / 2)
        for depth, row in rows.items()
        for key in row
    }
    return (
        {key: places[key] for key in known},
        {edge: [places[p] for p in between] for edge, between in bends.items()},
    )


def _layers(nodes, edges):
    above: dict = {n.key: [] for n in nodes}
    below: dict = {n.key: [] for n in nodes}
    for source, target in edges:
        above[target].append(source)
        below[source].append(target)
    layer: dict[int, int] = {}
    for n in nodes:  # from oldest to newest: inputs come first
        layer[n.key] = max((layer[k] + 1 for k in above[n.key]), default=0)
    for n in nodes:
        if n.op is None and below[n.key]:
            layer[n.key] = min(layer[k] for k in below[n.key]) - 1
    return layer


def _settle(row, neighbours, x, leaves):
    """Put the places of one layer near their neighbours' mean, in that order, without overlap.

    Ops follow the ops around them, and leaves fit in next to them, so a chain of ops runs straight.
    """
    wish = {}
    for place in row:
        near = [x[n] for n in neighbours[place] if n not in leaves or place in leaves]
        near = near or [x[n] for n in neighbours[place]] or [x[place]]
        wish[place] = sum(near) / len(near)
    row.sort(key=lambda place: (wish[place], place in leaves, str(place)))
    for i, place in enumerate(row):
        x[place] = wish[place]
        if i > 0:
            distance = (_width(row[i - 1]) + _width(place)) / 2 + GAP_X
            x[place] = max(wish[place], x[row[i - 1]] + distance)
    heavy = [place for place in row if place not in leaves] or row
    shift = sum(x[place] - wish[place] for place in heavy) / len(heavy)  # all were pushed right
    for place in row:
        x[place] -= shift


def _width(place):
    return 0 if isinstance(place, tuple) else WIDTH  # a bend of an edge, or a node


def _edges(places, bends):
    for (source, target), between in bends.items():
        (x1, y1), (x2, y2) = places[source], places[target]
        points = [(x1, y1 + HEIGHT / 2)]
        for x, y in between:  # straight down between the boxes of that layer
            points += [(x, y - HEIGHT / 2), (x, y + HEIGHT / 2)]
        points.append((x2, y2 - HEIGHT / 2))
        path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
        for (xa, ya), (xb, yb) in itertools.pairwise(points):
            bend = (yb - ya) * 0.55
            path += f" C{xa:.1f} {ya + bend:.1f} {xb:.1f} {yb - bend:.1f} {xb:.1f} {yb:.1f}"
        yield f'<path class="edge" data-from="{source}" data-to="{target}" d="{path}"/>'


def _box(node, place):
    x, y = place[0] - WIDTH / 2, place[1] - HEIGHT / 2
    kind = "leaf" if node.op is None else "op"
    if any(s is not None and (s.nans or s.infinities) for s in (node.value, node.gradient)):
        kind += " bad"
    title = _fit(node.op or node.name, 20)
    shape = "scalar" if node.shape == () else " x ".join(map(str, node.shape))
    second = _fit(f"{node.name}: {shape}" if node.op and node.name else shape, 26)
    return (
        f'<g class="node {kind}" data-key="{node.key}" tabindex="0" role="button" '
        f'transform="translate({x:.1f} {y:.1f})">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="{HEIGHT / 2 if node.op is None else 7}"/>'
        f'<text class="title" x="{WIDTH / 2}" y="21">{escape(title)}</text>'
        f'<text x="{WIDTH / 2}" y="38">{escape(second)}</text></g>'
    )


def _fit(text, length):
    """The end of a long name: what tells one parameter from another is there."""
    return text if len(text) <= length else "..." + text[3 - length :]


def _details(node):
    return {
        "key": node.key,
        "op": node.op,
        "name": node.name,
        "shape": str(node.shape),
        "dtype": node.dtype,
        "place": str(node.place) if node.place else "",
        "source": node.place.source if node.place else "",
        "doc": node.doc,
        "inputs": [[i, key] for i, key in node.inputs],
        "constants": [[i, text] for i, text in node.constants],
        "saved": [[what, text, bytes_text(size)] for what, text, size in node.saved],
        "value": asdict(node.value) if node.value else None,
        "gradient": asdict(node.gradient) if node.gradient else None,
    }
