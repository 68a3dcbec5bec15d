"""Matrix products in compiled kernels: every layout, the errors, and the same in Python."""

import numpy as np
import pytest

from autograd.kernels import _blas, _gemm
from autograd.kernels._gemm import gemm_in_kernel
from autograd.kernels._jit import jit

needs_openblas = pytest.mark.skipif(not _gemm.available(), reason="NumPy's BLAS is not OpenBLAS")
ways = pytest.mark.parametrize("way", [pytest.param("compiled", marks=needs_openblas), "python"])


@jit
def call(a, b, out, scale, add):
    gemm_in_kernel(a, b, out, scale, add)


@jit
def turn(a, out):
    _gemm.transpose(a, out)


def run(way, *arguments):
    return call(*arguments) if way == "compiled" else gemm_in_kernel(*arguments)


def normal(*shape, dtype="f8"):
    return np.random.default_rng(shape).standard_normal(shape).astype(dtype)


@ways
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "M, N, K", [(1, 1, 1), (3, 1, 5), (1, 4, 1), (5, 7, 0), (0, 2, 3), (33, 17, 40)]
)
@pytest.mark.parametrize("add", [False, True])
def test_product_in_every_layout(way, dtype, M, N, K, add):
    wide_a, wide_b = normal(M, K + 3, dtype=dtype), normal(K, N + 2, dtype=dtype)
    for a in (wide_a[:, 1 : K + 1], np.asfortranarray(wide_a[:, :K]), normal(K, M, dtype=dtype).T):
        for b in (wide_b[:, 2:], np.asfortranarray(wide_b[:, :N]), normal(N, K, dtype=dtype).T):
            whole = normal(M, N + 4, dtype=dtype)
            before, out = whole.copy(), whole[:, 1 : N + 1]
            run(way, a, b, out, out.dtype.type(0.5), add)
            expected = 0.5 * (a.astype("f8") @ b) + (before[:, 1 : N + 1] if add else 0)
            # a sum of K products: its rounding has the size of the terms, not of the result
            atol = 2 * np.finfo(dtype).eps * (K + 1) * np.abs(expected).max(initial=0)
            np.testing.assert_allclose(out, expected, rtol=0, atol=atol)
            np.testing.assert_array_equal(
                whole[:, 0], before[:, 0]
            )  # nothing next to it is touched
            np.testing.assert_array_equal(whole[:, N + 1 :], before[:, N + 1 :])


@ways
def test_what_was_in_out_does_not_matter_without_add(way):
    out = np.full((2, 2), np.nan)
    run(way, np.eye(2), np.eye(2), out, 3.0, False)
    np.testing.assert_array_equal(out, 3 * np.eye(2))


@needs_openblas
def test_a_matrix_that_blas_cannot_take_is_refused():
    a, square = normal(4, 8), normal(4, 4)
    with pytest.raises(ValueError, match="shapes must be"):
        call(a, a, square, 1.0, False)
    for arguments in [(a[:, ::2], square, square.copy()), (square, a[:, ::2], square.copy())]:
        with pytest.raises(ValueError, match="neither axis is contiguous, and BLAS needs one"):
            call(*arguments, 1.0, False)
    with pytest.raises(ValueError, match="last axis of out must be contiguous"):
        call(square, square, np.zeros((4, 4)).T, 1.0, False)
    with pytest.raises(ValueError, match="neither axis is contiguous, and BLAS needs one"):
        call(square, np.broadcast_to(square[0], (4, 4)), np.zeros((4, 4)), 1.0, False)


@needs_openblas
def test_one_thread_each_restores_the_setting():
    count = _blas.openblas()("get_num_threads")
    before = count()
    with _blas.one_thread_each():
        assert count() == 1
    assert count() == before


@pytest.mark.parametrize("add", [False, True])
def test_gemm_all_threads_is_called_from_python(add):
    a, b, out = normal(5, 300), normal(300, 7), normal(5, 7)
    expected = a @ b + (out if add else 0)
    _gemm.gemm_all_threads(a, b, out, add)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-12)


@ways
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("M, N", [(1, 1), (0, 3), (3, 0), (5, 7), (64, 33), (130, 64)])
def test_transpose_into_a_view(way, dtype, M, N):
    a, out = normal(M, N + 2, dtype=dtype)[:, 1:-1], normal(N, M + 3, dtype=dtype)
    before = out.copy()
    (turn if way == "compiled" else _gemm.transpose)(a, out[:, 2:-1])
    np.testing.assert_array_equal(out[:, 2:-1], a.T)
    np.testing.assert_array_equal(out[:, :2], before[:, :2])  # nothing next to it is touched
    np.testing.assert_array_equal(out[:, -1], before[:, -1])


@needs_openblas
def test_a_transpose_that_blas_cannot_take_is_refused():
    with pytest.raises(ValueError, match="shape of out must be"):
        turn(normal(4, 8), np.zeros((4, 8)))
    with pytest.raises(ValueError, match="last axis is not contiguous"):
        turn(normal(4, 8)[:, ::2], np.zeros((4, 4)))
