"""Rows with a field of text, from JSON lines, JSON, CSV, TSV and Parquet."""

import json
import sys

import pytest
from made_files import ROWS, TEXT, json_lines, parquet, put

from tinygrad_llm.data import ReadOptions, load_corpus
from tinygrad_llm.data.formats import rows as rows_format
from tinygrad_llm.errors import UserError

FILES = {
    "rows.jsonl": json_lines(),
    "rows.ndjson": "\ufeff" + json_lines().replace("\n", "\r\n\n"),
    "rows.json": json.dumps(ROWS, indent=1),
    "rows.csv": "id,text\n" + "".join(f'{row["id"]},"{row["text"]}"\n' for row in ROWS),
}


def read(path, **options):
    """(name, text) of every document of a source."""
    return [(d.name, d.text) for d in load_corpus(path, ReadOptions(**options)).documents]


@pytest.mark.parametrize("name", [*FILES, "rows.parquet"])
def test_a_row_is_a_document(tmp_path, name):
    if name == "rows.parquet":
        pytest.importorskip("pyarrow")
    path = put(tmp_path, name, FILES.get(name) or parquet())
    assert read(path) == [(f"{name}:{i}", row["text"]) for i, row in enumerate(ROWS, 1)]
    corpus = load_corpus(path)
    kinds = {"ndjson": "jsonl"}
    suffix = path.suffix[1:]
    assert {d.kind for d in corpus.documents} == {kinds.get(suffix, suffix)}
    assert f"gave {corpus.bytes:,} bytes of text in 3 documents." in str(corpus.report)
    assert corpus.report.kept_bytes == corpus.report.found_bytes == corpus.bytes


def test_tab_separated_values(tmp_path):
    path = put(tmp_path, "rows.tsv", 'id\ttext\n1\tsays "hm" ' + "word " * 60 + "\n")
    assert read(path) == [("rows.tsv:1", 'says "hm" ' + "word " * 60)]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.parquet"])
def test_a_field_is_nested_by_dots_and_lists_are_joined(tmp_path, name):
    if name == "rows.parquet":
        pytest.importorskip("pyarrow")
    path = put(tmp_path, name, FILES.get(name) or parquet())
    assert read(path, field="page.body")[1] == (f"{name}:2", "a1 " * 40 + "\n\nb")


def test_a_key_with_a_dot_comes_before_a_path(tmp_path):
    path = put(tmp_path, "rows.jsonl", json_lines([{"a.b": TEXT, "a": {"b": "other"}}]))
    assert read(path, field="a.b") == [("rows.jsonl:1", TEXT)]


def test_one_json_object_holds_a_corpus_and_a_list_may_hold_texts(tmp_path):
    path = put(tmp_path, "one.json", json.dumps({"data": ROWS}))
    assert [text for _, text in read(path, field="data.text")] == [row["text"] for row in ROWS]
    path = put(tmp_path, "list.json", json.dumps([TEXT, TEXT]))
    assert read(path) == [("list.json:1", TEXT), ("list.json:2", TEXT)]


def test_the_only_field_needs_no_name(tmp_path):
    assert read(put(tmp_path, "a.csv", f'quote\n"{TEXT}"\n')) == [("a.csv:1", TEXT)]


def test_rows_without_text_are_counted(tmp_path):
    path = put(tmp_path, "rows.jsonl", json_lines([*ROWS, {"text": None}, {"id": "x"}]))
    corpus = load_corpus(path)
    assert len(corpus.documents) == 3
    assert "2 rows of rows.jsonl have no text in the field text." in corpus.report.notes


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.parquet"])
def test_a_field_that_no_row_has(tmp_path, name):
    if name == "rows.parquet":
        pytest.importorskip("pyarrow")
    path = put(tmp_path, name, FILES.get(name) or parquet())
    with pytest.raises(UserError, match="without text in the field 'boy'; .*--field: id, text"):
        load_corpus(path, ReadOptions(field="boy"))


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("a.jsonl", "\n" + '{"text": ', r"damaged: line 2 of a.jsonl is not whole JSON"),
        ("a.json", '[{"text": "a"', "damaged: a.json is not whole JSON"),
        ("a.json", "7", "is empty"),
        ("a.csv", f'id,text\n"{TEXT}"\n2\n', "damaged: line 2 of a.csv has 1 columns"),
        ("a.csv", f'id,"text\n1,"{TEXT}"\n', "damaged: line 2 of a.csv is damaged"),
        ("a.parquet", b"PAR1" + b"x" * 300, r"a damaged Parquet file \("),
        ("a.parquet", TEXT, "no parquet file, though its name ends in .parquet; rename it"),
        ("a.csv", b"id,text\n\0\0", "binary"),
    ],
)
def test_bad_rows(tmp_path, name, content, sentence):
    if name == "a.parquet":
        pytest.importorskip("pyarrow")
    path = put(tmp_path, name, content)
    with pytest.raises(UserError, match=sentence) as error:
        load_corpus(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_in_a_folder_a_bad_row_costs_that_row(tmp_path):
    put(tmp_path, "a.jsonl", json_lines() + "{")
    put(tmp_path, "b.txt", TEXT)
    put(tmp_path, "c.jsonl", "{\n{\n")
    put(tmp_path, "package.json", json.dumps({"name": "a program", "version": "1"}))
    corpus = load_corpus(tmp_path)
    names = [d.name for d in corpus.documents]
    assert names == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:3", "b.txt"]
    row, file, no_field = corpus.report.dropped.items()
    assert row[0] == "damaged rows" and row[1].names() == "a.jsonl:4"
    assert file[0].startswith("damaged: line 1 of c.jsonl") and file[1].bytes == 4
    assert no_field[0].endswith("name, version")
    assert corpus.report.found_documents == 7 and corpus.report.kept_documents == 4


def test_half_a_character_is_replaced_and_counted(tmp_path):
    path = put(tmp_path, "a.jsonl", '{"text": "\\ud83d' + "a" * 300 + '\\ufffd"}\n')
    corpus = load_corpus(path)
    assert corpus.documents[0].text == "\ufffd" + "a" * 300 + "\ufffd"
    assert corpus.report.changed["invalid bytes replaced by U+FFFD"].count == 1
    assert corpus.report.kept_bytes == corpus.bytes


def test_csv_in_an_old_encoding(tmp_path):
    content = "text\n" + '"Съешь же ещё этих мягких французских булок, да выпей чаю."\n' * 30
    for encoding in ("cp1251", "utf-16"):
        corpus = load_corpus(put(tmp_path, "a.csv", content.encode(encoding)))
        assert corpus.documents[0].text.startswith("Съешь же ещё")
        assert any(note.startswith("a.csv was read as") for note in corpus.report.notes)
    corpus = load_corpus(
        put(tmp_path, "a.csv", content.encode("koi8_r")), ReadOptions(encoding="koi8_r")
    )
    assert corpus.documents[0].text.startswith("Съешь же ещё")


def test_rows_are_read_one_by_one(tmp_path, monkeypatch):
    from tinygrad_llm.data import open_source
    from tinygrad_llm.data.corpus import CleanReport

    path = put(tmp_path, "a.jsonl", json_lines() * 1000 + "{")
    documents = open_source(path).documents(CleanReport())
    assert [next(documents).name for _ in range(2)] == ["a.jsonl:1", "a.jsonl:2"]


def test_json_that_is_too_long_to_be_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_format, "WHOLE", 100)
    with pytest.raises(UserError, match="a JSON file of more than 100 bytes, .*JSON lines"):
        load_corpus(put(tmp_path, "a.json", FILES["rows.json"]))


@pytest.mark.parametrize("size", [1 << 12, 1 << 13, 1 << 16])
def test_the_encoding_is_not_guessed_from_half_a_character(tmp_path, size):
    """However much is looked at, its last character may be cut in two."""
    row = json_lines([{"text": "plain words " * 20}]).encode()
    start = row * (size // len(row) - 1) + b'{"text": "'
    accent = start.ljust(size - 1, b"x") + "é".encode() + b'"}\n'
    documents = read(put(tmp_path, "a.jsonl", accent + row))
    assert documents[-2][1].endswith("xé")
    latin = ("text\n" + "plain words " * 20 + "é").encode("latin-1")  # half of one in UTF-8
    assert read(put(tmp_path, "a.csv", latin))[0][1].endswith(" é")


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    path = put(tmp_path, "a.parquet", b"PAR1" + b"x" * 300)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"which needs pyarrow; .*pip install 'tinygrad-llm\[parq"):
        load_corpus(path)


def test_the_format_may_be_stated(tmp_path):
    path = put(tmp_path, "a.dump", json_lines())
    assert len(read(path)) == 1
    assert len(read(path, input_format="jsonl")) == 3
