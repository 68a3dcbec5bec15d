"""Parameters in GGUF files, in every format: as numbers, in blocks of rows, and as stored."""

import re
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from gguf_bytes import file, info, pair, random_blocks, string, u32

from autograd import Parameter
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.mapping import AROUND
from tinygrad_llm.pretrained import gguf_gpt2
from tinygrad_llm.pretrained.gguf_file import PIECE, read_gguf
from tinygrad_llm.pretrained.gguf_names import unpermute
from tinygrad_llm.pretrained.gguf_source import GGUFSource
from tinygrad_llm.quantized.blocks import FORMATS, dequantize
from tinygrad_llm.quantized.matrix import STORED, QuantizedMatrix

SCRIPT = Path(__file__).parent.parent / "scripts" / "peak_of_loading.py"
LLAMA = {"model_type": "llama", "num_attention_heads": 2, "num_key_value_heads": 2}
every_format = pytest.mark.parametrize("form", FORMATS)


def finite_blocks(rng, form, *shape):
    """Random bytes of weights none of which is NaN or infinite."""
    data = random_blocks(rng, form, *shape)
    fields = data.reshape(-1).view(FORMATS[form].layout)
    if "w" in fields.dtype.names:
        data.reshape(-1, fields.itemsize)[:, -1] &= 0x3B  # a small exponent
    for name in {"d", "m"} & {*fields.dtype.names}:
        fields[name] = rng.uniform(-0.1, 0.1, len(fields))
    return data


def source(folder, data, shape, form, name="blk.0.ffn_up.weight", finite=True, **options):
    path = folder / "model.gguf"
    path.write_bytes(file([], [info(name, shape, form, 0)], data.tobytes()))
    return GGUFSource(read_gguf(path), name, LLAMA | options, finite)


# --- what a source gives --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["blk.0.ffn_up.weight", "blk.0.attn_q.weight"])
@every_format
def test_numbers_blocks_and_matrix_have_the_same_weights(tmp_path, form, name):
    """More rows than are read at once, in the file's order or in another."""
    shape = (PIECE // 256 + 4, 256)
    data = finite_blocks(np.random.default_rng(0), form, *shape)
    expected = dequantize(data, form)
    if "attn_q" in name:
        expected = unpermute(expected, 2)
    found = source(tmp_path, data, shape, form, name)
    np.testing.assert_array_equal(found.numbers("float32"), expected)
    np.testing.assert_array_equal(np.concatenate([*found.blocks()]), expected)
    matrix = found.matrix()
    assert isinstance(matrix, QuantizedMatrix) == (form in (*STORED, "Q5_0"))
    numbers = matrix.data if isinstance(matrix, Parameter) else matrix.dequantize()
    np.testing.assert_array_equal(numbers, expected)
    assert found.shape == matrix.shape == shape


def test_a_norm_of_gemma_is_stored_as_one_more(tmp_path):
    data = np.array([1.5, 0.5], "<f4")
    for kind, expected in (("gemma3_text", [0.5, -0.5]), ("llama", [1.5, 0.5])):
        norm = source(tmp_path, data, (2,), "F32", "blk.0.attn_norm.weight", model_type=kind)
        assert norm.numbers("float64").tolist() == expected


@pytest.mark.parametrize("name", ["blk.0.ffn_up.weight", "blk.0.attn_k.weight"])
@pytest.mark.parametrize("form", ["F16", "Q8_0", "Q5_0", "Q5_K"])
def test_a_weight_that_is_not_finite_is_refused(tmp_path, form, name):
    """In the last row, however the weights are read; to look at a file, it is not."""
    shape = (PIECE // 256 + 4, 256)
    data = finite_blocks(np.random.default_rng(0), form, *shape)
    fields = data.reshape(-1).view(FORMATS[form].layout)
    fields["w" if form == "F16" else "d"][-1] = np.nan
    found = source(tmp_path, data, shape, form, name)
    for read in (lambda: found.numbers("float32"), lambda: [*found.blocks()], found.matrix):
        with pytest.raises(UserError, match=f"numbers of tensor {name} are NaN or infinite"):
            read()
    unchecked = source(tmp_path, data, shape, form, name, finite=False)
    assert unchecked.matrix().shape == shape


@pytest.mark.parametrize("form", ["Q8_0", "F32", "Q5_K"])
def test_gpt2s_output_layer_is_compared_with_the_table_in_pieces(tmp_path, form):
    """In the same format or in another; only whole tables take as much memory as a table."""
    shape = (16 * PIECE // 256, 256)
    data = finite_blocks(np.random.default_rng(0), form, *shape)
    for change, expected in ((0, True), (1, False)):
        numbers = dequantize(data, form).copy()
        numbers[-1, -1] += change
        stored = numbers if change or form != "Q8_0" else data
        head = "Q8_0" if stored is data else "F32"
        infos = [info("token_embd.weight", shape, form, 0)]
        infos.append(info("output.weight", shape, head, data.nbytes))
        path = tmp_path / "model.gguf"
        path.write_bytes(file([], infos, data.tobytes() + stored.tobytes()))
        opened = read_gguf(path)
        tracemalloc.start()
        assert gguf_gpt2._is_table(opened) == expected
        assert tracemalloc.get_traced_memory()[1] < 0.5 * numbers.nbytes
        tracemalloc.stop()


# --- memory ---------------------------------------------------------------------------------------


def write_llama(path, form, vocab_size, width):
    """A llama of one layer, tied, whose matrices are of this format."""
    rng, hidden = np.random.default_rng(0), 2 * width
    facts = {
        "block_count": 1, "context_length": 32, "embedding_length": width,
        "feed_forward_length": hidden, "attention.head_count": 2,
    }  # fmt: skip
    pairs = [pair("general.architecture", 8, string("llama"))]
    pairs += [pair(f"llama.{key}", 4, u32(value)) for key, value in facts.items()]
    epsilon = struct.pack("<f", 1e-5)
    pairs.append(pair("llama.attention.layer_norm_rms_epsilon", 6, epsilon))
    shapes = {"token_embd": (vocab_size, width), "output_norm": (width,)}
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        shapes[f"blk.0.{name}"] = (width, width)
    shapes["blk.0.ffn_gate"] = shapes["blk.0.ffn_up"] = (hidden, width)
    shapes["blk.0.ffn_down"] = (width, hidden)
    shapes["blk.0.attn_norm"] = shapes["blk.0.ffn_norm"] = (width,)
    infos, parts, at = [], [], 0
    for name, shape in shapes.items():
        kind = form if len(shape) == 2 else "F32"
        infos.append(info(f"{name}.weight", shape, kind, at))
        parts.append(finite_blocks(rng, kind, *shape).tobytes())
        parts.append(bytes(-len(parts[-1]) % 32))
        at += len(parts[-2]) + len(parts[-1])
    path.write_bytes(file(pairs, infos, b"".join(parts)))
    return path


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this needs Linux's /proc")
@pytest.mark.parametrize(
    "form, weights",
    [("Q8_0", "float32"), ("Q8_0", "int8"), ("F32", "int8"), ("Q8_0", "as-stored"),
     ("Q5_0", "as-stored"), ("Q5_K", "as-stored")],
)  # fmt: skip
def test_loading_takes_little_more_memory_than_the_model(tmp_path, form, weights):
    """Neither pages of the file nor copies of whole matrices come on top."""
    small = write_llama(tmp_path / "small.gguf", form, 300, 256)
    large = write_llama(tmp_path / "large.gguf", form, 60_000, 512)
    command = [sys.executable, SCRIPT, small, large, "float32", weights]
    size, peak = map(int, subprocess.check_output(command, text=True).split())
    assert size > 30 << 20
    assert peak < 1.2 * size


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="this needs Linux's /proc")
def test_what_was_read_does_not_stay_in_memory(tmp_path):
    """Neither the header nor the pages that the system maps around those that are looked at."""
    shape = (100_000, 256)
    data = finite_blocks(np.random.default_rng(0), "Q8_0", *shape)
    pairs = [pair("template", 8, string(b"x" * (12 << 20)))]
    path = tmp_path / "model.gguf"
    path.write_bytes(file(pairs, [info("w", shape, "Q8_0", 0)], data.tobytes()))
    opened = read_gguf(path)
    assert bytes_in_memory(path) < 2 * AROUND
    assert opened.stored("w").sum(dtype=int) > 0 and bytes_in_memory(path) > 0.9 * data.nbytes
    for read in (lambda: opened.read("w"), lambda: [*opened.pieces("w", 51_200)]):
        read()
        assert bytes_in_memory(path) < 2 * AROUND


def bytes_in_memory(path):
    """How much of a mapped file the system counts as this process's memory."""
    maps = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.M)
    (entry,) = (entry for entry in maps if str(path) in entry)
    return 1024 * int(re.search(r"^Rss: +(\d+) kB", entry, re.M)[1])
