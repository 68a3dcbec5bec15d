"""The built-in graphs show what their texts say."""

import re

import numpy as np
import pytest

from autograd import Tensor
from autograd.backward import grad
from autograd.debug.explorer.builtin import BUILTIN
from autograd.debug.explorer.tape import record
from autograd.observe import Observer


def gradients(name):
    """The gradients of the leaves, by name."""
    b = BUILTIN[name]()
    return dict(zip(b.names, (g.numpy() for g in grad(b.loss(), [*b.names.values()])), strict=True))


@pytest.mark.parametrize("name", BUILTIN)
def test_each_graph_is_described_and_can_be_computed_again(name):
    b = BUILTIN[name]()
    assert re.fullmatch(r"[a-z-]+", name) and not b.title.endswith(".")
    assert b.about.endswith(".") and 2 <= b.about.count(". ") + 1 <= 4
    first, second = b.loss(), b.loss()
    assert first.shape == () and np.isfinite(first.item()) and first.item() == second.item()
    tape = record(b.loss, names=b.names)
    assert {v.key for v in tape.leaves} == set(b.names)
    assert all(v.gradient is not None for v in tape.leaves)
    files = {call.place.file for call in tape.calls if call.place is not None}
    assert files == {"autograd/debug/explorer/builtin.py"}


def test_what_is_used_twice_gets_the_sum():
    assert gradients("twice") == {"a": 24}


def test_a_copied_number_gets_the_sum_over_its_copies():
    g = gradients("broadcasting")
    np.testing.assert_allclose(g["row"], np.full(4, 2 - 1 + 0.5))
    np.testing.assert_allclose(g["column"][:, 0], [10 + 0.6, 3 + 0.6, -1.5 + 0.6], rtol=1e-6)


def test_both_paths_through_softmax_give_the_same_contribution():
    b = BUILTIN["softmax"]()
    tape = record(b.loss, names=b.names)
    (logits,) = tape.leaves
    fused, separate = (c.array for c in logits.contributions)
    np.testing.assert_allclose(fused, separate, atol=1e-7)
    assert {type(c.call.op).__name__ for c in logits.contributions} == {"Reshape", "Softmax"}


def test_adding_a_constant_to_a_row_changes_nothing_after_layer_norm():
    g = gradients("layer-norm")["x"]
    np.testing.assert_allclose(g.sum(axis=1), 0, atol=1e-6)
    assert np.abs(g).max() > 0.1


def test_the_query_of_the_first_token_gets_no_gradient():
    b = BUILTIN["attention"]()
    tape = record(b.loss, names=b.names)
    qkv = next(v for v in tape.values if v.key == "qkv")
    queries = np.abs(qkv.gradient[0, :, :4])
    assert queries[0].max() < 1e-7 and queries[1:].max(axis=1).min() > 1e-3


def test_the_gradient_of_a_gradient():
    g = gradients("tape-of-a-tape")
    x, w = np.array([2, 1, -0.5]), np.array([0.5, -1, 3])
    np.testing.assert_allclose(g["x"], 36 * w**2 * x**3)
    np.testing.assert_allclose(g["w"], 18 * w * x**4)


def test_a_pass_inside_the_function_is_no_part_of_the_recorded_pass():
    """Its operations are, but their inner gradients are not contributions to ours."""
    b = BUILTIN["tape-of-a-tape"]()
    tape = record(b.loss, names=b.names)
    phases = [phase for phase, _ in tape.events]
    assert phases.index("start") == phases.count("forward")
    assert all(v.gradient is None or sum(c.array for c in v.contributions).shape == v.shape
               for v in tape.values)  # fmt: skip
    x = next(v for v in tape.leaves if v.key == "x")
    np.testing.assert_array_equal(sum(c.array for c in x.contributions), x.gradient)


def test_numbers_have_few_digits():
    for make in BUILTIN.values():
        for leaf in make().names.values():
            assert isinstance(leaf, Tensor)
            np.testing.assert_allclose(np.round(leaf.numpy(), 2), leaf.numpy(), atol=1e-6)


def test_an_observer_sees_the_same_operations_twice():
    seen: list[list[str]] = []

    class Names(Observer):
        def after_forward(self, op, args, output):
            seen[-1].append(type(op).__name__)

    b = BUILTIN["residual"]()
    for _ in range(2):
        seen.append([])
        with Names():
            b.loss()
    assert seen[0] == seen[1] and len(seen[0]) == 8
