"""recompute: the same numbers from less memory, the random state, and what it notices."""

import gc
import tracemalloc

import numpy as np
import pytest

from autograd import Parameter, Tensor, check_grad, grad, no_grad, ops, use_kernels
from autograd.functional import hessian, jvp, recompute

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4))


class Block:
    """A small residual block with parameters that it closes over."""

    def __init__(self, rng=None, p=0.0, seed=1, n=4):
        weights = np.random.default_rng(seed)
        self.weight = Parameter(weights.standard_normal((n, n)))
        self.bias = Parameter(weights.standard_normal(n))
        self.rng, self.p = rng, p

    def __call__(self, x):
        y = ops.gelu(ops.linear(x, self.weight, self.bias))
        return x + ops.dropout(y, self.p, True, self.rng) if self.p else x + y


def gradients(blocks, wrap, x=X):
    """The loss of a chain of blocks, and its gradients: of the input and of every parameter."""
    h = x = Tensor(x, requires_grad=True)
    for block in blocks:
        block.weight.zero_grad()
        block.bias.zero_grad()
        h = wrap(block, h)
    loss = (h * h).sum()
    loss.backward()
    parameters = [p for block in blocks for p in (block.weight, block.bias)]
    return [loss.data, x.grad.data, *(p.grad.data for p in parameters)]


def assert_all_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def plain(block, x):
    return block(x)


@pytest.mark.parametrize("kernels", ["reference", "auto"])
def test_equals_the_plain_function_bit_for_bit(kernels):
    blocks = [Block(seed=s) for s in range(3)]
    with use_kernels(kernels):
        assert_all_equal(gradients(blocks, recompute), gradients(blocks, plain))


def test_nested_and_shared():
    def twice(block, x):
        return block(block(x))  # the parameters are used twice, in one segment

    def nested(block, x):
        inner = lambda h: recompute(block, h)  # noqa: E731
        return recompute(lambda h: inner(inner(h)), x)

    blocks = [Block(seed=s) for s in range(2)]
    for a, b in zip(gradients(blocks, nested), gradients(blocks, twice), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_only_what_is_closed_over_may_require_a_gradient():
    block = Block()
    recompute(block, Tensor(X)).sum().backward()
    found = block.weight.grad.data
    block.weight.zero_grad()
    block(Tensor(X)).sum().backward()
    np.testing.assert_array_equal(found, block.weight.grad.data)


def test_a_computed_tensor_that_is_closed_over():
    # s is newer than the input: the pass must not go on from s before the segment has been run
    w, x = Parameter(np.array(0.5)), Tensor(X, requires_grad=True)

    def run(wrap):
        s = ops.sin(w) * x
        y = wrap(lambda h: ops.exp(h * s) * s, x)
        return grad((y * s).sum(), [w, x])

    for a, b in zip(run(recompute), run(lambda f, h: f(h)), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-13)


def test_grad_writes_nothing_and_finds_parameters():
    block = Block()
    x = Tensor(X, requires_grad=True)
    expected = grad(block(x).sum(), [block.weight, block.bias, x])
    found = grad(recompute(block, x).sum(), [block.weight, block.bias, x])
    assert_all_equal([g.data for g in found], [g.data for g in expected])
    assert block.weight.grad is None and x.grad is None


def test_accumulates_into_what_is_there():
    block = Block()
    for _ in range(2):
        recompute(block, Tensor(X)).sum().backward()
    twice = block.bias.grad.data.copy()
    block.bias.zero_grad()
    recompute(block, Tensor(X)).sum().backward()
    np.testing.assert_allclose(twice, 2 * block.bias.grad.data, rtol=1e-14)


def test_options_and_other_arguments_are_passed_on():
    def f(x, n, *, scale):
        return x * x * float(n) * scale

    x = Tensor(X, requires_grad=True)
    recompute(f, x, 3, scale=2.0).sum().backward()
    np.testing.assert_allclose(x.grad.data, 12 * X)


def test_second_derivatives_are_exact():
    w = Parameter(RNG.standard_normal((4, 4)))

    def f(x, w):
        return ops.tanh(ops.matmul(x, w)) * x

    check_grad(lambda x, w: recompute(f, x, w), X, w.data, order=2)

    def closed_over(x):
        return (recompute(lambda h: f(h, w), x) ** 2).sum()

    def without(x):
        return (f(x, w) ** 2).sum()

    np.testing.assert_allclose(hessian(closed_over)(X).data, hessian(without)(X).data, atol=1e-12)
    tangents = [jvp(g, (X,), (X * X,))[1].data for g in (closed_over, without)]
    np.testing.assert_allclose(*tangents, rtol=1e-12)
    (g,) = grad(closed_over(Tensor(X, requires_grad=True)), w, create_graph=True)
    (g * g).sum().backward()
    found = w.grad.data
    w.zero_grad()
    (g,) = grad(without(Tensor(X, requires_grad=True)), w, create_graph=True)
    (g * g).sum().backward()
    np.testing.assert_allclose(found, w.grad.data, rtol=1e-10)


def test_backward_twice_with_retain_graph():
    block, x = Block(), Tensor(X, requires_grad=True)
    y = recompute(block, x).sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    third = x.grad.data.copy()
    x.zero_grad()
    block(x).sum().backward()
    np.testing.assert_allclose(third, 3 * x.grad.data)
    with pytest.raises(RuntimeError, match="a second time.*retain_graph"):
        y.backward()


def test_nothing_to_record():
    runs = []

    def f(x):
        runs.append(1)
        return x * 2.0

    assert not recompute(f, Tensor(X)).requires_grad
    with no_grad():
        assert not recompute(f, Parameter(X)).requires_grad
    assert len(runs) == 2


# --- random numbers -----------------------------------------------------------------------------


def test_dropout_has_the_same_mask_and_the_stream_goes_on():
    def run(wrap):
        rng = np.random.default_rng(3)
        blocks = [Block(rng, 0.5, seed=s) for s in range(3)]
        return [*gradients(blocks, wrap), rng.random(4)]

    kept = run(lambda block, x: recompute(block, x, rngs=(block.rng,)))
    assert_all_equal(kept, run(plain))


def test_backward_leaves_the_generators_where_they_are():
    rng = np.random.default_rng(3)
    block = Block(rng, 0.5)
    y = recompute(block, Tensor(X), rngs=[rng])
    rng.random(7)
    state = rng.bit_generator.state
    y.sum().backward()
    assert rng.bit_generator.state == state


def test_they_are_put_back_after_an_error_too():
    rng, calls = np.random.default_rng(3), []

    def f(x):
        calls.append(1)
        y = ops.dropout(x * x, 0.5, True, rng)
        if len(calls) == 2:
            raise KeyError("second run")
        return y

    y = recompute(f, Parameter(X), rngs=(rng,))
    state = rng.bit_generator.state
    with pytest.raises(KeyError, match="second run"):
        y.sum().backward()
    assert rng.bit_generator.state == state


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_forgotten_generator_is_noticed(dtype):
    rng = np.random.default_rng(3)
    x = Parameter(np.ones((50, 40), dtype))
    y = recompute(lambda x: ops.dropout(x * x, 0.1, True, rng), x)
    with pytest.raises(RuntimeError, match="another result the second time.*rngs"):
        y.sum().backward()


# --- other changes between the two runs ---------------------------------------------------------


def test_an_input_or_parameter_changed_in_place_is_noticed():
    for change in ("input", "weight"):
        block, x = Block(), Parameter(X.copy())
        y = recompute(block, x).sum()
        (x if change == "input" else block.weight).assign_(
            np.zeros(x.shape if change == "input" else (4, 4))
        )
        with pytest.raises(RuntimeError, match="Recompute .*changed in place"):
            y.backward()


def test_a_raw_array_that_changed_is_noticed():
    scale = np.ones(4)
    y = recompute(lambda x: x * x * scale, Parameter(X)).sum()
    scale[:] = 2
    with pytest.raises(RuntimeError, match="read something that has changed since"):
        y.backward()


def test_special_values_are_recognised():
    x = np.array([[np.nan, np.inf, -np.inf, 1.0]])
    recompute(lambda x: x * 1.0, Parameter(x)).sum().backward()
    recompute(lambda x: x * 1.0, Parameter(np.zeros((0, 3)))).sum().backward()


def test_rounding_may_differ():
    y = recompute(ops.gelu, Parameter(RNG.standard_normal((64, 64)).astype(np.float32)))
    with use_kernels("reference"):
        y.sum().backward()


# --- several outputs ----------------------------------------------------------------------------

SEVERAL = {
    "a tuple": lambda x, w: (x * w, ops.exp(x)),
    "a list": lambda x, w: [ops.sin(x).sum(), x @ w.T, w],
    "a dict": lambda x, w: {"mean": x.mean(axis=0), "rest": (x[0], [w * x])},
    "one in a tuple": lambda x, w: (ops.tanh(x * w),),
    "with what has no gradient": lambda x, w: (Tensor(np.arange(3)), x * w, None, w.detach()),
    "of two types": lambda x, w: (ops.astype(x, np.float32) * 2, x * w),
    "the input itself": lambda x, w: (x, x * w),
}


def tensors_of(tree):
    if isinstance(tree, Tensor):
        return [tree]
    parts = tree.values() if isinstance(tree, dict) else tree or ()
    return [x for part in parts for x in tensors_of(part)]


@pytest.mark.parametrize("name", SEVERAL)
def test_several_outputs_equal_the_plain_function(name):
    def run(call):
        x, w = Parameter(X), Parameter(X + 1)
        outputs = tensors_of(call(SEVERAL[name], x, w))
        total = sum((y * y * y).sum() for y in outputs if y.requires_grad)
        first = grad(total, [x, w], create_graph=True)
        second = grad(sum((g * g).sum() for g in first), [x, w], allow_unused=True)
        found = [*outputs, *first, *second]
        return [y.data for y in found if y is not None], [y.dtype for y in outputs]

    found, types = run(recompute)
    expected, expected_types = run(lambda f, *xs: f(*xs))
    assert types == expected_types
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_several_outputs_come_back_as_f_built_them():
    x = Parameter(X)
    y = recompute(lambda x: {"a": (x, None), "b": [x * 2]}, x)
    assert list(y) == ["a", "b"] and type(y["a"]) is tuple and y["a"][1] is None
    assert type(y["b"]) is list and y["b"][0].shape == X.shape


def test_several_outputs_draw_the_same_random_numbers_again():
    def f(x, rng):
        dropped = ops.dropout(x, 0.5, True, rng)
        return dropped, ops.dropout(dropped * x, 0.5, True, rng)

    def run(call):
        x, rng = Parameter(X), np.random.default_rng(3)
        a, b = call(f, x, rng)
        (a * b).sum().backward()
        return [x.grad.data, a.data, b.data, rng.random()]

    again = run(lambda f, x, rng: recompute(f, x, rng, rngs=[rng]))
    assert_all_equal(again, run(lambda f, x, rng: f(x, rng)))


def test_an_output_that_is_not_a_tensor_is_refused():
    with pytest.raises(TypeError, match=r"the output\[1\] of f is of type int, expected a Tensor"):
        recompute(lambda x: (x, 3), Parameter(X))


def test_another_structure_the_second_time_is_noticed():
    calls = []

    def f(x):
        calls.append(1)
        return (x * 2, x * 2) if len(calls) == 1 else (x * 2,)

    a, _ = recompute(f, Parameter(X))
    with pytest.raises(RuntimeError, match="another result the second time"):
        a.sum().backward()


def test_ids_that_f_closes_over_are_watched_too():
    weight, ids = Parameter(X), Tensor(np.array([0, 1]))
    y = recompute(lambda w: ops.embedding(w, ids) * 2, weight)
    ids.assign_([2, 2])
    with pytest.raises(RuntimeError, match="changed in place before backward"):
        y.sum().backward()


# --- memory -------------------------------------------------------------------------------------


def held_and_peak(wrap, n_blocks=16, rows=256, n=64):
    """Bytes in use between forward and backward, at the peak, and at the end."""
    blocks = [Block(seed=s, n=n) for s in range(n_blocks)]
    x = RNG.standard_normal((rows, n))
    gradients(blocks, wrap, x)  # so that .grad exists, and kernels are compiled
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        h = Tensor(x)
        for block in blocks:
            h = wrap(block, h)
        loss = (h * h).sum()
        del h
        held = tracemalloc.get_traced_memory()[0] - before
        loss.backward()
        peak = tracemalloc.get_traced_memory()[1] - before
        del loss
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.enable()
    return held, peak, left


def test_memory_falls():
    size = 256 * 64 * 8  # of one activation
    held, peak, _ = held_and_peak(plain)
    held_with, peak_with, left = held_and_peak(recompute)
    assert held > 16 * 2 * size  # what linear and gelu save
    assert held_with < 16 * 1.2 * size + size  # the input of each block
    assert peak_with < 0.75 * peak
    assert left < size / 2  # and nothing stays, with the garbage collector off
