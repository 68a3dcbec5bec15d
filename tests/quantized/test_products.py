"""Products with stored weights equal those with the same weights as numbers, but for rounding."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.testing import check_grad
from tinygrad_llm.quantized.blocks import FORMATS, dequantize
from tinygrad_llm.quantized.decoding import decode_rows
from tinygrad_llm.quantized.linear import Product, embedding, linear, times_transposed
from tinygrad_llm.quantized.matrix import (
    INT8,
    STORED,
    QuantizedMatrix,
    q8_0_of_q5_0,
    quantize_int8,
)
from tinygrad_llm.quantized.products import multiply, table_row

SCRIPT = Path(__file__).parents[1] / "scripts" / "older_processor.py"


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def random_blocks(rng, rows, columns, name):
    """Rows of blocks with random bits and scales of ordinary size."""
    form = FORMATS[name]
    n = rows * columns // form.size
    blocks = np.frombuffer(rng.bytes(n * form.layout.itemsize), form.layout).copy()
    for field in ("d", "m"):
        if field in form.layout.names:
            blocks[field] = rng.uniform(0.001, 0.1, n)
    if name in ("F32", "F16", "BF16"):
        numbers = rng.standard_normal(n).astype(np.float32)
        blocks["w"] = numbers.view(np.uint32) >> 16 if name == "BF16" else numbers
    return blocks.view(np.uint8).reshape(rows, -1)


def random_matrix(rng, rows, columns, name):
    if name == INT8:
        return quantize_int8(rng.standard_normal((rows, columns)).astype(np.float32))
    data = random_blocks(rng, rows, columns, name)
    return QuantizedMatrix(data, name, (rows, columns))


def columns_of(name):
    """Numbers of columns: whole groups, and where rows may end within one, others."""
    if name in ("F32", "F16", "BF16", INT8):
        return (1, 31, 32, 100, 256)
    return (FORMATS[name].size, 512)


@pytest.mark.parametrize("name", STORED)
def test_products_equal_those_of_the_dequantized_matrix(name, rng):
    for columns in columns_of(name):
        matrix = random_matrix(rng, 37, columns, name)
        weights = matrix.dequantize(dtype=np.float64)
        for M in (1, 2, 3, 4, 5, 8, 16, 17):
            x = rng.standard_normal((M, columns)).astype(np.float32)
            size = np.abs(x) @ np.abs(weights.T)  # of the terms of each sum
            error = np.abs(times_transposed(x, matrix) - x @ weights.T)
            assert (error <= 1e-6 * size + 1e-30).all(), (columns, M)


@pytest.mark.parametrize("name", STORED)
def test_only_the_rows_from_begin_to_end_are_written(name, rng):
    matrix = random_matrix(rng, 9, 256, name)
    x, y = np.ones((5, 256), np.float32), np.full((5, 9), 7, np.float32)
    multiply(np.array(table_row(matrix), np.int64), x, y, 3, 5)
    np.testing.assert_array_equal(y[:, [0, 1, 2, 5, 6, 7, 8]], 7)
    np.testing.assert_allclose(y[0, 3:5], matrix.dequantize().sum(1)[3:5], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", STORED)
def test_bytes_may_start_anywhere(name, rng):
    """A mapped file aligns tensors to 32 bytes at most, and rows of blocks to none."""
    matrix = random_matrix(rng, 4, 256, name)
    room = np.empty(matrix.data.size + 3, np.uint8)
    shifted = room[3:].reshape(matrix.data.shape)
    shifted[:] = matrix.data
    moved = QuantizedMatrix(shifted, name, matrix.shape, matrix.scales)
    x = rng.standard_normal((2, 256)).astype(np.float32)
    np.testing.assert_array_equal(times_transposed(x, moved), times_transposed(x, matrix))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_reaches_the_result(value, rng):
    for name in STORED:
        matrix = random_matrix(rng, 3, 256, name)
        x = np.zeros((1, 256), np.float32)
        x[0, 5] = value
        assert not np.isfinite(times_transposed(x, matrix)).any(), name


@pytest.mark.parametrize("name", STORED)
def test_a_product_has_the_same_bits_whatever_is_computed_with_it(name, rng):
    """So a token has the same logits in a batch as alone, and on any number of threads."""
    for columns in columns_of(name)[-2:]:
        matrix = random_matrix(rng, 21, columns, name)
        row = np.array(table_row(matrix), np.int64)
        x = rng.standard_normal((16, columns)).astype(np.float32)
        whole = np.empty((16, 21), np.float32)
        multiply(row, x, whole, 0, 21)
        for M in (1, 2, 3, 7):
            for step in (1, 4):
                parts = np.empty((M, 21), np.float32)
                for begin in range(0, 21, step):
                    multiply(row, x[5 : 5 + M].copy(), parts, begin, min(begin + step, 21))
                np.testing.assert_array_equal(parts, whole[5 : 5 + M])


@pytest.mark.parametrize("name", [None, "x86-64"])
def test_an_older_processor_computes_the_same(name):
    """One without AVX, FMA and float16, too: every number of 16 bits is converted exactly."""
    if name is not None and platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip(f"this processor is a {platform.machine()}")
    older = {} if name is None else {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run(
        [sys.executable, SCRIPT], env=os.environ | older, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-6


@pytest.mark.parametrize("name", STORED)
def test_many_rows_of_x_get_the_same_weights(name, rng):
    """Decoded by the compiled kernels, some rows at a time."""
    for columns in columns_of(name):
        matrix = random_matrix(rng, 37, columns, name)
        expected = matrix.dequantize()
        scale = 1e-6 * np.abs(expected).max()
        out = np.full((11, columns), np.nan, np.float32)
        decode_rows(matrix, 20, out)
        np.testing.assert_allclose(out, expected[20:31], rtol=0, atol=scale)


# --- formats --------------------------------------------------------------------------------------


def test_q5_0_is_stored_as_q8_0_without_loss(rng):
    data = random_blocks(rng, 5, 96, "Q5_0")
    np.testing.assert_array_equal(dequantize(q8_0_of_q5_0(data), "Q8_0"), dequantize(data, "Q5_0"))


def test_int8_is_the_nearest_of_its_grid(rng):
    weights = rng.standard_normal((2000, 33)).astype(np.float32)
    weights[7] = 0
    matrix = quantize_int8(weights)
    error = np.abs(matrix.dequantize() - weights)
    assert (error <= np.abs(weights).max(1, keepdims=True) / 254 * 1.0001).all()
    assert np.abs(matrix.data.view(np.int8)).max(1).tolist() == [127] * 7 + [0] + [127] * 1992
    with pytest.raises(ValueError, match="NaN"):
        quantize_int8(np.array([[1, np.nan]], np.float32))


def test_a_matrix_refuses_what_is_not_one(rng):
    data = random_blocks(rng, 4, 64, "Q8_0")
    with pytest.raises(ValueError, match="is not one of"):
        QuantizedMatrix(data, "Q5_0", (4, 64))
    with pytest.raises(ValueError, match=r"are uint8 \(4, 34\), but these are uint8 \(4, 68\)"):
        QuantizedMatrix(data, "Q8_0", (4, 32))
    with pytest.raises(ValueError, match="contiguous"):
        QuantizedMatrix(np.asfortranarray(data), "Q8_0", (4, 64))
    with pytest.raises(ValueError, match="if its format is INT8"):
        QuantizedMatrix(data, "Q8_0", (4, 64), np.ones(4, np.float32))


# --- the operations -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Q4_0", INT8])
def test_the_derivative_of_a_product(name, rng):
    matrix = random_matrix(rng, 6, 32, name)
    x = rng.standard_normal((2, 3, 32))
    check_grad(lambda x: linear(x, matrix), [x], order=2)
    check_grad(lambda x: ops.sin(linear(x, matrix)), [x], order=2)


def test_a_planted_bug_in_the_derivative_is_found(rng, monkeypatch):
    matrix = random_matrix(rng, 32, 32, INT8)  # square: shapes hide nothing
    monkeypatch.setattr(Product, "backward", lambda self, xp, g: self.apply(xp, g))
    with pytest.raises(AssertionError):
        check_grad(lambda x: linear(x, matrix), [rng.standard_normal((2, 32))], order=1)


def test_many_rows_are_multiplied_tile_by_tile(rng, monkeypatch):
    matrix = random_matrix(rng, 100, 64, "Q8_0")
    monkeypatch.setattr("tinygrad_llm.quantized.linear.TILE", 64 * 7)
    x, bias = rng.standard_normal((5, 4, 64)).astype(np.float32), rng.standard_normal(100)
    y = linear(Tensor(x), matrix, Tensor(bias.astype(np.float32)))
    np.testing.assert_allclose(y.data, x @ matrix.dequantize().T + bias, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="as long as a row"):
        linear(Tensor(x[..., :32]), matrix)


def test_look_up_decodes_only_the_rows_it_needs(rng):
    for name in STORED:
        matrix = random_matrix(rng, 10, 256, name)
        ids = np.array([[3, 3, 9], [0, 1, 2]])
        np.testing.assert_array_equal(embedding(matrix, ids).data, matrix.dequantize()[ids])
        for wrong in (-1, 10):
            with pytest.raises(IndexError, match=f"id {wrong} is outside"):
                embedding(matrix, np.array([wrong]))
    with pytest.raises(TypeError, match="ids are integers"):
        embedding(matrix, np.array([0.5]))
