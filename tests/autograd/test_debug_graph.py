"""The drawn graph: Mermaid and DOT."""

import re

import numpy as np
import pytest
from leaves import leaf

from autograd import Tensor, ops
from autograd.debug import draw_graph


def example():
    x, w = leaf(4, 3), leaf(3, 2, seed=1)
    h = ops.tanh(ops.matmul(x, w) + 1.0)
    return x, w, (h * h).sum()


def test_the_graph_lists_inputs_before_their_users():
    x, w, loss = example()
    graph = draw_graph(loss, {"x": x, "weight": w})
    assert [n.op or n.name for n in graph.nodes] == [
        "x", "weight", "MatMul", "Add", "Tanh", "Multiply", "Sum",
    ]  # fmt: skip
    seen = set()
    for node in graph.nodes:
        assert {key for _, key in node.inputs} <= seen
        seen.add(node.key)
    matmul = graph.nodes[2]
    assert matmul.shape == (4, 2) and matmul.place.source.startswith("h = ops.tanh(")
    assert matmul.saved == [
        ("input 0", "(4, 3) float64", 96),
        ("input 1", "(3, 2) float64", 48),
    ]
    assert matmul.doc.startswith("Y = A B")
    loss.backward()  # drawing changed nothing
    assert x.grad is not None


def test_mermaid_and_dot_hold_every_node_and_edge():
    x, w, loss = example()
    graph = draw_graph(loss, {"x": x, 'w "quoted" -->|no|': w})
    keys = [n.key for n in graph.nodes]
    edges = {(a, n.key) for n in graph.nodes for _, a in n.inputs}
    mermaid = graph.mermaid()
    assert mermaid.startswith("flowchart TD\n")
    found = set(map(tuple, np.array(re.findall(r"n(\d+) --> n(\d+)", mermaid), int).tolist()))
    assert found == edges
    assert [int(k) for k in re.findall(r'^    n(\d+)[(\[]+"', mermaid, re.M)] == keys
    assert '"quoted"' not in mermaid and "#34;quoted#34;" in mermaid
    dot = graph.dot()
    assert dot.startswith("digraph") and dot.endswith("}\n")
    found = set(map(tuple, np.array(re.findall(r"n(\d+) -> n(\d+);", dot), int).tolist()))
    assert found == edges
    assert '\\"quoted\\"' in dot
    assert [int(k) for k in re.findall(r"^    n(\d+) \[label", dot, re.M)] == keys


def test_a_tensor_used_twice_by_one_op_is_one_node():
    x = leaf(2)
    assert len(draw_graph(x * x)) == 2
    assert draw_graph(x * x).nodes[1].inputs == [(0, x._node.order), (1, x._node.order)]


def test_what_cannot_be_drawn():
    with pytest.raises(ValueError, match="there is no graph to draw"):
        draw_graph(Tensor(np.ones(2)))
    _, _, loss = example()
    loss.backward()
    with pytest.raises(ValueError, match="released the graph at Sum: draw it before"):
        draw_graph(loss)


def test_a_deep_graph_needs_no_recursion():
    h = leaf(2)
    for _ in range(3000):
        h = h + 1.0
    assert len(draw_graph(h)) == 3001
