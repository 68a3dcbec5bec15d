"""The graph and the backward pass: order, accumulation, release, versions, errors."""

import gc
import threading
import weakref

import numpy as np
import pytest

from autograd import Op, Parameter, Tensor, enable_grad, grad, no_grad, ops, use_kernels
from autograd.accumulate import Scatter
from autograd.call_site import describe_site


def leaf(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def test_a_value_used_twice_gets_both_gradients():
    x = Tensor(np.array(3.0), requires_grad=True)
    y = x * x  # the same tensor on both sides
    (y + x).backward()
    assert x.grad.item() == 7.0


@pytest.mark.parametrize("create_graph", [False, True])
def test_the_same_tensor_on_both_sides_of_a_sum(create_graph):
    # Add returns one and the same array for both of its inputs
    x = leaf(3)
    (g,) = grad((x + x).sum(), x, create_graph=create_graph)
    np.testing.assert_array_equal(g.data, np.full(3, 2.0))
    y = leaf(3)
    z = y * 1.0
    (z + z + z).sum().backward(create_graph=create_graph)
    np.testing.assert_array_equal(y.grad.data, np.full(3, 3.0))


class Scale(Op):
    save_inputs = (0,)

    def __init__(self, factor):
        self.factor = factor

    def forward(self, xp, x):
        return self.factor * x * x

    def backward(self, xp, g, x):
        return g * 2 * self.factor * x


def test_an_op_called_twice_is_two_nodes():
    scale, x, z = Scale(3.0), leaf(3), leaf(3, seed=1)
    a, b = scale(x), scale(z)
    with no_grad():
        scale(leaf(5))
    assert a._node is not b._node
    (a + b * 2.0).sum().backward()
    np.testing.assert_allclose(x.grad.data, 6 * x.data)
    np.testing.assert_allclose(z.grad.data, 12 * z.data)
    (g,) = grad(scale(scale(x)).sum(), x)
    np.testing.assert_allclose(g.data, 4 * 27 * x.data**3)


def test_a_node_waits_for_all_its_uses():
    # b is used by the newest op and by an older one: depth first would run b's backward twice
    a = Tensor(np.array(2.0), requires_grad=True)
    b = a * a
    c = b * 3.0
    d = c * b
    (d + c).backward()
    assert a.grad.item() == pytest.approx(12 * 2.0**3 + 6 * 2.0)


def test_a_long_chain_needs_no_recursion():
    x = Tensor(np.array(1.0), requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.backward()
    assert x.grad.item() == 1.0


def test_gradients_add_up_over_calls_until_zero_grad():
    x = leaf(3)
    for n in (1, 2, 3):
        (x * 2.0).sum().backward()
        np.testing.assert_array_equal(x.grad.data, np.full(3, 2.0 * n))
    x.zero_grad()
    assert x.grad is None


def test_adding_into_grad_never_touches_an_array_the_user_gave():
    x, mine = leaf(3), np.ones(3)
    x.grad = Tensor(mine)
    (x * 2.0).sum().backward()
    (x * 2.0).sum().backward()
    np.testing.assert_array_equal(mine, np.ones(3))
    np.testing.assert_array_equal(x.grad.data, np.full(3, 5.0))


def test_backward_weights_the_elements():
    x = leaf(2, 3)
    w = np.arange(6.0).reshape(2, 3)
    (x * 2.0).backward(w)
    np.testing.assert_array_equal(x.grad.data, 2 * w)
    y = leaf(2, 3)
    (y * 2.0).backward(Tensor(w))
    np.testing.assert_array_equal(y.grad.data, 2 * w)


def test_backward_of_more_than_one_number_asks_for_weights():
    with pytest.raises(RuntimeError, match=r"shape \(2, 3\).*pass a gradient"):
        (leaf(2, 3) * 2.0).backward()
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\), the output \(2, 3\)"):
        (leaf(2, 3) * 2.0).backward(np.ones(3))


def test_nothing_to_differentiate():
    with pytest.raises(RuntimeError, match="not computed from any tensor that requires"):
        Tensor(np.ones(())).backward()
    x = leaf(3)
    with no_grad():
        y = x.sum()
    assert not y.requires_grad
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()


def test_second_backward_says_what_to_do():
    x = leaf(3)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"Sum \(made at .*test_engine.py:\d+\).*retain_graph"):
        y.backward()
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()


def test_a_node_names_the_users_line():
    x = leaf(3)
    y = ops.exp(x)  # this line
    code = test_a_node_names_the_users_line.__code__
    assert describe_site(y._node) == f"{code.co_filename}:{code.co_firstlineno + 2}"


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


def test_grad_gives_a_tuple_and_writes_nothing():
    x, y = leaf(3), leaf(3, seed=1)
    gx, gy = grad((x * y).sum(), (x, y))
    np.testing.assert_array_equal(gx.data, y.data)
    np.testing.assert_array_equal(gy.data, x.data)
    assert x.grad is None and y.grad is None and not gx.requires_grad
    (only,) = grad((x * 2.0).sum(), x)
    np.testing.assert_array_equal(only.data, np.full(3, 2.0))


def test_grad_of_an_intermediate_and_a_leaf_together():
    x = leaf(3)
    y = x * x
    z = (y * y).sum()
    gy, gx, again = grad(z, (y, x, y))
    np.testing.assert_allclose(gy.data, 2 * x.data**2)
    np.testing.assert_allclose(gx.data, 4 * x.data**3)
    np.testing.assert_array_equal(again.data, gy.data)
    assert not np.shares_memory(again.data, gy.data)


def test_grad_with_several_outputs_and_weights():
    x = leaf(3)
    (g,) = grad([x * x, 3.0 * x], x, grad_outputs=[np.ones(3), np.full(3, 2.0)])
    np.testing.assert_allclose(g.data, 2 * x.data + 6)
    with pytest.raises(ValueError, match="1 grad_outputs for 2 outputs"):
        grad([x * x, 3.0 * x], x, grad_outputs=[np.ones(3)])


def test_grad_of_an_unused_input():
    x, other = leaf(3), leaf(2)
    with pytest.raises(ValueError, match=r"do not depend on input 1, of shape \(2,\)"):
        grad((x * x).sum(), (x, other))
    _, none = grad((x * x).sum(), (x, other), allow_unused=True)
    assert none is None
    with pytest.raises(ValueError, match="input 0.*does not require a gradient"):
        grad((x * x).sum(), Tensor(np.ones(3)))


def test_higher_derivatives():
    x = Tensor(np.array(0.7), requires_grad=True)
    y, expected = ops.sin(x), [np.cos(0.7), -np.sin(0.7), -np.cos(0.7), np.sin(0.7)]
    for value in expected:
        (y,) = grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(value)


def test_backward_with_create_graph_lands_in_grad():
    x = leaf(3)
    (x**3).sum().backward(create_graph=True)
    penalty = (x.grad * x.grad).sum()
    x.zero_grad()
    penalty.backward()
    np.testing.assert_allclose(x.grad.data, 36 * x.data**3)


def test_a_cache_survives_a_differentiable_backward():
    x, w, b = leaf(2, 5), Parameter(np.ones(5)), Parameter(np.zeros(5))
    y = ops.layer_norm(x, w, b)
    cache = y._node.cache
    weights = np.arange(10.0).reshape(2, 5)
    first = grad(y, x, weights, create_graph=True)
    assert y._node.cache is cache
    np.testing.assert_allclose(grad(y, x, weights)[0].data, first[0].data, atol=1e-12)


def test_n_slices_add_into_one_buffer():
    x = leaf(5)
    total = sum((x[i] * float(i) for i in range(5)), start=Tensor(np.array(0.0)))
    total.backward()
    np.testing.assert_array_equal(x.grad.data, np.arange(5.0))
    y = leaf(4)
    (y[1:3] + y[[0, 0]] + y[2:] * 3.0).sum().backward()
    np.testing.assert_array_equal(y.grad.data, [2, 1, 4, 3])


def test_slices_mixed_with_dense_gradients_in_every_order():
    def parts(x):
        return [x[1:].sum(), (x * 2.0).sum(), x[[0, 0, 3]].sum(), x.sum()]

    expected = np.array([2.0, 0, 0, 1]) + [0, 1, 1, 1] + 2.0 + 1.0
    for order in ([0, 1, 2, 3], [1, 0, 3, 2], [3, 2, 1, 0], [2, 0, 1, 3]):
        x = leaf(4)
        p = parts(x)
        (p[order[0]] + p[order[1]] + p[order[2]] + p[order[3]]).backward()
        np.testing.assert_array_equal(x.grad.data, expected)


def test_second_derivative_through_slices():
    x = leaf(4)
    (g,) = grad((x[1:3] ** 3).sum() + (x[[0, 0]] ** 2).sum(), x, create_graph=True)
    (h,) = grad(g.sum(), x)
    np.testing.assert_allclose(h.data, [4, 6 * x.data[1], 6 * x.data[2], 0])


def test_python_scalars_stay_weak():
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    y = 0.5 * x + 1 - x / 3.0
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == np.float32


def test_gradient_dtype_is_the_inputs():
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    y = Tensor(np.ones(3), requires_grad=True)
    z = x * y
    assert z.dtype == np.float64
    z.sum().backward()
    assert x.grad.dtype == np.float32 and y.grad.dtype == np.float64


class WrongShape(Op):
    save_inputs = (0,)

    def forward(self, xp, x):
        return x * 2.0

    def backward(self, xp, g, x):
        return g.sum(axis=0)


class NoGradient(Op):
    def forward(self, xp, x):
        return xp.floor(x)


class Forgetful(Op):
    def forward(self, xp, a, b):
        return a + b

    def backward(self, xp, g):
        return g, None


class TooFew(Forgetful):
    def backward(self, xp, g):
        return g


def test_a_wrong_shape_names_the_op():
    y = WrongShape()(leaf(2, 3))
    with pytest.raises(RuntimeError, match=r"WrongShape \(made at .*\(3,\).*\(2, 3\)"):
        y.sum().backward()


def test_missing_gradients_name_the_op():
    with pytest.raises(TypeError, match="NoGradient defines no backward") as caught:
        NoGradient()(leaf(3)).sum().backward()
    assert any("in the backward of NoGradient" in note for note in caught.value.__notes__)
    with pytest.raises(RuntimeError, match="Forgetful.*no gradient for its input 1"):
        Forgetful()(leaf(3), leaf(3)).sum().backward()
    with pytest.raises(RuntimeError, match="TooFew.*1 gradients for 2 inputs"):
        TooFew()(leaf(3), leaf(3)).sum().backward()


def test_what_is_not_saved_dies_during_forward():
    x = leaf(10)
    intermediate = x + 1.0
    alive = weakref.ref(intermediate)
    y = intermediate.sum()
    gc.disable()
    try:
        del intermediate
        assert alive() is None
        y.backward()
        node = weakref.ref(y._node)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_a_leaf_that_nobody_holds_is_skipped():
    x = leaf(3)
    y = (x * 2.0).sum()
    del x
    y.backward()


def test_a_node_is_released_when_it_has_run():
    x = leaf(3)
    y = ops.exp(x)
    z = y.sum()
    z.backward()
    assert y._node.saved is None and z._node.inputs is None


def test_recording_is_off_only_inside_no_grad():
    x = leaf(3)
    with no_grad():
        assert not (x * 2.0).requires_grad
        with enable_grad():
            assert (x * 2.0).requires_grad
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad


def test_two_threads_build_and_differentiate_at_once():
    results = {}

    def work(seed):
        x = leaf(50, seed=seed)
        for _ in range(50):
            y = ops.tanh(x)
            for _ in range(10):
                y = ops.sin(y) * y
            (g,) = grad(y.sum(), x)
        results[seed] = g.data

    threads = [threading.Thread(target=work, args=(s,)) for s in (1, 2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for seed in (1, 2):
        concurrent = results[seed].copy()
        work(seed)
        np.testing.assert_array_equal(results[seed], concurrent)


def test_a_scatter_knows_its_dense_form():
    s = Scatter((4,), np.array([1, 1, 3]), np.ones(3))
    from autograd.device import numpy_namespace

    np.testing.assert_array_equal(s.dense(numpy_namespace), [0, 2, 0, 1])


@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_what_a_loss_gives_away_is_computed_again(kernels):
    h, weight = leaf(6, 5), leaf(7, 5, seed=1)
    with use_kernels(kernels):
        loss = ops.linear_cross_entropy(h, weight, np.arange(6))
        first = grad(loss, (h, weight), retain_graph=True)
        kept = [g.data.copy() for g in first]
        second = grad(loss, (h, weight), np.asarray(2.0), retain_graph=True)
        loss.backward()
    for one, before, two, x in zip(first, kept, second, (h, weight), strict=True):
        assert not np.shares_memory(one.data, two.data)
        np.testing.assert_array_equal(one.data, before)
        np.testing.assert_allclose(two.data, 2 * before, rtol=1e-12)
        np.testing.assert_allclose(x.grad.data, before, rtol=1e-12)


# --- what would go wrong without a word ----------------------------------------------------------


@pytest.mark.parametrize("wrong", [3.0, np.ones(2), [np.ones(2)], ["x"], None])
def test_grad_takes_tensors(wrong):
    x = Parameter(np.ones(2))
    with pytest.raises(TypeError, match="grad: outputs must be a Tensor"):
        grad(wrong, x)
    with pytest.raises(TypeError, match="grad: inputs must be a Tensor"):
        grad((x * 2).sum(), wrong)


def test_a_gradient_of_another_type_or_shape_is_refused():
    p = Parameter(np.ones(2, np.float32))
    for wrong in (np.ones(2), np.ones(2, int), Tensor(np.ones(2)), np.ones(2, np.float16)):
        with pytest.raises(TypeError, match="gradient of type .* for a tensor of float32"):
            p.grad = wrong
    p.grad = [1, 2]
    assert p.grad.dtype == np.float32 and p.grad.data.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="shape"):
        p.grad = [1, 2, 3]


@pytest.mark.parametrize("create_graph", [False, True])
def test_the_gradient_that_backward_starts_from(create_graph):
    def run(gradient):
        p = Parameter(np.ones(2, np.float32))
        (p * 3).backward(gradient, create_graph=create_graph)
        assert p.grad.dtype == np.float32
        return p.grad.data.tolist()

    for weights in ([1, 2], (1.0, 2.0), np.array([1, 2]), Tensor(np.array([1.0, 2.0]))):
        assert run(weights) == [3.0, 6.0]
    for wrong in (1.0, [1.0], [[1.0, 2.0]], np.ones(3)):
        with pytest.raises(ValueError, match="they must agree"):
            run(wrong)


def test_a_computed_tensor_keeps_its_data():
    y = Parameter(np.ones(2)) * 2
    with pytest.raises(RuntimeError, match="computed tensor cannot be given other data"):
        y.data = np.zeros(2)


def test_data_of_another_shape_between_forward_and_backward():
    p = Parameter(np.ones(3))
    loss = (p * 2.0).sum()
    p.data = np.ones(5)
    with pytest.raises(RuntimeError, match=r"\(3,\) was given data of shape \(5,\)"):
        loss.backward()
    assert p.grad is None


def test_an_old_gradient_is_not_added_to_one_of_another_shape():
    p = Parameter(np.ones(1))
    (p * 2.0).sum().backward()
    p.data = np.ones(3)
    with pytest.raises(RuntimeError, match=r"zero_grad\(\) in between"):
        (p * 2.0).sum().backward()
    p.zero_grad()
    (p * 2.0).sum().backward()
    assert p.grad.data.tolist() == [2.0, 2.0, 2.0]


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


def test_a_backward_that_computes_with_numpy_is_refused_where_it_would_be_a_constant():
    class Squared(Op):
        save_inputs = (0,)

        def forward(self, xp, x):
            return x * x

        def backward(self, xp, g, x):
            array = x.data if isinstance(x, Tensor) else x
            return (g.data if isinstance(g, Tensor) else g) * 2 * array

    x = Parameter(np.ones(2))
    Squared()(x).sum().backward()
    with pytest.raises(TypeError, match="returned ndarray for its input 0 under create_graph"):
        Squared()(x).sum().backward(create_graph=True)


def test_an_array_among_the_inputs_takes_no_gradient_and_no_harm():
    x, factor = Parameter(np.ones(2)), [2.0, 3.0]
    y = ops.multiply(x, factor) + ops.multiply(factor, x)
    assert grad(y.sum(), x)[0].data.tolist() == [4.0, 6.0] and factor == [2.0, 3.0]
