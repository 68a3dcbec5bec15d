"""Where the drawing of a graph puts its boxes, and how its edges run between them.

Layers run downward: a tensor stands below all that it was computed from, and in its layer near
the middle of its neighbours (Sugiyama, Tagawa and Toda 1981). A leaf stands just above its first
user. An edge that passes over layers gets a place of its own in each of them, so that it runs
between the boxes. One that passes over many (a tied embedding, a weight that is used again) would
need very many such places; it runs down a lane at the side instead, which all edges from the same
tensor share. So the places to settle grow with the number of edges, and the work is n log n.
"""

import heapq
from collections.abc import Collection, Hashable, Sequence
from typing import Any

WIDTH, LEAF_WIDTH, HEIGHT, GAP_X, GAP_Y = 154, 76, 46, 12, 34
PITCH = HEIGHT + GAP_Y
LANE = 12
FAR = 10  # an edge over more layers than this runs down a lane
SWEEPS = 24
PLACES = 60_000  # settled in all sweeps together, if fewer sweeps do: a large graph gets at least 4

Key = Hashable
Point = tuple[float, float]
Edge = tuple[Any, Any]


def layout(
    nodes: Sequence[Key], edges: Collection[Edge], leaves: Collection[Key] = ()
) -> tuple[dict[Key, Point], dict[Edge, list[Point]]]:
    """The middle (x, y) of every node, and the points through which every edge runs.

    ``nodes`` are keys, each after those it was computed from; ``edges`` pairs (source, target);
    ``leaves`` those of the nodes that were not computed. An edge begins at the lower side of its
    source and ends at the upper side of its target; from point to point it is to be drawn as a
    curve that is vertical at both.
    """
    rank = {key: i for i, key in enumerate(nodes)}
    leaves = set(leaves)
    links = sorted(
        {e for e in edges if e[0] in rank and e[1] in rank}, key=lambda e: _rank(rank, e)
    )
    layer = _layers(nodes, links, leaves)
    near = [e for e in links if layer[e[1]] - layer[e[0]] <= FAR]
    far = [e for e in links if layer[e[1]] - layer[e[0]] > FAR]
    x, chains = _settle_all(nodes, near, layer, leaves)
    left = min((x[k] - _width(k, leaves) / 2 for k in nodes), default=0.0)
    right = max((x[k] + _width(k, leaves) / 2 for k in nodes), default=0.0)
    lanes, count = _lanes(far, layer)
    left -= GAP_X

    def y(depth: float) -> float:
        return depth * PITCH + PITCH / 2

    places: dict[Key, Point] = {key: (x[key] - left, y(layer[key])) for key in nodes}
    paths: dict[Edge, list[Point]] = {}
    for edge, between in chains.items():
        points = [_below(places[edge[0]])]
        for bend in between:
            points += [
                (x[bend] - left, y(bend[2]) - HEIGHT / 2),
                (x[bend] - left, y(bend[2]) + HEIGHT / 2),
            ]
        paths[edge] = [*points, _above(places[edge[1]])]
    for edge in far:
        lane = right - left + GAP_X + LANE * (1 + lanes[edge[0]])
        (x1, y1), (x2, y2) = _below(places[edge[0]]), _above(places[edge[1]])
        paths[edge] = [(x1, y1), (lane, y1 + GAP_Y), (lane, y2 - GAP_Y), (x2, y2)]
    return places, paths


def _rank(rank, edge):
    return rank[edge[0]], rank[edge[1]]


def _below(place: Point) -> Point:
    return place[0], place[1] + HEIGHT / 2


def _above(place: Point) -> Point:
    return place[0], place[1] - HEIGHT / 2


def _width(place, leaves) -> int:
    """The width of a node; a bend of an edge has none."""
    if isinstance(place, _Bend):
        return 0
    return LEAF_WIDTH if place in leaves else WIDTH


class _Bend(tuple):
    """The place of an edge in a layer that it passes: (source, target, layer)."""


def _layers(nodes, edges, leaves) -> dict[Key, int]:
    """The layer of every node: one below its lowest input; a leaf's just above its first user."""
    above: dict[Key, list[Key]] = {key: [] for key in nodes}
    below: dict[Key, list[Key]] = {key: [] for key in nodes}
    for source, target in edges:
        above[target].append(source)
        below[source].append(target)
    layer: dict[Key, int] = {}
    for key in nodes:  # inputs come first
        layer[key] = max((layer[k] + 1 for k in above[key]), default=0)
    for key in nodes:
        if key in leaves and below[key]:
            layer[key] = min(layer[k] for k in below[key]) - 1
    first = min(layer.values(), default=0)
    return {key: depth - first for key, depth in layer.items()}


def _settle_all(nodes, edges, layer, leaves):
    """The x of every node and bend, and the bends of every edge."""
    rows: dict[int, list] = {}
    above: dict = {key: [] for key in nodes}
    below: dict = {key: [] for key in nodes}
    for key in nodes:
        rows.setdefault(layer[key], []).append(key)
    chains = {}
    for source, target in edges:
        between = [_Bend((source, target, d)) for d in range(layer[source] + 1, layer[target])]
        for bend in between:
            rows[bend[2]].append(bend)
            above[bend], below[bend] = [], []
        chain = [source, *between, target]
        for upper, lower in zip(chain, chain[1:], strict=False):
            below[upper].append(lower)
            above[lower].append(upper)
        chains[source, target] = between
    x: dict = {}
    for row in rows.values():
        for i, place in enumerate(row):
            x[place] = i * float(WIDTH + GAP_X)
    order = {place: i for i, place in enumerate(x)}  # ties are broken the same way every time
    depths = sorted(rows)
    sweeps = min(SWEEPS, max(4, PLACES // max(len(x), 1)))
    for sweep in range(sweeps - sweeps % 2):
        downward = sweep % 2 == 0
        neighbours = above if downward else below
        for depth in depths if downward else reversed(depths):
            _settle(rows[depth], neighbours, x, leaves, order)
    return x, chains


def _settle(row, neighbours, x, leaves, order):
    """Put the places of one layer near their neighbours' mean, in that order, without overlap.

    Ops follow the ops around them, and leaves fit in next to them, so a chain of ops runs straight.
    """
    wish = {}
    for place in row:
        leaf = place in leaves
        near = [x[n] for n in neighbours[place] if leaf or n not in leaves]
        near = near or [x[n] for n in neighbours[place]] or [x[place]]
        wish[place] = sum(near) / len(near)
    row.sort(key=lambda place: (wish[place], place in leaves, order[place]))
    shift, heavy, previous = 0.0, 0, None
    for place in row:
        x[place] = wish[place]
        if previous is not None:
            distance = (_width(previous, leaves) + _width(place, leaves)) / 2 + GAP_X
            x[place] = max(wish[place], x[previous] + distance)
        previous = place
        if place not in leaves:
            shift, heavy = shift + x[place] - wish[place], heavy + 1
    if not heavy:
        shift, heavy = sum(x[place] - wish[place] for place in row), len(row)
    for place in row:  # all were pushed to the right
        x[place] -= shift / heavy


def _lanes(edges, layer) -> tuple[dict[Key, int], int]:
    """The lane of every source of a far edge, no two in one lane where they overlap; how many."""
    ends: dict[Key, int] = {}
    for source, target in edges:
        ends[source] = max(ends.get(source, 0), layer[target])
    lanes: dict[Key, int] = {}
    busy: list[tuple[int, int]] = []  # (the last layer, lane)
    free: list[int] = []
    for source in sorted(ends, key=lambda key: layer[key]):
        while busy and busy[0][0] < layer[source]:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        lanes[source] = lane
        heapq.heappush(busy, (ends[source], lane))
    return lanes, len(set(lanes.values()))
