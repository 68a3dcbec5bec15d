"""The guide's site in a browser, opened as files: search, colours, widths, and what it fetches."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "docs" / "guide"))

pytest.importorskip("pypandoc", reason="needs the extra 'guide'")
pytest.importorskip("pdoc", reason="needs the extra 'guide'")

from guide_site import MODULES, build, write_project  # noqa: E402

WIDE = "Wide: " + "W" * 200
PAGES = ("index", "guide", "03-the-engine", "docs/questions", "api/autograd", "solutions")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The sample's site, with an empty explorer and with things that are too wide for a phone."""
    root = tmp_path_factory.mktemp("site")
    folder = write_project(root)
    chapter = folder / "02-gradients-by-hand.md"
    row = " + ".join(f"x_{{{n}}}" for n in range(60))
    table = "\n".join("|" + cell * 20 for cell in (" heading |", " --- |", " 123456 |"))
    wide = f"\n```text\n{WIDE}\n```\n\n$$\n{row}\n$$\n\nAnd ${row}$.\n\n{table}\n"
    chapter.write_text(chapter.read_text() + wide)
    (root / "explorer.html").write_text("<!DOCTYPE html><title>The explorer</title>")
    return build(folder, root / "site", MODULES, root / "explorer.html")


@pytest.fixture
def window(chromium, site):
    """A function that opens a page; at the end, nothing was logged or fetched from elsewhere."""
    contexts, errors, requests = [], [], []

    def open_window(address, width=1280, height=800, **options):
        context = chromium.new_context(
            viewport={"width": width, "height": height}, reduced_motion="reduce", **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((site / address).as_uri())
        return page

    yield open_window
    assert errors == []
    assert [url for url in requests if not url.startswith((site.as_uri(), "data:"))] == []
    for context in contexts:
        context.close()


def test_search_finds_and_opens(window):
    page = window("api/autograd.html")
    page.keyboard.press("/")
    page.keyboard.type("newest fir")
    first = page.locator("#site-found a").first
    first.wait_for()
    assert "3.1.1 Why newest first?" in first.inner_text()
    assert first.get_attribute("aria-selected") == "true"
    assert page.locator("#site-found mark").first.inner_text() == "newest"
    page.keyboard.press("Enter")
    page.wait_for_url("**/03-the-engine.html#why-newest-first")


def test_the_arrows_choose_and_escape_closes(window):
    page = window("guide.html")
    page.keyboard.press("/")
    page.keyboard.type("gradient")
    rows = page.locator("#site-found a")
    rows.first.wait_for()
    page.keyboard.press("ArrowDown")
    assert rows.nth(1).get_attribute("aria-selected") == "true"
    named = page.get_attribute("#site-search", "aria-activedescendant")
    assert named == rows.nth(1).get_attribute("id")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert rows.last.get_attribute("aria-selected") == "true"
    page.keyboard.press("Escape")
    assert not page.is_visible("#site-results")
    page.fill("#site-search", "zyzzyva")
    page.wait_for_function("document.getElementById('site-said').textContent.startsWith('Nothing')")


def test_terms_and_names_are_found(window):
    page = window("index.html")
    for query, expected in (("jacobian", "03-the-engine.html#term-jacobian"), ("vjp", "#vjp")):
        page.fill("#site-search", query)
        page.wait_for_function(
            "end => document.querySelector('#site-found a')?.href.endsWith(end)", arg=expected
        )


def test_the_dark_switch_is_remembered(window):
    page = window("index.html", color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.click("#site-theme")
    dark = page.evaluate(ground)
    assert dark != light and page.get_attribute("#site-theme", "aria-pressed") == "true"
    page.click("text=The guide")
    page.wait_for_url("**/guide.html")
    assert page.evaluate(ground) == dark
    page.click("#site-theme")
    page.reload()
    assert page.evaluate(ground) == light


def test_dark_by_preference(window):
    page = window("index.html", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 25, 29)"
    assert page.get_attribute("#site-theme", "aria-pressed") == "true"


@pytest.mark.parametrize("name", [*PAGES, "02-gradients-by-hand", "source/programs/first.py"])
@pytest.mark.parametrize("width", [390, 700, 1100, 1440])
def test_nothing_is_wider_than_the_window(window, name, width):
    page = window(f"{name}.html", width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_too_wide_scrolls_in_itself(window):
    page = window("02-gradients-by-hand.html", width=390)
    for selector in (".code.text pre", ".display", ".long", ".table"):
        wide = page.locator(selector).first
        assert wide.evaluate("e => e.scrollWidth > e.clientWidth"), selector
        assert wide.get_attribute("tabindex") == "0", selector


def test_formulas_and_figures_are_drawn(window):
    page = window("03-the-engine.html")
    assert page.locator("math").count() == 4
    fraction = page.locator("mfrac").first.bounding_box()
    assert fraction["height"] > 20
    assert page.evaluate("document.querySelector('figure img').naturalWidth") > 100


def test_code_can_be_copied(window):
    page = window("03-the-engine.html", permissions=["clipboard-read", "clipboard-write"])
    page.locator(".code.program", has_text="An array that remembers").locator(".copy").click()
    page.wait_for_selector("text=Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("class Tensor:\n") and copied.endswith("self.data = data\n")


@pytest.mark.parametrize("name", PAGES)
def test_without_javascript_the_text_is_there(window, name):
    page = window(f"{name}.html", java_script_enabled=False)
    assert page.is_visible("h1")
    assert not page.is_visible("#site-search") and not page.is_visible("#site-theme")


def test_the_first_key_skips_to_the_text(window):
    page = window("03-the-engine.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "site-text"


CONTRAST = """() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => {
      v /= 255;
      return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parts(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    const [a, b] = [light(parts(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const text = walker.currentNode.data.trim().slice(0, 30);
    if (ratio < 4.5) poor.push(`${text}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["03-the-engine", "api/autograd", "source/autograd/_tensor.py"])
def test_text_stands_out(window, name, scheme):
    page = window(f"{name}.html", color_scheme=scheme)
    assert page.evaluate(CONTRAST) == []
