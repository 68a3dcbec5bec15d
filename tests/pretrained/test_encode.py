"""Weights as F16, BF16 and Q8_0: the bytes of the gguf library, and numbers that do not fit."""

import numpy as np
import pytest

from tinygrad_llm.errors import UserError
from tinygrad_llm.pretrained import encode
from tinygrad_llm.pretrained.encode import encoded, size_in_bytes
from tinygrad_llm.quantized.blocks import dequantize

FORMS = ["F32", "F16", "BF16", "Q8_0"]
every_form = pytest.mark.parametrize("form", FORMS)


def bytes_of(weights, form):
    return np.concatenate([piece.reshape(-1) for piece in encoded(weights, form, "w")])


def awkward(rows=40, scale=1.0):
    """Random weights, and blocks with zeros, halves and exact numbers."""
    weights = np.random.default_rng(0).standard_normal((rows, 96)).astype(np.float32)
    weights[0, :32] = 0
    weights[1, :32] = np.arange(32) / 2 - 8
    weights[1, 0] = 127  # so d is 1, and the others are halves
    weights[2, :32] = -weights[1, :32]
    return weights * np.float32(scale)


@every_form
@pytest.mark.parametrize("scale", [1, 1e-3, 1e-8, 200])
def test_bytes_are_those_of_the_gguf_library(form, scale):
    gguf = pytest.importorskip("gguf", reason="gguf is not installed")
    weights = awkward(scale=scale)
    expected = gguf.quants.quantize(weights, gguf.GGMLQuantizationType[form])
    assert bytes_of(weights, form).tobytes() == expected.tobytes()


@every_form
def test_pieces_do_not_matter(form, monkeypatch):
    whole = bytes_of(awkward(), form)
    monkeypatch.setattr(encode, "PIECE", 64)
    assert bytes_of(awkward(), form).tobytes() == whole.tobytes()
    assert whole.nbytes == size_in_bytes((40, 96), form)


@every_form
def test_order_is_c_order_whatever_the_layout(form):
    weights = awkward()
    turned = np.asfortranarray(weights)
    assert bytes_of(turned, form).tobytes() == bytes_of(weights, form).tobytes()


@pytest.mark.parametrize(
    ("form", "bound"), [("F32", 0), ("F16", 2**-11), ("BF16", 2**-8), ("Q8_0", 0.5 / 127 + 2**-11)]
)
def test_error_is_bounded(form, bound):
    """Relative to the largest weight of a block."""
    weights = awkward()
    found = dequantize(bytes_of(weights, form).reshape(40, -1), form)
    largest = np.abs(weights.reshape(40, 3, 32)).max(axis=-1).repeat(32, axis=-1)
    assert (np.abs(found - weights) <= bound * largest).all()


def test_bf16_rounds_to_even_and_keeps_nan_and_infinity():
    numbers = np.array([1 + 2**-8, 1 + 3 * 2**-8, np.nan, np.inf, -np.inf, -0.0], np.float32)
    numbers = np.append(numbers, np.uint32(0x7F800001).view(np.float32))  # a NaN of low bits only
    found = dequantize(bytes_of(numbers, "BF16"), "BF16")
    np.testing.assert_array_equal(found[:2], [1, 1 + 2**-6])
    assert np.isnan(found[2]) and np.isnan(found[6])
    np.testing.assert_array_equal(found[3:5], [np.inf, -np.inf])
    assert np.signbit(found[5])


@pytest.mark.parametrize(
    ("form", "number", "message"),
    [
        ("F16", 65520, "tensor w cannot be stored as F16: it contains 65520, beyond the largest"),
        ("BF16", 3.4e38, "tensor w cannot be stored as BF16: it contains 3.4e[+]38"),
        ("Q8_0", 9e6, "tensor w cannot be stored as Q8_0: it contains 70866.1"),
        ("Q8_0", np.nan, "tensor w cannot be stored as Q8_0: it contains NaN"),
    ],
)
def test_numbers_that_do_not_fit(form, number, message):
    weights = awkward()
    weights[3, 5] = number
    with pytest.raises(UserError, match=message):
        bytes_of(weights, form)
