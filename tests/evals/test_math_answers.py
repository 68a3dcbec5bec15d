r"""MATH: which answer a \boxed holds, which answers are equal, and the models of known score."""

import json
import re

import pytest
from known_scores import NO_LIMITS, score_of

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.known import KnownModel
from tinygrad_llm.evals.math_answers import boxed_answer, normalized, same_answer
from tinygrad_llm.evals.requests import Chat, Generation, Message, Text
from tinygrad_llm.evals.runner import Settings, metrics_of, prepare, run_items
from tinygrad_llm.evals.tasks import TASKS

BOXED = [
    (r"so $x = \boxed{5}$.", "5"),
    (r"\boxed{1}, then \boxed{ 2 }", "2"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{\left\{1, \frac{2}{x}\right\}} and {more}", r"\left\{1, \frac{2}{x}\right\}"),
    (r"\boxed{\{1\}", None),  # the escaped braces are text, so the box is not closed
    (r"\boxed{{a} {b}}}", "{a} {b}"),
    (r"\fbox{7}", "7"),
    (r"is \boxed 12$.", "12"),
    (r"\boxed{}", ""),
    (r"\boxed{1} and \boxed{2", None),
    (r"\boxedly{1}", None),
    ("5", None),
    ("", None),
]  # fmt: skip


@pytest.mark.parametrize("text, answer", BOXED)
def test_what_a_box_holds(text, answer):
    assert boxed_answer(text) == answer


EQUAL = [
    (r"\frac12", r"\frac{1}{2}", "1/2", "0.5", ".5", r"\dfrac{1}{2}", r"\tfrac12", "2/4", "0.50"),
    (r"-\frac{3}{4}", r"\frac{-3}{4}", "-0.75", "-3/4", r"\frac{3}{-4}"),
    ("1000", "1,000", r"1,\!000", "1{,}000", "1000.", "1000.00"),
    ("50", r"50\%", "50%", r"\$50", "$50$", "50.0"),
    ("90", r"90^\circ", r"90^{\circ}", "90\u00b0"),
    ("5", r"5\text{ cm}", r"5 \text{ cm}^2", r"5\mbox{ inches}", "x=5", "x = 5", "5."),
    (r"5\,\mathrm{m}", "5"),
    (r"\frac{3}{2}\text{ hours}", "1.5"),
    (r"\text{Evelyn}", "Evelyn", r"\textbf{Evelyn}"),
    (r"\text{(A)}", "(A)", r"\text{ (A)}"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})", r"(3, \dfrac{\pi}{2})"),
    (r"\frac ab", r"\frac{a}{b}"),
    (r"\sqrt3", r"\sqrt{3}", r"\sqrt 3"),
    (r"\frac{\sqrt3}{2}", r"\dfrac{\sqrt{3}}{2}"),
    ("2x + 5", "2x+5", "y=2x+5", "2x+5."),
    (r"a \\ b", r"a\\b"),
    (r"(-\infty, 2]", r"(-\infty,2]"),
]  # fmt: skip


@pytest.mark.parametrize("forms", EQUAL, ids=[forms[0] for forms in EQUAL])
def test_forms_of_one_answer(forms):
    for form in forms[1:]:
        assert same_answer(forms[0], form), (normalized(forms[0]), normalized(form))


def test_answers_that_differ():
    for one, other in [
        ("1/3", "0.33"), ("5", "-5"), ("(1,2)", "(2,1)"), ("(1,000)", "1000"), ("1,2", "12"),
        ("x+5", "5"), ("1=1", "2=1"), (r"\frac{1}{0}", "0"), (r"\leftarrow", "arrow"),
        (r"12\text{ or }3", "12"), (r"3\frac{1}{5}", r"\frac{31}{5}"), ("5", None), (None, None),
        ("1" * 5000, "2"), (r"\frac{1}{2", "1/2"), ("cm", ""),
    ]:  # fmt: skip
        assert not same_answer(one, other), (one, other)


# --- the task ---------------------------------------------------------------------------------

KINDS = ("Algebra", "Geometry")


def row(kind, a):
    return {
        "problem": f"Halve {a} ({kind}).", "level": "Level 1", "type": kind,
        "solution": rf"Half of it is $\boxed{{\frac{{{a}}}{{2}}}}$.",
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for split, count in (("test", 30), ("train", 5)):
        rows = [row(kind, a) for a in range(count) for kind in KINDS]
        path = tmp_path / f"math-{split}.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return tmp_path


def test_the_prompt_of_a_base_model(folder):
    items = prepare(TASKS["math"], folder, Settings(n_shots=1, limit=2), NO_LIMITS)
    numbers = [(item.document.group, item.document.number) for item in items]
    assert numbers == [(kind, number) for number in (0, 1) for kind in ("Algebra", "Geometry")]
    context = (
        "Problem:\nHalve 0 (Geometry).\n\nSolution: Half of it is $\\boxed{\\frac{0}{2}}$.\n\n"
        "Problem:\nHalve 0 (Geometry).\n\nSolution:"
    )
    assert items[1].requests == [Generation(context, ("Problem:",), 512)]


def test_a_chat(folder):
    (item, *_) = prepare(TASKS["math_chat"], folder, Settings(), NO_LIMITS)
    text = "Halve 0 (Algebra).\n\nWrite the final answer as \\boxed{answer}."
    assert item.requests == [Generation(Chat((Message("user", text),)), (), 1024)]


@pytest.mark.parametrize("name", ["math", "math_chat"])
def test_models_of_known_score(folder, name):
    assert score_of("oracle", TASKS[name], folder)[0] == 1
    assert score_of("random", TASKS[name], folder)[0] == 0  # what is drawn is in no box
    assert score_of("first", TASKS[name], folder)[0] == 0


class Halver(KnownModel):
    """Halves the number of the last problem, if the example before it is of the same type."""

    def answers(self, requests, done=()):
        for i, request in enumerate(requests):
            asked = re.findall(r"Halve (\d+) \((\w+)\)", request.context)
            shown = re.search(r"Solution:$", request.context) and len(asked) == 5
            kind = {kind for _, kind in asked}
            can = shown and len(kind) == 1
            yield {i: Text(rf"\boxed{{{int(asked[-1][0]) / 2}}}" if can else "")}


@pytest.mark.parametrize("control, expected", [
    (None, 1), ("no-question", 0), ("other-shots", 0)
])  # fmt: skip
def test_controls_move_the_score_of_a_model_that_can_halve(folder, control, expected):
    items = prepare(TASKS["math"], folder, Settings(control=control), NO_LIMITS)
    samples = run_items(TASKS["math"], Halver("halver", []), items)
    total = TASKS["math"].total([metrics_of(sample) for sample in samples])
    assert total["exact_match"] == expected


def test_a_row_of_another_layout_is_a_sentence(folder):
    with open(folder / "math-test.jsonl", "a") as file:
        file.write('{"problem": "?", "solution": "!", "level": "1"}\n')
    with pytest.raises(UserError, match="line 61 of .*math-test.jsonl: type is missing, expected"):
        prepare(TASKS["math"], folder, Settings(), NO_LIMITS)
