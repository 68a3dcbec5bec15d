"""The base of tasks: the example of its page is whole, and files are found by their names."""

import json
import textwrap
from dataclasses import dataclass

import pytest
from known_scores import check_known_scores

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals import task
from tinygrad_llm.evals.multiple_choice import MultipleChoice
from tinygrad_llm.evals.rows import data_files
from tinygrad_llm.evals.task import Document


def test_the_example_of_the_page_is_a_whole_task(tmp_path):
    example = task.__doc__.partition("    @dataclass")
    code = textwrap.dedent("    @dataclass" + example[2].partition("\n\nThe fields")[0])
    names = {"dataclass": dataclass, "MultipleChoice": MultipleChoice, "Document": Document}
    exec(code, names)
    rows = [
        {"question": f"{i}?", "choices": ["Rome", "Bonn", "Oslo", "Bern"], "gold": i * 7 % 4}
        for i in range(200)
    ]
    (tmp_path / "capitals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    check_known_scores(names["Capitals"](), tmp_path)


def test_the_first_name_that_a_file_has_counts(tmp_path):
    names = ("first", "a*.csv", "second")
    for name in ("second.json", "second.jsonl.gz", "ab.csv", "aa.csv", "first/x.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert [path.name for path in data_files(tmp_path, names)] == ["aa.csv", "ab.csv"]
    assert [path.name for path in data_files(tmp_path, names[2:])] == ["second.jsonl.gz"]
    (tmp_path / "first-00000-of-00002.parquet").write_text("")
    assert data_files(tmp_path, names) == [tmp_path / "first-00000-of-00002.parquet"]


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"has no a.jsonl or b\*.csv: --data must name the folder"):
        data_files(tmp_path, ("a", "b*.csv", "c"))
