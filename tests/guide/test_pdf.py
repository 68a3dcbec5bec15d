"""The guide's PDF: what a reader finds in it, printed or read aloud; and what stops it."""

import io
from pathlib import Path

import pypdf
import pytest
from builder.book import read_book
from builder.index import Index
from builder.pdf import write_pdf
from builder.problems import GuideError
from builder.progress import Progress
from guide_pdf import CAPTION, WIDEST, write_sample
from rich.console import Console

from tinygrad_llm.version import __version__


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A book of two chapters with everything that a chapter may hold."""
    return write_sample(tmp_path_factory.mktemp("pdf"))


def built(folder: Path, out: Path) -> bytes:
    with Progress(Console(file=io.StringIO())) as progress:
        write_pdf(read_book(folder), out, progress)
    return out.read_bytes()


@pytest.fixture(scope="module")
def content(sample):
    """The bytes of its PDF."""
    return built(sample, sample / "_build" / "guide.pdf")


@pytest.fixture(scope="module")
def reader(content):
    return pypdf.PdfReader(io.BytesIO(content))


@pytest.fixture(scope="module")
def text(reader):
    """The text of all pages, its lines joined."""
    return " ".join(" ".join(page.extract_text() for page in reader.pages).split())


def tagged(reader, kind):
    """The elements of a kind in the structure that a screen reader reads."""
    found, seen = [], set()

    def walk(value):
        value = value.get_object()
        if isinstance(value, pypdf.generic.ArrayObject):
            for each in value:
                walk(each)
        elif isinstance(value, dict) and id(value) not in seen:
            seen.add(id(value))
            if value.get("/S") == kind:
                found.append(value)
            if "/K" in value:
                walk(value["/K"])

    walk(reader.trailer["/Root"]["/StructTreeRoot"])
    return found


def stopped(folder, out):
    """The mistakes that keep a book from becoming a PDF."""
    with pytest.raises(GuideError) as caught:
        built(folder, out)
    assert not out.exists()
    return [str(problem) for problem in caught.value.problems]


def change(folder, old, new, name="03-the-engine.md"):
    path = folder / name
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


def test_it_begins_with_a_title_page_and_the_contents(reader):
    first, contents = reader.pages[0].extract_text(), reader.pages[2].extract_text()
    assert "Build a Large Language" in first and f"Version {__version__}" in first
    assert reader.metadata.title.startswith("Build a Large Language Model (from Scratch)")
    assert reader.trailer["/Root"]["/Lang"] == "en-GB"
    lines = [line.replace(".", "") for line in contents.split("\n")]
    for number, title in (("2", "Gradients by hand"), ("31", "A node remembers")):
        assert any(line.startswith(number) and title in line for line in lines), title


def test_bookmarks_name_chapters_and_sections(reader):
    def titles(items):
        return [titles(item) if isinstance(item, list) else item.title for item in items]

    outline = titles(reader.outline)
    at = outline.index("3 The engine")
    assert outline[at + 1][:2] == ["3.1 A node remembers", ["3.1.1 Why newest first?"]]
    assert outline[-1] == "Index" and "B Solutions" in outline


def test_links_say_on_paper_where_they_lead(text):
    assert "the order matters (section 3.1.1)" in text
    assert "falls in two stages (figure 3.1)" in text
    assert "the earlier chapter (chapter 2)" in text
    assert "see section 2.1 for more" in text  # a text that has the number is left alone
    assert "its own tensor (autograd/_tensor.py)" in text
    assert 'Watch it (tinygrad-llm explore --at "graph=reuse&view=order")' in text
    assert "Vaswani et al. 2017, section 3.2, is" in text
    assert "numpy.org/doc/stable" in text  # in a note
    assert "all you need. arXiv:1706.03762." in text  # an address that one knows


def test_an_appendix_is_referred_to_by_its_page(reader, text):
    page = next(
        number
        for number, page in enumerate(reader.pages, 1)
        if "solutions/test_03_the_engine.py, " in page.extract_text()
    )
    assert f"Solution (appendix B, page {page})." in text


def test_solutions_are_named_and_not_printed(text):
    assert "On paper only the files are named" in text
    assert "test_exercise_3_1" not in text


def test_links_lead_there(reader):
    targets = set()
    for page in reader.pages:
        for note in page.get("/Annots", []):
            note = note.get_object()
            action = note.get("/A", {})
            targets.add(action.get("/URI") if "/URI" in action else "inside")
    assert {"inside", "https://numpy.org/doc/stable/"} <= targets


def test_terms_are_in_the_index(reader):
    defined = next(
        number
        for number, page in enumerate(reader.pages, 1)
        if "records what was computed" in page.extract_text()
    )
    index = reader.pages[-1].extract_text()
    assert f"computation graph {defined}" in " ".join(index.split())
    assert "GELU" in index  # small in code alone
    assert "Jacobian" in index  # written with a capital everywhere
    assert "\nchain rule" in index  # small, although it begins a sentence where it is defined


def test_a_heading_that_names_a_term_is_in_the_index_too(sample):
    index = Index(read_book(sample))
    assert index.keys_in("Computation graphs, again") == ["computation graph"]
    assert index.keys_in("Recomputation graphics") == []


def test_excerpts_show_their_file_and_line_numbers(reader):
    page = next(page for page in reader.pages if "class Tensor" in page.extract_text())
    lines = [line.strip() for line in page.extract_text().split("\n")]
    assert "engine.py" in lines
    assert "6 class Tensor:" in lines
    assert any(line.startswith("10 ") and "self.data" in line for line in lines)


def test_it_is_tagged_and_says_that_it_is_accessible(reader, content):
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert b"pdfuaid:part" in root["/Metadata"].get_object().get_data()
    for kind in ("/H1", "/H2", "/H3", "/Table", "/TH", "/L", "/Code", "/Link", "/Caption"):
        assert tagged(reader, kind), kind


def test_figures_have_their_captions_as_texts(reader):
    assert [each["/Alt"] for each in tagged(reader, "/Figure")] == [CAPTION.replace("`", "")]


def test_formulas_have_their_tex_as_texts(reader):
    texts = [each["/Alt"] for each in tagged(reader, "/Formula")]
    assert "p = \\operatorname{softmax}(z)" in texts
    assert any(text.startswith("\\frac{\\partial L}{\\partial x_i} = \\sum") for text in texts)


def test_fonts_are_those_of_typst_and_embedded(reader):
    names = set()
    for page in reader.pages:
        for font in page["/Resources"].get("/Font", {}).values():
            inner = font.get_object().get("/DescendantFonts", [font])[0].get_object()
            descriptor = inner["/FontDescriptor"].get_object()
            assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(descriptor)
            names.add(inner["/BaseFont"].split("+")[1])
    families = ("LibertinusSerif", "NewComputerModern", "NewCM", "DejaVuSansMono")
    assert all(name.startswith(families) for name in names), names


def test_the_same_text_gives_the_same_bytes(content, tmp_path):
    assert built(write_sample(tmp_path), tmp_path / "guide.pdf") == content


def test_the_widest_line_that_is_allowed_stays_whole(text):
    assert WIDEST in text


@pytest.mark.parametrize("place", ["formula", "table", "name"])
def test_what_runs_out_of_the_page_is_named_by_its_section(place, tmp_path):
    folder = write_sample(tmp_path)
    wide = {
        "formula": f"$$\n{' + '.join('a' * 60)}\n$$",
        "table": f"| a | b |\n| - | - |\n| {'a' * 60} | {'b' * 60} |",
        "name": f"`{'a' * 120}`",
    }[place]
    change(folder, "Because. [Watch it]", f"Because.\n\n{wide}\n\n[Watch it]")
    (problem,) = stopped(folder, tmp_path / "guide.pdf")
    lines = (folder / "03-the-engine.md").read_text().split("\n")
    line = lines.index("### Why newest first?") + 1
    assert problem.startswith(f"docs/guide/03-the-engine.md:{line}: something after this heading, ")
    assert "runs out of the page" in problem


def test_a_line_that_is_too_wide_is_named(tmp_path):
    folder = write_sample(tmp_path)
    change(folder, WIDEST, WIDEST + "+")
    line = (folder / "03-the-engine.md").read_text().split("\n").index(WIDEST + "+") + 1
    assert stopped(folder, tmp_path / "guide.pdf") == [
        f"docs/guide/03-the-engine.md:{line}: the line has 89 characters; the page has room for 88"
    ]


def test_a_broken_formula_is_named(tmp_path):
    folder = write_sample(tmp_path)
    change(folder, r"\operatorname{softmax}(z)", r"\operatorname{softmax}(z")
    change(folder, r"g_x = J^\top g_y", r"g_x = \jacobian g_y")
    (problem,) = stopped(folder, tmp_path / "guide.pdf")
    lines = (folder / "03-the-engine.md").read_text().split("\n")
    line = next(number for number, text in enumerate(lines, 1) if text.strip() == "$$")
    assert problem.startswith(f"docs/guide/03-the-engine.md:{line}: the formula $\\frac{{")
    assert "unexpected control sequence \\jacobian" in problem


def test_what_typst_refuses_is_named_by_the_line_in_the_markdown(tmp_path):
    folder = write_sample(tmp_path)
    change(folder, "Every program that learns", "Every \N{GRINNING FACE} program that learns")
    (problem,) = stopped(folder, tmp_path / "guide.pdf")
    lines = (folder / "03-the-engine.md").read_text().split("\n")
    line = next(number for number, text in enumerate(lines, 1) if "\N{GRINNING FACE}" in text)
    assert problem.startswith(f"docs/guide/03-the-engine.md:{line}: Typst says: ")
    assert "font" in problem


@pytest.mark.parametrize("above", [22, 23, 24, 25])
def test_a_page_has_at_least_three_lines_of_a_longer_listing(above, tmp_path):
    folder = write_sample(tmp_path)
    filler = "\n\n".join(["Filler."] * above)
    listing = "\n".join(f"line {count}" for count in range(9))
    change(
        folder,
        "It was before",
        f"{filler}\n\n```text\n{listing}\n```\n\nIt was before",
        "02-gradients-by-hand.md",
    )
    content = built(folder, tmp_path / "guide.pdf")
    texts = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages]
    counts = [text.count("\nline ") + text.startswith("line ") for text in texts]
    assert sum(counts) == 9 and all(count == 0 or count >= 3 for count in counts), counts


def test_empty_lines_of_a_listing_are_not_lost(tmp_path):
    """Listings that differ in where the empty lines stand, or in having any, are equally high."""
    heights = []
    for number, empty in enumerate(((2, 9), (1, 4), ())):
        folder = write_sample(tmp_path / str(number))
        rows = ["" if count in empty else "x" for count in range(12)]
        listing = "\n".join(rows)
        text = f"# Title\n\n```text\n{listing}\n```\n\nEnd of it.\n"
        (folder / "02-gradients-by-hand.md").write_text(text + "\n## The product\n")
        content = built(folder, folder / "guide.pdf")
        page = pypdf.PdfReader(io.BytesIO(content)).pages[3]

        def visit(text, outer, inner, *rest):
            if "End of it." in text:
                heights.append(outer[5] + outer[3] * inner[5])  # noqa: B023

        page.extract_text(visitor_text=visit)
    assert len(heights) == 3 and 100 < heights[0] < 700
    assert max(heights) - min(heights) < 1  # point
