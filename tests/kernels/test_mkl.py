"""Large products by MKL, which TINYGRAD_LLM_BLAS=mkl asks for: shared among threads, and refused.

Without the package ``mkl``, NumPy's OpenBLAS takes its place here: it has the same C function.
"""

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.kernels import _blas, _gemm, _mkl, product
from autograd.kernels.product import choice, cpu
from autograd.kernels.product.cpu import multiply
from tinygrad_llm import cli
from tinygrad_llm.commands import info

needs_openblas = pytest.mark.skipif(
    _blas.integer_bits() != 64, reason="NumPy's BLAS is no OpenBLAS with integers of 64 bits"
)


@pytest.fixture(autouse=True)
def chosen(monkeypatch):
    monkeypatch.setenv(_mkl.VARIABLE, "mkl")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)


@pytest.fixture
def calls(monkeypatch):
    """The sizes of the products that OpenBLAS computes in MKL's place."""
    sizes = []

    def counted(letter):
        whole, number = ctypes.c_int64, dict(_mkl._NUMBERS.values())[letter]
        kinds = "iiillldplpldpl"  # flags, sizes, scale, a, step, b, step, scale, out, step
        types = {"i": ctypes.c_int, "l": whole, "d": number, "p": ctypes.c_void_p}
        function = ctypes.CFUNCTYPE(None, *(types[k] for k in kinds))(_blas.cblas("gemm")[letter])

        def gemm(*arguments):
            sizes.append(arguments[3:6])
            function(*arguments)

        return gemm

    mkl = SimpleNamespace(
        cblas_sgemm=counted("s"), cblas_dgemm=counted("d"), MKL_Set_Num_Threads_Local=lambda n: 0
    )
    monkeypatch.setattr(_mkl, "library", lambda: mkl)
    return sizes


def normal(*shape, dtype="f4", seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype)


@needs_openblas
@pytest.mark.parametrize("threads", [1, 2, 3, 6])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_threads_share_a_product(calls, dtype, threads, monkeypatch):
    monkeypatch.setattr(_gemm, "n_threads", lambda: threads)
    for M, K, N in [(130, 90, 100), (40, 400, 70), (17, 1000, 65), (4, 70, 5000)]:
        for a in (normal(M, K + 3, dtype=dtype)[:, 2:-1], normal(K, M, dtype=dtype).T):
            for b in (normal(K, N, dtype=dtype), normal(N, K + 1, dtype=dtype)[:, 1:].T):
                for add in (False, True):
                    out = normal(M, N + 2, dtype=dtype, seed=1)
                    expected = out.astype("f8")
                    expected[:, 1:-1] = a.astype("f8") @ b + (expected[:, 1:-1] if add else 0)
                    _gemm.gemm_all_threads(a, b, out[:, 1:-1], add)
                    tolerance = np.finfo(dtype).eps * 4 * K
                    np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance)
    M, N, _ = calls[-1]  # of the last product, columns are shared
    assert M == 4 and abs(N - 5000 / threads) < 100


def test_the_grid_copies_least():
    assert _gemm._grid(1, 10, 10) == (1, 1)
    assert _gemm._grid(2, 4096, 384) == (2, 1)  # b is the smaller: both threads read all of it
    assert _gemm._grid(2, 384, 4096) == (1, 2)
    assert _gemm._grid(16, 2048, 2048) == (4, 4)


@needs_openblas
def test_what_mkl_does_not_take_numpys_blas_does(calls):
    large, small = normal(256, 256), normal(8, 8)
    for a, b, out in [
        (small, small, small.copy()),
        (large[::2, ::2], large[:128], np.empty((128, 256), "f4")),
        (large, large.astype("f8"), np.empty((256, 256))),
    ]:
        assert not _mkl.takes(a, b, out)
    _gemm.gemm_all_threads(small, small, np.empty((8, 8), "f4"), False)
    assert not calls
    multiply(large, large, np.empty((256, 256), "f4"))
    assert calls


@needs_openblas
def test_a_layer_gives_the_same_results(calls, monkeypatch):
    x, weight, bias, g = normal(300, 80), normal(120, 80), normal(120), normal(300, 120)

    def results():
        xs = [Tensor(a, requires_grad=True) for a in (x, weight, bias)]
        y = ops.linear(*xs)
        y.backward(g)
        return [y.data, *(t.grad for t in xs)]

    found = results()
    assert len(calls) >= 3  # y, and the gradients of x and weight
    monkeypatch.setenv(_mkl.VARIABLE, "numpy")
    for a, b in zip(found, results(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_threads_as_the_user_says(monkeypatch):
    assert _mkl.threads(4) == 4
    for value, threads in [("2", 2), ("8", 4), ("0", 4), ("many", 4), ("", 4)]:
        monkeypatch.setenv("MKL_NUM_THREADS", value)
        assert _mkl.threads(4) == threads


@pytest.mark.parametrize(
    "value, sentence",
    [
        ("blis", "TINYGRAD_LLM_BLAS is 'blis', expected 'auto', 'numpy', 'mkl' or 'kernel': set"),
        ("mkl", "there is no libmkl_rt in .*: install it with `pip install mkl`, or unset"),
    ],
)
def test_a_blas_that_is_not_there_is_one_sentence(value, sentence, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(_mkl.VARIABLE, value)
    for name in ("prefix", "base_prefix"):
        monkeypatch.setattr(_mkl.sys, name, str(tmp_path))
    monkeypatch.setattr(_mkl.site, "getuserbase", lambda: str(tmp_path))
    _mkl.library.cache_clear()
    with pytest.raises(ValueError, match=sentence):
        _gemm.gemm_all_threads(*(normal(256, 256) for _ in range(3)), True)
    assert cli.main(["data", "list"]) == 2
    error = capsys.readouterr().err
    assert _mkl.VARIABLE in error and len(error.splitlines()) == 1
    _mkl.library.cache_clear()


def test_a_library_that_cannot_be_loaded_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(_mkl.sys, "prefix", str(tmp_path))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libmkl_rt.so.3").write_text("no library")
    _mkl.library.cache_clear()
    with pytest.raises(ValueError, match="cannot be loaded .*`pip install --force-reinstall mkl"):
        _mkl.library()


def test_the_kernel_of_this_project(monkeypatch):
    monkeypatch.setenv(_mkl.VARIABLE, "kernel")
    if product.method("float32") is None:
        pytest.skip("the kernel needs AVX512-BF16")
    calls, packed = [], cpu._multiply_packed
    monkeypatch.setattr(cpu, "_multiply_packed", lambda *a: calls.append(a) or packed(*a))
    a, b = normal(300, 200), normal(200, 170)
    found = np.empty((300, 170), np.float32)
    multiply(a, b, found)
    np.testing.assert_allclose(found, a @ b, rtol=1e-4, atol=1e-4)
    assert calls


def test_the_kernel_of_this_project_where_it_cannot_compute(monkeypatch, capsys):
    monkeypatch.setenv(_mkl.VARIABLE, "kernel")
    monkeypatch.setattr(choice, "method", lambda precision: None)
    with pytest.raises(ValueError, match="needs numba and a processor with AVX512-BF16: unset"):
        multiply(normal(300, 200), normal(200, 170), np.empty((300, 170), np.float32))
    assert cli.main(["data", "list"]) == 2
    error = capsys.readouterr().err
    assert _mkl.VARIABLE in error and len(error.splitlines()) == 1


def test_info_names_the_library(monkeypatch):
    monkeypatch.setattr(_mkl, "version", lambda: "MKL 1.2")
    assert info.large_products().startswith("MKL 1.2, ")
    monkeypatch.setenv(_mkl.VARIABLE, "kernel")
    assert "of this project in float32" in info.large_products()
    monkeypatch.setenv(_mkl.VARIABLE, "numpy")
    assert info.large_products() == "NumPy's BLAS"
    monkeypatch.delenv(_mkl.VARIABLE)
    assert ("this project" in info.large_products()) == (product.method("float32") is not None)


def test_mkl_itself():
    _mkl.library.cache_clear()
    try:
        assert "Math Kernel Library" in _mkl.version()
    except ValueError:
        pytest.skip("the package mkl is not installed")
    a, b = normal(300, 200), normal(200, 170)
    results = []
    for shift in (0, 1, 5):  # the same numbers elsewhere in memory
        x, y = (np.empty(m.size + 16, "f4")[shift:][: m.size].reshape(m.shape) for m in (a, b))
        x[:], y[:] = a, b
        out = np.full((300, 170), np.nan, "f4")
        _gemm.gemm_all_threads(x, y, out, False)
        results.append(out)
    np.testing.assert_allclose(results[0], a.astype("f8") @ b, rtol=0, atol=1e-4)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
