"""Where boxes and edges of the explorer's drawing lie."""

import itertools
import random

import pytest

from autograd.debug.explorer.layout import FAR, GAP_X, HEIGHT, LEAF_WIDTH, PITCH, WIDTH, layout


def a_graph(kind, n, rng):
    """(nodes, edges, leaves), each node after those it was computed from."""
    nodes, leaves = list(range(n)), set()
    if kind == "chain":
        return nodes, [(i - 1, i) for i in range(1, n)], leaves
    if kind == "residual":  # every third node a leaf, and skips over ten
        leaves = {i for i in nodes if i % 3 == 0}
        computed = [i for i in nodes if i not in leaves]
        edges = list(itertools.pairwise(computed)) + [(i - 1, i) for i in nodes if i % 3 == 1]
        return nodes, edges + list(zip(computed[::7], computed[10::7], strict=False)), leaves
    if kind == "one leaf used everywhere":
        return nodes, [(0, i) for i in nodes[1:]] + [(i - 1, i) for i in nodes[2:]], {0}
    edges = [(rng.randrange(max(0, i - 30), i), i) for i in nodes[1:] for _ in range(2)]
    return nodes, edges, leaves


KINDS = ["chain", "residual", "one leaf used everywhere", "random"]


@pytest.mark.parametrize("n", [1, 2, 3, 40, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_boxes_lie_apart_and_edges_run_down(kind, n):
    nodes, edges, leaves = a_graph(kind, n, random.Random(n))
    places, paths = layout(nodes, edges, leaves)
    assert set(places) == set(nodes) and set(paths) == set(edges)
    rows = {}
    for key, (x, y) in places.items():
        rows.setdefault(round(y, 3), []).append((x, LEAF_WIDTH if key in leaves else WIDTH))
    for row in rows.values():
        row.sort()
        for (x1, width1), (x2, width2) in itertools.pairwise(row):
            assert x2 - x1 >= (width1 + width2) / 2 + GAP_X - 1e-6
    for (source, target), points in paths.items():
        (x1, y1), (x2, y2) = places[source], places[target]
        assert points[0] == (x1, y1 + HEIGHT / 2) and points[-1] == (x2, y2 - HEIGHT / 2)
        assert [y for _, y in points] == sorted(y for _, y in points)
    assert min(x for x, _ in places.values()) >= LEAF_WIDTH / 2
    assert min(y for _, y in places.values()) == PITCH / 2


@pytest.mark.parametrize("kind", KINDS)
def test_edges_over_a_few_layers_run_between_the_boxes(kind):
    nodes, edges, leaves = a_graph(kind, 120, random.Random(1))
    places, paths = layout(nodes, edges, leaves)
    for points in paths.values():
        for (x1, y1), (x2, y2) in itertools.pairwise(points):
            if x1 != x2:  # it changes its place in the gaps between rows alone
                continue
            for key, (x, y) in places.items():
                inside = y1 < y - HEIGHT / 2 + 1 and y2 > y + HEIGHT / 2 - 1
                if inside:
                    assert abs(x - x1) >= (LEAF_WIDTH if key in leaves else WIDTH) / 2


def test_the_points_grow_with_the_edges_and_not_with_their_lengths():
    nodes, edges, leaves = a_graph("one leaf used everywhere", 400, random.Random(0))
    _, paths = layout(nodes, edges, leaves)
    assert sum(map(len, paths.values())) <= len(edges) * (2 * FAR + 2)
    far = [points for (source, _), points in paths.items() if source == 0]
    far = [points for points in far if points[-1][1] - points[0][1] > FAR * PITCH]
    lanes = {points[i][0] for points in far for i in (1, 2)}
    assert len(far) > 300 and len(lanes) == 1, "all edges of one tensor share a lane"


def test_two_tensors_that_are_used_at_the_same_time_have_lanes_of_their_own():
    nodes = [*range(62)]
    chain = list(itertools.pairwise(nodes[2:]))
    edges = [*chain, (0, 2), (0, 60), (1, 3), (1, 61)]
    _, paths = layout(nodes, edges, {0, 1})
    assert paths[0, 60][1][0] != paths[1, 61][1][0]


def test_it_is_the_same_every_time_whatever_the_order_of_the_edges():
    nodes, edges, leaves = a_graph("random", 100, random.Random(2))
    again = random.Random(3).sample(edges, len(edges))
    assert layout(nodes, edges, leaves) == layout(nodes, again, leaves)


def test_no_nodes():
    assert layout([], []) == ({}, {})
