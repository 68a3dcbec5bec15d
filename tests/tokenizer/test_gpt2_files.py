"""vocab.json and merges.txt: the ids that transformers gives, and what is refused."""

import json

import pytest

from tinygrad_llm.config import GPTConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.model import GPT
from tinygrad_llm.pretrained import load_pretrained, save_model
from tinygrad_llm.tokenizer import Tokenizer, get_tokenizer, train_bpe
from tinygrad_llm.tokenizer.json_format import spell

LEARNED = "to be or not to be, that is the question 12345 Hello there thät "
TRAINED = train_bpe([LEARNED * 4], 290, "gpt2", ["<|endoftext|>"])
END = TRAINED.eot_id
TEXT = "not to be <|user|> thät's <pad> it<|endoftext|>\n\n  1234 \u4e2d\U0001f600"


def write(folder, **files):
    """TRAINED as GPT-2's files; ``files``: name without .json -> content."""
    vocab = {spell(token): i for token, i in TRAINED.ranks.items()} | TRAINED.special_tokens
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{spell(a)} {spell(b)}" for a, b in TRAINED.merges()), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8", newline="\n")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def refused(folder, *words):
    with pytest.raises(UserError) as caught:
        Tokenizer.load(folder)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 1000
    for word in words:
        assert word in message, message


def test_the_ids_of_the_tokenizer_that_was_written(tmp_path):
    tokenizer = Tokenizer.load(write(tmp_path))
    assert tokenizer.encode(TEXT, allow_special=True) == TRAINED.encode(TEXT, allow_special=True)
    assert tokenizer.fingerprint() == TRAINED.fingerprint() == get_tokenizer(tmp_path).fingerprint()
    assert (tokenizer.bos_id, tokenizer.eos_id) == (END, END)
    assert tokenizer.add_bos_eos([1]) == [1]


def test_a_tokenizer_json_comes_first(tmp_path):
    write(tmp_path)
    (tmp_path / "vocab.json").write_text("damaged")
    TRAINED.save(tmp_path)
    assert Tokenizer.load(tmp_path).fingerprint() == TRAINED.fingerprint()


def test_it_comes_with_a_model(tmp_path):
    save_model(GPT(GPTConfig(TRAINED.vocab_size, 16, 2, 2, 16)), tmp_path)
    _, tokenizer = load_pretrained(write(tmp_path))
    assert tokenizer.stop_ids == (END,) and tokenizer.encode(LEARNED) == TRAINED.encode(LEARNED)


ADDED = {"<pad>": END + 1, "<|user|>": END + 2}


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"added_tokens": ADDED},
        {"added_tokens": ADDED, "special_tokens_map": {"pad_token": "<pad>"}},
        {"added_tokens": ADDED, "special_tokens_map": {"bos_token": {"content": "<|user|>"}}},
        {"added_tokens": ADDED, "tokenizer_config": {"eos_token": "<|user|>"}},
        {
            "added_tokens": ADDED,
            "special_tokens_map": {"eos_token": "<pad>"},
            "tokenizer_config": {
                "tokenizer_class": "GPT2Tokenizer",
                "eos_token": {"content": "<|user|>", "__type": "AddedToken"},
                "additional_special_tokens": ["<pad>"],
                "add_bos_token": True,
            },
        },
    ],
)
def test_ids_and_roles_are_those_of_transformers(tmp_path, files):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    write(tmp_path, config={"model_type": "gpt2"}, **files)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = Tokenizer.load(tmp_path)
    assert ours.add_bos_eos(ours.encode(TEXT, allow_special=True)) == theirs(TEXT)["input_ids"]
    assert (ours.bos_id, ours.eos_id) == (theirs.bos_token_id, theirs.eos_token_id)
    assert {*ours.special_tokens} == {*theirs.all_special_tokens}


@pytest.mark.parametrize(
    "files, words",
    [
        ({"config": {"model_type": "qwen2"}}, ["no tokenizer.json", 'that of "qwen2"', "write a"]),
        ({"tokenizer_config": {"tokenizer_class": "RobertaTokenizer"}}, ["RobertaTokenizer"]),
        ({"tokenizer_config": {"tokenizer_class": ["\x1b"]}}, ["its tokenizer is that of a list"]),
        ({"tokenizer_config": {"add_prefix_space": True}}, ["vocab.json is not", "prefix_space"]),
        ({"vocab": {"a": "b"}}, ["vocab.json: a is", "expected a whole number"]),
        ({"vocab": {"a": 0}}, ["vocab.json is not a BPE tokenizer", "which is not in the vocab"]),
        ({"added_tokens": {"<pad>": END}}, ["two of its tokens have the same id"]),
        ({"added_tokens": {"<pad>": 2**40}}, ["the id of token '<pad>'"]),
        ({"special_tokens_map": []}, ["special_tokens_map.json is a list, expected a JSON object"]),
    ],
)
def test_files_that_are_refused(tmp_path, files, words):
    refused(write(tmp_path, **files), str(tmp_path), *words)


@pytest.mark.parametrize(
    "merges, words",
    [
        (b"\xff", "merges.txt is not text: byte 0 is not UTF-8"),
        (b"#version: 0.2\nt o b\n", "merge 0 is"),
        (b"t o\x1b\n" * 300, "merge 0 uses 'o\\x1b'"),
        (b"", "expected at most 256 bytes + 0 merges"),
    ],
)
def test_merges_that_are_damaged(tmp_path, merges, words):
    (write(tmp_path) / "merges.txt").write_bytes(merges)
    refused(tmp_path, words)


def test_one_of_the_two_files_is_no_tokenizer(tmp_path):
    (write(tmp_path) / "merges.txt").unlink()
    with pytest.raises(FileNotFoundError, match="there is no tokenizer"):
        Tokenizer.load(tmp_path)
