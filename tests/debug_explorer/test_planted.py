"""Planted bugs: the first operation at which gradient and proof differ is the one with the bug."""

import json

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.bug_zoo import ZOO
from autograd.debug.explorer.builtin import BUILTIN
from autograd.debug.explorer.page import pack
from autograd.debug.explorer.planted import (
    CannotHuntError,
    differs,
    first_difference,
    hunt,
    part,
    run_pass,
)
from autograd.debug.explorer.tape import record
from autograd.debug.explorer.wrong_backwards import PLANTABLE
from autograd.engine import Op
from tinygrad_llm.inspect.explorable import EXPLORABLE, gpt


@pytest.fixture(scope="module")
def tape():
    example = gpt()
    return record(example.loss, example.model)


@pytest.fixture(scope="module")
def found(tape):
    return hunt(tape)


EXPECTED = {
    "layer-norm-without-third-term", "layer-norm-mean-constant", "softmax-diagonal",
    "softmax-sums-over-all", "attention-scale-forgotten", "gradients-exchanged",
    "transpose-forgotten", "matmul-transposed", "bias-averaged", "gelu-mixed", "upstream-ignored",
    "embedding-buffered", "target-off-by-one", "mean-without-n", "assigns-instead-of-adding",
}  # fmt: skip


def test_the_gpt_has_these_bugs(found):
    assert {p.plantable.bug.name for p in found[1]} == EXPECTED


@pytest.mark.parametrize("name", sorted(EXPECTED - {"assigns-instead-of-adding"}))
def test_the_first_difference_is_the_planted_operation(found, name):
    records, plantings = found
    (planting,) = [p for p in plantings if p.plantable.bug.name == name]
    assert planting.found_at is planting.call.out
    at = [r for r in records if r.call is planting.call]
    arrives = next(r for r in at if r.input is None)
    assert not differs(arrives, planting.gradients[arrives.key])
    assert any(differs(r, planting.gradients[r.key]) for r in at)


def test_the_rule_of_the_engine_shows_where_a_gradient_arrives(found):
    records, plantings = found
    (planting,) = [p for p in plantings if p.call is None]
    value = planting.found_at
    assert len(value.contributions) > 1
    for i, contribution in enumerate(value.contributions):  # each was right, the sum is not
        record_ = next(r for r in records if r.call is contribution.call
                       and r.value is value and r.input == contribution.input)  # fmt: skip
        assert not differs(record_, planting.gradients[record_.key]), i
    arrives = next(r for r in records if r.value is value and r.input is None)
    wrong = planting.gradients[arrives.key]
    np.testing.assert_array_equal(wrong, value.contributions[-1].array)  # the last one stayed


@pytest.mark.parametrize("name", ["gpt", "dpo", "residual", "softmax", "layer-norm"])
def test_a_pass_without_a_bug_has_no_difference(name):
    if name in BUILTIN:
        built = BUILTIN[name]()
        tape = record(built.loss, None, built.names)
    else:
        built = EXPLORABLE[name]()
        tape = record(built.loss, built.model)
    records, plantings = hunt(tape)
    right = run_pass(tape)
    assert records and plantings
    assert first_difference(records, right) is None
    for r in records:
        np.testing.assert_array_equal(right[r.key], r.right)
    assert all(p.found_at is not None for p in plantings)


def test_the_graph_is_as_it_was(tape, found):
    assert not any("backward" in vars(call.op) for call in tape.calls)
    for value in tape.values:
        if value.gradient is not None and value.kind == "leaf":
            again = run_pass(tape)[None, None, value.index]
            np.testing.assert_array_equal(again, value.gradient)
            assert value.node.tensor().grad is None
            break


def test_the_numbers_of_the_page_are_those_of_the_pass(tape, found):
    records, plantings = found
    data = part(tape)
    first = data["first"]
    for i, r in enumerate(records):
        here = slice(first[i], first[i + 1])
        np.testing.assert_array_equal(data["cells"][here], r.cells)
        for bug, planting in zip(data["bugs"], plantings, strict=True):
            g = planting.gradients[r.key].reshape(-1)[r.cells]
            np.testing.assert_array_equal(bug["gradients"][here], g.astype(np.float32))
    for bug in data["bugs"]:
        assert bug["story"] == ZOO[bug["name"]].story
        assert "def " in bug["wrong"] and bug["at"] and all(bug["hints"])
    keys = [row["key"] for row in data["rows"]]
    order = [x.key if kind == "leaf" else x.out.key for kind, x in tape.events
             if kind in ("backward", "leaf")]  # fmt: skip
    assert keys == order
    text, arrays = pack({"bugs": data})
    assert len(text) + len(arrays) * 4 / 3 < 150_000
    assert "nan" not in json.loads(text)["bugs"]["bugs"][0]["story"]


def test_a_graph_that_is_wrong_already_is_refused():
    x = Tensor(np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), requires_grad=True)

    class Wrong(Op):
        def forward(self, xp, x):
            return xp.exp(x)

        def backward(self, xp, g):
            return g * 0.5

    tape = record(lambda: ops.mean(ops.softmax(Wrong()(x)) * x))
    with pytest.raises(CannotHuntError, match="already"):
        hunt(tape)
    assert "already" in part(tape)["refused"]


def test_hooks_and_large_graphs_are_refused():
    x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    y = ops.softmax(x * x)
    y.register_hook(lambda g: None)
    assert "hook" in part(record(ops.sum(y * y)))["refused"]
    big = Tensor(np.ones(200_000, np.float32), requires_grad=True)
    assert "at most" in part(record(ops.sum(big * big)))["refused"]


def test_every_plantable_bug_has_hints_and_is_of_the_zoo():
    for plantable in PLANTABLE:
        assert ZOO[plantable.bug.name] is plantable.bug
        assert len(plantable.hints) == 2 and all(h.endswith(("?", ".")) for h in plantable.hints)
