"""The writing systems of a text, and the report of a corpus that says them."""

import pytest
import regex

from tinygrad_llm.data import CleanOptions, Document, clean_documents, scripts
from tinygrad_llm.data.corpus import CleanReport
from tinygrad_llm.data.scripts import NAMES, OTHER, count_scripts, percent, shares

LETTERS = [chr(i) for i in range(0x10000) if chr(i).isalpha()]


@pytest.mark.parametrize(
    "text, counts",
    [
        ("", {}),
        ("12, 34! \U0001f600 \u20ac", {}),
        ("abc DEF 12\n", {"Latin": 6}),
        ("d\u00e9j\u00e0 vu \u00d7 \u0141\u00f3d\u017a", {"Latin": 10}),
        ("мир и war", {"Cyrillic": 4, "Latin": 3}),
        ("日本語 ひらがな カタカナ", {"Hiragana": 4, "Katakana": 4, "Han": 3}),
        ("\U00010400", {OTHER: 1}),  # Deseret
        ("a\udcff", {"Latin": 1}),  # half a surrogate pair is no letter
    ],
)
def test_letters_are_counted_by_script(text, counts):
    assert count_scripts(text) == counts


def test_a_long_text_is_counted_in_pieces():
    assert count_scripts("ж" * 100_001 + "a") == {"Latin": 1, "Cyrillic": 100_001}


@pytest.mark.parametrize("name", [name for name in NAMES if name != OTHER])
def test_the_table_agrees_with_unicode(name):
    """Of the letters below U+10000, nearly all have the script that Unicode gives."""
    script = regex.compile(rf"\p{{Script={'Myanmar' if name == 'Burmese' else name}}}")
    theirs = {letter for letter in LETTERS if script.match(letter)}
    ours = {letter for letter in LETTERS if scripts._table()[ord(letter)] == NAMES.index(name)}
    assert len(ours ^ theirs) <= 0.13 * len(theirs)  # the rest are rare


def test_shares_for_a_person():
    assert shares({"Latin": 1, "Cyrillic": 3}) == "Cyrillic 75.0 %, Latin 25.0 %"
    assert percent(1, 10_000) == "under 0.1 %" and percent(0, 0) == "0.0 %"
    assert shares({name: 1 for name in NAMES}).endswith(", ...")


def test_the_report_says_the_scripts_of_what_is_kept():
    documents = [Document("ru", "мир\n"), Document("en", "peace war\n")]
    report = clean_documents(documents)[1]
    assert "letters by script: Latin 72.7 %, Cyrillic 27.3 %" in str(report)
    assert report.as_dict()["scripts"] == {"Cyrillic": 3, "Latin": 8}
    assert "WARNING" not in str(report)
    found = CleanReport(2, 10, 2, 10, scripts={"Greek": 1})
    assert found.then(report).scripts == report.scripts


def test_a_warning_where_most_bytes_are_dropped():
    documents = [Document("ru", "мир во всем мире\n" * 9), Document("en", "peace\n")]
    report = clean_documents(documents, CleanOptions(min_ascii_share=0.9))[1]
    assert str(report).splitlines()[-1] == (
        "WARNING: only 2.2 % of the bytes found are kept; 97.8 % were dropped for one reason: less "
        "than 90 % ASCII (ru)"
    )
    assert "scripts" in report.as_dict() and report.scripts == {"Latin": 5}
