"""The tokenizers of Llama 3, Qwen 3, Llama 2 and Gemma 3: the tokenizers library gives our ids."""

import os
import unicodedata
from functools import lru_cache
from pathlib import Path

import hypothesis.strategies as st
import pytest
import tokenizers
from gguf_lists import from_metadata
from hypothesis import given, settings
from real_tokenizers import NAMES, folder_of

from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.to_lists import tokenizer_metadata

# Unassigned code points are left out: the engines' editions of Unicode differ on them.
assigned = st.characters(exclude_categories=("Cs", "Cn"))
tricky = st.sampled_from(
    [
        *" \n\r\t'aA1!s>\u017f\u00a0\u2028\u2581\u0301é中\x04\x06\U0001f600",
        *("  ", "\r\n", "'S", "'ll", "123", "the", "\n\n\n", "\u2581\u2581", "</", "<b>"),
        *("<|begin_of_text|>", "<|im_end|>", "<think>", "</think>", "<s>", "</s>", "<unk>"),
        *("<bos>", "<end_of_turn>", "<unused7>", "<0x0A>", "[multimodal]"),
    ]
)
texts = st.lists(st.one_of(tricky, assigned), max_size=30).map("".join)


@lru_cache(maxsize=1)
def both(name):
    folder = folder_of(name)
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    return Tokenizer.load(folder), theirs


def same_ids(name, text):
    ours, theirs = both(name)
    for allow in (False, True):
        theirs.encode_special_tokens = not allow
        ids = ours.encode(text, allow_special=allow)
        assert ids == theirs.encode(text, add_special_tokens=False).ids
        assert ours.add_bos_eos(ids) == theirs.encode(text).ids
        lossy = {
            "qwen3": lambda text: unicodedata.normalize("NFC", text),
            "llama2": lambda text: text.replace("\u2581", " "),
            "gemma3": lambda text: text.replace("\u2581", " "),
        }.get(name, str)
        decoder = ours.stream()
        assert lossy(text) == lossy(ours.decode(ids))
        assert ours.decode(ids) == "".join(map(decoder.push, ids)) + decoder.finish()


@pytest.mark.parametrize("name", NAMES)
def test_identical_ids(name):
    both(name)

    @settings(deadline=None, max_examples=400, database=None)
    @given(texts)
    def check(text):
        same_ids(name, text)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_identical_ids_on_books(name):
    if "TINYGRAD_LLM_TEST_DATA" not in os.environ:
        pytest.skip("TINYGRAD_LLM_TEST_DATA is not set")
    for file in sorted(Path(os.environ["TINYGRAD_LLM_TEST_DATA"]).glob("*.txt")):
        same_ids(name, file.read_text(encoding="utf-8")[:400_000])


@pytest.mark.parametrize("name", NAMES)
def test_any_bytes_come_back(name):
    data = b"a \xff\xfe\xe2\x82 b\x00\n\n\xf0\x9f c"
    tokenizer = both(name)[0]
    assert tokenizer.decode_bytes(tokenizer.encode_bytes(data)) == data


@pytest.mark.parametrize("name", NAMES)
def test_bos_and_eos(name):
    tokenizer = both(name)[0]
    names = {i: name for name, i in tokenizer.special_tokens.items()}
    assert (names.get(tokenizer.bos_id), names[tokenizer.eos_id], tokenizer.add_bos_eos([])) == {
        "llama3": ("<|begin_of_text|>", "<|end_of_text|>", []),
        "qwen3": (None, "<|im_end|>", []),
        "llama2": ("<s>", "</s>", [1]),
        "gemma3": ("<bos>", "<end_of_turn>", [2]),
    }[name]


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_read_again(name, tmp_path):
    ours, original = both(name)
    ours.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.fingerprint() == ours.fingerprint() and again.conventions == ours.conventions
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))

    @settings(deadline=None, max_examples=100, database=None)
    @given(texts)
    def check(text):
        for allow in (False, True):
            theirs.encode_special_tokens = original.encode_special_tokens = not allow
            assert theirs.encode(text).ids == original.encode(text).ids

    check()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")  # what is different is what the test leaves out
def test_as_the_lists_of_a_gguf_file(name):
    """Text that is composed and has no "\u2581" gets the same ids."""
    ours = both(name)[0]
    again = from_metadata(tokenizer_metadata(ours, ours.vocab_size))

    @settings(deadline=None, max_examples=100, database=None)
    @given(texts)
    def check(text):
        text = unicodedata.normalize("NFC", text).replace("\u2581", " ")
        assert again.encode(text) == ours.encode(text)

    check()
