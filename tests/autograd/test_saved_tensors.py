"""saved_tensors_hooks and save_activations: what is kept for backward in another form."""

import gc
import threading
from contextlib import nullcontext

import numpy as np
import pytest

from autograd import (
    Op,
    Parameter,
    Tensor,
    _bfloat16,
    check_grad,
    grad,
    matmul_precision,
    ops,
    save_activations,
    saved_tensors,
    saved_tensors_hooks,
    use_kernels,
)
from autograd._bfloat16 import rounded
from autograd.debug import detect_changes, draw_graph, profile
from autograd.debug.memory import kept_arrays
from autograd.device import numpy_namespace as xp
from autograd.functional import recompute
from autograd.samples import SAMPLES


def normal(*shape, seed=0, dtype="f4"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def parameter(*shape, seed=0, dtype="f4"):
    return Parameter(normal(*shape, seed=seed, dtype=dtype))


class Log:
    """Hooks that keep a copy, and count."""

    def __init__(self):
        self.packed, self.unpacked = [], 0

    def hooks(self):
        return saved_tensors_hooks(self.pack, self.unpack)

    def pack(self, x):
        assert type(x) is Tensor and not x.requires_grad
        self.packed.append(x.shape)
        return x.data.copy(), "anything"

    def unpack(self, kept):
        self.unpacked += 1
        return Tensor(kept[0])


# --- what is packed -------------------------------------------------------------------------------


def test_only_what_was_computed_is_packed_and_only_once():
    w, x, log = parameter(8, 8), normal(4, 8, seed=1), Log()
    with log.hooks():
        h = ops.linear(x, w)  # data and a parameter
        y = ops.exp(h)  # saves y
        z = y * ops.tanh(h)  # tanh saves h, the product y and tanh(h)
        u = ops.matmul(w.T, w) * (z.T @ z)  # w^T is a view of a parameter; z and a view of it
    assert log.packed == [(4, 8)] * 4 + [(8, 8)] * 2  # y, h, tanh(h), z and the two products
    u.sum().backward()
    assert log.unpacked >= 6
    expected, w.grad = w.grad.data, None
    h = ops.linear(x, w)
    y = ops.exp(h)
    z = y * ops.tanh(h)
    (ops.matmul(w.T, w) * (z.T @ z)).sum().backward()
    np.testing.assert_array_equal(w.grad.data, expected)


def test_slices_of_one_array_are_packed_apart():
    w, log = parameter(4, 12), Log()
    with log.hooks():
        qkv = ops.exp(w)
        q, k, v = qkv[:, :4], qkv[:, 4:8], qkv[:, 8:]
        y = (q * k * v).sum()
    found = grad(y, [w])[0].data
    e = np.exp(w.data)
    q, k, v = e[:, :4], e[:, 4:8], e[:, 8:]
    np.testing.assert_allclose(found, np.concatenate([k * v, q * v, q * k], 1) * e, rtol=1e-6)


def test_a_copy_in_another_order_is_not_taken_for_the_array():
    """reshape of a transposed array copies it: the same origin, the same size, other numbers."""
    w, log = parameter(3, 4), Log()
    with log.hooks():
        y = ops.exp(w)
        z = ops.reshape(y.T, (3, 4))  # a copy
        loss = (z * z * y).sum()
    a = Tensor(w.data, requires_grad=True)
    y = ops.exp(a)
    z = ops.reshape(y.T, (3, 4))
    np.testing.assert_array_equal(grad(loss, [w])[0].data, grad((z * z * y).sum(), [a])[0].data)


def test_a_view_has_its_layout_again():
    """Attention reads heads that were transposed, and would copy them if they were not."""
    w, log, seen = parameter(2, 3, 4), Log(), []

    class Look(Op):
        save_inputs = (0,)

        def forward(self, xp, x):
            return x * x

        def backward(self, xp, g, x):
            seen.append(x)
            return 2 * g * x

    with log.hooks():
        y = ops.exp(w)
        z = Look()(ops.swapaxes(y, 0, 1))
    z.sum().backward()
    assert seen[0].shape == (3, 2, 4) and seen[0].strides == (16, 48, 4)
    np.testing.assert_array_equal(seen[0], np.exp(w.data).swapaxes(0, 1))
    assert log.packed == [(2, 3, 4)]  # exp's own output and the view of it


def test_a_changed_parameter_is_still_an_error():
    w, log = parameter(6, seed=2), Log()
    with log.hooks():
        loss = (ops.exp(w) * w).sum()
    w.assign_(np.zeros(6, "f4"))
    with pytest.raises(RuntimeError, match="saved a tensor that was changed in place"):
        loss.backward()


def test_two_arrays_that_had_the_same_place_in_memory_are_two():
    """The first is freed once it is packed, and the second may get its address, and its id."""
    w, log = parameter(6), Log()
    with log.hooks():
        ys = [ops.exp(w * float(i)).sum() for i in range(50)]
    for i, y in enumerate(ys):
        expected = np.float32(i) * np.exp(w.data * np.float32(i))
        np.testing.assert_allclose(grad(y, [w])[0].data, expected, rtol=1e-6)
    assert len(log.packed) == 50


def test_what_is_packed_lives_as_long_as_it_is_needed():
    alive = []

    class Kept:
        def __init__(self, x):
            self.array = x.data.copy()
            alive.append(1)

        def __del__(self):
            alive.pop()

    w = parameter(6)
    hooks = saved_tensors_hooks(Kept, lambda kept: kept.array)
    with hooks:
        loss = (ops.exp(w) * ops.tanh(w)).sum()
    assert len(alive) == 2
    loss.backward(retain_graph=True)
    first, w.grad = w.grad.data, None
    assert len(alive) == 2
    loss.backward()
    gc.collect()
    assert alive == [] and hooks._alive == {}
    np.testing.assert_array_equal(first, w.grad.data)


def test_hooks_belong_to_their_context():
    outer, inner = Log(), Log()
    w = parameter(6)
    with outer.hooks():
        ops.exp(w)
        with inner.hooks():
            y = ops.exp(w)
        thread = threading.Thread(target=ops.exp, args=(w,))
        thread.start()
        thread.join()
    ops.exp(w)
    assert len(outer.packed) == len(inner.packed) == 1
    y.sum().backward()  # outside
    assert inner.unpacked == 1 and outer.unpacked == 0


@pytest.mark.parametrize(
    "unpack, what",
    [
        (lambda kept: kept[0].T, r"an array of shape \(3, 2\) and type float32"),
        (lambda kept: kept[0].astype("f8"), r"an array of shape \(2, 3\) and type float64"),
        (lambda kept: None, "a NoneType"),
    ],
)
def test_a_wrong_unpack_is_an_error_with_the_line(unpack, what):
    w = parameter(2, 3)
    with saved_tensors_hooks(lambda x: (x.data,), unpack):
        y = ops.exp(w).sum()
    with pytest.raises(RuntimeError, match=f"unpack returned {what}, expected a Tensor or an"):
        y.backward()


# --- activations ----------------------------------------------------------------------------------


def test_backward_computes_from_the_rounded_values():
    w = parameter(16, 8, seed=3)
    with save_activations("bf16"):
        y = ops.exp(w)
    np.testing.assert_array_equal(y.data, np.exp(w.data))  # forward is as before
    np.testing.assert_array_equal(grad(y.sum(), [w])[0].data, rounded(xp, y.data))
    with save_activations("bf16"):
        y = ops.exp(w)
    (first,) = grad(y.sum(), [w], create_graph=True)
    (second,) = grad(first.sum(), [w])  # of exp: saved as bf16 as well
    np.testing.assert_array_equal(second.data, rounded(xp, y.data))


def test_small_arrays_other_types_and_float32_stay_as_they_are():
    for kind, w in (
        ("bf16", parameter(63)),
        ("bf16", parameter(100, dtype="f8")),
        ("bf16", parameter(100, dtype="f2")),
        ("float32", parameter(100)),
    ):
        with save_activations(kind):
            y = ops.exp(w)
        np.testing.assert_array_equal(grad(y.sum(), [w])[0].data, y.data)
    with pytest.raises(ValueError, match="unknown type of activations 'fp8': choose one of"):
        save_activations("fp8")


def test_a_view_that_repeats_numbers_stays_a_view():
    x, w = parameter(8, 1), parameter(8, 4096, seed=1)
    with save_activations("bf16"):
        y = ops.broadcast_to(2 * x, w.shape) * w
    memory = [a if a.base is None else a.base for _, a in kept_arrays(y._node)]
    assert sum(a.nbytes for a in memory) <= w.data.nbytes + 64
    (found,) = grad(y.sum(), [w])
    np.testing.assert_array_equal(found.data, np.broadcast_to(2 * x.data, w.shape))


def test_the_compiled_loop_rounds_as_the_definition():
    x = np.frombuffer(np.random.default_rng(4).bytes(4 * 100_000), "f4")
    x = np.concatenate([x, np.float32([0, 1e-45, 1e-39, np.inf, -np.inf, np.nan, 3.4e38])])
    hooks = save_activations()
    fast = hooks._pack(Tensor(x))
    with use_kernels("reference"):
        slow = hooks._pack(Tensor(x))
        np.testing.assert_array_equal(hooks._unpack(slow), rounded(xp, x))
    np.testing.assert_array_equal(fast, slow)
    np.testing.assert_array_equal(
        hooks._unpack(fast).view("u4"), _bfloat16.from_bf16(slow).view("u4")
    )


def block(x, up, down, norm):
    """A feed-forward layer, attention and a residual stream."""
    h = ops.layer_norm(x, norm, norm)
    y = ops.causal_attention(ops.concatenate([h, h, h], axis=-1), 2)
    return x + ops.feed_forward(ops.linear(y, norm * up[:8]), up, None, down, None)


def block_inputs(dtype="f4"):
    x = Tensor(normal(4, 16, 8, dtype=dtype), requires_grad=True)
    shapes = ((32, 8), (8, 32), (8,))
    return [x, *(parameter(*s, seed=i, dtype=dtype) for i, s in enumerate(shapes))]


def tape_bytes(y):
    found, todo, seen = {}, [y._node], set()
    while todo:
        node = todo.pop()
        if node is None or id(node) in seen or not isinstance(node, Op):
            continue
        seen.add(id(node))
        todo += node.inputs
        for _, array in kept_arrays(node):
            while isinstance(array.base, np.ndarray):
                array = array.base
            found[id(array)] = array
    return sum(a.nbytes for a in found.values())


@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_activations_take_half_the_bytes(kernels):
    inputs = block_inputs()
    with use_kernels(kernels):
        plain = block(*inputs)
        with save_activations():
            packed = block(*inputs)
        own = sum(x.data.nbytes for x in inputs) + 40 * 4
        statistics = 3 * 64 * 4 + 2 * 128 * 4  # of the norm, and of the attention's rows
        full, half = (tape_bytes(y) - own - statistics for y in (plain, packed))
        assert 0.49 < half / full < 0.6
        expected = [g.data for g in grad(plain.sum(), inputs)]
        found = [g.data for g in grad(packed.sum(), inputs)]
    for a, b in zip(found, expected, strict=True):
        error = np.linalg.norm(a - b) / np.linalg.norm(b)
        assert 1e-5 < error < 0.05 or np.array_equal(a, b)


OPERANDS = {
    "linear": (lambda x, w: ops.linear(x, w), [(16, 8), (12, 8)]),
    "feed_forward": (
        lambda x, u, w: ops.feed_forward(x, u, None, w, None), [(16, 8), (24, 8), (8, 24)]
    ),
    "linear_cross_entropy": (
        lambda h, w: ops.linear_cross_entropy(h, w, np.arange(16) % 5), [(16, 8), (5, 8)]
    ),
    "causal_attention": (lambda qkv: ops.causal_attention(qkv, 2), [(2, 7, 48)]),
    "grouped_query_attention": (
        lambda q, k, v: ops.grouped_query_attention(q, k, v, window=5, softcap=20.0),
        [(2, 4, 7, 8), (2, 2, 7, 8), (2, 2, 7, 8)],
    ),
    "product": (lambda a, b: ops.product(a, b, "bf16"), [(12, 16), (16, 8)]),
}  # fmt: skip
"""Operations with a precision, and the shapes of their inputs."""


@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("name", OPERANDS)
def test_what_products_at_bf16_read_is_kept_as_bf16_and_no_bit_changes(name, kernels):
    """Against hooks that keep everything as it is; first and second derivatives."""
    call, shapes = OPERANDS[name]
    inputs = [parameter(*shape, seed=i) for i, shape in enumerate(shapes)]

    def gradients(hooks):
        with matmul_precision("bf16"), use_kernels(kernels), hooks:
            y = call(*[x * 1.5 for x in inputs])
            bytes_kept = sum(a.nbytes for _, a in kept_arrays(y._node) if a.dtype == np.uint16)
            firsts = grad((y * y).sum(), inputs, create_graph=True)
            seconds = grad(sum((g * g).sum() for g in firsts), inputs)
        return bytes_kept, [g.data for g in (*firsts, *seconds)]

    as_it_is = saved_tensors_hooks(lambda x: x, lambda x: x)
    (kept, found), (nothing, expected) = gradients(nullcontext()), gradients(as_it_is)
    assert kept > 0 and nothing == 0
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_which_operands_are_kept_as_bf16():
    x, w = parameter(16, 8), parameter(12, 8, seed=1)

    def kept(value, weight=w):
        return {a.dtype.name for _, a in kept_arrays(ops.linear(value, weight)._node)}

    assert kept(x * 2.0) == {"float32"}  # at float32
    with matmul_precision("bf16"):
        assert kept(x * 2.0) == {"float32", "uint16"}  # x * 2 and the weight
        assert kept(ops.layer_norm(x, Tensor(np.ones(8, "f4")))) == {"float32", "uint16"}
        assert kept(ops.exp(x)) == {"float32"}  # exp keeps its output itself
        assert kept(ops.reshape(ops.exp(x), (2, 8, 8))) == {"float32"}
        assert kept(x) == {"float32"}  # a parameter
        assert kept((x * 2.0)[:4]) == {"float32"}  # too few numbers
        assert kept(ops.broadcast_to(x[:1] * 2.0, (16, 8))) == {"float32"}  # they repeat
        frozen = Tensor(np.ones((12, 8), "f4"))
        assert not any(
            a.dtype == np.uint16 for _, a in kept_arrays(ops.linear(x * 2.0, frozen)._node)
        )
        y = ops.causal_attention(parameter(2, 7, 48) * 1.0, 2)
        both = ops.linear(y, parameter(5, 16, seed=2))
        (mine,) = [a for _, a in kept_arrays(both._node) if a.dtype == np.uint16]
        assert any(a is mine for _, a in kept_arrays(y._node))  # y once, for both


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.keeps or s.cache], ids=lambda s: s.name)
def test_every_operation_works_on_what_was_unpacked(sample):
    """Hooks that keep copies change no number. The inputs are computed, so that they are packed."""
    arrays = sample.inputs()
    log = Log()

    def gradients():
        xs = [Tensor(a, requires_grad=True) for a in arrays]
        y = sample.call(*[x * 1.0 for x in xs])
        return [g.data for g in grad(y, xs, np.ones(y.shape))]

    expected = gradients()
    with log.hooks():
        found = gradients()
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_second_derivatives_in_float64_are_as_before():
    with save_activations(), matmul_precision("bf16"):
        x, *weights = [a.data for a in block_inputs("f8")]
        check_grad(block, x[:1, :3], *weights, order=2)


# --- recomputation and the tools ------------------------------------------------------------------


def test_a_recomputed_segment_has_the_precision_and_the_hooks_of_forward():
    inputs = block_inputs()

    def gradients(run):
        with matmul_precision("bf16"), save_activations():
            y = run(*inputs)
        return [g.data for g in grad(y.sum(), inputs)]  # outside

    expected, found = gradients(block), gradients(lambda *xs: recompute(block, *xs))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    log = Log()
    with log.hooks():
        y = recompute(block, *inputs)
    assert log.packed == []  # what the first run records is forgotten
    y.sum().backward()
    assert log.packed and log.unpacked


def test_the_tools_see_what_is_kept():
    w = parameter(8, 16)
    with detect_changes(), save_activations():
        y = ops.exp(w)
        loss = y.sum()
        y.data[0] = 7  # the copy is not changed
        loss.backward()
    with profile() as p, save_activations():
        loss = ops.exp(w).sum()
    assert p.peak.bytes == 8 * 16 * 2
    (node,) = [n for n in draw_graph(loss).nodes if n.op == "Exp"]
    assert node.saved == [("output", "(8, 16) uint16", 256)]


# --- planted bugs ---------------------------------------------------------------------------------


def test_arrays_that_are_told_apart_by_their_id_alone_would_be_mixed_up(monkeypatch):
    def forever(self, array):
        value = self._alive.setdefault(id(array), array.copy())
        return saved_tensors.Packed((value,), self._unpack, array)

    monkeypatch.setattr(saved_tensors_hooks, "_packed", forever)
    with pytest.raises(AssertionError):
        test_two_arrays_that_had_the_same_place_in_memory_are_two()


def test_parameters_that_are_packed_would_be_noticed(monkeypatch):
    monkeypatch.setattr(saved_tensors, "is_activation", lambda node: True)
    with pytest.raises(AssertionError):
        test_only_what_was_computed_is_packed_and_only_once()


@pytest.mark.parametrize("function", [ops.max, ops.min, lambda x: ops.clip(x, -1, 1)])
def test_what_is_compared_is_not_rounded(function):
    x = Parameter(np.random.default_rng(0).standard_normal((8, 300)).astype(np.float32))
    (exact,) = grad(function(x * 2).sum(), [x])
    with save_activations("bf16"):
        y = function(x * 2).sum()
    np.testing.assert_array_equal(grad(y, [x])[0].numpy(), exact.numpy())


def test_second_derivatives_of_a_loss_stay_finite():
    x = Parameter(np.random.default_rng(0).standard_normal((20, 32)).astype(np.float32))
    with save_activations("bf16"):
        (g,) = grad(ops.cross_entropy(x, np.arange(20)), [x], create_graph=True)
        (second,) = grad((g * g).sum(), [x])
    assert np.isfinite(second.numpy()).all()
