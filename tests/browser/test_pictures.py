"""The pictures of docs/explorer.md, taken from the default page.

    tinygrad-llm explore --no-open && python tests/browser/test_pictures.py explorer.html

takes them anew, into docs/. The tests take them too, and check that each shows what it should.
"""

import struct
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

DOCS = Path(__file__).parent.parent.parent / "docs"
CLOSED = "localStorage.setItem('explorer-start-here', 'closed')"

# name: (address, words on the page, what is scrolled into view)
PICTURES = {
    "explorer_card": ("#graph=gpt&step=39&view=card", "CausalAttention turns it into", None),
    "explorer_cell": (
        "#graph=gpt&step=40&tensor=h.0.attn.c_attn.weight&of=gradient&cell=2,5&view=cell&hold=1",
        "the sum of 8 products",
        None,
    ),
    "explorer_order": ("#graph=twice&view=order&walk=2", "Why newest first", None),
    "explorer_proof": (
        "#graph=gpt&step=40&tensor=h.0.attn.c_attn.weight&of=gradient&view=proof&hold=1",
        "float64",
        ".page-view svg",
    ),
    "explorer_attention": ("#graph=gpt&step=39&view=attention", "Head", "text=/^dV = /"),
    "explorer_memory": ("#graph=gpt&step=30&view=memory", "bytes", None),
}


def take(browser, page, folder):
    """Write every picture into ``folder``; returns the text of each page, by name."""
    texts = {}
    for name, (address, _, scrolled) in PICTURES.items():
        context = browser.new_context(
            viewport={"width": 1440, "height": 960}, reduced_motion="reduce", color_scheme="light"
        )
        window = context.new_page()
        window.add_init_script(CLOSED)
        window.goto(page.resolve().as_uri() + address)
        window.wait_for_selector("html[data-step]", state="attached")
        if scrolled is not None:
            window.locator(scrolled).first.evaluate("e => e.scrollIntoView({block: 'center'})")
        window.wait_for_timeout(300)
        window.screenshot(path=folder / f"{name}.png")
        texts[name] = window.inner_text("body")
        context.close()
    return texts


def pixels(path):
    """(width, height, the decompressed bytes) of a PNG."""
    data = path.read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    at, parts = 8, []
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            parts.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    return width, height, zlib.decompress(b"".join(parts))


def test_every_picture_shows_what_it_should(chromium, default_page, tmp_path):
    texts = take(chromium, default_page, tmp_path)
    for name, (_, words, _) in PICTURES.items():
        assert words.lower() in texts[name].lower(), name
        width, height, content = pixels(tmp_path / f"{name}.png")
        assert (width, height) == (1440, 960)
        assert len(set(content)) > 50  # not an empty page


def test_the_document_shows_every_picture():
    text = (DOCS / "explorer.md").read_text()
    for name in PICTURES:
        assert f"({name}.png)" in text
        assert (DOCS / f"{name}.png").is_file(), "python tests/browser/test_pictures.py"


if __name__ == "__main__":
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"] * (sys.platform == "linux")
        )
        take(chromium, Path(sys.argv[1]), DOCS)
    for name in PICTURES:
        picture = Image.open(DOCS / f"{name}.png").convert("RGB")
        picture.quantize(256).save(DOCS / f"{name}.png", optimize=True)
