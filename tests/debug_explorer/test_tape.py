"""A tape is what happened: nothing is changed by recording, and nothing is missing."""

import numpy as np
import pytest

from autograd import Parameter, Tensor, grad, ops
from autograd.debug import explore
from autograd.debug.explorer.explored import Explored
from autograd.debug.explorer.page import unpack
from autograd.debug.explorer.tape import record
from autograd.functional import recompute
from autograd.kernels.dispatch import use_kernels
from tinygrad_llm.inspect.explorable import EXPLORABLE


def residual(x, w):
    h = ops.tanh(x @ w) + x
    return ops.sum(h * h)


@pytest.fixture
def x():
    return Tensor(np.array([[1.0, -2.0], [0.5, 3.0]]), requires_grad=True)


@pytest.fixture
def w():
    return Parameter(np.array([[0.5, -1.0], [2.0, 0.25]]))


def test_names_come_from_the_user_s_variables(x, w):
    tape = record(lambda: residual(x, w))
    assert [v.key for v in tape.values] == ["x", "w", "matmul", "tanh", "h", "multiply", "loss"]
    assert [type(c.op).__name__ for c in tape.calls] == [
        "MatMul", "Tanh", "Add", "Multiply", "Sum"
    ]  # fmt: skip
    assert tape.calls[2].place.source == "h = ops.tanh(x @ w) + x"


def test_events_run_forward_then_newest_first(x, w):
    tape = record(lambda: residual(x, w))
    phases = [phase for phase, _ in tape.events]
    assert phases == ["forward"] * 5 + ["start"] + ["backward"] * 5 + ["leaf"] * 2
    backward = [what.index for phase, what in tape.events if phase == "backward"]
    assert backward == sorted(backward, reverse=True)


def test_gradients_are_the_engine_s_and_contributions_add_up(x, w):
    tape = record(lambda: residual(x, w))
    with use_kernels("reference"):
        expected = grad(residual(x, w), [x, w])
    for value, g in zip(tape.leaves, expected, strict=True):
        assert np.array_equal(value.gradient, g.data)
    for value in tape.values:
        total = sum(np.asarray(c.array, np.float64) for c in value.contributions)
        assert np.allclose(total, value.gradient, rtol=1e-14)
    h = next(v for v in tape.values if v.key == "h")
    assert [(c.call.out.key, c.input) for c in h.contributions] == [
        ("multiply", 0), ("multiply", 1)
    ]  # fmt: skip


def test_recording_changes_nothing(x, w):
    before = x.data.copy()
    loss = residual(x, w)
    for what in (loss, lambda: residual(x, w)):
        record(what)
    assert x.grad is None and w.grad is None
    assert np.array_equal(x.data, before)
    loss.backward()  # the graph is still there
    assert np.array_equal(x.grad.data, grad(residual(x, w), [x])[0].data)


def test_a_loss_shows_what_its_graph_holds(x, w):
    from_loss = record(residual(x, w), names={"x": x, "w": w})
    from_function = record(lambda: residual(x, w))
    assert [v.shape for v in from_loss.values] == [v.shape for v in from_function.values]
    for a, b in zip(from_loss.values, from_function.values, strict=True):
        assert np.array_equal(a.array, b.array), b.key
        assert np.array_equal(a.gradient, b.gradient)


def test_what_the_graph_does_not_hold_stays_unknown(x):
    tape = record(ops.sum(ops.tanh(x + np.ones(2))))  # Add saves nothing, and nothing saves 1
    assert [v.key for v in tape.values if v.array is None] == []
    tape = record(ops.sum(x + np.ones(2)))
    assert [v.key for v in tape.values if v.array is None] == ["add"]
    html = explore(ops.sum(x + np.ones(2))).html()
    graph = unpack(html)[0]["graphs"][0]
    assert [t["name"] for t in graph["tensors"] if t["data"] is None] == ["add"]


def test_a_model_s_modules_give_the_names():
    made = EXPLORABLE["gpt"]()
    tape = record(made.loss, made.model)
    keys = [v.key for v in tape.values]
    assert len(set(keys)) == len(keys)
    assert {"wte.weight", "h.0.attn.c_attn.weight", "h.0.attn", "h.1.mlp", "ln_f", "loss"} <= {
        *keys
    }
    by_key = {v.key: v for v in tape.values}
    assert by_key["h.0.attn.c_attn"].call.variable == "qkv"
    assert len(by_key["wte.weight"].contributions) == 2  # read as a table, and as the output layer


def test_every_value_equals_a_fresh_run():
    made = EXPLORABLE["gpt"]()
    first, second = record(made.loss, made.model), record(made.loss, made.model)
    with use_kernels("reference"):
        made.loss().backward()
    assert float(first.loss.array) == made.loss().item() or np.isclose(
        float(first.loss.array), made.loss().item(), rtol=1e-6
    )
    for a, b in zip(first.values, second.values, strict=True):
        assert a.key == b.key and np.array_equal(a.array, b.array)
    gradients = dict(made.model.named_parameters())
    for value in first.leaves:
        assert np.array_equal(value.gradient, gradients[value.key].grad.data), value.key


def test_a_recomputed_segment_is_recorded_where_it_runs(x, w):
    tape = record(lambda: ops.sum(recompute(lambda h: ops.tanh(h @ w), x)))
    phases = [phase for phase, _ in tape.events]
    assert phases.index("start") < len(phases) - 1 - phases[::-1].index("forward")
    by_key = {v.key: v for v in tape.values}
    expected = grad(ops.sum(ops.tanh(x @ w)), [w])[0]
    assert np.allclose(by_key["w"].gradient, expected.data, rtol=1e-14)


def test_what_cannot_be_explored(x, w):
    with pytest.raises(ValueError, match=r"has shape \(2, 2\), expected one number: explore its"):
        explore(x @ w)
    with pytest.raises(ValueError, match=r"has shape \(2, 2\), expected one number"):
        explore(lambda: x @ w)
    with pytest.raises(ValueError, match="was not computed from any tensor that requires"):
        explore(Tensor(np.ones(())))
    with pytest.raises(ValueError, match="is a leaf: nothing was computed"):
        explore(Parameter(np.ones(())))
    with pytest.raises(TypeError, match="takes a Tensor or a function, not float"):
        explore(1.0)
    with pytest.raises(TypeError, match="returned float, expected the loss, a Tensor"):
        explore(lambda: 1.0)
    loss = residual(x, w)
    loss.backward()
    with pytest.raises(ValueError, match="has released the graph at Sum .*: explore the loss befo"):
        explore(loss)


def test_a_page_is_written_whole_or_not_at_all(x, w, tmp_path, monkeypatch):
    explored = explore(residual(x, w), tmp_path / "page.html")
    old = (tmp_path / "page.html").read_text()
    assert explored.path == tmp_path / "page.html"
    assert repr(explored) == f"Backward, step by step: 13 steps, at {tmp_path / 'page.html'}"

    def fails(self):
        raise OSError("disk full")

    monkeypatch.setattr(Explored, "html", fails)
    with pytest.raises(OSError, match="disk full"):
        explored.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == old
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
