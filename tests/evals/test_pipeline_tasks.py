"""The tasks of the pipeline: docstrings, signatures and next words of held-out code."""

import json

import pytest
from known_scores import NO_LIMITS, check_known_scores

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.requests import Loglikelihood, Score
from tinygrad_llm.evals.runner import Settings, prepare
from tinygrad_llm.evals.tasks import TASKS

FUNCTIONS = [(f"def {name}(x)", f"{name.capitalize()} it.") for name in "go run eat see".split()]


def write(folder):
    """200 questions of each kind."""
    rows = {"docstrings": [], "signatures": [], "next_word": []}
    for i in range(200):
        gold = i * 7 % 4
        signature, docstring = FUNCTIONS[gold]
        both = {"gold": gold, "module": "m.py"}
        choices = [d for _, d in FUNCTIONS]
        rows["docstrings"].append({"signature": signature, "choices": choices, **both})
        choices = [s for s, _ in FUNCTIONS]
        rows["signatures"].append({"docstring": docstring, "choices": choices, **both})
        rows["next_word"].append({"context": f"x = {i} if", "target": " else", "module": "m.py"})
    for name, lines in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    return folder


@pytest.mark.parametrize("task", ["docstrings", "docstrings_chat", "signatures_chat"])
def test_models_of_known_score_get_it(task, tmp_path):
    check_known_scores(TASKS[task], write(tmp_path))


def first(task, folder):
    return prepare(TASKS[task], folder, Settings(limit=1), NO_LIMITS)[0]


def test_a_docstring_continues_its_function(tmp_path):
    requests = first("docstrings", write(tmp_path)).requests
    assert requests[1] == Loglikelihood('def go(x):\n    """', "Run it.") and len(requests) == 4


def test_in_a_chat_it_is_asked_for_in_the_words_of_the_training(tmp_path):
    write(tmp_path)
    (message,) = first("docstrings_chat", tmp_path).requests[0].context.messages
    assert message == ("user", "Write the docstring of this function:\ndef go(x)")
    requests = first("signatures_chat", tmp_path).requests
    (message,) = requests[0].context.messages
    assert message == ("user", "Write the signature of a function with this docstring:\nGo it.")
    assert [r.continuation for r in requests] == [s for s, _ in FUNCTIONS]


def test_a_next_word_is_right_if_all_its_tokens_are_the_most_likely(tmp_path):
    item = first("next_word", write(tmp_path))
    task = TASKS["next_word"]
    assert item.requests == [Loglikelihood("x = 0 if", " else")]
    for greedy in (True, False):
        verdict = task.verdict(item.document, [Score(-2.5, 2, greedy)])
        assert verdict.metrics == {"acc": float(greedy), "nats": 2.5}
    assert task.verdict(item.document, task.right_answers(item.document, 1)).metrics["acc"] == 1


def test_a_wrong_answer_key_is_named_with_its_line(tmp_path):
    write(tmp_path)
    row = {"signature": "def f()", "choices": ["a", "b"], "gold": 2}
    (tmp_path / "docstrings.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(
        UserError, match=r"docstrings.jsonl.* the answer is 2, expected one of 0, 1"
    ):
        first("docstrings", tmp_path)
