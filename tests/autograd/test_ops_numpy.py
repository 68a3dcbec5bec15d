"""Operations against NumPy where the arguments have a grammar: broadcasting, subscripts, indices.

hypothesis draws the shapes and the arguments, and shrinks what fails. Gradients are compared with
what defines them: the sum over broadcast copies, the sum over reads of one place.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from autograd import Tensor, grad, ops

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def normal(shape, seed=0):
    return np.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape))


def leaf(array):
    return Tensor(array, requires_grad=True)


# --- One tensor as several inputs ----------------------------------------------------------------

BINARY = (
    "add subtract multiply divide power maximum minimum logaddexp arctan2 matmul dot outer "
    "tensordot linalg.solve"
).split()


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("create_graph", [False, True])
def test_the_same_tensor_as_both_inputs_gets_both_gradients(name, create_graph):
    f = ops.linalg.solve if name == "linalg.solve" else getattr(ops, name)
    array = np.array([[2.0, 0.5], [0.25, 3.0]])
    a, b, x = leaf(array), leaf(array.copy()), leaf(array)
    w = normal(f(a, b).shape)
    expected = sum(g.data for g in grad(f(a, b), [a, b], w))
    (found,) = grad(f(x, x), x, w, create_graph=create_graph)
    np.testing.assert_allclose(found.data, expected, rtol=1e-12, atol=1e-14)
    doubled = 2 * x  # and the same of a tensor that was computed
    (found,) = grad(f(doubled, doubled), doubled, w, create_graph=create_graph)
    a, b = leaf(2 * array), leaf(2 * array)
    expected = sum(g.data for g in grad(f(a, b), [a, b], w))
    np.testing.assert_allclose(found.data, expected, rtol=1e-12, atol=1e-14)


# --- Broadcasting --------------------------------------------------------------------------------


@quick
@given(
    hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3, min_side=0),
    st.sampled_from("add subtract multiply divide maximum arctan2 logaddexp".split()),
)
def test_broadcasting_sums_over_the_copies(shapes, name):
    arrays = [normal(s, k) for k, s in enumerate(shapes.input_shapes)]
    a, b = map(leaf, arrays)
    y = getattr(ops, name)(a, b)
    np.testing.assert_allclose(y.data, getattr(np, name)(*arrays), rtol=1e-15)
    assert y.shape == shapes.result_shape
    w = normal(y.shape)
    copies = [leaf(np.broadcast_to(x, y.shape).copy()) for x in arrays]
    whole = grad(getattr(ops, name)(*copies), copies, w)
    for g, x, g_copies in zip(grad(y, [a, b], w), arrays, whole, strict=True):
        extra = y.ndim - x.ndim
        axes = tuple(range(extra)) + tuple(
            extra + i for i, n in enumerate(x.shape) if n == 1 and y.shape[extra + i] != 1
        )
        expected = g_copies.data.sum(axis=axes).reshape(x.shape)
        np.testing.assert_allclose(g.data, expected, rtol=1e-12, atol=1e-12)


# --- Subscripts ----------------------------------------------------------------------------------


@st.composite
def einsums(draw):
    """Subscripts, and the shapes of their operands: letters repeated, summed, kept or broadcast."""
    lengths = dict(zip("abcde", draw(st.permutations([1, 2, 3, 2, 3])), strict=True))
    words, shapes = [], []
    for _ in range(draw(st.integers(1, 3))):
        word = "".join(draw(st.lists(st.sampled_from("abcde"), max_size=3)))
        dots = draw(st.sampled_from(["", "", "..."]))
        extra = draw(st.sampled_from([(), (2,), (1,), (3, 2), (3, 1)])) if dots else ()
        words.append(dots + word)
        shapes.append(extra + tuple(lengths[c] for c in word))
    subscripts = ",".join(words)
    if draw(st.booleans()):
        named = sorted(set("".join(words)) - {"."})
        kept = draw(st.lists(st.sampled_from(named), unique=True)) if named else []
        subscripts += "->" + "..." * ("..." in subscripts) + "".join(kept)
    return subscripts, shapes


@quick
@given(einsums())
def test_einsum_is_numpys(case):
    subscripts, shapes = case
    arrays = [normal(s, k) for k, s in enumerate(shapes)]
    xs = [leaf(a) for a in arrays]
    y = ops.einsum(subscripts, *xs)
    expected = np.einsum(subscripts, *arrays)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.data, expected, rtol=1e-11, atol=1e-12)
    # linear in each operand: y = <dy/dx, x>, whatever the weights
    w = normal(y.shape, 9)
    for g, x in zip(grad(y, xs, w, retain_graph=True), arrays, strict=True):
        total = (w * expected).sum()
        np.testing.assert_allclose((g.data * x).sum(), total, rtol=1e-9, atol=1e-10)
    # and each gradient is the same sum with a unit vector in the operand's place
    k = len(subscripts) % len(xs)
    if arrays[k].size:
        unit = np.zeros_like(arrays[k])
        unit.flat[-1] = 1
        others = [unit if i == k else a for i, a in enumerate(arrays)]
        found = grad(y, xs[k], w)[0].data.flat[-1]
        along = (np.einsum(subscripts, *others) * w).sum()
        np.testing.assert_allclose(found, along, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    "subscripts, shapes, message",
    [
        ("ij,jk", ((2, 3),), "names 2 operands, got 1"),
        ("ijk", ((2, 3),), "does not fit an operand of shape"),
        ("i", ((2, 3),), "does not fit an operand of shape"),
        ("ij->ik", ((2, 3),), "must name each of its letters once"),
        ("ij->ii", ((2, 3),), "must name each of its letters once"),
        ("ii", ((2, 3),), "two axes of different lengths"),
        ("i1", ((2, 3),), "may contain only letters"),
    ],
)
def test_einsum_refuses_with_a_sentence(subscripts, shapes, message):
    with pytest.raises(ValueError, match=message):
        ops.einsum(subscripts, *map(normal, shapes))


def test_einsum_takes_subscripts_first():
    with pytest.raises(TypeError, match="must be a string"):
        ops.einsum(normal((2,)), [0])


# --- Indices -------------------------------------------------------------------------------------


@quick
@given(st.data())
def test_indexing_is_numpys(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
    array = normal(shape)
    kind = data.draw(st.sampled_from(["basic", "integers", "mask"]))
    if kind == "basic":
        index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    elif kind == "integers":
        index = data.draw(hnp.integer_array_indices(shape))
    else:
        index = data.draw(hnp.arrays(bool, shape))
    x = leaf(array)
    y = x[index]
    np.testing.assert_array_equal(y.data, array[index])
    w = normal(y.shape, 5)
    expected = np.zeros(shape)
    np.add.at(expected, index, w)
    np.testing.assert_allclose(grad(y, x, w)[0].data, expected, rtol=1e-12, atol=1e-14)
    added = ops.scatter_add(shape, index, leaf(w))  # the other way round
    np.testing.assert_allclose(added.data, expected, rtol=1e-12, atol=1e-14)


@quick
@given(hnp.array_shapes(max_dims=3, max_side=4), st.data())
def test_take_is_numpys(shape, data):
    axis = data.draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    n = math.prod(shape) if axis is None else shape[axis]
    wanted = hnp.arrays(int, hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3),
                        elements=st.integers(-n, n - 1))  # fmt: skip
    indices = data.draw(wanted)
    array = normal(shape)
    np.testing.assert_array_equal(ops.take(array, indices, axis).data, array.take(indices, axis))
    with pytest.raises(IndexError):
        ops.take(array, [n], axis)
    with pytest.raises(TypeError, match="integers, not float64"):
        ops.take(array, [0.0], axis)


# --- Arguments that are refused, or mean something of their own ----------------------------------


def test_refusals_are_sentences():
    square, x = np.eye(2), np.ones((2, 3))
    for call, error, message in [
        (lambda: ops.linalg.inv(square.astype("f2")), TypeError, "takes float32 and float64 only"),
        (lambda: ops.linalg.det(np.eye(2, dtype=int)), TypeError, "not int64"),
        (lambda: ops.linalg.solve(square, np.ones(2, "f2")), TypeError, "not float16"),
        (lambda: ops.linalg.cholesky(x), ValueError, "square matrices"),
        (lambda: ops.linalg.norm(x, 3), ValueError, "ord of a matrix is .* not 3"),
        (lambda: ops.linalg.norm(x, "fro", 1), ValueError, "must be a number, not 'fro'"),
        (lambda: ops.linalg.vector_norm(x, ord=math.nan), ValueError, "must be a number, not nan"),
        (
            lambda: ops.linalg.norm(np.ones((2, 2, 2)), 2),
            ValueError,
            "one or two axes, got 3: use vector_norm",
        ),
        (lambda: ops.linalg.norm(x, axis=2), np.exceptions.AxisError, "linalg.norm"),
        (lambda: ops.linalg.norm([1, 2]), TypeError, "floating-point numbers, not int64"),
        (lambda: ops.linalg.norm(x.astype("f2"), "nuc"), TypeError, "svd takes float32 and"),
        (lambda: ops.linalg.svd(x, full_matrices=True), ValueError, "have no derivative: pass"),
        (lambda: ops.linalg.svd(np.ones(3)), ValueError, r"matrices \(..., M, N\)"),
        (lambda: ops.linalg.eigh(x), ValueError, "square matrices"),
        (lambda: ops.linalg.eigh(square, "l"), ValueError, "UPLO is 'l', but must be \"L\""),
        (lambda: ops.linalg.qr(x, "complete"), ValueError, 'only "reduced" has a gradient'),
        (lambda: ops.linalg.pinv(x.astype("f2")), TypeError, "pinv takes float32 and float64"),
        (lambda: ops.linalg.matrix_norm(np.ones(3)), ValueError, "takes matrices"),
        (lambda: ops.linalg.inv(np.zeros((2, 2))), np.linalg.LinAlgError, "[Ss]ingular"),
        (lambda: ops.linalg.cholesky(-square), np.linalg.LinAlgError, "positive definite"),
        (lambda: ops.pad(x, 1, "linear_ramp"), ValueError, "only these have a gradient: constant"),
        (lambda: ops.moveaxis(x, (0, 1), 0), ValueError, "one place per axis"),
        (lambda: ops.tensordot(x, x, 1), ValueError, "lengths"),
        (lambda: ops.tril(np.ones(3)), ValueError, "takes matrices"),
        (lambda: ops.rms_norm(x, np.ones(2)), ValueError, "lengths of the normalized axes"),
        (lambda: attention(x, x, np.ones((3, 2))), ValueError, "do not fit"),
        (lambda: attention(x, x, x, x == 1, True), ValueError, "attn_mask or is_causal, not both"),
    ]:
        with pytest.raises(error, match=message):
            call()


attention = ops.scaled_dot_product_attention


def test_integers_stay_integers_where_nothing_is_divided():
    x = np.arange(6).reshape(2, 3)
    for name, *arguments in [
        ("clip", 1, 4), ("flip",), ("roll", 1), ("pad", 1), ("tile", 2), ("repeat", 2), ("sort",),
        ("cumsum",), ("cumprod",), ("prod",), ("take", [0, 5]), ("tril",), ("diagonal",), ("abs",),
    ]:  # fmt: skip
        y, expected = getattr(ops, name)(x, *arguments), getattr(np, name)(x, *arguments)
        np.testing.assert_array_equal(y.data, expected)
        assert y.dtype == expected.dtype and not y.requires_grad, name
