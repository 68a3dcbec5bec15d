"""Rows in every form become ids and labels; each fault is one sentence with file and line."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from chat_templates import chat_tokenizer, tokenizer_with

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.tables import Row, read_table
from tinygrad_llm.finetune.examples import (
    IGNORE,
    Pair,
    load_examples,
    load_judged,
    load_pairs,
    load_prompts,
)
from tinygrad_llm.finetune.rows import FaultyRow, Report
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.vocabulary import Conventions

BYTES = Tokenizer([])  # its ids are bytes, and 256 ends a text
CHAT = chat_tokenizer()
USER, ANSWER = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}
SYSTEM = {"role": "system", "content": "S"}
END = "<|endoftext|>"
TURN = "<|im_end|>"
ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n### Instruction:\nAdd {1}."
)


def file_of(tmp_path, *rows, name="rows.jsonl"):
    path = tmp_path / name
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return path


def example(tmp_path, row, tokenizer=BYTES, max_length=500, **options):
    (found,), report = load_examples(file_of(tmp_path, row), tokenizer, max_length, **options)
    assert report.lines() == ["1 of 1 row is used"] and found.ids.shape == found.labels.shape
    return found


def read(tokenizer, example):
    """(the text that is read, that which counts); labels are the ids that follow."""
    counts = example.labels != IGNORE
    following = np.append(example.ids[1:], example.labels[-1])
    np.testing.assert_array_equal(example.labels[counts], following[counts])
    whole = [*example.ids, example.labels[-1]]
    return tokenizer.decode(whole), tokenizer.decode(example.labels[counts])


# --- forms ---------------------------------------------------------------------------------------

FORMS = {
    "text": ({"text": "abc"}, f"abc{END}", f"bc{END}"),
    "completion": ({"prompt": "1+1=", "completion": "2"}, f"1+1=2{END}", f"2{END}"),
    "instruction": (
        {"instruction": "Add {1}.", "input": "", "output": "2"},
        f"{ALPACA}\n\n### Response:\n2{END}", f"2{END}",
    ),
    "instruction with input": (
        {"instruction": "Add {1}.", "input": "{input}", "output": "2"},
        f"{ALPACA}\n\n### Input:\n{{input}}\n\n### Response:\n2{END}", f"2{END}",
    ),
    "null for no input": (
        {"instruction": "Add {1}.", "input": None, "output": "2", "text": "all of it"},
        f"{ALPACA}\n\n### Response:\n2{END}", f"2{END}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row, whole, counts", FORMS.values(), ids=FORMS)
def test_text_rows(row, whole, counts, tmp_path):
    assert read(BYTES, example(tmp_path, row)) == (whole, counts)
    everything = read(BYTES, example(tmp_path, row, completion_only=False))
    assert everything == (whole, whole[1:])


STARTED = f"<|im_start|>system\nBe kind.{TURN}\n<|im_start|>user\nQ{TURN}\n<|im_start|>assistant\n"
CHATS = {
    "messages": {"messages": [USER, ANSWER]},
    "completion": {"prompt": [USER], "completion": [ANSWER]},
    "text and messages": {"prompt": "Q", "completion": [ANSWER]},
    "messages and text": {"prompt": [USER], "completion": "A"},
}


@pytest.mark.parametrize("row", CHATS.values(), ids=CHATS)
def test_rows_of_messages(row, tmp_path):
    expected = f"{STARTED}A{TURN}", f"A{TURN}"
    assert read(CHAT, example(tmp_path, row, CHAT)) == expected
    whole = f"{STARTED}A{TURN}\n"
    everything = example(tmp_path, row, CHAT, completion_only=False)
    assert read(CHAT, everything) == (whole, whole.removeprefix("<|im_start|>"))


def test_text_as_a_conversation(tmp_path):
    for row in (
        {"prompt": "Q", "completion": "A"},
        {"instruction": "Q", "output": "A"},
    ):
        found = example(tmp_path, row, CHAT, as_chat=True)
        assert read(CHAT, found) == (f"{STARTED}A{TURN}", f"A{TURN}")
    row = {"instruction": "Q", "input": "x", "output": "A"}
    assert "user\nQ\n\nx<|im_end|>" in read(CHAT, example(tmp_path, row, CHAT, as_chat=True))[0]


def test_every_answer_of_a_conversation_counts_but_not_those_of_a_prompt(tmp_path):
    more = [{"role": "user", "content": "Q2"}, {"role": "assistant", "content": "A2"}]
    found = example(tmp_path, {"messages": [SYSTEM, USER, ANSWER, *more]}, CHAT)
    assert read(CHAT, found)[1] == f"A{TURN}A2{TURN}"
    row = {"prompt": [SYSTEM, USER, ANSWER, more[0]], "completion": more[1:]}
    assert read(CHAT, example(tmp_path, row, CHAT))[1] == f"A2{TURN}"


def test_what_begins_every_text_is_read_and_not_learned(tmp_path):
    plain = Tokenizer([], special_tokens=["<s>", "</s>"])
    conventions = Conventions(bos_id=256, eos_id=257, prefix_ids=(256,))
    tokenizer = Tokenizer.from_vocabulary(plain.vocabulary, conventions)
    found = example(tmp_path, {"prompt": "p", "completion": "ab"}, tokenizer)
    assert found.ids.tolist() == [256, *b"pab"]
    assert found.labels.tolist() == [IGNORE, *b"ab", 257]
    found = example(tmp_path, {"text": "ab"}, tokenizer)
    assert found.labels.tolist() == [*b"ab", 257]


@pytest.mark.parametrize("name", ["rows.json", "rows.csv", "rows.tsv"])
def test_files_of_other_formats(name, tmp_path):
    text = {
        "rows.json": '[\n{"question": "q",\n "answer": "a"}]',
        "rows.csv": 'question,answer\n"q","a"\n',
        "rows.tsv": "question\tanswer\nq\ta\n",
    }[name]
    columns = {"prompt": "question", "completion": "answer"}
    (found,), _ = load_examples(file_of(tmp_path, text, name=name), BYTES, 9, columns=columns)
    assert read(BYTES, found) == (f"qa{END}", f"a{END}")


def test_a_list_of_rows_knows_its_lines(tmp_path):
    text = '\n[{"a": "],[\\"{"},\n\n {"a": [1, {"b": 2}],\n "c": 3}, {"a": 4}\n,\n{"a": {}}]\n'
    path = file_of(tmp_path, text, name="rows.json")
    assert [row.place for row in read_table(path)] == [f"line {n} of {path}" for n in (2, 4, 5, 7)]
    path = file_of(tmp_path, "[{},\n\n 5]", name="rows.json")
    with pytest.raises(UserError, match=r"^line 3 of \S+ is 5, expected a JSON object$"):
        read_table(path)


# --- pairs and prompts ---------------------------------------------------------------------------

PAIRS = {
    "text": ({"prompt": "Q", "chosen": "A", "rejected": "B"}, BYTES, "Q", f"A{END}", f"B{END}"),
    "an instruction": (
        {"instruction": "Add {1}.", "input": "", "output": "o", "chosen": "A", "rejected": "B"},
        BYTES, f"{ALPACA}\n\n### Response:\n", f"A{END}", f"B{END}",
    ),
    "messages": (
        {"prompt": [USER], "chosen": [ANSWER], "rejected": [{**ANSWER, "content": "B"}]},
        CHAT, STARTED, f"A{TURN}", f"B{TURN}",
    ),
    "whole conversations": (
        {"chosen": [USER, ANSWER], "rejected": [USER, {**ANSWER, "content": "B"}]},
        CHAT, STARTED, f"A{TURN}", f"B{TURN}",
    ),
    "whole conversations and their question": (
        {"prompt": "Q", "chosen": [USER, ANSWER], "rejected": [USER, {**ANSWER, "content": "B"}]},
        CHAT, STARTED, f"A{TURN}", f"B{TURN}",
    ),
    "text and messages": (
        {"prompt": "Q", "chosen": "A", "rejected": [{**ANSWER, "content": "B"}]},
        CHAT, STARTED, f"A{TURN}", f"B{TURN}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PAIRS.values(), ids=PAIRS)
def test_pairs(case, tmp_path):
    row, tokenizer, *expected = case
    (pair,), report = load_pairs(file_of(tmp_path, row), tokenizer, 300)
    assert [tokenizer.decode(x) for x in (pair.prompt, pair.chosen, pair.rejected)] == expected
    for found, answer in zip(pair.examples(), expected[1:], strict=True):
        assert read(tokenizer, found) == (expected[0] + answer, answer)
    assert report.lines() == ["1 of 1 row is used"]


LIKED = [(True, True), (False, False), (1, True), ("true", True), (" False", False), ("0", False)]


def test_answers_with_labels(tmp_path):
    rows = [{"prompt": "Q", "completion": f"A{i}", "label": x} for i, (x, _) in enumerate(LIKED)]
    found, report = load_judged(file_of(tmp_path, *rows), BYTES, 500)
    assert report.lines() == [f"{len(LIKED)} of {len(LIKED)} rows are used"]
    assert [one.liked for one in found] == [liked for _, liked in LIKED]
    assert [read(BYTES, one) for one in found] == [
        (f"QA{i}{END}", f"A{i}{END}") for i in range(len(LIKED))
    ]


def test_pairs_are_answers_too(tmp_path):
    path = file_of(tmp_path, {"prompt": "Q", "chosen": "A", "rejected": "B"})
    (found,), _ = load_judged(path, BYTES, 500)
    assert isinstance(found, Pair)


@pytest.mark.parametrize(
    "row, words",
    [
        ({"prompt": "Q", "completion": "A"}, "expected one of: prompt, completion and label; prom"),
        ({"prompt": "Q", "completion": "A", "label": 2}, "label is 2, expected true or false"),
        ({"prompt": "Q", "completion": " ", "label": True}, "the response is empty"),
    ],
)
def test_a_faulty_judgement_is_one_sentence_with_file_and_line(row, words, tmp_path):
    good = {"prompt": "Q", "completion": "A", "label": False}
    path = file_of(tmp_path, good, row)
    with pytest.raises(FaultyRow, match=f"^line 2 of {re.escape(str(path))}: .*{words}"):
        load_judged(path, BYTES, 500)
    (found,), report = load_judged(path, BYTES, 500, skip_faulty=True)
    assert not found.liked and len(report.lines()) == 2


def test_prompts_come_with_the_other_columns(tmp_path):
    rows = [{"prompt": "1+1", "answer": 2}, {"prompt": "2+2", "answer": 4}]
    path = file_of(tmp_path, *rows)
    found, _ = load_prompts(path, BYTES, 10)
    assert [(BYTES.decode(p.ids), p.row, p.place) for p in found] == [
        ("1+1", rows[0], f"line 1 of {path}"), ("2+2", rows[1], f"line 2 of {path}")
    ]  # fmt: skip
    for row, options in [
        ({"prompt": [USER], "k": [1]}, {}),
        ({"messages": [USER], "k": [1]}, {}),
        ({"q": "Q", "k": [1]}, {"as_chat": True, "columns": {"prompt": "q"}}),
    ]:
        (prompt,), _ = load_prompts(file_of(tmp_path, row), CHAT, 100, **options)
        assert CHAT.decode(prompt.ids) == STARTED and prompt.row["k"] == [1]


# --- lengths -------------------------------------------------------------------------------------


def test_what_is_too_long_is_cut_or_dropped_and_counted(tmp_path):
    rows = [("p", "abc"), ("p", "abcd"), ("ppppp", "a"), ("pppp", "abc"), ("p" * 9, "a")]
    path = file_of(tmp_path, *[{"prompt": p, "completion": c} for p, c in rows])
    found, report = load_examples(path, BYTES, 4)
    assert [BYTES.decode(e.labels[e.labels != IGNORE]) for e in found] == [
        f"abc{END}", "abcd", "a"
    ]  # fmt: skip
    assert max(len(e.ids) for e in found) == 4
    assert report.lines() == [
        "3 of 5 rows are used",
        f"2 dropped: no token of the answer within 4 tokens (first: line 3 of {path})",
        f"2 cut at the maximal length (first: line 2 of {path})",
    ]
    with pytest.raises(UserError, match=f"{path.name}: no row is left: 5 dropped: no token of the"):
        load_examples(file_of(tmp_path, *[{"prompt": "pp", "completion": "a"}] * 5), BYTES, 1)


def test_pairs_that_are_too_long(tmp_path):
    rows = [("p", "abc", "abd"), ("p", "abcd", "abce"), ("ppppp", "a", "b"), ("pp", "a", "bcd")]
    path = file_of(tmp_path, *[{"prompt": p, "chosen": c, "rejected": r} for p, c, r in rows])
    found, report = load_pairs(path, BYTES, 4)
    assert [(BYTES.decode(p.chosen), BYTES.decode(p.rejected)) for p in found] == [
        (f"abc{END}", f"abd{END}"), ("abcd", "abce"), (f"a{END}", "bcd")
    ]  # fmt: skip
    assert report.lines()[1:] == [
        f"1 dropped: no token of the answer within 4 tokens (first: line 3 of {path})",
        f"2 cut at the maximal length (first: line 2 of {path})",
    ]
    found, report = load_pairs(path, BYTES, 3)
    assert [BYTES.decode(p.rejected) for p in found] == ["abd", "bc"]
    assert report.dropped["answers that are equal in 3 tokens"] == [f"line 2 of {path}"]


def test_a_prompt_that_is_too_long_is_dropped(tmp_path):
    path = file_of(tmp_path, {"prompt": "abc"}, {"prompt": "abcd"})
    found, report = load_prompts(path, BYTES, 3)
    assert len(found) == 1
    assert report.lines()[1:] == [
        f"1 dropped: a prompt of more than 3 tokens (first: line 2 of {path})"
    ]


# --- faults --------------------------------------------------------------------------------------

GOOD = {"prompt": "a", "completion": "b", "chosen": "c", "rejected": "d"}
FAULTS = {
    "no JSON": ("{", "is not whole JSON"),
    "no object": ("[1]", r"is a list, expected a JSON object"),
    "half a character": ('{"prompt": "\\ud800", "completion": "b"}', "half a character"),
    "no form": ({"question": "a", "x": 1}, 'the row has "question", "x", expected one of: mess'),
    "nothing": ({}, "the row has nothing, expected one of"),
    "null": ({"prompt": "a", "completion": None}, r'"completion" \(null\), expected one of: m'),
    "a number": ({"prompt": "a", "completion": 5}, "completion is 5, expected text or a list"),
    "a list": ({"text": ["a"]}, "text is a list, expected text"),
    "a message": ({"messages": [USER, "hi"]}, r'messages\[1\] is "hi", expected a JSON object'),
    "a role": (
        {"messages": [USER, {"role": "tool", "content": "x"}]},
        r'messages\[1\]\.role is "tool", expected "system" or "user" or "assistant"',
    ),
    "no content": ({"messages": [{"role": "user"}]}, r"messages\[0\]\.content is missing"),
    "an empty completion": ({"prompt": "a", "completion": " \n"}, "the response is empty"),
    "an empty output": ({"instruction": "a", "input": "", "output": ""}, "the response is empty"),
    "an empty instruction": ({"instruction": " ", "output": "a"}, "the instruction is empty"),
    "an empty text": ({"text": " "}, "the text is empty"),
    "an empty turn": (
        {"messages": [USER, {"role": "assistant", "content": " "}]},
        "a message of the assistant is empty",
    ),
    "no messages": ({"messages": []}, "there are no messages"),
    "two questions": (
        {"messages": [SYSTEM, USER, USER, ANSWER]},
        "message 3 is from the user, expected one from the assistant: after a system prompt",
    ),
    "an answer first": ({"messages": [ANSWER]}, "message 1 is from the assistant, expected one"),
    "system in between": (
        {"messages": [USER, SYSTEM]}, "message 2 is from the system, expected one from the assist"
    ),
    "no answer": ({"messages": [USER]}, "the last message must be from the assistant"),
    "only a prompt": ({"prompt": [USER, ANSWER], "completion": []}, "last message must be from"),
}  # fmt: skip


def sentence_of(load, path, tokenizer, pattern, line=2):
    with pytest.raises(UserError) as caught:
        load(path, tokenizer, 100)
    sentence = str(caught.value)
    assert sentence.startswith(f"line {line} of {path}") and "\n" not in sentence
    assert re.search(pattern, sentence), sentence


@pytest.mark.parametrize("row, pattern", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_sentence_with_file_and_line(row, pattern, tmp_path):
    sentence_of(load_examples, file_of(tmp_path, GOOD, row, GOOD), CHAT, pattern)


PAIR_FAULTS = {
    "equal answers": ({**GOOD, "rejected": "c"}, "chosen and rejected are equal"),
    "equal messages": (
        {"chosen": [USER, ANSWER], "rejected": [USER, ANSWER]}, "chosen and rejected are equal"
    ),
    "missing": ({"prompt": "a", "chosen": "b"}, "expected one of: prompt, chosen and rejected"),
    "no prompt": ({"chosen": "a", "rejected": "b"}, "expected one of: prompt, chosen and rej"),
    "an empty answer": ({**GOOD, "rejected": ""}, "the response is empty"),
    "a number": ({**GOOD, "chosen": 5}, "chosen is 5, expected text or a list"),
    "two prompts": (
        {"chosen": [USER, ANSWER], "rejected": [{**USER, "content": "x"}, {**ANSWER,
         "content": "B"}]}, "conversations that differ before the last turn",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row, pattern", PAIR_FAULTS.values(), ids=PAIR_FAULTS)
def test_a_faulty_pair_is_one_sentence_with_file_and_line(row, pattern, tmp_path):
    sentence_of(load_pairs, file_of(tmp_path, GOOD, row, GOOD), CHAT, pattern)


PROMPT_FAULTS = {
    "missing": ({"q": "a"}, "expected one of: prompt; messages; instruction"),
    "empty": ({"prompt": " "}, "the prompt is empty"),
    "empty list": ({"prompt": []}, "the prompt is empty"),
    "answered": ({"messages": [USER, ANSWER]}, "must end with the user's turn"),
    "a number": ({"prompt": 5}, "prompt is 5, expected text or a list"),
}


@pytest.mark.parametrize("row, pattern", PROMPT_FAULTS.values(), ids=PROMPT_FAULTS)
def test_a_faulty_prompt_is_one_sentence_with_file_and_line(row, pattern, tmp_path):
    sentence_of(load_prompts, file_of(tmp_path, GOOD, row, GOOD), CHAT, pattern)


def test_faulty_rows_are_dropped_and_counted_if_asked(tmp_path):
    faults = [row for row, _ in PAIR_FAULTS.values()]
    path = file_of(tmp_path, GOOD, *faults, GOOD)
    found, report = load_pairs(path, CHAT, 50, skip_faulty=True)
    assert len(found) == 2
    assert report.lines() == [
        f"2 of {len(faults) + 2} rows are used",
        f"2 dropped: equal answers (first: line 2 of {path})",
        f"2 dropped: missing fields (first: line 4 of {path})",
        f"1 dropped: an empty response (first: line 6 of {path})",
        f"1 dropped: a value of the wrong type (first: line 7 of {path})",
        f"1 dropped: two prompts (first: line 8 of {path})",
    ]
    with pytest.raises(UserError, match="no row is left: 1 dropped: equal answers"):
        load_pairs(file_of(tmp_path, faults[0]), CHAT, 50, skip_faulty=True)


def test_a_pair_whose_prompt_the_template_refuses_is_counted_once(tmp_path):
    template = "{{ raise_exception('No!') if messages[0].content == 'bad' }}"
    names = ["<|im_start|>", "<|im_end|>"]
    tokenizer = tokenizer_with(template + CHAT.conventions.chat_template, names)
    rows = [{**GOOD, "prompt": prompt} for prompt in ("a", "bad")]
    found, report = load_pairs(
        file_of(tmp_path, *rows), tokenizer, 200, as_chat=True, skip_faulty=True
    )
    assert len(found) == 1 and report.lines()[0] == "1 of 2 rows is used"


def test_other_mistakes_get_sentences(tmp_path):
    path = file_of(tmp_path, GOOD)
    with pytest.raises(UserError, match=r"line 1 of \S+ has no column 'question': its columns are"):
        load_prompts(path, BYTES, 5, columns={"prompt": "question"})
    with pytest.raises(UserError, match="has no token that ends a text"):
        load_examples(path, Tokenizer([], special_tokens=[]), 5)
    with pytest.raises(UserError, match="there is no such file"):
        load_examples(tmp_path / "none.jsonl", BYTES, 5)
    with pytest.raises(UserError, match="has no chat template"):
        load_examples(path, BYTES, 5, as_chat=True)
    with pytest.raises(UserError, match="has no rows"):
        load_examples(file_of(tmp_path, ""), BYTES, 5)


def test_a_report_raises_the_first_fault():
    report, fault = Report(), FaultyRow(Row({}, "line 1 of f"), "a reason", "a sentence")
    with pytest.raises(FaultyRow, match="^line 1 of f: a sentence$"):
        report.fault(fault)
    assert report.dropped == {}


# --- real files ----------------------------------------------------------------------------------


def data_file(name):
    folder = os.environ.get("TINYGRAD_LLM_TEST_DATA")
    if not folder:
        pytest.skip("TINYGRAD_LLM_TEST_DATA is not set")
    return Path(folder, name)


def test_real_files():
    path = data_file("instruction-data.json")
    entries = json.loads(path.read_text())
    found, report = load_examples(path, BYTES, 1000)
    assert len(found) == len(entries) == report.used and not report.dropped
    for one, entry in zip(found, entries, strict=True):
        assert read(BYTES, one)[1] == entry["output"] + END
    lines = path.read_text().splitlines()
    number = int(read_table(path)[7].place.split()[1])
    assert json.loads("{" + lines[number].strip().rstrip(",") + "}").items() <= entries[7].items()


def test_real_preferences_and_questions():
    path = data_file("instruction-data-with-preference.json")
    with pytest.raises(UserError, match="^line 856 of .*chosen and rejected are equal"):
        load_pairs(path, CHAT, 1000, as_chat=True)
    found, report = load_pairs(path, CHAT, 1000, as_chat=True, skip_faulty=True)
    assert (len(found), len(report.dropped["equal answers"])) == (1094, 6)
    path = data_file("gsm8k-train-1000.jsonl")
    questions, _ = load_prompts(path, BYTES, 2000, columns={"prompt": "question"})
    assert len(questions) == 1000 and all("####" in q.row["answer"] for q in questions)
