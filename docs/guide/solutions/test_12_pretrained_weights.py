"""Solutions of chapter 12: writing bfloat16, one tensor of a large file, a reader without trust."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from pretrained import TYPES, read, write


def to_bf16(x):
    """float32 -> the 16 bits of the nearest bfloat16; of two as near, the even one."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16
    # Adding could carry a NaN's digits into its exponent and sign: keep it, as a quiet NaN.
    return np.where(np.isnan(x), bits >> 16 | 0x40, rounded).astype(np.uint16)


def write_with_bf16(path, arrays, metadata, bf16=()):
    """As `write`; the float32 arrays named in bf16 are stored in half the space."""
    header, start, chunks = {"__metadata__": metadata}, 0, []
    for name, array in arrays.items():
        kind = {"float32": "F32", "float64": "F64"}[str(array.dtype)]
        if name in bf16:
            kind, array = "BF16", to_bf16(array)
        offsets = [start, start + array.nbytes]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": offsets}
        start += array.nbytes
        chunks.append(array.tobytes())
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    partial = Path(f"{path}.partial")
    partial.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(chunks))
    partial.replace(path)


def test_exercise_12_1(tmp_path):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=2000) * 10.0 ** rng.integers(-30, 30, 2000)).astype(np.float32)
    write_with_bf16(tmp_path / "a", {"x": x, "y": x}, {}, bf16=["x"])
    found, _ = read(tmp_path / "a")
    assert np.array_equal(found["y"], x)
    # Nearest: neither neighbour, one bit up or down, is closer.
    bits = to_bf16(x).astype(np.int64)
    for step in (-1, 1):
        neighbour = ((bits + step) << 16).astype(np.uint32).view(np.float32)
        assert (np.abs(found["x"] - x) <= np.abs(neighbour.astype(np.float64) - x)).all()
    assert (np.abs(found["x"] - x) <= 2.0**-8 * np.abs(x)).all()  # eight digits, one hidden
    write_with_bf16(tmp_path / "b", {"x": found["x"]}, {}, bf16=["x"])
    assert np.array_equal(read(tmp_path / "b")[0]["x"], found["x"])

    odd = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 3.4e38], np.float32)
    odd = np.append(odd, np.array([0x7FFFFFFF], np.uint32).view(np.float32))  # a NaN of all ones
    write_with_bf16(tmp_path / "c", {"x": odd}, {}, bf16=["x"])
    back = read(tmp_path / "c")[0]["x"]
    assert np.array_equal(np.isnan(back), np.isnan(odd))
    assert back[0] == np.inf and back[1] == -np.inf
    assert np.signbit(back[4]) and back[5] == np.inf  # rounded up, beyond the largest


def peek(path, name):
    """One array of a safetensors file; the rest is not read."""
    with open(path, "rb") as file:
        n = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(n))[name]
        start, end = entry["data_offsets"]
        file.seek(8 + n + start)
        array = np.frombuffer(file.read(end - start), TYPES[entry["dtype"]])
    if entry["dtype"] == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.reshape(entry["shape"])


def test_exercise_12_2(tmp_path, monkeypatch):
    arrays = {f"h.{i}": np.full((1000, 100), i, np.float32) for i in range(10)}
    arrays["small"] = np.arange(6.0).reshape(2, 3)
    write(tmp_path / "large", arrays, {})
    for name in ("h.7", "small"):
        assert np.array_equal(peek(tmp_path / "large", name), arrays[name])

    # How many bytes were asked for? A file object that counts.
    asked = []

    class Counting:
        def __init__(self, path, mode):
            self.file = open_file(path, mode)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def read(self, n):
            asked.append(n)
            return self.file.read(n)

        def seek(self, n):
            self.file.seek(n)

    open_file = open
    monkeypatch.setattr("builtins.open", Counting)
    peek(tmp_path / "large", "small")
    monkeypatch.undo()
    assert asked[-1] == 48 and sum(asked) < 2000 < (tmp_path / "large").stat().st_size / 1000


SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def checked_header(path):
    """The header of a safetensors file, once everything in it has been compared with the file."""
    data = Path(path).read_bytes()
    if len(data) < 8:
        raise ValueError(f"{path}: {len(data)} bytes; a safetensors file has at least eight")
    n = int.from_bytes(data[:8], "little")
    if n > len(data) - 8:
        raise ValueError(f"{path}: the header should have {n} bytes; {len(data) - 8} follow")
    try:
        header = json.loads(data[8 : 8 + n])
    except ValueError:
        raise ValueError(f"{path}: the header is not JSON") from None
    if not isinstance(header, dict):
        raise ValueError(f"{path}: the header is not a JSON object")
    size, ranges = len(data) - 8 - n, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            kind, shape, (start, end) = (entry[key] for key in ("dtype", "shape", "data_offsets"))
            whole = all(type(i) is int and i >= 0 for i in (*shape, start, end))
        except (TypeError, KeyError, ValueError):
            whole = False
        if not whole:
            raise ValueError(f"{path}: {name} has no type, shape and two offsets")
        if not start <= end <= size:
            raise ValueError(f"{path}: {name} is said to lie at {start} to {end} of {size} bytes")
        if kind in SIZES and end - start != math.prod(shape) * SIZES[kind]:
            raise ValueError(f"{path}: {name}, {kind} of shape {shape}, in {end - start} bytes")
        ranges.append((start, end, name))
    ranges.sort()
    for (_, end, first), (start, _, second) in zip(ranges, ranges[1:], strict=False):
        if start < end:
            raise ValueError(f"{path}: {first} and {second} overlap")
    return header


def test_exercise_12_3(tmp_path):
    path = tmp_path / "file"
    write(path, {"a": np.ones(3, np.float32), "b": np.ones((2, 2))}, {"x": "y"})
    assert set(checked_header(path)) == {"__metadata__", "a", "b"}

    def said(text, size=44, n=None):
        text = text if isinstance(text, bytes) else json.dumps(text).encode()
        n = len(text) if n is None else n
        path.write_bytes(n.to_bytes(8, "little") + text + bytes(size))
        with pytest.raises(ValueError, match=r"^.*file: ") as error:
            checked_header(path)
        return str(error.value).removeprefix(f"{path}: ")

    def entry(dtype="F32", shape=(3,), offsets=(0, 12)):
        return {"dtype": dtype, "shape": shape, "data_offsets": offsets}

    path.write_bytes(b"abc")
    with pytest.raises(ValueError, match="3 bytes; a safetensors file has at least eight"):
        checked_header(path)
    assert said(b"{}", n=10**15) == f"the header should have {10**15} bytes; 46 follow"
    assert said(b"{not json}") == "the header is not JSON"
    assert said(b"\xff\xfe") == "the header is not JSON"
    assert said([1, 2]) == "the header is not a JSON object"
    assert said({"a": entry(offsets=(40, 52))}) == "a is said to lie at 40 to 52 of 44 bytes"
    assert said({"a": entry(offsets=(12, 0))}) == "a is said to lie at 12 to 0 of 44 bytes"
    assert said({"a": entry(shape=(4,))}) == "a, F32 of shape [4], in 12 bytes"
    for wrong in (3, {"dtype": "F32"}, entry(shape=(-3,)), entry(offsets=(0, 12, 3))):
        assert said({"a": wrong}) == "a has no type, shape and two offsets"
    assert said({"a": entry(), "b": entry(offsets=(8, 20))}) == "a and b overlap"
