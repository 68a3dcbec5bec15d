"""The page of a prompt in a browser: it shows what was computed, and a keyboard is enough."""

from dataclasses import replace

import numpy as np
import pytest
from small_models import small_model, small_tokenizer

from autograd.debug.explorer.page import page
from tinygrad_llm.commands.explore import run
from tinygrad_llm.commands.explore_options import ExploreOptions
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.inspect.reading import document, read
from tinygrad_llm.model import GPT
from tinygrad_llm.pretrained import save_pretrained

EVIL = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
TEXT = "the cat sat on the mat, and the cat sat on the log"
LAYERS = 7  # of small_model("gemma3")


@pytest.fixture(scope="module")
def reading():
    return read(small_model("gemma3"), small_tokenizer(), small_tokenizer().encode(TEXT), top=3)


def written(reading, path):
    path.write_text(page({"graphs": [], "lens": document(reading)}, "a small model"))
    return path


@pytest.fixture(scope="module")
def path(reading, tmp_path_factory):
    return written(reading, tmp_path_factory.mktemp("lens") / "page.html")


def test_a_page_without_a_graph_opens_with_the_lens(opened, path, reading):
    window = opened(path)
    assert window.page.locator("[role=tab]").all_inner_texts() == ["Logit lens", "Attention maps"]
    assert window.page.locator(".controls, .tape, .drawing, .chosen").count() == 0
    grid = window.page.locator(".lens-grid tbody tr")
    assert grid.count() == len(reading.lens.names) == LAYERS + 1
    start = max(0, len(reading.texts) - 24)
    for n in range(grid.count()):
        name, *cells = grid.nth(n).locator("th, td").all_inner_texts()
        assert name == reading.lens.names[n]
        for t, cell in enumerate(cells, start):
            text = reading.best(n, t)
            assert cell.replace("·", " ").rstrip("…") == (text if len(text) < 10 else text[:8])


def test_every_number_of_a_cell_is_that_of_the_lens(opened, path, reading):
    window = opened(path, "#block=2&token=5")
    lens = reading.lens
    shown = window.page.locator(".lens-top tbody tr").all_inner_texts()
    for k, row in enumerate(shown):
        assert f"{100 * lens.top_p[3, 5, k]:.1f}"[:3] in row
    about = window.text("[aria-label='The chosen cell']")
    assert f"Entropy {lens.entropy[3, 5]:.4g}" in about
    assert f"rank {lens.rank[3, 5]:,}, log p {lens.logp[3, 5]:.4g}" in about
    assert "differ by at most 0, exactly" in window.text(".page-view")
    length = reading.gradients.length[5]
    assert f"|dL/dx| {length:.4g}"[:12] in window.text(".page-view")


def test_the_maps_are_those_of_the_model(opened, path, reading):
    window = opened(path, "#view=maps&block=4&head=1&token=9")
    p = reading.maps.weights[4][1, 9]
    rows = window.page.locator("[aria-label='The chosen row'] tbody tr").all_inner_texts()
    order = sorted(range(10), key=lambda s: -p[s])
    assert [int(row.split()[0]) for row in rows] == order
    for row, s in zip(rows, order, strict=True):
        if p[s] >= 0.1:
            assert f"{round(100 * p[s])} %" in row
    assert "The row adds up to 1.000000." in window.text(".page-view")
    cells = window.page.locator(".maps-grid tbody tr")
    found = [cells.nth(i).locator("td").all_inner_texts() for i in range(cells.count())]
    expected = np.round(100 * reading.maps.first.T.astype(np.float32)).astype(int)
    assert np.abs(np.array(found, int) - expected).max() <= 1  # halves are rounded another way
    pixels = window.page.eval_on_selector(
        ".maps-map canvas",
        """canvas => { const T = canvas.width;
           const data = canvas.getContext("2d").getImageData(0, 0, T, T).data;
           return Array.from({length: T * T}, (_, i) => data[4 * i + 3]); }""",
    )
    T = len(reading.texts)
    np.testing.assert_array_equal(np.reshape(pixels, (T, T)) > 0, np.tril(np.ones((T, T))) > 0)


def test_the_keyboard_alone(opened, path):
    window = opened(path, "#block=3&token=10")
    window.page.focus(".lens-grid td.is-chosen")
    window.press("ArrowUp", "ArrowRight", "ArrowRight")
    window.page.wait_for_function("() => location.hash.includes('token=12')")
    assert window.state["block"] == "2"
    focused = "document.activeElement.classList.contains('is-chosen')"
    assert window.page.evaluate(f"{focused} && document.activeElement.tagName") == "TD"
    window.press("Home")  # not a key of the grid: nothing happens, and nothing fails
    for _ in range(5):
        window.press("ArrowUp")
    assert window.state["block"] == "embedding"
    window.page.focus(".reading-strip .is-chosen")
    window.press("ArrowLeft")
    window.page.wait_for_function("() => location.hash.includes('token=11')")
    assert window.page.evaluate(f"{focused} && document.activeElement.tagName") == "BUTTON"
    window.page.focus("#tab-lens")
    window.press("ArrowRight", "Enter")
    window.page.wait_for_selector(".maps-grid")
    window.page.focus(".maps-grid td.is-chosen")
    window.press("ArrowDown", "ArrowRight")
    window.page.wait_for_function("() => location.hash.includes('head=1')")
    assert window.state["block"] == "1" and window.state["token"] == "11"


def test_one_view_leads_to_the_other_and_back_works(opened, path):
    window = opened(path, "#block=2&token=6")
    window.page.click("text=Where the heads of layer 2 look from here")
    window.page.wait_for_selector(".maps-grid")
    assert window.state == {"block": "2", "token": "6", "view": "maps"}
    window.page.click(".maps-head:nth-child(4)")
    assert window.state["head"] == "3"
    window.page.go_back()
    window.page.go_back()
    window.page.wait_for_selector(".lens-grid")
    assert window.page.locator(".lens-grid th.is-chosen").all_inner_texts()[1] == "layers.2"


def test_a_page_with_some_maps_says_which(opened, reading, tmp_path):
    kept = {layer: reading.maps.weights[layer] for layer in (0, 6)}
    some = replace(reading, maps=replace(reading.maps, weights=kept))
    window = opened(written(some, tmp_path / "some.html"), "#view=maps&block=3")
    assert "no map of layer 3" in window.text(".message")
    assert "layers 0, 6" in window.text(".message") and "--layers 3" in window.text(".message")
    window.go("#view=maps&block=6")
    assert window.page.locator(".maps-head").count() == 4


def test_tokens_stay_text(opened, reading, tmp_path):
    texts = (EVIL, *reading.texts[1:-1], EVIL + "\\x1b[2J")
    vocabulary = dict.fromkeys(reading.vocabulary, EVIL)
    evil = replace(reading, texts=texts, vocabulary=vocabulary)
    path = tmp_path / "evil.html"
    path.write_text(page({"graphs": [], "lens": document(evil)}, EVIL))
    for view in ("lens", "maps"):
        window = opened(path, f"#view={view}")
        assert EVIL in window.text(".reading-strip") and window.text("h1") == EVIL
        assert window.page.locator("main img, main script").count() == 0


def test_a_long_prompt_is_shown_in_parts(opened, tmp_path):
    config = GPTConfig(vocab_size=280, block_size=1024, n_layer=2, n_head=2, n_embd=8)
    ids = np.random.default_rng(0).integers(0, 256, 1000).tolist()
    path = written(read(GPT(config), small_tokenizer(), ids), tmp_path / "long.html")
    window = opened(path, "#token=600")
    assert window.page.locator(".reading-strip button").count() == 400
    assert "positions 588 to 611 of 1000" in window.text(".lens-bar")
    window.page.click("[aria-label='later positions']")
    window.page.wait_for_function("() => location.hash.includes('token=612')")
    assert window.page.locator(".lens-grid td.is-chosen").count() == 1
    window.go("#view=maps&token=999&block=0")
    assert "The row adds up to 1.00000" in window.text(".page-view")


def test_the_page_of_a_model_has_both_views_next_to_the_pass(opened, tmp_path):
    save_pretrained(small_model("llama"), small_tokenizer(), tmp_path / "model")
    path = tmp_path / "explorer.html"
    options = {"model": str(tmp_path / "model"), "prompt": TEXT, "out": str(path), "open": False}
    assert run(ExploreOptions(**options)) == 0
    window = opened(path, "#view=lens&step=4")
    assert window.page.locator(".lens-grid tbody tr").count() == 3 and window.step == 4
    window.page.focus(".lens-grid td.is-chosen")
    window.press("ArrowLeft")  # a key of the tape, but not here
    assert window.step == 4
    window.go("#graph=twice")
    assert "Logit lens" not in window.text("[role=tablist]")


def test_one_token(opened, tmp_path):
    model, tokenizer = small_model("gpt2"), small_tokenizer()
    path = written(read(model, tokenizer, tokenizer.encode("a")), tmp_path / "one.html")
    window = opened(path)
    assert "what follows is not known" in window.text(".page-view")
    assert window.page.locator("text=|dL/dx|").count() == 0
    window.go("#view=maps")
    assert "The row adds up to 1.000000." in window.text(".page-view")


@pytest.mark.parametrize("view", ["lens", "maps"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(opened, path, view, scheme):
    window = opened(path, f"#view={view}", width=390, height=844, color_scheme=scheme)
    assert window.page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_wrong_number_would_be_seen(opened, reading, tmp_path):
    """Planted: a page whose map is shifted by one key."""
    kept = {layer: np.roll(p, 1, axis=-1) for layer, p in reading.maps.weights.items()}
    wrong = replace(reading, maps=replace(reading.maps, weights=kept))
    window = opened(written(wrong, tmp_path / "wrong.html"), "#view=maps&block=4&head=1&token=9")
    assert "The row adds up to 1.000000." not in window.text(".page-view")
