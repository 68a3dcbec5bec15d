"""save_pretrained: what is written is opened by load_pretrained and by transformers."""

import filecmp
import json
import os

import numpy as np
import pytest
from small_models import TEXT, small_model, small_tokenizer

from tinygrad_llm.errors import UserError
from tinygrad_llm.pretrained import load_pretrained, save_gguf, save_pretrained
from tinygrad_llm.pretrained.encode import DTYPES, encoded
from tinygrad_llm.quantized.blocks import dequantize
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.vocabulary import Conventions, Vocabulary

TEMPLATE = "{% for m in messages %}<|endoftext|>{{ m.role }}: {{ m.content }}\n{% endfor %}"

SHORT = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}

both = pytest.mark.parametrize("kind", ["gpt2", "llama"])


@both
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_transformers_opens_it(kind, dtype, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    model, tokenizer = small_model(kind), small_tokenizer()
    save_pretrained(model, tokenizer, tmp_path / "model", dtype)
    short = SHORT[dtype]
    save_pretrained(model, tokenizer, tmp_path / "short", short)
    for file in os.listdir(tmp_path / "model"):  # both names give the same files
        assert filecmp.cmp(tmp_path / "model" / file, tmp_path / "short" / file, shallow=False)
    for parameter in model.parameters():  # the numbers that were stored
        stored = [*encoded(parameter.data, DTYPES[short], "")]
        found = [dequantize(piece, DTYPES[short]) for piece in stored]
        parameter.data = np.concatenate(found).reshape(parameter.shape)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert theirs.dtype == getattr(torch, dtype)
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    ids = tokenizer.encode(TEXT)[:32]
    assert their_tokenizer(TEXT)["input_ids"][:32] == ids
    assert their_tokenizer.eos_token_id == theirs.config.eos_token_id == tokenizer.eot_id
    with torch.no_grad():
        expected = theirs.float()(torch.tensor([ids])).logits.numpy()
    found = model(np.array([ids])).data
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@both
def test_load_pretrained_opens_it(kind, tmp_path):
    model, tokenizer = small_model(kind), small_tokenizer()
    save_pretrained(model, tokenizer, tmp_path / "model")
    again, same = load_pretrained(tmp_path / "model")
    assert same.fingerprint() == tokenizer.fingerprint()
    assert same.eos_id == same.bos_id == tokenizer.eot_id
    ids = np.array([tokenizer.encode(TEXT)[:32]])
    np.testing.assert_array_equal(again(ids).data, model(ids).data)


def test_the_chat_template_is_saved(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    tokenizer = small_tokenizer()
    eot = tokenizer.eot_id
    names = {"eos_token": "<|endoftext|>"}
    conventions = Conventions(eot, eot, (), (), TEMPLATE, names, stop_ids=(7,))
    vocabulary = Vocabulary(tokenizer.ranks, tokenizer.pattern, tokenizer.special_tokens)
    tokenizer = Tokenizer.from_vocabulary(vocabulary, conventions)
    save_pretrained(small_model("llama"), tokenizer, tmp_path / "model")
    messages = [{"role": "user", "content": "a cat?"}, {"role": "assistant", "content": "a dog"}]
    ids = tokenizer.apply_chat_template(messages)
    assert ids.count(eot) == 2
    again = load_pretrained(tmp_path / "model")[1]
    assert again.apply_chat_template(messages) == ids and again.stop_ids == (7, eot)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    assert theirs.apply_chat_template(messages, return_dict=False) == ids


def test_without_tokenizer(tmp_path):
    save_pretrained(small_model("llama"), None, tmp_path / "model")
    assert load_pretrained(tmp_path / "model")[1] is None
    assert json.loads((tmp_path / "model/config.json").read_text())["eos_token_id"] is None


@both
def test_what_a_directory_cannot_hold(kind, tmp_path):
    with pytest.raises(
        UserError, match="cannot hold q8_0 weights: possible are float32, float16, bfloat16 .or f32"
    ):
        save_pretrained(small_model(kind), None, tmp_path / "model", "q8_0")
    assert not (tmp_path / "model").exists()


def test_a_weight_too_large_leaves_no_file(tmp_path):
    model = small_model("llama")
    model.norm.weight.data[3] = 1e6
    with pytest.raises(UserError, match="tensor model.norm.weight cannot be stored as F16"):
        save_pretrained(model, None, tmp_path / "model", "f16")
    assert not [*(tmp_path / "model").iterdir()]


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights there")
def test_no_file_is_written_through_a_link(tmp_path):
    mine = tmp_path / "mine"
    mine.write_bytes(b"precious")
    for name in ("model.safetensors", "config.json", "tokenizer.json", "model.gguf"):
        (tmp_path / f".partial-{name}").symlink_to(mine)
        (tmp_path / f".partial-{os.getpid()}-{name}").symlink_to(mine)
    save_pretrained(small_model("llama"), small_tokenizer(), tmp_path)
    save_gguf(small_model("llama"), small_tokenizer(), tmp_path / "model.gguf")
    assert mine.read_bytes() == b"precious"
    assert not any(path.is_symlink() for path in tmp_path.glob("[!.]*"))
