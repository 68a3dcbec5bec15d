"""The walks of the page: the engine's order is right, recursion is wrong by the stated amount."""

import numpy as np
import pytest

from autograd import Tensor, grad, ops
from autograd.bug_zoo.engine import depth_first, newest_first as zoo_newest_first
from autograd.debug.explorer import walks
from autograd.debug.explorer.tape import record
from autograd.kernels.dispatch import use_kernels
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model.gpt import GPT


def small_gpt(rng, n_layer=2):
    config = GPTConfig(
        n_layer=n_layer, n_head=2, n_embd=16, block_size=8, vocab_size=24, dropout=0.0
    )
    model = GPT(config)
    ids = rng.integers(0, 24, (1, 9))
    return model, lambda: model.loss(ids[:, :-1], ids[:, 1:])


def events(walked, name):
    """Tuples (kind, node's name, names of the users that are missing, gradient) of a walk."""
    walk, names = walked["walks"][name], [node["name"] for node in walked["nodes"]]
    edges, start = walked["edges"], walk["missingFrom"]
    return [
        (
            walks.KINDS[kind],
            names[node],
            [names[edges[e][0]] for e in walk["missing"][start[i] : start[i + 1]]],
            walk["gradients"][i].tolist(),
        )
        for i, (kind, node) in enumerate(zip(walk["kind"], walk["node"], strict=True))
    ]


def final(walked, name, leaf):
    """(got, expected, difference) of a leaf's worst element, and the verdict."""
    results = walked["walks"][name]["results"]
    names = [walked["nodes"][i]["name"] for i in results["node"]]
    i = names.index(leaf)
    return results["elements"][i].tolist(), results["verdict"][i]


def test_the_smallest_graph_event_by_event():
    walked = walks.example_reuse()
    assert events(walked, "newest") == [
        ("runs", "c", [], 1.0),
        ("runs", "b", [], 12.0),
        ("leaf", "a", [], 24.0),
    ]
    assert events(walked, "once") == [
        ("runs", "c", [], 1.0),
        ("runs", "b", ["c"], 6.0),
        ("leaf", "a", ["b"], 6.0),
        ("leaf", "a", [], 12.0),
        ("late", "b", [], 12.0),
    ]
    assert [e[:2] for e in events(walked, "every")][4:] == [
        ("again", "b"),
        ("leaf", "a"),
        ("leaf", "a"),
    ]
    assert final(walked, "newest", "a") == ([24.0, 24.0, 0.0], "equal")
    assert final(walked, "once", "a") == ([12.0, 24.0, -12.0], "wrong")
    assert final(walked, "every", "a") == ([36.0, 24.0, 12.0], "wrong")
    assert walked["walks"]["once"]["early"].tolist() == [1]
    assert walked["paths"] == "7"


def test_the_residual_stream_by_hand():
    walked = walks.example_residual()
    # w = (0.5, 1), h0 = (1, 0.5), h1 = h0 + h0^2 = (2, 0.75); each block multiplies by 1 + 2 h
    by_hand = np.array([2, 0.5]) * (1 + 2 * np.array([1, 0.5])) * (1 + 2 * np.array([2, 0.75]))
    assert events(walked, "newest")[-1][3] == by_hand.tolist() == [30.0, 2.5]
    # Recursion takes the way around both blocks first, and hands on the 1 of this way alone.
    assert events(walked, "once")[4] == ("leaf", "w", [], [2.0, 0.5])
    assert final(walked, "once", "w") == ([2.0, 30.0, -28.0], "wrong")
    assert final(walked, "every", "w")[1] == "wrong"


@pytest.mark.parametrize("graph", ["deep", "branches", "gpt"])
def test_newest_first_is_the_engines_pass_bit_for_bit(graph):
    rng = np.random.default_rng(3)
    x = Tensor(rng.standard_normal(3), requires_grad=True)

    def branches():
        a, b = ops.sin(x), ops.exp(x)
        return (a * b + (a + b)).sum()

    def deep():
        y = x
        for _ in range(1500):  # recursion in Python would end at 1000
            y = y + ops.sin(y) * 0.001
        return y.sum()

    model, loss = small_gpt(rng)
    tape = record({"deep": deep, "branches": branches, "gpt": loss}[graph])
    walked = walks.part(tape)["this"]
    gradients = {v.key: v.gradient for v in tape.values if v.gradient is not None}
    compared = 0
    for node in walked["nodes"]:
        if node["gradient"] is not None:
            np.testing.assert_array_equal(node["gradient"], gradients[node["name"]], strict=True)
            compared += 1
    assert compared == len(walked["nodes"])
    assert not len(walked["walks"]["newest"]["missing"])
    assert set(walked["walks"]["newest"]["results"]["verdict"]) == {"equal"}


def test_a_loss_that_was_computed_before():
    """Its kernels are those that computed it; its graph stays as it was."""
    model, loss = small_gpt(np.random.default_rng(15))
    computed = loss()
    tape = record(computed, model)
    walked = walks.part(tape)["this"]
    gradients = {v.key: v.gradient for v in tape.values if v.gradient is not None}
    for node in walked["nodes"]:
        np.testing.assert_array_equal(node["gradient"], gradients[node["name"]])
    assert all(p.grad is None for p in model.parameters())
    computed.backward()
    for name, p in model.named_parameters():
        np.testing.assert_allclose(p.grad.data, gradients[name], rtol=1e-4, atol=1e-7)
    after = walks.part(tape)
    assert after["refused"] == "a backward pass has released it since it was recorded"
    assert "this" not in after and after["examples"]


def test_recursion_is_that_of_the_bug_zoo():
    rng = np.random.default_rng(5)
    x = Tensor(rng.standard_normal(4), requires_grad=True)
    u = ops.exp(ops.sin(x))
    y = (ops.sin(ops.sin(u)) + u).sum()
    walked = walks.walk_graph(y._node, {x._node: ("x", "")})
    walk = walked["walks"]["once"]
    leaf = walked["nodes"].index(next(n for n in walked["nodes"] if n["name"] == "x"))
    last = max(e for e in range(len(walk["node"])) if walk["node"][e] == leaf)
    np.testing.assert_array_equal(walk["gradients"][last], depth_first(y, x))
    np.testing.assert_array_equal(walked["nodes"][leaf]["gradient"], zoo_newest_first(y, x))


def recursive(node, g, total, ran, every):
    """The definition, with Python's own recursion; returns nothing, fills ``total``."""
    total[node] = total[node] + g if node in total else g
    if isinstance(node, walks.Leaf) or (node in ran and not every):
        return
    ran.add(node)
    for position, part in list(walks.contributions(node, total[node])):
        part = part.densify() if isinstance(part, walks.Scatter) else part
        recursive(node.inputs[position], part, total, ran, every)


@pytest.mark.parametrize("every", [False, True])
def test_the_stack_does_what_recursion_does(every):
    model, loss = small_gpt(np.random.default_rng(7))
    tape = record(loss)
    root = tape.loss.node
    with use_kernels("reference"):
        walked = walks.part(tape)["this"]["walks"]["every" if every else "once"]
        total = {}
        recursive(root, np.ones((), np.float32), total, set(), every)
        graph = walks.WalkedGraph(root)
        walk = walks.recursion(graph, np.ones((), np.float32), every)
    assert [i for i in walk.results()] and walk.kinds == walked["kind"].tolist()
    for i, gradient in walk.results().items():
        np.testing.assert_array_equal(gradient, total[graph.nodes[i]])


def test_in_a_transformer_the_stream_runs_too_early():
    model, loss = small_gpt(np.random.default_rng(9))
    tape = record(loss, model)
    walked = walks.part(tape)["this"]
    once, nodes = walked["walks"]["once"], walked["nodes"]
    early = [nodes[once["node"][e]] for e in once["early"]]
    assert len(early) == 4 and {n["op"] for n in early} == {"Add"}  # the sums of the stream
    results = once["results"]
    verdicts = dict(
        zip([nodes[i]["name"] for i in results["node"]], results["verdict"], strict=True)
    )
    right = {name for name, found in verdicts.items() if found != "wrong"}
    last = {name for name in verdicts if name.startswith(("h.1.mlp", "h.1.ln_2", "ln_f"))}
    assert right == last  # what lies behind no sum of the stream
    gradients = {v.key: v.gradient for v in tape.values}
    for i, off, verdict in zip(results["node"], results["off"], results["verdict"], strict=True):
        last_event = np.flatnonzero(once["node"] == i)[-1]
        got, right = once["gradients"][last_event], gradients[nodes[i]["name"]]
        assert off == pytest.approx(float(np.linalg.norm((got - right).astype(float))), rel=1e-6)
        assert (off == 0) == (verdict == "equal")


def test_every_arrival_is_counted_before_it_is_tried():
    def loss():
        y = Tensor(1.0, requires_grad=True)
        for _ in range(40):
            y = y + y
        return y

    y = loss()
    walked = walks.walk_graph(y._node, {})
    assert walked["paths"] == str(2**41 - 1)
    every = walked["walks"]["every"]
    assert not every["ended"] and every["results"] is None
    assert len(every["kind"]) == walks.FIRST_EVENTS
    assert walked["walks"]["once"]["results"]["elements"][0][1] == 2.0**40


def test_the_number_of_paths_is_the_number_of_events():
    for walked in (walks.example_reuse(), walks.example_residual()):
        assert walked["paths"] == str(len(walked["walks"]["every"]["kind"]))


def test_large_gradients_are_kept_as_corners():
    rng = np.random.default_rng(11)
    x = Tensor(rng.standard_normal((2, 90, 70)).astype(np.float32), requires_grad=True)
    h = ops.tanh(x)
    loss = ops.sum(h + h * h)
    once = walks.walk_graph(loss._node, {})["walks"]["once"]
    assert once["gradients"] is None
    (corner,) = once["corners"].values()
    assert corner["got"].shape == corner["expected"].shape == (1, 4, 4)
    a, r, c = corner["at"]
    block = (slice(a, a + 1), slice(r, r + 4), slice(c, c + 4))
    np.testing.assert_array_equal(corner["got"], np.ones((1, 4, 4)))  # the way around alone
    np.testing.assert_allclose(corner["expected"], 1 + 2 * np.tanh(x.data[block]), rtol=1e-6)
    off = np.abs(2 * np.tanh(x.data))
    assert off[block].max() == off.max()


def test_a_planted_early_node_is_seen(monkeypatch):
    """A walk in another wrong order, from the oldest pending node, is not called complete."""
    rng = np.random.default_rng(13)
    x = Tensor(rng.standard_normal(3), requires_grad=True)
    u = ops.exp(ops.sin(x))
    y = (ops.sin(ops.sin(u)) + u).sum()

    class OldestFirst(walks.Pending):
        def newest_first(self):
            while self._sums:
                yield self._sums.pop(min(self._sums))

    monkeypatch.setattr(walks, "Pending", OldestFirst)
    graph = walks.WalkedGraph(y._node)
    walk = walks.newest_first(graph, np.ones(()))
    assert walk.early()
    (g_x,) = grad(y, [x], retain_graph=True)
    assert walks.verdict(walk.results()[len(graph.nodes) - 1], g_x.data) == "wrong"


def test_a_hook_is_said():
    x = Tensor([1.0, 2.0], requires_grad=True)
    h = x * x
    assert not walks.walk_graph((h.sum())._node, {})["hooked"]
    h.register_hook(lambda g: g * 2)
    assert walks.walk_graph((h.sum())._node, {})["hooked"]


def test_infinite_and_missing_numbers_do_not_stop_it():
    x = Tensor([0.0, 1.0], requires_grad=True)
    with np.errstate(all="ignore"):
        y = ops.log(x)
        walked = walks.walk_graph(ops.sum(y * y)._node, {})
    verdicts = walked["walks"]["newest"]["results"]["verdict"]
    assert verdicts == ["equal"]
