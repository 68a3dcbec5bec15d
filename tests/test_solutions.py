"""Every exercise of an example has one solution, and every solution runs and prints its answer.

An example's docstring ends with its exercises, numbered and titled. The file of the same name in
examples/solutions/ has a function for each, whose docstring begins with the same title.
"""

import ast
import re
from pathlib import Path

import pytest
from reader import run

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("[0-9]*.py"))
SOLUTIONS = sorted((Path(__file__).parent.parent / "examples" / "solutions").glob("[0-9]*.py"))


def docstring(path):
    return ast.get_docstring(ast.parse(path.read_text()))


def exercises(example):
    """The exercises at the end of an example's docstring: (number, title) pairs."""
    heading = f"Exercises, answered in solutions/{example.name}. Try first.\n\n"
    _, _, text = docstring(example).partition(heading)
    return [(int(n), title) for n, title in re.findall(r"^(\d+)\. ([^.?\n]+[.?])", text, re.M)]


def functions(solution):
    """The functions of a solution that answer an exercise, in the order of the file."""
    found = [n for n in ast.parse(solution.read_text()).body if isinstance(n, ast.FunctionDef)]
    return [function for function in found if function.name.startswith("exercise_")]


def answers(solution):
    """The exercises that a solution answers: (number, title) pairs, in the order of the file."""
    numbers = [int(f.name.removeprefix("exercise_")) for f in functions(solution)]
    titles = [ast.get_docstring(f).splitlines()[0] for f in functions(solution)]
    return list(zip(numbers, titles, strict=True))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.name)
def test_every_exercise_has_one_solution(example):
    solution = example.parent / "solutions" / example.name
    asked = exercises(example)
    assert [number for number, _ in asked] in ([1, 2], [1, 2, 3])
    assert answers(solution) == asked


def test_every_solution_belongs_to_an_example():
    assert {p.name for p in SOLUTIONS} <= {p.name for p in EXAMPLES}


@pytest.mark.parametrize("solution", SOLUTIONS, ids=lambda p: p.name)
def test_every_answer_is_words_and_a_proof(solution):
    for function in functions(solution):
        assert len(ast.get_docstring(function).split()) > 30, function.name
        assert any(isinstance(node, ast.Assert) for node in ast.walk(function)), function.name


@pytest.mark.parametrize("solution", SOLUTIONS, ids=lambda p: p.name)
def test_solution_runs_and_prints_every_answer(solution):
    output = run(str(solution))
    for number, title in answers(solution):
        assert f"{number}. {title}\n" in output
    assert max(map(len, output.splitlines())) <= 100, "a line is too long for a page"
    assert docstring(solution).startswith(f"Solutions to the exercises of {solution.name}.")
