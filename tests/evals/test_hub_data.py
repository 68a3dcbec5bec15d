"""Data that --data does not name: a small hub with the layouts of the real one, a package, none."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_hub import hub_settings, small_hub

from tinygrad_llm.cli import main
from tinygrad_llm.errors import UserError
from tinygrad_llm.evals import humaneval
from tinygrad_llm.evals.math_answers import SUBJECTS
from tinygrad_llm.evals.results import read_results
from tinygrad_llm.evals.tasks import TASKS

ROOT = Path(__file__).parents[2]
MMLU = {"question": "1 + 1?", "subject": "sums", "choices": ["1", "2", "3", "4"], "answer": 1}
ARC = {
    "id": "1", "question": "Which is a gas?", "answerKey": "2",
    "choices": {"text": ["iron", "helium"], "label": ["1", "2"]},
}  # fmt: skip
MATH = {"problem": "1 + 1?", "level": "Level 1", "type": "Algebra", "solution": r"\boxed{2}"}
ROWS = {  # the data set, and the file of its documents -> a row, as the hub has them
    "arc_easy": ("allenai/ai2_arc", "ARC-Easy/test", ARC),
    "arc_challenge": ("allenai/ai2_arc", "ARC-Challenge/test", ARC),
    "hellaswag": ("Rowan/hellaswag", "data/validation", {
        "ind": 4, "activity_label": "Sums", "ctx_a": "One.", "ctx_b": "", "ctx": "One.",
        "endings": ["a", "b", "c", "d"], "source_id": "s", "split": "val", "split_type": "t",
        "label": "3",
    }),
    "piqa": ("baber/piqa", "piqa_validation", {
        "goal": "Open.", "sol1": "Twist.", "sol2": "Paint.", "label": 0
    }),
    "winogrande": ("allenai/winogrande", "winogrande_xl/validation", {
        "sentence": "Ann thanked Eve as _ had helped.", "option1": "Ann", "option2": "Eve",
        "answer": "2",
    }),
    "gsm8k": ("openai/gsm8k", "main/test", {"question": "1 + 1?", "answer": "2\n#### 2"}),
    "gsm8k train": ("openai/gsm8k", "main/train", {"question": "1 + 2?", "answer": "#### 3"}),
    "mmlu": ("cais/mmlu", "all/test", MMLU),
    "mmlu train": ("cais/mmlu", "all/dev", MMLU),
    **{f"math {s}": ("EleutherAI/hendrycks_math", f"{s}/test", MATH) for s in SUBJECTS},
    "humaneval": ("openai/openai_humaneval", "openai_humaneval/test", {
        "task_id": "a", "prompt": "def one():\n", "canonical_solution": "    return 1\n",
        "test": "def check(f):\n    assert f() == 1\n", "entry_point": "one",
    }),
}  # fmt: skip


@pytest.fixture(scope="module")
def hub():
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    pa.parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow has no Parquet")
    repositories = {}
    for name, place, row in ROWS.values():
        file = io.BytesIO()
        pa.parquet.write_table(pa.Table.from_pylist([row] * 5), file)
        ending = ".parquet" if "piqa" in place else "-00000-of-00001.parquet"
        files = repositories.setdefault(f"datasets/{name}", {"README.md": b"#", "x/big.bin": b"0"})
        files[place + ending] = file.getvalue()
    with small_hub(repositories) as server:
        yield server


def evaluate(settings, home, *options):
    """The program in a process of its own: the library reads its settings when it is imported."""
    return subprocess.run(
        [sys.executable, "-m", "tinygrad_llm", "eval", "oracle", "--out", "out", *options],
        capture_output=True, text=True, cwd=home, timeout=280,
        env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
    )  # fmt: skip


def test_every_task_with_a_data_set_reads_the_hub_s_files(hub, tmp_path):
    settings, home = hub_settings(hub, tmp_path / "hf"), tmp_path / "work"
    home.mkdir()
    tasks = [name for name, task in TASKS.items() if task.hub and not task.needs_chat]
    options = ["--num-fewshot=0", "--allow-code-execution"]
    done = evaluate(settings, home, "--tasks", ",".join(tasks), *options)
    assert done.returncode == 0, done.stderr
    content = read_results(home / "out")
    for name in tasks:
        main_metric = TASKS[name].main + ("" if "," in TASKS[name].main else ",none")
        assert content["results"][name][main_metric] == 1
        assert content["n-samples"][name]["original"] == (35 if name == "math" else 5)
    asked = [path for path in hub.asked if "/resolve/" in path]
    assert not any("README" in path or "big" in path or "train" in path for path in asked)
    for name in tasks:
        data = TASKS[name].hub
        assert any(path.startswith(f"/datasets/{data.name}/resolve/{data.revision}/")
                   for path in asked), name  # fmt: skip
    # Examples are downloaded where they are asked for, and what is there is used without a hub.
    shots = ["--tasks", "gsm8k,mmlu", "--limit=2", "--out=shots"]
    assert evaluate(settings, home, *shots).returncode == 0
    (home / "shots" / "results.json").unlink()
    closed = settings | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    assert evaluate(closed, home, *shots).returncode == 0
    assert read_results(home / "shots")["n-samples"]["mmlu"]["effective"] == 2
    done = evaluate(closed, home, "--tasks=winogrande", "--num-fewshot=1", "--out=x")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "the file winogrande_xl/train of the data set allenai/winogrande is not" in done.stderr
    done = evaluate(closed | {"HF_HOME": str(tmp_path / "new")}, home, "--tasks=gsm8k", "--out=x")
    assert done.returncode == 2
    assert done.stderr == (
        "error: gsm8k without --data: the Hugging Face hub cannot be reached, and openai/gsm8k is "
        "not in its cache on this machine: check the network; or use --data with the folder of its "
        "files (DATA/gsm8k-{test,train}.jsonl)\n"
    )
    assert not (home / "x").exists()


def test_without_the_library(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert main(["eval", "oracle", "--tasks", "gsm8k"]) == 2
    assert capsys.readouterr().err == (
        "error: gsm8k without --data: openai/gsm8k is a data set on the Hugging Face hub, and the "
        "library that downloads from there is not installed: pip install huggingface_hub; or use "
        "--data with the folder of its files (DATA/gsm8k-{test,train}.jsonl)\n"
    )


@pytest.mark.parametrize("task", ["perplexity", "docstrings", "next_word"])
def test_a_task_without_a_data_set_needs_a_folder(task, capsys):
    assert main(["eval", "oracle", "--tasks", task]) == 2
    assert f"{task} needs --data with the folder of its files (" in capsys.readouterr().err


def test_humaneval_comes_from_its_package(monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "HumanEval.jsonl.gz").write_bytes(b"")

    class Spec:
        origin = str(tmp_path / "__init__.py")

    monkeypatch.setattr(humaneval, "find_spec", lambda name: Spec)
    assert TASKS["humaneval"].default_folder(("test",)) == tmp_path / "data"
    monkeypatch.setattr(humaneval, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="openai/openai_humaneval is a data set on the Hugging"):
        TASKS["humaneval"].default_folder(("test",))


def test_revisions_are_commits():
    for task in TASKS.values():
        if task.hub:
            assert len(bytes.fromhex(task.hub.revision)) == 20 and task.hub.name.count("/") == 1
