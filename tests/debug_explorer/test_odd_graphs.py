"""Any graph gets a page: its numbers are the engine's, and what cannot be shown is said."""

import threading
import warnings

import numpy as np
import odd_graphs
import pytest
from odd_graphs import ODD, leaf, network

from autograd import Tensor, no_grad, ops
from autograd.debug import explore
from autograd.debug.explorer.page import unpack
from autograd.device import namespace_on
from autograd.functional import recompute
from autograd.kernels.dispatch import use_kernels

GIVE = "give explore a function that computes the loss, and all of them are known"
RECOMPUTED = "a part of it is recomputed during backward, and each pass makes that part anew"
HOOKED = "a hook sees the gradients, and would run once more for every bug"
SEGMENT = (
    "what a recomputed segment holds is seen only while the function runs: give explore the "
    "function that computes the loss"
)
ONCE = "the backward of OnceBack cannot run a second time: no more"
OUTSIDE = "A part of the graph was computed before the function was called"
REFUSED = {
    ("unknown values", "bugs"): f"nobody kept the array of add: {GIVE}",
    ("a dead leaf", "bugs"): f"nobody kept the array of add: {GIVE}",
    ("a loss with recomputation", "bugs"): RECOMPUTED,
    ("a loss with recomputation", "memory"): SEGMENT,
    ("recomputation", "bugs"): RECOMPUTED,
    ("nested recomputation", "bugs"): RECOMPUTED,
    ("recomputation in a function that can be called once", "memory"): (
        "the function raised StopIteration when it was called again"
    ),
    ("a function that changes", "memory"): "a second run of the function did not take the same "
    "steps",
    ("an operation that runs once", "bugs"): "Once cannot run again: forward ran already",
    ("an operation that changes", "bugs"): "Counting gave other numbers when it ran again: it is "
    "not the same function",
    ("an operation that refuses other numbers", "bugs"): "Within cannot run with other numbers: "
    "below 1",
    ("a backward that runs once", "walks"): ONCE,
    ("a backward that runs once", "memory"): ONCE,
    ("a backward that runs once", "bugs"): ONCE,
    ("a wrong derivative", "bugs"): "at wrong the right gradient misses finite differences "
    "already: see Proof",
    ("hooks", "bugs"): HOOKED,
    ("a loss with hooks", "bugs"): HOOKED,
    ("nan and infinities", "bugs"): "a gradient holds NaN or an infinity",
    ("an infinite gradient", "bugs"): "a gradient holds NaN or an infinity",
}
"""Which part says of which graph that it cannot be shown, and why."""
CHANGING = {
    "a function that can be called once", "recomputation in a function that can be called once",
    "a function that changes", "dropout with one generator", "an operation that changes",
    "parameters made inside", "a backward that runs once", "a loss that was computed outside",
    "a loss computed outside", "an input computed outside",
}  # fmt: skip
"""A second call of these functions computes something else, or nothing."""


def explored(name):
    what, options = ODD[name]()
    with np.errstate(all="ignore"):
        return what, explore(what, **options)


def graph_of(name):
    return explored(name)[1].document["graphs"][0]


@pytest.mark.parametrize("name", ODD)
def test_a_page_is_made_and_its_numbers_are_the_engine_s(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        what, made = explored(name)
    graph = unpack(made.html())[0]["graphs"][0]
    keys = [t["key"] for t in graph["tensors"] if "key" in t]
    assert len(keys) == len(set(keys)) > 0
    assert len(graph["steps"]) == len(made.tape.events)
    assert all(step["sentence"].endswith(".") for step in graph["steps"])
    for value in made.tape.values:
        if value.gradient is not None:
            total = sum(np.asarray(c.array, np.float64) for c in value.contributions)
            expected = value.gradient if value.before_hooks is None else value.before_hooks
            rtol = 200 * np.finfo(expected.dtype).eps
            np.testing.assert_allclose(expected, total, rtol=rtol, atol=rtol)
    if name not in CHANGING:
        assert_the_gradients_of_a_fresh_pass(what, made.tape)


def assert_the_gradients_of_a_fresh_pass(what, tape):
    tensors = [(v, v.node.tensor()) for v in tape.leaves]
    assert all(x is None or x.grad is None for _, x in tensors)  # explore wrote nothing
    with (
        np.errstate(all="ignore"),
        use_kernels("auto" if isinstance(what, Tensor) else "reference"),
    ):
        loss = what if isinstance(what, Tensor) else what()
        loss.backward()
    assert np.array_equal(loss.data, tape.loss.array, equal_nan=True)
    for value, x in tensors:
        if x is None or x.grad is None:
            continue
        assert np.allclose(x.grad.data, value.gradient, rtol=1e-6, equal_nan=True), value.key


@pytest.mark.parametrize(("name", "part"), REFUSED)
def test_what_cannot_be_shown_is_said(name, part):
    assert graph_of(name)[part]["refused"] == REFUSED[name, part]


# --- what is said of single graphs ----------------------------------------------------------------


def test_bugs_are_planted_in_float64_too():
    for name in ("a loss", "mixed types", "float16", "retained gradients", "one number"):
        assert len(graph_of(name)["bugs"]["bugs"]) > 0, name


def test_the_proof_says_of_which_tensors_nothing_is_known():
    graph = graph_of("a dead leaf")
    keys = [graph["tensors"][u["tensor"]]["key"] for u in graph["proof"]["unproven"]]
    assert keys == ["leaf", "add"]
    assert graph["proof"]["unproven"][0]["reason"] == f"nobody kept the array of leaf: {GIVE}"
    last = graph["steps"][-1]["sentence"]
    assert "which is dropped, since the tensor does not exist any more." in last


def test_a_segment_that_nobody_saw_is_not_taken_for_the_identity():
    x = leaf()
    made = explore(ops.sum(recompute(lambda h: ops.tanh(h + 1.0), x) * 2.0))
    by_key = {v.key: v for v in made.tape.values}
    assert by_key["recompute"].array is None
    reasons = [u["reason"] for u in made.document["graphs"][0]["proof"]["unproven"]]
    assert any("in a recomputed segment" in reason for reason in reasons)


def test_a_loss_with_recomputation_can_be_explored_twice():
    loss, options = ODD["a loss with recomputation"]()
    first, second = (explore(loss, **options).document["graphs"][0] for _ in range(2))
    assert [t.get("key") for t in first["tensors"]] == [t.get("key") for t in second["tensors"]]


def test_the_walks_follow_a_recomputed_segment():
    walked = graph_of("nested recomputation")["walks"]["this"]
    made = explored("nested recomputation")[1]
    gradients = {v.key: v.gradient for v in made.tape.values if v.gradient is not None}
    assert {node["name"] for node in walked["nodes"]} == set(gradients)
    for node in walked["nodes"]:
        np.testing.assert_array_equal(node["gradient"], gradients[node["name"]])


def test_a_hook_stands_between_the_sum_and_the_gradient():
    made = explored("hooks")[1]
    graph, by_key = made.document["graphs"][0], {v.key: v for v in made.tape.values}
    y, x = by_key["y"], by_key["x"]
    assert np.array_equal(y.gradient, np.sign(y.before_hooks))
    assert np.array_equal(x.gradient, 10 * x.before_hooks)
    rules = [line["rule"] for line in graph["lines"]]
    assert rules.count("hook") == 2
    assert [graph["tensors"][i]["key"] for i in graph["proof"]["hooked"]] == ["x", "y"]
    sentences = [step["sentence"] for step in graph["steps"]]
    assert sum("replaced" in sentence for sentence in sentences) == 2


def test_hooks_run_once_and_retained_gradients_stay_as_they_were():
    seen = []
    x = leaf()
    y = x * x
    y.register_hook(lambda g: seen.append(g))
    y.retain_grad()
    loss = ops.sum(y * y)
    explore(loss)
    assert len(seen) == 1 and y.grad is None
    loss.backward()
    assert len(seen) == 2 and np.array_equal(y.grad.data, 2 * y.data)


def test_a_hook_that_raises_leaves_no_trace():
    x = leaf()

    def fails(g):
        raise ValueError("mine")

    y = x * x
    y.register_hook(fails)
    loss = ops.sum(y)
    with pytest.raises(ValueError, match="mine"):
        explore(loss)
    assert list(y._node.hooks.values()) == [fails]


def test_two_operations_of_one_name_are_told_apart():
    graph = graph_of("two operations of one name")
    assert [step["op"] for step in graph["steps"][:2]] == ["Same", "Same#2"]
    sources = [bytes(graph["cards"][op]["source"]).decode() for op in ("Same", "Same#2")]
    assert ["2", "3"] == ["2" if '"2"' in source else "3" for source in sources]
    graph = graph_of("an operation with the name of ours")
    assert [step["op"] for step in graph["steps"][:2]] == ["Sum#2", "Sum"]


def test_what_was_computed_before_the_function_is_read_from_its_graph():
    graph = graph_of("a loss computed outside")
    assert [step["op"] for step in graph["steps"][:4]] == ["MatMul", "Tanh", "Multiply", "Sum"]
    assert graph["optimizer"]["note"].startswith(OUTSIDE)
    x = leaf()
    y = ops.tanh(x)
    ops.sum(y).backward()
    with pytest.raises(RuntimeError, match="backward reached Tanh .* Pass retain_graph=True"):
        explore(lambda: ops.sum(y * x))
    explore(lambda: ops.sum(y.detach() * x))


def test_a_leaf_that_was_changed_since():
    x = leaf()
    loss = ops.sum(x * x)
    x.assign_(np.zeros((2, 2)))
    with pytest.raises(RuntimeError, match="Multiply .* was changed in place before backward"):
        explore(loss)
    graph = graph_of("a leaf that was changed since")  # nothing saved it: nobody can tell
    assert [t.get("changed") for t in graph["tensors"] if t.get("key") == "x"] == [True]
    graph = graph_of("a leaf that shows its change")  # it does not give the recorded sum
    known = {t["key"]: t["data"] is not None for t in graph["tensors"] if "key" in t}
    assert known["x"] and not known["y"]


def test_a_frozen_leaf_keeps_no_gradient():
    graph = graph_of("frozen between")
    assert any("has been frozen since" in step["sentence"] for step in graph["steps"])


def test_names_are_text():
    keys = {t["key"] for t in graph_of("names with markup")["tensors"] if "key" in t}
    assert odd_graphs.MARKUP in keys and "lone ?" in keys
    x = leaf()
    html = explore(lambda: ops.sum(x * x), names={odd_graphs.MARKUP: x}, title="\udc80<b>").html()
    assert html.count("</script") == 3 and "<img" not in html and "<title>?&lt;b&gt;" in html
    keys = [t["key"] for t in graph_of("duplicate names")["tensors"] if "key" in t]
    assert keys[-1] == "loss" and "loss#2" in keys and "tanh#2" in keys


def test_numbers_of_other_kernels_are_not_called_equal():
    assert graph_of("a loss by fast kernels")["kernels"] == "any"
    assert graph_of("a loss computed outside")["kernels"] == "any"
    assert graph_of("recomputation")["kernels"] == "reference"


def test_an_operation_may_refuse_other_numbers():
    graph = graph_of("an operation that refuses other numbers")
    verdicts = [graph["proof"]["verdicts"][v] for v in graph["proof"]["checks"]["verdict"]]
    assert "not measured" in verdicts and "differs" not in verdicts
    assert (
        "the function raised ValueError when it was called again: below 1"
        in (graph["optimizer"]["note"])
    )


# --- where it is called ---------------------------------------------------------------------------


def test_under_other_settings():
    x, w = leaf(dtype=np.float32), leaf(dtype=np.float32)
    expected = repr(explore(lambda: network(x, w)))
    for kernels in ("auto", "reference", "cpu"):
        with use_kernels(kernels):
            assert repr(explore(lambda: network(x, w))) == expected
            assert repr(explore(network(x, w))) == expected
    loss = network(x, w)
    with no_grad(), np.errstate(all="raise"):
        assert repr(explore(loss)) == repr(explore(lambda: network(x, w))) == expected
        loss = network(x, w)
    with pytest.raises(ValueError, match="was not computed from any tensor that requires"):
        explore(loss)


def test_in_several_threads():
    x, w = leaf(), leaf()
    found, expected = [], explore(lambda: network(x, w)).html()

    def run():
        found.append(explore(lambda: network(x, w)).html())

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    for html in found:
        assert unpack(html)[1] == unpack(expected)[1]


def test_a_part_that_another_thread_computes():
    x = leaf()

    def loss():
        made = []
        thread = threading.Thread(target=lambda: made.append(ops.tanh(x)))
        thread.start()
        thread.join()
        return ops.sum(made[0] * x)

    graph = explore(loss).document["graphs"][0]
    assert [step["op"] for step in graph["steps"][:3]] == ["Tanh", "Multiply", "Sum"]


def test_on_other_arrays(device):
    xp = namespace_on(device)
    x = Tensor(xp.asarray(np.array([[1.0, 2.0], [3.0, 4.0]])), requires_grad=True)
    w = Tensor(xp.asarray(np.ones((2, 2))), requires_grad=True)
    y = x @ w
    x.register_hook(lambda g: g * 2)
    segment = recompute(lambda h: ops.tanh(h @ w), x)
    for what in (
        lambda: network(x, w),
        network(x, w),
        lambda: ops.sum(y * y),
        lambda: ops.sum(recompute(lambda h: ops.tanh(h @ w), x)),
        ops.sum(segment * x),
    ):
        made = explore(what)
        html = made.html()
        value = next(v for v in made.tape.leaves if v.node.tensor() is x)
        assert np.allclose(value.gradient, 2 * value.before_hooks)
        assert "copied" in made.document["graphs"][0]["walks"]["refused"]
        assert unpack(html)[0]["graphs"][0]["steps"]


def test_a_notebook_shows_the_page():
    x = leaf()
    html = explore(lambda: ops.sum(x * x))._repr_html_()
    assert html.startswith('<iframe srcdoc="&lt;!doctype html&gt;') and html.count("<") == 2


def test_wrong_arguments(tmp_path):
    x = leaf()
    with pytest.raises(TypeError, match="the model to explore is of type int, expected a Module"):
        explore(lambda: ops.sum(x), model=3)
    with pytest.raises(TypeError, match="names is of type list, expected a dict"):
        explore(lambda: ops.sum(x), names=[x])
    with pytest.raises(IsADirectoryError, match="is a folder: name a file for the page in it"):
        explore(lambda: ops.sum(x), tmp_path)
    with pytest.raises(FileNotFoundError, match="the folder .*none does not exist"):
        explore(lambda: ops.sum(x), tmp_path / "none" / "page.html")
