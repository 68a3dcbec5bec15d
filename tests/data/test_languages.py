"""Text in other languages: kept, unless an option asks for ASCII."""

import json

import pytest
from caches import new_cache

from tinygrad_llm import cli

RUSSIAN = "Съешь же ещё этих мягких французских булок.\n"
SMALL = (
    "--preset tiny "
    "--n-layer 1 --n-head 1 --n-embd 8 --block-size 8 --batch-size 2 --vocab-size 280 --steps 2 "
    "--eval-batches 1 --sample-tokens 0"
).split()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", new_cache(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ru.txt").write_text(RUSSIAN * 100, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--data", "ru.txt", *SMALL],
        ["tokenizer", "train", "ru.txt", "--vocab-size", "280"],
        ["data", "prepare", "ru.txt", "--vocab-size", "280"],
    ],
)
def test_any_script_is_kept_unless_told_otherwise(here, capsys, command):
    assert cli.main([*command, "--min-ascii-share", "0.9"]) == 2
    message = capsys.readouterr().err
    assert "less than 90 % ASCII (ru.txt)" in message and "--min-ascii-share 0" in message
    assert cli.main(command) == 0
    assert "kept 1 document" in capsys.readouterr().out


def test_a_resumed_run_keeps_the_options_of_cleaning(here, capsys):
    words = ["train", "--data", "ru.txt", *SMALL, "--out", "run", "--min-ascii-share", "0.1"]
    assert cli.main(words) == 0
    file = here / "run" / "run.json"
    content = json.loads(file.read_text())
    assert content["options"]["min_ascii_share"] == 0.1
    content["options"]["steps"] = 3
    del content["options"]["near_duplicates"]  # as in a run of an earlier version
    file.write_text(json.dumps(content))
    capsys.readouterr()
    assert cli.main(["train", "--resume", "run", "--no-verify"]) == 0
    out = capsys.readouterr().out
    assert "kept 1 document" in out and "after step 2" in out
    assert cli.main(["train", "--data", "ru.txt", "--min-ascii-share", "90"]) == 2
    assert "min_ascii_share is 90.0, expected a share between 0 and 1" in capsys.readouterr().err
