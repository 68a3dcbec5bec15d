"""Attention with grouped heads, a window and a cap: who sees whom, and what it agrees with."""

import math
import tracemalloc

import numpy as np
import pytest
from kernel_cases import grouped_query_attention
from kernel_checks import both_dtypes, compared, normal

from autograd import Tensor, check_grad, grad, ops, use_kernels


def heads(B, H, G, T, S, D, dtype="f8"):
    return [normal(B, *shape, D, dtype=dtype, seed=i)
            for i, shape in enumerate([(H, T), (G, S), (G, S)])]  # fmt: skip


def attend(*qkv, **options):
    return ops.grouped_query_attention(*qkv, **options).data


@pytest.mark.parametrize("H, G", [(4, 4), (4, 2), (6, 1)])
@pytest.mark.parametrize("T, S", [(70, 70), (5, 70), (1, 5)])
@pytest.mark.parametrize("window", [None, 1, 9, 64, 1000])
def test_it_agrees_with_pytorch(H, G, T, S, window):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    arrays, g = heads(2, H, G, T, S, 8), normal(2, H, T, 8, seed=9)
    distance = np.arange(S - T, S)[:, None] - np.arange(S)
    seen = (distance >= 0) & (distance < (window or S))
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = torch.nn.functional.scaled_dot_product_attention(
        *theirs, attn_mask=torch.tensor(seen), enable_gqa=True
    )
    expected_grads = torch.autograd.grad(expected, theirs, torch.tensor(g))
    xs = [Tensor(a, requires_grad=True) for a in arrays]
    y = ops.grouped_query_attention(*xs, window=window)
    np.testing.assert_allclose(y.data, expected.detach().numpy(), atol=1e-13)
    for a, b in zip(grad(y, xs, g), expected_grads, strict=True):
        np.testing.assert_allclose(a.data, b.numpy(), atol=1e-13)


def test_with_a_head_of_keys_for_each_query_it_is_causal_attention():
    B, H, T, D = 2, 3, 130, 8
    qkv = normal(B, T, 3 * H * D)
    q, k, v = np.moveaxis(qkv.reshape(B, T, 3, H, D), (2, 3), (0, 2))
    y = np.swapaxes(attend(q, k, v), 1, 2).reshape(B, T, H * D)
    np.testing.assert_allclose(y, ops.causal_attention(qkv, H).data, rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"window": 1}, {"window": 3}, {"softcap": 0.5}])
@pytest.mark.parametrize("H, G, T, S", [(2, 2, 4, 4), (4, 2, 3, 3), (3, 1, 2, 5)])
@pytest.mark.parametrize("mode", ["auto", "reference"])
def test_gradients_to_second_order(options, H, G, T, S, mode):
    with use_kernels(mode):
        check_grad(
            lambda *qkv: ops.grouped_query_attention(*qkv, scale=0.7, **options),
            *heads(1, H, G, T, S, 3),
            order=2,
        )


@both_dtypes
@pytest.mark.parametrize("rows", [1, 63, 64, 65, 127, 200])
@pytest.mark.parametrize("old", [0, 1, 64, 100])
@pytest.mark.parametrize("window", [None, 1, 2, 63, 64, 65, 150, 1000])
def test_the_kernel_around_its_tiles(dtype, rows, old, window):
    softcap = 2.0 if (rows + old) % 2 else None
    case = grouped_query_attention("", window, softcap, old)
    case.run(compared(case.op, dtype, typical=1.0), **case.inputs(rows, 16, dtype))


@both_dtypes
@pytest.mark.parametrize("shape", [(0, 2, 1, 3, 3, 4), (2, 2, 1, 0, 3, 4), (2, 2, 1, 0, 0, 4),
                                   (2, 0, 1, 3, 3, 4), (2, 2, 1, 3, 5, 0)], ids=str)  # fmt: skip
@pytest.mark.parametrize("options", [{}, {"window": 2, "softcap": 3.0}])
def test_axes_of_length_0(dtype, shape, options):
    found = []
    for mode in ("auto", "reference"):
        xs = [Tensor(a, requires_grad=True) for a in heads(*shape, dtype=dtype)]
        with use_kernels(mode):
            y = ops.grouped_query_attention(*xs, **options)
            found.append([y, *grad(y, xs, np.ones(y.shape, dtype))])
    for a, b in zip(*found, strict=True):
        assert a.dtype == dtype
        np.testing.assert_array_equal(a.data, b.data)


@both_dtypes
@pytest.mark.parametrize("softcap", [None, 3.0])
def test_what_is_out_of_sight_changes_nothing(dtype, softcap):
    q, k, v = heads(1, 2, 1, 200, 200, 8, dtype)
    before = attend(q, k, v, window=50, softcap=softcap)
    for t in (0, 100, 199):
        other_k, other_v = k.copy(), v.copy()
        hidden = np.abs(np.arange(200) - t + 24.5) > 25  # all but t - 49 to t
        other_k[:, :, hidden], other_v[:, :, hidden] = 7, -3
        after = attend(q, other_k, other_v, window=50, softcap=softcap)
        np.testing.assert_array_equal(after[:, :, t], before[:, :, t])
        other_v[:, :, t] = 0
        assert (attend(q, k, other_v, window=50)[:, :, t] != before[:, :, t]).all()


@pytest.mark.parametrize("window", [None, 30])
def test_new_queries_with_old_keys_are_rows_of_the_whole(window):
    q, k, v = heads(2, 4, 2, 150, 150, 8)
    whole = attend(q, k, v, window=window)
    for T in (1, 20, 100):
        np.testing.assert_allclose(attend(q[:, :, -T:], k, v, window=window), whole[:, :, -T:])
        keys = slice(0, T)
        first = attend(q[:, :, keys], k[:, :, keys], v[:, :, keys], window=window)
        np.testing.assert_allclose(first, whole[:, :, keys])


@both_dtypes
def test_a_large_cap_changes_little_and_a_small_one_limits_scores(dtype):
    arrays = heads(1, 2, 2, 70, 70, 8, dtype)
    tolerance = 1e-5 if dtype == "f4" else 1e-12
    np.testing.assert_allclose(attend(*arrays, softcap=1e6), attend(*arrays), atol=tolerance)
    v = np.broadcast_to(np.eye(70, 8, dtype=dtype), (1, 2, 70, 8))
    weights = attend(100 * arrays[0], arrays[1], v, softcap=0.5)[0, :, -1]  # of the first 8 keys
    ratios = weights.max(axis=-1) / weights.min(axis=-1)  # scores of a head are -0.5 to 0.5
    np.testing.assert_allclose(ratios, math.e, rtol=1e-4)


@pytest.mark.parametrize("mode", ["auto", "reference"])
@both_dtypes
def test_scores_far_beyond_exp(mode, dtype):
    q, k, v = (np.array(x, dtype).reshape(1, 1, -1, 1) for x in ([1, 1], [0, 1e30], [3, 5]))
    g = np.array([1, 2], dtype).reshape(1, 1, 2, 1)
    xs = [Tensor(a, requires_grad=True) for a in (q, k, v)]
    with use_kernels(mode), np.errstate(over="raise", invalid="raise"):
        y = ops.grouped_query_attention(*xs)
        assert y.data.ravel().tolist() == [3, 5]
        assert [a.data.ravel().tolist() for a in grad(y, xs, g)] == [[0, 0], [0, 0], [1, 2]]
        capped = ops.grouped_query_attention(*xs, softcap=1.0)
        weight = 1 / (1 + math.exp(-1))  # the scores are 0 and 1
        np.testing.assert_allclose(capped.data.ravel(), [3, 3 + 2 * weight], rtol=1e-6)
        assert all(np.isfinite(a.data).all() for a in grad(capped, xs, g))


def test_nan_in_one_head_stays_in_its_group():
    q, k, v = heads(2, 4, 2, 70, 70, 4)
    before = attend(q, k, v)
    k[1, 0, 30] = np.nan
    after = attend(q, k, v)
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1, 2:], before[1, 2:])
    assert np.isnan(after[1, :2, 30:]).all()


def test_memory_is_linear_in_the_length():
    T = 2048
    arrays = [a.swapaxes(1, 2) for a in heads(1, T, T, 2, 2, 8, "f4")]  # (B, H, T, D), transposed
    xs = [Tensor(a, requires_grad=True) for a in arrays]
    ops.grouped_query_attention(*xs).sum().backward()  # compiles
    tracemalloc.start()
    ops.grouped_query_attention(*xs).sum().backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < T * T  # a quarter of one float32 matrix of scores


@pytest.mark.parametrize("options", [{}, {"window": 5, "softcap": 1.0}])
def test_heads_in_any_layout(options):
    q, k, v = heads(2, 4, 2, 9, 9, 4)
    transposed = [np.ascontiguousarray(a.swapaxes(1, 2)).swapaxes(1, 2) for a in (q, k, v)]
    cache = np.zeros((2, 2, 2, 20, 4))
    cache[:, :, :, :9] = k, v
    expected = attend(q, k, v, **options)
    np.testing.assert_array_equal(attend(*transposed, **options), expected)
    np.testing.assert_array_equal(attend(q, *cache[:, :, :, :9], **options), expected)


@pytest.mark.parametrize(
    "q, k, v",
    [
        ((1, 4, 3, 2), (1, 3, 3, 2), (1, 3, 3, 2)),  # 4 heads do not divide into 3
        ((1, 4, 3, 2), (1, 0, 3, 2), (1, 0, 3, 2)),
        ((1, 4, 3, 2), (1, 2, 2, 2), (1, 2, 2, 2)),  # more queries than keys
        ((1, 4, 3, 2), (1, 2, 3, 2), (1, 2, 4, 2)),
        ((1, 4, 3, 2), (2, 2, 3, 2), (2, 2, 3, 2)),
        ((1, 4, 3, 2), (1, 2, 3, 4), (1, 2, 3, 4)),
        ((4, 3, 2), (4, 3, 2), (4, 3, 2)),
    ],
    ids=str,
)
def test_shapes_that_do_not_fit(q, k, v):
    with pytest.raises(ValueError, match="grouped_query_attention: q .* do not fit"):
        attend(*map(np.ones, (q, k, v)))


def test_wrong_options():
    arrays = heads(1, 2, 1, 3, 3, 2)
    with pytest.raises(ValueError, match="window is 0, but must be at least 1"):
        attend(*arrays, window=0)
    with pytest.raises(TypeError, match="window must be an integer, not the float 2.0"):
        attend(*arrays, window=2.0)
    for softcap in (0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="softcap is .*, but must be positive and finite"):
            attend(*arrays, softcap=softcap)
    with pytest.raises(TypeError, match="scale must be a number"):
        attend(*arrays, scale="1")


LENGTHS = [[5, 60, 1, 64, 20], [150], [1, 1, 83, 65]]  # of the documents in three rows of 150


def starts(lengths):
    """The documents of a row, as the operation takes them."""
    return np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)


@both_dtypes
@pytest.mark.parametrize("mode", ["auto", "reference"])
@pytest.mark.parametrize("options", [{}, {"window": 30}, {"window": 70, "softcap": 1.5}])
def test_a_row_of_documents_is_its_documents(options, mode, dtype):
    arrays, g = heads(3, 4, 2, 150, 150, 8, dtype), normal(3, 4, 150, 8, dtype=dtype, seed=9)
    documents = np.stack([starts(row) for row in LENGTHS])
    tolerance = 1e-5 if dtype == "f4" else 1e-13
    with use_kernels(mode):
        xs = [Tensor(a, requires_grad=True) for a in arrays]
        y = ops.grouped_query_attention(*xs, documents=documents, **options)
        whole = [y, *grad(y, xs, g)]
        for b, row in enumerate(LENGTHS):
            for start, length in zip(np.cumsum([0, *row]), row, strict=False):
                part = (slice(b, b + 1), slice(None), slice(start, start + length))
                xs = [Tensor(a[part], requires_grad=True) for a in arrays]
                y = ops.grouped_query_attention(*xs, **options)
                for a, alone in zip(whole, [y, *grad(y, xs, g[part])], strict=True):
                    np.testing.assert_allclose(a.data[part], alone.data, atol=tolerance)


@both_dtypes
@pytest.mark.parametrize("dtype_of_documents", [np.uint8, np.int32])
def test_other_documents_change_nothing_and_get_no_gradient(dtype_of_documents, dtype):
    q, k, v = heads(1, 2, 1, 150, 150, 8, dtype)
    documents = starts([5, 60, 1, 64, 20])[None].astype(dtype_of_documents)
    before = attend(q, k, v, documents=documents)
    own = slice(66, 130)
    other_k, other_v = np.full_like(k, 9), np.full_like(v, -3)
    other_k[:, :, own], other_v[:, :, own] = k[:, :, own], v[:, :, own]
    after = attend(q, other_k, other_v, documents=documents)
    np.testing.assert_array_equal(after[:, :, own], before[:, :, own])
    g = np.zeros_like(q)
    g[:, :, own] = 1
    xs = [Tensor(a, requires_grad=True) for a in (q, k, v)]
    for a in grad(ops.grouped_query_attention(*xs, documents=documents), xs, g):
        assert np.abs(a.data[:, :, own]).min(axis=-1).max() > 0
        assert not a.data[:, :, :66].any() and not a.data[:, :, 130:].any()


@both_dtypes
@pytest.mark.parametrize("window", [None, 40])
def test_starts_in_any_order(dtype, window):
    """The kernel skips what no query of a tile sees, whichever of them sees most."""
    arrays, g = heads(2, 2, 1, 200, 210, 8, dtype), normal(2, 2, 200, 8, dtype=dtype, seed=9)
    documents = np.random.default_rng(0).integers(0, 11 + np.arange(200), (2, 200))
    found = []
    for mode in ("auto", "reference"):
        xs = [Tensor(a, requires_grad=True) for a in arrays]
        with use_kernels(mode):
            y = ops.grouped_query_attention(*xs, window=window, documents=documents)
            found.append([y, *grad(y, xs, g)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.data, b.data, atol=1e-5 if dtype == "f4" else 1e-13)


def test_one_document_from_the_start_is_the_same_bit_for_bit():
    arrays = heads(2, 4, 2, 100, 100, 8, "f4")
    documents = np.zeros((2, 100), int)
    np.testing.assert_array_equal(attend(*arrays, documents=documents), attend(*arrays))


def test_documents_are_checked():
    arrays = heads(2, 2, 1, 3, 5, 4)
    fits = [[0, 3, 3], [2, 2, 4]]
    attend(*arrays, documents=np.array(fits))
    for wrong, error, sentence in [
        (np.zeros((2, 5), int), ValueError, r"documents has shape \(2, 5\), expected \(2, 3\)"),
        (np.zeros((2, 3)), TypeError, "documents must be integers, not float64"),
        (np.array([[0, 3, 3], [2, 2, 5]]), ValueError, r"documents\[1, 2\] is 5, expected .* to 4"),
        (np.array([[0, -1, 3], [2, 2, 4]]), ValueError, r"documents\[0, 1\] is -1"),
    ]:
        with pytest.raises(error, match=sentence):
            attend(*arrays, documents=wrong)
