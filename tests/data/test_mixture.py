"""Several sources: how they are named, their shares, patterns and standard input."""

import io
import sys

import pytest
from made_files import TEXT, json_lines, put

from tinygrad_llm.data import (
    CleanReport,
    Document,
    absolute_sources,
    load_corpus,
    open_source,
    split,
)
from tinygrad_llm.data.mixture import LEFT_OUT, Part, mix, parse_sources
from tinygrad_llm.errors import UserError


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    for i in range(40):
        put(tmp_path / "a", f"{i:02}.txt", f"{i} {TEXT}")
    put(tmp_path, "b.jsonl", json_lines([{"text": f"{i} {TEXT[:400]}"} for i in range(30)]))
    return tmp_path


def names(source):
    return [document.name for document in load_corpus(source).documents]


def test_all_of_several_sources(here):
    assert names("a,b.jsonl") == [
        *(f"a/{i:02}.txt" for i in range(40)),
        *(f"b.jsonl/b.jsonl:{i}" for i in range(1, 31)),
    ]
    assert names("a, a")[:1] + names("a,a")[40:41] == ["a/00.txt", "a#2/00.txt"]
    assert load_corpus("a,stdlib").details.keys() == {"python"}


def test_weights_are_shares_of_the_bytes(here):
    corpus = load_corpus("a:0.7,b.jsonl:0.3")
    sizes = {"a": 0, "b.jsonl": 0}
    for document in corpus.documents:
        sizes[document.name.partition("/")[0]] += len(document.text.encode())
    assert sizes["a"] / sum(sizes.values()) == pytest.approx(0.7, abs=0.02)
    report = corpus.report
    left = report.dropped[LEFT_OUT]
    assert report.found_bytes == report.kept_bytes + left.bytes
    assert report.kept_documents == len(corpus.documents)
    assert report.found_documents == report.kept_documents + left.documents == 70
    assert any(
        note.startswith("Shares of the sources' bytes, in order: 7") for note in report.notes
    )
    assert names("a:7,b.jsonl:3") == [d.name for d in corpus.documents]


def test_a_mixture_takes_from_the_source_that_lags_behind():
    def documents(letter, count, report):
        for i in range(count):
            report.find(1)
            report.keep(1)
            yield Document(f"{letter}{i}", letter)

    report = CleanReport()
    streams = [documents("a", 4, report), documents("b", 9, report)]
    assert "".join(d.text for d in mix(streams, [2, 1], report)) == "abaaba"
    assert report.dropped[LEFT_OUT].documents == 7
    assert (report.kept_documents, report.found_documents) == (6, 13)


def test_both_sides_of_the_split_have_all_sources(here):
    train, validation = split(load_corpus("a,b.jsonl"), 5)
    for side in (train, validation):
        assert {d.name.partition("/")[0] for d in side} == {"a", "b.jsonl"}


def test_names_with_commas_and_colons_are_names_first(here):
    put(here, "x:0.5,y.txt", TEXT)
    assert parse_sources("x:0.5,y.txt") == [Part("x:0.5,y.txt", None)]
    put(here, "z:1", TEXT)
    assert parse_sources("z:1,a") == [Part("z:1", None), Part("a", None)]
    assert parse_sources("a:2") == [Part("a", None)]  # all of it, then
    assert parse_sources("C:\\texts") == [Part("C:\\texts", None)]


@pytest.mark.parametrize(
    "source, sentence",
    [
        ("", "the source is empty; expected stdlib, "),
        (" ", "the source is empty"),
        ("a,,b.jsonl", "there is an empty name in 'a,,b.jsonl'"),
        ("a:much,b.jsonl:1", "the weight of 'a' is 'much', expected a number above 0"),
        ("a:0,b.jsonl:1", "the weight of 'a' is '0'"),
        ("a:-1,b.jsonl:1", "the weight of 'a' is '-1'"),
        ("a:nan,b.jsonl:1", "the weight of 'a' is 'nan'"),
        ("a:inf,b.jsonl:1", "the weight of 'a' is 'inf'"),
        ("a:0.5,b.jsonl", "the source 'b.jsonl' in 'a:0.5,b.jsonl' has no weight"),
        ("a:0.5,gone:0.5", "there is no file or folder 'gone'"),
        ("gone:much", "there is no file or folder 'gone:much'"),
        ("-,-", "can be read only once"),
        ("a/*.md", r"no file matches 'a/\*.md'; expected a pattern such as"),
    ],
)
def test_bad_sources(here, source, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        load_corpus(source)
    assert "\n" not in str(error.value)


def test_a_pattern(here):
    (here / "a" / "deep").mkdir()
    put(here / "a" / "deep", "x.text", TEXT)
    put(here / "a", "table.log", TEXT)  # a pattern names its files, whatever their extension
    assert names("a/0*.txt") == [f"{i:02}.txt" for i in range(10)]
    everywhere = names("a/**/*.t*t")
    assert len(everywhere) == 41 and "deep/x.text" in everywhere
    assert names("a/**/x*") == ["x.text"] and names("a/*.log") == ["table.log"]
    assert names("a/0[12].txt:1,b.jsonl:1")[0] == "0[12].txt/01.txt"


def test_paths_of_a_run_are_absolute(here):
    assert absolute_sources("a:0.7,b.jsonl:0.3") == f"{here}/a:0.7,{here}/b.jsonl:0.3"
    assert absolute_sources("stdlib,a/*.txt") == f"stdlib,{here}/a/*.txt"
    assert absolute_sources("-") == "-" and absolute_sources("gone") == "gone"
    relative, absolute = names("a,b.jsonl"), names(absolute_sources("a,b.jsonl"))
    assert relative == absolute


class Input:
    def __init__(self, data):
        self.buffer = io.BytesIO(data)


def test_standard_input(here, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Input(TEXT.encode()))
    source = open_source("-")
    for _ in range(2):  # it can be read again
        assert list(source.documents(CleanReport())) == [Document("standard input", TEXT)]
    monkeypatch.setattr(sys, "stdin", Input(TEXT.encode()))
    assert names("a:1,-:1")[1] == "-/standard input"
    monkeypatch.setattr(sys, "stdin", Input(b""))
    with pytest.raises(UserError, match="the corpus standard input is empty"):
        load_corpus("-")
    monkeypatch.setattr(sys, "stdin", Input(b"abc\0\0" * 100))
    with pytest.raises(UserError, match="standard input is binary"):
        load_corpus("-")
