"""Safetensors files from strangers: no lie of the header takes memory or gets through."""

import json
import random
import tracemalloc

import numpy as np
import pytest

from tinygrad_llm.errors import UserError
from tinygrad_llm.pretrained.tensor_file import (
    MAX_HEADER,
    SIZES,
    check_finite,
    read_header,
    read_tensors,
    write_tensors,
)


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write(path, header, data, length=None):
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(head) if length is None else length).to_bytes(8, "little") + head + data)
    return path


def refused(path, *words):
    tracemalloc.start()
    with pytest.raises(UserError) as caught:
        read_tensors(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    message = str(caught.value)
    assert peak < 20 * path.stat().st_size + (1 << 20) and "\n" not in message
    for word in (str(path), "is not a whole .safetensors file", *words):
        assert word in message, message


DATA = bytes(16)


@pytest.mark.parametrize(
    "header, data, word",
    [
        ({"a": entry([3], 0, 16)}, DATA, "needs 12 bytes and has 16"),
        ({"a": entry([4], 0, 16, "F64")}, DATA, "needs 32 bytes and has 16"),
        ({"a": entry([4], 0, 12)}, DATA, "needs 16 bytes and has 12"),
        ({"a": entry([2, 2**40, 2**40], 0, 16)}, DATA, "bytes and has 16"),
        ({"a": entry([4], 16, 0)}, DATA, "has -16"),
        ({"a": entry([4], 4, 20)}, DATA + DATA, "starts at byte 4 of the data, expected 0"),
        ({"a": entry([4], 0, 16), "b": entry([4], 12, 28)}, DATA + DATA, "starts at byte 12"),
        ({"a": entry([2], 0, 8), "b": entry([2], 0, 8)}, DATA, "starts at byte 0"),
        ({"a": entry([2], 0, 8), "b": entry([1], 12, 16)}, DATA, "starts at byte 12"),
        ({"a": entry([2], 0, 8)}, DATA, "its tensors have 8 bytes, but its data has 16"),
        ({"a": entry([4], 0, 16)}, DATA[:15], "its tensors have 16 bytes, but its data has 15"),
        ({"a": entry([8], 0, 32)}, DATA, "its tensors have 32 bytes, but its data has 16"),
        ({}, b"", "0 bytes"),
        ({"a": entry([-4], 0, 16)}, DATA, "a.shape[0] is -4"),
        ({"a": entry([2**61], 0, 16)}, DATA, "a.shape[0] is"),
        ({"a": entry([2**60] * 300, 0, 16)}, DATA, "has 300 dimensions, expected at most 64"),
        ({"a": entry([4.0], 0, 16)}, DATA, "a.shape[0] is 4.0"),
        ({"a": entry("4", 0, 16)}, DATA, 'a.shape is "4"'),
        ({"a": entry([4], 0, 16, "F\n")}, DATA, r'a.dtype is "F\n"'),
        ({"a": entry([4], 0, 2**64)}, DATA, "a.data_offsets[1] is"),
        ({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0]}}, DATA, "has"),
        ({"a": {**entry([4], 0, 16), "more": 1}}, DATA, "a.more is unknown"),
        ({"a": [1]}, DATA, "a is a list"),
        ({"__metadata__": {"format": 1}, "a": entry([4], 0, 16)}, DATA, "__metadata__.format is 1"),
        (b'{"a":{},"a":{}}', DATA, 'the key "a" appears twice in one object'),
        (b"[" * 50_000, DATA, "nested"),
        (b'{"a": {"dtype": "F32", "shape": [' + b"9" * 9000 + b"]}}", DATA, "9,000 characters"),
        (b"\xff\xfe", DATA, "not UTF-8"),
        (b"[]", DATA, "a list"),
    ],
)
def test_a_header_that_lies(tmp_path, header, data, word):
    if header == {}:
        data = DATA
    refused(write(tmp_path / "t.safetensors", header, data), word)


@pytest.mark.parametrize("dtype", ["C64", "F4", "F8_E8M0"])
def test_a_type_that_is_not_read(tmp_path, dtype):
    path = write(tmp_path / "t.safetensors", {"a": entry([4], 0, 16, dtype)}, DATA)
    with pytest.raises(UserError, match=f'tensor "a" is of type {dtype}, which is not read: conv'):
        read_header(path)


@pytest.mark.parametrize("length", [0, 1, 17, MAX_HEADER + 1, 2**63, 2**64 - 1])
def test_a_length_that_lies(tmp_path, length):
    refused(write(tmp_path / "t.safetensors", b"{}", b"", length), "header would have")


@pytest.mark.parametrize("size", range(10))
def test_a_file_that_ends_at_once(tmp_path, size):
    path = tmp_path / "t.safetensors"
    path.write_bytes(((2).to_bytes(8, "little") + b"{}")[:size])
    refused(path)


def test_what_the_library_writes_is_read(tmp_path):
    numpy_file = pytest.importorskip("safetensors.numpy")
    tensors = {"a b": np.arange(6, dtype=np.float32).reshape(2, 3), "empty": np.zeros((0, 3), "i8")}
    tensors["é"] = np.array(2.5)
    numpy_file.save_file(tensors, tmp_path / "t.safetensors", metadata={"format": "pt"})
    found = read_tensors(tmp_path / "t.safetensors")
    assert found.keys() == tensors.keys()
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)


def try_damages(path, times):
    """Wherever bytes of the header change: either the library agrees or it is a sentence."""
    tensors = {"w": np.ones((3, 4), np.float32), "n": np.array(3), "e": np.ones((2, 0), np.int8)}
    write_tensors(path, tensors, {"format": "pt"})
    whole, rng, refusals = path.read_bytes(), random.Random(0), 0
    for _ in range(times):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data) - 56)
            new = rng.choice([b"", b"0", b"9" * 30, b"-", b'"', b"\0", b"[", b"4", b"e5", b"F64"])
            data[at : at + rng.choice([0, 1, 1, 2])] = new
        path.write_bytes(data)
        try:
            found = read_tensors(path)
        except UserError as error:
            refusals += 1
            assert "\n" not in str(error)
        else:
            assert sum(array.nbytes for array in found.values()) <= len(data)
    assert refusals > times * 0.9


def test_damaged_headers(tmp_path):
    try_damages(tmp_path / "t.safetensors", 300)


@pytest.mark.soak
def test_many_damaged_headers(tmp_path):
    try_damages(tmp_path / "t.safetensors", 30_000)


def test_sizes_are_those_of_the_types(tmp_path):
    for dtype, size in SIZES.items():
        path = write(
            tmp_path / "t.safetensors", {"a": entry([2], 0, 2 * size, dtype)}, bytes(2 * size)
        )
        assert read_header(path)["a"]["dtype"] == dtype


def test_numbers_that_are_not_finite_are_named():
    check_finite(np.ones(3, np.float32), "a", "file")
    check_finite(np.ones(3, np.int64), "a", "file")
    with pytest.raises(UserError, match="file: 2 of the 3 numbers of tensor a are NaN"):
        check_finite(np.array([1, np.nan, np.inf], np.float16), "a", "file")
