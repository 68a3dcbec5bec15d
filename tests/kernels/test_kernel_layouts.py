"""Inputs that no kernel takes as they are: the dispatcher sends them to the reference.

Only the result counts: an operation on strided, reversed or unaligned arrays, with incoming
gradients of the same layout, gives the same as on contiguous ones.
"""

import numpy as np
import pytest
from kernel_checks import assert_same, both_dtypes, normal, xp

from autograd import Tensor, grad, ops, use_kernels
from autograd.kernels import adamw, muon, sgd, softmax
from autograd.samples import SAMPLES


def column_major(x):
    return np.array(x, order="F")


def every_other(x):
    """The same values as every second element of a larger array."""
    wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan if x.dtype.kind == "f" else 0, x.dtype)
    wide[..., ::2] = x
    return wide[..., ::2]


def reversed_axes(x):
    """The same values, stored from the last to the first."""
    backwards = (slice(None, None, -1),) * x.ndim
    return x[backwards].copy()[backwards]


def unaligned(x):
    """The same values, one byte behind where the processor likes them."""
    store = np.zeros(x.nbytes + 1, np.uint8)[1:]
    moved = store.view(x.dtype).reshape(x.shape)
    moved[...] = x
    return moved


LAYOUTS = [column_major, every_other, reversed_axes, unaligned]
each_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)


def plain(x):
    return x.flags.c_contiguous and x.flags.aligned


def run(call, arrays, layout):
    """The output and the gradients, with everything that comes in laid out so."""
    xs = [Tensor(layout(a) if a.ndim else a, requires_grad=True) for a in arrays]
    y = call(*xs)
    g = normal(*y.shape, dtype=y.dtype, seed=1)
    found = grad(y, xs, layout(g) if g.ndim else g)
    return y.data, *(a.data for a in found)


@each_layout
@both_dtypes
def test_layouts_are_not_what_kernels_take(layout, dtype):
    x = normal(7, 5, dtype=dtype)
    np.testing.assert_array_equal(layout(x), x)
    assert not plain(layout(x)) and softmax.forward.refusal(xp, layout(x)) is not None


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.kernel], ids=lambda s: s.name)
@each_layout
@both_dtypes
def test_results_do_not_depend_on_the_layout(sample, layout, dtype):
    arrays = sample.inputs(dtype=dtype)
    found = run(sample.call, arrays, layout)
    assert_same(found, run(sample.call, arrays, np.copy), dtype)


def residual(x, weight, bias):
    """x is used twice: what it gets from the sum, the normalization's backward adds."""
    x = 2 * x
    return x + ops.layer_norm(x, weight, bias)


def tied(x, weight, bias):
    """The weight is used twice: the second gradient is added into the buffer of the first."""
    y = ops.linear(x, weight, bias)
    return ops.linear(y, weight, bias) + ops.embedding(weight, np.array([3, 1, 1, 0]))


@pytest.mark.parametrize("call", [residual, tied])
@each_layout
@both_dtypes
def test_layouts_where_gradients_add_up(call, layout, dtype):
    square = (5,) if call is residual else (5, 5)
    arrays = [normal(*shape, dtype=dtype) for shape in ((4, 5), square, (5,))]
    with use_kernels("reference"):
        expected = run(call, arrays, np.copy)
    assert_same(run(call, arrays, layout), expected, dtype)
    assert_same(run(call, arrays, np.copy), expected, dtype)


@each_layout
def test_layouts_of_ids_and_targets(layout):
    ids = np.random.default_rng(0).integers(0, 6, (4, 5))
    weight, h = normal(6, 3), normal(4, 5, 3)
    for call, arrays in (
        (lambda ids: lambda w: ops.embedding(w, ids), [weight]),
        (lambda ids: lambda h, w: ops.linear_cross_entropy(h, w, ids), [h, weight]),
        (lambda ids: lambda h, w: ops.cross_entropy(h @ w.T, ids), [h, weight]),
    ):
        found = run(call(layout(ids)), arrays, np.copy)
        assert_same(found, run(call(ids), arrays, np.copy), "f8")


@each_layout
@both_dtypes
def test_adamw_in_any_layout(layout, dtype):
    p, g, m, v = (normal(7, 5, dtype=dtype, seed=k) for k in range(4))
    options = (0.01, 0.9, 0.95, 1e-8, 0.1, 3, 0.5)
    found = adamw.update(xp, *map(layout, (p, g, m, v * v)), *options)
    mixed = adamw.update(xp, p.copy(), layout(g), m.copy(), v * v, *options)
    expected = adamw.update(xp, p, g, m, v * v, *options)
    assert_same(found, expected, dtype)
    assert_same(mixed, expected, dtype)


@each_layout
@both_dtypes
def test_sgd_and_muon_in_any_layout(layout, dtype):
    p, g, buffer = (normal(7, 5, dtype=dtype, seed=k) for k in range(3))
    for update, options in (
        (sgd.update, (0.01, 0.9, True, 0.1, 0.5)),
        (muon.update, (0.01, 0.9, True, 0.1, 0.5, 2, 1.0, 1)),
    ):
        found = update(xp, *map(layout, (p, g, buffer)), *options)
        mixed = update(xp, p.copy(), layout(g), buffer.copy(), *options)
        expected = update(xp, p, g, buffer, *options)
        assert_same(found, expected, dtype)
        assert_same(mixed, expected, dtype)
