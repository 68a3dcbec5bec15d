"""A chapter as pandoc's tree: lines, numbers after links, excerpts, and what pandoc refuses."""

import pytest
from builder.book import read_book
from builder.pandoc import Target, every, plain, read_tree, transformed, words, written
from builder.problems import GuideError
from guide_pdf import WIDEST, write_sample


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    return read_book(write_sample(tmp_path_factory.mktemp("pandoc")))


@pytest.fixture(scope="module")
def engine(book):
    return book.part("03-the-engine")


@pytest.fixture(scope="module")
def tree(book, engine):
    return transformed(book, engine, Target(book, engine))


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("Math", "operatorname"),
        ("CodeBlock", WIDEST),
        ("Strong", "Jacobian"),
        ("Link", "NumPy"),
    ],
)
def test_every_node_knows_its_line(engine, kind, what):
    lines = engine.text.split("\n")
    (line,) = (number for number, text in enumerate(lines, 1) if what in text)
    found = [each for each in every(read_tree(engine)["blocks"], kind) if what in str(each["c"])]
    # a fenced block stands where its fence is
    assert [each["line"] for each in found] == [line - (kind == "CodeBlock")]


def test_a_formula_that_pandoc_reads_as_text_is_named(tmp_path):
    folder = write_sample(tmp_path)
    path = folder / "03-the-engine.md"
    path.write_text(path.read_text() + "\n$$\na\n- b\n$$\n")
    chapter = read_book(folder).part("03-the-engine")
    line = path.read_text().count("\n") - 3
    with pytest.raises(GuideError) as error:
        read_tree(chapter)
    (problem,) = error.value.problems
    assert (
        str(problem)
        == f"docs/guide/03-the-engine.md:{line}: pandoc reads this formula as text: a - b"
    )


def test_headings_have_their_numbers_and_anchors(tree):
    headings = [each["c"] for each in every(tree["blocks"], "Header")]
    assert [(level, given[0], given[2]) for level, given, _ in headings] == [
        (1, "the-engine", [["number", "3"]]),
        (2, "a-node-remembers", [["number", "3.1"]]),
        (3, "why-newest-first", [["number", "3.1.1"]]),
        (2, "exercises", [["number", "3.2"]]),
        (3, "exercise-31-a-tanh", []),
    ]


def test_blocks_lose_the_builders_words_and_keep_their_places(tree):
    blocks = [each["c"][0] for each in every(tree["blocks"], "CodeBlock")]
    assert [classes for _, classes, _ in blocks] == [
        ["python"],
        ["output"],
        ["python"],
        ["sh"],
        ["text"],
    ]
    assert dict(blocks[2][2]) == {"from": "engine.py", "startFrom": "6"}


@pytest.mark.parametrize(
    ("target", "text", "shown"),
    [
        ("#why-newest-first", "the order", "the order (section 3.1.1)"),
        ("#why-newest-first", "Section 3.1.1", "Section 3.1.1"),
        ("#a-node-remembers", "section 3.1.1", "section 3.1.1 (section 3.1)"),
        ("02-gradients-by-hand.md", "before", "before (chapter 2)"),
        ("02-gradients-by-hand.md", "chapter 21", "chapter 21 (chapter 2)"),
        ("figures/loss.svg", "the loss", "the loss (figure 3.1)"),
        ("#exercise-31-a-tanh", "write one", "write one (exercise 3.1)"),
        ("answers.md#chapter-3-the-engine", "here", "here (appendix A)"),
        ("sources.md#vaswani-2017", "Vaswani et al. 2017", "Vaswani et al. 2017"),
        ("https://numpy.org", "NumPy", "NumPy"),
    ],
)
def test_links_are_followed_by_the_number_of_what_they_lead_to(book, engine, target, text, shown):
    place = book.resolve(engine, target)
    made = Target(book, engine).link(place, words(text), target)
    assert plain(made).replace("\N{NO-BREAK SPACE}", " ") == shown


def test_a_figure_is_numbered(tree):
    (figure,) = every(tree["blocks"], "Figure")
    assert figure["c"][0][0] == "figure-loss"
    assert plain(figure["c"][1][1]).startswith("Figure 3.1. The loss against the steps")


def test_it_can_be_written_as_html(engine, tree):
    html = written(engine, tree, "html5", ["--mathml"])
    assert '<h3 data-number="3.1.1" id="why-newest-first">' in html
    assert '<span class="term"><strong>computation graph</strong></span>' in html
    assert "<math" in html and "<table>" in html


def test_every_formula_that_pandoc_refuses_is_named(tmp_path):
    folder = write_sample(tmp_path)
    path = folder / "03-the-engine.md"
    text = path.read_text() + "\nHere $\\first x$.\n\n$$\n\\another x\n$$\n"
    path.write_text(text)
    book = read_book(folder)
    chapter = book.chapters[1]
    with pytest.raises(GuideError) as caught:
        written(chapter, transformed(book, chapter, Target(book, chapter)), "typst")
    first, second = (str(problem) for problem in caught.value.problems)
    count = text.count("\n")
    assert first.startswith(f"docs/guide/03-the-engine.md:{count - 4}: the formula $\\first x$ ")
    assert second.startswith(f"docs/guide/03-the-engine.md:{count - 2}: the formula $\\another x$ ")


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    folder = write_sample(tmp_path)
    path = folder / "02-gradients-by-hand.md"
    path.write_text(path.read_text() + "\nSee [it](#nowhere).\n")
    book = read_book(folder)
    with pytest.raises(GuideError, match="02-gradients-by-hand.md:10: the link #nowhere: "):
        transformed(book, book.chapters[0], Target(book, book.chapters[0]))
