"""GGUF's block formats: the same numbers as the gguf library's, bit for bit."""

import re
from pathlib import Path

import numpy as np
import pytest
from gguf_bytes import random_blocks

from tinygrad_llm.quantized.blocks import FORMATS, dequantize, unpack

PAGE = (Path(__file__).parents[2] / "docs" / "block_formats.md").read_text(encoding="utf-8")
RNG = np.random.default_rng(7)


def theirs(data, name):
    quants = pytest.importorskip("gguf.quants", reason="gguf is not installed")
    from gguf import GGMLQuantizationType

    with np.errstate(all="ignore"):
        return quants.dequantize(data, GGMLQuantizationType[name])


def assert_same_bits(found, expected):
    assert found.dtype == expected.dtype == np.float32 and found.shape == expected.shape
    nan = np.isnan(found) & np.isnan(expected)  # which of the many NaNs does not matter
    np.testing.assert_array_equal(np.where(nan, 0, found.view(np.int32)),
                                  np.where(nan, 0, expected.view(np.int32)))  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_random_blocks(name):
    """Any bytes are blocks; the scales among them are of every size, NaN and infinity too."""
    data = random_blocks(RNG, name, 50, 2048)
    assert_same_bits(dequantize(data, name), theirs(data, name))


SCALES = [0.0, -0.0, 6e-8, -6e-8, 1.0, -1.0, 65504.0, -65504.0, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", [name for name in FORMATS if "Q" in name])
def test_extreme_scales(name, scale):
    """The smallest and the largest float16, both zeros, and what is no number."""
    form = FORMATS[name]
    data = random_blocks(RNG, name, 8, 512)
    blocks = data.reshape(-1).view(form.layout)
    blocks["d"] = scale
    if "m" in form.layout.names:
        blocks["m"] = RNG.choice(SCALES, len(blocks))
    found = dequantize(data, name)
    assert_same_bits(found, theirs(data, name))
    if np.isnan(scale):
        assert np.isnan(found).all()
    elif np.isfinite(scale) and "m" not in form.layout.names:
        assert np.isfinite(found).all()


@pytest.mark.parametrize("name", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_what_the_library_quantizes(name):
    """Real weights come back to within a step of the format."""
    quants = pytest.importorskip("gguf.quants", reason="gguf is not installed")
    from gguf import GGMLQuantizationType

    weights = RNG.standard_normal((16, 256)).astype(np.float32)
    data = quants.quantize(weights, GGMLQuantizationType[name])
    found = dequantize(data, name)
    assert_same_bits(found, theirs(data, name))
    steps = {"Q8_0": 127, "Q4_0": 8, "Q4_1": 7.5, "Q5_0": 16, "Q5_1": 15.5}[name]
    assert 0 < np.abs(found - weights).max() < 1.1 * np.abs(weights).max() / steps


def test_sizes_are_the_librarys():
    gguf = pytest.importorskip("gguf", reason="gguf is not installed")
    for name, form in FORMATS.items():
        known = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
        assert known == (form.size, form.layout.itemsize), name


def test_unpack_takes_the_lowest_bits_first():
    packed = np.array([[0xE4, 0x1B]], np.uint8)  # 11 10 01 00 and 00 01 10 11
    assert unpack(packed, 2).tolist() == [[0, 3, 1, 2, 2, 1, 3, 0]]
    assert unpack(packed, 4).tolist() == [[4, 0xB, 0xE, 1]]


@pytest.mark.parametrize("name", [name for name in FORMATS if "Q" in name])
def test_bytes_that_are_no_whole_block(name):
    with pytest.raises(ValueError):
        dequantize(np.zeros(FORMATS[name].layout.itemsize + 1, np.uint8), name)


def test_input_is_not_changed_and_need_not_be_contiguous():
    data = random_blocks(RNG, "Q4_K", 6, 256)
    before = data.copy()
    np.testing.assert_array_equal(
        dequantize(data[::2], "Q4_K"), dequantize(data[::2].copy(), "Q4_K")
    )
    np.testing.assert_array_equal(data, before)


# --- docs/block_formats.md ------------------------------------------------------------------------


def test_the_table_of_formats():
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| ([\d.]+) \|", PAGE, re.M)
    shown = {name: (int(n), int(size), float(bits)) for name, n, size, bits in rows}
    expected = {
        name: (form.size, form.layout.itemsize, form.bits_per_weight)
        for name, form in FORMATS.items()
    }
    assert shown == expected


def test_the_worked_figures():
    scope = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    assert len(blocks) == 6 and all("assert" in code for code in blocks)
    for code in blocks:
        exec(compile(code, "docs/block_formats.md", "exec"), scope)  # our own documentation


@pytest.mark.parametrize("name", [name for name in FORMATS if "Q" in name])
def test_the_layouts_that_are_drawn(name):
    """The byte at which each field begins, and its name."""
    section = re.search(rf"^### [^\n]*{name}.*?(?=^##)", PAGE, re.M | re.S)[0]
    drawn = re.findall(r"^ {4}(?:byte +(\d+)|next) +(\w+)(?:\[\d+\])? ", section, re.M)
    layout = FORMATS[name].layout
    drawn = [(at, field) for at, field in drawn if field in layout.names]
    assert tuple(field for _, field in drawn) == layout.names
    for at, field in drawn:
        if at and name != "Q5_0":  # its fields come 2 bytes earlier than those of Q5_1
            assert layout.fields[field][1] == int(at)
