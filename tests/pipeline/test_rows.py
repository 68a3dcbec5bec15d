"""Rows and questions made from a corpus of Python."""

import numpy as np
import pytest
from small_library import write_library

from tinygrad_llm.data import Document, load_corpus
from tinygrad_llm.errors import UserError
from tinygrad_llm.pipeline.functions import Function, functions_of
from tinygrad_llm.pipeline.questions import choices, next_words
from tinygrad_llm.pipeline.rows import completions, preferences

SOURCE = '''
class Shape:
    def area(self, width: int, *, height=(1, 2)) -> int:
        """Return the area
        of a shape.

        More about it.
        """

    async def wait(self):
        "Wait for the shape."

    def nothing(self): ...

    def brief(self):
        """Brief."""

def area(self, width: int, *, height=(1, 2)):
    """Return the area of a shape."""
'''


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    folder = write_library(tmp_path_factory.mktemp("library"))
    return functions_of(load_corpus(folder).documents, longest=100)


def test_a_function_is_its_signature_and_the_first_paragraph():
    found = functions_of([Document("a.py", SOURCE), Document("b.py", SOURCE)], longest=200)
    area = "def area(self, width: int, *, height=(1, 2))"
    assert found == [
        Function("a.py", area, "Return the area of a shape."),
        Function("a.py", "async def wait(self)", "Wait for the shape."),
    ]


def test_what_is_no_python_or_too_long_has_no_functions():
    documents = [
        Document("a.txt", SOURCE),
        Document("a.py", "print 'Python 2'\n" + SOURCE),
        Document("b.py", "x = '\0'"),
    ]
    assert functions_of(documents, longest=200) == []
    assert len(functions_of([Document("a.py", SOURCE)], longest=40)) == 1


@pytest.mark.parametrize(
    "strange",
    [
        "x = " + "-" * 50_000 + "1",
        'def f(x=0x%s):\n    """Too large a number to write down."""' % ("f" * 5_000),
        'def f():\n    """Half a character: \\ud800 is no text."""',
    ],
    ids=["deep", "large", "surrogate"],
)
def test_what_cannot_be_read_or_written_is_left_out(strange):
    found = functions_of([Document("a.py", strange), Document("b.py", SOURCE)], longest=20_000)
    assert {f.module for f in found} == {"b.py"}


def test_a_fault_says_what_the_answer_is():
    """A word alone can be neither shuffled nor cut."""
    words = [Function("a.py", f"def {c}()", f"{c * 12}") for c in "abcdefgh"]
    rows = [row for row in preferences(words, 16, seed=1) if row["prompt"].count("\n") == 1]
    summaries = [row for row in rows if row["chosen"] in {f.summary for f in words}]
    assert len(summaries) == 8 and {row["fault"] for row in summaries} == {"another"}


def test_both_ways_are_asked(functions):
    rows = completions(functions[:1])
    assert rows == [
        {
            "prompt": f"Write the docstring of this function:\n{functions[0].signature}",
            "completion": functions[0].summary,
            "module": functions[0].module,
        },
        {
            "prompt": "Write the signature of a function with this docstring:\n"
            + functions[0].summary,
            "completion": functions[0].signature,
            "module": functions[0].module,
        },
    ]


def test_a_rejected_answer_has_the_fault_that_its_row_names(functions):
    rows = preferences(functions, limit=200, seed=3)
    assert len(rows) == 200 and {r["fault"] for r in rows} == {"another", "shuffled", "cut"}
    texts = {f.summary for f in functions} | {f.signature for f in functions}
    for row in rows:
        chosen, rejected = row["chosen"], row["rejected"]
        assert chosen in texts and rejected != chosen
        if row["fault"] == "another":
            assert rejected in texts
            assert rejected.startswith("def ") == chosen.startswith("def ")
        elif row["fault"] == "shuffled":
            assert sorted(rejected.split()) == sorted(chosen.split())
        else:
            assert chosen.startswith(rejected)
    assert rows == preferences(functions, limit=200, seed=3) != preferences(functions, 200, 4)


def test_choices_are_different_and_the_right_one_is_anywhere(functions):
    docstrings, signatures = choices(functions, limit=60, seed=1)
    assert len(docstrings) == len(signatures) == 60
    known = {f.signature: f.summary for f in functions}
    for row in docstrings:
        assert len(set(row["choices"])) == 4
        assert row["choices"][row["gold"]] == known[row["signature"]]
    for row in signatures:
        assert len(set(row["choices"])) == 4
        assert known[row["choices"][row["gold"]]] == row["docstring"]
    for rows in (docstrings, signatures):
        places = np.bincount([row["gold"] for row in rows], minlength=4)
        assert places.min() >= 6  # about 15 each


def test_too_few_functions_for_choices_are_refused(functions):
    with pytest.raises(UserError, match="has 3 functions with docstrings, too few for questions"):
        choices(functions[:3], limit=3, seed=1)


def test_the_next_word_follows_its_context(functions):
    text = "alpha beta gamma = 'délta' + epsilon zeta\n" * 30
    documents = [Document("a.py", text), Document("b.txt", text), Document("c.py", text)]
    rows = next_words(documents, limit=12, longest=100, seed=1)
    assert len(rows) == 8  # a third of them would be of the file that is no code
    for row in rows:
        assert row["module"] in ("a.py", "c.py") and row["target"][0] == " "
        assert row["context"] + row["target"] in text
        assert 90 < len((row["context"] + row["target"]).encode()) <= 100
