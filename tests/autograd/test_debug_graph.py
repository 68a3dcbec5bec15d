"""The drawn graph: Mermaid, DOT, and an HTML page with no outside links and no way to inject."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from leaves import leaf

from autograd import Tensor, ops
from autograd.debug import draw_graph, record_graph
from autograd.debug.html import HEIGHT, WIDTH, as_script_data, layout

EVIL = '</script><script>alert("1")</script><img src=x onerror=alert(1)>&amp;'


def example():
    x, w = leaf(4, 3), leaf(3, 2, seed=1)
    h = ops.tanh(ops.matmul(x, w) + 1.0)
    return x, w, (h * h).sum()


class Page(HTMLParser):
    """The parts of a page that the tests look at."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.scripts, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *a) for a in attrs]
        if tag not in ("meta", "input", "rect", "path", "link", "img", "br"):
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *a) for a in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)


def read(path):
    page = Page()
    text = path.read_text(encoding="utf-8")
    page.feed(text)
    page.close()
    assert page.open == []
    data = next(t for a, t in page.scripts if a.get("type") == "application/json")
    return text, page, json.loads(data)


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
    assert matmul.doc.startswith("Y = A B") and matmul.value is None
    loss.backward()  # drawing changed nothing
    assert x.grad is not None


def test_recording_adds_statistics_of_values_and_gradients():
    x, w = leaf(4, 3), leaf(3, 2, seed=1)
    with record_graph({"x": x}) as graph:
        h = ops.matmul(x, w) + 1.0
        with np.errstate(invalid="ignore"):
            (h * np.array([1.0, np.inf])).sum().backward()
    by_op = {n.op or n.name: n for n in graph.nodes}
    assert by_op["Add"].value.mean == pytest.approx(h.data.mean())
    assert by_op["Add"].value.high == pytest.approx(h.data.max())
    assert by_op["Add"].constants == [(1, "1.0")]
    assert by_op["Add"].gradient.infinities == 4
    assert by_op["x"].gradient.infinities + by_op["x"].gradient.nans == 12
    assert by_op["Multiply"].constants == [(1, "shape (2,) float64 in [1, 1], 1 infinite")]


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


def test_the_page_parses_and_links_to_nothing_outside(tmp_path):
    x, w, loss = example()
    text, page, data = read(draw_graph(loss).html(tmp_path / "graph.html", title="A graph"))
    assert "<title>A graph</title>" in text and "{{" not in text
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert name not in ("src", "srcset", "action", "background"), (tag, name)
        assert name != "href" and not name.startswith("on")
        if name == "style" or value and "url(" in value:
            assert value == "url(#arrow)"
    assert "http:" not in text and "https:" not in text and "@import" not in text
    assert not re.search(r"url\((?!#)|fetch\(|XMLHttp|import\(", text)
    assert [n["op"] for n in data] == [None, None, "MatMul", "Add", "Tanh", "Multiply", "Sum"]
    boxes = [v for t, k, v in page.attributes if (t, k) == ("g", "data-key")]
    assert sorted(map(int, boxes)) == [n["key"] for n in data]
    assert sum(t == "path" for t in page.tags) == 1 + 6  # the arrow head, and the edges


def test_names_and_titles_are_data_and_never_markup(tmp_path):
    x = leaf(2)
    graph = draw_graph((x * 2.0).sum(), {EVIL: x})
    text, page, data = read(graph.html(tmp_path / "graph.html", title=EVIL + "{{DATA}}"))
    assert page.tags.count("script") == 2 and "img" not in page.tags
    assert data[0]["name"] == EVIL
    assert text.count("<script") == 2 and "<img" not in text
    assert "{{DATA}}" in text  # a title that looks like a field of the template stays a title


def test_script_data_survives_what_html_could_end():
    value = {"a": EVIL, "b": "<!--", "c": "\u2028\u2029", "d": [float("nan"), float("inf"), 1.5]}
    text = as_script_data(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {**value, "d": [None, None, 1.5]}


def test_boxes_do_not_overlap_and_inputs_stand_above():
    x = leaf(3)
    h = x
    for i in range(6):  # residual branches: long edges
        h = h + ops.tanh(h * leaf(3, seed=i)) * leaf(3, seed=i + 9)
    nodes = draw_graph((h + x).sum()).nodes
    places, bends = layout(nodes)
    spots = list(places.values())
    for i, (xa, ya) in enumerate(spots):
        for xb, yb in spots[:i]:
            assert abs(xa - xb) >= WIDTH or abs(ya - yb) >= HEIGHT
    for node in nodes:
        for _, source in node.inputs:
            assert places[source][1] < places[node.key][1]
    assert min(px for px, _ in spots) >= WIDTH / 2
    assert max(len(b) for b in bends.values()) > 10  # from x past everything to the last sum
    for between in bends.values():
        for bx, by in between:
            assert all(abs(bx - px) > WIDTH / 2 or by != py for px, py in spots)


def test_what_cannot_be_drawn():
    with pytest.raises(ValueError, match="there is no graph to draw"):
        draw_graph(Tensor(np.ones(2)))
    _, _, loss = example()
    loss.backward()
    with pytest.raises(ValueError, match="released the graph at Sum: draw it before"):
        draw_graph(loss)


def test_a_deep_graph_needs_no_recursion(tmp_path):
    h = leaf(2)
    for _ in range(3000):
        h = h + 1.0
    assert len(draw_graph(h)) == 3001
