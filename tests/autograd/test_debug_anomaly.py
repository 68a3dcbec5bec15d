"""Anomaly mode finds the op where the first NaN or infinity began."""

import re
import sys

import numpy as np
import pytest

from autograd import Op, Tensor, grad, no_grad, ops
from autograd.call_site import describe_site
from autograd.debug import AnomalyError, detect_anomaly


def leaf(*values):
    return Tensor(np.array(values), requires_grad=True)


def where(offset):
    """The file and line in a message, for the line ``offset`` below the caller's def."""
    code = sys._getframe(1).f_code
    return rf"test_debug_anomaly\.py:{code.co_firstlineno + offset}"


def test_forward_names_the_first_op_and_not_a_later_one():
    x = leaf(1.0, -2.0)
    here = where(5)
    with pytest.raises(AnomalyError, match=rf"^Log \(called at .*{here}: ") as caught:
        with detect_anomaly():
            y = ops.exp(ops.log(x) * 2.0)
            y.sum().backward()
    message = str(caught.value)
    assert "1 NaN" in message and "0: shape (2,) float64 in [-2, 1]" in message


def test_overflow_is_found_in_forward():
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"Exp .* 1 infinite"):
        ops.exp(leaf(1.0, 1000.0))


def test_backward_names_the_op_and_its_forward_line():
    x = leaf(0.0, 4.0)
    with detect_anomaly():
        y = ops.sqrt(x)
        here = where(3)
        with pytest.raises(AnomalyError, match=rf"backward of Sqrt \(made at .*{here}\)") as caught:
            (y * 3.0).sum().backward()
    message = str(caught.value)
    assert "input 0 has shape (2,) float64 in [0.75, 0.75], 1 infinite" in message
    assert "gradient of its output had shape (2,) float64 in [3, 3]" in message
    assert "Its inputs: 0: shape (2,) float64 in [0, 4]" in message
    assert x.grad is None


def test_a_graph_made_outside_says_that_its_inputs_were_not_watched():
    y = ops.sqrt(leaf(0.0)).sum()
    with detect_anomaly(), np.errstate(divide="ignore"):
        with pytest.raises(AnomalyError, match="Sqrt.*run forward inside detect_anomaly"):
            y.backward()


def test_an_input_that_came_in_non_finite_is_blamed_itself():
    x = leaf(1.0, 2.0)
    with (
        detect_anomaly(),
        pytest.raises(AnomalyError, match=r"input 1 of Add .*already NaN or infinite"),
    ):
        x + np.array([1.0, np.nan])
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"input 1 of Multiply .*already"):
        x * Tensor(np.array(np.inf))
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"input 1 of Multiply .*already"):
        x * float("nan")


def test_a_literal_infinity_is_intended_but_a_nan_made_from_it_is_not():
    scores = leaf(1.0, 2.0, 3.0)
    with detect_anomaly():
        masked = ops.where(np.array([True, False, True]), scores, float("-inf"))
        weights = ops.exp(masked - 3.0)
        weights.sum().backward()
        np.testing.assert_allclose(scores.grad.data, [np.exp(-2.0), 0.0, 1.0])
        with pytest.raises(AnomalyError, match=r"^Subtract .* made the first non-finite .* 1 NaN"):
            masked - masked
        with pytest.raises(AnomalyError, match=r"^Exp .* made the first"):
            ops.exp(scores * 1000.0)


def test_second_derivatives_of_masked_attention_are_not_an_anomaly():
    qkv = Tensor(np.random.default_rng(0).standard_normal((1, 3, 6)), requires_grad=True)
    with detect_anomaly():
        (g,) = grad(ops.causal_attention(qkv, 1).sum(), qkv, create_graph=True)
        (g * g).sum().backward()
    assert np.isfinite(qkv.grad.data).all()


def test_nan_only_lets_a_mask_of_infinities_pass():
    mask = np.array([0.0, -np.inf])
    x = leaf(1.0, 2.0)
    with detect_anomaly(nan_only=True):
        ops.softmax(x + mask).sum().backward()
        with pytest.raises(AnomalyError, match=r"Subtract .* 1 NaN"):
            y = x + mask
            y - y
    with detect_anomaly(), pytest.raises(AnomalyError):
        x + mask


def test_also_without_recording():
    here = where(3)
    with detect_anomaly(), no_grad(), pytest.raises(AnomalyError, match=rf"Log .*{here}"):
        ops.log(leaf(-1.0))


def test_the_starting_gradient_is_checked():
    y = leaf(1.0) * 2.0
    with detect_anomaly(), pytest.raises(AnomalyError, match="passed to backward.. is not finite"):
        y.backward(np.array([np.nan]))


def test_a_sum_of_contributions_that_overflows_is_found():
    x = leaf(0.5)
    big = 1e308
    with detect_anomaly(), pytest.raises(AnomalyError, match="gradient of a leaf.*sum overflowed"):
        (x * big + x * big * 0.9).sum().backward()


def test_a_second_use_that_is_added_in_place_is_still_seen():
    class Twice(Op):
        fresh_gradients = True
        works_in_place = True

        def __init__(self, bad):
            self.bad = bad

        def forward(self, xp, x):
            return x * 2

        def backward(self, xp, g, room=None):
            assert room is None, "an observer must see each contribution by itself"
            return g * (np.nan if self.bad else 2.0)

    x = leaf(1.0)
    with detect_anomaly(), pytest.raises(AnomalyError, match="backward of Twice"):
        (Twice(True)(x) + Twice(False)(x)).sum().backward()


def test_a_finite_computation_passes_and_nothing_stays_switched_on():
    x = leaf(1.0, 2.0)
    with detect_anomaly():
        ops.log(x).sum().backward()
        np.testing.assert_allclose(x.grad.data, [1.0, 0.5])
    with np.errstate(invalid="ignore"):
        assert np.isnan(ops.log(leaf(-1.0)).data[0])
    with pytest.raises(
        RuntimeWarning
    ):  # NumPy's own warnings are back (the tests make them errors)
        ops.log(leaf(-1.0))


def test_integers_and_empty_arrays_are_not_an_anomaly():
    with detect_anomaly():
        table = Tensor(np.ones((3, 2)), requires_grad=True)
        ops.embedding(table, np.zeros((0,), dtype=np.int64)).sum().backward()
    assert table.grad.shape == (3, 2)


def test_a_second_derivative_names_the_users_line_and_not_ours():
    qkv = Tensor(np.random.default_rng(0).standard_normal((1, 3, 6)), requires_grad=True)
    here = where(3)
    (g,) = grad(ops.causal_attention(qkv, 1).sum(), qkv, create_graph=True)
    nodes, sites = [g._node], set()
    while nodes:
        node = nodes.pop()
        if hasattr(node, "site"):
            sites.add(describe_site(node))
            nodes.extend(n for n in node.inputs if n is not None)
    assert len(sites) == 1 and re.search(here, sites.pop())
