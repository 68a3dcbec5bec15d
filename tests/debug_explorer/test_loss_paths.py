"""A cross-entropy's gradient by two paths: the engine's own numbers, and where float32 ends."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from autograd import Tensor, grad, ops
from autograd.debug.explorer.document import Builder, graph_document
from autograd.debug.explorer.loss_paths import (
    COLUMNS,
    ELEMENTS,
    SCALES,
    part,
    paths_of,
    scaled_paths,
    separate_gradient,
)
from autograd.debug.explorer.tape import record

HERE = Path(__file__).parent
MODULES = HERE.parent.parent / "autograd" / "debug" / "explorer"
node = shutil.which("node")
needs_node = pytest.mark.skipif(node is None, reason="needs node, which runs the page's modules")


@pytest.fixture
def rng():
    return np.random.default_rng(20)


def leaf(rng, *shape):
    return Tensor((2 * rng.standard_normal(shape)).astype(np.float32), requires_grad=True)


def only(loss):
    """The one call of a loss that has two paths."""
    tape = record(loss)
    (paths,) = [p for call in tape.calls if (p := paths_of(call, tape))]
    return paths


def forms(rng):
    """A loss of the same kind in every form that is recognized: (name, function, logits, fused)."""
    x, t = leaf(rng, 6, 5), np.array([1, 4, 0, -100, 2, 2])
    h, weight = leaf(rng, 6, 3), leaf(rng, 5, 3)
    kept = np.array([0, 1, 2, 4, 5])
    soft = rng.dirichlet(np.ones(5), 6).astype(np.float32)
    class_weight = np.array([1, 2, 0.5, 1, 3], np.float32)
    yield "mean", lambda: ops.cross_entropy(x, t), x, True
    yield "sum", lambda: ops.cross_entropy(x, t, reduction="sum"), x, True
    yield "none", lambda: ops.sum(ops.cross_entropy(x, t, reduction="none") * 0.3), x, True
    yield "weight", lambda: ops.cross_entropy(x, t, weight=class_weight), x, True
    yield "smooth", lambda: ops.cross_entropy(x, t, label_smoothing=0.2), x, True
    yield "soft", lambda: ops.cross_entropy(x, soft), x, True
    yield "linear", lambda: ops.linear_cross_entropy(h, weight, t), None, True
    yield "log_softmax", lambda: -ops.sum(ops.log_softmax(x)[kept, t[kept]]), x, True
    yield "softmax", lambda: -ops.sum(ops.log(ops.softmax(x)[kept, t[kept]])), x, False
    yield "all logs", lambda: -ops.sum(soft * ops.log(ops.softmax(x))), x, False


@pytest.mark.parametrize("form", range(10))
def test_both_paths_are_the_engines_gradient(rng, form):
    name, loss, x, fused = list(forms(rng))[form]
    paths = only(loss)
    assert paths.fused == fused, name
    np.testing.assert_allclose(paths.direct, paths.separate, rtol=2e-5, atol=1e-7)
    np.testing.assert_allclose(paths.direct, paths.r[:, None] * (paths.p - paths.y), atol=2e-7)
    if x is not None:
        (g,) = grad(loss(), [x])
        shown = paths.direct if fused else paths.separate
        np.testing.assert_allclose(shown, g.data, rtol=1e-6, atol=1e-8)
    assert paths.direct.dtype == paths.separate.dtype == np.float32


def test_the_graphs_own_contribution_is_shown_bit_for_bit(rng):
    x = leaf(rng, 4, 3)
    tape = record(lambda: ops.cross_entropy(x, np.array([0, 1, 2, 0])))
    (paths,) = [p for call in tape.calls if (p := paths_of(call, tape))]
    (contribution,) = paths.call.args[0].contributions
    assert np.array_equal(paths.direct, contribution.array)


def test_rows_that_do_not_count_have_no_gradient(rng):
    paths = only(list(forms(rng))[0][1])
    assert paths.r[3] == 0 and not paths.direct[3].any() and not paths.separate[3].any()


def test_a_softmax_without_a_logarithm_is_no_loss(rng):
    x = leaf(rng, 4, 3)
    tape = record(lambda: ops.sum(ops.softmax(x) * 2.0))
    assert part(tape, Builder(tape)) is None


def test_a_wrong_softmax_is_seen_in_the_difference(rng, monkeypatch):
    """A planted bug: a Jacobian without its second term."""
    from autograd.ops.normalization import Softmax

    x = leaf(rng, 4, 3)
    targets = np.array([0, 1, 2, 0])
    right = graph_document(record(lambda: ops.cross_entropy(x, targets)), "right")
    monkeypatch.setattr(Softmax, "backward", lambda self, xp, g, y: y * g)
    wrong = graph_document(record(lambda: ops.cross_entropy(x, targets)), "wrong")
    (right,), (wrong,) = right["loss_paths"]["calls"], wrong["loss_paths"]["calls"]
    assert right["difference"]["max"] < 1e-6 * right["largest"]
    assert wrong["difference"]["max"] > 0.1 * wrong["largest"]


def test_a_p_of_0_is_counted_as_nan(rng):
    x = Tensor(np.array([[0.0, 200.0], [1.0, 0.0]], np.float32), requires_grad=True)
    graph = graph_document(record(lambda: ops.cross_entropy(x, np.array([0, 0]))), "sure")
    (call,) = graph["loss_paths"]["calls"]
    assert call["difference"]["nans"] == 2 and np.isfinite(call["direct"]).all()


def test_of_a_wide_loss_the_classes_that_matter_are_shown(rng):
    x = leaf(rng, 6, ELEMENTS + 1)
    targets = np.arange(6) * 1000
    tape = record(lambda: ops.cross_entropy(x, targets))
    (call,) = part(tape, Builder(tape))["calls"]
    assert call["x"].shape == call["columns"].shape == (4, COLUMNS)
    for row, columns, values in zip(call["rows"], call["columns"], call["direct"], strict=True):
        assert targets[row] in columns
        full = paths_of(tape.calls[-1], tape).direct[row]
        assert np.array_equal(full[columns], values)
        others = np.delete(np.abs(full), columns)
        assert others.max() <= np.abs(values).min()
    assert call["scaled_fused"].shape == (4, len(SCALES), 3)


# --- where float32 ends ---------------------------------------------------------------------------


def test_the_separate_path_breaks_where_it_should():
    """exp(89) overflows, exp(-104) is 0, log(0) is -inf, 0 * inf is NaN; all in one is exact."""
    x = np.array([0.0, 1.0], np.float32)
    at = {scale: scaled_paths(x, 0, scale) for scale in (80, 100, 110)}
    for found in at[80].values():
        assert np.isfinite(found).all()
    plain, shifted, fused = at[100].values()
    assert plain[1] == np.inf and np.isnan(plain[2])  # p of the target is 1 / inf
    assert np.isclose(shifted[1], 100, rtol=1e-3) and shifted[2] == -np.inf  # 1 / p overflows
    assert fused[1] == 100 and fused[2] == -1
    plain, shifted, fused = at[110].values()
    assert shifted[0] == 0 and shifted[1] == np.inf and np.isnan(shifted[2])
    assert fused[1] == 110 and fused[2] == -1
    right = scaled_paths(x, 1, 100)["plain"]
    assert np.isnan(right).all()  # the largest logit itself: inf / inf


def test_the_engines_own_separate_path_breaks_likewise():
    x = np.array([[0.0, 110.0]], np.float32)
    assert np.isnan(separate_gradient(x, np.array([[1.0, 0.0]], np.float32))).all()
    (g,) = grad(ops.cross_entropy(t := Tensor(x, requires_grad=True), np.array([0])), [t])
    np.testing.assert_array_equal(g.data, [[-1.0, 1.0]])


@needs_node
def test_the_page_computes_what_numpy_computes(rng, tmp_path):
    rows = []
    scales = [*SCALES, 30.0, 60.0, 90.0, 150.0]
    for n in (2, 5, 17):
        x = (2 * rng.standard_normal(n)).astype(np.float32)
        p, y = np.exp(x) / np.exp(x).sum(), np.eye(n, dtype=np.float32)[n - 1]
        rows.append(
            {"x": x.tolist(), "target": n - 1, "scales": scales, "p": p.tolist(),
             "y": y.tolist(), "r": 0.125}
        )  # fmt: skip
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows))
    command = [node, HERE / "check_loss.mjs", MODULES, file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    broken = 0
    for row, answer in zip(rows, json.loads(done.stdout), strict=True):
        x, target = np.array(row["x"], np.float32), row["target"]
        for scale, ways in zip(scales, answer["scaled"], strict=True):
            expected = np.array([*scaled_paths(x, target, scale).values()])
            found = np.array([[float(v) for v in way] for way in ways])
            np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
            np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))
            np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
            broken += np.isnan(expected).any()
        p, y = np.array(row["p"], np.float32), np.array(row["y"], np.float32)
        product = (np.diag(p) - np.outer(p, p)) @ (-0.125 * y / p)
        np.testing.assert_allclose(answer["product"], product, atol=1e-7)
        limits = answer["limits"]
        assert limits["overflow"] == pytest.approx(88.7228, abs=1e-3)
        assert limits["under"] == pytest.approx(-103.972, abs=1e-3)
        for name, way in (("naive", "plain"), ("zero", "shifted")):
            if limits[name] is not None:
                below, above = limits[name] * 0.999, limits[name] * 1.001
                assert np.isfinite(_before(x, target, below, way))
                assert not np.isfinite(_before(x, target, above, way))
    assert broken > 5


def _before(x, target, scale, way):
    """exp of the largest logit, or log p of the target: what overflows or vanishes."""
    with np.errstate(all="ignore"):
        if way == "plain":
            return np.exp((x * np.float32(scale)).max())
        return scaled_paths(x, target, scale)[way][1]
