"""Tokenizers as the metadata of a GGUF file, and what is said where llama.cpp differs."""

import hypothesis.strategies as st
import pytest
from gguf_lists import from_metadata
from hypothesis import given, settings
from small_sentencepiece import as_merges, sentencepiece

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import Tokenizer, patterns, train_bpe
from tinygrad_llm.tokenizer.to_lists import tokenizer_metadata
from tinygrad_llm.tokenizer.vocabulary import Conventions, Vocabulary

TEXT = "The 3 cats, 1234 of them,  don't  like\n\n  the theatre. \u00c9 \u4e2d "
tricky = st.sampled_from([*" \n\r\t'aAt1!\u00e9\u4e2d", "  ", "the", "'s", "123", "<s>", "\n\n"])
texts = st.lists(st.one_of(tricky, st.characters(exclude_categories=("Cs", "Cn")))).map("".join)

SPLITS = {
    "gpt-2": patterns.GPT2_PATTERN, "llama-bpe": patterns.LLAMA3_PATTERN,
    "smollm": patterns.SMOLLM_PATTERN,
}  # fmt: skip


def trained(pattern="gpt4", text=TEXT * 3, size=280):
    return train_bpe([text], size, pattern)


def same_ids(tokenizer, again):
    @settings(deadline=None, max_examples=200, database=None)
    @given(texts)
    def check(text):
        assert again.encode(text) == tokenizer.encode(text)

    check()


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.filterwarnings("error")
def test_the_name_of_the_split_pattern(name):
    tokenizer = trained(SPLITS[name])
    metadata = tokenizer_metadata(tokenizer, tokenizer.vocab_size)
    assert metadata["tokenizer.ggml.pre"] == name
    same_ids(tokenizer, from_metadata(metadata))


@pytest.mark.filterwarnings("error")
def test_gpt4s_pattern_is_llama3s_for_most_vocabularies():
    """No token reaches over the end of a line, so it does not matter where white space is cut."""
    tokenizer = trained()
    metadata = tokenizer_metadata(tokenizer, tokenizer.vocab_size)
    assert metadata["tokenizer.ggml.pre"] == "llama-bpe"
    same_ids(tokenizer, from_metadata(metadata))


def test_gpt4s_pattern_with_a_token_over_the_end_of_a_line():
    tokenizer = train_bpe(["if a\n    "] * 50, 262)
    with pytest.warns(UserWarning, match="ends with a line end and other white space after it"):
        metadata = tokenizer_metadata(tokenizer, tokenizer.vocab_size)
    again = from_metadata(metadata)
    assert again.encode("b\n    ") != tokenizer.encode("b\n    ")

    @settings(deadline=None, max_examples=200, database=None)
    @given(texts)
    def check(text):
        assert again.encode(text + "a") == tokenizer.encode(text + "a")

    check()


def test_a_pattern_without_a_name_is_refused():
    with pytest.raises(UserError, match="no name for the tokenizer's split pattern"):
        tokenizer_metadata(trained(r"\s|\S+"), 280)


def test_a_pattern_that_composes_characters():
    ours = trained(patterns.QWEN2_PATTERN)
    with pytest.warns(UserWarning, match="in a GGUF file, this split pattern means .*NFC"):
        tokenizer_metadata(ours, 280)
    vocabulary = ours.vocabulary._replace(nfc=True)
    with pytest.warns(UserWarning, match="composes characters first .*llama.cpp does not"):
        metadata = tokenizer_metadata(Tokenizer.from_vocabulary(vocabulary), 280)
    assert metadata["tokenizer.ggml.pre"] == "qwen2"


def test_merges_that_are_followed_pair_by_pair_need_the_exact_pattern():
    ours = trained(patterns.LLAMA3_PATTERN).vocabulary._replace(by_pair=True)
    metadata = tokenizer_metadata(Tokenizer.from_vocabulary(ours), 280)
    assert metadata["tokenizer.ggml.pre"] == "dbrx"


def test_ids_without_a_token_and_tokens_without_a_row():
    metadata = tokenizer_metadata(trained(), 282)
    assert metadata["tokenizer.ggml.tokens"][279:] == ["<|endoftext|>", "[PAD280]", "[PAD281]"]
    assert metadata["tokenizer.ggml.token_type"][278:].tolist() == [1, 3, 5, 5]
    assert len(tokenizer_metadata(trained(), 279)["tokenizer.ggml.tokens"]) == 279


def test_two_tokens_that_are_spelled_alike_are_refused():
    vocabulary = trained().vocabulary._replace(special_tokens={"[PAD280]": 279})
    tokenizer = Tokenizer.from_vocabulary(vocabulary, Conventions(279, 279))
    tokenizer_metadata(tokenizer, 280)
    with pytest.raises(UserError, match="two ids would have the token '.PAD280.'"):
        tokenizer_metadata(tokenizer, 281)


def test_ids_that_begin_and_end_a_text():
    keys = ["bos_token_id", "eos_token_id", "add_bos_token", "add_eos_token"]

    def found(tokenizer):
        metadata = tokenizer_metadata(tokenizer, 280)
        return [metadata.get(f"tokenizer.ggml.{key}") for key in keys]

    assert found(trained()) == [279, 279, False, False]
    vocabulary = trained().vocabulary

    def using(*conventions):
        return Tokenizer.from_vocabulary(vocabulary, Conventions(*conventions))

    assert found(using(5, 279, (5,), (279,))) == [5, 279, True, True]
    with pytest.warns(UserWarning, match="names no token that ends a text"):
        assert found(using(5, None, (5,))) == [5, None, True, False]
    with pytest.warns(UserWarning, match="tokens to every text that are not its BOS and EOS"):
        assert found(using(5, 279, (7,))) == [5, 279, False, False]


def test_other_ids_that_end_an_answer():
    vocabulary = trained().vocabulary

    def using(*stops):
        conventions = Conventions(5, 279, stop_ids=stops)
        return tokenizer_metadata(Tokenizer.from_vocabulary(vocabulary, conventions), 280)

    assert from_metadata(using(5, 7)).stop_ids == (5, 7, 279)
    assert "tokenizer.ggml.eom_token_id" not in using(5)
    with pytest.warns(UserWarning, match=r"end with 4 tokens, .* left out are the ids \[9\]"):
        assert from_metadata(using(5, 7, 9)).stop_ids == (5, 7, 279)


def test_the_chat_template_and_other_names():
    names = {"unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    conventions = Conventions(279, 279, (), (), "{{ messages }}", names)
    tokenizer = Tokenizer.from_vocabulary(trained().vocabulary, conventions)
    metadata = tokenizer_metadata(tokenizer, 280)
    assert metadata["tokenizer.chat_template"] == "{{ messages }}"
    assert metadata["tokenizer.ggml.padding_token_id"] == 279
    assert metadata["tokenizer.ggml.unknown_token_id"] == 279


def test_every_kind_of_token():
    vocabulary = Vocabulary(
        {bytes([b]): b for b in range(256)}, "gpt2", {"<end>": 256}, [], {"<think>": 257}
    )
    tokenizer = Tokenizer.from_vocabulary(vocabulary, Conventions(256, 256))
    again = from_metadata(tokenizer_metadata(tokenizer, 258))
    for text in ("a<think>b<end>", "<think>"):
        assert again.encode(text) == tokenizer.encode(text)
        expected = tokenizer.encode(text, allow_special=True)
        assert again.encode(text, allow_special=True) == expected


# --- SentencePiece --------------------------------------------------------------------------------

words = st.lists(st.sampled_from([*"ab c\u00e9", "  ", "ab", "aba", "<b>", "<s>"])).map("".join)


@pytest.mark.parametrize("prepend", ["always", "never"])
@pytest.mark.parametrize("with_merges", [False, True])
@pytest.mark.filterwarnings("error")
def test_scores_give_the_same_ids(prepend, with_merges):
    vocabulary = sentencepiece(prepend)
    vocabulary = as_merges(vocabulary) if with_merges else vocabulary
    conventions = Conventions(1, 1, (1,))
    tokenizer = Tokenizer.from_vocabulary(vocabulary, conventions)
    metadata = tokenizer_metadata(tokenizer, tokenizer.vocab_size)
    assert metadata["tokenizer.ggml.model"] == "llama"
    assert metadata["tokenizer.ggml.token_type"][:5].tolist() == [2, 3, 4, 6, 6]
    again = from_metadata(metadata)
    assert again.add_bos_eos([7]) == [1, 7]

    @settings(deadline=None, max_examples=200, database=None)
    @given(words)
    def check(text):
        assert again.encode(text) == tokenizer.encode(text)

    check()


def test_added_runs_of_spaces_are_spelled_as_spaces():
    vocabulary = sentencepiece("never", user_tokens={"\u2581" * 3: 2})
    tokenizer = Tokenizer.from_vocabulary(vocabulary, Conventions(1, 1))
    with pytest.warns(UserWarning, match="a text that contains the character \u2581 itself"):
        metadata = tokenizer_metadata(tokenizer, tokenizer.vocab_size)
    assert metadata["tokenizer.ggml.tokens"][2] == "   "


def test_a_space_only_before_the_start_is_said():
    tokenizer = Tokenizer.from_vocabulary(sentencepiece("once"), Conventions(1, 1))
    with pytest.warns(UserWarning, match="llama.cpp also puts one after every special token"):
        tokenizer_metadata(tokenizer, tokenizer.vocab_size)


@pytest.mark.parametrize("wrong", ["a missing way of cutting", "two pieces mixed"])
def test_merges_without_scores_are_refused(wrong):
    merges = dict(as_merges(sentencepiece()).merges)
    if wrong == "two pieces mixed":  # "\u2581ab" has two ways, of ranks on either side of "ba"
        pair = next(pair for pair, (_, made) in merges.items() if made == 259 + 6)
        merges[pair] = (100, 259 + 6)
        merges[260, 261] = (99, 259 + 8)
        merges[263, 261] = (98, 259 + 6)
    else:
        del merges[next(iter(merges))]
    tokenizer = Tokenizer.from_vocabulary(sentencepiece(merges=merges, ranks=None))
    with pytest.raises(UserError, match="cannot be written as one score for each piece"):
        tokenizer_metadata(tokenizer, tokenizer.vocab_size)


def test_a_vocabulary_without_bytes_is_refused():
    tokenizer = Tokenizer.from_vocabulary(sentencepiece(byte_ids=None))
    with pytest.raises(UserError, match="no tokens for single bytes"):
        tokenizer_metadata(tokenizer, tokenizer.vocab_size)
