"""A model whose files are of F16 or BF16, in the commands: it is read into float32."""

import json

import numpy as np
import pytest
from caches import new_cache
from finetune_rows import SFT, completions
from model_files import change_tensors
from small_corpus import small_corpus
from small_models import TEXT, small_model, small_tokenizer

from autograd import use_kernels
from tinygrad_llm import cli
from tinygrad_llm.commands import session
from tinygrad_llm.pretrained import load_pretrained, save_pretrained
from tinygrad_llm.pretrained.tensor_file import read_header
from tinygrad_llm.training.checkpoint import resolve


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", new_cache(tmp_path))
    monkeypatch.setattr(session, "gemm_limit", lambda: 1e9)
    (tmp_path / "corpus.txt").write_text(small_corpus(60))
    (tmp_path / "sft.json").write_text(json.dumps(completions()))
    with use_kernels("reference"):
        yield tmp_path


def stored_as(folder):
    return {entry["dtype"] for entry in read_header(folder / "model.safetensors").values()}


@pytest.mark.parametrize("kind, dtype", [("gpt2", "f16"), ("llama", "bf16")])
def test_every_command_reads_it(here, kind, dtype, capsys):
    save_pretrained(small_model(kind), small_tokenizer(), here / "wide")
    assert cli.main(["export", "wide", "--dtype", dtype, "--out", "model"]) == 0
    assert stored_as(here / "model") == {dtype.upper()}
    config = json.loads((here / "model/config.json").read_text())
    assert config["dtype"] == config["torch_dtype"] == {"f16": "float16", "bf16": "bfloat16"}[dtype]

    train = "train --init-from model --data corpus.txt --out run --steps 1 --batch-size 1".split()
    for command in (
        [*train, "--eval-batches", "1", "--sample-tokens", "2"],
        [*SFT, "--steps", "1", "--samples", "0", "--out", "tuned"],
        ["evaluate", "model", "--data", "corpus.txt"],
        ["generate", "model", "--prompt", TEXT, "--max-new-tokens", "2"],
        ["info", "model"],
    ):
        assert cli.main(command) == 0, capsys.readouterr().err
    for run in ("run", "tuned"):
        assert stored_as(resolve(here / run)) == {"F32"}
        model, _ = load_pretrained(here / run)
        assert {p.dtype for p in model.parameters()} == {np.dtype(np.float32)}


def test_what_cannot_be_stored_or_read(here, capsys):
    model = small_model("llama")
    model.norm.weight.data[3] = 70_000
    save_pretrained(model, small_tokenizer(), here / "model")
    assert cli.main(["export", "model", "--dtype", "f16"]) == 2
    error = capsys.readouterr().err
    assert "norm.weight cannot be stored as F16: it contains 70000" in error
    assert error.count("\n") == 1 and not (here / "model-f16").exists()

    norm = "model.norm.weight"
    for change, words in (
        (lambda t: t[norm].astype(np.float16), f"1 of the {model.norm.weight.size} numbers of"),
        (lambda t: t[norm].astype(np.int64), "is of type I64: supported are F64, F32, F16, BF16"),
    ):
        save_pretrained(model, small_tokenizer(), here / "model")
        with np.errstate(over="ignore"):
            change_tensors(here / "model", lambda t, c=change: t.update({norm: c(t)}))
        assert cli.main(["evaluate", "model", "--data", "corpus.txt"]) == 2
        error = capsys.readouterr().err
        assert words in error and norm in error and error.count("\n") == 1

    change_tensors(here / "model", lambda t: t.update({norm: t[norm].astype(np.uint8)}))
    file = here / "model/model.safetensors"
    data = file.read_bytes()
    for code, words in ((b"F8_E4M3", "supported are F64"), (b"F4", "which is not read: convert")):
        head = data.replace(b'"U8"', b'"' + code + b'"', 1)[8:]
        n = int.from_bytes(data[:8], "little") + len(code) - len("U8")
        file.write_bytes(n.to_bytes(8, "little") + head)
        assert cli.main(["evaluate", "model", "--data", "corpus.txt"]) == 2
        error = capsys.readouterr().err
        assert f"is of type {code.decode()}" in error and words in error
        assert error.count("\n") == 1
