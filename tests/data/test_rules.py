"""The rules of the field, each at its threshold; what they drop can be looked at."""

import gzip
import json
import re
from collections import Counter

import pytest
from hypothesis import given, settings, strategies as st

from tinygrad_llm.cli import main
from tinygrad_llm.data import CleanOptions, Document, clean_documents
from tinygrad_llm.data.contamination import Contamination
from tinygrad_llm.data.personal import mask_personal
from tinygrad_llm.data.quality import fineweb_quality, gopher_quality, without_c4_lines
from tinygrad_llm.data.repetition import gopher_repetition, repeated, repeated_ngrams, top_ngram
from tinygrad_llm.data.samples import Samples
from tinygrad_llm.errors import UserError

# Sixty different words in sentences, with the stop words that Gopher asks for.
PROSE = (
    "The wind had turned during the night, and by morning all the boats of that little harbour "
    "were lying with their bows to the east. Nobody spoke of leaving.\nAn old man mended nets on "
    "the wall; two children watched him with great patience, as though his knots might be learned "
    "in one day.\nSmoke rose from a chimney behind them, straight and thin, before it bent over.\n"
)


def test_prose_passes_every_rule():
    options = CleanOptions(
        gopher_quality=True, gopher_repetition=True, fineweb_quality=True, c4_lines=True,
        mask_personal=True, min_characters=100, max_characters=1000,
    )  # fmt: skip
    kept, report = clean_documents([Document("prose", PROSE)], options)
    assert kept == [Document("prose", PROSE)] and not report.dropped and not report.changed


def long(word, n):
    return f"the of {' '.join([word] * (n - 2))}"


@pytest.mark.parametrize(
    "passes, fails, reason",
    [
        (long("word", 50), long("word", 49), "fewer than 50 words"),
        (long("word", 100_000), long("word", 100_001), "more than 100,000 words"),
        (long("a" * 10, 100), long("a" * 11, 100), "mean length of a word"),
        (long("abc", 200) + " abcd", long("ab", 200), "mean length of a word"),
        (long("word", 90) + " #" * 10, long("word", 89) + " #" * 11, "more than one #"),
        (
            "the of " + "wo…rd " * 10 + "word " * 88,
            "the of " + "wo…rd " * 10 + "wo...rd " + "word " * 88,
            "more than one # or",
        ),
        (
            long("word", 95) + " oh..." * 5 + " end",
            long("word", 95) + " oh..." * 15 + " end",
            "more than one # or ellipsis",
        ),
        (
            "the of word\n" + "- word word word word word word\n" * 9,
            "the of word\n" + "- word word word word word word\n" * 15,
            "are bullets",
        ),
        (
            "the of word\n" + "word and word word\n" * 5 + " * word word word word word\n" * 44,
            "the of word\n" + "word and word word\n" * 4 + " * word word word word word\n" * 46,
            "are bullets",
        ),
        (
            "the of word\n" + "word and word word\n" * 5 + "\u2022 word word word word word\n" * 44,
            "the of word\n" + "word and word word\n" * 4 + "\u2022 word word word word word\n" * 46,
            "are bullets",
        ),
        (
            "the of some words that go on… \n" * 3 + "the of more words in a line\n" * 7,
            "the of some words that go on… \n" * 4 + "the of more words in a line\n" * 6,
            "end with an ellipsis",
        ),
        (
            "the of some words that trail off...\n" * 3 + "the of more words in a line\n" * 7,
            "the of some words that trail off...\n" * 4 + "the of more words in a line\n" * 6,
            "end with an ellipsis",
        ),
        (long("w0rd", 80) + " 1234" * 20, long("word", 79) + " 1234" * 21, "have a letter"),
        ("The HAVE " + "word " * 60, "the the " + "word " * 60, "fewer than two of the words"),
    ],
)
def test_gopher_quality(passes, fails, reason):
    assert gopher_quality(passes) is None
    assert reason in gopher_quality(fails)


def lines(*parts):
    """So many different lines of each (number, ending, length)."""
    made = []
    for number, ending, length in parts:
        for _ in range(number):
            made.append(f"{len(made)} ".ljust(length - len(ending), "x") + ending)
    return "\n".join(made)


@pytest.mark.parametrize(
    "passes, fails, reason",
    [
        (lines((13, ".", 40), (87, "", 40)), lines((12, ".", 40), (88, "", 40)), "end with punct"),
        *[
            (lines((13, mark, 40), (87, "", 40)), lines((13, ",", 40), (87, "", 40)), "end with p")
            for mark in ("?", "!", '"', "'", '."', "\u201d", "\u2026", ". ")
        ],
        (lines((66, ".", 29), (34, ".", 30)), lines((67, ".", 29), (33, ".", 30)), "shorter than"),
        (
            lines((98, ".", 50)) + "\n0 ".ljust(50, "x") + ".",
            lines((8, ".", 50)) + ("\n" + "y" * 49 + ".") * 2,
            "repeated lines",
        ),
        (  # neither indentation nor empty lines count
            lines((50, ".", 30)).replace("\n", "\n\n   "),
            lines((100, ".", 29)).replace("\n", "\n\n   "),
            "shorter than",
        ),
    ],
)
def test_fineweb_quality(passes, fails, reason):
    assert fineweb_quality(passes) is None
    assert reason in fineweb_quality(fails)


WORDS = [f"w{i}x" for i in range(1000)]


def test_gopher_repetition():
    different = " ".join(WORDS)
    assert gopher_repetition(different) is None and gopher_repetition("") is None
    many = [f"{i}" for i in range(69)]
    assert gopher_repetition("\n".join(["a b"] * 31 + many) + different) is None
    repeated_lines = "\n".join(["a b", "   a b"] * 16 + many) + different
    assert "more than 30 % of the lines are" in gopher_repetition(repeated_lines)
    assert gopher_repetition("\n\n".join(WORDS[:50])) is None  # empty lines are none
    paragraphs = ["\n".join(WORDS[i : i + 5]) for i in range(0, 30, 5)]
    assert gopher_repetition("\n\n".join(["a b"] * 3 + paragraphs)) is None
    assert "of the paragraphs are" in gopher_repetition("\n\n".join(["a b"] * 5 + paragraphs))
    assert "run of 2 words" in gopher_repetition("aaaaaa bbbbbb " * 20 + different[:600])
    half = " ".join(WORDS[:100])
    assert "runs of 5 words" in gopher_repetition(f"{half} {half} {' '.join(WORDS[100:300])}")


def test_the_share_of_repeated_lines():
    def text(size):
        """Of so many characters 100 are a repeated line."""
        return "\n".join(["q" * 100] * 2 + ["r" * 100, "s" * 100, "t" * (size - 404)])

    assert gopher_repetition(text(500)) is None
    assert "more than 20 % of the text is repeated lines" in gopher_repetition(text(499))


def filled(words, size):
    """The words, and one that brings all of them to so many characters."""
    return " ".join([*words, "z" * (size - sum(map(len, words)))])


@pytest.mark.parametrize("n, times, size", [(2, 10, 200), (3, 9, 300), (4, 10, 500)])
def test_the_share_of_the_most_frequent_run(n, times, size):
    run = "aa bb cc dd".split()[:n]
    words = [word for i in range(times) for word in [*run, f"{i}"]]
    assert gopher_repetition(filled(words, size)) is None
    assert f"one run of {n} words is more" in gopher_repetition(filled(words, size - 1))


@pytest.mark.parametrize("n, most", [(5, 150), (6, 140), (7, 130), (8, 120), (9, 110), (10, 100)])
def test_the_share_of_runs_that_occur_again(n, most):
    run = [f"{i}".ljust(most // n, "r") for i in range(n - 1)]
    run.append("s" * (most - sum(map(len, run))))
    frequent = "a b c d 1 a b c d 2 a b c d 3".split()  # so that no longer word is in the top run
    words = [*run, *frequent, *run]
    assert gopher_repetition(filled(words, 1000)) is None
    assert f"repeated runs of {n} words" in gopher_repetition(filled(words, 999))


def test_what_is_counted_as_repeated():
    assert repeated(["ab", "c", "ab", "ab"]) == (2, 4)
    assert top_ngram("a b a b c".split(), 2) == 4 and top_ngram("a b c".split(), 2) == 0
    assert top_ngram([], 2) == 0
    assert repeated_ngrams("a b c a b c a b c".split(), 3) == 6
    assert repeated_ngrams("a b c d".split(), 3) == 0


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 4))
def test_no_word_is_counted_twice(words, n):
    assert 0 <= repeated_ngrams(words, n) <= len(words)


def test_c4_lines():
    text = "Good.\nPlease enable JavaScript.\nWe use cookies!\nSee our Privacy Policy\nBetter.\n"
    assert without_c4_lines(text) == "Good.\nBetter.\n"
    for one in ("Lorem ipsum dolor", "Terms of Use", "our cookie policy", "makes use of cookies"):
        assert without_c4_lines(f"Good.\n{one}\nBetter.\n") == "Good.\nBetter.\n"
    assert without_c4_lines("The cook is nice.\n") == "The cook is nice.\n"


@pytest.mark.parametrize(
    "text, masked",
    [
        ("Write to a.b+c@mail.example.co.uk.", "Write to email@example.com."),
        ("<ann@host.org>, (bob@host.org)", "<email@example.com>, (email@example.com)"),
        ("user@localhost, @decorator, a@b", "user@localhost, @decorator, a@b"),
        ("from 8.8.8.8:80 to 1.1.1.1.", "from 192.0.2.1:80 to 192.0.2.1."),
        ("127.0.0.1 and 192.168.1.1 and 10.0.0.7", "127.0.0.1 and 192.168.1.1 and 10.0.0.7"),
        ("version 1.2.3.4.5, 999.1.1.1", "version 1.2.3.4.5, 999.1.1.1"),
        ("2a00:1450:4001:81b::200e up", "2001:db8::1 up"),
        ("std::abc abc::def 12:30:45 fe80::1", "std::abc abc::def 12:30:45 fe80::1"),
    ],
)
def test_personal_data(text, masked):
    assert mask_personal(text) == masked
    assert mask_personal(masked) == masked


@settings(deadline=None)
@given(st.text(alphabet="a1.@:-f2 ", max_size=200))
def test_masking_is_final(text):
    once = mask_personal(text)
    assert mask_personal(once) == once


def test_masking_long_text_takes_linear_time():
    mask_personal("a.b-" * 50_000 + "@" + "a." * 50_000 + "1." * 50_000 + "2000:" * 50_000)


def test_length():
    documents = [Document(str(n), "x" * n) for n in (9, 10, 20, 21)]
    options = CleanOptions(min_characters=10, max_characters=20)
    kept, report = clean_documents(documents, options)
    assert [d.name for d in kept] == ["10", "20"]
    assert list(report.dropped) == ["shorter than 10 characters", "longer than 20 characters"]
    for wrong in ({"min_characters": -1}, {"min_characters": 5, "max_characters": 4}):
        with pytest.raises(UserError, match="min_characters is"):
            CleanOptions(**wrong)


ITEM = " ".join(WORDS[:20])


def evaluation(tmp_path, name="test.jsonl"):
    path = tmp_path / name
    rows = [{"question": ITEM, "answers": ["short", {"why": " ".join(WORDS[50:80])}]}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


@pytest.mark.parametrize(
    "text, contaminated",
    [
        (" ".join(WORDS[:13]), True),
        (" ".join(WORDS[:12]), False),
        (f"before {' '.join(WORDS[5:18])} after".upper().replace(" ", ", "), True),
        (" ".join(WORDS[5:17] + ["x"] + WORDS[18:20]), False),
        (" ".join(WORDS[60:73]), True),
        (" ".join(WORDS[14:20] + ["short"] + WORDS[50:56]), False),  # of two strings
    ],
)
def test_thirteen_words_in_a_row(tmp_path, text, contaminated):
    judge = Contamination(str(evaluation(tmp_path))).judge
    reason = "shares 13 words in a row with test.jsonl" if contaminated else None
    assert judge(text) == reason


@settings(deadline=None, max_examples=60)
@given(*2 * [st.lists(st.sampled_from("ab"), max_size=40)])
def test_contamination_by_comparing_all(tmp_path_factory, mine, theirs):
    path = tmp_path_factory.mktemp("evaluation") / "a.txt"
    path.write_text(" ".join([*theirs, *WORDS[:13]]))
    runs = {tuple([*theirs, *WORDS[:13]][i : i + 13]) for i in range(len(theirs) + 1)}
    expected = any(tuple(mine[i : i + 13]) in runs for i in range(len(mine) - 12))
    assert (Contamination(str(path)).judge(" ".join(mine)) is not None) == expected


def test_decontamination_in_cleaning(tmp_path):
    evaluation(tmp_path, "b.jsonl")
    (tmp_path / "a.txt").write_text(" ".join(WORDS[200:220]))
    documents = [
        Document("first", f"it says {ITEM}"),
        Document("second", " ".join(WORDS[100:200])),
        Document("third", " ".join(WORDS[190:230])),
    ]
    kept, report = clean_documents(documents, CleanOptions(decontaminate=str(tmp_path)))
    assert [d.name for d in kept] == ["second"]
    assert {reason: tally.examples for reason, tally in report.dropped.items()} == {
        "shares 13 words in a row with b.jsonl": ["first"],
        "shares 13 words in a row with a.txt": ["third"],
    }


@pytest.mark.parametrize("name", ["a.jsonl", "a.JSONL", "a.ndjson"])
def test_rows_of_evaluation_data_end_at_newlines_alone(tmp_path, name):
    rows = [{"question": f"one\u2028{ITEM}"}, {"question": "x " * 12}, {"question": "y " * 12}]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / name).write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    (tmp_path / ".hidden").write_bytes(b"\0")
    judge = Contamination(str(tmp_path)).judge
    assert judge(ITEM) == f"shares 13 words in a row with {name}"
    assert judge("x " * 12 + "question " + "y " * 12) is None  # the words of two rows


def test_bad_evaluation_data(tmp_path):
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "short.txt").write_text("a few words")
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(evaluation(tmp_path).read_bytes()))
    for name, sentence in (
        ("bad.json", "is not valid JSON"),
        ("rows.jsonl.gz", "is binary .it has NUL bytes.; convert it to JSON lines"),
        ("short.txt", "has no text of 13 words"),
        ("none.txt", "cannot read the evaluation data"),
    ):
        with pytest.raises(UserError, match=sentence):
            Contamination(str(tmp_path / name))


def test_samples_are_drawn_from_all():
    first = Samples(20)
    for i in range(200):
        first("too short", Document(f"d{i}", "x"), None)
    ((title, shown),) = first.lines()
    assert title == "too short: 200 documents" and len(set(shown)) == 20
    assert any(int(re.match(r"d(\d+)", line)[1]) >= 100 for line in shown)
    few = Samples(3)
    few("changed", Document("a", "0123456789" * 4 + "abc"), "0123456789" * 4 + "xyz")
    expected = "a: '01234567890123456789abc' -> '01234567890123456789xyz'"
    assert list(few.lines("CHANGED")) == [("changed: 1 document", [expected])]
    assert list(few.lines("other")) == []
    few("changed", Document("b", "0" * 50 + "end"), "0" * 50)
    few("changed", Document("c", "all"), "")
    ((_, shown),) = few.lines("changed")
    assert shown[1:] == [f"b: '{'0' * 20}end' -> '{'0' * 20}'", "c: 'all' -> ''"]
    few("Long", Document("d", "x" * 300), None)
    few("Long", Document("e", "x" * 301), None)
    assert list(few.lines("long")) == [
        ("Long: 2 documents", [f"d: '{'x' * 300}'", f"e: '{'x' * 300}'..."])
    ]


def test_each_document_is_as_likely_to_be_a_sample():
    def drawn(seed):
        samples = Samples(2, seed)
        for i in range(10):
            samples("too short", Document(str(i), "x"), None)
        ((_, shown),) = samples.lines()
        return sorted(line[0] for line in shown)

    assert drawn(1) == drawn(1)
    counts = Counter(name for seed in range(400) for name in drawn(seed))
    assert sum(counts.values()) == 800
    assert all(50 < counts[str(i)] < 110 for i in range(10))  # 80, with a deviation of 8


def test_inspect_shows_what_was_dropped(tmp_path, capsys):
    (tmp_path / "poor.txt").write_text("buy now\n" * 30)
    (tmp_path / "good.txt").write_text(PROSE + "Write to me@home.org.\n")
    arguments = ["data", "inspect", str(tmp_path), "--gopher-quality", "--mask-personal"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "dropped 1 document" in out and "Gopher: fewer than two of" in out
    assert "poor.txt: 'buy now\\nbuy now" in out
    assert "Write to me@home.org.\\n' -> " in out and "email@example.com" in out
    assert main([*arguments, "--rule", "gopher"]) == 0
    out = capsys.readouterr().out
    assert "masked: 1 doc" not in out and "poor.txt: 'buy now\\nbuy now" in out
    assert main([*arguments, "--rule", "lines"]) == 0
    out = capsys.readouterr().out
    assert "\nno rule that dropped or changed anything matches --rule lines; those that" in out
    assert "; Gopher: fewer than two of" in out and "poor.txt: 'buy" not in out
    assert main(["data", "inspect", str(tmp_path / "good.txt"), "--rule", "lines"]) == 0
    assert "matches --rule lines; those that did: none\n" in capsys.readouterr().out
