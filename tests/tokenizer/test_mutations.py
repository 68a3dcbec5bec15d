"""A damaged tokenizer.json gets a sentence, or loads as what the tokenizers library makes of it."""

import json

import pytest
import tokenizers
from mutations import json_mutants, mutants

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import Tokenizer, patterns, train_bpe
from tinygrad_llm.tokenizer.json_format import LETTERS

TEXT = (
    "hello there, how are you? <|endoftext|> <user>\nI'm 12345 years old.\n\n"
    "  Na\u00efve \u4e2d\u6587!"
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    tokenizer = train_bpe([TEXT * 3], 300, special_tokens=["<|endoftext|>", "<user>", "<user>\n"])
    tokenizer.save(folder, model_max_length=64)
    return folder


def check(file):
    """Whether it loads. If so, it must be complete and give the ids of the tokenizers library."""
    try:
        tokenizer = Tokenizer.load(file)
        ids = tokenizer.encode(TEXT, "all")
    except UserError as error:
        assert str(error).isprintable() and len(str(error)) < 700
        return False
    assert tokenizer.decode(ids) == TEXT == tokenizer.decode(tokenizer.encode(TEXT))
    assert tokenizer.token_bytes().sum() == sum(map(len, tokenizer.ranks))
    try:
        library = tokenizers.Tokenizer.from_file(str(file))
    except Exception:  # it refuses more than we do: a version, a field we have no use for
        return True
    assert library.encode(TEXT).ids == ids
    return True


def run(saved, tmp_path, count, seed, monkeypatch):
    monkeypatch.setattr(patterns, "SECONDS", 1.0)
    file = tmp_path / "tokenizer.json"
    data = (saved / "tokenizer.json").read_bytes()
    loaded = 0
    for mutant in [*mutants(data, count, seed), *json_mutants(json.loads(data), 2 * count, seed)]:
        file.write_bytes(mutant)
        loaded += check(file)
    return loaded


def test_mutants(saved, tmp_path, monkeypatch):
    assert check(saved / "tokenizer.json")
    loaded = run(saved, tmp_path, 150, 1, monkeypatch)
    assert 10 < loaded < 300  # both ends are reached


@pytest.mark.parametrize("byte", [b",", b"\n", b"\x80", b"\xc3", b"\xf0"])
def test_a_byte_of_readable_text_must_have_a_token(saved, tmp_path, byte):
    """Without one its characters would be dropped, and nothing would say so."""
    content = json.loads((saved / "tokenizer.json").read_bytes())
    letter = LETTERS[byte[0]]
    vocab, merges = content["model"]["vocab"], content["model"]["merges"]
    content["model"]["vocab"] = {token: i for token, i in vocab.items() if letter not in token}
    content["model"]["merges"] = [pair for pair in merges if letter not in "".join(pair)]
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"no token for the byte 0x{byte.hex()}: .* lose"):
        Tokenizer.load(file)


@pytest.mark.parametrize("step", ["post_processor", "pre_tokenizer", "normalizer", "decoder"])
def test_a_sentence_has_no_control_codes(saved, tmp_path, step):
    """A step's name comes from the file, and could clear the reader's screen."""
    content = json.loads((saved / "tokenizer.json").read_bytes())
    inner = {"type": "\x1b[2J\x00\u202e"}
    content[step] = {"type": "Sequence", "decoders": [inner]} if step == "decoder" else inner
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"\\x1b\[2J\\x00\\u202e") as caught:
        Tokenizer.load(file)
    assert str(caught.value).isprintable()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_mutants(saved, tmp_path, monkeypatch, seed):
    run(saved, tmp_path, 3000, seed, monkeypatch)


def test_a_damaged_config_next_to_it_gets_a_sentence(saved, tmp_path):
    """It names the BOS and EOS; without it there are none, and the ids stay the same."""
    (tmp_path / "tokenizer.json").write_bytes((saved / "tokenizer.json").read_bytes())
    assert Tokenizer.load(tmp_path).fingerprint() == Tokenizer.load(saved).fingerprint()
    assert (Tokenizer.load(tmp_path).eos_id, Tokenizer.load(saved).eos_id) == (None, 297)
    (tmp_path / "tokenizer_config.json").write_bytes(b"\xff[")
    with pytest.raises(UserError, match=r"tokenizer_config\.json is not whole JSON"):
        Tokenizer.load(tmp_path)
