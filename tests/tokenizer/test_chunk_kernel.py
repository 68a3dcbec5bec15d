"""The compiled splitter against the regular expressions; the counts and ids that come from it."""

import itertools
import warnings
from collections import Counter

import hypothesis.strategies as st
import numpy as np
import pytest
import regex
import tiktoken
from hypothesis import given, settings

from autograd.kernels._jit import COMPILING
from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import chunk_encoder, counting, patterns, train_bpe
from tinygrad_llm.tokenizer.chunk_encoder import cut_at_lines
from tinygrad_llm.tokenizer.chunk_table import (
    ChunkTable,
    pattern_number,
    regex_classes,
    tiktoken_classes,
)

pytestmark = pytest.mark.skipif(not COMPILING, reason="NUMBA_DISABLE_JIT is set")

NAMES = list(patterns.NAMED)
# Every alternative of both patterns begins, ends or breaks with one of these.
pieces = [*" \n\r\t'aAzZ1!.s\u017f\u00a0\u2028\x1c\x85é中\u0663\U0001d7ce\U0001f600\u0301"]
pieces += ["  ", "\n\n", "\r\n", "'S", "'lL", "'ve", "'RE", "'\u017f", "123", "\t\n ", "x\n", "\ny"]
tricky = st.lists(st.sampled_from(pieces), max_size=30).map("".join)
any_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
texts = st.one_of(tricky, any_text, st.tuples(any_text, tricky).map("".join))


def split(name, text, classes):
    table = ChunkTable(pattern_number(patterns.NAMED[name]), classes)
    numbers = table.add(np.frombuffer(text.encode(), np.uint8), numbers=True)
    return [table.chunk(number).decode() for number in numbers.tolist()]


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=300)
@given(text=texts)
def test_chunks_equal_the_regular_expression(name, text):
    assert split(name, text, regex_classes()) == regex.findall(patterns.NAMED[name], text)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=80)
@given(text=texts)
def test_chunks_equal_the_engine(name, text):
    """Every chunk of bytes is one token here, if the engine splits it off as we do."""
    chunks = split(name, text, tiktoken_classes())
    vocabulary = {bytes([b]): b for b in range(256)}
    for chunk in chunks:
        vocabulary.setdefault(chunk.encode(), len(vocabulary))
    engine = tiktoken.Encoding(
        "test", pat_str=patterns.NAMED[name], mergeable_ranks=vocabulary, special_tokens={}
    )
    assert engine.encode_ordinary(text) == [vocabulary[chunk.encode()] for chunk in chunks]


@pytest.mark.parametrize("name", NAMES)
def test_every_short_text(name):
    """Also its end: the bytes after it, which would change the last chunk, are not looked at."""
    table = ChunkTable(pattern_number(patterns.NAMED[name]), regex_classes())
    for length in (1, 2, 3, 4):
        for text in map("".join, itertools.product(" \n\t'slve1.", repeat=length)):
            data = np.frombuffer((text + "le1 .\n").encode(), np.uint8)[:length]
            chunks = [table.chunk(n).decode() for n in table.add(data, numbers=True).tolist()]
            assert chunks == regex.findall(patterns.NAMED[name], text)


def test_classes_of_every_character():
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xF0000)]))
    kinds = regex_classes()
    for expression, expected in ((r"\p{L}", 1), (r"\p{N}", 2), (r"[^\S\r\n]", 3), (r"[\r\n]", 4)):
        found = np.array([ord(c) for c in regex.findall(expression, text)])
        assert np.array_equal(found, np.flatnonzero(kinds == expected))


def test_a_table_that_grows_many_times():
    text = " ".join(f"w{i:x}q" for i in range(300_000))
    table = ChunkTable(0, regex_classes())
    table.add(np.frombuffer(text.encode(), np.uint8))
    table.add(np.frombuffer(text.encode(), np.uint8))
    counts = Counter(regex.findall(patterns.GPT4_PATTERN, text))
    assert dict(table.items()) == {chunk.encode(): 2 * n for chunk, n in counts.items()}


def test_the_rarest_chunks_are_forgotten():
    text = "".join(f" {chr(97 + i) * 3}" * (i + 1) for i in range(20))
    table = ChunkTable(0, regex_classes())
    table.add(np.frombuffer(text.encode(), np.uint8))
    before = dict(table.items())
    table.forget_rare(1000, 35)  # room for eight chunks of four bytes
    assert dict(table.items()) == dict(list(before.items())[12:]) and table.size == 32
    table.forget_rare(7, 1000)
    assert dict(table.items()) == dict(list(before.items())[13:])
    table.add(np.frombuffer(b" ttt aaa", np.uint8))  # one that stayed, one that was forgotten
    assert dict(table.items()) == dict(list(before.items())[13:]) | {b" ttt": 21, b" aaa": 1}


def test_of_equally_rare_chunks_some_stay(monkeypatch):
    """In a language without spaces nearly all occur once: the rarest must not all go."""
    lower_bounds(monkeypatch)
    monkeypatch.setattr(counting, "DISTINCT", 40)
    text = "".join(f"{chr(97 + i % 26)}{chr(97 + i // 26)}word\n" for i in range(400))
    with pytest.warns(UserWarning, match="the rarest were not used"):
        chunks = counting.count_chunks([text])
    assert len(chunks) == 40 and chunks[b"\n"] == 400
    assert sum(chunk[1:2] < b"i" for chunk in chunks) > 8  # also from the first half of the text


@pytest.mark.parametrize("pattern", ["gpt4", r"\s+|\S+"])
def test_long_chunks_go_first_where_there_is_no_room(monkeypatch, pattern):
    text = "the cat sat on the mat\n" * 40
    expected = counting.count_chunks([text, text], pattern)
    lower_bounds(monkeypatch)
    monkeypatch.setattr(counting, "DISTINCT_BYTES", 1000)
    with pytest.warns(UserWarning, match="MiB of them: the rarest were not used"):
        assert counting.count_chunks([text, text, *["x" * 2000] * 100], pattern) == expected


@pytest.mark.parametrize("pattern", [*patterns.NAMED.values(), patterns.LLAMA3_PATTERN])
@settings(deadline=None, max_examples=300)
@given(text=tricky, size=st.integers(1, 12))
def test_cutting_at_lines_keeps_the_chunks(pattern, text, size):
    cut = list(cut_at_lines(text, size))
    assert "".join(cut) == text
    together = [chunk for piece in cut for chunk in regex.findall(pattern, piece)]
    assert together == regex.findall(pattern, text)


def test_cutting_makes_small_pieces():
    text = "a line\nanother  \n\n  indented\n" * 50
    assert max(map(len, cut_at_lines(text, 40))) < 80
    assert list(cut_at_lines("x" * 100, 10)) == ["x" * 100]


def lower_bounds(monkeypatch):
    """So that a few lines are much text, and go through several jobs on both threads."""
    monkeypatch.setattr(counting, "LARGE", 10)
    monkeypatch.setattr(counting, "JOB", 50)
    monkeypatch.setattr(chunk_encoder, "LARGE", 10)
    monkeypatch.setattr(chunk_encoder, "JOB", 50)


LINES = "def f{0}(x):\n    return x + {0}  # it's é{0}\n\nx{0} = {0}\ny = x{0}\n"
CODE = "".join(map(LINES.format, range(60)))
DOCUMENTS = ["", CODE, "one", "It's  two\n", CODE[100:900], "\n\n\n", "中文 " * 30]


@pytest.mark.parametrize("pattern", NAMES)
def test_counts_are_the_same_both_ways(monkeypatch, pattern):
    slow = counting.count_chunks(DOCUMENTS, pattern)
    lower_bounds(monkeypatch)
    monkeypatch.setattr(counting, "_count_by_regex", None)
    assert counting.count_chunks(iter(DOCUMENTS), pattern) == slow
    assert counting.count_chunks([text.encode() for text in DOCUMENTS], pattern) == slow
    lone = counting.count_chunks([CODE.encode() + b"\xff" + CODE.encode()], pattern)
    assert lone == counting.count_chunks([CODE, CODE], pattern)


def test_other_patterns_are_counted_by_regex(monkeypatch):
    lower_bounds(monkeypatch)
    counts = counting.count_chunks([CODE], r"\s+|\S+")
    assert counts == Counter(c.encode() for c in regex.findall(r"\s+|\S+", CODE))
    with pytest.raises(UserError, match="leaves out"):
        counting.count_chunks([CODE], r"\S+")


def test_more_words_than_are_remembered(monkeypatch):
    """The frequent ones stay, exactly counted, whichever table forgets; a warning says so."""
    common = "the cat sat on the mat\n" * 40
    rare = "".join(f"rare{chr(97 + i % 26)}{chr(97 + i // 26)}word\n" for i in range(400))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        everything = counting.count_chunks([common, rare, common])
    lower_bounds(monkeypatch)
    monkeypatch.setattr(counting, "DISTINCT", 40)
    with pytest.warns(UserWarning, match="more than 40 distinct words, .* the rarest"):
        tokenizer = train_bpe([common, rare, common], 264)
    monkeypatch.setattr(counting, "DISTINCT", 1 << 20)
    assert tokenizer.merges()[0] in train_bpe([common, rare, common], 264).merges()
    monkeypatch.setattr(counting, "DISTINCT", 40)
    with pytest.warns(UserWarning):
        few = counting.count_chunks([common, rare, common])
    assert len(few) <= 40
    for chunk in (b" cat", b" sat", b"the", b" mat"):
        assert few[chunk] == everything[chunk]


@pytest.mark.parametrize("pattern", NAMES)
def test_ids_are_the_same_both_ways(monkeypatch, pattern):
    tokenizer = train_bpe([CODE], 330, pattern)
    slow = [tokenizer.encode(text) for text in DOCUMENTS]
    lower_bounds(monkeypatch)
    used = []
    real = chunk_encoder.ChunkEncoder.ids
    monkeypatch.setattr(
        chunk_encoder.ChunkEncoder, "ids", lambda self, text: used.append(1) or real(self, text)
    )
    for _ in range(2):  # the second time every chunk is known
        encoded = tokenizer.encode_batch(DOCUMENTS)
        assert [ids.tolist() for ids in encoded] == slow
        assert all(ids.dtype == np.uint32 for ids in encoded)
    assert len(used) > 2 * 2 * len(DOCUMENTS)
    monkeypatch.setattr(chunk_encoder, "DISTINCT", 5)  # the table is emptied before each text
    assert [ids.tolist() for ids in tokenizer.encode_batch(DOCUMENTS)] == slow
    with pytest.raises(UserError, match="lone surrogate"):
        tokenizer.encode_batch([CODE, "\udc80"])


def test_text_that_takes_the_usual_way(monkeypatch):
    lower_bounds(monkeypatch)
    tokenizer = train_bpe([CODE], 300)
    monkeypatch.setattr(chunk_encoder.ChunkEncoder, "ids", lambda *_: pytest.fail("not this way"))
    assert tokenizer.encode_batch([CODE.encode()])[0].tolist() == tokenizer.encode(CODE)
    monkeypatch.setattr(patterns, "SPACE_BLOCK", 20)
    long_space = CODE + " " * 60 + CODE
    assert tokenizer.encode_batch([long_space])[0].tolist() == tokenizer.encode(long_space)
    other = train_bpe([CODE], 300, r"\s+|\S+")
    assert other.encode_batch([CODE])[0].tolist() == other.encode(CODE)
