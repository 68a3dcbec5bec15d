"""The proof of the page: right gradients agree, planted mistakes do not, and the U is a U."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.debug.explorer import measure
from autograd.debug.explorer.builtin import BUILTIN
from autograd.debug.explorer.document import Builder, graph_document
from autograd.debug.explorer.measure import EPS, STEPS, Prover, rtol_of
from autograd.debug.explorer.page import pack
from autograd.debug.explorer.proof import choose, part
from autograd.debug.explorer.replay import CannotReplayError
from autograd.debug.explorer.tape import record
from autograd.engine import Op
from autograd.samples import SAMPLES
from tinygrad_llm.inspect.explorable import EXPLORABLE

HERE = Path(__file__).parent
MODULES = HERE.parent.parent / "autograd" / "debug" / "explorer"
WITH_GRADIENT = [s for s in SAMPLES if s.op not in ops.discrete.WITHOUT_GRADIENT]
node = shutil.which("node")
needs_node = pytest.mark.skipif(node is None, reason="needs node, which runs the page's modules")


@pytest.fixture
def rng():
    return np.random.default_rng([14, 11])


def leaf(array, dtype=np.float32):
    return Tensor(np.asarray(array, dtype), requires_grad=True)


def checks(tape):
    """A few checks of every tensor that can be measured."""
    prover = Prover(tape)
    return [
        check
        for value in tape.values
        if not prover.refusal(value.index)
        for check in prover.check(value.index, choose(value, 4, prover.exact[value.index]))
    ]


def verdicts(tape):
    return {check.verdict for check in checks(tape)}


@pytest.mark.parametrize("sample", WITH_GRADIENT, ids=lambda s: s.name)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_gradients_of_every_operation_agree(sample, dtype):
    if dtype not in sample.dtypes:
        pytest.skip(f"{sample.op} does not take {dtype.__name__}")
    if dtype is np.float32 and sample.note == "bf16":
        pytest.skip("its numbers are rounded, and those of float64 are not")
    xs = [leaf(a, dtype) for a in sample.inputs(dtype=dtype)]
    shape = sample.call(*xs).shape
    w = np.random.default_rng([5, 29]).standard_normal(shape).astype(dtype)
    tape = record(lambda: (sample.call(*xs) * w).sum())
    found = checks(tape)
    assert {c.verdict for c in found} <= {"agrees", "both are 0"}
    assert sum(c.verdict == "agrees" for c in found) > len(found) / 4
    assert {c.tensor for c in found} == {
        v.index for v in tape.values if v.gradient is not None and v.array.size
    }


@pytest.mark.parametrize("name", [*EXPLORABLE, *BUILTIN])
def test_the_gradients_of_the_built_in_graphs_agree(name):
    made = {**EXPLORABLE, **BUILTIN}[name]()
    tape = record(made.loss, getattr(made, "model", None), getattr(made, "names", None))
    proof = part(tape, Builder(tape))
    names = {proof["verdicts"][i] for i in proof["checks"]["verdict"]}
    assert names <= {"agrees", "both are 0"}
    assert proof["left_out"] == 0
    measured = set(proof["checks"]["tensor"].tolist())
    unproven = {u["tensor"] for u in proof["unproven"]}
    assert measured | unproven == {v.index for v in tape.values if v.gradient is not None}
    assert set(proof["curves"]["tensor"].tolist()) <= measured


# --- mistakes ------------------------------------------------------------------------------------


class Doubled(Op):
    """y = 2x, with a backward that a test spoils."""

    def __init__(self, spoil):
        self.spoil = spoil

    def forward(self, xp, x):
        return 2 * x

    def backward(self, xp, g):
        return self.spoil(2 * g)


def spoilt(x, spoil):
    return record(lambda: (ops.tanh(Doubled(spoil)(ops.sin(x))) ** 2).sum())


SPOILS = {
    "a part in a thousand": lambda g: g * np.float32(1.001),
    "a sign": lambda g: -g,
    "a missing term": lambda g: g - g.mean(),
    "rows in another order": lambda g: g[::-1],
    "zero": lambda g: 0 * g,
    "NaN": lambda g: g * np.nan,
    "infinite": lambda g: g * np.inf,
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=list(SPOILS))
def test_a_planted_mistake_differs_in_everything_before_it_and_nothing_after(rng, spoil):
    x = leaf(rng.standard_normal((4, 4)))
    tape = spoilt(x, spoil)
    doubled = next(c.out for c in tape.calls if isinstance(c.op, Doubled))
    for check in checks(tape):
        before = check.tensor < doubled.index
        assert (check.verdict == "differs") == before, (tape.values[check.tensor].key, check)


def test_one_wrong_entry_is_found_where_it_is_measured(rng):
    x = leaf(rng.standard_normal((4, 4)))
    wrong = np.zeros((4, 4), np.float32)
    wrong[2, 1] = 0.01
    tape = spoilt(x, lambda g: g + wrong)
    prover = Prover(tape)
    found = prover.check(tape.value_of(x._node).index, range(16))
    assert [c.element for c in found if c.verdict == "differs"] == [9]


def test_an_entry_that_is_far_too_large_does_not_hide_the_others(rng):
    x = leaf(rng.standard_normal((4, 4)))
    factor = np.full((4, 4), 1.01, np.float32)
    factor[0, 0] = 1e6
    tape = spoilt(x, lambda g: g * factor)
    prover = Prover(tape)
    found = prover.check(tape.value_of(x._node).index, range(16))
    assert {c.verdict for c in found} == {"differs"}


# --- points without a derivative, and noise ------------------------------------------------------


def test_a_corner_is_said_to_be_one():
    x = leaf([0.0, 1.0])
    tape = record(lambda: ops.relu(x).sum())
    corner, smooth = Prover(tape).check(tape.value_of(x._node).index, [0, 1])
    assert (corner.verdict, smooth.verdict) == ("kink", "agrees")
    assert corner.gradient == 0 and abs(corner.difference - 0.5) < 1e-9


def test_a_gradient_outside_the_two_slopes_of_a_corner_differs():
    class Corner(Op):
        def forward(self, xp, x):
            return xp.abs(x)

        def backward(self, xp, g):
            return 1.5 * g

    x = leaf([0.0])
    tape = record(lambda: Corner()(x).sum())
    (check,) = Prover(tape).check(tape.value_of(x._node).index, [0])
    assert check.verdict == "differs"


def test_a_gradient_that_cancels_is_zero_in_both(rng):
    """A softmax does not change with a common shift: backward computes the rounding of that."""
    x, shift = leaf(3 * rng.standard_normal((20, 50))), leaf([0.3])
    w = rng.standard_normal((20, 50)).astype(np.float32)
    tape = record(lambda: (ops.softmax(x + shift) * w).sum())
    value = tape.value_of(shift._node)
    (check,) = Prover(tape).check(value.index, [0])
    assert 0 < abs(check.gradient) < 1e-5 and check.verdict == "both are 0"
    plain = check.noise + rtol_of(np.float32) * abs(check.gradient)
    assert abs(check.gradient - check.difference) > plain  # the third term is needed


def test_on_a_large_tape_the_nudges_wait_until_they_are_needed(rng, monkeypatch):
    monkeypatch.setattr(measure, "LARGE", 0)
    x, shift = leaf(3 * rng.standard_normal((20, 50))), leaf([0.3])
    w = rng.standard_normal((20, 50)).astype(np.float32)
    tape = record(lambda: (ops.softmax(x + shift) * w).sum())
    prover = Prover(tape)
    (check,) = prover.check(tape.value_of(x._node).index, [7])
    assert (check.verdict, check.rounding, prover._rounding) == ("agrees", 0, None)
    (check,) = prover.check(tape.value_of(shift._node).index, [0])
    assert check.verdict == "both are 0" and check.rounding > 0


def test_a_loss_that_is_not_finite_has_no_proof():
    x = leaf([0.0])
    with np.errstate(all="ignore"):
        tape = record(lambda: ops.log(x).sum())
        prover = Prover(tape)
    assert "the loss is not finite" in prover.refusal(0)
    with pytest.raises(CannotReplayError, match="not finite"):
        prover.check(0, [0])


def test_a_backward_that_takes_one_type_alone_is_measured_all_the_same(rng):
    class Single(Op):
        def forward(self, xp, x):
            return 2 * x

        def backward(self, xp, g):
            assert g.dtype == np.float32
            return 2 * g

    x = leaf(rng.standard_normal(5))
    tape = record(lambda: ops.exp(Single()(ops.sin(x))).sum())
    proof = part(tape, Builder(tape))
    assert set(proof["checks"]["verdict"]) == {0} and np.isnan(proof["checks"]["exact"]).all()
    assert len(proof["curves"]["tensor"]) == 0 and proof["unproven"] == []


def test_what_cannot_be_measured_is_refused(rng):
    x, ids = leaf(rng.standard_normal((3, 2))), np.array([0, 2])
    tape = record(lambda: (ops.embedding(x, ids) * rng.standard_normal((2, 2))).sum())
    prover = Prover(tape)
    (constant,) = (v for v in tape.values if v.kind == "constant")
    assert prover.refusal(constant.index) == f"{constant.key} has no gradient"
    for wrong in (-1, 6):
        with pytest.raises(IndexError, match=f"has 6 elements, and no element {wrong}"):
            prover.check(tape.value_of(x._node).index, [wrong])
        with pytest.raises(IndexError):
            prover.curve(tape.value_of(x._node).index, wrong)


# --- the curve -----------------------------------------------------------------------------------


def test_the_curve_falls_with_the_square_of_the_step_and_rises_with_its_inverse(rng):
    x = leaf(rng.standard_normal(6))
    tape = record(lambda: ops.exp(ops.sin(x)).sum())
    prover = Prover(tape)
    curve = prover.curve(tape.value_of(x._node).index, 2)
    errors = {
        name: np.abs(slopes / curve.exact - 1)
        for name, slopes in (("float32", curve.slopes32), ("float64", curve.slopes64))
    }
    right = (STEPS > 1e-4) & (STEPS <= 0.1)
    power = np.polyfit(np.log(STEPS[right]), np.log(errors["float64"][right]), 1)[0]
    assert abs(power - 2) < 0.1
    left = STEPS < 1e-7
    power = np.polyfit(np.log(STEPS[left]), np.log(errors["float64"][left] + 1e-16), 1)[0]
    assert -1.5 < power < -0.5
    assert np.all(errors["float64"][left] < 10 * EPS * prover.loss / STEPS[left] / abs(curve.exact))
    assert errors["float64"].min() < 1e-8 < 1e-6 < errors["float32"].min()
    assert np.all(curve.slopes32[STEPS < 1e-8] == 0)  # x + h is x


def test_a_curve_with_other_steps(rng):
    x = leaf(rng.standard_normal(2))
    tape = record(lambda: (x * x * x).sum())
    curve = Prover(tape).curve(0, 1, np.array([1e-2, 1e-3]))
    assert curve.slopes64.shape == (2,)
    np.testing.assert_allclose(curve.slopes64 - curve.exact, [1e-4, 1e-6], rtol=1e-4)


# --- the sample ----------------------------------------------------------------------------------


def long_tape(n):
    x = leaf(np.linspace(0.1, 0.9, 8))

    def loss():
        y = x
        for _ in range(n):
            y = ops.sin(y)
        return y.sum()

    return record(loss)


def test_the_sample_is_the_same_every_time_and_has_the_largest_entry():
    tape = long_tape(6)
    first, second = (part(tape, Builder(tape)) for _ in range(2))
    for name, column in first["checks"].items():
        np.testing.assert_array_equal(column, second["checks"][name])
    np.testing.assert_array_equal(first["curves"]["slopes64"], second["curves"]["slopes64"])
    for value in tape.values:
        elements = first["elements"][value.index]
        assert len(elements) == min(4, value.array.size) == len(set(elements))
        assert elements[0] == np.abs(value.gradient).argmax()


def test_a_small_budget_leaves_out_tensors_evenly_and_says_how_many():
    tape = long_tape(100)
    proof = part(tape, Builder(tape), budget=1e9)
    assert proof["left_out"] == 0 and len(proof["curves"]["tensor"]) < 102
    proof = part(tape, Builder(tape), budget=1e8)
    chosen = sorted(set(proof["checks"]["tensor"].tolist()))
    assert proof["left_out"] == 102 - len(chosen) > 0
    assert len(chosen) > 5 and max(np.diff(chosen)) <= min(np.diff(chosen)) + 1


def test_work_stays_bounded_on_a_long_graph():
    tape = long_tape(2000)
    calls = 0
    prover = Prover(tape, nudges=0)
    forward = prover.double._compute

    def counted(*args):
        nonlocal calls
        calls += 1
        return forward(*args)

    prover.double._compute = counted
    prover.check(0, [0])
    assert calls <= 4 * 2001  # two measurements of two runs: here, and at the largest entry
    assert prover.cost(0) > 1000 * prover.cost(tape.calls[-2].out.index) / 100


# --- the page's modules --------------------------------------------------------------------------


@needs_node
def test_the_modules_read_the_tables_and_find_the_bottom_of_the_u(tmp_path):
    made = EXPLORABLE["gpt"]()
    tape = record(made.loss, made.model)
    graph = graph_document(tape, "gpt", parts={"proof": part})
    data, arrays = pack({"graphs": [graph]})
    path = tmp_path / "data"
    path.write_text(f"{data}\n{base64.b64encode(arrays).decode()}")
    command = [node, HERE / "check_proof.mjs", MODULES, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    table = graph["proof"]["checks"]
    assert found["checks"] == len(table["x"])
    gaps = np.abs(table["gradient"] - table["difference"])
    np.testing.assert_allclose(found["gaps"], gaps)
    np.testing.assert_allclose(found["parts"], table["tolerance"])
    assert found["overview"] == len(set(table["tensor"].tolist()))
    curves = graph["proof"]["curves"]
    for i, (best32, best64, valley, truncation) in enumerate(found["curves"]):
        errors = np.abs(curves["slopes64"][i] / curves["exact"][i] - 1)
        assert errors[best64] == errors.min()
        errors = np.abs(curves["slopes32"][i] / curves["exact"][i] - 1)
        assert errors[best32] == errors.min()
        if truncation is not None:  # the estimate of the best step is one: within a factor of 30
            assert 1 / 30 < valley / STEPS[best64] < 30
    assert sum(truncation is not None for *_, truncation in found["curves"]) > 30
