"""GGUF files: what is in them is read, and no lie of a header gets through or takes memory."""

import os
import struct
import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
from gguf_bytes import START, file, info, pair, random_blocks, small_file, string, u32, u64
from hypothesis import HealthCheck, given, settings, strategies as st

from tinygrad_llm.errors import UserError
from tinygrad_llm.pretrained.gguf_file import PIECE, TYPES, read_gguf
from tinygrad_llm.pretrained.gguf_values import MAX_DEPTH, MAX_HEADER
from tinygrad_llm.quantized.blocks import FORMATS, dequantize

DATA = bytes(32)
SMALL = small_file()


def written(folder, content):
    path = folder / "model.gguf"
    path.write_bytes(content)
    return path


def refused(path, *words):
    with pytest.raises(UserError) as caught:
        read_gguf(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message, message


@contextmanager
def memory_below(limit):
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


# --- files that are right -------------------------------------------------------------------------


def test_values_of_every_type(tmp_path):
    found = read_gguf(written(tmp_path, SMALL)).metadata
    numbers, flags = found.pop("numbers"), found.pop("flags")
    assert numbers.dtype == np.int32 and numbers.tolist() == [1, -2, 3]
    assert flags.dtype == bool and flags.tolist() == [True, False]
    assert [a.tolist() for a in found.pop("nested")] == [[7, 8], [7, 8]]
    assert found == {
        "general.architecture": "llama", "u8": 255, "i8": -1, "u16": 2**16 - 1, "i16": -1,
        "u32": 2**32 - 1, "i32": -1, "f32": 0.5, "bool": True, "u64": 2**64 - 1, "i64": -1,
        "f64": 0.1, "words": ["a", "é", ""],
    }  # fmt: skip
    assert found["bool"] is True


@pytest.mark.parametrize("version", [2, 3])
def test_both_versions(tmp_path, version):
    content = file([pair("a", 0, b"\1")], start=b"GGUF" + u32(version))
    assert read_gguf(written(tmp_path, content)).metadata == {"a": 1}


def test_tensors(tmp_path):
    opened = read_gguf(written(tmp_path, SMALL))
    assert {i.name: (i.format, i.shape) for i in opened.tensors.values()} == {
        "scalar": ("F32", ()), "a.weight": ("Q4_1", (3, 64)), "b.weight": ("Q6_K", (2, 256)),
        "c": ("F16", (2, 2, 5)),
    }  # fmt: skip
    rng = np.random.default_rng(0)  # that of small_file
    for name, i in opened.tensors.items():
        data = random_blocks(rng, i.format, *(i.shape or (1,)))
        stored, read = opened.stored(name), opened.read(name)
        assert stored.tobytes() == data.tobytes() and not stored.flags.writeable
        np.testing.assert_array_equal(read, dequantize(data, i.format).reshape(i.shape))
        assert read.dtype == np.float32 and read.flags.writeable
        np.testing.assert_array_equal(opened.read(name, np.float64), read.astype(np.float64))


def test_a_tensor_of_several_pieces(tmp_path):
    """Decoded piece by piece; its bytes stay readable afterwards."""
    rng = np.random.default_rng(1)
    data = random_blocks(rng, "Q5_K", 3 * PIECE // 1024 + 1, 1024)
    data.reshape(-1).view(FORMATS["Q5_K"].layout)["d"] = 0.25  # no NaN
    content = file([], [info("a", (len(data), 1024), "Q5_K", 0)], data.tobytes())
    opened = read_gguf(written(tmp_path, content))
    for _ in range(2):
        np.testing.assert_array_equal(opened.read("a"), dequantize(data, "Q5_K"))
    stored = opened.stored("a")
    del opened
    np.testing.assert_array_equal(stored, data)


@pytest.mark.parametrize("alignment", [1, 8, 64, 4096])
def test_alignment(tmp_path, alignment):
    pairs = [pair("general.alignment", 4, u32(alignment))]
    data = struct.pack("<f", 1.5).ljust(max(alignment, 4), b"\0") + struct.pack("<f", 2.5)
    infos = [info("a", (1,), "F32", 0), info("b", (1,), "F32", len(data) - 4)]
    opened = read_gguf(written(tmp_path, file(pairs, infos, data, alignment=alignment)))
    assert (opened.read("a").item(), opened.read("b").item()) == (1.5, 2.5)


def test_the_order_of_the_list_and_padding_at_the_end_do_not_matter(tmp_path):
    infos = [info("b", (1,), "F32", 32), info("a", (1,), "F32", 0)]
    data = struct.pack("<f", 1.5).ljust(32, b"\0") + struct.pack("<f", 2.5)
    for end in (b"", bytes(28)):
        opened = read_gguf(written(tmp_path, file([], infos, data + end)))
        assert list(opened.tensors) == ["b", "a"]
        assert (opened.read("a").item(), opened.read("b").item()) == (1.5, 2.5)


def test_what_the_library_writes_is_read(tmp_path):
    gguf = pytest.importorskip("gguf", reason="gguf is not installed")
    path, rng = tmp_path / "model.gguf", np.random.default_rng(2)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_rope_freq_base(1e4)
    writer.add_token_list(["a", "é", "\u2581the"])
    writer.add_token_scores([0.5, -1.0, 2.0])
    weights = {"w": rng.standard_normal((4, 64)).astype(np.float32), "v": np.ones(3, np.float16)}
    for name, array in weights.items():
        writer.add_tensor(name, array)
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor("q", gguf.quants.quantize(weights["w"], kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    opened = read_gguf(path)
    assert opened.metadata["llama.block_count"] == 2
    assert opened.metadata["tokenizer.ggml.tokens"] == ["a", "é", "\u2581the"]
    assert opened.metadata["tokenizer.ggml.scores"].tolist() == [0.5, -1.0, 2.0]
    for name, array in weights.items():
        np.testing.assert_array_equal(opened.read(name), array)
    assert opened.tensors["q"].shape == (4, 64)
    np.testing.assert_allclose(opened.read("q"), weights["w"], atol=0.02)


# --- files that are wrong -------------------------------------------------------------------------

F32 = info("a", (8,), "F32", 0)


@pytest.mark.parametrize(
    "content, word",
    [
        (b"", "is empty"),
        (b"PK\3\4" + bytes(100), "starts with b'PK\\x03\\x04', expected b'GGUF'"),
        (b"GGUF", "the version needs 4 bytes, but 0 are left"),
        (b"GGUF" + u32(1) + bytes(16), "of version 1, and only versions 2 and 3"),
        (b"GGUF" + u32(4) + bytes(16), "of version 4"),
        (b"GGUF\0\0\0\3" + bytes(16), "is big-endian, and only little-endian"),
        (file(counts=(2**63, 0)), f"{2**63:,} tensors cannot be in the 8 bytes"),
        (file(counts=(0, 2**64 - 1)), "metadata cannot be in the 0 bytes"),
        (file([pair("a", 0, b"\1")] * 2), 'the key "a" appears twice'),
        (file([string("x")[:7]], counts=(0, 1)), "metadata cannot be in the 7 bytes"),
        (file([u64(2**62) + b"abcdefgh"]), "a key of the metadata needs"),
        (file([pair(b"\xff", 0, b"\1")]), "a key of the metadata is not UTF-8 at its byte 0"),
        (file([pair("a", 13, b"\1" * 9)]), 'key "a" is of type 13'),
        (file([pair("a", 7, b"\2")]), 'key "a" is a boolean of value 2'),
        (file([pair("a", 8, u64(2**64 - 1))]), f"needs {2**64 - 1:,} bytes, but 0 are left"),
        (file([pair("a", 8, string(b"ab\xc3"))]), 'key "a" is not UTF-8 at its byte 2'),
        (file([pair("a", 9, u32(6) + u64(2**62))]), "elements of key"),
        (file([pair("a", 9, u32(8) + u64(2) + bytes(15))]), "2 elements of key"),
        (file([pair("a", 9, u32(99) + u64(0))]), "elements of key \"a\" are of type 99"),
        (file([pair("a", 9, (u32(9) + u64(1)) * 9)]), f"nested more than {MAX_DEPTH} deep"),
        (file([pair("general.alignment", 4, u32(24))]), "alignment is not a power of two"),
        (file([pair("general.alignment", 4, u32(0))]), "alignment is not a power of two"),
        (file([pair("general.alignment", 8, string("32"))]), "alignment is not a power of two"),
        (file([pair("general.alignment", 7, b"\1")]), "alignment is not a power of two"),
        (file([], [F32, F32], DATA), 'tensor "a" appears twice'),
        (file([], [F32], DATA[:31]), 'tensor "a" of type F32 and shape [8] needs 32 bytes, but 31'),
        (file([], [F32], DATA + b"\0"), "bytes"),
        (file([], [F32], DATA + DATA), "its tensors end at byte"),
        (file([], [info("a", (8,), "F32", 32)], DATA + DATA), "starts at byte 32 of the data, exp"),
        (file([], [info("a", (8,), "F32", 2**64 - 32)], DATA), "starts at byte 18,446"),
        (file([], [F32, info("b", (8,), "F32", 16)], DATA + DATA), "starts at byte 16"),
        (file([], [F32, info("b", (8,), "F32", 0)], DATA + DATA), "starts at byte 0"),
        (file([], [info("a", (2**63, 2**63, 4), "F32", 0)], DATA), "bytes, but 32 are left"),
        (file([], [info("a", (0, 2**63), "F32", 0)], DATA), "expected no dimension of 0"),
        (file([], [info("a", (1,) * 5, "F32", 0)], DATA), "5 dimensions, expected at most 4"),
        (file([], [string("a") + u32(2**32 - 1) + bytes(30)], DATA), "4,294,967,295 dimensions"),
        (file([], [info("a", (2, 33), "Q8_0", 0)], DATA * 9), "rows of 33, expected a multiple of"),
        (file([], [info("a", (), "Q8_0", 0)], DATA * 9), "rows of 1, expected a multiple of 32"),
        (file([], [info("a", (2, 128), "Q4_K", 0)], DATA * 9), "of 256, as Q4_K needs"),
        (file([], [info("a", (8,), 5, 0)], DATA), 'tensor "a" is of type 5, and there is no such'),
        (file([], [info("a", (8,), 2**32 - 1, 0)], DATA), "is of type 4294967295"),
        (file([], [info(b"\xff", (8,), "F32", 0)], DATA), "the name of a tensor is not UTF-8"),
        (file([], [info("\x1b[31m\n", (9,), "F32", 0)], DATA), '"\\u001b[31m\\n"'),
    ],
)  # fmt: skip
def test_a_header_that_lies(tmp_path, content, word):
    path = written(tmp_path, content)
    with memory_below(1 << 20):
        refused(path, word)


@pytest.mark.parametrize("form", sorted(set(TYPES.values()) - set(FORMATS)))
def test_a_quantization_that_is_not_supported(tmp_path, form):
    content = file([], [info("a", (256,), form, 0)], bytes(1024))
    refused(
        written(tmp_path, content), f'tensor "a" is of type {form}, which is not supported',
        ", ".join(FORMATS),
    )  # fmt: skip


def test_types_are_the_librarys():
    gguf = pytest.importorskip("gguf", reason="gguf is not installed")
    for code, name in TYPES.items():
        if name in gguf.GGMLQuantizationType.__members__:
            assert gguf.GGMLQuantizationType[name] == code
    assert {t.value for t in gguf.GGMLQuantizationType} >= set(TYPES) - {40, 41}


def test_a_header_without_end(tmp_path):
    """A file may be large and sparse: its header may not."""
    path = tmp_path / "model.gguf"
    length = 2 * MAX_HEADER
    with open(path, "wb") as out:
        out.write(START + u64(0, 1) + string("a") + u32(8) + u64(length - 61))
        out.truncate(length)
    with memory_below(1 << 20):
        refused(path, f"of the {MAX_HEADER:,} that a header may have")


def test_what_is_no_file(tmp_path):
    refused(tmp_path, "is a folder")
    refused(tmp_path / "gone", "there is no such file")
    refused(tmp_path / "a\0b", "cannot read") if os.name == "posix" else None
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        refused(tmp_path / "pipe", "is a device or pipe")


def test_a_tensor_that_is_not_there(tmp_path):
    opened = read_gguf(written(tmp_path, SMALL))
    for read in (opened.read, opened.stored):
        with pytest.raises(UserError, match='model.gguf has no tensor "d.weight"'):
            read("d.weight")


# --- damage ---------------------------------------------------------------------------------------


def attempt(path, content):
    """Open and read everything. The sentence if it was refused, None if not."""
    path.write_bytes(content)
    with memory_below(20 * len(content) + (1 << 20)):
        try:
            opened = read_gguf(path)
            for name, i in opened.tensors.items():
                assert opened.read(name).shape == i.shape
        except UserError as error:
            sentence = str(error)
            assert sentence.isprintable() and len(sentence) < 2000  # and of one line
            return sentence


def test_truncated_anywhere(tmp_path):
    for size in range(len(SMALL) - 24):  # the last tensor has 40 bytes and 24 of padding
        assert attempt(tmp_path / "model.gguf", SMALL[:size]) is not None, size
    for size in range(len(SMALL) - 24, len(SMALL) + 1):
        assert attempt(tmp_path / "model.gguf", SMALL[:size]) is None, size


HEADER = SMALL.index(b"scalar") + 200  # the header's end is soon after
STRANGE = [
    *(struct.pack("<Q", n) for n in (0, 1, 2**31, 2**32, 2**62, 2**63, 2**64 - 1, len(SMALL))),
    *(struct.pack("<I", n) for n in (0, 1, 5, 7, 8, 9, 13, 2**31, 2**32 - 1)),
    b"", b"\0", b"\xff", b"\x80", b"\n", bytes(100), b"\xff" * 100,
]  # fmt: skip
CHANGE = st.tuples(
    st.integers(0, HEADER),
    st.one_of(st.sampled_from(STRANGE), st.binary(max_size=24)),
    st.sampled_from([None, 0, 1, 4, 8, 24]),
)


def damaged(changes):
    """The small file after changes (position, bytes, how many they replace: None, as many)."""
    content = bytearray(SMALL)
    for at, new, length in changes:
        content[at : at + (len(new) if length is None else length)] = new
    return bytes(content)


def try_damage(path, times):
    refusals = []

    @settings(
        max_examples=times, deadline=None, database=None, derandomize=times < 1000,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(st.lists(CHANGE, min_size=1, max_size=4))
    def run(changes):
        refusals.append(attempt(path, damaged(changes)))

    run()
    return refusals


def test_damaged_headers(tmp_path):
    found = try_damage(tmp_path / "model.gguf", 400)
    assert sum(sentence is not None for sentence in found) > len(found) / 2


@pytest.mark.soak
def test_many_damaged_headers(tmp_path):
    try_damage(tmp_path / "model.gguf", 100_000)


def test_every_number_of_the_header_replaced(tmp_path):
    """From every byte of the header on, a large number of four and one of eight bytes."""
    for at in range(4, HEADER):
        for new in (b"\xff" * 4, struct.pack("<Q", 2**62)):
            attempt(tmp_path / "model.gguf", SMALL[:at] + new + SMALL[at + len(new) :])
