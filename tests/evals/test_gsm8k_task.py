"""GSM8K as a task: prompts to the letter, four ways to read an answer, models of known score."""

import json
import os
import re
from pathlib import Path

import pytest
from known_scores import NO_LIMITS, score_of

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.gsm8k import METHODS, extract_answer, lm_eval_answer, lm_eval_equal
from tinygrad_llm.evals.known import KnownModel
from tinygrad_llm.evals.requests import Chat, Generation, Message, Text
from tinygrad_llm.evals.runner import Settings, metrics_of, prepare, run_items
from tinygrad_llm.evals.tasks import TASKS

DATA = os.environ.get("TINYGRAD_LLM_TEST_DATA")
NAMES = ("gsm8k", "gsm8k_chat")
ALL = ("strict", "flexible", "strict-match", "flexible-extract")


def row(a, b):
    return {
        "question": f"What is {a} plus {b}?",
        "answer": f"{a} plus {b} is {a}+{b}=<<{a}+{b}={a + b}>>{a + b}.\n#### {a + b:,}",
    }


def write(folder, test="gsm8k-test.jsonl", train="gsm8k-train.jsonl", n=20):
    for name, rows in (
        (test, [row(a, 3 * a + 400) for a in range(n)]), (train, [row(1, b) for b in range(6)])
    ):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


def test_the_prompt_of_a_base_model(tmp_path):
    (item, *_) = prepare(TASKS["gsm8k"], write(tmp_path), Settings(n_shots=2), NO_LIMITS)
    context = (
        "Question: What is 1 plus 0?\nAnswer: 1 plus 0 is 1+0=1.\n#### 1\n\n"
        "Question: What is 1 plus 1?\nAnswer: 1 plus 1 is 1+1=2.\n#### 2\n\n"
        "Question: What is 0 plus 400?\nAnswer:"
    )
    assert item.requests == [Generation(context, ("Question:", "\n\n"), 256)]


def test_five_examples_unless_asked_for_otherwise(tmp_path):
    (item, *_) = prepare(TASKS["gsm8k"], write(tmp_path), Settings(), NO_LIMITS)
    asked = re.findall(r"1 plus (\d)\?", item.requests[0].context)
    assert asked == ["0", "1", "2", "3", "4"]


def test_a_chat(tmp_path):
    (item, *_) = prepare(TASKS["gsm8k_chat"], write(tmp_path), Settings(n_shots=1), NO_LIMITS)
    turns = (
        Message("user", "What is 1 plus 0?"), Message("assistant", "1 plus 0 is 1+0=1.\n#### 1"),
        Message("user", "What is 0 plus 400?"),
    )  # fmt: skip
    assert item.requests == [Generation(Chat(turns), (), 512)]
    (plain, *_) = prepare(TASKS["gsm8k_chat"], tmp_path, Settings(), NO_LIMITS)
    assert plain.requests[0].context == Chat(turns[2:])


@pytest.mark.parametrize("test, train", [
    ("gsm8k-test.jsonl", "gsm8k-train-1000.jsonl"), ("test.jsonl", "train.jsonl"),
    ("gsm8k/test.jsonl", "gsm8k/train.jsonl"),
    ("gsm8k/gsm8k-test.jsonl", "gsm8k/gsm8k-train.jsonl"),
])  # fmt: skip
def test_layouts_of_the_data(tmp_path, test, train):
    items = prepare(TASKS["gsm8k"], write(tmp_path, test, train, n=3), Settings(), NO_LIMITS)
    assert [item.document.target for item in items] == ["400", "404", "408"]


def test_a_row_of_another_layout_is_a_sentence(tmp_path):
    write(tmp_path)
    with open(tmp_path / "gsm8k-test.jsonl", "a") as file:
        file.write('{"question": "What?", "answer": 5}\n')
    with pytest.raises(UserError, match="line 21 of .*gsm8k-test.jsonl: answer is 5, expected"):
        prepare(TASKS["gsm8k"], tmp_path, Settings(), NO_LIMITS)
    with pytest.raises(UserError, match=r"has no gsm8k-test.jsonl or gsm8k/test.jsonl"):
        prepare(TASKS["gsm8k"], tmp_path / "gsm8k-test", Settings(), NO_LIMITS)


# --- four ways to read an answer --------------------------------------------------------------

READINGS = [  # an answer to a question whose answer is 10, and the readings that call it right
    (" She has 5+5=10.\n#### 10", {"strict", "flexible", "strict-match", "flexible-extract"}),
    (" #### 10.", {"strict", "flexible", "strict-match", "flexible-extract"}),
    (" #### $10", {"strict", "flexible", "flexible-extract"}),
    (" #### 10.0", {"strict", "flexible"}),
    (" ####10", {"strict", "flexible", "flexible-extract"}),
    (" The answer is 10.", {"flexible", "flexible-extract"}),
    (" The answer is $10.00.", {"flexible"}),
    (" It is 20/2", {"flexible"}),
    (" It is 10 ...", {"flexible"}),
    (" #### 10\nNow 7 of them.", {"strict", "flexible", "strict-match"}),
    (" #### \u2212\uff11\uff10", set()),
    (" #### \uff11\uff10", {"strict", "flexible"}),
    (" #### 9 and then #### 10", {"flexible-extract"}),
    (" ten", set()),
    ("", set()),
]


@pytest.mark.parametrize("answer, right", READINGS)
def test_which_readings_call_an_answer_right(tmp_path, answer, right):
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": "5 + 5?", "answer": "#### 10"}))
    task = TASKS["gsm8k"]
    (item,) = prepare(task, tmp_path, Settings(n_shots=0), NO_LIMITS)
    (sample,) = run_items(task, KnownModel("one", [Text(answer)]), [item])
    assert sample["metrics"] == [f"exact_match,{name}" for name in ALL]
    assert {name for name in ALL if sample[f"exact_match,{name}"]} == right
    assert sample["filtered_resps"]["flexible"] == extract_answer(answer, "flexible")


def test_no_number_is_wrong_even_where_the_gold_has_none(tmp_path):
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": "5 + 5?", "answer": "ten"}))
    task = TASKS["gsm8k"]
    items = prepare(task, tmp_path, Settings(n_shots=0), NO_LIMITS)
    (sample,) = run_items(task, KnownModel("one", [Text("none")]), items)
    assert not any(metrics_of(sample).values())


def test_what_lm_eval_takes_for_a_number():
    assert lm_eval_answer("a 10 ...", "flexible-extract") == "..."
    assert lm_eval_answer("#### 1,000. #### 7", "strict-match") == "1,000."
    assert lm_eval_equal("1,000.", "work\n#### 1000") and not lm_eval_equal(None, "")


# --- models of known score --------------------------------------------------------------------


def check_known_scores(task, folder, **settings):
    for name in ALL:
        metric = f"exact_match,{name}"
        assert score_of("oracle", task, folder, metric, **settings)[0] == 1, name
        assert score_of("first", task, folder, metric, **settings)[0] == 0, name
    score, items = score_of("random", task, folder, **settings)
    # a number from 0 to 999 is drawn: each document's is right once in a thousand times
    possible = sum(item.document.target in map(str, range(1000)) for item in items)
    assert abs(score * len(items) - possible / 1000) <= 4 * (possible / 1000) ** 0.5


@pytest.mark.parametrize("name", NAMES)
def test_models_of_known_score(tmp_path, name):
    check_known_scores(TASKS[name], write(tmp_path, n=900))


@pytest.mark.skipif(not DATA, reason="TINYGRAD_LLM_TEST_DATA is not set")
@pytest.mark.parametrize("name", NAMES)
def test_models_of_known_score_on_the_real_questions(name):
    check_known_scores(TASKS[name], Path(DATA))


@pytest.mark.skipif(not DATA, reason="TINYGRAD_LLM_TEST_DATA is not set")
def test_both_methods_read_the_same_in_all_real_solutions():
    for document in TASKS["gsm8k"].documents(Path(DATA)):
        answer = document.fields["answer"]
        number = answer.rpartition("#### ")[2].replace(",", "")
        assert [extract_answer(answer, method) for method in METHODS] == [number] * 2


class Adder(KnownModel):
    """Adds the two numbers of the last question that it is asked, if there are any."""

    def __init__(self):
        super().__init__("adder", [])

    def answers(self, requests, done=()):
        for i, request in enumerate(requests):
            question = self.shown([request.context])[0].rpartition("What")[2]
            numbers = re.findall(r"(\d+) plus (\d+)\?\s*(?:Answer:)?\s*$", question)
            yield {i: Text(f" #### {sum(map(int, numbers[0]))}" if numbers else " #### -1")}


@pytest.mark.parametrize("name", NAMES)
def test_without_the_question_a_model_that_can_add_cannot_answer(tmp_path, name):
    task, folder = TASKS[name], write(tmp_path)
    for control, expected in ((None, 1), ("no-question", 0)):
        items = prepare(task, folder, Settings(control=control), NO_LIMITS)
        samples = run_items(task, Adder(), items)
        total = task.total([metrics_of(sample) for sample in samples])
        assert total["exact_match,flexible"] == expected
