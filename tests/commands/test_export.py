"""``export``: what it writes, and that nothing is lost when it cannot."""

import errno
import json
from dataclasses import replace

import numpy as np
import pytest
from gguf_lists import from_metadata
from small_models import TEXT, small_model, small_tokenizer

from tinygrad_llm import cli
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.pretrained import gguf_writer, load_pretrained, save_pretrained, tensor_file
from tinygrad_llm.pretrained.gguf_file import read_gguf
from tinygrad_llm.pretrained.gguf_model import load_gguf
from tinygrad_llm.pretrained.gguf_save import save_gguf

IDS = np.array([small_tokenizer().encode(TEXT)[:40]])
both = pytest.mark.parametrize("kind", ["gpt2", "llama"])


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with two models."""
    for kind in ("gpt2", "llama"):
        save_pretrained(small_model(kind), small_tokenizer(), tmp_path / kind)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


@both
def test_safetensors(here, kind, capsys):
    assert cli.main(["export", kind]) == 0
    out = capsys.readouterr().out
    assert "parameters as f32" in out and f"safetensors: {kind}-f32, 0." in out
    model, tokenizer = load_pretrained(here / f"{kind}-f32")
    assert names(here / f"{kind}-f32") == [
        "SHA256SUMS", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
    ]  # fmt: skip
    assert tokenizer.fingerprint() == small_tokenizer().fingerprint()
    np.testing.assert_array_equal(model(IDS).data, small_model(kind)(IDS).data)
    assert cli.main(["export", f"{kind}-f32", "--out", "again"]) == 0  # its checksums are right
    assert "SHA256SUMS" not in capsys.readouterr().err


@both
@pytest.mark.parametrize("dtype", ["f32", "q8_0"])
def test_gguf(here, kind, dtype, capsys):
    assert cli.main(["export", kind, "--format", "gguf", "--dtype", dtype]) == 0
    assert f"gguf: {kind}-{dtype}.gguf, 0." in capsys.readouterr().out
    file = read_gguf(here / f"{kind}-{dtype}.gguf")
    assert from_metadata(file.metadata).encode(TEXT) == small_tokenizer().encode(TEXT)
    found, expected = load_gguf(file)(IDS).data, small_model(kind)(IDS).data
    assert np.abs(found - expected).max() < (1e-6 if dtype == "f32" else 0.05)


@both
def test_from_one_kind_of_file_to_the_other(here, kind):
    """A directory, a GGUF file, a directory: the same numbers and the same ids."""
    assert cli.main(["export", kind, "--format", "gguf", "--out", "a.gguf"]) == 0
    assert cli.main(["export", "a.gguf", "--out", "b"]) == 0
    assert cli.main(["export", "b", "--format", "gguf", "--out", "c/a.gguf"]) == 0
    first, last = read_gguf(here / "a.gguf"), read_gguf(here / "c/a.gguf")
    assert first.metadata.pop("tokenizer.ggml.unknown_token_id") == 279  # nothing reads it
    np.testing.assert_equal(last.metadata, first.metadata)
    for name in first.tensors:
        np.testing.assert_array_equal(last.stored(name), first.stored(name))
    model, tokenizer = load_pretrained(here / "b")
    np.testing.assert_array_equal(model(IDS).data, small_model(kind)(IDS).data)
    assert tokenizer.encode(TEXT) == small_tokenizer().encode(TEXT)


def test_the_name_and_the_licence_are_kept(here):
    about = {"name": "Tiny", "licence": "apache-2.0"}
    save_gguf(small_model("llama"), small_tokenizer(), here / "a.gguf", **about)
    assert cli.main(["export", "a.gguf", "--format", "gguf", "--dtype", "q8_0"]) == 0
    metadata = read_gguf(here / "a-q8_0.gguf").metadata
    assert (metadata["general.name"], metadata["general.license"]) == ("Tiny", "apache-2.0")


def test_what_ends_an_answer_is_kept(here):
    content = {"eos_token_id": [5, 7], "temperature": 0.6}
    (here / "llama/generation_config.json").write_text(json.dumps(content))
    assert cli.main(["export", "llama", "--dtype", "bf16", "--out", "deep/er/out"]) == 0
    assert json.loads((here / "deep/er/out/generation_config.json").read_text()) == content
    assert json.loads((here / "deep/er/out/config.json").read_text())["dtype"] == "bfloat16"


def test_notes_are_lines(here, capsys):
    """A warning about a tensor or the tokenizer is shown as a note."""
    model = Llama(replace(small_model("llama").config, n_hidden=80))
    save_pretrained(model, small_tokenizer(), here / "odd")
    assert cli.main(["export", "odd", "--format", "gguf", "--dtype", "q8_0"]) == 0
    error = capsys.readouterr().err
    assert "note: blk.0.ffn_down.weight is stored as F16: its rows have 80 weights" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["llama", "--dtype", "q8_0"], "q8_0 weights exist in GGUF files only"),
        (["llama", "--out", "x.gguf"], "safetensors makes a directory: add --format gguf"),
        (["llama", "--out", "gpt2"], "gpt2 already exists: choose another --out"),
        (["llama", "--out", "gpt2", "--format", "gguf"], "gpt2 already exists"),
        (["llama", "--out", "gpt2/config.json", "--format", "gguf"], "config.json already exists"),
        (["llama", "--out", "gpt2/config.json/x"], "config.json is a file, not a folder"),
        (["nowhere"], "no file or folder nowhere, and no model is known by this name"),
        (["llama", "--out", ""], "the path is empty"),
        (["llama", "--dtype", "q4_0"], "dtype"),
    ],
)
def test_bad_input_is_one_sentence(here, arguments, words, capsys):
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert cli.main(["export", *arguments]) == 2
    error = capsys.readouterr().err
    (line,) = [line for line in error.splitlines() if not line.startswith("note:")]
    assert line.startswith("error: ") and words in line
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("form", ["safetensors", "gguf"])
def test_a_full_disk_leaves_nothing(here, form, monkeypatch, capsys):
    def full(weights, code, name):
        yield np.zeros(8, np.uint8)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gguf_writer, "encoded", full)
    monkeypatch.setattr(tensor_file, "encoded", full)
    before = names(here)
    assert cli.main(["export", "llama", "--format", form]) == 2
    error = capsys.readouterr().err
    assert "cannot write llama-f32" in error and "(No space left on device)" in error
    assert "nothing of it is left" in error
    assert names(here) == before


@pytest.mark.parametrize("form", ["safetensors", "gguf"])
def test_a_weight_that_is_too_large(here, form, capsys):
    model = small_model("llama")
    model.layers[0].mlp.up_proj.weight.data[0, 0] = 1e5
    save_pretrained(model, small_tokenizer(), here / "large")
    before = names(here)
    assert cli.main(["export", "large", "--format", form, "--dtype", "f16"]) == 2
    assert "it contains 100000, beyond the largest number" in capsys.readouterr().err
    assert names(here) == before
    assert cli.main(["export", "large", "--format", form, "--dtype", "bf16"]) == 0


def test_a_checkpoint_that_was_changed(here, capsys):
    assert cli.main(["export", "llama", "--out", "copy"]) == 0
    config = here / "copy/config.json"
    config.write_text(config.read_text() + " ")
    assert cli.main(["export", "copy"]) == 2
    assert "config.json is not the file that was written" in capsys.readouterr().err
    assert cli.main(["export", "copy", "--no-verify"]) == 0
