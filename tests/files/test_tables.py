"""Tables from files of every format, and what is said about those that are wrong."""

import datetime
import gzip
import json

import pytest

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import tables
from tinygrad_llm.files.tables import Row, read_table
from tinygrad_llm.finetune.rows import said

ROWS = [{"text": "one, two", "label": "a"}, {"text": 'says "no"', "label": "b"}]


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def parquet(path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    pa.parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow has no Parquet")
    pa.parquet.write_table(pa.Table.from_pylist(ROWS), path)
    return path


def test_each_format_holds_the_same(tmp_path):
    csv = 'text,label\n"one, two",a\n"says ""no""",b\n'
    tsv = 'text\tlabel\none, two\ta\nsays "no"\tb\n'
    files = [
        write(tmp_path, "a.csv", csv),
        write(tmp_path, "b.CSV", "\ufeff" + csv.replace("\n", "\r\n")),
        write(tmp_path, "c.tsv", tsv),
        write(tmp_path, "d.jsonl", "\n\n".join(map(json.dumps, ROWS))),
        write(tmp_path, "e.json", json.dumps(ROWS)),
    ]
    for path in files:
        assert [row.values for row in read_table(path)] == ROWS, path


def test_text_may_be_compressed(tmp_path):
    lines = "".join(f"{json.dumps(row)}\n" for row in ROWS).encode()
    rows = read_table(write(tmp_path, "a.jsonl.gz", gzip.compress(lines)))
    assert [row.values for row in rows] == ROWS and rows[1].place.startswith("line 2 of ")
    for damaged in (b"not compressed", gzip.compress(lines)[:-9], gzip.compress(lines)[:12] + b"x"):
        with pytest.raises(UserError, match="a.jsonl.gz is not a gzip file, or is damaged"):
            read_table(write(tmp_path, "a.jsonl.gz", damaged))


def test_what_is_too_large_once_decompressed_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MAX_DECOMPRESSED", 1000)
    path = write(tmp_path, "a.jsonl.gz", gzip.compress(b"{}\n" * 500))
    with pytest.raises(UserError, match="more than 1,000 bytes when it is decompressed"):
        read_table(path)


def test_parquet(tmp_path):
    path = parquet(tmp_path / "a.parquet")
    assert [row.values for row in read_table(path)] == ROWS
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"cannot read .*a\.parquet"):
        read_table(path)


def test_places_are_lines_even_after_a_quoted_line_end(tmp_path):
    path = write(tmp_path, "a.csv", 'text,label\n"two\nlines",a\n\nlast,b\n')
    assert [row.place for row in read_table(path)] == [f"line 2 of {path}", f"line 5 of {path}"]
    assert read_table(path)[0].values["text"] == "two\nlines"


def test_numbers_and_flags_are_text(tmp_path):
    (row,) = read_table(write(tmp_path, "a.jsonl", '{"n": 3, "x": 0.5, "yes": true, "no": null}'))
    assert [row.text(name) for name in ("n", "x", "yes")] == ["3", "0.5", "True"]
    with pytest.raises(UserError, match=r"line 1 of .*a\.jsonl: no is null, expected text"):
        row.text("no")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.txt", "x", "cannot tell the format from the name, expected one of .csv, .tsv"),
        ("a.csv", "", "has no rows"),
        ("a.csv", "text,label\n", "has no rows"),
        ("a.csv", "text,text\nx,y\n", "line 1 of .* names a column twice"),
        ("a.csv", "text,label\nx,a\ny\n", "line 3 of .* has 1 columns, but the first line names 2"),
        ("a.csv", 'text,label\nx,a\n"y,b\n', "line 3 of .* is damaged"),
        ("a.tsv", b"text\tlabel\nx\ta\n\xff\tb\n", "line 3 of .* is not UTF-8 text"),
        ("a.csv", "text,label\nx,a\n".encode("utf-16"), "is UTF-16 text, .* save it as UTF-8"),
        ("a.tsv", "text\tlabel\nx\ta\tb\n", "line 2 of .* has 3 columns"),
        ("a.jsonl", '{"text": "x"}\n{"text": \n', "line 2 of .* is not whole JSON"),
        ("a.jsonl", '{"text": "x"}\n["y"]\n', "line 2 of .* is a list, expected a JSON object"),
        ("a.json", '{"text": "x"}', "is a JSON object, expected a list"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, content, message):
    with pytest.raises(UserError, match=message) as caught:
        read_table(write(tmp_path, name, content))
    assert str(tmp_path / name) in str(caught.value)


def test_a_column_that_is_missing(tmp_path):
    (row,) = read_table(write(tmp_path, "a.csv", "Text,Label\nx,y\n"))
    with pytest.raises(UserError, match=r"line 2 of .* has no column 'text': .* are Text, Label"):
        row.text("text")


def test_a_value_that_json_has_no_word_for_is_named(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    pa.parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow has no Parquet")
    rows = [{"text": b"caf\xe9", "prompt": datetime.date(2020, 1, 2), "completion": "x"}]
    pa.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (row,) = read_table(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"row 1 of .*: text is b'caf\\xe9', expected text"):
        row.text("text")
    with pytest.raises(UserError, match=r"prompt is datetime\.date\(2020, 1, 2\), expected text"):
        said(Row({k: v for k, v in row.values.items() if k != "text"}, row.place))
