"""The guide's site: what stands on its pages, what search can find, and what stops it."""

import importlib
import json
import re
import shutil
from html.parser import HTMLParser

import pdoc.doc
import pytest
from builder.problems import GuideError
from builder.site import replace
from builder.site_checks import check_site
from builder.site_docstring import docstring_html, first_sentence
from builder.site_modules import ENGINE, public_names
from builder.site_page import Page, relative
from builder.site_search import words_of
from builder.site_signature import value_of
from guide_site import MODULES, build, write_project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return write_project(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def site(project):
    return build(project, project / "_build" / "site", MODULES)


@pytest.fixture(scope="module")
def engine(site):
    return (site / "03-the-engine.html").read_text()


@pytest.fixture(scope="module")
def index(site):
    text = (site / "assets" / "search-index.js").read_text()
    return json.loads(text.removeprefix("window.INDEX = ").removesuffix(";\n"))


@pytest.fixture
def copy(project, tmp_path):
    """A project that a test may spoil, and a page for its explorer."""
    root = tmp_path / "project"
    shutil.copytree(project.parents[1], root, ignore=shutil.ignore_patterns("_build"))
    (tmp_path / "explorer.html").write_text("<!DOCTYPE html>")
    return root / "docs" / "guide"


def stopped(folder):
    """The mistakes that keep a guide from becoming a site; nothing is left of it then."""
    out = folder.parents[2] / "out"
    with pytest.raises(GuideError) as caught:
        build(folder, out, (), folder.parents[2] / "explorer.html")
    assert not out.exists() and not list(out.parent.glob(".out*"))
    return [str(problem) for problem in caught.value.problems]


def text_of(html):
    """The text of HTML, its spaces joined."""
    found = []
    parser = HTMLParser()
    parser.handle_data = found.append
    parser.feed(html)
    return " ".join("".join(found).split())


# --- Pages ----------------------------------------------------------------------------------------


def test_headings_have_numbers_and_link_to_themselves(engine):
    heading = re.search(r'<h3 id="why-newest-first">(.*?)</h3>', engine)[1]
    assert text_of(heading) == "3.1.1 Why newest first? #"
    assert 'href="#why-newest-first"' in heading
    assert text_of(re.search(r"<h1.*?</h1>", engine)[0]) == "Chapter 3 The engine #"


def test_a_page_has_what_a_page_needs(engine):
    assert '<html lang="en"' in engine
    assert "<title>The engine · tinygrad-llm</title>" in engine
    for part in (
        "<header",
        "<main",
        "<article",
        "<nav",
        'class="skip"',
        'aria-label="On this page"',
    ):
        assert part in engine


def test_before_and_after(engine):
    before, after = re.findall(r'rel="(?:prev|next)" href="([^"]+)"', engine)
    assert (before, after) == ("02-gradients-by-hand.html", "answers.html")


def test_links_say_the_number_of_what_they_lead_to(engine):
    assert '<a href="#figure-loss">the loss, which falls in two stages</a>' in engine
    assert "(figure\u00a03.1)" in engine
    assert '<a href="sources.html#vaswani-2017">' in engine
    assert '<a href="explorer.html#graph=reuse&amp;view=order">' in engine
    assert '<a href="source/autograd/_tensor.py.html">its own tensor</a>' in engine


def test_a_figure_has_its_size_number_and_words(engine, site):
    figure = re.search(r'<figure id="figure-loss">.*?</figure>', engine, re.DOTALL)[0]
    caption = "The loss against the steps: it falls quickly while the model learns unigrams."
    assert f'src="figures/loss.svg" alt="{caption}" width="613" height="307"' in figure
    assert text_of(figure) == f"Figure 3.1 {caption}"
    assert (site / "figures" / "loss.svg").is_file()


def test_code_and_output_differ(engine):
    assert 'class="code program"' in engine and '<div class="output">' in engine
    assert '<span class="k">class</span>' in engine
    assert "<samp>WWW" in engine
    excerpt = '<a href="source/docs/guide/code/engine.py.html#L6">engine.py</a>, lines 6 to 10'
    assert excerpt in engine


def test_formulas_are_mathml(engine):
    assert engine.count("<math ") == 4
    assert '<span class="display"><math display="block"' in engine
    assert "$" not in re.sub(r"<annotation.*?</annotation>", "", engine, flags=re.DOTALL)


def test_other_pages_are_there_with_their_links(site):
    page = (site / "docs" / "questions.html").read_text()
    assert 'href="../index.html">Up</a>' in page
    assert 'href="../03-the-engine.html#a-node-remembers"' in page
    assert '<img src="../files/docs/picture.png" alt="A white dot"' in page
    assert '<div class="code text"><pre tabindex="0"><code>an indented block' in page
    folder = (site / "source" / "programs" / "index.html").read_text()
    assert 'href="first.py.html"' in folder


def test_source_has_an_anchor_for_every_line_and_whole_spans(site):
    page = (site / "source" / "autograd" / "_tensor.py.html").read_text()
    rows = re.findall(r'<span class="row" id="L(\d+)">(.*)</span>$', page, re.M)
    assert len(rows) == 6  # the last one, 7, shares its line with the end of the block
    for _, row in rows:
        assert row.count("<span") == row.count("</span>")


def test_the_guides_first_page_lists_all_sections(site):
    page = (site / "guide.html").read_text()
    assert '<a href="03-the-engine.html#a-node-remembers">' in page
    assert '<div class="code shell">' in page  # its indented commands


# --- The API --------------------------------------------------------------------------------------


def test_the_api_is_made_from_the_docstrings(site):
    page = (site / "api" / "autograd.functional.html").read_text()
    assert '<h2 id="vjp">' in page
    assert re.search(
        r'<a href="\.\./source/installed/autograd/functional/\w+\.py\.html#L\d+">', page
    )
    text = text_of(page)
    assert "autograd/functional/transforms.py, line " in text and "vjp(" in text


def test_a_class_of_a_private_module_is_explained_where_it_is_public(site):
    page = (site / "api" / "autograd.html").read_text()
    assert '<h2 id="Tensor">' in page and '<h3 id="Tensor.backward">' in page
    assert 'href="autograd.grad_mode.html#no_grad"' in page


def test_what_is_public():
    names = public_names()
    assert set(ENGINE) < set(names)
    assert "tinygrad_llm.generation" in names and "tinygrad_llm.training.trainer" in names
    assert not [name for name in names if "._" in name or ".commands" in name]


def test_values_are_as_they_are_written():
    """A set prints in an order that changes from run to run."""
    module = pdoc.doc.Module(importlib.import_module("tinygrad_llm.finetune.peft_config"))
    assert value_of(module.members["HARMLESS"]).startswith("frozenset('task_type ")


def test_docstrings():
    text = (
        "One line\ngoes on with `code`.\n\nShapes: x\nSaves: y\n\n    y = a < b\n\n    z = 1\n\n"
        "- one\n  goes on\n- two:\n\n      inside\n\nThe end."
    )
    html = docstring_html(text)
    assert "<p>One line\ngoes on with <code>code</code>.</p>" in html
    assert "<p>Shapes: x<br>Saves: y</p>" in html
    assert "y = a &lt; b\n\nz = 1" in html
    assert "<li>one\ngoes on</li><li>two:" in html
    assert html.endswith("<p>The end.</p>")
    assert first_sentence("What a.b is. Then more.\n\nAnd more.") == "What a.b is."


# --- Search ---------------------------------------------------------------------------------------


def found(index, word):
    """The titles of what has a word."""
    places = [int(place.split(",")[0]) for place in index["words"].get(word, "").split()]
    return [tuple(index["documents"][place][:3]) for place in places]


def test_search_finds_sections_pages_names_and_terms(index):
    assert ("section", "3.1.1", "Why newest first?") in found(index, "newest")
    assert ("page", "", "Questions") in found(index, "question")
    assert ("name", "", "vjp") in found(index, "vjp")
    assert ("term", "3.1", "Jacobian") in found(index, "jacobian")
    assert len(index["lengths"]) == len(index["documents"])


def test_words_of_titles_count_more(index):
    (entry,) = [d for d in index["documents"] if d[2] == "Why newest first?"]
    at = index["documents"].index(entry)
    assert f"{at},8" in index["words"]["newest"].split()


def test_words():
    assert words_of("Gradients of layer_norm: loss, was") == [
        "gradient", "of", "layer_norm", "layer", "norm", "loss", "was",
    ]  # fmt: skip


# --- Bytes, and what stops a site -----------------------------------------------------------------


def test_the_same_project_makes_the_same_bytes(project, site, tmp_path):
    again = build(project, tmp_path / "again", MODULES, site / "explorer.html")
    names = sorted(path.relative_to(site) for path in site.rglob("*") if path.is_file())
    assert names == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    assert [
        name for name in names if (site / name).read_bytes() != (again / name).read_bytes()
    ] == []


def test_a_site_takes_the_place_of_the_one_before(copy, tmp_path):
    (tmp_path / "out" / "assets").mkdir(parents=True)
    (tmp_path / "out" / "assets" / "search-index.js").touch()
    (tmp_path / "out" / "old.html").touch()
    build(copy, tmp_path / "out", (), tmp_path / "explorer.html")
    assert not (tmp_path / "out" / "old.html").exists()


def test_a_folder_with_other_things_is_left_alone(copy, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").touch()
    with pytest.raises(GuideError, match="holds something that is no site"):
        build(copy, tmp_path / "mine", (), tmp_path / "explorer.html")
    assert (tmp_path / "mine" / "letter.txt").exists()


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "03-the-engine.md", r"p = \operatorname{softmax}(z)", r"p = \nosuch{z}",
            r"docs/guide/03-the-engine.md:29: the formula $p = \nosuch{z}$ cannot be read",
        ),
        (
            "03-the-engine.md", "```python from=engine.py", "```pithon from=engine.py",
            "docs/guide/03-the-engine.md:31: code of the language 'pithon' cannot be highlighted",
        ),
        (
            "03-the-engine.md", "_tensor.py)", "_gone.py)",
            "docs/guide/03-the-engine.md:17: the link ../../autograd/_gone.py: there is no such "
            "file",
        ),
        (
            "../questions.md", "engine.md#a-node-remembers", "engine.md#a-gnome",
            "docs/questions.md:15: the link guide/03-the-engine.md#a-gnome: 03-the-engine.md has "
            "no heading with the anchor #a-gnome",
        ),
        (
            "../index.md", "questions.md#why-", "questions.md#gone",
            "docs/index.md:3: the link docs/questions.html#gone: docs/questions.html has no "
            "anchor #gone",
        ),
        (
            "../questions.md", "![A white dot]", "![]",
            "site/docs/questions.html: the picture ../files/docs/picture.png has no alt text",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(copy, name, old, new, message):
    path = copy / name
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))
    problems = [re.sub(r"^(site/\S+?):\d+:", r"\1:", problem) for problem in stopped(copy)]
    assert [problem for problem in problems if problem.startswith(message)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('<p id="a"></p><p id="a"></p>', "the id 'a' is there more than once"),
        ('<img src="https://x.org/a.png" alt="a">', "the page would load it from elsewhere"),
        ('<a href="gone.html">a</a>', "there is no such file in the site"),
        ('<a href="#gone">a</a>', "index.html has no anchor #gone"),
        ('<span class="math">x^</span>', "a formula did not become MathML"),
    ],
)
def test_the_checks_find_what_a_browser_would(tmp_path, body, message):
    frame = '<html lang="en"><title>a</title>{}</html>'
    pages = [Page("index.html", "a", "", ""), Page("lost.html", "a", "", "")]
    for page in pages:
        (tmp_path / page.address).write_text(frame.format(""))
    (tmp_path / "index.html").write_text(frame.format(body + '<a href="lost.html">b</a>'))
    with pytest.raises(GuideError, match=re.escape(message)):
        check_site(tmp_path, pages)
    (tmp_path / "index.html").write_text(frame.format(""))
    with pytest.raises(GuideError, match="no link leads from index.html to this page"):
        check_site(tmp_path, pages)


def test_relative_addresses():
    assert relative("api/a.html", "index.html") == "../index.html"
    assert relative("a.html", "a.html#b") == "#b"
    assert relative("docs/a.html", "docs/b.html#c") == "b.html#c"


def test_what_was_there_stays_where_nothing_takes_its_place(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "page.html").write_text("kept")
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "out", tmp_path / "missing", tmp_path / "before")
    assert (tmp_path / "out" / "page.html").read_text() == "kept"
