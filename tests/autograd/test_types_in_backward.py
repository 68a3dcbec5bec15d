"""A backward computes in its inputs' type: a float64 temporary of float32 numbers costs twice.

The engine converts what a backward returns, so the mistake does not show in the results. Statistics
of float16 numbers are computed in float32 on purpose.
"""

from dataclasses import replace

import numpy as np
import pytest

from autograd import Tensor, backward, grad, ops
from autograd.samples import SAMPLES


def types_in_backward(sample, dtype, monkeypatch):
    """(operation, input, type returned, type of the input) wherever the two types differ."""
    found, fit = set(), backward.fit_to_input

    def watch(xp, node, i, gradient):
        if gradient is not None and gradient.dtype != node.inputs[i].dtype:
            found.add((type(node).__name__, i, str(gradient.dtype), str(node.inputs[i].dtype)))
        return fit(xp, node, i, gradient)

    monkeypatch.setattr(backward, "fit_to_input", watch)
    xs = [Tensor(a, requires_grad=True) for a in sample.inputs(dtype=dtype)]
    y = sample.call(*xs)
    ones = np.ones(y.shape, y.dtype)
    firsts = [g for g in grad(y, xs, ones, create_graph=True) if g.requires_grad]
    if firsts:
        weights = [np.ones(g.shape, g.dtype) for g in firsts]
        grad(firsts, xs, weights, allow_unused=True)
    return found


SMALL = [(s, t) for s in SAMPLES for t in (np.float16, np.float32) if t in s.dtypes]


@pytest.mark.parametrize(
    "sample, dtype", SMALL, ids=lambda v: getattr(v, "name", None) or v.__name__
)
def test_backward_computes_in_the_type_of_its_inputs(sample, dtype, monkeypatch):
    found = types_in_backward(sample, dtype, monkeypatch)
    assert {f for f in found if f[2:] != ("float32", "float16")} == set()


def test_a_wrong_type_would_be_found(monkeypatch):
    class Wide(ops.arithmetic.Square):
        def backward(self, xp, g, x):
            return g * (2 * x.astype("float64"))

    wide = next(s for s in SAMPLES if s.op == "square")
    found = types_in_backward(replace(wide, call=lambda x: Wide()(x)), np.float32, monkeypatch)
    assert found == {("Wide", 0, "float64", "float32")}
