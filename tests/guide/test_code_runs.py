"""Each file of the guide's code runs alone, in the order of the chapters, in one folder."""

import re
import shutil
import subprocess
import sys

import pytest
from guide_code import CODE, FILES
from reader import run

# what each prints, and its options; train.py and those after it use what those before have written
RUNS = {
    "engine": ([], r"loss = 14\.0, dloss/dx = \[2\. 4\. 6\.\]"),
    "check": ([], r"(?s)add +relative error \de-\d\d.*\nwhere +relative error \de-\d\d"),
    "stories": ([], r"(?s)One .*went to the .*\('Who had the "),
    "tokenizer": ([], r"400 tokens; \['One"),
    "data": ([], r"(?s)3798 texts to learn from, 200 held out.*\d+ ids; a batch x:"),
    "attention": ([], r"\[\[1\. +0\. +0\. +0\. +0\. +\]"),
    "model": ([], r"loss before training \d\.\d{3}, log V 5\.991"),
    "train": (["--steps", "30"], r"(?s)step    0  loss 6\.\d+.*perplexity on texts held out \d+\."),
    "generate": (["One", "morning"], r"\[temperature 0\] One morning"),
    "pretrained": ([], r"wte\.weight +\(427, 64\) +0\.\d"),
    "evaluate": ([], r"perplexity on new stories \d.*\nright about the end \d+ of 100"),
    "sft": ([], r"step    0  loss \d"),
    "dpo": ([], r"step    0  loss 0\.693"),
}


def test_every_file_is_run():
    assert sorted(RUNS) == [path.stem for path in FILES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The code alone, with nothing of the project beside it. Few steps, so that it is quick."""
    found = tmp_path_factory.mktemp("code")
    for path in FILES:
        text = path.read_text()
        if path.stem == "sft":
            text = text.replace(
                "fine_tune(model, tokenizer, rows, 250,", "fine_tune(model, tokenizer, rows, 20,"
            )
        if path.stem == "dpo":
            text = text.replace("story_rows(200, 8), 60,", "story_rows(40, 8), 12,")
        assert (text == path.read_text()) == (path.stem not in ("sft", "dpo"))
        (found / path.name).write_text(text)
    return found


def test_each_file_runs_alone(folder):
    for name, (options, said) in RUNS.items():
        printed = run(f"{name}.py", *options, cwd=folder, PYTHONPATH="")
        assert re.search(said, printed), f"{name}: {printed}"
        assert max(map(len, printed.splitlines())) < 1000
    assert {p.name for p in folder.glob("*.safetensors")} == {
        "story.safetensors", "answers.safetensors"
    }  # fmt: skip
    assert not list(folder.glob("*.partial"))


@pytest.mark.parametrize("name, told", [
    ("generate", "there is no story.safetensors; run train.py, then sft.py for the answers"),
    ("evaluate", "there is no story.safetensors; run train.py, then sft.py for the answers"),
    ("sft", "there is no story.safetensors; run train.py, then sft.py for the answers"),
    ("dpo", "there is no answers.safetensors; run "),
])  # fmt: skip
def test_a_file_that_needs_another_first_says_so(tmp_path, name, told):
    shutil.copytree(CODE, tmp_path / "code", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, f"{name}.py"], cwd=tmp_path / "code", capture_output=True, text=True
    )
    assert done.returncode != 0 and done.stderr.startswith(told), done.stderr
    assert "Traceback" not in done.stderr


def test_texts_of_ones_own(tmp_path):
    """Two long texts are enough; one is held out whole, so nothing is left to learn from."""
    (tmp_path / "texts").mkdir()
    for name in "ab":
        text = " ".join(f"{name} line {i} of a long text." for i in range(60))
        (tmp_path / "texts" / f"{name}.txt").write_text(text)
    (tmp_path / "texts" / "gone.txt").symlink_to(tmp_path / "nowhere")
    printed = run(CODE / "train.py", "texts", "--steps", "2", cwd=tmp_path, PYTHONPATH="")
    assert re.search(r"step    1  loss \d.*perplexity on texts held out \d", printed, re.DOTALL)

    (tmp_path / "texts" / "b.txt").unlink()
    done = subprocess.run(
        [sys.executable, CODE / "train.py", "texts"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert done.stderr == "texts: too little text to learn and to hold out\n"


@pytest.mark.parametrize("kept", [4, 60, -8])
def test_a_weight_file_that_was_cut_off(folder, tmp_path, kept):
    whole = (folder / "story.safetensors").read_bytes()
    (tmp_path / "story.safetensors").write_bytes(whole[:kept])
    done = subprocess.run(
        [sys.executable, CODE / "generate.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0 and done.stderr.startswith("story.safetensors"), done.stderr
    assert "Traceback" not in done.stderr
