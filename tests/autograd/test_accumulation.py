"""``.grad`` adds up over calls of backward; a gradient of another shape or type is an error."""

import numpy as np
import pytest
from leaves import leaf

from autograd import Op, Parameter, Tensor, ops


def test_gradients_add_up_over_calls_until_zero_grad():
    x = leaf(3)
    for n in (1, 2, 3):
        (x * 2.0).sum().backward()
        np.testing.assert_array_equal(x.grad.data, np.full(3, 2.0 * n))
    x.zero_grad()
    assert x.grad is None


def test_adding_into_grad_never_changes_the_users_array():
    x, mine = leaf(3), np.ones(3)
    x.grad = Tensor(mine)
    (x * 2.0).sum().backward()
    (x * 2.0).sum().backward()
    np.testing.assert_array_equal(mine, np.ones(3))
    np.testing.assert_array_equal(x.grad.data, np.full(3, 5.0))


def test_an_old_gradient_is_not_added_to_one_of_another_shape():
    p = Parameter(np.ones(1))
    (p * 2.0).sum().backward()
    p.data = np.ones(3)
    with pytest.raises(RuntimeError, match=r"zero_grad\(\) in between"):
        (p * 2.0).sum().backward()
    p.zero_grad()
    (p * 2.0).sum().backward()
    assert p.grad.data.tolist() == [2.0, 2.0, 2.0]


def test_a_gradient_of_another_type_or_shape_is_refused():
    p = Parameter(np.ones(2, np.float32))
    for wrong in (np.ones(2), np.ones(2, int), Tensor(np.ones(2)), np.ones(2, np.float16)):
        with pytest.raises(TypeError, match="gradient of type .* for a tensor of float32"):
            p.grad = wrong
    p.grad = [1, 2]
    assert p.grad.dtype == np.float32 and p.grad.data.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="shape"):
        p.grad = [1, 2, 3]


@pytest.mark.parametrize("before", [False, True])
def test_a_tensor_that_was_frozen_gets_no_gradient(before):
    p, q, ids = Parameter(np.ones((2, 2))), Parameter(np.ones((2, 2))), np.array([0, 1])
    if before:  # there is a buffer to add to, which the kernel of embedding does in place
        (ops.embedding(q, ids) * p).sum().backward()
    kept = q.grad.data.copy() if before else None
    loss = (ops.embedding(q, ids) * p).sum()
    q.requires_grad = False
    loss.backward()
    assert p.grad is not None
    if before:
        np.testing.assert_array_equal(q.grad.data, kept)
    else:
        assert q.grad is None


@pytest.mark.parametrize("kept", [False, True])
def test_a_gradient_is_copied_only_if_another_array_shares_its_memory(kept):
    made, others = [], []

    class Product(Op):
        """A view of memory from some byte on, as arrays that begin with a cache line are."""

        fresh_gradients = True

        def forward(self, xp, x):
            return x * 2

        def backward(self, xp, g):
            memory = np.empty(g.nbytes + 64, np.uint8)
            g_x = memory[16:-48].view(g.dtype).reshape(g.shape)
            g_x[...] = 2 * g
            made.append(g_x.ctypes.data)
            others.extend([memory] if kept else [])
            return g_x

    x = leaf(3, 4)
    Product()(x).sum().backward()
    assert (x.grad.data.ctypes.data == made[0]) is not kept
    for memory in others:
        memory[:] = 0
    np.testing.assert_array_equal(x.grad.data, np.full((3, 4), 2))
