"""detect_changes names every saved array that is written into, and the lines in between."""

import re

import numpy as np
import pytest

from autograd import Parameter, Tensor, no_grad, ops
from autograd.debug import ChangedError, detect_changes
from autograd.functional import recompute

X = np.arange(6.0).reshape(2, 3) + 1


def marked(mark):
    """The number of the line of this file that ends with a comment, ``# mark``."""
    lines = open(__file__).read().splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.endswith(f"# {mark}"))


def places(error):
    """The numbers of this file's lines that an error names, in order."""
    return [int(n) for n in re.findall(r"test_debug_changes\.py:(\d+)", str(error.value))]


def test_the_message_has_the_line_that_kept_it_and_those_around_the_write():
    x = Parameter(X.copy())
    with detect_changes():
        y = ops.exp(x * x)  # kept
        z = ops.sin(y)  # still
        x.data[0] = 9.0
        loss = z.sum()  # noticed
        with pytest.raises(
            ChangedError, match=r"Multiply .* \(input \d, of shape \(2, 3\)\)"
        ) as error:
            loss.backward()
    assert places(error) == [marked("kept"), marked("still"), marked("noticed")]
    assert "z = ops.sin(y)" in str(error.value)


def test_a_write_between_forward_and_backward():
    x = Parameter(X.copy())
    with detect_changes():
        loss = (x * x).sum()  # last
        x.data[0] = 9.0
        with pytest.raises(ChangedError, match="the call of backward at") as error:
            loss.backward()  # call
    assert places(error) == [marked("last"), marked("last"), marked("call")]


def test_a_write_by_a_hook_while_backward_runs():
    x = Parameter(X.copy())
    with detect_changes():
        y = x * x
        z = ops.exp(y)
        z.register_hook(lambda g: x.data.fill(0.0))
        with pytest.raises(ChangedError, match="unchanged after the backward of Exp, made at"):
            z.sum().backward()


def owner(x, a):
    a[0, 0] = 7.0


WRITES = {
    "an element": lambda x, a: x.data.__setitem__((0, 0), 7.0),
    "out=": lambda x, a: np.multiply(x.data, 2.0, out=x.data),
    "in place": lambda x, a: x.data.__imul__(2.0),
    "the owner": owner,
    "a view": lambda x, a: x.data.T[1:].fill(0.0),
    "copyto": lambda x, a: np.copyto(x.data, 0.0),
    "another wrapper": lambda x, a: Tensor(x.data).assign_(np.zeros((2, 3))),
    "the last bit": lambda x, a: x.data.__setitem__((1, 2), np.nextafter(x.data[1, 2], 9)),
    "a ufunc": lambda x, a: np.negative(x.data, out=x.data),
    "assign_": lambda x, a: x.assign_(np.zeros((2, 3))),
    "a step by hand": lambda x, a: x.data.__isub__(0.1 * np.ones((2, 3))),
}


@pytest.mark.parametrize("how", WRITES)
def test_every_way_to_write_is_noticed(how):
    a = X.copy()
    x = Parameter(a)
    with detect_changes():
        loss = ops.exp(x).sum() + (x * x.T[:2, :2].sum()).sum()
        WRITES[how](x, a)
        with pytest.raises(ChangedError):
            loss.backward()


KEPT = {
    "an index": (np.array([0, 1]), lambda x, a: x[a]),
    "an index in a tuple": (np.array([0, 1]), lambda x, a: x[:, a]),
    "ids": (np.array([0, 1]), lambda x, a: ops.embedding(x, a)),
    "targets": (np.array([0, 1]), lambda x, a: ops.cross_entropy(x, a)),
    "a condition": (X > 2, lambda x, a: ops.where(a, x, 0.0)),
    "a constant factor": (X.copy(), lambda x, a: x * a),
    "a constant matrix": (X.T.copy(), lambda x, a: x @ a),
    "what a recomputed segment reads": (X.copy(), lambda x, a: recompute(lambda x, a: x * a, x, a)),
}


@pytest.mark.parametrize("how", KEPT)
def test_every_kind_of_kept_array_is_watched(how):
    a, f = KEPT[how]
    x = Parameter(X.copy())
    with detect_changes():
        loss = f(x, a).sum()
        a[...] = a[::-1].copy()
        with pytest.raises(ChangedError):
            loss.backward()


def test_outputs_and_caches_are_watched():
    x, w, b = Parameter(X.copy()), Parameter(np.ones(3)), Parameter(np.zeros(3))
    with detect_changes():
        y = ops.exp(x)
        loss = y.sum()
        y.data[0] = 0.0
        with pytest.raises(ChangedError, match="output"):
            loss.backward()
        y = ops.layer_norm(x, w, b)
        y._node.cache[0][...] = 0.0
        with pytest.raises(ChangedError, match="cache"):
            y.sum().backward()


def test_a_parameter_of_a_recomputed_segment_is_watched():
    w, x = Parameter(X.copy()), Tensor(X.copy())
    with detect_changes():
        loss = recompute(lambda x: ops.exp(x * w), x).sum()
        w.data[0] = 0.0
        with pytest.raises(ChangedError, match="Recompute .*read by f"):
            loss.backward()


def test_second_derivatives_are_watched():
    x = Parameter(X.copy())
    with detect_changes():
        (x * x * x).sum().backward(create_graph=True)
        g = x.grad
        x.grad = None
        total = (g * g).sum()
        x.data[0] = 0.0
        with pytest.raises(ChangedError):
            total.backward()


def test_an_array_that_is_no_longer_used_may_be_written_into():
    x = Parameter(X.copy())
    with detect_changes():
        for _ in range(3):
            loss = (x * x).sum()
            loss.backward()
            x.data[...] -= 0.1 * x.grad.data
            x.zero_grad()
        unused = (x * x).sum()  # no backward through it
        x.data[...] = 1.0
        with no_grad():
            y = x * x
        x.data[...] = 2.0
        (x * 3.0).sum().backward()
        unwritten = (x * x).sum()
        y.data[...] = 0.0
        unwritten.backward()
    assert unused.requires_grad
    np.testing.assert_array_equal(x.grad.data, np.full((2, 3), 3.0 + 4.0))


def test_all_the_usual_work_passes():
    rng = np.random.default_rng(0)
    table, w = Parameter(rng.standard_normal((5, 4))), Parameter(rng.standard_normal((4, 4)))
    norm, zero = Parameter(np.ones(4)), Parameter(np.zeros(4))

    def loss():
        h = ops.embedding(table, np.array([[0, 1, 1], [2, 3, 4]]))
        h = h + ops.gelu(ops.linear(ops.layer_norm(h, norm, zero), w))
        h = h + recompute(lambda h: ops.softmax(h @ w), h)
        return ops.linear_cross_entropy(h, table, np.array([[1, 1, 2], [3, 4, 0]]))

    loss().backward()
    expected = [p.grad.data.copy() for p in (table, w, norm, zero)]
    with detect_changes():
        for retain in (False, True):
            for p in (table, w, norm, zero):
                p.zero_grad()
            value = loss()
            value.backward(retain_graph=retain)
        value.backward()  # a second pass through what was retained
    for p, g in zip((table, w, norm, zero), expected, strict=True):
        np.testing.assert_allclose(p.grad.data, 2 * g, rtol=1e-12)


def test_it_watches_only_inside():
    x = Parameter(X.copy())
    before = (x * x).sum()
    with detect_changes() as watch:
        inside = (x * x).sum()
    assert len(watch._nodes) == 2  # a product and a sum
    x.data[0] = 5.0
    before.backward()
    inside.backward()
    np.testing.assert_array_equal(x.grad.data[0], [20.0, 20.0, 20.0])


def test_a_dead_graph_is_forgotten():
    x = Parameter(X.copy())
    with detect_changes() as watch:
        y = (x * x).sum()
        assert watch._nodes
        del y
        assert not watch._nodes
