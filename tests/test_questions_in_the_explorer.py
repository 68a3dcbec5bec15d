"""Every question of learners leads to a place on the page that exists."""

import re
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from autograd.debug.explorer.builtin import BUILTIN
from autograd.debug.explorer.document import graph_document
from autograd.debug.explorer.tape import record
from tinygrad_llm.inspect.explorable import EXPLORABLE
from tinygrad_llm.inspect.learners_questions import QUESTIONS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "questions.md").read_text()
MODULES = (ROOT / "autograd" / "debug" / "explorer").glob("*.js")
VIEWS = {
    name
    for path in MODULES
    if re.search(r"export const \w+View = ", text := path.read_text())
    for name in re.findall(r'^  id: "(\w+)"', text, re.M)
}


@pytest.fixture(scope="module")
def graphs():
    """The built-in graphs as data, each made when it is first asked for."""
    made = {}

    def graph(name):
        if name not in made:
            builtin = {**EXPLORABLE, **BUILTIN}[name]()
            model, names = getattr(builtin, "model", None), getattr(builtin, "names", None)
            made[name] = graph_document(record(builtin.loss, model, names), name, parts={})
        return made[name]

    return graph


def test_the_page_names_the_same_places():
    found = dict(
        re.findall(r"^### ([^\n]*)\n(?:(?!^### ).)*?^In the explorer:\n`(.*?)`", PAGE, re.M | re.S)
    )
    assert found == {question: answer.address for question, answer in QUESTIONS.items()}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_place_exists(question, graphs):
    state = dict(parse_qsl(QUESTIONS[question].address))
    graph = graphs(state["graph"])
    assert int(state.get("step", 0)) < len(graph["steps"])
    if "view" in state:
        assert state["view"] in VIEWS
    if "tensor" in state:
        tensor = next(t for t in graph["tensors"] if t.get("key") == state["tensor"])
        cell = [int(i) for i in state["cell"].split(",")] if "cell" in state else None
        assert cell is None or all(
            i < n for i, n in zip(cell, tensor["shape"], strict=True)
        )  # fmt: skip
