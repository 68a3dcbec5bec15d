"""The tools that explain a gradient, on arrays that are not NumPy's: they report the same."""

import json
import re

import numpy as np
import pytest

from autograd import Tensor, ops, use_kernels
from autograd.debug import (
    AnomalyError,
    detect_anomaly,
    draw_graph,
    explore,
    profile,
    record_gradients,
    register_op_hook,
)
from autograd.device import namespace_on


def network(where):
    """A loss, and the two parameters it was computed from."""
    xp, rng = namespace_on(where), np.random.default_rng(0)
    w = Tensor(xp.asarray(rng.standard_normal((5, 3))), requires_grad=True)
    b = Tensor(xp.asarray(np.ones(5)), requires_grad=True)
    x = ops.embedding(w, np.array([1, 4, 1]))  # w is used twice
    return ops.cross_entropy(ops.linear(x, w, b), np.array([0, 2, 3])), w, b


@pytest.fixture(autouse=True)
def references():
    with use_kernels("reference"):
        yield


def test_the_ledger(device):
    reports = []
    for where in ("cpu", device):
        loss, w, b = network(where)
        ledger = record_gradients(loss, keep_arrays=True)
        reports.append(str(ledger.explain(w, "w")))
        assert w.grad.device == b.grad.device == where
    assert reports[0] == reports[1] and "the sum of 2 contributions" in reports[0]


def test_anomaly_mode(device):
    xp = namespace_on(device)
    with detect_anomaly():
        loss, _, _ = network(device)
        loss.backward()
    x = Tensor(xp.asarray(np.array([1.0, -1.0])), requires_grad=True)
    with np.errstate(invalid="ignore"), pytest.raises(AnomalyError, match="Log"), detect_anomaly():
        ops.log(x)


def test_hooks(device):
    loss, w, b = network(device)
    seen, ran = [], []
    w.register_hook(lambda g: seen.append(g.device))
    b.register_hook(lambda g: g * 2)
    with register_op_hook("Linear", forward=lambda op, inputs, y: ran.append(y.device)):
        network(device)
    loss.backward()
    expected, _, same = network("cpu")
    expected.backward()
    assert seen == ran == [device]
    np.testing.assert_allclose(b.grad.numpy(), 2 * same.grad.numpy(), rtol=1e-12)


def test_the_profiler(device, tmp_path):
    peaks = []
    for where in ("cpu", device):
        with profile() as p:
            network(where)[0].backward()
        peaks.append(p.peak.bytes)
        assert "CrossEntropy" in p.table()
    assert peaks[0] == peaks[1] > 0
    p.chrome_trace(tmp_path / "trace.json")
    assert json.loads((tmp_path / "trace.json").read_text())


def test_the_graph(device, tmp_path):
    drawn = [draw_graph(network(where)[0]).mermaid() for where in ("cpu", device)]
    assert "Embedding" in drawn[0]
    here, there = (re.sub(r"n\d+", "n", text) for text in drawn)  # numbered in order of creation
    assert here == there
    page = explore(lambda: network(device)[0], tmp_path / "page.html").path
    assert "Embedding" in page.read_text()
