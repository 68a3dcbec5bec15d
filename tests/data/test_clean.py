"""The cleaning rules one by one, the report's arithmetic, near duplicates by brute force."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tinygrad_llm.data import (
    CleanOptions,
    Document,
    clean as rules,
    clean_corpus,
    clean_documents,
    near_duplicates as near,
)
from tinygrad_llm.data.corpus import CleanReport, Corpus
from tinygrad_llm.errors import UserError

ASCII = CleanOptions(min_ascii_share=0.9)
BOOK = "CHAPTER I\n\nIt was a dark night.\n"
HEADER = (
    "The Project Gutenberg EBook of A Book, by A Writer\n\nThis eBook is for anyone.\n\n"
    "*** START OF THE PROJECT GUTENBERG EBOOK A BOOK ***\n\n"
)
FOOTER = "\n\n*** END OF THE PROJECT GUTENBERG EBOOK A BOOK ***\n\nThe licence, 400 lines of it.\n"


def test_ascii_share_counts_characters_not_bytes():
    assert rules.ascii_share("") == 1.0
    assert rules.ascii_share("abc") == 1.0
    assert rules.ascii_share("abc\u20ac") == 0.75  # the euro sign is three bytes


@pytest.mark.parametrize(
    "text, cleaned",
    [
        ("a\n\n\n\nb", "a\n\nb"),
        ("a\n  \n\t\n   b", "a\n\n   b"),  # the indentation of what follows stays
        ("a\n \nb\n", "a\n\nb\n"),
        ("a\nb\n\nc", "a\nb\n\nc"),
        ("x = '  '  \n", "x = '  '  \n"),
    ],
)
def test_collapse_blank_lines(text, cleaned):
    assert rules.collapse_blank_lines(text) == cleaned


@given(st.text(alphabet="a \n\t"))
def test_collapsing_loses_only_white_space_and_is_final(text):
    once = rules.collapse_blank_lines(text)
    assert "".join(once.split()) == "".join(text.split())
    assert rules.collapse_blank_lines(once) == once
    assert "\n\n\n" not in once


@pytest.mark.parametrize("foreign, kept", [(1, 1), (2, 0)])
def test_a_share_of_exactly_nine_tenths_is_kept(foreign, kept):
    text = "\u00e9" * foreign + "a" * (10 - foreign)
    assert len(clean_documents([Document("d", text)], ASCII)[0]) == kept


def test_every_reason_in_one_corpus():
    documents = [
        Document("plain", "hello world\n"),
        Document("windows", "hello world\r\n"),  # the same after normalisation
        Document("mac", "one\rtwo\r"),
        Document("nul", "a\0b"),
        Document("white", " \n\t\n"),
        Document("greek", "\u03b1\u03b2\u03b3 abc"),
        Document("gaps", "a\n\n\n\nb\n"),
        Document("book", HEADER + BOOK + FOOTER),
    ]
    kept, report = clean_documents(documents, ASCII)
    assert kept == [
        Document("plain", "hello world\n"),
        Document("mac", "one\ntwo\n"),
        Document("gaps", "a\n\nb\n"),
        Document("book", BOOK),
    ]
    dropped = {reason: tally.examples for reason, tally in report.dropped.items()}
    assert dropped == {
        rules.EXACT_DUPLICATE: ["windows"],
        rules.BINARY: ["nul"],
        rules.EMPTY: ["white"],
        "less than 90 % ASCII": ["greek"],
    }
    changed = {reason: tally.examples for reason, tally in report.changed.items()}
    assert changed[rules.NEWLINES] == ["windows", "mac"]
    assert changed[rules.GUTENBERG] == ["book"]
    assert changed[rules.BLANK_LINES] == ["white", "gaps"]
    assert_balanced(report)
    assert "found 8 documents, " in str(report) and "kept 4 documents, " in str(report)
    assert "dropped 1 document, 10 bytes: less than 90 % ASCII (greek)" in str(report)
    assert json.loads(json.dumps(report.as_dict())) == report.as_dict()


def assert_balanced(report):
    changes = sum(tally.bytes for tally in report.changed.values())
    dropped = sum(tally.bytes for tally in report.dropped.values())
    assert report.found_bytes + changes == report.kept_bytes + dropped
    count = sum(tally.documents for tally in report.dropped.values())
    assert report.found_documents == report.kept_documents + count


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab \n\r\0\u00e9"), max_size=12))
def test_the_books_balance(texts):
    documents = [Document(f"d{i}", text) for i, text in enumerate(texts)]
    kept, report = clean_documents(documents)
    assert_balanced(report)
    assert report.kept_documents == len(kept)
    assert report.kept_bytes == sum(len(d.text.encode()) for d in kept)
    assert len({d.text for d in kept}) == len(kept)
    again, second = clean_documents(kept)
    assert again == kept and second.dropped == {} and second.changed == {}


def test_reports_of_two_steps_add_up():
    first, second = CleanReport(), CleanReport()
    for size in (10, 20, 30):
        first.find(size)
    first.drop("empty", "a", 10)
    first.keep(20)
    first.keep(30)
    for size in (20, 30):
        second.find(size)
    second.drop("empty", "b", 20)
    second.change("shorter", "c", -5)
    second.keep(25)
    both = first.then(second)
    assert_balanced(both)
    assert (both.dropped["empty"].documents, both.dropped["empty"].bytes) == (2, 30)
    assert both.dropped["empty"].examples == ["a", "b"]
    assert "found 3 documents, 60 bytes; kept 1 document, 25 bytes" in str(both)
    with pytest.raises(AssertionError):
        second.then(first)


def test_options_turn_rules_off():
    documents = [Document("a", "\u03b1\n\n\n\u03b2\n"), Document("b", "\u03b1\n\n\n\u03b2\n")]
    options = CleanOptions(min_ascii_share=0, collapse_blank_lines=False, exact_duplicates=False)
    assert clean_documents(documents, options)[0] == documents
    with pytest.raises(UserError, match="min_ascii_share is 90, expected a share between 0 and 1"):
        CleanOptions(min_ascii_share=90)
    with pytest.raises(UserError, match="near_duplicate_threshold is 0"):
        CleanOptions(near_duplicate_threshold=0)


def test_nothing_left_says_why():
    text = "\u03b1\u03b2\u03b3 " * 100
    found = CleanReport(found_documents=1, kept_documents=1)
    corpus = Corpus("greek.txt", [Document("greek.txt", text)], found)
    sentence = "greek.txt has 0 bytes .*1 dropped: less than 90 % ASCII.*--min-ascii-share 0 keeps"
    with pytest.raises(UserError, match=sentence):
        clean_corpus(corpus, ASCII)
    with pytest.raises(UserError, match="or other options of cleaning$"):
        clean_corpus(corpus, CleanOptions(max_characters=10))
    assert clean_corpus(corpus).documents[0].text == text


WORDS = [f"word{i}" for i in range(400)]


def shuffled(seed, n=200):
    rng = np.random.default_rng(seed)
    return [WORDS[i] for i in rng.integers(0, len(WORDS), n)]


def word_shingles(text):
    words = text.split()
    return {tuple(words[i : i + near.SHINGLE_WORDS]) for i in range(len(words) - 4)}


def test_near_duplicates_against_every_pair():
    """Documents with 0 to 40 words replaced: the banding must find what comparing all finds."""
    texts = []
    for seed in range(12):
        words = shuffled(seed)
        for edits in (0, 1, 3, 8, 40):
            changed = list(words)
            for at in np.random.default_rng(100 + seed + edits).integers(0, len(words), edits):
                changed[at] = "other"
            texts.append(" ".join(changed))
    expected: list[int | None] = []
    for i, text in enumerate(texts):
        mine = word_shingles(text)
        expected.append(None)
        for j in range(i):
            theirs = word_shingles(texts[j])
            alike = len(mine & theirs) / len(mine | theirs) >= 0.8
            if expected[j] is None and alike:
                expected[i] = j
                break
    assert sum(twin is not None for twin in expected) >= 24
    assert sum(twin is None for twin in expected) >= 24
    assert near.find_near_duplicates(texts) == expected
    assert near.find_near_duplicates(texts, seed=1) == expected


def test_repetition_within_a_text_counts_once():
    assert near.find_near_duplicates(["to be or not " * 100, "to be or not " * 10]) == [None, 0]
    for seed in range(5):  # two thirds alike, however often the common part is said
        more = " ".join(shuffled(seed, 3))
        texts = ["to be or not to be " * 50, "to be or not to be " * 50 + more]
        a, b = (word_shingles(text) for text in texts)
        assert 0.6 < len(a & b) / len(a | b) < 0.7
        assert near.find_near_duplicates(texts) == [None, None]


def test_documents_in_one_frame_are_not_all_compared(monkeypatch):
    """Three hundred pages that are alike to 0.7: each would meet each of the others."""
    frame = " ".join(shuffled(9, 400))
    texts = [f"{frame} {' '.join(f'own{i}x{j}' for j in range(130))}" for i in range(300)]
    twin = texts[250].replace("own250x0 ", "")
    compared = []
    real = near.jaccard
    monkeypatch.setattr(near, "jaccard", lambda a, b: compared.append(1) or real(a, b))
    monkeypatch.setattr(near, "BUCKET", 4)
    found = near.find_near_duplicates([*texts, twin])
    assert found == [None] * 300 + [250]
    assert len(compared) < 10_000  # of 45,000 pairs; 33,000 would share a band
    monkeypatch.setattr(near, "jaccard", lambda a, b: pytest.fail("sizes rule it out"))
    assert near.find_near_duplicates(["a b c d e f", "a b c d e f " + frame]) == [None, None]


def test_minhash_estimates_jaccard():
    a, b = shuffled(1, 2000), shuffled(1, 2000)
    b[:500] = shuffled(2, 500)
    a_hashes, b_hashes = (np.unique(near.shingle_hashes(" ".join(words))) for words in (a, b))
    exact = near.jaccard(a_hashes, b_hashes)
    one, two = (near.minhash(hashes, *near._hash_functions(0)) for hashes in (a_hashes, b_hashes))
    deviation = (exact * (1 - exact) / near.HASHES) ** 0.5
    assert 0.5 < exact < 0.7
    assert abs(np.mean(one == two) - exact) < 4 * deviation


def test_shingles():
    assert len(near.shingle_hashes("!!! ...")) == 0
    assert len(near.shingle_hashes("one two")) == 1
    assert len(near.shingle_hashes("a b c d e f g")) == 3
    assert near.shingle_hashes("A, b; c. D e")[0] == near.shingle_hashes("a b c d E!")[0]
    assert near.shingle_hashes("a b c d e")[0] != near.shingle_hashes("b a c d e")[0]


def test_shingle_hash_by_hand():
    """In Python's whole numbers, from the definition: no process and no machine may differ."""
    value = 0
    for word in ["to", "be", "or", "not", "to"]:
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        value = (value * 0x9E3779B97F4A7C15 + int.from_bytes(digest, "little")) % 2**64
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
    assert near.shingle_hashes("To be, or not to")[0] == value ^ value >> 31


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.9, 1.0])
def test_bands_catch_pairs_at_the_threshold(threshold):
    rows = near.band_rows(threshold)
    missed = (1 - threshold**rows) ** (near.HASHES // rows)
    assert missed <= 1 - near.CAUGHT


def test_near_duplicates_in_cleaning():
    words = shuffled(3)
    twin = [*words[:-1], "end"]
    documents = [
        Document("a", " ".join(words)),
        Document("b", " ".join(shuffled(4))),
        Document("c", " ".join(twin)),
        Document("d", "..."),
        Document("e", "!!!"),
    ]
    assert len(clean_documents(documents)[0]) == 5
    kept, report = clean_documents(documents, CleanOptions(near_duplicates=True))
    assert [d.name for d in kept] == ["a", "b", "d", "e"]
    assert report.dropped[rules.NEAR_DUPLICATE].examples == ["c"]
    assert_balanced(report)
