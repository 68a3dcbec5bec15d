"""Cells in a browser: their terms add up, and each leads on, down to what was given."""

import math
import re

import numpy as np
import pytest

from autograd.debug.explorer.page import unpack

READ = """() => {
  const panel = document.querySelector("[role=tabpanel]");
  const texts = (selector) => [...panel.querySelectorAll(selector)].map((e) => e.innerText);
  const table = panel.querySelector(".cell-terms");
  const rows = table ? [...table.querySelectorAll("tbody tr")] : [];
  return {
    title: panel.querySelector("h3").innerText,
    verdicts: texts(".cell-verdict"),
    heads: table ? [...table.querySelectorAll("th[scope=col]")].map((e) => e.innerText) : [],
    rows: rows.map((row) => [...row.children].map((cell) => cell.innerText)),
    foot: table ? [...table.querySelectorAll("tfoot *")].map((e) => e.innerText) : [],
    links: [...panel.querySelectorAll(".cell-terms a")].map((a) => a.getAttribute("href")),
  };
}"""


@pytest.fixture(scope="module")
def graphs(default_page):
    return unpack(default_page.read_text())[0]["graphs"]


def addresses(graph):
    """Of every tensor that has a name: its value, gradient and contributions, as addresses."""
    contributions = {}
    for tensor in graph["tensors"]:
        if tensor and tensor["kind"] == "contribution":
            contributions[tensor["of"]] = contributions.get(tensor["of"], 0) + 1
    gradients = {t["of"] for t in graph["tensors"] if t and t["kind"] == "gradient"}
    for tensor in graph["tensors"]:
        if tensor and tensor.get("key"):
            ofs = ["value"] + ["gradient"] * (tensor["id"] in gradients)
            ofs += [f"contribution.{i}" for i in range(contributions.get(tensor["id"], 0))]
            last = ",".join(str(n - 1) for n in tensor["shape"])
            for of in ofs:
                yield f"#graph={graph['name']}&view=cell&tensor={tensor['key']}&of={of}&cell={last}"


def test_the_last_element_of_every_tensor_is_explained(opened, default_page, graphs):
    page, seen, sure, summed = opened(default_page), 0, 0, 0
    for graph in graphs:
        for address in addresses(graph):
            page.go(address.replace("#", "%23").replace("%23", "#", 1))
            found = page.page.evaluate(READ)
            assert not any("\u2717" in verdict for verdict in found["verdicts"]), address
            seen += 1
            sure += any("\u2713" in verdict for verdict in found["verdicts"])
            summed += adds_up(found, address)
    assert seen > 200 and sure > seen / 2 and summed > 50


def adds_up(found, address):
    """Whether there is a column of sums; then each is the one before it and the row's own term."""
    if not found["heads"] or not found["heads"][-1].startswith("sum so far"):
        return False
    sums, total = [], 0.0
    for row in found["rows"]:
        if len(row) == len(found["heads"]):
            total += float(row[-2].split()[-1])
        else:  # the smaller terms, as one row
            total += float(re.search(r"together: (\S+)", row[0])[1])
        sums.append(total)
    shown = [float(row[-1]) for row in found["rows"]]
    size = max(map(abs, sums))
    assert np.allclose(shown, sums, rtol=1e-6, atol=1e-6 * size), address
    if any(text.startswith("the sum, in") for text in found["foot"]):
        stored = float(found["title"].split(" = ")[1])  # summed in another order: float32 differs
        assert math.isclose(total, float(found["foot"][-1]), rel_tol=1e-5, abs_tol=1e-6 * size)
        assert math.isclose(total, stored, rel_tol=1e-5, abs_tol=1e-6 * size), address
    return True


def test_terms_lead_down_to_what_was_given(opened, default_page, graphs):
    """From an element of the embedding's gradient, along the largest term, to an end."""
    page = opened(default_page)
    page.go(f"#graph={graphs[0]['name']}&view=cell&tensor=wte.weight&of=gradient")
    trail = []
    for _ in range(400):
        found = page.page.evaluate(READ)
        assert not any("\u2717" in verdict for verdict in found["verdicts"]), found["title"]
        trail.append(found["title"])
        if not found["links"]:
            break
        page.page.evaluate("(href) => { location.hash = href }", found["links"][0])
        page.page.wait_for_timeout(40)
    assert not found["links"], trail[-3:]
    assert len(trail) > 5


def test_a_cell_is_chosen_by_a_click_and_by_the_keyboard(opened, default_page):
    page = opened(default_page, "#step=3&view=tensor")
    cell = page.page.locator(".tensor-cell").nth(5)
    shown = cell.inner_text()
    cell.click()
    page.page.wait_for_function("location.hash.includes('cell=')")
    page.go("#" + "&".join(f"{k}={v}" for k, v in {**page.state, "view": "cell"}.items()))
    value = float(re.search(r"= (\S+)$", page.page.evaluate(READ)["title"])[1])
    assert math.isclose(value, float(shown), rel_tol=1e-2)
    page.go("#step=3&view=tensor")
    page.page.focus(".tensor-cell[tabindex='0']")
    page.press("ArrowRight", "ArrowDown", "Enter")
    page.page.wait_for_function("location.hash.includes('cell=')")
    assert page.step == 3, "in a table the arrows move from cell to cell"
