"""Long text is read in parts, and old encodings are recognised."""

import pytest
from made_files import TEXT, put

from tinygrad_llm.config import TrainConfig
from tinygrad_llm.data import CleanReport, ReadOptions, decode_bytes, load_corpus, open_source
from tinygrad_llm.data.formats import text as text_format
from tinygrad_llm.errors import UserError

OLD = {
    "cp1251": "Съешь же ещё этих мягких французских булок, да выпей чаю. Война и мир.\n",
    "koi8_r": "Съешь же ещё этих мягких французских булок, да выпей чаю. Война и мир.\n",
    "cp1253": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.\n",
    "cp1256": "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.\n",
    "cp932": "すべての人間は、生まれながらにして自由であり、尊厳と権利とについて平等である。\n",
    "euc_jp": "すべての人間は、生まれながらにして自由であり、尊厳と権利とについて平等である。\n",
    "gb18030": "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心。\n",
    "big5": "人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心。\n",
    "cp949": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.\n",
}


@pytest.mark.parametrize("encoding", OLD)
def test_an_old_encoding_is_recognised_and_reported(tmp_path, encoding):
    text = (OLD[encoding] + "A line of English.\n") * 30
    corpus = load_corpus(put(tmp_path, "old.txt", text.encode(encoding)))
    assert corpus.documents[0].text == text
    assert f"read as {encoding} (old.txt)" in str(corpus.report)
    assert corpus.report.kept_bytes == corpus.bytes


def test_western_text_is_not_guessed_at():
    text = "Der Fluß fließt über die Brücke; schöne Mädchen hören gern.\n" * 9
    assert decode_bytes(text.encode("cp1252")) == (text, "latin-1", 0)


def test_a_stated_encoding_is_used(tmp_path):
    text = OLD["koi8_r"] * 30
    path = put(tmp_path, "a.txt", text.encode("mac_cyrillic"))
    corpus = load_corpus(path, ReadOptions(encoding="mac_cyrillic"))
    assert corpus.documents[0].text == text
    path = put(tmp_path, "a.txt", text.encode("utf-16-le"))
    assert load_corpus(path, ReadOptions(encoding="utf-16-le")).documents[0].text == text
    assert decode_bytes("a\ufffd".encode() + b"\xff", "utf-8").replaced == 1
    for make in (ReadOptions, TrainConfig):
        with pytest.raises(UserError, match="encoding is 'klingon', which Python does not know"):
            make(encoding="klingon")
    with pytest.raises(UserError, match="field is empty"):
        ReadOptions(field="")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp1251"]
)
def test_a_long_text_is_cut_at_line_ends(tmp_path, monkeypatch, encoding):
    monkeypatch.setattr(text_format, "PIECE", 1000)
    text = "".join(f"{i}: мир, и ещё\n" for i in range(400)) + "без конца"
    data = text.encode(encoding)
    path = put(tmp_path, "long.txt", data)
    stated = encoding if encoding == "utf-16-be" else None
    corpus = load_corpus(path, ReadOptions(encoding=stated))
    assert (
        len(corpus.documents) > len(data) / 1000
        and "".join(d.text for d in corpus.documents) == text
    )
    assert all(d.text.endswith("\n") for d in corpus.documents[:-1])
    assert [d.name for d in corpus.documents][:2] == ["long.txt (part 1)", "long.txt (part 2)"]
    report = corpus.report
    assert report.found_bytes == len(data) and report.kept_bytes == corpus.bytes
    assert report.found_bytes + sum(t.bytes for t in report.changed.values()) == report.kept_bytes


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_cut_at_line_ends_with_and_without_a_mark(tmp_path, monkeypatch, encoding):
    monkeypatch.setattr(text_format, "PIECE", 1000)
    text = "".join(f"{i}: мир, и ещё\n" for i in range(400))
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    path = put(tmp_path, "long.txt", (mark + text).encode(encoding))
    documents = load_corpus(path, ReadOptions(encoding="utf-16")).documents
    assert "".join(d.text for d in documents) == text and len(documents) > 4
    assert all(d.text.endswith("\n") for d in documents)


def test_a_long_binary_file_is_counted_like_a_short_one(tmp_path, monkeypatch):
    monkeypatch.setattr(text_format, "PIECE", 1000)
    put(tmp_path, "good.txt", TEXT)
    path = put(tmp_path, "long.txt", b"x\0\1" * 1000)
    dropped = load_corpus(tmp_path).report.dropped
    assert [(reason, tally.bytes) for reason, tally in dropped.items()] == [
        (text_format.BINARY, 3000)
    ]
    with pytest.raises(UserError, match=r"the file .*long.txt is binary \(contains NUL bytes\)"):
        load_corpus(path)


@pytest.mark.parametrize(
    "encoding, text",
    [
        ("utf-8", "и€x\U0001f600"),
        ("utf-16", "и€x\u0a05\u0100\U0001f600"),  # two of them have a line end across them
        ("cp932", "すべてaのｱ人間は、"),
        ("euc_jp", "すべてaのｱ人間は、"),
        ("gb18030", "人人a生而自由\U0001f600,"),  # of one, two and four bytes
        ("euc_kr", "모든a 인간은"),
        ("big5", "人人a生而自由,"),
    ],
)
@pytest.mark.parametrize("piece", range(1000, 1004))
def test_a_text_without_lines_is_cut_between_characters(
    tmp_path, monkeypatch, encoding, text, piece
):
    monkeypatch.setattr(text_format, "PIECE", piece)
    text = text * 2000
    path = put(tmp_path, "long.txt", text.encode(encoding))
    stated = None if encoding.startswith("utf") else encoding
    corpus = load_corpus(path, ReadOptions(encoding=stated))
    assert "".join(d.text for d in corpus.documents) == text and len(corpus.documents) > 4
    assert "invalid bytes replaced by U+FFFD" not in corpus.report.changed


def test_parts_are_read_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(text_format, "PIECE", 1000)
    path = put(tmp_path, "long.txt", TEXT.encode() * 10 + b"\0")
    report = CleanReport()
    documents = open_source(path).documents(report)
    next(documents)
    assert report.found_documents == 1 and report.found_bytes <= 1000
    with pytest.raises(UserError, match="binary"):
        list(documents)
