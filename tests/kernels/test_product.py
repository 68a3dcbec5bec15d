"""Products of large matrices, within the bounds that their README derives.

Where the processor lacks the instructions, the same tests run the slow path.
"""

import re
import threading
import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np
import pytest
from products import EPS, check, normal

from autograd import use_kernels
from autograd._bfloat16 import from_bf16, rounded
from autograd.device import numpy_namespace
from autograd.kernels import _processor, _threads, product
from autograd.kernels.product import block, choice, cpu, held

FOLDER = Path(product.__file__).parent
SIZES = [(1, 1, 1), (33, 17, 31), (32, 64, 96), (70, 300, 45), (5, 1, 200)]
both = pytest.mark.parametrize("precision", ["float32", "bf16"])


@pytest.fixture
def small_caches(monkeypatch):
    """Caches so small that every loop of the kernel turns; and all float32 products are its own."""
    monkeypatch.setattr(_processor, "cache_bytes", {1: 4096, 2: 30_000, 3: 40_000}.get)
    monkeypatch.setattr(cpu, "FEWEST", 1)
    monkeypatch.setattr(cpu, "LEAST_WORK", 1)
    if _processor.has("avx512f"):
        monkeypatch.setenv("TINYGRAD_LLM_BLAS", "kernel")
        own = {"float32": "float32", "bf16": product.method()}
        for module in (choice, cpu):
            monkeypatch.setattr(module, "method", own.get)


def layouts(x):
    """The same matrix as it may lie in memory."""
    wide = np.zeros((x.shape[0], x.shape[1] + 3), np.float32)
    wide[:, 2:-1] = x
    sparse = np.zeros((2 * x.shape[0], 3 * x.shape[1]), np.float32)
    sparse[::2, ::3] = x
    reversed_rows = np.ascontiguousarray(x[::-1])[::-1]
    return [x, np.asfortranarray(x), wide[:, 2:-1], reversed_rows, sparse[::2, ::3]]


# --- results --------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_layout_is_within_the_bound(small_caches, size, precision):
    M, K, N = size
    a, b, bias, before = normal(M, K), normal(K, N, seed=1), normal(N, seed=2), normal(M, N, seed=3)
    strided = np.repeat(bias, 2)[::2]
    for x in layouts(a):
        for y in layouts(b):
            check(product.product(numpy_namespace, x, y, None, precision), a, b, precision)
        found = product.product(numpy_namespace, x, b, strided, precision)
        check(found, a, b, precision, bias)
        room = np.full((M + 2, N + 5), 7.0, np.float32)
        out = room[1:-1, 2:-3]
        out[...] = before
        cpu.multiply(x, b, out, precision, add=True)
        check(out, a, b, precision, before)
        out[...] = 7.0
        assert (room == 7.0).all()  # nothing around it was written


@both
@pytest.mark.parametrize("size", [(0, 5, 3), (3, 5, 0), (3, 0, 4)], ids=str)
def test_empty_operands(size, precision):
    M, K, N = size
    bias = normal(N)
    found = product.product(numpy_namespace, normal(M, K), normal(K, N), bias, precision)
    assert found.shape == (M, N)
    if K == 0:
        np.testing.assert_array_equal(found, np.tile(bias, (M, 1)))


def test_a_wrong_product_is_beyond_the_bound():
    """Planted: digits cut off or not rounded, a number left out, a pair the wrong way round."""
    a, b = normal(40, 64), normal(64, 50, seed=1)

    def cut(x):
        return from_bf16((x.view(np.uint32) >> 16).astype(np.uint16))

    x, y = rounded(np, a), rounded(np, b)
    swapped = y.copy()
    swapped[[10, 11]] = y[[11, 10]]
    assert check(x @ y, a, b, "bf16")
    for wrong in (cut(a) @ cut(b), a @ b, x[:, :-1] @ y[:-1], x @ swapped):
        with pytest.raises(AssertionError):
            check(wrong, a, b, "bf16")


def test_numbers_are_rounded_as_the_definition_rounds_them():
    """1 x for many x: ties, the ends of the range, NaN, infinities, denormals."""
    bits = np.random.default_rng(0).integers(0, 1 << 32, 20_000, np.uint64).astype(np.uint32)
    ties = bits & 0xFFFF0000 | 0x8000
    ends = np.array([0, 1, 0x7FFFFF, 0x800000, 0x7F7F7FFF, 0x7F7F8000, 0x7F7FFFFF, 0x7F800000,
                     0x7F800001, 0x7FFFFFFF, 0x3F80FFFF], np.uint32)  # fmt: skip
    x = np.concatenate([bits, ties, ties + 1, ties - 1, ends, ends | 1 << 31]).view(np.float32)
    one = np.ones((1, 1), np.float32)
    for y in (x.reshape(1, -1), np.asfortranarray(np.tile(x, (1, 1)))):
        found = product.product(numpy_namespace, one, y, None, "bf16")
        np.testing.assert_array_equal(found[0], rounded(np, x))
    found = product.product(numpy_namespace, x.reshape(-1, 1), one, None, "bf16")
    np.testing.assert_array_equal(found[:, 0], rounded(np, x))


@both
def test_nan_and_infinity_stay_where_they_belong(small_caches, quiet, precision):
    a, b = normal(37, 70), normal(70, 35, seed=1)
    a[0, 0], a[-1, -1], a[20, 3] = np.inf, np.nan, -np.inf  # in tiles with padding too
    b[-1, 34], b[3, 5], b[0, 7] = np.inf, 0.0, np.nan
    found = product.product(numpy_namespace, a, b, None, precision)
    exact = rounded(np, a) if precision == "bf16" else a
    exact = exact.astype(np.float64) @ (rounded(np, b) if precision == "bf16" else b)
    finite = np.isfinite(exact)
    np.testing.assert_array_equal(found[~finite], exact[~finite])
    np.testing.assert_allclose(found[finite], exact[finite], rtol=1e-4, atol=1e-4)


def test_denormals_are_zero_in_bf16_alone(small_caches):
    a, b = np.full((32, 64), 1e-39, np.float32), np.full((64, 32), 1e30, np.float32)
    assert (product.product(numpy_namespace, a, b, None, "bf16") == 0).all()
    found = product.product(numpy_namespace, a, b, None, "float32")
    np.testing.assert_allclose(found, 64e-9, rtol=1e-5)


@both
def test_the_reference_differs_by_the_order_of_sums(small_caches, precision):
    a, b, bias = normal(50, 200), normal(200, 40, seed=1), normal(40, seed=2)
    found = product.product(numpy_namespace, a, b, bias, precision)
    with use_kernels("reference"):
        reference = product.product(numpy_namespace, a, b, bias, precision)
    size = np.abs(a) @ np.abs(b) + np.abs(bias)
    assert (np.abs(found - reference) <= 2 * 202 * EPS * size).all()


@both
def test_a_row_depends_neither_on_the_others_nor_on_threads(small_caches, monkeypatch, precision):
    if cpu.method(precision) is None:
        pytest.skip("BLAS computes these products here")
    a, b = normal(300, 150), normal(150, 64, seed=1)

    def multiplied(a, threads=1):
        for module in (_threads, cpu):
            monkeypatch.setattr(module, "n_threads", lambda: threads)
        return product.product(numpy_namespace, a, b, None, precision)

    whole = multiplied(a)
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(multiplied(a, threads), whole)
    np.testing.assert_array_equal(multiplied(a[90:131], 2), whole[90:131])
    other = a.copy()
    other[0] = np.inf
    np.testing.assert_array_equal(multiplied(other)[1:], whole[1:])


@both
@pytest.mark.parametrize("size", [(96, 40, 64), (70, 33, 48), (33, 32, 16)], ids=str)
def test_a_result_written_past_the_caches(small_caches, monkeypatch, size, precision):
    """It has the same bits, also at the edges, and nothing around it is written."""
    if cpu.method(precision) is None:
        pytest.skip("BLAS computes these products here")
    M, K, N = size
    monkeypatch.setattr(_processor, "cache_bytes", {1: 1 << 15, 2: 1 << 20, 3: 2000}.get)
    monkeypatch.setattr(cpu, "SMALL", 1)
    room = cpu.empty((M + 2, 2 * N))
    a, b, bias = normal(M, K), normal(K, N, seed=1), normal(N, seed=2)

    def multiplied():
        room[...] = 7.0
        cpu.multiply(a, b, room[1:-1, :N], precision, bias)
        assert (room[[0, -1]] == 7.0).all() and (room[:, N:] == 7.0).all()
        return room[1:-1, :N].copy()

    assert cpu._goes_past_the_caches(room[1:-1, :N])
    past = multiplied()
    monkeypatch.setattr(cpu, "_goes_past_the_caches", lambda out: False)
    np.testing.assert_array_equal(past, multiplied())


def test_what_is_written_past_the_caches(monkeypatch):
    """Large results of whole lines, which are written once."""
    monkeypatch.setattr(_processor, "cache_bytes", {3: 1 << 18}.get)
    large, small = cpu.empty((300, 128)), cpu.empty((200, 128))
    assert cpu._goes_past_the_caches(large) and not cpu._goes_past_the_caches(small)
    assert not cpu._goes_past_the_caches(cpu.empty((300, 129)))
    assert not cpu._goes_past_the_caches(large[:, 1:])


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("block_size", [1, 4, 8, 24])
def test_panels_are_shared_evenly(threads, block_size):
    for panels in range(1, 200):
        part = cpu._panels_of_a_part(panels, block_size, threads)
        assert 1 <= part <= block_size
        busiest = -(-panels // part // threads) * part
        assert busiest < panels / threads + block_size, (panels, part)
    assert cpu._panels_of_a_part(36, 8, 2) == 6  # parts of 4 would be 9, and 5 of them for one
    assert cpu._panels_of_a_part(12, 8, 2) == 6
    assert cpu._panels_of_a_part(128, 8, 2) == 8


# --- weights that are kept packed -----------------------------------------------------------------


def test_packed_weights_are_held_and_freed(small_caches, monkeypatch):
    packed = []
    monkeypatch.setattr(cpu, "method", lambda precision: "avx512-bf16")
    monkeypatch.setattr(cpu, "pack", lambda b, how: packed.append(b.shape) or (b.shape, how))
    monkeypatch.setattr(cpu, "_multiply_packed", lambda *arguments: None)
    w, x = normal(6, 8), normal(3, 8)

    def forward(weight):
        cpu.multiply(x, cpu.Weight(weight, turned=True), np.empty((3, 6), np.float32), "bf16")

    forward(w)
    forward(w)
    assert packed == [(8, 6)] * 2 and not held.held()
    with product.packed_weights_held():
        with product.packed_weights_held():
            forward(w)
            forward(w)
            cpu.multiply(normal(3, 6), cpu.Weight(w), np.empty((3, 8), np.float32), "bf16")
        assert packed[2:] == [(8, 6), (6, 8)] and len(held._held.get()) == 2
        cpu.multiply(x, w.T, np.empty((3, 6), np.float32), "bf16")  # no weight: packed anew
        other = w.copy()
        forward(other)
        assert len(packed) == 6 and len(held._held.get()) == 3
        del other
        assert len(held._held.get()) == 2
    assert not held.held()


def test_weights_are_held_for_one_thread(small_caches):
    with product.packed_weights_held():
        other = threading.Thread(target=lambda: found.append(held.held()))
        found = []
        other.start()
        other.join()
        assert found == [False] and held.held()


@both
def test_a_matrix_packed_in_slices_gives_the_same_bits(small_caches, precision):
    x, w, bias = normal(70, 300), normal(130, 300, seed=1), normal(130, seed=2)
    y, whole = (np.empty((70, 130), np.float32) for _ in range(2))
    cpu.multiply(x, cpu.Weight(w, turned=True), y, precision, bias)
    with product.packed_weights_held():
        cpu.multiply(x, cpu.Weight(w, turned=True), whole, precision, bias)
    np.testing.assert_array_equal(y, whole)


# --- the derivation -------------------------------------------------------------------------------


def test_the_numbers_of_the_derivation(monkeypatch):
    text = (FOLDER / "README.md").read_text()
    for name, how, first, second, row in (
        ("vectors", "avx512-bf16", 32 << 10, 1 << 20, "32 KB | 1 MB | 24 | 48 KB | 8 | 256"),
        ("tiles", "amx", 48 << 10, 2 << 20, "48 KB | 2 MB | 16 | 32 KB | 24 | 768"),
    ):
        monkeypatch.setattr(_processor, "cache_bytes", {1: first, 2: second}.get)
        stretch = cpu.longest_stretch(how)
        panels = cpu.block_panels(stretch)
        assert f"| {name} | {row} |" in text
        assert row.endswith(
            f"{stretch} | {stretch * block.STEP >> 10} KB | {panels} | {32 * panels}"
        )
    x = np.exp2(np.random.default_rng(0).uniform(0, 1, 100_000)).astype(np.float32)
    errors = rounded(np, x) / x.astype(np.float64) - 1
    assert np.abs(errors).max() <= 2.0**-8
    rms = np.sqrt((errors**2).mean())
    np.testing.assert_allclose(rms, 2.0**-8 / np.sqrt(8 * np.log(2)), rtol=0.01)
    assert f"{rms:.2%}" == "0.17%" and "0.17 %" in text


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.svg")), ids=lambda p: p.stem)
def test_pictures_are_whole_and_have_two_schemes(path):
    root = xml.parse(path).getroot()
    assert f"]({path.name})" in (FOLDER / "README.md").read_text()
    assert "prefers-color-scheme: dark" in path.read_text()
    names = {element.tag.partition("}")[2] for element in root.iter()}
    assert names <= {"svg", "title", "style", "defs", "marker", "path", "rect", "text"}
    classes = {name for e in root.iter() for name in e.get("class", "").split()}
    assert classes <= set(re.findall(r"\.([\w-]+)", root.find("{*}style").text))
