"""A tape run again: the loss as a function of any tensor on it, and the engine's own gradients."""

import numpy as np
import pytest

from autograd import Tensor, grad, ops
from autograd.debug.explorer.replay import CannotReplayError, Replay, engine_gradients, replay
from autograd.debug.explorer.tape import record
from autograd.engine import Op
from autograd.functional import recompute
from autograd.samples import SAMPLES
from autograd.testing.differences import FirstOrder, Line, unit
from autograd.testing.slopes import measure
from tinygrad_llm.config import GPTConfig, LlamaConfig
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.model.llama import Llama


@pytest.fixture
def rng():
    return np.random.default_rng([14, 7])


WITH_GRADIENT = [s for s in SAMPLES if s.op not in ops.discrete.WITHOUT_GRADIENT]
by_sample = pytest.mark.parametrize("sample", WITH_GRADIENT, ids=lambda s: s.name)


def tape_of(sample, dtype):
    """The tape of a weighted sum of a sample's output, as (tape, inputs, function)."""
    xs = [Tensor(a, requires_grad=True) for a in sample.inputs(dtype=dtype)]
    shape = sample.call(*xs).shape
    w = np.random.default_rng([5, 23]).standard_normal(shape).astype(dtype)
    return record(lambda: (sample.call(*xs) * w).sum()), xs, w


def model_tape(rng, kind="gpt"):
    if kind == "gpt":
        model = GPT(
            GPTConfig(n_layer=2, n_head=2, n_embd=16, block_size=8, vocab_size=24, dropout=0.0)
        )
    else:
        model = Llama(
            LlamaConfig(
                n_layer=2,
                n_head=4,
                n_kv_head=2,
                n_embd=16,
                block_size=8,
                vocab_size=24,
                n_hidden=24,
            )
        )
    ids = rng.integers(0, 24, (1, 9))
    return record(lambda: model.loss(ids[:, :-1], ids[:, 1:]), model)


@by_sample
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float64_gradients_are_those_of_the_engine(sample, dtype):
    if dtype not in sample.dtypes:
        pytest.skip(f"{sample.op} does not take {dtype.__name__}")
    if dtype is np.float32 and sample.note == "bf16":
        pytest.skip("its numbers are rounded, and those of float64 are not")
    tape, xs, w = tape_of(sample, dtype)
    run = Replay(tape, np.float64)
    assert run.problems == {}
    gradients = engine_gradients(run)
    doubles = [Tensor(x.data.astype(np.float64), requires_grad=True) for x in xs]
    expected = grad((sample.call(*doubles) * w.astype(np.float64)).sum(), doubles)
    for x, wanted in zip(xs, expected, strict=True):
        found = gradients[tape.value_of(x._node).index]
        # (tables of cosines were rounded to float32 when they were made)
        error = 1e-12 if dtype is np.float64 or sample.op != "rope" else 1e-6
        np.testing.assert_allclose(found, wanted.data, rtol=100 * error, atol=error)


@by_sample
def test_the_loss_as_a_function_of_every_tensor_has_the_engines_slopes(sample):
    """Every leaf and every computed tensor, measured by the search of autograd/testing."""
    tape, _, _ = tape_of(sample, np.float64)
    run = Replay(tape, np.float64)
    for value in tape.values:
        if value.gradient is None or value.array.size == 0:
            continue

        class Loss(FirstOrder):
            def terms(self, arrays):
                return np.array([run.loss_at(value.index, arrays[0])])  # noqa: B023

            def size(self, arrays):
                return abs(float(self.terms(arrays)[0]))

        x = run.arrays[value.index]
        loss = Loss(None, [0])
        here = loss.terms([x])
        for k in np.random.default_rng([value.index, 3]).choice(x.size, min(3, x.size), False):
            if not np.isfinite(x.flat[k]):
                continue
            line = Line(loss, [x], 0, unit(x.shape, int(k)), here, np.zeros(1))
            slope = measure(line, np.asarray(value.gradient), 1e-5, abs(here[0]))
            assert slope.verdict in ("right", "zero", "still"), (value.key, int(k), slope)


@pytest.mark.parametrize("kind", ["gpt", "llama"])
def test_a_models_slopes_lie_along_a_random_direction_of_every_tensor(rng, kind):
    tape = model_tape(rng, kind)
    run = Replay(tape, np.float64)
    gradients = engine_gradients(run)
    for value in tape.values:
        if value.gradient is None:
            continue
        x, g = run.arrays[value.index], gradients[value.index]
        d = rng.standard_normal(x.shape) * (np.sqrt(np.mean(x * x)) or 1.0)
        h = 1e-5
        up, down = (run.loss_at(value.index, x + t * d) for t in (h, -h))
        np.testing.assert_allclose((up - down) / (2 * h), np.vdot(g, d), rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(value.gradient, g, atol=1e-5 * np.abs(g).max() + 1e-8)


def test_without_a_change_a_replay_is_the_recording_bit_for_bit(rng):
    tape = model_tape(rng)
    for value, array in zip(tape.values, replay(tape), strict=True):
        np.testing.assert_array_equal(array, value.array, strict=True)
    for value in tape.values:  # and so is what runs again
        again = replay(tape, {value.index: value.array})
        assert again[tape.loss.index] == tape.loss.array


def test_only_what_depends_on_a_change_runs_again(rng):
    a, b = (Tensor(rng.standard_normal(3), requires_grad=True) for _ in range(2))
    calls = []

    class Noted(Op):
        def __init__(self, name):
            self.name = name

        def forward(self, xp, x):
            calls.append(self.name)
            return 2 * x

        def backward(self, xp, g):
            return 2 * g

    tape = record(lambda: (Noted("a")(a) * Noted("b")(b)).sum())
    run = Replay(tape)
    calls.clear()
    run.loss_at(tape.value_of(b._node).index, b.data + 1)
    assert calls == ["b"]
    arrays = run.run({tape.value_of(a._node).index: a.data + 1})
    assert calls == ["b", "a"]
    assert arrays[tape.loss.index] == np.sum(2 * (a.data + 1) * (2 * b.data))


def test_another_type_reaches_every_call_also_those_that_convert(rng):
    x = Tensor(rng.standard_normal(4).astype(np.float32), requires_grad=True)
    tape = record(lambda: ((x * 1.1).astype(np.float16) * 3).astype(np.float32).sum())
    arrays = replay(tape, dtype=np.float64)
    assert {a.dtype for a in arrays} == {np.dtype(np.float64)}
    expected = np.sum(x.data.astype(np.float64) * 1.1 * 3)
    np.testing.assert_allclose(arrays[tape.loss.index], expected, rtol=1e-15)


def test_a_constant_may_be_changed_and_a_wrong_shape_is_refused(rng):
    x, c = Tensor(rng.standard_normal(3), requires_grad=True), rng.standard_normal(3)
    tape = record(lambda: (x * c).sum())
    (constant,) = (v for v in tape.values if v.kind == "constant")
    arrays = replay(tape, {constant.index: 2 * c})
    np.testing.assert_allclose(arrays[tape.loss.index], 2 * tape.loss.array)
    with pytest.raises(ValueError, match=r"has shape \(2,\), expected \(3,\)"):
        replay(tape, {constant.index: c[:2]})


def test_a_padding_row_is_a_constant(rng):
    table = Tensor(rng.standard_normal((4, 2)), requires_grad=True)
    tape = record(lambda: (ops.embedding(table, np.array([0, 1, 1]), padding_idx=1) ** 2).sum())
    run = Replay(tape)
    moved = table.data.copy()
    moved[1] += 1
    assert run.loss_at(tape.value_of(table._node).index, moved) == run.loss
    moved[0] += 1
    assert run.loss_at(tape.value_of(table._node).index, moved) != run.loss


def test_a_recomputed_segment_is_replayed_from_its_first_run():
    x = Tensor([0.5, -1.0, 2.0], requires_grad=True)
    tape = record(lambda: (recompute(lambda x: ops.tanh(x) * x, x) ** 2).sum())
    run = Replay(tape, np.float64)
    (expected,) = grad(((ops.tanh(x) * x) ** 2).sum(), [x])
    index = tape.value_of(x._node).index
    np.testing.assert_allclose(engine_gradients(run)[index], expected.data, rtol=1e-12)
    moved = x.data + 1e-6 * np.array([1, 0, 0])
    slope = (run.loss_at(index, moved) - run.loss) / 1e-6
    np.testing.assert_allclose(slope, expected.data[0], rtol=1e-4)


def test_an_operation_that_draws_new_numbers_is_not_replayed(rng):
    class Noisy(Op):
        def forward(self, xp, x):
            return x + rng.standard_normal(x.shape)

        def backward(self, xp, g):
            return g

    x = Tensor(np.ones(3), requires_grad=True)
    tape = record(lambda: Noisy()(x * 2).sum())
    run = Replay(tape)
    with pytest.raises(CannotReplayError, match="Noisy gave other numbers when it ran again"):
        run.loss_at(0, x.data)
    after = tape.values[-2]
    assert run.loss_at(after.index, after.array) == run.loss  # what comes after it can be


def test_an_operation_of_one_type_alone_is_not_measured_in_another():
    class Single(Op):
        def forward(self, xp, x):
            return (x * 2).astype(np.float32)

        def backward(self, xp, g):
            return 2 * g

    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    tape = record(lambda: Single()(x).sum())
    assert Replay(tape).problems == {}
    run = Replay(tape, np.float64)
    assert run.refusal(0) == "Single computes in float32, whatever it is given"


def test_a_loss_recorded_before_lacks_what_nobody_kept():
    x, c = Tensor(np.ones(3), requires_grad=True), np.arange(3.0)
    tape = record(((x + c) * x).sum())  # Add saves nothing: c is unknown
    run = Replay(tape)
    assert "Add cannot run again: an input was not kept" in run.refusal(0)
    tape = record(ops.exp(x * 2).sum())  # and here everything can be computed from x
    run = Replay(tape, np.float64)
    assert run.refusal(0) == "" and all(a is not None for a in run.arrays)
