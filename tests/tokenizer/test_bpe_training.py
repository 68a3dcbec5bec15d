"""Training: the fast trainer against the readable one, and the properties that merges must have."""

import os
import sysconfig
import warnings
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import pytest
import regex
from hypothesis import given, settings

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import Tokenizer, reference, train, train_bpe
from tinygrad_llm.tokenizer.merges import ranks_from_merges, recover_merges
from tinygrad_llm.tokenizer.patterns import GPT2_PATTERN, GPT4_PATTERN

# Few letters, so that pairs repeat, overlap ("aaa") and tie.
words = st.one_of(
    st.text("a", max_size=12), st.text("ab", max_size=12), st.text("abcé ", max_size=16)
).map(str.encode)
corpora = st.dictionaries(words, st.integers(1, 6), min_size=1, max_size=10)

ONE_CHUNK = r"[\s\S]+"  # no splitting: the whole text is one chunk


def source(name: str) -> str:
    return (Path(sysconfig.get_path("stdlib")) / name).read_text(encoding="utf-8")


@settings(deadline=None, max_examples=400)
@given(corpora, st.integers(0, 40))
def test_fast_trainer_equals_reference(chunks, n_merges):
    assert train.learn_merges(chunks, n_merges) == reference.learn_merges(chunks, n_merges)


@pytest.mark.parametrize("pattern", ["gpt4", "gpt2"])
def test_fast_trainer_equals_reference_on_source_code(pattern):
    chunks = train.count_chunks([source("textwrap.py"), source("bisect.py")], pattern)
    merges = train.learn_merges(chunks, 250)
    assert merges == reference.learn_merges(chunks, 250)
    assert len(merges) == 250


@pytest.mark.skipif(
    "TINYGRAD_LLM_TEST_DATA" not in os.environ, reason="TINYGRAD_LLM_TEST_DATA is not set"
)
def test_fast_trainer_equals_reference_on_shakespeare():
    text = Path(os.environ["TINYGRAD_LLM_TEST_DATA"], "tinyshakespeare.txt").read_text()
    chunks = train.count_chunks([text])
    assert train.learn_merges(chunks, 60) == reference.learn_merges(chunks, 60)


@settings(deadline=None, max_examples=100)
@given(corpora, st.randoms())
def test_order_of_the_chunks_does_not_matter(chunks, random):
    shuffled = list(chunks.items())
    random.shuffle(shuffled)
    assert train.learn_merges(dict(shuffled), 30) == train.learn_merges(chunks, 30)


@pytest.mark.parametrize("learn", [reference.learn_merges, train.learn_merges])
def test_rules_by_hand(learn):
    # "aaaa" holds (a, a) three times: more often than (b, c) twice; then left to right: aa aa
    assert learn({b"aaaa": 1, b"bc": 2}, 2) == [(97, 97), (98, 99)]
    # "aaa": the first two merge, the third stays
    assert learn({b"aaa": 1}, 9) == [(97, 97), (256, 97)]
    # a tie goes to the lowest pair, not to the one met first
    assert learn({b"zy": 3, b"ba": 3, b"ab": 3}, 2) == [(97, 98), (98, 97)]
    assert learn({b"": 5, b"x": 5}, 3) == []


def test_replacement_in_runs():
    a, aa = 97, 256
    assert reference.merge([a] * 5, (a, a), aa) == (aa, aa, a)
    assert reference.count_pairs({(a, a, a): 4}) == {(a, a): 8}


@settings(deadline=None, max_examples=200)
@given(corpora, words)
def test_engine_applies_trained_merges_in_order(chunks, word):
    """tiktoken, which knows only ranks of byte strings, does what replaying the merges does."""
    merges = train.learn_merges(chunks, 40)
    tokenizer = Tokenizer(merges, ONE_CHUNK)
    assert tokenizer.encode(word.decode()) == reference.encode_chunk(word, merges)
    for chunk in chunks:
        assert tokenizer.encode(chunk.decode()) == reference.encode_chunk(chunk, merges)


@settings(deadline=None, max_examples=200)
@given(corpora)
def test_trained_merges_never_make_the_same_bytes_twice(chunks):
    merges = train.learn_merges(chunks, 60)
    token = {i: bytes([i]) for i in range(256)}
    for left, right in merges:
        token[len(token)] = token[left] + token[right]
    assert len(set(token.values())) == len(token)
    assert recover_merges(ranks_from_merges(merges)) == [(token[p], token[q]) for p, q in merges]


@settings(deadline=None, max_examples=1000)
@given(st.data())
def test_merges_are_refused_exactly_where_replaying_them_disagrees(data):
    merges, token = [], {i: bytes([i]) for i in range(256)}
    for _ in range(data.draw(st.integers(1, 7))):
        ids = st.sampled_from([97, 98, *range(256, len(token))])
        merges.append((data.draw(ids), data.draw(ids)))
        token[len(token)] = token[merges[-1][0]] + token[merges[-1][1]]
    sound = all(
        reference.encode_chunk(token[256 + i], merges[:i]) == list(pair)
        for i, pair in enumerate(merges)
    )
    if sound:
        assert ranks_from_merges(merges) == {b: i for i, b in token.items()}
    else:
        with pytest.raises(UserError, match="earlier merge"):
            ranks_from_merges(merges)


def test_two_merges_with_the_same_bytes_are_refused():
    abc_twice = [(97, 98), (98, 99), (256, 99), (97, 257)]
    with pytest.raises(UserError, match="merge 3 .* makes id 256"):
        Tokenizer(abc_twice)
    with pytest.raises(UserError, match="not both defined"):
        Tokenizer([(97, 256)])
    doubling = [(97, 97)] + [(256 + i, 256 + i) for i in range(40)]
    with pytest.raises(UserError, match="bytes in total"):
        Tokenizer(doubling)


def test_vocab_size_counts_bytes_merges_and_special_tokens():
    tokenizer = train_bpe([source("textwrap.py")], 300)
    assert tokenizer.vocab_size == 300
    assert tokenizer.eot_id == 299
    assert len(tokenizer.merges()) == 43
    assert train_bpe(["text"], 257).vocab_size == 257
    assert train_bpe(["text"], 258, special_tokens=["<a>", "<b>"]).special_tokens == {
        "<a>": 256,
        "<b>": 257,
    }
    with pytest.raises(UserError, match="vocab_size 256 is too small.* at least 257"):
        train_bpe(["text"], 256)


def test_text_that_runs_out_of_pairs_gives_a_smaller_vocabulary_and_says_so():
    with pytest.warns(UserWarning, match="after 3 of 43 merges"):
        tokenizer = train_bpe(["abcd"], 300)
    assert tokenizer.vocab_size == 260
    with pytest.warns(UserWarning, match="after 0 of 43 merges"):
        train_bpe([], 300)


@pytest.mark.parametrize("pattern", ["gpt4", "gpt2"])
def test_chunks_are_what_the_pattern_matches(pattern):
    texts = [source("textwrap.py"), "", "It's 12345 \u00e9t\u00e9s,  naïve\n\n  x  "]
    expression = {"gpt4": GPT4_PATTERN, "gpt2": GPT2_PATTERN}[pattern]
    expected = Counter(c.encode() for text in texts for c in regex.findall(expression, text))
    assert train.count_chunks(iter(texts), pattern) == expected
    assert train.count_chunks([text.encode() for text in texts], pattern) == expected


def test_invalid_bytes_are_not_merged():
    chunks = train.count_chunks([b"ab\xff\xfeab\xc3"])
    assert chunks == {b"ab": 2}


def test_bad_arguments_get_a_sentence():
    with pytest.raises(UserError, match="list of documents"):
        train_bpe("one string", 300)
    with pytest.raises(UserError, match="leaves out 2 of 5 characters"):
        train_bpe(["ab 12"], 300, pattern=r"[a-z]+| ")
    with pytest.raises(UserError, match="neither one of gpt4, gpt2 nor a regular"):
        train_bpe(["ab"], 300, pattern="[a")
    with pytest.raises(UserError, match="empty string"):
        train_bpe(["ab"], 300, pattern=r"\s*")
    for bad, sentence in [
        (["<a>", "<a>"], "listed twice"),
        ([""], "non-empty"),
        ("<a>", "list of names"),
    ]:
        with pytest.raises(UserError, match=sentence):
            train_bpe(["ab"], 300, special_tokens=bad)


def test_progress_reaches_the_end():
    calls = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train_bpe([source("textwrap.py")], 557, progress=lambda *call: calls.append(call))
    assert calls == [(done, 300) for done in range(3, 301, 3)]
