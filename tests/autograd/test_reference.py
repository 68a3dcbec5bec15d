"""The real engine equals the reference engine, bit for bit, on the graph of every sample."""

from copy import copy

import numpy as np
import pytest

from autograd import Tensor, grad, reference, use_kernels
from autograd.observe import Observer
from autograd.reference import Value, backward, call
from autograd.samples import SAMPLES


class Tape(Observer):
    """Every operation called inside, as it was before the call, its arguments and its output."""

    def __init__(self):
        self.calls, self.uncalled = [], []

    def before_forward(self, op, args):
        self.uncalled.append(copy(op))

    def after_forward(self, op, args, output):
        op = self.uncalled.pop()
        if output.requires_grad:
            self.calls.append((op, args, output))


def replay(calls, leaves, loss):
    """Compute a recorded graph again with the reference: the Value of ``loss``, and of ``leaves``.

    What the real engine takes for a constant is a Value here too, and its gradient is ignored.
    """
    values = {id(x): Value(x.data) for x in leaves}

    def value(x):
        if isinstance(x, Tensor):
            return values.setdefault(id(x), Value(x.data))
        return Value(np.asarray(x))

    for op, args, output in calls:
        values[id(output)] = call(op, *map(value, args))
    return values[id(loss)], [values[id(x)] for x in leaves]


def both(f, arrays):
    """The gradients of sum(w f(x)) by the real engine, and by the reference on the same graph."""
    leaves = [Tensor(x, requires_grad=True) for x in arrays]
    with use_kernels("reference"):
        with Tape() as tape:
            y = f(*leaves)
            w = np.random.default_rng(5).standard_normal(y.shape)
            loss = (y * w).sum()
        root, values = replay(tape.calls, leaves, loss)
        backward(root)
        return [g.data for g in grad(loss, leaves)], [value.grad for value in values]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_the_engine_equals_its_reference_on_every_sample(sample):
    real, defined = both(sample.call, sample.inputs(seed=3))
    assert any(g.any() for g in real)
    for ours, definition in zip(real, defined, strict=True):
        assert ours.dtype == definition.dtype == np.float64
        assert np.array_equal(ours, definition)


def reused(x, w):
    """Values used several times, by paths of different lengths, whole and in slices."""
    h = x @ w
    h = h + (h * h)[:, :1] * h
    return h[1:] * h[:-1] + h[0] - h[1:].mean(axis=0)


ARRAYS = [np.random.default_rng(8).standard_normal((3, 3)) for _ in range(2)]


def test_the_engine_equals_its_reference_where_values_are_used_again():
    for real, defined in zip(*both(reused, ARRAYS), strict=True):
        assert np.array_equal(real, defined)


def test_one_copy_in_place_of_the_sum_over_copies_is_noticed(monkeypatch):
    monkeypatch.setattr(reference, "unbroadcast", lambda xp, g, shape: g[:1].reshape(shape))
    differ = [not np.array_equal(*pair) for pair in zip(*both(reused, ARRAYS), strict=True)]
    assert all(differ)


def test_an_order_that_is_not_newest_first_is_noticed(monkeypatch):
    class Oldest(Value):
        def __init__(self, *args):
            super().__init__(*args)
            self.age = -self.age

    monkeypatch.setattr(reference, "Value", Oldest)
    differ = [not np.array_equal(*pair) for pair in zip(*both(reused, ARRAYS), strict=True)]
    assert all(differ)
