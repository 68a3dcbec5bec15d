"""The notebooks run from top to bottom, and show what they show in the repository."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)

specification = importlib.util.spec_from_file_location("run_notebooks", FOLDER / "run.py")
run_notebooks = importlib.util.module_from_spec(specification)
specification.loader.exec_module(run_notebooks)

NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?")


def different(shown, printed):
    """What differs between two texts: words, or numbers by more than 1 % and rounding."""
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (shown, printed)]
    if words[0] != words[1]:
        return words
    pairs = zip(*(map(float, NUMBER.findall(text)) for text in (shown, printed)), strict=True)
    return [(a, b) for a, b in pairs if abs(a - b) > 0.01 * max(abs(a), abs(b)) + 1e-6]


def texts(cell):
    """What a cell shows as text and HTML; of figures, that there is one."""
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            yield output.name, output.text
        else:
            for kind, content in sorted(output.data.items()):
                yield kind, "a figure" if kind == "image/png" else content


def problems(book, run):
    """What the notebook of the repository and that of a run do not have in common."""
    found = []
    for kept, new in zip(book.cells, run.cells, strict=True):
        shown, printed = list(texts(kept)), list(texts(new))
        kinds = [[kind for kind, _ in pieces] for pieces in (shown, printed)]
        if kinds[0] != kinds[1]:
            found.append(f"{kept.id} shows {kinds[0]}, a run {kinds[1]}")
            continue
        for (_, a), (_, b) in zip(shown, printed, strict=True):
            if apart := different(a, b):
                found.append(f"{kept.id}: {apart}")
    return found


@each
def test_it_runs_and_shows_what_is_kept(path, tmp_path):
    kept = nbformat.read(path, as_version=4)
    executed = run_notebooks.execute(path, tmp_path)
    html = [text for cell in executed.cells for kind, text in texts(cell) if kind == "text/html"]
    run = run_notebooks.clean(executed)
    streams = {kind for cell in run.cells for kind, _ in texts(cell) if kind.startswith("std")}
    assert streams == {"stdout"}, "a cell has written to stderr"
    assert problems(kept, run) == [], "python docs/notebooks/run.py writes what they show"
    if path.stem.startswith("06"):
        assert any('<progress value="240" max="240"></progress> 100%' in page for page in html)
        assert any("Embedding(45, 64)" in page for page in html)
    else:  # the explorer's page, which is not kept
        assert any("<iframe" in page and "</iframe>" in page for page in html)


@each
def test_it_is_for_learners(path):
    """Words before and after small cells, formulas, figures, assertions, and what to try."""
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    words = [cell.source for cell in book.cells if cell.cell_type == "markdown"]
    assert len(code) >= 10 and len(words) >= 9
    assert max(len(cell.source.splitlines()) for cell in code) <= 30
    assert words[0].startswith("# ") and sum("$$" in text for text in words) >= 1
    (tries,) = [text for text in words if text.startswith("## Try this")]
    assert len(re.findall(r"^\d\. ", tries, re.M)) >= 3
    assert sum("image/png" in dict(texts(cell)) for cell in code) >= 1
    assert sum("assert " in cell.source for cell in code) >= 3


@each
def test_it_holds_nothing_of_the_run_that_made_it(path):
    book = nbformat.read(path, as_version=4)
    assert nbformat.writes(run_notebooks.clean(book)) + "\n" == path.read_text()
    assert str(Path.home()) not in path.read_text() and "/tmp/" not in path.read_text()
    assert path.stat().st_size < 200_000


@each
def test_its_links_lead_somewhere(path):
    book = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    links = [x for x in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in x]
    assert links and [x for x in links if not (path.parent / x).exists()] == []
    assert (FOLDER.parent.parent / "examples" / f"{path.stem}.py").exists()


def test_there_are_three():
    assert len(NOTEBOOKS) == 3


def test_a_notebook_that_is_out_of_date_is_noticed():
    book = nbformat.read(NOTEBOOKS[-1], as_version=4)
    other = nbformat.read(NOTEBOOKS[-1], as_version=4)
    assert problems(book, other) == []
    (cell,) = [c for c in other.cells if "log V" in "".join(text for _, text in texts(c))]
    (output,) = cell.outputs
    output.text = output.text.replace("log V 3.81", "log V 3.9")
    assert problems(book, other) == [f"{cell.id}: [(3.81, 3.9)]"]
    output.text = "loss 3.83, log W 3.81"
    assert "log W" in problems(book, other)[0]
    cell.outputs = []
    assert problems(book, other) == [f"{cell.id} shows ['stdout'], a run []"]


def test_a_text_that_came_in_pieces_is_one():
    def stream(name, text):
        return nbformat.v4.new_output("stream", name=name, text=text)

    picture = nbformat.v4.new_output("display_data", {"text/plain": "x"})
    pieces = [stream("stdout", "a"), stream("stdout", "b"), picture, stream("stdout", "c")]
    pieces.append(stream("stderr", "d"))
    found = run_notebooks.joined(pieces)
    assert [output.get("text") for output in found] == ["ab", None, "c", "d"]
