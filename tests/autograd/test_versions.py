"""A tensor changed between forward and backward is an error, for every use of a tensor in an op."""

import numpy as np
import pytest

from autograd import Parameter, Tensor, grad, ops
from autograd.observe import Observer
from autograd.samples import SAMPLES

X = np.arange(6.0).reshape(2, 3) + 1
MASK = np.array([[True, False, True], [False, True, True]])
IDS = np.array([0, 1])


def attention(x, mask):
    return ops.scaled_dot_product_attention(x, x, x, attn_mask=mask)


CASES = {
    "index": (IDS, lambda x, i: x[i]),
    "index in a tuple": (IDS, lambda x, i: x[i, 1:]),
    "mask as an index": (MASK, lambda x, m: x[m]),
    "take": (IDS, lambda x, i: ops.take(x, i, axis=1)),
    "take of the flat array": (IDS, lambda x, i: ops.take(x, i)),
    "take_along_axis": (np.array([[0, 1, 1]]), lambda x, i: ops.take_along_axis(x, i, 0)),
    "scatter_add": (IDS, lambda x, i: ops.scatter_add((4, 3), i, x)),
    "scatter_add, tuple": (IDS, lambda x, i: ops.scatter_add((4, 4, 3), (i, i), x)),
    "where": (MASK, lambda x, m: ops.where(m, x, x * x)),
    "embedding": (IDS, lambda x, i: ops.embedding(x, i)),
    "cross_entropy": (IDS, lambda x, t: ops.cross_entropy(x, t)),
    "cross_entropy, none": (IDS, lambda x, t: ops.cross_entropy(x, t, reduction="none")),
    "linear_cross_entropy": (IDS, lambda x, t: ops.linear_cross_entropy(x, x, t)),
    "attention's mask": (MASK[:, :2], attention),
    "attention's bias": (np.ones((2, 2)), attention),
    "a factor": (np.ones(3), lambda x, c: x * c),
    "a bound": (np.ones(3) * 2, lambda x, c: ops.clip(x, c, None)),
    "a view of ids": (np.array([5, 0, 1]), lambda x, i: ops.embedding(x, i[1:])),
    "ids in another shape": (IDS, lambda x, i: ops.embedding(x, i.reshape(2, 1))),
}
CHANGES = {
    "assign_": lambda t: t.assign_(t.data[::-1].copy()),
    "data": lambda t: setattr(t, "data", t.data[::-1].copy()),
    "a view": lambda t: t.detach().assign_(t.data[::-1].copy()),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", CASES)
def test_a_change_before_backward_is_an_error(name, change):
    values, f = CASES[name]
    x, taken = Parameter(X), Tensor(values.copy())
    y = f(x, taken)
    CHANGES[change](taken)
    with pytest.raises(RuntimeError, match=r"saved a tensor that was changed in place"):
        y.sum().backward()
    assert x.grad is None


@pytest.mark.parametrize("name", CASES)
def test_a_change_before_the_second_backward_is_an_error(name):
    values, f = CASES[name]
    x, taken = Parameter(X), Tensor(values.copy())
    y = f(x * x, taken)
    (g,) = grad((y * y).sum(), x, create_graph=True)
    CHANGES["assign_"](taken)
    with pytest.raises(RuntimeError, match=r"saved a tensor that was changed in place"):
        (g * g).sum().backward()


@pytest.mark.parametrize("name", CASES)
def test_a_change_after_backward_is_allowed(name):
    values, f = CASES[name]
    x, taken = Parameter(X), Tensor(values.copy())
    f(x, taken).sum().backward()
    taken.assign_(taken.data[::-1].copy())
    expected = x.grad.data.copy()
    x.zero_grad()
    f(x, values).sum().backward()
    np.testing.assert_array_equal(x.grad.data, expected)


def test_every_tensor_of_a_nested_index_is_noted():
    op = ops.index.GetItem(None).reading((Tensor(IDS), [Tensor(IDS), 3], slice(None)))
    assert len(op.read) == 2


class Views(Observer):
    """Collects the operations whose output shares memory with an input but not its version."""

    def __init__(self):
        self.seen, self.wrong = 0, set()

    def after_forward(self, op, args, output):
        for x in args:
            if isinstance(x, Tensor) and x.size and np.shares_memory(x.data, output.data):
                self.seen += 1
                if output._version is not x._version:
                    self.wrong.add(type(op).__name__)


def test_tensors_that_share_memory_share_the_version():
    x = Parameter(X)
    with Views() as views:
        for sample in SAMPLES:
            xs = [Tensor(a, requires_grad=True) for a in sample.inputs()]
            y = sample.call(*xs)
            grad(y, xs, np.ones(y.shape), create_graph=True, allow_unused=True)
        for same in (
            lambda: ops.clip(x), lambda: ops.take(x, 0), lambda: ops.split(x, 3, axis=1),
            lambda: ops.sum(x, axis=()), lambda: ops.pad(x, 0), lambda: ops.tile(x, 1),
            lambda: ops.cumsum(x, 0), lambda: ops.concatenate([x]), lambda: +x,
        ):  # fmt: skip
            same()
    assert views.seen > 100 and views.wrong == set()


def test_changing_a_saved_value_is_noticed():
    p = Parameter(np.ones(3))
    y = (p * p).sum()
    p.assign_(np.zeros(3))
    with pytest.raises(RuntimeError, match=r"Multiply .*changed in place.*version 1"):
        y.backward()
    p = Parameter(np.ones(3))
    y = (p * p).sum()
    p.data -= 0.1
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_changing_a_value_behind_a_view_is_noticed():
    p = Parameter(np.ones((2, 3)))
    y = (p.T * p.T).sum()
    p.assign_(np.zeros((2, 3)))
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
    p = Parameter(np.ones((2, 3)))
    y = (p[0] * p.detach().reshape(6)[:3]).sum()
    p.detach().assign_(np.zeros((2, 3)))
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_changing_what_was_not_saved_is_allowed():
    p = Parameter(np.ones(3))
    y = (p + 1.0).sum()
    p.assign_(np.zeros(3))
    y.backward()
    np.testing.assert_array_equal(p.grad.data, np.ones(3))


def test_data_of_another_shape_between_forward_and_backward():
    p = Parameter(np.ones(3))
    loss = (p * 2.0).sum()
    p.data = np.ones(5)
    with pytest.raises(RuntimeError, match=r"\(3,\) was given data of shape \(5,\)"):
        loss.backward()
    assert p.grad is None


def test_a_computed_tensor_keeps_its_data():
    y = Parameter(np.ones(2)) * 2
    with pytest.raises(RuntimeError, match="computed tensor cannot be given other data"):
        y.data = np.zeros(2)
