"""The optimizer and a training run in a browser: what is shown is what was computed."""

import re

import numpy as np
import pytest

from autograd.debug.explorer import drawing, optimizer
from autograd.debug.explorer.builtin import BUILTIN
from autograd.debug.explorer.document import graph_document
from autograd.debug.explorer.page import page
from autograd.debug.explorer.tape import record
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.inspect.training_run import measure_checkpoint, run_numbers
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.training.optim import AdamW

PARTS = {"drawing": drawing.part, "optimizer": optimizer.part}
STEPS = [100, 200, 300]
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def run():
    """Three checkpoints of a small model; in the second, two units of h.1 are dead."""
    config = GPTConfig(n_layer=2, n_head=2, n_embd=8, block_size=8, vocab_size=20, dropout=0.0)
    model, rng = GPT(config, seed=1), np.random.default_rng(2)
    ids = rng.integers(0, 20, (2, 9))
    adamw = AdamW(model.named_parameters(), lr=1e-2)

    def step():
        adamw.step()
        return 1.0

    found = []
    for number in STEPS:
        bias = model.h[1].mlp.c_fc.bias.numpy().copy()
        bias[:2] = -30 if number == 200 else 0
        model.h[1].mlp.c_fc.bias.assign_(bias)
        found.append(measure_checkpoint(model, ids[:, :-1], ids[:, 1:], step))
    steps = np.arange(1, 301)
    curve = np.linspace(3, 1, 300)
    return run_numbers(STEPS, found) | {
        "name": MARKUP,
        "optimizer": "adamw",
        "lr": np.array([3e-3, 2e-3, 1e-3]),
        "kept": STEPS,
        "note": f"a note with {MARKUP}",
        "batch": {"rows": 2, "length": 8, "tokens": 16},
        "metrics": {
            "step": steps,
            "train_loss": curve,
            "grad_norm": curve,
            "lr": curve,
            "val_loss": np.where(steps % 50 == 0, curve, np.nan),
        },
    }


@pytest.fixture(scope="module")
def path(run, tmp_path_factory):
    made = BUILTIN["neuron"]()
    tape = record(made.loss, names=made.names)
    graph = graph_document(tape, "neuron", parts=PARTS)
    path = tmp_path_factory.mktemp("run") / "page.html"
    path.write_text(page({"graphs": [graph], "run": run}, "A run"), encoding="utf-8")
    return path


def table(shown, place):
    """The rows of the first table inside ``place``, each a list of texts."""
    return shown.page.eval_on_selector(
        f"{place} table",
        "t => [...t.rows].map(r => [...r.cells].map(c => c.textContent))",
    )


# --- a run -----------------------------------------------------------------------------------


def test_the_scrubber_moves_through_the_checkpoints(opened, path, run):
    shown = opened(path, "#view=run&at=0")
    assert "step 100" in shown.text(".run-at")
    shown.page.focus("#run-slider")
    shown.press("ArrowRight")
    assert shown.state["at"] == "1" and "step 200" in shown.text(".run-at")
    assert shown.page.evaluate("document.activeElement.id") == "run-slider"
    shown.press("ArrowRight")
    assert shown.state["at"] == "2" and "step 300" in shown.text(".run-at")
    shown.page.go_back()
    shown.page.wait_for_function("document.querySelector('.run-at').textContent.includes('200')")
    assert "2 of 64 units are dead" in shown.text(".page-view")
    shown.page.click("text=earlier")
    assert shown.state["at"] == "0"
    box = shown.page.locator(".run-heat").bounding_box()
    shown.page.click(".run-heat", position={"x": box["width"] - 8, "y": 5})
    assert shown.state["at"] == "2"


def test_the_numbers_are_the_measured_ones(opened, path, run):
    shown = opened(path, "#view=run&at=1&run=ratio")
    rows = table(shown, ".run-figure:nth-of-type(2)")
    assert rows[0] == ["step", *run["layers"]]
    for row, expected in zip(rows[1:], run["layer_ratio"], strict=True):
        np.testing.assert_allclose([float(x) for x in row[1:]], expected, rtol=1e-3)
    shown.page.click(".run-names >> text=h.1")
    assert shown.state["layer"] == "h.1"
    rows = table(shown, ".run-figure:nth-of-type(2)")
    inside = [n for n, p in enumerate(run["parameters"]) if p["name"].startswith("h.1.")]
    assert rows[0][1:] == [run["parameters"][n]["name"].removeprefix("h.1.") for n in inside]
    with np.errstate(divide="ignore"):
        ratios = run["update_norm"] / run["weight_norm"]
    for row, expected in zip(rows[1:], ratios[:, inside], strict=True):
        for text, number in zip(row[1:], expected, strict=True):
            if np.isfinite(number):
                assert float(text) == pytest.approx(number, rel=1e-3)
            else:  # a weight of 0 has no ratio
                assert text == "-"


def test_dead_units_are_counted(opened, path):
    shown = opened(path, "#view=run&at=1&run=dead")
    assert "At step 200, 2 of 64 units are dead." in shown.text(".page-view")
    assert table(shown, ".run-figure:nth-of-type(2)")[1:] == [
        ["100", "0", "0"],
        ["200", "0", "2"],
        ["300", "0", "0"],
    ]


@pytest.mark.parametrize("quantity", ["gradient", "stream", "attention", "hidden", "off"])
def test_every_picture_is_drawn_and_named(opened, path, quantity):
    shown = opened(path, f"#view=run&at=1&run={quantity}")
    pictures = shown.page.locator(".page-view svg[role=img]")
    labels = [pictures.nth(n).get_attribute("aria-label") for n in range(pictures.count())]
    assert len(labels) == 3 and all(labels)
    drawn = shown.page.inner_html(".page-view")
    assert not re.search(r"NaN|undefined|Infinity|\[object", drawn)


def test_names_of_strangers_are_text(opened, path):
    shown = opened(path, "#view=run")
    assert MARKUP in shown.text(".page-view")
    assert shown.page.locator("img").count() == 0


def test_it_fits_a_phone(opened, path):
    shown = opened(path, "#view=run&at=1&run=ratio&layer=h.1", width=390)
    for address in ("#view=run&at=1&run=ratio&layer=h.1", "#view=optimizer"):
        shown.go(address)
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= 390


# --- the optimizer -----------------------------------------------------------------------------


def test_every_weight_is_arrived_at_and_the_steps_are_linked(opened, path):
    shown = opened(path, "#view=optimizer&tensor=w&cell=1&opt=2")
    assert "Equal to the last bit." in shown.text(".optimizer-good")
    assert "28 of 28 are equal" in shown.text(".optimizer-good")
    made = BUILTIN["neuron"]()
    steps = optimizer.part(record(made.loss, names=made.names))
    w = next(p for p in steps["parameters"] if p["key"] == "w")
    rows = table(shown, ".optimizer-scroll")
    assert np.float32(rows[1][2]) == w["gradients"][1][1]
    assert np.float32(rows[-1][2]) == w["weights"][2][1]
    shown.page.click(".optimizer-chooser button >> text=4")
    assert shown.state["opt"] == "4"
    assert np.float32(table(shown, ".optimizer-scroll")[-1][2]) == w["weights"][4][1]
    shown.page.fill("#optimizer-cell", "[2]")
    shown.press("Tab")
    assert shown.state["cell"] == "2" and "w[2]" in shown.text(".page-view")
    shown.page.select_option("#optimizer-parameter", "b")
    assert shown.state["tensor"] == "b" and "cell" not in shown.state
    shown.go("#view=optimizer&tensor=w&cell=7")
    assert "There is no element 7" in shown.text(".optimizer-note")


def test_a_stored_weight_that_differs_is_reported(opened, tmp_path):
    """A bit of one stored weight is changed: the page must not call it equal."""
    made = BUILTIN["neuron"]()
    graph = graph_document(record(made.loss, names=made.names), "neuron", parts=PARTS)
    w = next(p for p in graph["optimizer"]["parameters"] if p["key"] == "w")
    w["weights"][3][1] = np.nextafter(w["weights"][3][1], np.float32(9))
    path = tmp_path / "page.html"
    path.write_text(page({"graphs": [graph]}, "Planted"), encoding="utf-8")
    shown = opened(path, "#view=optimizer&tensor=w&cell=1&opt=3")
    assert "Different." in shown.text(".optimizer-bad")
    assert "27 of 28 are equal" in shown.text(".optimizer-bad")
    shown.go("#view=optimizer&tensor=w&cell=0&opt=3")
    assert "Equal to the last bit." in shown.text(".optimizer-bad")


def test_a_page_without_a_run_has_no_such_tab(opened, tmp_path):
    made = BUILTIN["neuron"]()
    graph = graph_document(
        record(made.loss, names=made.names), "neuron", parts={"drawing": drawing.part}
    )
    path = tmp_path / "page.html"
    path.write_text(page({"graphs": [graph]}, "No run"), encoding="utf-8")
    tabs = opened(path).page.locator("[role=tab]").all_text_contents()
    assert "Training run" not in tabs and "Optimizer" not in tabs
