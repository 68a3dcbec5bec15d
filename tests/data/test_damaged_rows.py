"""A damaged row costs itself alone, and the report says which rows and how many bytes."""

import io
import re

import pytest
from hypothesis import given, strategies as st
from made_files import TEXT, put

from tinygrad_llm.data import ReadOptions, load_corpus
from tinygrad_llm.data.formats import lines as lines_format
from tinygrad_llm.data.formats.lines import Lines
from tinygrad_llm.errors import UserError

GOOD = {"jsonl": '{"text": "%d é is enough"}', "csv": '%d,"two\nlinés"', "tsv": "%d\tsome téxt"}
HEAD = {"jsonl": "", "csv": "id,text\n", "tsv": "id\ttext\n"}
BAD = {  # rows, and what the report says of the first
    "jsonl": [
        (b'{"text": "caf\xe9"}\n', "line 41 of a.jsonl has bytes that are not utf-8 text"),
        (b'{"text": "a\n', "line 41 of a.jsonl is not whole JSON"),
        (b'{"text": "\xff\n', "line 41 of a.jsonl is not whole JSON .*; it has bytes that are not"),
        (b"[1, 2]\n", "line 41 of a.jsonl is a list, expected"),
    ],
    "csv": [
        (b'1,"caf\xe9\nand\nmore"\n', "line 82 of a.csv has bytes that are not utf-8 text"),
        (b"1,2,3\n", "line 82 of a.csv has 3 columns, but the first line names 2"),
        (b'1,"a"b\n', "line 82 of a.csv is damaged"),
    ],
    "tsv": [(b"1\tcaf\xe9\n", "line 42 of a.tsv has bytes"), (b"1\n", "line 42 of a.tsv has 1 c")],
}


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    "kind, bad, sentence", [(kind, *one) for kind, many in BAD.items() for one in many]
)
def test_a_damaged_row_is_left_out_and_counted(tmp_path, kind, bad, sentence, last):
    rows = [(GOOD[kind] % i).encode() + b"\n" for i in range(40)]
    after = b"" if last else b"".join(rows[:3]) + b"\n\n" + bad
    path = put(tmp_path, f"a.{kind}", HEAD[kind].encode() + b"".join(rows) + bad + after)
    corpus = load_corpus(path)
    report = corpus.report
    numbers = [*range(1, 41), *([] if last else range(42, 45))]
    assert [d.name for d in corpus.documents] == [f"a.{kind}:{i}" for i in numbers]
    times = 1 if last else 2
    (reason, tally) = next(iter(report.dropped.items()))
    assert reason == "damaged rows" and tally.documents == times
    assert tally.bytes == times * len(bad)
    assert tally.examples == [f"a.{kind}:41", f"a.{kind}:45"][:times]
    assert report.found_documents == len(numbers) + times
    assert report.found_bytes == report.kept_bytes + tally.bytes == corpus.bytes + tally.bytes
    (note,) = [note for note in report.notes if "damaged" in note]
    start = f"{times} damaged row{'s' * (not last)} of a.{kind} ({tally.bytes} bytes) w"
    assert note.startswith(start), note
    assert re.search(sentence, note), note


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("a.csv", b"id,text,\xff\nid,text,b\n", "the names of its columns have bytes that are not"),
        ("a.jsonl", b'\n{"text": "\xff"}\n' * 2, "line 2 of a.jsonl has bytes that are not utf-8"),
    ],
)
def test_a_file_without_a_whole_row_is_refused(tmp_path, name, content, sentence):
    path = put(tmp_path, name, content)
    with pytest.raises(UserError, match=f"a.* is damaged: {sentence}.*; mend the row or leave"):
        load_corpus(path, ReadOptions(encoding="utf-8"))


def test_an_open_quote_costs_the_rest_of_its_file(tmp_path):
    path = put(tmp_path, "a.csv", f'text\n"{TEXT}"\n"begun\n' + "word\n" * 9)
    report = load_corpus(path).report
    assert report.kept_documents == 1 and report.dropped["damaged rows"].bytes == 7 + 9 * 5


def test_rows_in_utf_16_and_in_an_old_encoding(tmp_path):
    for encoding, bad in (("utf-16", b"\x00\xdc"), ("cp932", b"\x81\xff"), ("cp037", b"")):
        row = f'1,"すべての人間は {TEXT[:50]}"\n' if encoding != "cp037" else f"1,{TEXT[:40]}\n"
        order = {"utf-16": "utf-16-le"}.get(encoding, encoding)
        head = ("\ufeff" * (encoding == "utf-16") + "id,text\n" + 30 * row).encode(order)
        damaged = "2,a".encode(order) + bad + "\n".encode(order)
        path = put(tmp_path, "a.csv", head + damaged * bool(bad) + row.encode(order))
        report = load_corpus(path, ReadOptions(encoding=encoding)).report
        assert report.kept_documents == 31
        sizes = [tally.bytes for tally in report.dropped.values()]
        assert sizes == [len(damaged)] * bool(bad)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "cp037"])
@given(text=st.text("a\r\nб\u0a0d\u0d0a\u010a", max_size=20), piece=st.integers(1, 9))
def test_lines_are_those_of_a_text_file(encoding, text, piece):
    if encoding == "cp037":
        text = "".join(filter(str.isascii, text))
    data = text.encode(encoding)
    expected = list(io.TextIOWrapper(io.BytesIO(data), encoding, newline=""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_format, "_PIECE", piece)
        lines = Lines(io.BufferedReader(io.BytesIO(data)), encoding)
        assert list(lines) == expected
    blank = next((line for line in expected if not line.isspace()), None)
    start = expected.index(blank) if blank else len(expected)
    assert lines.row() == (len("".join(expected[start:]).encode(encoding)), "")
    assert lines.row() == (0, "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_a_line_that_is_too_long_is_not_kept_in_memory(tmp_path, monkeypatch, encoding):
    monkeypatch.setattr(lines_format, "LONGEST", 1000)
    monkeypatch.setattr(lines_format, "_PIECE", 100)
    row, long = (('{"text": "' + "word " * n + '"}\n').encode(encoding) for n in (90, 1000))
    path = put(tmp_path, "a.jsonl", row + long + row)
    report = load_corpus(path, ReadOptions(encoding=encoding)).report
    assert report.kept_documents == 2 and report.dropped["damaged rows"].bytes == len(long)
    assert any("it has more than 1,000 bytes in a line" in note for note in report.notes)
