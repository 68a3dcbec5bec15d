"""Progress bars in notebooks: what is displayed below a cell, and what replaces it."""

import io
import re
import sys
import types

import pytest

from tinygrad_llm import notebook
from tinygrad_llm.commands.console import NotebookConsole, PlainConsole, make_console
from tinygrad_llm.data.download import progress_bar

CELL = """
from tinygrad_llm.commands.console import make_console

console = make_console()
with console.progress("reading <all>") as progress:
    progress(1, 4)
    progress(3, 4)
console.start(10, 20)
console.step({"step": 15, "tokens_per_second": 200.0}, 1.25)
console.stop()
console.say("that was it")
"""


@pytest.fixture
def pictures(monkeypatch):
    """The HTML of every display below a cell, each a list: the first picture and its successors."""
    shown = []

    class Handle:
        def __init__(self, page):
            self.pages = [page]
            shown.append(self.pages)

        def update(self, page):
            self.pages.append(page)

    display = types.ModuleType("IPython.display")
    display.HTML, display.display = str, lambda page, display_id: Handle(page)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(notebook, "PACE", 0.0)
    return shown


def cell_stream():
    """A stream that says that it is ipykernel's."""
    return type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()


def test_a_cell_gets_bars_and_anything_else_lines():
    assert type(make_console(cell_stream())) is NotebookConsole
    assert type(make_console(io.StringIO())) is PlainConsole


def test_a_bar_is_replaced_and_stays_when_the_work_is_over(pictures):
    with make_console(cell_stream()).progress("reading <all>") as progress:
        progress(1, 4)
        progress(3, 4)
    ((first, quarter, *_, last),) = pictures
    assert "<progress></progress>" in first and "reading &lt;all&gt;" in first
    assert '<progress value="1" max="4"></progress> 25%' in quarter
    assert '<progress value="3" max="4"></progress> 75%' in last


def test_work_whose_size_was_never_known_leaves_no_moving_bar(pictures):
    with make_console(cell_stream()).progress("reading"):
        pass
    assert "<progress" not in pictures[0][-1] and "reading" in pictures[0][-1]


def test_training_shows_steps_loss_and_rate_and_notes_stay_as_lines(pictures):
    stream = cell_stream()
    console = make_console(stream)
    console.start(10, 20)
    console.step({"step": 15, "tokens_per_second": 200.0}, 1.25)
    assert stream.getvalue() == ""
    console.step({"step": 16, "tokens_per_second": 200.0}, 1.25, "validation 1.5")
    console.stop()
    console.stop()
    assert '<progress value="15" max="20"></progress> 75% step 15/20' in pictures[0][1]
    assert "loss 1.2500" in pictures[0][1] and "200 tokens/s" in pictures[0][1]
    assert re.fullmatch(r"step 16/20 .* validation 1\.5\n", stream.getvalue())


def test_pictures_are_not_made_faster_than_they_can_be_seen(pictures, monkeypatch):
    monkeypatch.setattr(notebook, "PACE", 3600.0)
    with make_console(cell_stream()).progress("reading") as progress:
        for done in range(100):
            progress(done, 100)
    assert len(pictures[0]) == 2 and "99%" in pictures[0][-1]


def test_downloads_have_a_bar_too(pictures, monkeypatch):
    monkeypatch.setattr(sys, "stderr", cell_stream())
    with progress_bar("downloading x") as progress:
        progress(1000, 4000)
    assert "25% 1,000 bytes" in pictures[0][-1] and sys.stderr.getvalue() == ""


def test_in_a_real_notebook():
    nbformat = pytest.importorskip("nbformat", reason="nbformat makes the notebook")
    nbclient = pytest.importorskip("nbclient", reason="nbclient runs the notebook")
    pytest.importorskip("ipykernel", reason="ipykernel is what runs a notebook's cells")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute()
    reading, training, line = book.cells[0].outputs
    assert "75%" in reading["data"]["text/html"]
    assert '<progress value="15" max="20"></progress>' in training["data"]["text/html"]
    assert line["text"] == "that was it\n"
