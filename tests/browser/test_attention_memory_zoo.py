"""Three views in a browser: attention's backward, memory over the steps, and the bug hunt."""

import re

import numpy as np
import pytest

from autograd.debug.explorer import memory_parts, planted
from autograd.debug.explorer.tape import record
from tinygrad_llm.inspect.explorable import gpt

GPT = "#graph=gpt"


@pytest.fixture(scope="module")
def tape():
    example = gpt()
    return record(example.loss, example.model)


def step_of(tape, phase, key):
    for n, (kind, what) in enumerate(tape.events):
        if kind == phase and getattr(what, "out", what).key == key:
            return n
    raise AssertionError(key)


# --- attention ------------------------------------------------------------------------------------


def test_attention_by_keyboard(opened, default_page, tape):
    page = opened(default_page, address=f"{GPT}&view=attention&attn=h.0.attn&head=1&part=dK&at=3,2")
    text = page.page.locator(".attention-formula")
    assert text.inner_text().startswith("dK[3,2] = sum over t of (dS[t,3]/√8) Q[t,2]")
    # the query at position t >= 3, five terms
    assert len(re.findall("×", text.inner_text())) == 5
    assert "the same to the last bit" in page.text(".attention-cell")
    page.page.focus("[data-key=attention-dK]")
    page.press("ArrowRight")
    page.page.wait_for_function(
        "location.hash.includes('at=3%2C3') || location.hash.includes('at=3,3')"
    )
    assert page.page.evaluate("document.activeElement.dataset.key") == "attention-dK"
    page.press("ArrowUp")
    assert page.state["at"] == "2,3" and page.state["part"] == "dK"
    assert text.inner_text().startswith("dK[2,3]")
    page.press("Enter")
    page.page.wait_for_function("location.hash.includes('view=cell')")


def test_every_part_of_attention_adds_up(opened, default_page):
    page = opened(default_page, address=f"{GPT}&view=attention")
    for attn in ("h.0.attn", "h.1.attn"):
        for head in (0, 1):
            for part in ("S", "P", "Y", "dV", "dP", "dS", "dQ", "dK"):
                page.go(f"{GPT}&view=attention&attn={attn}&head={head}&part={part}&at=5,3")
                said = page.text(".attention-cell")
                assert "Stored" in said and "They differ" not in said, (attn, head, part)
            assert "Checked: all 8 rows do" in page.text(".page-view")


def test_what_the_mask_hides(opened, default_page):
    page = opened(default_page, address=f"{GPT}&view=attention&part=dS&at=2,6")
    assert "The mask hides key 6 from query 2" in page.text(".attention-cell")
    assert "dS is 0 here" in page.text(".attention-cell")
    page.page.click("[data-key=attention-head-1]")
    assert page.state["head"] == "1" and page.state["at"] == "2,6"
    canvas = page.page.locator("[data-key=attention-dP]")
    canvas.click(position={"x": 3, "y": canvas.bounding_box()["height"] - 5})
    assert (page.state["part"], page.state["at"]) == ("dP", "7,0")


@pytest.mark.parametrize(
    "rest", ["head=9&at=99,1", "head=x&part=nothing&at=,", "attn=none&batch=4"]
)
def test_a_strange_address_of_attention(opened, default_page, rest):
    page = opened(default_page, address=f"{GPT}&view=attention&{rest}")
    assert "Checked" in page.text(".page-view")


# --- memory ---------------------------------------------------------------------------------------


def shown_bytes(page):
    """The four sums of the chosen step, as the page writes them."""
    return page.page.locator(".memory-sums b").all_inner_texts()


def as_text(n):
    return f"{n} B" if n < 1024 else f"{int(n / 1024 * 10 + 0.5) / 10:.1f} KiB"


def test_memory_at_every_step(opened, default_page, tape):
    account = memory_parts.series_of_tape(tape)
    series = [account.bytes(kind) for kind in (0, 1, 2, None)]
    page = opened(default_page, address=f"{GPT}&view=memory")
    page.page.focus(".memory-chart")
    for n in range(account.now):
        page.wait_for_step(n)
        assert shown_bytes(page) == [as_text(int(s[n])) for s in series]
        alive = [b for b in account.buffers if b.start <= n and (b.stop is None or n < b.stop)]
        assert f"Who holds it: {len(alive)} buffer" in page.text(".page-view")
        assert page.page.locator(".memory-holders tbody tr").count() == min(len(alive), 80)
        page.press("ArrowRight")
    page.press("Enter")
    page.wait_for_step(int(np.argmax(series[3])))
    assert page.page.evaluate("document.activeElement.dataset.key") == "memory-chart"


def test_retain_graph_and_recomputation(opened, default_page, tape):
    account = memory_parts.series_of_tape(tape)
    kept = as_text(int(account.bytes(0).max()))
    last = account.now - 1
    page = opened(default_page, address=f"{GPT}&view=memory&step={last}")
    assert shown_bytes(page)[0] == "0 B"
    page.page.click("[data-key=memory-retain]")
    assert page.state["retain"] == "1" and shown_bytes(page)[0] == kept
    page.page.click("[data-key=memory-retain]")
    page.page.click("[data-key=memory-recompute]")
    again = memory_parts.part(tape)["recompute"]
    assert page.state["recompute"] == "1"
    assert f"Without recomputation it is {kept}" in page.text(".memory-peak")
    page.page.focus(".memory-chart")
    page.press("End")
    assert page.state["mem"] == str(again["steps"] - 1)
    page.go("#graph=neuron&view=memory")
    if page.page.locator(".memory-switches").count():  # where that graph is on the page
        assert page.page.locator("[data-key=memory-recompute]").is_disabled()


# --- the bug hunt ---------------------------------------------------------------------------------


def test_every_bug_is_found_by_looking(opened, default_page, tape):
    """A learner who opens the steps in order, and accuses the first at which numbers differ."""
    _, plantings = planted.hunt(tape)
    page = opened(default_page, address=f"{GPT}&view=zoo&all=1&bug=1")
    for i, planting in enumerate(plantings, start=1):
        page.go(f"{GPT}&view=zoo&all=1&bug={i}")
        assert planting.plantable.bug.name not in page.text(".page-view")
        tables = page.page.evaluate(
            """() => [...document.querySelectorAll(".zoo-inside")].map((inside) => [
                inside.querySelector(".zoo-accuse").dataset.key,
                [...inside.querySelectorAll("tbody tr")].map((row) =>
                    [...row.querySelectorAll("td")].slice(1).map((cell) => cell.textContent))
                    .filter((pair) => pair.length)])"""
        )
        assert len(tables) == len(tape.events) - len(tape.calls) - 1

        def differ(pair):
            a, b = map(float, pair)
            return abs(a - b) > 2.5e-4 * max(abs(a), abs(b))

        first = next(key for key, pairs in tables if any(map(differ, pairs)))
        page.page.click(f"[data-key='{first}']")
        page.page.wait_for_selector(".zoo-answer")
        answer = page.text(".zoo-answer")
        assert planting.plantable.bug.name in answer and "Wrong" in answer and "Right" in answer
        assert page.page.locator(".zoo-culprit").count() == 1
    page.go(f"{GPT}&view=zoo")
    assert page.page.locator(".zoo-list .good").count() == len(plantings)


def test_hints_and_wrong_guesses(opened, default_page, tape):
    _, plantings = planted.hunt(tape)
    i, planting = next((i, p) for i, p in enumerate(plantings, start=1)
                       if p.plantable.bug.name == "layer-norm-without-third-term")  # fmt: skip
    page = opened(default_page, address=f"{GPT}&view=zoo&bug={i}")
    for n, word in enumerate(["first half", "LayerNorm", "every term"], start=1):
        page.page.click("[data-key=zoo-hint]")
        assert page.page.locator(".zoo-hints li").count() == n
        assert word in page.text(".zoo-hints")
    assert page.page.locator("[data-key=zoo-hint]").is_disabled()
    page.page.click("[data-key='zoo-ln_f']")
    assert page.step == step_of(tape, "backward", "ln_f")  # what is opened is the step as well
    page.page.click("[data-key='zoo-accuse-ln_f']")
    beside = page.page.locator("[data-key='zoo-accuse-ln_f'] + span")
    assert "everything agrees" in beside.inner_text() and "part later" in beside.inner_text()
    page.page.click("[data-key='zoo-h.0.mlp']")
    page.page.click("[data-key='zoo-accuse-h.0.mlp']")
    assert "not for the first time" in page.text("[data-key='zoo-accuse-h.0.mlp'] + span")
    key = planting.found_at.key
    page.page.focus(f"[data-key='zoo-{key}']")
    page.press("Enter", "Tab")  # the button in the step that has opened
    for _ in range(3):
        if page.page.evaluate("document.activeElement.className") == "zoo-accuse":
            break
        page.press("Tab")
    page.press("Enter")
    page.page.wait_for_selector(".zoo-answer")
    assert f"Yes: LayerNorm {key}" in page.text(".page-view")
    box, panel = (page.page.locator(place).bounding_box() for place in (".zoo-found", ".page-view"))
    assert panel["y"] - 1 <= box["y"] < panel["y"] + panel["height"]  # the answer is in view


@pytest.mark.parametrize("rest", ["bug=99", "bug=x&look=y", "bug=2&guess=nowhere&hints=77"])
def test_a_strange_address_of_the_zoo(opened, default_page, rest):
    page = opened(default_page, address=f"{GPT}&view=zoo&{rest}")
    assert "Bug zoo" in page.text(".page-view")
