"""Work and memory grow with the input, not faster: long tokens, bad bytes, strangers' patterns."""

import tracemalloc

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import Tokenizer, merges, patterns, train_bpe
from tinygrad_llm.tokenizer.merges import every_cut, ranks_from_merges, recover_merges
from tinygrad_llm.tokenizer.pair_merging import JoinedSpelling
from tinygrad_llm.tokenizer.text import split_invalid
from tinygrad_llm.tokenizer.train import count_chunks, learn_merges


@pytest.mark.parametrize("doublings", [6, 12])
def test_merges_of_a_long_token_are_recovered_in_n_log_n_steps(doublings, monkeypatch):
    """aa, aaaa, ...: the last token has 2^n bytes."""
    asked = 0

    class Counting(JoinedSpelling):
        def get(self, pair, /):
            nonlocal asked
            asked += 1
            return super().get(pair)

    monkeypatch.setattr(merges, "JoinedSpelling", Counting)
    pairs = [(97, 97)] + [(256 + i, 256 + i) for i in range(doublings - 1)]
    parts = recover_merges(ranks_from_merges(pairs))
    assert parts == [(b"a" * 2**i, b"a" * 2**i) for i in range(doublings)]
    length = sum(2 ** (i + 1) for i in range(doublings))
    assert 0 < asked < 4 * length


@pytest.mark.parametrize("doublings", [6, 12])
def test_cuts_of_a_long_token_are_tried_only_at_the_lengths_of_tokens(doublings):
    """aa, aaaa, ...: the middle is the one cut of each, and few others are tried."""

    class Counting(dict):
        asked = 0

        def __contains__(self, token):
            self.asked += 1
            return super().__contains__(token)

    tokens = Counting({"a" * 2**i: i for i in range(doublings)})
    cuts = list(every_cut(tokens))
    assert cuts == [("a" * 2**i, "a" * 2**i) for i in range(doublings - 1)]
    assert len(cuts) < tokens.asked <= doublings**2


def test_merges_are_known_where_they_were_given(monkeypatch, tmp_path):
    monkeypatch.setattr(merges, "merge_by_rank", lambda *args: pytest.fail("worked out again"))
    tokenizer = Tokenizer([(97, 97)] + [(256 + i, 256 + i) for i in range(16)])
    assert tokenizer.merges()[-1] == (b"a" * 2**16, b"a" * 2**16)
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path).merges() == tokenizer.merges()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(alphabet="ab ", max_size=30).map(str.encode), max_size=6))
def test_recovered_merges_are_those_of_the_training(texts):
    tokenizer = Tokenizer(learn_merges(count_chunks(texts), 40), special_tokens=[])
    assert recover_merges(tokenizer.ranks) == tokenizer.merges()


def test_a_text_with_a_very_long_run(tmp_path):
    """Three hundred thousand letters in one word: trained, saved, read again and back to text."""
    text = "a" * 300_000 + " and some words"
    tokenizer = train_bpe([text], 290)
    tokenizer.save(tmp_path)
    assert (tmp_path / "tokenizer.json").stat().st_size < 10 * len(text)
    loaded = Tokenizer.load(tmp_path)
    assert loaded.fingerprint() == tokenizer.fingerprint()
    assert loaded.decode(loaded.encode(text)) == text


def test_merges_that_describe_more_than_memory_are_refused_early():
    doubling = [(97, 97)] + [(256 + i, 256 + i) for i in range(100_000)]
    with pytest.raises(UserError, match="the first 25 of 100001 merges describe .* in total"):
        Tokenizer(doubling)


def test_alternating_invalid_bytes_take_memory_in_proportion():
    data = b"a\xff" * 30_000
    tokenizer = Tokenizer([(97, 98)])
    tracemalloc.start()
    ids = tokenizer.encode_batch([data], num_threads=1)[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ids.tolist() == [*data]
    assert peak < 20 * len(data)


@settings(max_examples=200)
@given(st.lists(st.sampled_from([b"a", b"\xff", b"\xc3", b"\xa9", "é".encode(), b"\xed\xa0\x80"])))
def test_split_invalid_loses_nothing(parts):
    data = b"".join(parts)
    pieces = list(split_invalid(data))
    assert b"".join(valid.encode() + invalid for valid, invalid in pieces) == data
    assert "".join(valid for valid, _ in pieces) == data.decode("utf-8", "ignore")


# ---- strangers' patterns ----


@pytest.mark.parametrize(
    "pattern, sentence",
    [
        (r"(?:(?:(?:a{99}){99}){99}){99}", "copies: use . or smaller counts"),
        ("a{1000000000}", "may make at most 10,000 copies"),
        ("a{3,1000000000}", "may make at most 10,000 copies"),
        ("a{20000,}", "may make at most 10,000 copies"),
        ("x{" + "9" * 5000 + "}", "may make at most 10,000 copies"),
        ("(" * 3000 + "a" + ")" * 3000, "nested too deeply"),
        ("[a-z]" * 5000, "has 25,000 characters, expected at most 10,000"),
        ("a" * 300 + "(", "'a{200}'[.]{3} is neither one of gpt4, gpt2 nor a regular"),
    ],
)
def test_a_pattern_too_large_to_compile_gets_a_sentence(pattern, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        Tokenizer([], pattern)
    assert len(str(caught.value)) < 500
    with pytest.raises(UserError, match=sentence):
        train_bpe(["text"], 300, pattern)


@pytest.mark.parametrize("pattern", [r"(?:(?:a|a)+x)+|[\s\S]", r"(?:[\s\S]*?x)*y|[\s\S]"])
def test_a_pattern_that_never_ends_is_stopped(monkeypatch, pattern):
    """Two to the power of fifty steps, in training and in encoding."""
    monkeypatch.setattr(patterns, "SECONDS", 0.05)
    text = "a" * 50 if "a|a" in pattern else "x" * 50
    with pytest.raises(UserError, match="took more than 0 s on a text of 50 characters"):
        Tokenizer([], pattern).encode(text)
    with pytest.raises(UserError, match="took more than .* nested quantifiers"):
        train_bpe([text], 300, pattern)


@settings(deadline=None, max_examples=150)
@given(st.text(alphabet="aB1l \n'!é中\u00a0", max_size=30))
def test_chunks_cut_here_get_the_ids_that_the_engine_gives(text):
    """The same pattern, once known as one of ours and once written as a stranger's."""
    pairs = [(97, 97), (32, 97), (108, 108)]
    own = Tokenizer(pairs, patterns.GPT4_PATTERN)
    foreign = Tokenizer(pairs, f"(?:{patterns.GPT4_PATTERN})")
    assert foreign.encode(text) == own.encode(text)
    assert foreign.encode_bytes(text.encode() + b"\xff") == own.encode_bytes(
        text.encode() + b"\xff"
    )
