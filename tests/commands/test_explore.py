"""``tinygrad-llm explore``: the page, what opens it, and what is refused."""

import webbrowser

import pytest
from small_model_folder import write_small_model

from autograd.debug.explorer.builtin import BUILTIN
from autograd.debug.explorer.page import unpack
from tinygrad_llm import cli
from tinygrad_llm.commands import explore as command


@pytest.fixture
def here(tmp_path, monkeypatch):
    write_small_model(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def opened(monkeypatch):
    """The addresses that a browser is asked to open."""
    addresses = []
    monkeypatch.setattr(webbrowser, "open", lambda address: addresses.append(address) or True)
    return addresses


@pytest.fixture
def few(monkeypatch):
    """Two built-in graphs in place of all: they are made each time."""
    monkeypatch.setattr(
        command, "_all_built_in", lambda: {n: BUILTIN[n] for n in ("neuron", "twice")}
    )


def fails(capsys, *words):
    """The one line that a command which fails writes to standard error."""
    assert cli.main(["explore", *words]) == 2
    *_, line = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    return line


def graphs(path):
    return {graph["name"]: graph for graph in unpack(path.read_text())[0]["graphs"]}


def test_the_default_page_has_every_built_in_graph(here, opened, capsys):
    assert cli.main(["explore"]) == 0
    page = here / "explorer.html"
    assert "page   explorer.html" in capsys.readouterr().out
    assert opened == [page.resolve().as_uri()]
    assert list(graphs(page))[0] == "gpt"
    assert set(graphs(page)) == set(command.titles())
    assert page.stat().st_size < 2_000_000


def test_the_list_names_every_graph_by_its_title(capsys):
    assert cli.main(["explore", "--list"]) == 0
    out = capsys.readouterr().out
    for title in ("A neuron", "A residual stream", "Broadcasting", "Softmax with cross-entropy",
                  "Layer normalization", "attention", "A GPT", "A LoRA layer", "A DPO pair",
                  "A tape of a tape"):  # fmt: skip
        assert title in out


def test_a_page_can_begin_with_another_graph(here, opened, few):
    assert cli.main(["explore", "--graph", "twice", "-o", "n.html", "--no-open"]) == 0
    assert opened == []
    assert list(graphs(here / "n.html")) == ["twice", "neuron"]


def test_a_model_and_a_prompt(here, opened):
    words = ["explore", "model", "--prompt", "the cat sat on the mat", "--no-open"]
    assert cli.main(words) == 0
    graph = graphs(here / "explorer.html")["model"]
    assert "".join(graph["labels"]["tokens"] + graph["labels"]["targets"][-1:]).endswith("the mat")
    assert graph["steps"][-1]["phase"] == "leaf"
    assert {"twice", "residual"} <= set(graphs(here / "explorer.html"))


def test_without_a_browser_the_path_is_printed(here, few, monkeypatch, capsys):
    for answer in (lambda address: False, _no_browser):
        monkeypatch.setattr(webbrowser, "open", answer)
        assert cli.main(["explore", "--graph", "twice"]) == 0
        assert "there is no browser to open here: open explorer.html in one" in (
            capsys.readouterr().out
        )


def _no_browser(address):
    raise webbrowser.Error("could not locate runnable browser")


def test_what_is_refused(here, capsys, monkeypatch):
    assert "there is no built-in graph 'x': choose one of gpt, " in fails(capsys, "--graph", "x")
    assert "--prompt needs a MODEL" in fails(capsys, "--prompt", "a")
    assert "--steps needs a MODEL" in fails(capsys, "--steps", "all")
    assert "leave out MODEL, or --graph" in fails(capsys, "model", "--graph", "gpt")
    assert "port is 0, but must be at least 1" in fails(capsys, "--port", "0")
    assert "model has no text of its own: pass one with --prompt" in fails(capsys, "model")
    long = "the cat sat on the mat " * 200
    assert "tokens, but model reads at most" in fails(capsys, "model", "-p", long)
    (here / "folder").mkdir()
    assert "cannot write folder: it is not a file" in fails(capsys, "-o", "folder")
    monkeypatch.setattr(command, "physical_memory", lambda: 1000)
    line = fails(capsys, "model", "-p", "the cat sat")
    assert "parameters: recording a pass takes about" in line and "explore a smaller model" in line
