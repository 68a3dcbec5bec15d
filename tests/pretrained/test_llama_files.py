"""Directories of the Llama family that are wrong, through the entrance for all models."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from model_files import INDEX, WEIGHTS, change_config, change_tensors, split

from tinygrad_llm.config import GPTConfig, LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.model import GPT, Llama
from tinygrad_llm.pretrained import load_pretrained, save_llama, save_model
from tinygrad_llm.tokenizer import train_bpe

CONFIG = LlamaConfig(300, 16, 2, 4, 2, 16, 24)
SCRIPT = Path(__file__).parent.parent / "scripts" / "peak_of_loading.py"


@pytest.fixture
def directory(tmp_path):
    save_llama(Llama(CONFIG), tmp_path / "model")
    return tmp_path / "model"


def refused(directory, *words):
    with pytest.raises(UserError) as caught:
        load_pretrained(directory)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(directory), *words):
        assert word in message, message


# --- what is loaded ------------------------------------------------------------------------------


def test_one_file_and_two_hold_the_same_model(directory):
    whole, _ = load_pretrained(directory)
    split(directory)
    parts, _ = load_pretrained(directory)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert one.data.tobytes() == other.data.tobytes()
        assert other.data.flags.writeable and other.data.flags.c_contiguous


def test_gpt2_comes_through_the_same_entrance(tmp_path):
    saved = GPT(GPTConfig(61, 16, 2, 2, 16))
    save_model(saved, tmp_path)
    model, tokenizer = load_pretrained(tmp_path, "float64")
    assert isinstance(model, GPT) and tokenizer is None and not model.training
    assert model.wte.weight.dtype == np.float64
    np.testing.assert_array_equal(model.wte.weight.data, saved.wte.weight.data)


def test_the_tokenizer_comes_along(directory):
    trained = train_bpe(["to be or not to be"], 260)
    trained.save(directory)
    _, tokenizer = load_pretrained(directory)
    assert tokenizer.encode("not to be") == trained.encode("not to be")


def test_a_tokenizer_with_more_ids_than_the_model_is_refused(tmp_path):
    save_llama(Llama(LlamaConfig(258, 16, 2, 4, 2, 16, 24)), tmp_path)
    tokenizer = train_bpe(["to be or not to be"], 259, special_tokens=["<image>"])
    assert tokenizer.vocab_size == 259
    tokenizer.save(tmp_path)
    load_pretrained(tmp_path)  # only the special token is outside
    train_bpe(["to be or not to be"], 260, special_tokens=["<image>"]).save(tmp_path)
    refused(tmp_path, "has ids up to 258", "the model's vocabulary has 258 ids")


def test_frequencies_and_a_tied_head_in_the_file_are_accepted(tmp_path):
    save_llama(Llama(LlamaConfig(300, 16, 2, 4, 2, 16, 24, tied=True)), tmp_path)

    def add(tensors):
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(2, np.float32)
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()

    change_tensors(tmp_path, add)
    model, _ = load_pretrained(tmp_path)
    assert model.lm_head is None
    change_tensors(tmp_path, lambda t: t["lm_head.weight"].__setitem__((299, 15), 7))
    refused(tmp_path, "lm_head.weight differs from the token table", "tie_word_embeddings")


def test_tensors_are_converted_in_pieces(directory, monkeypatch):
    whole, _ = load_pretrained(directory)
    monkeypatch.setattr("tinygrad_llm.pretrained.weights.PIECE", 7)
    pieces, _ = load_pretrained(directory)
    for one, other in zip(whole.parameters(), pieces.parameters(), strict=True):
        assert one.data.tobytes() == other.data.tobytes()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loading_takes_little_more_memory_than_the_model(tmp_path, dtype):
    small, large = tmp_path / "small", tmp_path / "large"
    save_llama(Llama(LlamaConfig(8, 8, 1, 1, 1, 8, 8)), small)
    save_llama(Llama(LlamaConfig(16000, 16, 2, 4, 2, 512, 1024, tied=True)), large)
    command = [sys.executable, SCRIPT, small, large, dtype, "float32"]
    output = subprocess.check_output(command, text=True)
    size, peak = map(int, output.split())
    assert size > 40 << 20
    assert peak < 1.2 * size


# --- files that are wrong ------------------------------------------------------------------------


def test_missing_files(directory, tmp_path):
    refused(tmp_path / "nowhere", "there is no file or folder")
    (directory / WEIGHTS).unlink()
    refused(directory, "there is no file", WEIGHTS, INDEX)
    (directory / "config.json").unlink()
    refused(directory, "is neither a run nor a model directory", "config.json")


def test_another_dtype_or_model_is_refused(directory):
    with pytest.raises(UserError, match="dtype is 'int8', but must be float32 or float64"):
        load_pretrained(directory, "int8")
    change_config(directory, model_type="mamba")
    refused(directory, 'model_type "mamba" is not supported: supported are gpt2, llama, mistral')


@pytest.mark.parametrize(
    "change, words",
    [
        (
            lambda t: t.pop("model.layers.1.mlp.up_proj.weight"),
            ["has no tensor model.layers.1.mlp.up_proj.weight of shape (24, 16)"],
        ),
        (
            lambda t: t.update({"model.norm.weight": np.ones(8, np.float32)}),
            ["tensor model.norm.weight has shape (8,)", "asks for (16,)"],
        ),
        (
            lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": np.ones(16, np.float32)}),
            ['a tensor "model.layers.0.self_attn.q_proj.bias" of shape (16,)', "does not have"],
        ),
        (
            lambda t: t.update({"model.norm.weight": np.ones(16, np.int32)}),
            ["model.norm.weight is of type I32: supported are F64, F32, F16, BF16"],
        ),
        (
            lambda t: t["model.norm.weight"].__setitem__(3, np.nan),
            [f"{WEIGHTS}: 1 of the 16 numbers of tensor model.norm.weight are NaN or infinite"],
        ),
    ],
)
def test_wrong_tensors(directory, change, words):
    change_tensors(directory, change)
    refused(directory, *words)


@pytest.mark.parametrize("keep", [0, 5, 8, 200, -1])
def test_truncated_weights(directory, keep):
    path = directory / WEIGHTS
    path.write_bytes(path.read_bytes()[:keep])
    refused(directory, WEIGHTS, "not a whole .safetensors file")


def test_sizes_that_the_files_do_not_have_allocate_nothing(directory):
    change_config(directory, vocab_size=2**31 - 1, hidden_size=2**20, num_hidden_layers=10_000)
    refused(directory, "(300, 16)", "(2147483647, 1048576)")


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda w: {}, ["lists no tensor"]),
        (lambda w: {**w, "model.extra": "part-0.safetensors"}, ["has no tensor", "model.extra"]),
        (lambda w: {k: "part-0.safetensors" for k in w}, ["has no tensor", "according to"]),
        (lambda w: dict(list(w.items())[1:]), ["lm_head.weight", "is nowhere"]),
        (lambda w: {**w, "a": "part-2.safetensors"}, ["there is no file", "part-2.safetensors"]),
        (lambda w: {**w, "a": "../part-0.safetensors"}, ["../part-0.safetensors", "text like"]),
        (lambda w: {**w, "a": "/etc/passwd"}, ["/etc/passwd", "text like"]),
        (lambda w: {**w, "a": "p" * 3000 + ".safetensors"}, ["ppp...", "text like"]),
        (lambda w: {**w, "a": 3}, ["weight_map.a is 3"]),
    ],
)
def test_wrong_index(directory, change, words):
    where = split(directory)
    (directory / INDEX).write_text(json.dumps({"weight_map": change(where)}))
    refused(directory, *words)


def test_a_model_that_is_not_float32_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match=r"embed_tokens\.weight is float64"):
        save_llama(Llama(CONFIG).astype(np.float64), tmp_path / "model")
    assert not (tmp_path / "model").exists()
