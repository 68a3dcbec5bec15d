"""The rule about languages: what it keeps, what it counts, and how often it is wrong."""

import sys

import pytest
from made_files import put

from tinygrad_llm.cli import main
from tinygrad_llm.data import CleanOptions, CleanReport, Document, clean_documents
from tinygrad_llm.data.languages import PIECE, PIECES, Languages, sample
from tinygrad_llm.errors import UserError

# The first article of the Universal Declaration of Human Rights, and lines of interfaces.
TEXTS = {
    "en": "All human beings are born free and equal in dignity and rights. They are endowed with "
    "reason and conscience and should act towards one another in a spirit of brotherhood.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft "
    "und Gewissen begabt und sollen einander im Geist der Brüderlichkeit begegnen.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués "
    "de raison et de conscience et doivent agir les uns envers les autres.",
    "nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren. Zij zijn begiftigd "
    "met verstand en geweten, en behoren zich jegens elkander te gedragen.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены "
    "разумом и совестью и должны поступать в отношении друг друга в духе братства.",
    "uk": "Всі люди народжуються вільними і рівними у своїй гідності та правах. Вони наділені "
    "розумом і совістю і повинні діяти у відношенні один до одного в дусі братерства.",
    "no": "Alle mennesker er født frie og med samme menneskeverd og menneskerettigheter. De er "
    "utstyrt med fornuft og samvittighet og bør handle mot hverandre i brorskapets ånd.",
    "ja": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "zh": "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。",
}
DOCUMENTS = [Document(code, text) for code, text in TEXTS.items()]


@pytest.fixture
def recogniser():
    pytest.importorskip("py3langid", reason="py3langid is not installed")


def test_documents_in_other_languages_are_dropped_and_counted(recogniser):
    options = CleanOptions(languages="en, de,nb")
    kept, report = clean_documents(DOCUMENTS, options)
    assert [document.name for document in kept] == ["en", "de", "no"]
    ((reason, tally),) = report.dropped.items()
    assert reason == "in another language than en, de, no" and tally.documents == 6
    sizes = {code: len(text.encode()) for code, text in TEXTS.items()}
    assert report.languages == report.as_dict()["languages"] == sizes
    assert report.found_bytes == sum(sizes.values()) == report.kept_bytes + tally.bytes
    largest = max(sizes, key=sizes.get)
    assert f"before others are dropped: {largest} " in str(report)
    assert CleanReport(9, 0, 9, 0).then(report).languages == sizes


def test_shares_alone(recogniser):
    kept, report = clean_documents(DOCUMENTS, CleanOptions(languages="all"))
    assert kept == DOCUMENTS and not report.dropped and len(report.languages) == len(TEXTS)
    _, report = clean_documents(DOCUMENTS)
    assert "language" not in str(report) and "languages" not in report.as_dict()


def test_it_comes_after_the_lengths_and_before_the_rules_of_english(recogniser):
    options = CleanOptions(languages="de", min_characters=100, gopher_quality=True)
    _, report = clean_documents(DOCUMENTS, options)
    assert [tally.documents for tally in report.dropped.values()] == [6, 1, 2]
    assert "zh" not in report.languages  # too short


def test_of_a_long_text_pieces_from_all_over_are_looked_at():
    assert sample("x" * PIECES * PIECE) == "x" * PIECES * PIECE
    text = "".join(f"{i:07} " for i in range(100_000))
    pieces = sample(text).split("\n")
    assert [len(piece) for piece in pieces] == [PIECE] * PIECES
    assert text.startswith(pieces[0]) and text.endswith(pieces[-1])
    starts = [text.index(piece) for piece in pieces]
    assert [round(4 * start / len(text), 1) for start in starts] == [0, 1.3, 2.7, 4]


@pytest.mark.parametrize("languages", ["English", "EN", "en,", "en;de", "", "en-US", ","])
def test_what_is_no_code(languages):
    with pytest.raises(UserError, match=r"^languages is '.*', expected codes .* such as en or en"):
        CleanOptions(languages=languages)


def test_a_language_that_is_not_known(recogniser):
    with pytest.raises(UserError, match="not know the language 'xx'; expected all, or some of ace"):
        Languages("en,xx", {})


def test_without_the_package(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "py3langid", None)
    path = put(tmp_path, "a.txt", TEXTS["en"] * 9)
    assert main(["data", "prepare", str(path), "--languages", "en"]) == 2
    assert capsys.readouterr().err == (
        "error: the option languages needs py3langid; install it with: pip install "
        "'tinygrad-llm[languages]'\n"
    )
