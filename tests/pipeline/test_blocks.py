"""The report's blocks as Markdown and as HTML."""

import re

from tinygrad_llm.pipeline.blocks import (
    Asked,
    Code,
    Heading,
    Paragraph,
    Picture,
    Table,
    Tokens,
    to_html,
    to_markdown,
)

NASTY = "<script>alert('|')</script> & ```{body} **x**"


def blocks(folder):
    picture = folder / "run" / "loss.png"
    picture.parent.mkdir()
    picture.write_bytes(b"\x89PNG")
    return [
        Heading("Title", 1),
        Paragraph("It is **bold** and `code`."),
        Table(("", "value"), [["a | b", "1"]]),
        Picture(picture, "A loss."),
        Code(NASTY, "a model"),
        Tokens(["def", " f", "<"]),
        Asked("Why?\nSay it.", "", [("base", "Because."), ("SFT", NASTY)]),
    ]


def test_markdown(tmp_path):
    text = to_markdown(blocks(tmp_path), tmp_path)
    assert text.startswith("# Title\n\nIt is **bold** and `code`.\n\n|  | value |\n|:--|--:|\n")
    assert "| a \\| b | 1 |" in text and "![A loss.](run/loss.png)" in text
    assert f"a model:\n\n````text\n{NASTY}\n````" in text  # a longer fence than the text has
    assert "```text\ndef| f|<\n```" in text
    assert "asked: Why?\n       Say it.\nbase:  Because.\nSFT:   " in text


def test_html_has_everything_and_nothing_of_a_model_is_obeyed(tmp_path):
    page = to_html(blocks(tmp_path), "A & B")
    assert "<title>A &amp; B</title>" in page and "<h1>Title</h1>" in page
    assert "It is <b>bold</b> and <code>code</code>." in page
    assert '<div class="wide"><table>' in page  # scrolls on a narrow screen
    assert 'src="data:image/png;base64,iVBORw=="' in page
    assert "<script" not in page and page.count("&lt;script&gt;") == 2
    assert page.count("{body}") == 2  # of the model, not of the page
    assert "<span>def</span><span> f</span><span>&lt;</span>" in page
    assert len(re.findall("<pre", page)) == 5 and "in the data" not in page
