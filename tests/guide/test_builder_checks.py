"""Every static check of the guide's builder: a mistake planted, and the sentence that names it."""

import pytest
from builder.book import read_book
from builder.check import static_problems
from builder.problems import GuideError, shown
from guide_book import ENGINE, TRAIN

FIRST, SECOND = "01-what-a-language-model-is.md", "02-gradients-by-hand.md"
THIRD = "03-the-engine.md"
D = "docs/guide"
ENGINE_1, TRAIN_1 = (repr(text.split("\n")[0]) for text in (ENGINE, TRAIN))
EXERCISE = "3.3: count\n\n"

PLANTED = {
    # excerpts
    "an excerpt that differs": (
        (FIRST, "    return 2 * x\n", "    return x * 2\n"),
        [
            f"{D}/{FIRST}:14: the excerpt has '    return x * 2', but in engine.py line 4 is "
            "'    return 2 * x'",
            f'{D}/code/engine.py:1: no chapter shows lines 1 to 4, \'"""Numbers that double."""\'',
        ],
    ),
    "an excerpt like nothing": (
        (FIRST, "def thrice(x):\n    return twice(x) + x\n", "def quarter(x):\n    return x / 4\n"),
        [
            f"{D}/{FIRST}:18: engine.py has no line 'def quarter(x):'; the closest line "
            "there is 'def twice(x):'",
            f"{D}/code/engine.py:6: no chapter shows lines 6 to 7, 'def thrice(x):'",
        ],
    ),
    "an excerpt like nothing at all": (
        (FIRST, "def thrice(x):\n    return twice(x) + x\n", "%%%%\n"),
        [
            f"{D}/{FIRST}:18: engine.py has no line '%%%%'; no line is like it",
            f"{D}/code/engine.py:6: no chapter shows lines 6 to 7, 'def thrice(x):'",
        ],
    ),
    "an excerpt twice": (
        (SECOND, "## Questions", "```python from=engine.py\ndef thrice(x):\n```\n\n## Questions"),
        [
            f"{D}/{SECOND}:25: lines 6 to 6 of engine.py are shown twice: line 6 stands in "
            f"{D}/{FIRST}:17 already"
        ],
    ),
    "an excerpt out of order": (
        (
            FIRST,
            '"""Numbers that double."""\n\ndef twice(x):\n    return 2 * x\n```\n\n'
            "```python from=engine.py\ndef thrice(x):\n    return twice(x) + x\n",
            "def thrice(x):\n    return twice(x) + x\n```\n\n"
            '```python from=engine.py\n"""Numbers that double."""\n\ndef twice(x):\n'
            "    return 2 * x\n",
        ),
        [
            f"{D}/{FIRST}:15: lines 1 to 4 of engine.py come after later lines of that file: "
            "excerpts come in the file's order",
            f'{D}/code/engine.py:1: no chapter shows lines 1 to 4, \'"""Numbers that double."""\'',
        ],
    ),
    "an excerpt of nothing": (
        (FIRST, "from=train.py", "from=trane.py"),
        [
            f"{D}/{FIRST}:46: there is no docs/guide/code/trane.py",
            f'{D}/code/train.py:1: no chapter shows lines 1 to 5, \'"""Counts steps."""\'',
        ],
    ),
    "a line of the code that no chapter shows": (
        ("code/engine.py", "    return twice(x) + x\n", "    return twice(x) + x\n\nseven = 7\n"),
        [f"{D}/code/engine.py:9: no chapter shows this line, 'seven = 7'"],
    ),
    # links
    "a missing file": (
        (FIRST, "../page.md#a-heading", "../pages.md"),
        [f"{D}/{FIRST}:62: the link ../pages.md: there is no docs/pages.md"],
    ),
    "a missing anchor of a page": (
        (FIRST, "../page.md#a-heading", "../page.md#heading"),
        [
            f"{D}/{FIRST}:62: the link ../page.md#heading: docs/page.md has no heading with the "
            "anchor #heading"
        ],
    ),
    "a missing line of a source": (
        (FIRST, "_tensor.py", "_tensor.py#L2"),
        [f"{D}/{FIRST}:62: the link ../../autograd/_tensor.py#L2: autograd/_tensor.py has 1 lines"],
    ),
    "a source's line 0": (
        (FIRST, "_tensor.py", "_tensor.py#L0"),
        [
            f"{D}/{FIRST}:62: the link ../../autograd/_tensor.py#L0: #L0 names no lines: they "
            "count from 1, and the first comes first"
        ],
    ),
    "a link to nothing": (
        (FIRST, "../../autograd/_tensor.py", "#"),
        [
            f"{D}/{FIRST}:62: the link #: it leads nowhere: name a file, or an anchor such as "
            "#why-newest-first"
        ],
    ),
    "a source's anchor that is no line": (
        (FIRST, "_tensor.py", "_tensor.py#tensor"),
        [
            f"{D}/{FIRST}:62: the link ../../autograd/_tensor.py#tensor: #tensor is no place in "
            "autograd/_tensor.py; use #L12"
        ],
    ),
    "a link out of the project": (
        (FIRST, "../page.md#a-heading", "/etc/hosts"),
        [
            f"{D}/{FIRST}:62: the link /etc/hosts: it leads out of the project; links are relative "
            "to the file they stand in"
        ],
    ),
    "a missing anchor of a chapter": (
        (FIRST, "#the-curve", "#curve"),
        [
            f"{D}/{FIRST}:63: the link {SECOND}#curve: {SECOND} has no heading with the anchor "
            "#curve"
        ],
    ),
    "an unknown kind of address": (
        ("sources.md", "https://example.org", "ftp://example.org"),
        [
            f"{D}/sources.md:5: the link ftp://example.org/doubles: its address begins with "
            "neither https:// nor http://"
        ],
    ),
    "a link without text": (
        (FIRST, "[next]", "[]"),
        [f"{D}/{FIRST}:63: the link {SECOND}#the-curve: it has no text"],
    ),
    "no such graph": (
        (FIRST, "graph=twice", "graph=thrice"),
        [
            f"{D}/{FIRST}:63: the link explorer.html#graph=thrice&view=order: there is no graph "
            "thrice: choose one of gpt, neuron, twice, "
        ],
    ),
    "no such view": (
        (FIRST, "view=order", "view=disorder"),
        [
            f"{D}/{FIRST}:63: the link explorer.html#graph=twice&view=disorder: there is no view "
            "disorder: choose one of attention, card, cell, "
        ],
    ),
    "a view that the graph lacks": (
        (FIRST, "view=order", "view=attention"),
        [
            f"{D}/{FIRST}:63: the link explorer.html#graph=twice&view=attention: the graph twice "
            "has no view attention"
        ],
    ),
    "a step that the graph lacks": (
        (FIRST, "view=order", "step=99"),
        [
            f"{D}/{FIRST}:63: the link explorer.html#graph=twice&step=99: the graph twice has the "
            "steps 0 to 5"
        ],
    ),
    "a tensor that the graph lacks": (
        (FIRST, "view=order", "tensor=z"),
        [
            f"{D}/{FIRST}:63: the link explorer.html#graph=twice&tensor=z: the graph twice has no "
            "tensor z"
        ],
    ),
    "a key that the explorer lacks": (
        (FIRST, "view=order", "page=order"),
        [
            f"{D}/{FIRST}:63: the link explorer.html#graph=twice&page=order: page is nothing the "
            "explorer knows; it knows graph, view, step, tensor, of, cell"
        ],
    ),
    "no graph": (
        (FIRST, "graph=twice&", ""),
        [
            f"{D}/{FIRST}:63: the link explorer.html#view=order: write it as "
            "explorer.html#graph=NAME&view=NAME"
        ],
    ),
    # sources
    "a source that is not there": (
        (FIRST, "somebody-1999", "nobody-1999"),
        [
            f"{D}/{FIRST}:4: the link sources.md#nobody-1999: sources.md has no heading with the "
            "anchor #nobody-1999",
            f"{D}/sources.md:3: nothing cites somebody-1999: cite it or remove it",
        ],
    ),
    "a source without an address": (
        ("sources.md", "[here](https://example.org/doubles)", "here"),
        [f"{D}/sources.md:3: somebody-1999 has no link to where it can be read"],
    ),
    "a source without a paragraph": (
        ("sources.md", "A. Somebody, 1999, *On doubles*, [here](https://example.org/doubles).", ""),
        [
            f"{D}/sources.md:3: somebody-1999 has no link to where it can be read",
            f"{D}/sources.md:3: somebody-1999 has to have exactly one paragraph",
        ],
    ),
    "a source with another name": (
        ("sources.md", "### somebody-1999", "### Somebody 1999"),
        [f"{D}/sources.md:3: a source is named as its anchor: somebody-1999, not Somebody 1999"],
    ),
    # figures
    "a figure that nobody refers to": (
        (SECOND, "[the curve rises](figures/curve.svg)", "the curve rises"),
        [
            f"{D}/{SECOND}:23: the text of this chapter does not refer to figures/curve.svg: write "
            "[what it shows](figures/curve.svg)"
        ],
    ),
    "a figure without its file": (
        ("figures/curve.svg", None),
        [f"{D}/{SECOND}:23: there is no figures/curve.svg: make it with --update"],
    ),
    "a figure without a caption": (
        (SECOND, "A line that rises from `1` to 2.", ""),
        [
            f"{D}/{SECOND}:23: figures/curve.svg has no caption: say what it shows and what to see "
            "in it"
        ],
    ),
    "a figure with a long caption": (
        (SECOND, "to 2.", "to 2. It rises. It is straight. It ends."),
        [f"{D}/{SECOND}:23: the caption of figures/curve.svg has more than three sentences"],
    ),
    "a figure with a link in its caption": (
        (SECOND, "to 2.", "to *2*."),
        [f"{D}/{SECOND}:23: the caption of figures/curve.svg holds more than text and `code`"],
    ),
    "a figure in a sentence": (
        (SECOND, "![A", "Look: ![A"),
        [f"{D}/{SECOND}:23: figures/curve.svg has to stand alone in its paragraph"],
    ),
    "a figure shown twice": (
        (
            THIRD,
            "Nothing yet.",
            "![A line.](figures/curve.svg)\n\n[A line](figures/curve.svg).",
        ),
        [f"{D}/{THIRD}:3: figures/curve.svg is shown in {D}/{SECOND}:23 already"],
    ),
    "an image from elsewhere": (
        (THIRD, "Nothing yet.", "![A line.](curve.png)"),
        [f"{D}/{THIRD}:3: the image curve.png is no figure; a figure is figures/NAME.svg"],
    ),
    "a figure on the front page": (
        ("README.md", "[Begin]", "![A line.](figures/line.svg)\n\n[Begin]"),
        [f"{D}/README.md:3: a figure stands in a chapter"],
    ),
    # questions and exercises
    "an answer too few": (
        ("answers.md", "5. What is 5?\n\n## Chapter 2", "\n## Chapter 2"),
        [
            f"{D}/{FIRST}:65: 5 questions, but 4 answers in answers.md:3: they are numbered lists "
            "of the same length"
        ],
    ),
    "no answers": (
        ("answers.md", "## Chapter 1: first words", "## First words"),
        [f"{D}/{FIRST}:65: answers.md has no '## Chapter 1: first words'"],
    ),
    "answers under another title": (
        ("answers.md", "## Chapter 1: first words", "## Chapter 1: words"),
        [
            f"{D}/{FIRST}:65: answers.md:3 should be '## Chapter 1: first words', and is "
            "'## Chapter 1: words'"
        ],
    ),
    "answers of no chapter": (
        ("answers.md", "# Answers\n", "# Answers\n\n## Chapter 17: the end\n"),
        [f"{D}/answers.md:3: there is no chapter 17"],
    ),
    "too few questions": (
        (THIRD, "4. What is 4?\n5. What is 5?\n", ""),
        [f"{D}/{THIRD}:5: the questions are one numbered list of 5 to 8; found 3"],
    ),
    "no questions": (
        (THIRD, "## Questions", "## Queries"),
        [f"{D}/{THIRD}:26: a chapter ends with ## Questions and then ## Exercises"],
    ),
    "an exercise of another number": (
        (THIRD, "### Exercise 3.2:", "### Exercise 3.4:"),
        [f"{D}/{THIRD}:13: the exercises are ### Exercise 3.1: a title, to 3.3, and nothing else"],
    ),
    "no solutions": (
        ("solutions/test_03_the_engine.py", None),
        [
            f"{D}/{THIRD}:13: there is no solutions/test_03_the_engine.py",
            *(
                f"{D}/{THIRD}:{line}: the link solutions/test_03_the_engine.py: there is no "
                "solutions/test_03_the_engine.py"
                for line in (17, 21, 25)
            ),
        ],
    ),
    "a solution too few": (
        ("solutions/test_03_the_engine.py", "test_exercise_3_2", "test_exercise_3_5"),
        [
            f"{D}/{THIRD}:19: solutions/test_03_the_engine.py has no function test_exercise_3_2",
            f"{D}/solutions/test_03_the_engine.py:4: test_exercise_3_5 solves no exercise of "
            f"{D}/{THIRD}",
        ],
    ),
    "an exercise without a link": (
        (
            THIRD,
            "3.3: count\n\n[solution](solutions/test_03_the_engine.py)",
            "3.3: count\n\nThink.",
        ),
        [
            f"{D}/{THIRD}:23: the exercise needs a link to its solution, "
            "[solution](solutions/test_03_the_engine.py)"
        ],
    ),
    # form
    "no title": (
        ("sources.md", "# Sources\n\n", ""),
        [f"{D}/sources.md:1: a file begins with its title, # Title"],
    ),
    "two titles": (
        (THIRD, "Nothing yet.", "# Another"),
        [f"{D}/{THIRD}:3: a file has one title (#); sections begin with ##"],
    ),
    "a deep heading": (
        (THIRD, "Nothing yet.", "## A\n\n### B\n\n#### C"),
        [f"{D}/{THIRD}:7: headings go down to ###, no further"],
    ),
    "a heading that skips a level": (
        (THIRD, "Nothing yet.", "### B"),
        [f"{D}/{THIRD}:3: a heading of level 3 follows one of level 1"],
    ),
    "a heading without words": (
        (THIRD, "Nothing yet.", "##"),
        [f"{D}/{THIRD}:3: a heading has no words"],
    ),
    "a number in a heading": (
        (THIRD, "Nothing yet.", "## 3.1 Why"),
        [f"{D}/{THIRD}:3: remove the number from '3.1 Why': the builder numbers headings"],
    ),
    "mathematics in a heading": (
        (THIRD, "Nothing yet.", "## Why $x$?"),
        [f"{D}/{THIRD}:3: mathematics in a heading has no sure anchor: say it in words or `code`"],
    ),
    "a block that is not closed": (
        ("README.md", "(01-what-a-language-model-is.md).\n", "(answers.md).\n\n```text\nx\n"),
        [f"{D}/README.md:5: the block that begins here is not closed"],
    ),
    "an unknown language": (
        (THIRD, "Nothing yet.", "```rust\n```"),
        [
            f"{D}/{THIRD}:3: a block has the language 'rust'; it may have one of python, output, "
            "sh, text"
        ],
    ),
    "no language": (
        (THIRD, "Nothing yet.", "```\n```"),
        [f"{D}/{THIRD}:3: a block has no language; it may have one of python, output, sh, text"],
    ),
    "an unknown word": (
        (THIRD, "Nothing yet.", "```python raise\n```"),
        [f"{D}/{THIRD}:3: a block of python cannot be 'raise'"],
    ),
    "an unknown word of an output": (
        (SECOND, "```output approx", "```output about"),
        [f"{D}/{SECOND}:19: a block of output cannot be 'about'"],
    ),
    "a block in a list": (
        (THIRD, "Nothing yet.", "- so:\n\n  ```python\n  x = 1\n  ```"),
        [f"{D}/{THIRD}:5: a block stands in a list or a quotation: move it out"],
    ),
    "a long line of code": (
        (THIRD, "Nothing yet.", "```text\n\n" + "x" * 89 + "\n```"),
        [f"{D}/{THIRD}:5: the line has 89 characters; the page has room for 88"],
    ),
    "a long line of an excerpt": (
        (FIRST, "    return twice(x) + x", "    return twice(x) + x" + "  # so" * 12),
        [
            f"{D}/{FIRST}:19: the excerpt has '    return twice(x) + x{'  # so' * 12}', but in "
            "engine.py line 7 is '    return twice(x) + x'",
            f"{D}/{FIRST}:19: the line has 95 characters; the page has room for 90",
            f"{D}/code/engine.py:6: no chapter shows lines 6 to 7, 'def thrice(x):'",
        ],
    ),
    "a long line of output": (
        (SECOND, "3.04 seconds", "3.04 seconds" + " and more" * 9),
        [f"{D}/{SECOND}:20: the line has 93 characters; the page has room for 88"],
    ),
    "an output of nothing": (
        (THIRD, "Nothing yet.", "```output\n```"),
        [
            f"{D}/{THIRD}:3: an output block has to follow the block that prints it, with nothing "
            "between"
        ],
    ),
    "an output of a text": (
        (THIRD, "Nothing yet.", "```text\n```\n\n```output\n```"),
        [f"{D}/{THIRD}:6: a block of text is not run, so it has no output"],
    ),
    "a snippet of the answers": (
        ("answers.md", "# Answers\n", "# Answers\n\n```python\nprint(1 / 0)\n```\n"),
        [f"{D}/answers.md:3: only the chapters' snippets are run and compared: here it is ```text"],
    ),
    "commands of the front page with an output": (
        (
            "README.md",
            "# A small guide\n",
            "# A small guide\n\n```sh\nls\n```\n\n```output\n5\n```\n",
        ),
        [f"{D}/README.md:3: only the chapters' snippets are run and compared: here it is ```text"],
    ),
    "an output of an excerpt": (
        (FIRST, "It can be used at once.", "```output\n6\n```"),
        [f"{D}/{FIRST}:22: an excerpt is not run, so it has no output"],
    ),
    "an excerpt that raises": (
        (FIRST, "from=train.py", "raises from=train.py"),
        [f"{D}/{FIRST}:46: an excerpt is not run, so it has no word but from=FILE"],
    ),
    "HTML in a block": (
        (THIRD, "Nothing yet.", "<div>\n\n</div>"),
        [
            f"{D}/{THIRD}:{line}: HTML is not allowed: not every form of the guide can show it"
            for line in (3, 5)
        ],
    ),
    "HTML in a line": (
        (THIRD, "Nothing yet.", "Nothing\n<b>yet</b>."),
        [f"{D}/{THIRD}:4: HTML is not allowed: not every form of the guide can show it"],
    ),
    "indented code": (
        (THIRD, "Nothing yet.", "    x = 1"),
        [f"{D}/{THIRD}:3: code stands between fences (```), not indented"],
    ),
    "a footnote": (
        (THIRD, "Nothing yet.", "Nothing yet[^1]."),
        [f"{D}/{THIRD}:3: footnotes are not allowed: say it in the text"],
    ),
    "an undefined reference": (
        (THIRD, "Nothing yet.", "See [this][there]."),
        [f"{D}/{THIRD}:3: a link that is not one, in 'See [this][there].'"],
    ),
    "a target on its own line": (
        (THIRD, "Nothing yet.", "See [there].\n\n[there]: README.md"),
        [
            f"{D}/{THIRD}:5: a link's target stands with it, [text](target), not on a line of its "
            "own"
        ],
    ),
    "a lone dollar": (
        (THIRD, "Nothing yet.", "It costs $5."),
        [f"{D}/{THIRD}:3: a $ that is no mathematics, in 'It costs $5.': put it into `code`"],
    ),
    "a macro": (
        (THIRD, "Nothing yet.", "$$\n\\newcommand{\\x}{y} \\x\n$$"),
        [f"{D}/{THIRD}:3: \\newcommand is not allowed in mathematics"],
    ),
    "a list in mathematics": (
        (THIRD, "Nothing yet.", "$$\na\n- b\n$$"),
        [
            f"{D}/{THIRD}:5: a line of mathematics begins with '-', which pandoc takes for more "
            "than mathematics: break it elsewhere"
        ],
    ),
    # files
    "a chapter is missing": (
        ("16-where-to-go-on.md", None),
        [f"{D}: 16-where-to-go-on.md is missing"],
    ),
    "the answers are missing": (
        ("answers.md", None),
        [
            f"{D}: answers.md is missing",
            f"{D}/{FIRST}:65: answers.md has no '## Chapter 1: first words'",
            ...,
        ],
    ),
    "the front page is missing": (("README.md", None), [f"{D}: README.md is missing"]),
}


def test_the_sample_is_without_mistakes(guide):
    assert static_problems(read_book(guide), None) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_named(name, guide, change):
    planted, expected = PLANTED[name]
    change(*planted)
    found = [str(problem) for problem in static_problems(read_book(guide), None)]
    if ... in expected:
        expected = expected[: expected.index(...)]
        found = found[: len(expected)]
    for index, message in enumerate(expected):
        if message.endswith(", "):  # a list of names that are not the builder's
            found[index] = found[index][: len(message)]
    assert found == expected


def test_files_that_belong_to_nothing_are_named(guide):
    (guide / "17-more.md").write_text("# More\n")
    (guide / "figures" / "old.svg").write_text("<svg/>")
    assert [str(problem) for problem in static_problems(read_book(guide), None)] == [
        f"{D}/17-more.md: this file belongs to no part of the guide",
        f"{D}/figures/old.svg: no chapter shows this figure: remove it",
    ]


def test_a_chapter_is_checked_alone(guide, change):
    """Before the other chapters are there: nothing is asked of them, nor of links to them."""
    change(THIRD, "Nothing yet.", "See [the end](16-where-to-go-on.md#x), [no](#nowhere).")
    change("16-where-to-go-on.md", None)
    change(FIRST, "[next]", "[]")
    book = read_book(guide)
    assert [str(problem) for problem in static_problems(book, [book.part("3")])] == [
        f"{D}/{THIRD}:3: the link #nowhere: {THIRD} has no heading with the anchor #nowhere"
    ]


@pytest.mark.parametrize(
    ("file", "line"),
    [("code/engine.py", 8), ("solutions/test_03_the_engine.py", 9), ("../page.md", 4)],
)
def test_a_file_that_is_not_utf8_is_named(file, line, guide):
    path = guide / file
    content = path.read_bytes()
    path.write_bytes(content + b"\xff\n")
    with pytest.raises(GuideError) as raised:
        static_problems(read_book(guide), None)
    (problem,) = raised.value.problems
    assert (problem.path, problem.line) == (shown(path.resolve()), content.count(b"\n") + 1)
    assert problem.message == f"byte {len(content)} is not UTF-8: save the file as UTF-8"


def test_a_solution_that_is_no_python(guide):
    (guide / "solutions" / "test_03_the_engine.py").write_text("x = 1\ndef (\n")
    with pytest.raises(GuideError) as raised:
        static_problems(read_book(guide), None)
    assert str(raised.value) == (
        f"{D}/solutions/test_03_the_engine.py:2: this is no Python: invalid syntax"
    )
