"""docs/derivatives.md is what the docstrings say, and they say what operations save and compute."""

import pytest
from derivative_lines import all_operations, derivatives, error, recorded_calls, saves_problem

from autograd import ops
from autograd.ops.arithmetic import Multiply
from autograd.ops.normalization import LayerNorm

OPERATIONS = all_operations()
IN_WORDS = {
    "CausalAttention", "Concatenate", "Diagonal", "Einsum", "GroupedQueryAttention", "Linspace",
    "Move", "Pad", "Rope", "Sort", "TakeAlongAxis", "Unsmooth",
}  # fmt: skip
"""Operations whose derivative is a sentence."""


@pytest.fixture(scope="module")
def calls():
    return recorded_calls()


def expressions(operation):
    return derivatives.equations(derivatives.parts(operation)["Derivative"])[0]


def test_the_page_is_what_the_docstrings_say():
    assert derivatives.PAGE.read_text() == derivatives.page(), "run: python docs/derivatives.py"


def test_every_operation_and_every_function_is_on_the_page():
    page = derivatives.PAGE.read_text()
    assert len(OPERATIONS) > 90
    assert [c.__name__ for c in OPERATIONS if f"\n| {c.__name__}" not in page] == []
    names = [n.removeprefix("linalg.") for n in ops.DIFFERENTIABLE]
    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda c: c.__name__)
def test_a_docstring_has_every_part_and_says_what_is_saved(operation):
    assert set(derivatives.parts(operation)) >= {"Formula", "Shapes", "Saves", "Derivative"}
    assert saves_problem(operation) is None


def test_only_these_derivatives_are_in_words():
    assert {c.__name__ for c in OPERATIONS if not expressions(c)} == IN_WORDS


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda c: c.__name__)
def test_the_docstring_has_the_derivative_that_backward_computes(operation, calls):
    if not expressions(operation):
        pytest.skip("in words")
    errors = [error(operation, *call) for call in calls[operation]]
    assert max(e for e in errors if e is not None) < 1e-13


@pytest.mark.parametrize(
    "line, wrong",
    [
        ("Saves: a, b", "Saves: a"),
        ("Saves: a, b", "Saves: nothing"),
        ("Saves: a, b", "Saves: b, a"),
        ("Saves: a, b", "Saves: a, b; caches a * b"),
        ("g_a = g * b", "g_a = g * a"),
        ("g_b = g * a", "g_b = -g * a"),
    ],
)
def test_a_planted_difference_is_found(line, wrong, calls):
    planted = type("Planted", (Multiply,), {"__doc__": Multiply.__doc__.replace(line, wrong)})
    assert saves_problem(Multiply) is None and line in Multiply.__doc__
    errors = [error(planted, *call) for call in calls[Multiply]]
    assert saves_problem(planted) or max(errors) > 0.01


def test_a_missing_term_is_found(calls):
    doc = LayerNorm.__doc__.replace("h - mean(h) - ", "h - ")
    planted = type("Planted", (LayerNorm,), {"__doc__": doc})
    assert max(error(planted, *call) for call in calls[LayerNorm]) > 0.01


def test_a_changed_docstring_changes_the_page(monkeypatch):
    monkeypatch.setattr(Multiply, "__doc__", Multiply.__doc__.replace("y = a b.", "y = a + b."))
    assert derivatives.PAGE.read_text() != derivatives.page()
