"""The base of tasks: the example of its page is whole, and files are found by their names."""

import json
import math
import textwrap
from dataclasses import dataclass
from datetime import date

import pytest
from known_scores import NO_LIMITS, check_known_scores

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals import task
from tinygrad_llm.evals.known import known_model
from tinygrad_llm.evals.multiple_choice import MultipleChoice
from tinygrad_llm.evals.rows import as_json, data_files, missing
from tinygrad_llm.evals.runner import Settings, prepare, read_samples, run_items
from tinygrad_llm.evals.task import Document
from tinygrad_llm.evals.tasks import TASKS


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


def test_values_that_json_cannot_hold_are_text():
    values = {"a": [1, 2.5, None, True, "x"], "when": date(2020, 1, 2), 3: b"\xff", "n": [math.nan]}
    found = as_json(values)
    assert found == {"a": values["a"], "when": "2020-01-02", "3": "b'\\xff'", "n": ["nan"]}
    json.dumps(found, allow_nan=False)


def test_a_date_in_a_row_does_not_stop_a_run(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    pa.parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow has no Parquet")
    row = {"goal": "Open.", "sol1": "a", "sol2": "b", "label": 0, "when": date(2020, 1, 2)}
    pa.parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "valid.parquet")
    items = prepare(TASKS["piqa"], tmp_path, Settings(), NO_LIMITS)
    model, path = known_model("oracle", TASKS["piqa"], items), tmp_path / "samples.jsonl"
    run_items(TASKS["piqa"], model, items, path)
    assert read_samples(path)[0]["doc"]["when"] == "2020-01-02"


def test_a_missing_file_is_a_sentence(tmp_path):
    assert data_files(tmp_path, ("a", "b*.csv", "c")) == []
    sentence = str(missing(tmp_path, ("a", "b*.csv", "c")))
    assert "has no a.jsonl or b*.csv: --data must name the folder" in sentence
    with pytest.raises(UserError, match="has no piqa/valid.jsonl or piqa/validation.jsonl: --data"):
        TASKS["piqa"].documents(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is not a folder: --data must name"):
        TASKS["piqa"].documents(tmp_path / "file")
