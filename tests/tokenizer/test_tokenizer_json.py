"""tokenizer.json: the tokenizers library gives our ids, and a file that would not is refused."""

import errno
import json
import os
import sysconfig
from pathlib import Path

import hypothesis.strategies as st
import pytest
import regex
import tokenizers
from hypothesis import given, settings
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import Tokenizer, get_tokenizer, patterns, train_bpe
from tinygrad_llm.tokenizer.base import MAX_IDS
from tinygrad_llm.tokenizer.json_format import BYTES, LETTERS, spell

EOT = "<|endoftext|>"
SOURCES = [
    (Path(sysconfig.get_path("stdlib")) / name).read_text(encoding="utf-8")
    for name in ("textwrap.py", "argparse.py", "shlex.py")
]
OURS = {p: train_bpe(SOURCES, 700, p, [EOT, "<|user|>"]) for p in patterns.NAMED}

# Unassigned code points are left out: the engines' editions of Unicode differ on them.
assigned = st.characters(exclude_categories=("Cs", "Cn"))
tricky = st.sampled_from([*" \n\r\t'aA1!s\u017f\u00a0\u2028é中", "  ", "\r\n", "'S", "'ll", "123"])
texts = st.lists(st.one_of(tricky, assigned), max_size=30).map("".join)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Pattern name -> directory with the saved tokenizer."""
    root = tmp_path_factory.mktemp("saved")
    for name, tokenizer in OURS.items():
        tokenizer.save(root / name, model_max_length=64)
    return {name: root / name for name in OURS}


@pytest.fixture(scope="module")
def theirs(saved):
    return {n: tokenizers.Tokenizer.from_file(str(d / "tokenizer.json")) for n, d in saved.items()}


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(list(OURS)), texts)
def test_tokenizers_library_gives_identical_ids(theirs, name, text):
    encoded = theirs[name].encode(text)
    assert encoded.ids == OURS[name].encode(text)
    assert theirs[name].decode(encoded.ids) == text


@pytest.mark.parametrize("name", OURS)
def test_tokenizers_library_gives_identical_ids_on_source_code(theirs, name):
    for text in SOURCES:
        assert theirs[name].encode(text).ids == OURS[name].encode(text)
    assert theirs[name].get_vocab_size() == OURS[name].vocab_size == 700


@pytest.mark.parametrize("name", OURS)
def test_special_tokens_in_the_tokenizers_library(theirs, name):
    text = f"a{EOT}<|user|>b"
    assert theirs[name].encode(text).ids == OURS[name].encode(text, allowed_special="all")
    theirs[name].encode_special_tokens = True
    assert theirs[name].encode(text).ids == OURS[name].encode(text)
    theirs[name].encode_special_tokens = False
    ids = OURS[name].encode(text, "all")
    assert theirs[name].decode(ids, skip_special_tokens=True) == "ab"


def onig_split(expression: str, text: str) -> list[str]:
    split = pre_tokenizers.Split(Regex(expression), "isolated")
    return [chunk for chunk, _ in split.pre_tokenize_str(text)]


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(list(patterns.NAMED.values())), texts)
def test_oniguruma_splits_as_the_training_does(expression, text):
    assert onig_split(expression, text) == regex.findall(expression, text)


def test_oniguruma_misreads_the_published_pattern():
    """Why the patterns are rewritten: no error, other chunks."""
    possessive = r"\p{N}{1,3}+|\s++$|\S"
    assert regex.findall(possessive, "12345") == ["123", "45"]
    assert onig_split(possessive, "12345") == ["12345"]
    assert not patterns.is_portable(possessive)
    assert not patterns.is_portable(r"\s+$")
    for portable in (*patterns.NAMED.values(), r"[+*]+|\++|[^$^\]+]+|\$"):
        assert patterns.is_portable(portable)


@pytest.mark.parametrize("name", OURS)
def test_load_gives_the_same_tokenizer(saved, name):
    for path in (saved[name], saved[name] / "tokenizer.json", str(saved[name])):
        loaded = Tokenizer.load(path)
        assert loaded.fingerprint() == OURS[name].fingerprint()
    assert loaded.special_tokens == OURS[name].special_tokens
    assert loaded.merges() == OURS[name].merges()
    assert loaded.encode(SOURCES[2]) == OURS[name].encode(SOURCES[2])


def test_file_layout(saved):
    content = json.loads((saved["gpt4"] / "tokenizer.json").read_text(encoding="utf-8"))
    assert content["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] == patterns.GPT4_PATTERN
    assert content["model"]["vocab"]["Ġ"] == 32
    assert all(len(pair) == 2 for pair in content["model"]["merges"])
    config = json.loads((saved["gpt4"] / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": EOT,
        "eos_token": EOT,
        "unk_token": EOT,
        "model_max_length": 64,
        "clean_up_tokenization_spaces": False,
    }


def test_letters_are_those_of_the_tokenizers_library():
    assert sorted(LETTERS) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert len(BYTES) == 256
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for code_point in (*range(0, 0x800), 0xFFFF, 0x10FFFF, 0xC0000):
        character = chr(code_point)
        assert byte_level.pre_tokenize_str(character)[0][0] == spell(character.encode())


def test_transformers_gives_identical_ids(saved):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    for name, directory in saved.items():
        theirs = transformers.AutoTokenizer.from_pretrained(directory)
        assert theirs(SOURCES[2])["input_ids"] == OURS[name].encode(SOURCES[2])
        assert theirs.eos_token_id == OURS[name].eot_id
        assert theirs.decode(OURS[name].encode("Yes , it 's .")) == "Yes , it 's ."


def test_file_trained_by_the_tokenizers_library_keeps_its_ids(tmp_path):
    """GPT-2's layout, and another order of ids: the special token first, then the bytes."""
    theirs = tokenizers.Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=[EOT], initial_alphabet=alphabet, show_progress=False
    )
    theirs.train_from_iterator(SOURCES, trainer)
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = Tokenizer.load(tmp_path)
    assert (ours.eot_id, ours.vocab_size, ours.pattern) == (0, 600, patterns.GPT2_PATTERN)
    for text in (*SOURCES, "été 123 \U0001f600\n\n x"):
        assert ours.encode(text) == theirs.encode(text).ids
    assert ours.decode_bytes(ours.encode_bytes(b"\xff\x00a")) == b"\xff\x00a"
    # and once more through our own file
    ours.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").fingerprint() == ours.fingerprint()
    again = tokenizers.Tokenizer.from_file(str(tmp_path / "again" / "tokenizer.json"))
    assert again.encode(SOURCES[0]).ids == ours.encode(SOURCES[0])


def test_vocabulary_with_unused_ids(tmp_path):
    ranks = {bytes([b]): b for b in range(256)} | {b"ab": 300, b"abc": 301}
    ours = Tokenizer.from_ranks(ranks, "gpt4", {EOT: 310})
    ours.save(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode(f"abcab{EOT}").ids == ours.encode(f"abcab{EOT}", "all") == [301, 300, 310]
    assert Tokenizer.load(tmp_path).fingerprint() == ours.fingerprint()
    assert ours.vocab_size == 311
    with pytest.raises(UserError, match="same id"):
        Tokenizer.from_ranks(ranks, "gpt4", {EOT: 300})
    with pytest.raises(UserError, match=r"missing: \[97\]"):
        Tokenizer.from_ranks({b: i for b, i in ranks.items() if i != 97}, "gpt4", {})
    with pytest.raises(UserError, match="position 0 holds 305"):
        ours.decode([305])


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_what_save_writes_load_reads(tmp_path_factory, data):
    """Ids with holes of any size, bytes and special tokens anywhere, the merges in order."""
    merges = OURS["gpt2"].merges()[: data.draw(st.integers(0, 6))]
    names = [EOT, "<|user|>", "<|user|>\n"][: data.draw(st.integers(0, 3))]
    tokens = [bytes([b]) for b in data.draw(st.permutations(range(256)))]
    tokens += [left + right for left, right in merges]
    count = len(tokens) + len(names)
    gaps = data.draw(st.lists(st.sampled_from([0, 0, 0, 1, 5000]), min_size=count, max_size=count))
    ids = [i + sum(gaps[: i + 1]) for i in range(count)]
    if data.draw(st.booleans()):  # the single bytes last
        tokens = tokens[256:] + tokens[:256]
    ours = Tokenizer.from_ranks(
        dict(zip(tokens, ids, strict=False)),
        "gpt4",
        dict(zip(names, ids[len(tokens) :], strict=True)),
    )
    folder = tmp_path_factory.mktemp("holes")
    ours.save(folder)
    loaded = Tokenizer.load(folder)
    assert loaded.fingerprint() == ours.fingerprint() and loaded.merges() == merges
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = SOURCES[0][:300] + "".join(names)
    assert loaded.encode(text, "all") == ours.encode(text, "all") == theirs.encode(text).ids
    assert loaded.unused_ids().tolist() == sorted({*range(ours.vocab_size)} - {*ids})


def test_an_end_of_text_far_beyond_the_other_ids(tmp_path):
    ranks = Tokenizer([]).ranks
    ours = Tokenizer.from_ranks(ranks, "gpt4", {EOT: 100_257})
    ours.save(tmp_path)
    assert Tokenizer.load(tmp_path).eot_id == 100_257
    for wrong in (MAX_IDS, -1, 1.0, True, "7"):
        with pytest.raises(UserError, match=f"id of token .* is {wrong!r}, expected a whole"):
            Tokenizer.from_ranks(ranks, "gpt4", {EOT: wrong})
    with pytest.raises(UserError, match="empty token"):
        Tokenizer.from_ranks(ranks | {b"": 256}, "gpt4", {})


@pytest.mark.skipif(
    "TINYGRAD_LLM_TEST_DATA" not in os.environ, reason="TINYGRAD_LLM_TEST_DATA is not set"
)
def test_gpt2_can_be_saved(monkeypatch, tmp_path):
    data = Path(os.environ["TINYGRAD_LLM_TEST_DATA"])
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(data / "tiktoken_cache"))
    ours = get_tokenizer("gpt2")
    ours.save(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in (*SOURCES, (data / "the-verdict.txt").read_text(encoding="utf-8")):
        assert theirs.encode(text).ids == ours.encode(text)
    assert Tokenizer.load(tmp_path).fingerprint() == ours.fingerprint()


def set_in(content, path, value):
    """A copy of nested JSON with one place changed."""
    content = json.loads(json.dumps(content))
    *parents, last = path
    place = content
    for key in parents:
        place = place[key]
    place[last] = value
    return content


TEXT = {"Sequence": {"id": "A", "type_id": 0}}


def template(*single):
    return {"type": "TemplateProcessing", "single": list(single), "pair": [], "special_tokens": {}}


def sequence(*processors):
    return {"type": "Sequence", "processors": list(processors)}


BROKEN = [
    (("model",), None, 'expected an object "model"'),
    (("model", "type"), "WordPiece", 'expected "BPE"'),
    (("model", "vocab"), [], '"vocab" to be an object'),
    (("model", "merges"), None, '"merges" to be a list'),
    (("model", "merges"), [], r"expected at most 256 bytes \+ 0 merges"),
    (("model", "merges", 3), ["a"], "merge 3 is"),
    (("model", "merges", 3), ["a", 7], "merge 3 is"),
    (("model", "merges", 3), ["a", "Ā"], "merge 3 uses 'aĀ'"),
    (("model", "vocab", "a"), -1, "the id of token 'a' is -1"),
    (("model", "vocab", "a"), True, "the id of token 'a' is True"),
    (("model", "vocab", "a"), 10**9, "the id of token 'a' is 1000000000"),
    (("model", "vocab", "a"), 98, "same id"),
    (("model", "vocab", "zzz"), 700, "has 699 tokens besides 2 added ones"),
    (("model", "dropout"), 0.1, "sets dropout"),
    (("normalizer",), {"type": "NFKC"}, "sets normalizer NFKC, expected NFC"),
    (("truncation",), {"max_length": 5}, "sets truncation"),
    (("post_processor",), {"type": "TemplateProcessing"}, "no template for a single text"),
    (("post_processor",), template({"SpecialToken": {"id": "<s>"}}, TEXT), "adds '<s>', which is"),
    (("post_processor",), template(TEXT, TEXT), "template is not the text, once"),
    (("post_processor",), template(), "template is not the text, once"),
    (("post_processor",), template("A"), "template is not the text, once"),
    (("post_processor",), {"type": "RobertaProcessing"}, "RobertaProcessing adds tokens to every"),
    (("post_processor",), {"type": "Sequence", "processors": 1}, "no list of processors"),
    (("post_processor",), sequence(template(TEXT, TEXT)), "template is not the text, once"),
    (("post_processor",), {"type": "New"}, "its post_processor New is unknown here"),
    (("added_tokens", 0, "lstrip"), True, "sets lstrip"),
    (("added_tokens", 0, "rstrip"), True, "sets rstrip"),
    (("added_tokens", 0, "single_word"), True, "sets single_word"),
    (("added_tokens", 1), {"id": 698, "content": EOT, "special": True}, "is listed twice"),
    (("decoder",), {"type": "WordPiece"}, "decoder ByteLevel"),
    (("decoder",), {"type": ["ByteLevel"]}, "decoder ByteLevel"),
    (("decoder",), {"type": "Sequence", "decoders": [{"type": [1]}]}, "has the step None"),
    (("added_tokens", 0, "id"), 5, "has two ids"),
    (("added_tokens", 0), "x", '"added_tokens" to have a "content"'),
    (("pre_tokenizer",), None, "expected the pre_tokenizer ByteLevel"),
    (("pre_tokenizer",), {"type": "Whitespace"}, "found Whitespace"),
    (("pre_tokenizer",), {"type": "ByteLevel"}, "add_prefix_space"),
    (("pre_tokenizer", "pretokenizers", 1, "use_regex"), True, "splits twice"),
    (("pre_tokenizer", "pretokenizers", 0, "behavior"), "Removed", "behavior Isolated"),
    (("pre_tokenizer", "pretokenizers", 0, "pattern"), {"String": " "}, "found Split"),
    (("pre_tokenizer", "pretokenizers", 0, "pattern"), {"Regex": r"\s++|\S++"}, "possessive"),
    (("pre_tokenizer", "pretokenizers", 0, "pattern"), {"Regex": "[a"}, "regular expression"),
]


@pytest.mark.parametrize(("path", "value", "sentence"), BROKEN)
def test_foreign_or_broken_content_gets_a_sentence(saved, tmp_path, path, value, sentence):
    content = json.loads((saved["gpt4"] / "tokenizer.json").read_text(encoding="utf-8"))
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(set_in(content, path, value)), encoding="utf-8")
    with pytest.raises(UserError, match=sentence) as caught:
        Tokenizer.load(tmp_path)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_token_that_is_no_name_gets_a_sentence(saved, tmp_path):
    content = json.loads((saved["gpt4"] / "tokenizer.json").read_text(encoding="utf-8"))
    content["decoder"] = {"type": "Sequence", "decoders": []}
    content["model"]["unk_token"] = [1]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=r"unk_token \[1\] is not a token"):
        Tokenizer.load(tmp_path)


def changed(saved, tmp_path, change):
    """(our tokenizer, the library's) of a saved file after a change of its content."""
    content = json.loads((saved["gpt4"] / "tokenizer.json").read_text(encoding="utf-8"))
    change(content)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    file = str(tmp_path / "tokenizer.json")
    return Tokenizer.load(file), tokenizers.Tokenizer.from_file(file)


def test_merges_in_another_order_are_followed_pair_by_pair(saved, tmp_path):
    """tiktoken would join the lowest id first, which gives other ids."""
    ours, theirs = changed(saved, tmp_path, lambda c: c["model"]["merges"].reverse())
    for text in SOURCES:
        assert ours.encode(text) == theirs.encode(text).ids != OURS["gpt4"].encode(text)
        assert ours.decode(ours.encode(text)) == text


def test_ids_that_are_not_in_the_order_of_the_merges(saved, tmp_path):
    """tiktoken would take the ids for the ranks of the merges."""

    def reverse_ids(content):
        made = ["".join(pair) for pair in content["model"]["merges"]]
        vocab = content["model"]["vocab"]
        vocab.update(zip(made, [vocab[token] for token in reversed(made)], strict=True))

    ours, theirs = changed(saved, tmp_path, reverse_ids)
    for text in SOURCES:
        assert ours.encode(text) == theirs.encode(text).ids
        assert ours.decode(ours.encode(text)) == text


def test_an_added_token_that_is_not_special_is_always_recognized(saved, tmp_path):
    ours, theirs = changed(saved, tmp_path, lambda c: c["added_tokens"][0].update(special=False))
    theirs.encode_special_tokens = True
    text = f"a{EOT}b<|user|>"
    user = OURS["gpt4"].special_tokens["<|user|>"]
    assert ours.encode(text) == theirs.encode(text).ids == ours.encode_batch([text])[0].tolist()
    assert 698 in ours.encode(text) and user not in ours.encode(text)
    assert ours.decode(ours.encode(text, allow_special=True)) == text
    assert ours.fingerprint() != OURS["gpt4"].fingerprint()


def test_nfc_is_applied_where_the_file_asks_for_it(saved, tmp_path):
    ours, theirs = changed(saved, tmp_path, lambda c: c.update(normalizer={"type": "NFC"}))
    text = f"e\u0301te\u0301 {EOT} \u1100\u1161"
    assert ours.encode(text, "all") == theirs.encode(text).ids
    assert ours.decode(ours.encode(text)) == f"\u00e9t\u00e9 {EOT} \uac00"
    assert ours.encode_bytes(b"e\xcc\x81\xff") == [*ours.encode("\u00e9"), 255]


def test_what_the_file_adds_around_a_text(saved, tmp_path):
    user = {"SpecialToken": {"id": "<|user|>", "type_id": 0}}
    end = {"SpecialToken": {"id": EOT, "type_id": 0}}
    step = template(user, TEXT, end)
    step["special_tokens"] = {
        name: {"id": name, "ids": [i], "tokens": [name]}
        for name, i in OURS["gpt4"].special_tokens.items()
    }
    ours, theirs = changed(saved, tmp_path, lambda c: c.update(post_processor=step))
    assert ours.add_bos_eos(ours.encode("hi")) == theirs.encode("hi").ids
    assert ours.encode("hi") == theirs.encode("hi", add_special_tokens=False).ids
    ours.save(tmp_path / "again")
    again = tokenizers.Tokenizer.from_file(str(tmp_path / "again" / "tokenizer.json"))
    assert again.encode("hi").ids == theirs.encode("hi").ids
    assert ours.bos_id == OURS["gpt4"].special_tokens["<|user|>"]


def test_bytes_without_a_token_are_dropped(saved, tmp_path):
    """SmolLM2 has none for some control characters; what is left on either side may merge."""
    merges = OURS["gpt4"].merges()
    lost = next(
        b for b in range(1, 32) if all(bytes([b]) not in left + right for left, right in merges)
    )
    ours, theirs = changed(saved, tmp_path, lambda c: c["model"]["vocab"].pop(LETTERS[lost]))
    for text in (
        SOURCES[0],
        SOURCES[0].replace("e", f"e{chr(lost)}"),
        chr(lost),
        f" {chr(lost)}the",
    ):
        assert ours.encode(text) == theirs.encode(text).ids


@pytest.mark.parametrize(
    "step",
    [
        template(TEXT),
        {"type": "ByteLevel", "trim_offsets": False},
        sequence({"type": "ByteLevel"}, template(TEXT)),
    ],
)
def test_a_post_processor_that_adds_nothing_is_accepted(saved, tmp_path, step):
    content = json.loads((saved["gpt4"] / "tokenizer.json").read_text(encoding="utf-8"))
    content["post_processor"] = step
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert Tokenizer.load(tmp_path).fingerprint() == OURS["gpt4"].fingerprint()


def test_saved_again_by_transformers(saved, tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    for name, directory in saved.items():
        again = tmp_path / name
        transformers.AutoTokenizer.from_pretrained(directory).save_pretrained(again)
        assert Tokenizer.load(again).fingerprint() == OURS[name].fingerprint()


@pytest.mark.parametrize("share", [0, 0.5, 0.999])
def test_truncated_file_gets_a_sentence(saved, tmp_path, share):
    data = (saved["gpt4"] / "tokenizer.json").read_bytes()
    (tmp_path / "tokenizer.json").write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match=r"tokenizer\.json is not whole JSON"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"[" * 100_000, b"[]", b'{"a": 1}'])
def test_file_that_is_something_else_gets_a_sentence(tmp_path, data):
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(UserError, match=r"x\.json is "):
        Tokenizer.load(tmp_path / "x.json")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no tokenizer at .*nowhere.*tokenizer\.json"):
        Tokenizer.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"expected a tokenizer\.json"):
        Tokenizer.load(tmp_path)


def test_full_disk_leaves_the_old_files(monkeypatch, tmp_path):
    OURS["gpt4"].save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def no_space(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(UserError, match="cannot save the tokenizer to .*No space left"):
        OURS["gpt2"].save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_the_format_cannot_hold_is_refused(tmp_path):
    possessive = Tokenizer([(97, 98)], r"\s++|\S++")
    with pytest.raises(UserError, match="possessive"):
        possessive.save(tmp_path / "new")
    letters = Tokenizer([(32, 97)], special_tokens=["Ġa"])  # the letters of " a"
    with pytest.raises(UserError, match="'Ġa' is spelled like an ordinary token"):
        letters.save(tmp_path / "new")
    with pytest.raises(UserError, match="'<été>' consists of letters that spell bytes"):
        Tokenizer([], special_tokens=["<été>"]).save(tmp_path / "new")
    assert not (tmp_path / "new").exists()
