"""``tinygrad-llm eval``: results, a card, going on after a kill, comparing, and mistakes."""

import json
import re
import shutil
from dataclasses import replace
from hashlib import sha256

import pytest
from known_scores import NO_LIMITS
from small_mmlu import write_mmlu
from small_model_folder import write_small_model

from tinygrad_llm.cli import main
from tinygrad_llm.evals.humaneval import pass_at_k
from tinygrad_llm.evals.results import read_results, scores, table
from tinygrad_llm.evals.runner import read_samples
from tinygrad_llm.evals.tasks import TASKS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_mmlu(tmp_path_factory.mktemp("data"), n_test=10)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_small_model(tmp_path_factory.mktemp("model") / "small")


def evaluate(name, data, out, *options):
    return main(["eval", str(name), "--tasks", "mmlu_completion", "--data", str(data),
                 "--out", str(out), *map(str, options)])  # fmt: skip


def fails(capsys, *arguments):
    """The sentence with which the program ends."""
    assert main(["eval", *map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def test_the_list_names_every_task(capsys):
    assert main(["eval", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(TASKS)


def test_results_have_the_fields_of_the_harness(data, tmp_path, capsys):
    assert evaluate("oracle", data, tmp_path / "out", "--limit", 4, "--num-fewshot", 2) == 0
    content = read_results(tmp_path / "out")
    whole = content["results"]["mmlu_completion"]
    assert whole["acc,none"] == whole["acc_norm,none"] == whole["acc_macro,none"] == 1
    assert whole["acc_stderr,none"] == 0 and whole["alias"] == "mmlu_completion"
    low, high = whole["acc_band,none"]
    assert 0.6 < low < 0.7 and high == 1
    parts = ["mmlu_completion_differences", "mmlu_completion_small_sums"]
    assert content["group_subtasks"] == {"mmlu_completion": parts}
    assert content["groups"] == {"mmlu_completion": whole}
    assert set(content["results"]) == {"mmlu_completion", *parts}
    assert content["n-samples"]["mmlu_completion"] == {"original": 20, "effective": 8}
    assert content["n-samples"][parts[0]] == {"original": 10, "effective": 4}
    assert content["n-shot"][parts[1]] == 2 and content["versions"][parts[1]] == 1
    assert content["higher_is_better"]["mmlu_completion"] == {
        "acc": True, "acc_norm": True, "acc_norm_token": True
    }  # fmt: skip
    assert content["config"]["model"] == "oracle" and content["config"]["limit"] == 4
    assert content["configs"]["mmlu_completion"]["num_fewshot"] == 2
    written = (tmp_path / "out" / "results.md").read_text()
    assert written == table(content) + "\n" and written.rstrip() in capsys.readouterr().out
    assert (tmp_path / "out" / "card.png").read_bytes().startswith(b"\x89PNG")
    assert len(read_samples(tmp_path / "out" / "samples_mmlu_completion.jsonl")) == 8


def test_a_model_goes_on_after_a_kill_and_ends_the_same(data, model, tmp_path):
    arguments = (model, data, tmp_path / "out", "--batch-size", 3)
    assert evaluate(*arguments) == 0
    samples = tmp_path / "out" / "samples_mmlu_completion.jsonl"
    before, results = samples.read_bytes(), read_results(tmp_path / "out")
    lines = before.splitlines(keepends=True)
    samples.write_bytes(b"".join([*lines[5:9], lines[2], lines[0][:40]]))  # a kill
    assert evaluate(*arguments) == 0
    again = read_results(tmp_path / "out")
    assert samples.read_bytes() == before
    for name in ("date", "total_evaluation_time_seconds"):
        results.pop(name), again.pop(name)
    assert again == results
    assert len(results["config"]["model_sha256"]) == 64


def test_a_folder_of_other_options_is_refused(data, tmp_path, capsys):
    assert evaluate("first", data, tmp_path / "out", "--limit", 4) == 0
    before = read_results(tmp_path / "out")
    arguments = ("first", "-t", "mmlu_completion", "--data", data, "--out", tmp_path / "out")
    assert "holds an evaluation with another limit: 4 and not 3" in fails(
        capsys, *arguments, "--limit", 3
    )
    assert read_results(tmp_path / "out") == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("important")
    arguments = (*arguments[:-1], tmp_path / "other")
    assert "other exists and holds no evaluation; choose another --out" in fails(capsys, *arguments)


def test_without_a_folder_evaluations_are_numbered(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["eval", "first", "--tasks", "mmlu_completion", "--data", str(data), "--limit"]
    for limit in ("2", "3", "2"):
        assert main([*arguments, limit]) == 0
    assert sorted(path.name for path in (tmp_path / "evals").iterdir()) == ["first", "first-2"]


def test_two_results_are_compared_document_by_document(data, tmp_path, capsys):
    for name in ("oracle", "first", "random"):
        assert evaluate(name, data, tmp_path / name) == 0
    share = read_results(tmp_path / "first")["results"]["mmlu_completion"]["acc,none"]
    capsys.readouterr()
    assert main(["eval", "compare", str(tmp_path / "first"), str(tmp_path / "oracle")]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    wrong = round(20 * (1 - share))
    assert f"first {share:.4f}, oracle 1.0000; difference {1 - share:+.4f}" in line
    assert f"only first right 0, only oracle {wrong}, McNemar p = {2 / 2**wrong:.3g}" in line
    assert line.endswith("this is not chance")
    assert main(["eval", "compare", str(tmp_path / "first"), str(tmp_path / "first")]) == 0
    assert "McNemar p = 1: this can be chance" in capsys.readouterr().out


def test_other_protocols_and_other_data_are_not_compared(data, tmp_path, capsys):
    assert evaluate("first", data, tmp_path / "a") == 0
    assert evaluate("first", data, tmp_path / "b", "--num-fewshot", 1) == 0
    capsys.readouterr()
    assert "has another protocol in " in (
        error := fails(capsys, "compare", tmp_path / "a", tmp_path / "b")
    )
    assert "num_fewshot is 1 and 0; evaluate both in the same way" in error
    assert evaluate("first", data, tmp_path / "c", "--control", "no-question") == 0
    capsys.readouterr()
    assert "control is 'no-question' and None" in fails(
        capsys, "compare", tmp_path / "a", tmp_path / "c"
    )
    other = write_mmlu(tmp_path / "other", n_test=3)
    path = other / "mmlu" / "test" / "differences_test.csv"
    path.write_text("A new question?,1,2,3,4,A\n")
    assert evaluate("first", other, tmp_path / "d") == 0
    capsys.readouterr()
    assert "the file mmlu/test/differences_test.csv of " in fails(
        capsys, "compare", tmp_path / "a", tmp_path / "d"
    )
    for name in "ad":  # as older versions wrote them
        path = tmp_path / name / "results.json"
        content = json.loads(path.read_text())
        del content["configs"]["mmlu_completion"]["data_sha256"]
        path.write_text(json.dumps(content))
    assert "document 0 of mmlu_completion is another in " in fails(
        capsys, "compare", tmp_path / "a", tmp_path / "d"
    )


@pytest.mark.parametrize("old, new, sentence", [
    (b'"acc": ', b'"bcc": ', "line 1 of .*: acc is missing, expected a number"),
    (b'"acc": 1.0', b'"acc": "a"', 'line 1 of .*: acc is "a", expected a number'),
    (b'["acc", "acc_norm", ', b'["acc", ', "document 0 of .* has the metrics acc, acc_norm_t"),
])  # fmt: skip
def test_damaged_samples_are_sentences(data, tmp_path, capsys, old, new, sentence):
    for name in "ab":
        assert evaluate("oracle", data, tmp_path / name, "--limit", 1) == 0
    path = tmp_path / "b" / "samples_mmlu_completion.jsonl"
    path.write_bytes(path.read_bytes().replace(old, new))
    capsys.readouterr()
    assert re.search(sentence, fails(capsys, "compare", tmp_path / "a", tmp_path / "b"))


def test_the_data_is_known_by_its_sha256(tmp_path, capsys):
    """Of every file that was read, and of no other; a file may have another name."""
    a = write_mmlu(tmp_path / "a", n_test=3) / "mmlu"
    shutil.copytree(a, tmp_path / "b")
    (tmp_path / "b" / "dev" / "small_sums_dev.csv").write_text("1?,1,2,3,4,A\n" * 5)
    for name, n_shots in (("a", 0), ("b", 0), ("a", 1), ("b", 1)):
        out = tmp_path / f"{name}{n_shots}"
        assert evaluate("first", tmp_path / name, out, "--num-fewshot", n_shots) == 0
    sums = read_results(tmp_path / "a0")["configs"]["mmlu_completion"]["data_sha256"]
    assert sums == {
        f"mmlu/test/{name}_test.csv": sha256((a / "test" / f"{name}_test.csv").read_bytes())
        .hexdigest()
        for name in ("differences", "small_sums")
    }  # fmt: skip
    assert main(["eval", "compare", str(tmp_path / "a0"), str(tmp_path / "b0")]) == 0
    capsys.readouterr()
    sentence = fails(capsys, "compare", tmp_path / "a1", tmp_path / "b1")
    assert f"the file mmlu/dev/small_sums_dev.csv of {tmp_path / 'a1'} is not among" in sentence


@pytest.mark.parametrize("arguments, sentence", [
    (["oracle", "--data", "."], "--tasks is missing"),
    (["oracle", "-t", "perplexity"], "perplexity needs --data with the folder of its files"),
    ([], "eval takes one MODEL, or --list, or the word compare"),
    (["compare", "a"], "eval compare takes two folders of results, not 1"),
    (["compare", "nothing", "here"], "cannot read nothing/results.json"),
    (["oracle", "-t", "mmul", "--data", "."], "there is no task 'mmul'; the nearest are mmlu"),
    (["oracle", "-t", "mmlu", "--data", "nowhere"], "there is no folder nowhere"),
    (["oracle", "-t", "piqa", "--data", ".", "--apply-chat-template"], "piqa has no form for cha"),
    (["oracle", "-t", "mmlu", "--data", ".", "--limit", "0"], "limit is 0"),
    (["oracle", "-t", "piqa,piqa", "--data", "."], "piqa is named twice in --tasks piqa,piqa"),
])  # fmt: skip
def test_mistakes_are_sentences(tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in fails(capsys, *arguments)


def test_a_context_too_small_and_no_template_are_sentences(data, model, tmp_path, capsys):
    arguments = (model, "--data", data, "--out", tmp_path / "out", "-t")
    assert "the model reads at most 64" in fails(capsys, *arguments, "mmlu")
    assert "has no chat template" in fails(capsys, *arguments, "mmlu", "--apply-chat-template")
    assert not (tmp_path / "out").exists()


def test_the_names_of_metrics_are_not_those_of_errors_or_bands(data, tmp_path):
    assert evaluate("random", data, tmp_path / "out") == 0
    header, _, *lines = (tmp_path / "out" / "results.md").read_text().splitlines()
    metrics = [line.split("|")[4].strip() for line in lines if line.startswith("| mmlu")]
    assert metrics == [
        name for m in ("acc", "acc_norm", "acc_norm_token") for name in (m, f"{m}, macro average")
    ]
    assert json.loads((tmp_path / "out" / "results.json").read_text())["config"]["seed"] == 0
    assert NO_LIMITS.name not in header


def test_programs_run_only_where_that_is_allowed(tmp_path, capsys):
    problem = {
        "task_id": "Test/0", "prompt": "def one():\n", "entry_point": "one",
        "canonical_solution": "    return 1\n",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
    }  # fmt: skip
    (tmp_path / "HumanEval.jsonl").write_text(json.dumps(problem) + "\n")
    asked = ["oracle", "--tasks", "humaneval", "--data", tmp_path, "--out", tmp_path / "out"]
    assert "allow it with --allow-code-execution" in fails(capsys, *asked)
    assert "are all the same" in fails(capsys, *asked, "--allow-code-execution", "--num-samples", 2)
    assert main(["eval", *map(str, asked), "--allow-code-execution"]) == 0
    out = capsys.readouterr().out
    assert "programs run with these protections:\nnamespaces " in out
    assert read_results(tmp_path / "out")["results"]["humaneval"]["pass@1,none"] == 1


def test_pass_at_k_of_several_samples_has_a_band():
    task = replace(TASKS["humaneval"], num_samples=15, allow_code_execution=True)
    samples = [
        {"metrics": ["pass@1", "pass@10"], "pass@1": c / 15, "pass@10": pass_at_k(15, c, 10)}
        for c in (0, 1, 15, 4)
    ]
    found = scores(task, samples)
    for name in ("pass@1", "pass@10"):
        low, high = found[f"{name}_band,none"]
        assert 0 < low < found[f"{name},none"] < high < 1
    assert "nats_band,none" not in scores(TASKS["next_word"], [{"metrics": ["nats"], "nats": 0.5}])
