"""load_pretrained: what a path or a name may mean, and the tokenizer that comes with a model."""

import json

import numpy as np
import pytest
from gguf_bytes import file, pair, string, u32, u64
from model_files import split

from tinygrad_llm.config import GPTConfig, LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.model import GPT, Llama
from tinygrad_llm.pretrained import gguf_file, load_pretrained, save_pretrained
from tinygrad_llm.pretrained.describe import describe
from tinygrad_llm.pretrained.gguf_file import read_gguf
from tinygrad_llm.pretrained.gguf_save import save_gguf
from tinygrad_llm.pretrained.gguf_tokenizer import read_tokenizer
from tinygrad_llm.tokenizer import Tokenizer, train_bpe
from tinygrad_llm.tokenizer.vocabulary import Conventions

TEMPLATE = "{% for m in messages %}<s>{{ m.content }}<|end|>{% endfor %}"
SPECIAL = ["<s>", "<|end|>", "<|turn|>"]
TRAINED = train_bpe(["to be or not to be, that is the question " * 4], 280, "gpt2", SPECIAL)
BOS, EOS, TURN = (TRAINED.special_tokens[name] for name in SPECIAL)
TOKENIZER = Tokenizer.from_vocabulary(
    TRAINED.vocabulary,
    Conventions(BOS, EOS, (BOS,), (), TEMPLATE, {"bos_token": "<s>", "eos_token": "<|end|>"}),
)
IDS = np.array([[1, 2, 3, 70]])


def a_llama():
    return Llama(LlamaConfig(TOKENIZER.vocab_size, 32, 2, 4, 2, 32, 48)).eval()


def a_gpt():
    return GPT(GPTConfig(TOKENIZER.vocab_size, 32, 2, 4, 32)).eval()


def refused(path, *words, **options):
    with pytest.raises(UserError) as caught:
        load_pretrained(path, **options)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 1000
    for word in words:
        assert word in message, message


# --- GGUF -----------------------------------------------------------------------------------------


def test_model_tokenizer_and_template_of_a_gguf_file(tmp_path):
    saved = a_llama()
    save_gguf(saved, TOKENIZER, tmp_path / "model.gguf")
    model, tokenizer = load_pretrained(tmp_path / "model.gguf")
    np.testing.assert_allclose(model(IDS).data, saved(IDS).data, atol=1e-6)
    text = "to be <|end|>, thät is"
    assert tokenizer.encode(text) == TOKENIZER.encode(text)
    assert tokenizer.add_bos_eos([5]) == [BOS, 5] and tokenizer.stop_ids == (EOS,)
    messages = [{"role": "user", "content": "or not"}]
    assert tokenizer.apply_chat_template(messages) == TOKENIZER.apply_chat_template(messages)
    assert load_pretrained(tmp_path / "model.gguf", "float64")[0].head.dtype == np.float64


def metadata(path, changes):
    """A file without tensors that has a tokenizer; ``changes``: key -> bytes of type and value."""

    def texts(*values):
        return u32(9) + u32(8) + u64(len(values)) + b"".join(map(string, values))

    pieces = ["<unk>", "<s>", "</s>", "a", "b", "ab", "<turn>", "<eom>"]
    kinds = [2, 3, 3, 1, 1, 1, 3, 3]
    scores = np.arange(8, dtype="<f4")
    entries = {
        "tokenizer.ggml.model": u32(8) + string("llama"),
        "tokenizer.ggml.tokens": texts(*pieces),
        "tokenizer.ggml.token_type": u32(9) + u32(5) + u64(8) + b"".join(map(u32, kinds)),
        "tokenizer.ggml.scores": u32(9) + u32(6) + u64(8) + scores.tobytes(),
        "tokenizer.ggml.bos_token_id": u32(4) + u32(1),
        "tokenizer.ggml.eos_token_id": u32(4) + u32(2),
        "tokenizer.ggml.unknown_token_id": u32(4) + u32(0),
        "tokenizer.ggml.add_space_prefix": u32(7) + b"\0",
        **changes,
    }
    pairs = [string(key) + value for key, value in entries.items() if value is not None]
    path.write_bytes(file([pair("general.architecture", 8, string("llama")), *pairs]))
    return read_gguf(path)


def test_every_id_that_ends_an_answer_is_read(tmp_path):
    changes = {
        "tokenizer.ggml.eot_token_id": u32(4) + u32(6),
        "tokenizer.ggml.eom_token_id": u32(4) + u32(7),
    }
    tokenizer = read_tokenizer(metadata(tmp_path / "a", changes))
    assert (tokenizer.eos_id, tokenizer.stop_ids) == (2, (2, 6, 7))
    assert tokenizer.encode("ab") == [5] and tokenizer.add_bos_eos([5]) == [1, 5]


@pytest.mark.parametrize("name", [None, "none", "no_vocab"])
def test_a_file_may_have_no_tokenizer(tmp_path, name):
    kind = None if name is None else u32(8) + string(name)
    assert read_tokenizer(metadata(tmp_path / "a", {"tokenizer.ggml.model": kind})) is None


@pytest.mark.parametrize(
    "key, value, words",
    [
        ("model", u32(8) + string("bert"), ["its tokenizer is refused", "'bert' is unknown here"]),
        ("model", u32(4) + u32(3), ["tokenizer.ggml.model is not text"]),
        ("tokens", None, ["has a tokenizer without tokens"]),
        ("tokens", u32(9) + u32(4) + u64(1) + u32(3), ["ggml.tokens is not a list of texts"]),
        ("scores", u32(9) + u32(6) + u64(1) + bytes(4), ["8 tokens but 1 scores"]),
        ("scores", u32(9) + u32(8) + u64(1) + string("x"), ["scores is not a list of numbers"]),
        ("token_type", u32(9) + u32(6) + u64(1) + bytes(4), ["is not a list of whole numbers"]),
        ("bos_token_id", u32(8) + string("x"), ["bos_token_id is not a whole number"]),
        ("eos_token_id", u32(4) + u32(8), ["the eos id is 8, expected one of 0 to 7"]),
        ("eot_token_id", u32(4) + u32(9), ["the stop id is 9, expected one of 0 to 7"]),
        ("add_space_prefix", u32(4) + u32(1), ["add_space_prefix is not true or false"]),
    ],
)
def test_a_tokenizer_in_metadata_that_is_wrong(tmp_path, key, value, words):
    opened = metadata(tmp_path / "a", {f"tokenizer.ggml.{key}": value})
    with pytest.raises(UserError) as caught:
        read_tokenizer(opened)
    for word in (str(tmp_path / "a"), *words):
        assert word in str(caught.value)


def test_a_gguf_tokenizer_with_more_ids_than_the_model_is_refused(tmp_path, monkeypatch):
    small = train_bpe(["to be or not to be"], 258, "gpt2")
    save_gguf(Llama(LlamaConfig(258, 32, 2, 4, 2, 32, 48)), small, tmp_path / "small.gguf")
    save_gguf(a_llama(), TOKENIZER, tmp_path / "model.gguf")
    ours, theirs = (read_gguf(tmp_path / f"{name}.gguf") for name in ("small", "model"))
    ours.metadata.update(theirs.metadata)
    monkeypatch.setattr("tinygrad_llm.pretrained.load.read_gguf", lambda path: ours)
    largest = max(TRAINED.ranks.values())
    refused(tmp_path / "small.gguf", f"ids up to {largest}", "vocabulary has 258 ids")


# --- the ids that end an answer, in a model directory ---------------------------------------------


@pytest.mark.parametrize(
    "files, expected",
    [
        ({}, (EOS,)),
        ({"config.json": [EOS, TURN]}, (EOS, TURN)),
        ({"config.json": EOS, "generation_config.json": [TURN, EOS]}, (EOS, TURN)),
        ({"config.json": TURN, "generation_config.json": None}, (EOS, TURN)),
        ({"generation_config.json": TURN}, (EOS, TURN)),
    ],
)
def test_ids_that_end_an_answer(tmp_path, files, expected):
    save_pretrained(a_llama(), TOKENIZER, tmp_path)
    for name, ids in files.items():
        path = tmp_path / name
        content = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(content | {"eos_token_id": ids}))
    assert load_pretrained(tmp_path)[1].stop_ids == expected


def test_a_generation_config_that_is_wrong(tmp_path):
    save_pretrained(a_llama(), TOKENIZER, tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": "</s>"}')
    refused(tmp_path, "generation_config.json: eos_token_id is", "expected a whole number")


# --- weights in other forms -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [a_llama, a_gpt])
@pytest.mark.parametrize("weights", ["int8", "as-stored"])
def test_weights_as_stored_or_int8(tmp_path, kind, weights):
    saved = kind()
    save_pretrained(saved, None, tmp_path / "half", "f16")
    if kind is a_gpt:
        split(tmp_path / "half")
    exact, _ = load_pretrained(tmp_path / "half")
    model, _ = load_pretrained(tmp_path / "half", weights=weights)
    atol = 2e-5 if weights == "as-stored" else 2e-2
    expected = exact(IDS).data
    np.testing.assert_allclose(model(IDS).data, expected, atol=atol * np.abs(expected).max())
    size = sum(parameter.nbytes for parameter in model.parameters())
    assert size < 0.2 * sum(parameter.nbytes for parameter in exact.parameters())


def test_weights_that_cannot_be(tmp_path):
    save_pretrained(a_llama(), None, tmp_path)
    refused(tmp_path, "weights is 'int4', but must be float32, int8, as-stored", weights="int4")
    refused(tmp_path, "dtype must be float32", weights="int8", dtype="float64")


# --- paths ----------------------------------------------------------------------------------------


def test_a_gguf_file_is_opened_once_to_describe_it(tmp_path, monkeypatch):
    path, opened = tmp_path / "model.gguf", []
    save_gguf(a_llama(), TOKENIZER, path, licence="mit")
    whole = gguf_file._map
    monkeypatch.setattr(gguf_file, "_map", lambda path: opened.append(path) or whole(path))
    facts = dict(describe(path, sha256=True))
    assert opened == [path]
    assert facts["licence"] == "mit" and facts["architecture"].startswith("llama: 2 layers")


def test_a_run_means_its_best_checkpoint(tmp_path):
    for step in (10, 20):
        save_pretrained(a_gpt(), TOKENIZER, tmp_path / "checkpoints" / f"step-0000{step}")
    index = tmp_path / "checkpoints" / "index.json"
    index.write_text('{"last": "step-000020", "best": "step-000010"}')
    (tmp_path / "checkpoints" / "step-000020" / "model.safetensors").write_bytes(b"")
    model, tokenizer = load_pretrained(tmp_path)
    assert isinstance(model, GPT) and tokenizer.encode("to be") == TOKENIZER.encode("to be")
    refused(tmp_path / "checkpoints" / "step-000020", "not a whole .safetensors file")
    index.unlink()
    refused(tmp_path, "has no checkpoint")


def test_paths_that_are_no_model(tmp_path):
    refused(tmp_path, f"{tmp_path} is neither a run nor a model directory", "config.json")
    (tmp_path / "small.gguf").write_bytes(b"GGUF")
    refused(tmp_path, "has no config.json, but small.gguf", str(tmp_path / "small.gguf"))
    refused(tmp_path / "small.gguf", "not a whole GGUF file")
    (tmp_path / "model.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}")
    refused(tmp_path / "model.safetensors", "it starts with", "expected b'GGUF'")
    refused(tmp_path / "nowhere.gguf", f"there is no file or folder {tmp_path}")
    refused("", "the path is empty")
