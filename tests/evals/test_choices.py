"""ARC, HellaSwag, PIQA and WinoGrande: prompts, layouts of the data, and models of known score."""

import json
import random

import pytest
from known_scores import NO_LIMITS, check_known_scores

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.requests import Loglikelihood
from tinygrad_llm.evals.runner import Settings, prepare
from tinygrad_llm.evals.tasks import TASKS

ARC = {
    "id": "Mercury_1",
    "question": {
        "stem": "Which is a gas?",
        "choices": [
            {"text": "iron", "label": "A"}, {"text": "helium", "label": "B"},
            {"text": "salt", "label": "C"},
        ],
    },
    "answerKey": "B",
}  # fmt: skip
ARC_HUB = {
    "id": "Mercury_1",
    "question": "Which is a gas?",
    "choices": {"text": ["iron", "helium", "salt"], "label": ["1", "2", "3"]},
    "answerKey": "2",
}
HELLASWAG = {
    "ind": 14, "activity_label": "Wakeboarding", "ctx_a": "A man is pulled [title] on a board.",
    "ctx_b": "he", "ctx": "unused", "endings": ["falls [substeps] in.", " sings.", "eats.", "x"],
    "label": 1,
}  # fmt: skip
PIQA = {"goal": "Open a jar.", "sol1": "Twist the lid.", "sol2": "Paint the lid."}
WINOGRANDE = {
    "qID": "1", "sentence": "Ann thanked Eve because _ had helped . ", "option1": "Ann",
    "option2": "Eve", "answer": "2",
}  # fmt: skip


def write(folder, name, rows):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def one_item(task, folder, **settings):
    (item,) = prepare(TASKS[task], folder, Settings(**settings), NO_LIMITS)
    return item


@pytest.mark.parametrize("task, file, row", [
    ("arc_easy", "ARC-Easy/ARC-Easy-Test.jsonl", ARC),
    ("arc_challenge", "ARC-Challenge/ARC-Challenge-Test.jsonl", ARC),
    ("arc_challenge", "ARC-Challenge/test.jsonl", ARC_HUB),
])  # fmt: skip
def test_arc(tmp_path, task, file, row):
    item = one_item(task, write(tmp_path, file, [row]))
    context = "Question: Which is a gas?\nAnswer:"
    assert item.requests == [
        Loglikelihood(context, f" {choice}") for choice in ("iron", "helium", "salt")
    ]
    assert item.document.gold == 1


def test_arc_after_an_example(tmp_path):
    write(tmp_path, "ARC-Easy/ARC-Easy-Test.jsonl", [ARC])
    other = {**ARC_HUB, "question": "Which is a metal?", "answerKey": "1"}
    write(tmp_path, "ARC-Easy/ARC-Easy-Train.jsonl", [other, ARC])
    assert one_item("arc_easy", tmp_path, n_shots=1).requests[0].context == (
        "Question: Which is a metal?\nAnswer: iron\n\nQuestion: Which is a gas?\nAnswer:"
    )


def test_hellaswag_is_cleaned(tmp_path):
    item = one_item("hellaswag", write(tmp_path, "hellaswag_val.jsonl", [HELLASWAG]))
    context = "Wakeboarding: A man is pulled. on a board. He"
    assert item.requests == [
        Loglikelihood(context, f" {ending}") for ending in ("falls in.", "sings.", "eats.", "x")
    ]
    assert item.document.gold == 1


@pytest.mark.parametrize("with_labels", [True, False])
def test_piqa(tmp_path, with_labels):
    row = PIQA if with_labels else {**PIQA, "label": 1}
    write(tmp_path, "piqa/valid.jsonl", [row])
    if with_labels:
        (tmp_path / "piqa" / "valid-labels.lst").write_text("1\n")
    item = one_item("piqa", tmp_path)
    context = "Question: Open a jar.\nAnswer:"
    assert item.requests == [
        Loglikelihood(context, " Twist the lid."), Loglikelihood(context, " Paint the lid.")
    ]  # fmt: skip
    assert item.document.gold == 1


def test_winogrande_scores_the_end_of_the_sentence_after_each_name(tmp_path):
    write(tmp_path, "winogrande/dev.jsonl", [WINOGRANDE])
    write(tmp_path, "winogrande/train_xl.jsonl", [{**WINOGRANDE, "answer": "1"}])
    item = one_item("winogrande", tmp_path)
    assert item.requests == [
        Loglikelihood("Ann thanked Eve because Ann", " had helped ."),
        Loglikelihood("Ann thanked Eve because Eve", " had helped ."),
    ]
    assert item.document.gold == 1
    shown = one_item("winogrande", tmp_path, n_shots=1).requests[1].context
    assert shown == ("Ann thanked Eve because Ann had helped .\n\nAnn thanked Eve because Eve")


LABELS = {"arc_easy": "answerKey", "hellaswag": "label", "piqa": "label", "winogrande": "answer"}
FILES = {
    "arc_easy": ("ARC-Easy/ARC-Easy-Test.jsonl", ARC, "ABC"),
    "hellaswag": ("hellaswag_val.jsonl", HELLASWAG, [0, 1, 2, 3]),
    "piqa": ("piqa/valid.jsonl", PIQA, [0, 1]),
    "winogrande": ("winogrande/dev.jsonl", WINOGRANDE, "12"),
}


@pytest.mark.parametrize("task", FILES)
def test_models_of_known_score(tmp_path, task):
    file, row, labels = FILES[task]
    rng = random.Random(1)
    rows = [{**row, LABELS[task]: rng.choice(labels), "number": i} for i in range(200)]
    check_known_scores(TASKS[task], write(tmp_path, file, rows))


@pytest.mark.parametrize("task, change, complaint", [
    ("arc_easy", {"answerKey": "D"}, 'the answer is "D", expected one of A, B, C'),
    ("arc_easy", {"question": {"stem": "?"}}, "question.choices is missing, expected a list"),
    ("arc_easy", {"question": "?"}, "choices is missing, expected a JSON object"),
    (
        "arc_easy",
        {"question": "?", "choices": {"text": ["a"], "label": ["A", "B"]}, "answerKey": "B"},
        "has 1 choices, but 2 labels",
    ),
    ("hellaswag", {"label": ""}, 'the answer is "", expected one of 0, 1, 2, 3'),
    ("hellaswag", {"endings": "x"}, 'endings is "x", expected a list'),
    ("piqa", {"label": 2}, "label is 2, expected 0 or 1"),
    ("winogrande", {"sentence": "no gap"}, "the sentence has no gap, expected one '_' in it"),
    ("winogrande", {"answer": ""}, 'answer is "", expected "1" or "2"'),
])  # fmt: skip
def test_a_wrong_row_is_named_with_its_line(tmp_path, task, change, complaint):
    file, row, _ = FILES[task]
    good = {**row, "label": 0} if task == "piqa" else row
    folder = write(tmp_path, file, [good, {**good, **change}])
    with pytest.raises(UserError, match=f"line 2 of .*(?:: |jsonl ){complaint}"):
        prepare(TASKS[task], folder, Settings(), NO_LIMITS)


def test_labels_of_another_number_are_refused(tmp_path):
    write(tmp_path, "piqa/valid.jsonl", [PIQA])
    (tmp_path / "piqa" / "valid-labels.lst").write_text("1\n0\n")
    with pytest.raises(UserError, match="has 2 labels, expected 1 lines of 0 or 1"):
        one_item("piqa", tmp_path)


@pytest.mark.parametrize("task, expected", [
    ("arc_easy", "ARC-Easy/ARC-Easy-Test.jsonl or ARC-Easy-Test.jsonl"),
    ("hellaswag", "hellaswag_val.jsonl or hellaswag/validation.jsonl"),
    ("winogrande", "winogrande/dev.jsonl or"),
])  # fmt: skip
def test_a_folder_without_data_is_a_sentence(tmp_path, task, expected):
    with pytest.raises(UserError, match=f"has no {expected}"):
        one_item(task, tmp_path)
