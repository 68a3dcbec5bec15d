"""The explorer's page in a browser: its steps, keys, tabs and addresses, on the default page."""

import html
import re

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.debug import explore
from autograd.debug.explorer.page import unpack


@pytest.fixture(scope="module")
def graphs(default_page):
    return unpack(default_page.read_text())[0]["graphs"]


def test_the_page_is_one_small_file(default_page):
    text = default_page.read_text()
    assert len(text) < 2_000_000
    assert not re.search(r"<(?:link|img|iframe|script[^>]* src)\b", text.partition("<main")[0])


def test_every_step_forwards_and_backwards(opened, default_page, graphs):
    page = opened(default_page)
    for graph in graphs:
        page.go(f"#graph={graph['name']}")
        steps = graph["steps"]
        for step in steps:
            page.wait_for_step(step["n"])
            assert page.text(".page-words") == step["sentence"]
            now = page.page.locator(".tape-step[aria-selected=true]")
            assert now.get_attribute("id") == f"tape-{step['n']}"
            assert page.page.locator(".drawing-node.is-current").count() == 1
            page.press("ArrowRight")
        page.press("ArrowRight")
        assert page.step == steps[-1]["n"], "the last step is the last"
        for step in reversed(steps):
            page.wait_for_step(step["n"])
            assert page.text(".page-words") == step["sentence"]
            page.press("ArrowLeft")
        assert page.step == 0


def test_why_a_node_is_next_agrees_with_the_pass(opened, default_page, graphs):
    """Before each backward step, the pending nodes as the page counts them, from the events."""
    page, graph = opened(default_page), graphs[0]
    tensors, steps = graph["tensors"], graph["steps"]
    arrived, expected = {}, {}
    for step in steps:
        for part in step["contributions"]:
            expected[part["to"]] = expected.get(part["to"], 0) + 1
    taken = set()
    for step in steps:
        if step["phase"] in ("backward", "leaf"):
            page.go(f"#graph={graph['name']}&step={step['n']}")
            page.wait_for_step(step["n"])
            chips = page.page.locator(".tape-chip").all_inner_texts()
            key = tensors[step["out"]]["key"]
            n = expected[step["out"]]
            assert arrived[step["out"]] == n
            assert chips[0].split("\n") == [key, f"{n} of {n}"]
            pending = len(set(arrived) - taken)
            if pending > 1:
                assert f"newest of {pending} pending nodes" in page.text(".tape-pending")
            taken.add(step["out"])
        for part in step["contributions"]:
            arrived[part["to"]] = arrived.get(part["to"], 0) + 1


def test_every_key(opened, default_page, graphs):
    page = opened(default_page)
    last = len(graphs[0]["steps"]) - 1
    turn = next(s["n"] for s in graphs[0]["steps"] if s["phase"] == "start")
    for key, n in [("j", 1), ("ArrowRight", 2), ("k", 1), ("ArrowLeft", 0), ("b", turn),
                   ("b", turn + 1), ("b", turn + 2), ("End", last), ("Home", 0)]:  # fmt: skip
        page.press(key)
        page.wait_for_step(n)
    page.press("g", *"17", "Enter")
    page.wait_for_step(17)
    page.press("Escape", "j")
    page.wait_for_step(18)
    page.press(" ")
    page.wait_for_step(20)  # it runs
    page.press(" ")
    stopped = page.step
    page.page.wait_for_timeout(2500)
    assert page.step == stopped
    page.press("/")
    assert page.page.evaluate("document.activeElement.type") == "search"
    page.press("Escape")
    page.press("f")
    page.page.wait_for_selector(".chosen input[type=checkbox]:checked")
    assert page.state["hold"] == "1" and page.state["tensor"]
    page.press("f")
    page.page.wait_for_selector(".chosen input[type=checkbox]:not(:checked)")
    assert "hold" not in page.state
    before = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.press("d")
    assert page.page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.press("?")
    help_ = page.page.locator("dialog[open]")
    letters = dict(re.findall(r"^([a-z])\s+(.+)$", help_.inner_text(), re.MULTILINE))
    page.press("j")
    assert page.step == stopped, "keys mean nothing while the list of keys is open"
    page.press("Escape")
    assert help_.count() == 0
    tabs = page.page.locator("[role=tab]").all_inner_texts()
    assert len(tabs) > 1
    for letter, title in letters.items():
        if title in tabs:
            page.press(letter)
            page.page.wait_for_selector(f"[role=tab][aria-selected=true]:text-is('{title}')")


OPEN_EVERY_TAB = """async () => {
  const found = [];
  for (let i = 0; i < document.querySelectorAll("[role=tab]").length; i += 1) {
    const tab = () => document.querySelectorAll("[role=tab]")[i];
    if (tab().getAttribute("aria-selected") !== "true") {
      const changed = new Promise((done) => addEventListener("hashchange", done, { once: true }));
      tab().click();
      await changed;
    }
    await new Promise(requestAnimationFrame);
    found.push([tab().innerText, tab().getAttribute("aria-selected"),
      document.querySelector("[role=tabpanel]").innerText, document.documentElement.scrollWidth]);
  }
  return found;
}"""


@pytest.mark.parametrize(
    "width, height, scheme",
    [(1280, 800, "light"), (820, 1180, "dark"), (390, 844, "light"), (320, 640, "dark")],
)
def test_every_tab_of_every_graph_at_every_width(
    opened, default_page, graphs, width, height, scheme
):
    page = opened(default_page, width=width, height=height, color_scheme=scheme)
    for graph in graphs:
        turn = next(s["n"] for s in graph["steps"] if s["phase"] == "backward")
        page.go(f"#graph={graph['name']}&step={turn}")
        found = page.page.evaluate(OPEN_EVERY_TAB)
        assert len(found) > 5
        for title, selected, text, wide in found:
            where = f"{graph['name']}, {title}, {width} wide"
            assert selected == "true", where
            assert text.strip() and "could not be drawn" not in text, where
            assert wide <= width, f"{where}: {wide} pixels"


def test_tabs_by_keyboard(opened, default_page):
    page = opened(default_page)
    page.page.focus("[role=tab][aria-selected=true]")
    names = page.page.locator("[role=tab]").all_inner_texts()
    seen = []
    for _ in names:
        page.press("ArrowRight")
        focused = page.page.evaluate("document.activeElement.innerText")
        page.press("Enter")
        page.page.wait_for_selector(f"[role=tab][aria-selected=true]:text-is('{focused}')")
        assert page.page.evaluate("document.activeElement.innerText") == focused
        seen.append(focused)
    assert sorted(seen) == sorted(names) and page.step == 0
    page.press("Home")
    assert page.page.evaluate("document.activeElement.innerText") == names[0]


def test_back_and_forward_go_through_what_was_looked_at(opened, default_page):
    page = opened(default_page)
    page.press("j")
    page.wait_for_step(1)
    page.press("j")
    page.wait_for_step(2)
    page.page.locator("[role=tab]").last.click()
    page.page.wait_for_selector("[role=tab]:last-child[aria-selected=true]")
    view = page.state["view"]
    page.page.go_back()
    page.page.wait_for_selector("[role=tab]:last-child[aria-selected=false]")
    assert page.step == 2
    page.page.go_back()
    page.wait_for_step(1)
    page.page.go_forward()
    page.page.go_forward()
    page.page.wait_for_function("location.hash.includes('view=')")
    assert page.state["view"] == view and page.step == 2


def test_an_address_is_restored(opened, default_page, graphs):
    first = graphs[0]
    step = next(s for s in first["steps"] if s["phase"] == "backward" and s["module"])
    key = first["tensors"][step["out"]]["key"]
    address = f"#graph={first['name']}&step={step['n']}&tensor={key}&of=gradient&hold=1"
    page = opened(default_page, address=address)
    assert page.step == step["n"]
    assert page.page.input_value(".chosen input[type=search]") == key
    assert page.page.locator(".chosen-of [aria-pressed=true]").inner_text() == "gradient"
    page.press("j")
    page.wait_for_step(step["n"] + 1)
    assert page.page.input_value(".chosen input[type=search]") == key, "it is held"
    assert page.page.locator(".drawing-node.is-picked").count() <= 1


@pytest.mark.parametrize("address", ["#step=99999", "#step=-3", "#graph=none&view=none&cell=a,b",
                                     "#tensor=%", "#&&=&x", "#cell=9,9,9&of=contribution.77",
                                     "#of=inner.999999"])  # fmt: skip
def test_a_strange_address_shows_a_page_all_the_same(opened, default_page, address):
    page = opened(default_page, address=address)
    assert page.text(".page-words")


def test_choosing_in_the_drawing_the_tape_and_by_name(opened, default_page, graphs):
    page, tensors = opened(default_page), graphs[0]["tensors"]
    page.page.locator(".drawing-leaf").first.click()
    page.page.wait_for_function("location.hash.includes('tensor=')")
    assert page.page.locator(".drawing-node.is-picked").count() == 1
    page.page.locator("#tape-3").click()
    page.wait_for_step(3)
    assert "tensor" not in page.state, "the tensor follows the step again"
    key = next(t["key"] for t in tensors if t["kind"] == "leaf")
    page.press("/")
    page.page.keyboard.type(key)
    page.press("Enter")
    page.page.wait_for_function("location.hash.includes('tensor=')")
    assert page.state["tensor"] == key


def test_the_drawing_is_moved_and_made_larger(opened, default_page):
    page = opened(default_page)
    place = "document.querySelector('.drawing-world').style.transform"
    seen = [page.page.evaluate(place)]
    box = page.page.locator(".drawing-canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for act in (
        lambda: page.page.click("button[aria-label='Zoom in']"),
        lambda: page.page.click("text=Fit"),
        lambda: (page.page.mouse.move(x, y), page.page.mouse.wheel(0, 120)),
        lambda: (
            page.page.mouse.down(),
            page.page.mouse.move(x + 50, y + 60),
            page.page.mouse.up(),
        ),
    ):
        act()
        page.page.wait_for_timeout(50)
        seen.append(page.page.evaluate(place))
        assert seen[-1] != seen[-2]
    assert "tensor" not in page.state, "moving it chooses nothing"


def test_the_keyboard_alone_reaches_everything_and_everything_has_a_name(opened, default_page):
    page = opened(default_page)
    described = """() => {
      const e = document.activeElement, by = e.getAttribute("aria-labelledby");
      if (e === document.body) return null;
      const label = e.getAttribute("aria-label") || (by && document.getElementById(by).innerText)
        || [...(e.labels ?? [])].map((l) => l.innerText).join(" ") || e.textContent;
      const parts = ["header", "aside", ".controls", ".tape-pending", ".tape", ".drawing",
        ".tabs", ".chosen", ".page-view"];
      const part = e.closest(parts.join(","));
      return [part ? part.className : "none", e.tagName, label.trim()];
    }"""
    page.press("b", "b")
    parts, n = set(), 0
    while True:
        page.press("Tab")
        found = page.page.evaluate(described)
        n += 1
        if found is None or n > 300:
            break
        assert found[2], f"{found} has no name"
        parts.add(found[0].split(" ")[0])
    assert parts >= {"page-head", "guide", "controls", "tape-pending", "tape", "drawing", "tabs",
                     "chosen", "page-view"}  # fmt: skip


def test_in_the_drawing_the_arrows_go_from_tensor_to_tensor(opened, default_page, graphs):
    page = opened(default_page)
    page.page.focus(".drawing-node[tabindex='0']")
    page.press(*["ArrowUp"] * 3)
    names = set()
    for _ in range(len(graphs[0]["drawing"]["nodes"]) + 2):
        names.add(page.page.evaluate("document.activeElement.getAttribute('aria-label')"))
        page.press("ArrowDown")
    assert len(names) >= len(graphs[0]["drawing"]["nodes"]) and page.step == 0
    page.press("Enter")
    page.page.wait_for_function("location.hash.includes('tensor=')")


def test_the_start_here_strip_is_closed_for_good_and_the_tour_leads_on(opened, default_page):
    page = opened(default_page)
    stops = page.page.locator(".guide a")
    assert stops.count() == 5
    stops.first.click()
    seen = []
    for i in range(1, 6):
        page.page.wait_for_selector(f".guide-stops [aria-current=step]:text-is('{i}')")
        assert page.page.locator(".guide").bounding_box()["height"] <= 80
        assert page.state["tour"] == str(i) and "Look at" in page.text(".guide") or i == 2
        seen.append((page.state["graph"], page.state["view"]))
        if i < 5:
            page.page.click(".guide-next")
    assert seen[:2] == [("twice", "cell"), ("twice", "order")]
    assert (
        len({graph for graph, _ in seen[2:]}) == 1 and page.page.locator(".guide-next").count() == 0
    )
    page.page.click(".guide button")
    assert not page.page.is_visible(".guide") and "tour" not in page.state
    page.page.reload()
    assert not page.page.is_visible(".guide")
    page.page.click("text=Start here")
    assert page.page.is_visible(".guide")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_its_ground(opened, default_page, scheme):
    """The contrast of every colour of text with every ground: at least 4.5, as WCAG asks."""
    page = opened(default_page, color_scheme=scheme)
    colours = page.page.evaluate("""() => {
      const style = getComputedStyle(document.documentElement);
      const probe = document.body.appendChild(document.createElement("i"));
      const read = (name) => { probe.style.color = style.getPropertyValue(name);
        return getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map(Number); };
      const names = ["--ink", "--faint", "--accent", "--good", "--bad", "--warm", "--cold",
        "--done", "--pending", "--paper", "--sheet", "--sunk"];
      return Object.fromEntries(names.map((name) => [name, read(name)]));
    }""")

    def light(rgb):
        linear = [c / 255 / 12.92 if c < 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for ground in ("--paper", "--sheet", "--sunk"):
        for text in colours:
            if text not in ("--paper", "--sheet", "--sunk"):
                dark, bright = sorted((light(colours[text]), light(colours[ground])))
                assert (bright + 0.05) / (dark + 0.05) >= 4.5, f"{text} on {ground}, {scheme}"


@pytest.fixture(scope="module")
def large_page(tmp_path_factory):
    """A page of 2,000 operations in a row, with a weight that is used again and again."""
    weights = [Tensor(np.full((2, 2), 0.1 + i), requires_grad=True) for i in range(3)]
    x = Tensor(np.ones((1, 2)))

    def loss():
        stream = x
        for i in range(500):
            stream = stream + ops.tanh(stream @ weights[i % 3]) * 0.5
        return ops.sum(stream)

    path = tmp_path_factory.mktemp("large") / "large.html"
    explore(loss, path, names={f"layers.{i}.weight": w for i, w in enumerate(weights)})
    return path


def test_a_large_graph_is_drawn_as_far_as_it_is_seen(opened, large_page):
    page = opened(large_page)
    elements = "document.querySelectorAll('.tape *, .drawing *').length"
    last = int(page.page.get_attribute(".controls-scrubber", "max"))
    assert last > 4000
    for key in ("Home", "b", "j", "End"):
        page.press(key)
        assert page.page.evaluate(elements) < 1500
        assert page.page.locator(f"#tape-{page.step}").count() == 1
        assert page.page.locator(".drawing-node.is-current").count() == 1
    assert page.step == last
    page.page.click("text=Fit")
    assert page.page.locator(".drawing-far").count() > 0
    assert page.page.evaluate(elements) < 500
    box = page.page.locator(".drawing-canvas").bounding_box()
    page.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.state["tensor"]
    page.page.click("text=follow the step")
    for _ in range(3):
        page.page.click("button[aria-label='Zoom in']")
    page.page.locator(".tape-list").evaluate("list => { list.scrollTop = 40000 }")
    page.page.wait_for_selector("#tape-1540")


def test_in_a_notebook_the_page_stays_in_its_frame(opened, default_page, tmp_path):
    """A notebook shows the page in a frame that has no address: links must not lead out of it."""
    content = html.escape(default_page.read_text(), quote=True)
    path = tmp_path / "notebook.html"
    head = '<!doctype html><html data-step="0"><meta charset="utf-8">'
    path.write_text(f'{head}<iframe srcdoc="{content}" style="width: 100%; height: 46em">')
    page = opened(path, width=1100)
    frame = page.page.frames[1]
    frame.locator(".controls-next").click()
    frame.wait_for_selector("html[data-step='1']", state="attached")
    frame.locator(".guide a").nth(1).click()
    assert frame.url.startswith("about:srcdoc#")
    frame.wait_for_selector("[role=tab][aria-selected=true]:text-is('Why newest first')")
    frame.locator(".controls-run").click()
    begun = frame.evaluate("document.documentElement.dataset.step")
    frame.wait_for_selector(f"html:not([data-step='{begun}'])", state="attached")
