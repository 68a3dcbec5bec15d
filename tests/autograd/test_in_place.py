"""The arrays that a backward may change in place, without any effect elsewhere."""

import numpy as np
import pytest
from leaves import leaf

from autograd import Op, Tensor, grad, ops, use_kernels
from autograd.debug import detect_anomaly, profile


class Doubling(Op):
    """y = 2 x, which adds its gradient to the buffer of x's gradient where it can claim one."""

    fresh_gradients = True
    works_in_place = True
    claimed = False

    def forward(self, xp, x, *others):
        return x * 2.0

    def backward(self, xp, g, room=None):
        g_x, *others = [g * 2.0 if i == 0 else g * 0.0 for i in range(len(self.inputs))]
        buffer = None if room is None else room.claim_buffer(0)
        if buffer is not None:
            self.claimed = True
            buffer += g_x
            g_x = buffer
        return g_x, *others


def test_only_a_buffer_of_the_pass_is_claimed():
    x, first, second = leaf(3), Doubling(), Doubling()
    y = first(x) + second(x)
    y.sum().backward()  # the newer one makes the buffer, the older one adds to it
    np.testing.assert_array_equal(x.grad.data, np.full(3, 4.0))
    assert first.claimed and not second.claimed
    op = Doubling()
    (op(x) + x).sum().backward()  # what the sum handed to x is borrowed: it hands it to op as well
    assert not op.claimed
    np.testing.assert_array_equal(x.grad.data, np.full(3, 7.0))  # and .grad is not the pass's
    x.grad, op = Tensor(np.zeros(3)), Doubling()
    g = grad(op(x).sum(), x)[0]
    assert not op.claimed
    np.testing.assert_array_equal(g.data, np.full(3, 2.0))
    np.testing.assert_array_equal(x.grad.data, np.zeros(3))


@pytest.mark.parametrize("factor", [np.ones(3), np.array(3.0)], ids=["a sum", "a product"])
def test_a_scalar_of_numpy_is_not_written_over(factor):
    x = leaf()
    slope = grad(ops.gelu(x), x)[0].data
    (ops.gelu(x) * factor).sum().backward()  # NumPy's sum or product of 0-d arrays is no array
    np.testing.assert_allclose(x.grad.data, 3 * slope, rtol=1e-14)


def test_a_claimed_sum_goes_on_to_grow_and_is_passed_on_once():
    x, ops_between, passed = leaf(3), [Doubling() for _ in range(3)], []
    h = x * 1.0
    h.register_hook(lambda g: passed.append(g.data.copy()))
    y = h * 5.0  # older than the three: contributes after them
    for op in ops_between:
        y = y + op(h)
    y.sum().backward()
    assert [op.claimed for op in ops_between] == [True, True, False]
    np.testing.assert_array_equal(passed, [np.full(3, 11.0)])
    np.testing.assert_array_equal(x.grad.data, np.full(3, 11.0))


def test_an_op_that_is_given_one_tensor_twice():
    x, op = leaf(3), Doubling()
    (op(x, x) + Doubling()(x)).sum().backward()
    assert op.claimed
    np.testing.assert_array_equal(x.grad.data, np.full(3, 4.0))


def test_there_is_nothing_to_claim_for_an_input_without_a_gradient():
    seen = []

    class Looking(Doubling):
        def backward(self, xp, g, room=None):
            seen.append(room.claim_buffer(1))
            return super().backward(xp, g)

    x = leaf(3)
    Looking()(x, Tensor(np.ones(3))).sum().backward()
    assert seen == [None]
    np.testing.assert_array_equal(x.grad.data, np.full(3, 2.0))


def test_there_is_no_room_where_nothing_may_change():
    rooms = []

    class Noting(Doubling):
        def backward(self, xp, g, room=None):
            rooms.append(room)
            return super().backward(xp, g)

    x = leaf(3)
    grad(Noting()(x).sum(), x)
    assert rooms.pop() is not None
    grad(Noting()(x).sum(), x, create_graph=True)
    with detect_anomaly():  # an observer that needs every contribution
        grad(Noting()(x).sum(), x)
    assert rooms == [None, None]


def test_after_an_error_grad_holds_what_had_arrived():
    class Failing(Doubling):
        def backward(self, xp, g, room=None):
            assert room.claim_buffer(0) is not None
            raise ArithmeticError("no")

    x, z = leaf(3), leaf(3)
    y = Failing()(x)  # the oldest
    z_part = z * 3.0
    with pytest.raises(ArithmeticError):
        (y + Doubling()(x) + z_part).sum().backward()
    assert x.grad is None
    Doubling()(x).sum().backward()  # the next pass starts afresh
    np.testing.assert_array_equal(x.grad.data, np.full(3, 2.0))


@pytest.mark.parametrize("kernels", ["reference", "auto"])
def test_a_table_that_is_used_twice_counts_both_uses_once(kernels):
    # the embedding runs last and claims the buffer that the product's gradient went into
    w, ids = leaf(5, 3), np.array([[1, 1, 4], [0, 1, 2]])
    with use_kernels(kernels):
        for _ in range(2):
            logits = ops.embedding(w, ids) @ w.T
            logits.backward(np.ones(logits.shape))
    expected = np.zeros((5, 3))
    np.add.at(expected, ids, np.broadcast_to(w.data.sum(axis=0), (2, 3, 3)))
    expected += w.data[ids].sum(axis=(0, 1))
    np.testing.assert_allclose(w.grad.data, 2 * expected)


def test_a_hook_sees_the_gradient_of_its_pass_alone():
    w, ids, seen = leaf(5, 3), np.array([1, 1, 2]), []

    def double(g):
        seen.append(g.data.copy())
        return g * 2.0

    w.register_hook(double)
    for _ in range(2):
        ops.embedding(w, ids).backward(np.ones((3, 3)))
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(w.grad.data[:, 0], [0, 8, 4, 0, 0])


def test_adding_into_grad_counts_as_a_change_of_it():
    w, ids = leaf(5, 3), np.array([1, 1, 2])
    ops.embedding(w, ids).backward(np.ones((3, 3)))
    scale = Tensor(np.array(1.0), requires_grad=True)
    y = (w.grad * scale).sum()
    ops.embedding(w, ids).backward(np.ones((3, 3)))
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


class Halving(Op):
    """y = x / 2. Overwrites the incoming gradient, and adds the sum that x has already."""

    fresh_gradients = True
    works_in_place = True

    def __init__(self):
        self.reused, self.partial = None, None

    def forward(self, xp, x):
        return x / 2.0

    def backward(self, xp, g, room=None):
        self.reused, self.partial = room.reusable_g is g, room.claim_partial(0)
        g_x = np.multiply(g, 0.5, out=room.reusable_g)
        return g_x if self.partial is None else g_x + self.partial


def test_an_op_may_write_over_a_gradient_that_no_one_else_holds():
    x, first, second = leaf(3), Halving(), Halving()
    second(first(x)).backward(np.ones(3))
    assert not second.reused  # the gradient it starts from is the caller's
    assert first.reused
    np.testing.assert_array_equal(x.grad.data, np.full(3, 0.25))


def test_a_gradient_that_is_asked_for_is_not_overwritten():
    x, op = leaf(3), Halving()
    y = op(x)
    z = Halving()(y)
    of_y, of_x = grad(z, (y, x), np.ones(3), retain_graph=True)
    assert not op.reused
    np.testing.assert_array_equal(of_y.data, np.full(3, 0.5))
    np.testing.assert_array_equal(of_x.data, np.full(3, 0.25))
    seen = []
    y.register_hook(seen.append)  # keeps it
    grad(z, x, np.ones(3))
    np.testing.assert_array_equal(seen[0].data, np.full(3, 0.5))


def test_a_residual_gradient_is_added_by_the_op_that_claims_it():
    x, op = leaf(3), Halving()
    y = x * 1.0
    (y + op(y)).backward(np.full(3, 4.0))
    np.testing.assert_array_equal(op.partial, np.full(3, 4.0))
    np.testing.assert_array_equal(x.grad.data, np.full(3, 6.0))
    np.testing.assert_array_equal(op.partial, np.full(3, 4.0))  # borrowed: still as it was
    x.grad = None
    op = Halving()
    (op(x) + x).backward(np.ones(3))  # of a leaf as well
    assert op.partial is not None
    np.testing.assert_array_equal(x.grad.data, np.full(3, 1.5))


def test_nothing_is_borrowed_while_an_observer_watches():
    x, op = leaf(3), Halving()
    y = x * 1.0
    with profile():
        (y + op(y)).backward(np.ones(3))
    assert op.partial is None and not op.reused
    np.testing.assert_array_equal(x.grad.data, np.full(3, 1.5))


def test_a_residual_stream_has_the_same_gradients_watched_and_unwatched():
    rng = np.random.default_rng(0)
    x, weight, bias = (leaf(*shape, seed=s) for s, shape in enumerate([(7, 5), (5,), (5,)]))
    w1, b1, g = leaf(20, 5, seed=3), leaf(20, seed=4), rng.random((7, 5))
    w2, b2 = leaf(5, 20, seed=5), leaf(5, seed=6)

    def run():
        h = x * 1.0
        for _ in range(2):
            h = h + ops.feed_forward(ops.layer_norm(h, weight, bias), w1, b1, w2, b2)
        return [g.data for g in grad(h, (x, weight, bias, w1, b1, w2, b2), g)]

    with profile():
        watched = run()
    with use_kernels("reference"):
        defined = run()
    for a, b, c in zip(run(), watched, defined, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(a, c, rtol=1e-12, atol=1e-12)
