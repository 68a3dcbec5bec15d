"""The two views of pushes: tokens on a terminal, and a page for a browser."""

import io
import json
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from tinygrad_llm.inspect.page import page
from tinygrad_llm.inspect.pushes import Line, Other, Pushes, TokenPush
from tinygrad_llm.inspect.terminal_view import show

EVIL = "</script><script>alert(1)</script>\x1b[2J\x00\u202e&lt;{{DATA}}\n\"'"
VOID = {"meta", "br"}


def token(text, gradient=0.0, counts=True, **more):
    if gradient:
        more = {"logp": -1.0, "norm": abs(gradient), **more}
    others = (Other(EVIL, 0.5, -gradient),) if gradient else ()
    return TokenPush(len(text), text, counts=counts, gradient=gradient, others=others, **more)


def read_token(text, **more):
    return token(text, counts=False, reach=0.1, **more)


SFT = Pushes(
    "sft", 0.7,
    (Line("row", (read_token(EVIL), token(" so", -0.4), token(EVIL, -0.1)), -0.5),),
    1e-9, 0.4,
)  # fmt: skip
PAIR = Pushes(
    "sigmoid", 0.69,
    (
        Line("chosen", (read_token("why"), token(" a", -0.02, both=0.0, both_norm=0.0),
                        token(" fork", -0.04, both=-0.05, both_norm=0.07)), -0.05),
        Line("rejected", (read_token("why"), token(" a", 0.02, both=0.0, both_norm=0.0),
                          token(" knife", 0.03, both=0.05, both_norm=0.07),
                          token(EVIL, 0.01)), 0.05),
    ),
    1e-9, 0.05, rewards=(0.0, 0.1),
)  # fmt: skip
PACKED = Pushes(
    "sft", 0.7,
    (Line("row", (read_token("why"), token(" so", -0.4),
                  read_token("other", document=1), read_token(" text", document=1)), -0.5),),
    1e-9, 0.4,
)  # fmt: skip


# --- the terminal ---------------------------------------------------------------------------------


def printed(pushes, **options):
    out = io.StringIO()
    show(pushes, Console(file=out, markup=False, highlight=False, emoji=False, **options))
    return out.getvalue()


def test_tokens_have_colours_on_a_terminal():
    text = printed(PAIR, force_terminal=True, color_system="truecolor", width=100)
    up, down = re.search(r"48;2;(\d+);(\d+);(\d+)m fork", text), re.search(
        r"48;2;(\d+);(\d+);(\d+)m knife", text
    )  # fmt: skip
    red, green = (int(up[i]) for i in (1, 2))
    assert green > red
    red, green = (int(down[i]) for i in (1, 2))
    assert red > green
    assert re.search(r"\x1b\[90mwhy", text)  # grey


def test_a_stronger_push_is_stronger_in_colour():
    text = printed(PAIR, force_terminal=True, color_system="truecolor", width=100)
    strengths = [int(x) for x in re.findall(r"48;2;0;(\d+);\d+m", text)]
    assert len(strengths) == 2 and strengths[0] < strengths[1]


@pytest.mark.parametrize("way", ["NO_COLOR", "a file"])
def test_without_colour_there_are_marks(way, monkeypatch):
    if way == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
        text = printed(PAIR, force_terminal=True, width=200)
    else:
        text = printed(PAIR, width=200)
    assert "38;2" not in text and "48;2" not in text
    assert "why[ a +4][ fork +9]" in text
    assert "why[ a -4][ knife -7][" in text


def test_the_table_has_the_numbers():
    lines = printed(PAIR, width=200).splitlines()
    (fork,) = [line for line in lines if line.startswith("' fork'")]
    assert fork.split()[2:6] == ["-1.000", "-0.0400", "-0.0500", "0.0400"]
    assert "chosen: 1 of 3 tokens do not count; their |dL/dz| is 0, |dL/dx| up to 0.1" in lines
    assert any("dL/dz = -0.05 (e_y - p)" in line for line in lines)
    assert any("differ by at most 1.0e-09; the largest number is 0.05" in line for line in lines)


@pytest.mark.parametrize("pushes", [SFT, PAIR, PACKED])
def test_nothing_in_a_token_controls_the_terminal(pushes):
    text = printed(pushes, width=200)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    text = printed(pushes, force_terminal=True, color_system="truecolor", width=200)
    text = re.sub(r"\x1b\[[\d;]*m", "", text)  # colours
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_the_texts_of_a_packed_row_are_apart():
    assert "why[ so +9]\n-- the next text of the row --\nother text\n" in printed(PACKED, width=200)


# --- the page -------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """The tags of a page, which must be balanced, with the text in each token's span."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.tokens, self.data = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        tag, attrs = self.open[-1] if self.open else ("", {})
        if "data-k" in attrs:
            self.tokens.append((attrs["data-k"], attrs["class"].split()[1:], data))
        if attrs.get("id") == "data":
            self.data += data


pages = pytest.mark.parametrize("pushes", [SFT, PAIR, PACKED], ids=["sft", "pair", "packed"])


@pages
def test_the_page_is_whole_and_stands_alone(pushes):
    text = page(pushes, f"model {EVIL}")
    reader = Reader(text)
    assert [tag for tag, _ in reader.tags].count("script") == 2
    assert not re.search(r"https?:|//\w|@import|url\(", text)
    assert not any({"src", "href"} & attrs.keys() for _, attrs in reader.tags)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "{{" not in text.replace("{{DATA}}", "")
    data = json.loads(reader.data)
    assert [len(line["tokens"]) for line in data] == [len(line.tokens) for line in pushes.lines]


@pages
def test_every_token_is_there_once(pushes):
    shown = Reader(page(pushes, "a model")).tokens
    keys = [key for key, _, _ in shown]
    assert len(set(keys)) == len(keys)
    of_lines = [f"{b}.{i}" for b, line in enumerate(pushes.lines) for i in range(len(line.tokens))]
    prompt = ["1.0"] if pushes.is_pair else []  # of both answers: it is shown once
    assert sorted(keys) == sorted(set(of_lines) - set(prompt))


def test_the_colours_say_what_is_pushed():
    kinds = {key: kind for key, kind, _ in Reader(page(PAIR, "a model")).tokens}
    assert kinds["0.0"] == ["silent"]
    assert kinds["0.1"] == ["up", "cancels"] and kinds["1.1"] == ["down", "cancels"]
    assert kinds["0.2"] == ["up"] and kinds["1.2"] == ["down"]
    text = page(PAIR, "a model")
    (style,) = re.findall(r'data-k="0\.1".*?style="(.*?)"', text)
    assert re.fullmatch(r"--own:0\.\d+;--both:0;--inputs:0", style)
    (style,) = re.findall(r'data-k="0\.0".*?style="(.*?)"', text)
    assert style == "--own:0;--both:0;--inputs:0.9"


def test_answers_stand_above_each_other():
    text = page(PAIR, "a model")
    columns = re.findall(r'<span class="column">(.*?)</span></span>', text, re.S)
    keys = [re.findall(r'data-k="(.*?)"', column) for column in columns]
    assert keys == [["0.1", "1.1"], ["0.2", "1.2"], ["1.3"]]
    assert 'class="gap"' in columns[2]
    assert text.index('class="fork"') < text.index('data-k="0.2"')
    assert text.index('data-k="1.1"') < text.index('class="fork"')


def test_the_neighbour_of_a_packed_row_is_named():
    headings = re.findall(r"<h2>(.*?)<small>(.*?)</small>", page(PACKED, "a model"))
    assert [what for _, what in headings] == [
        "the labels of this text count", "a neighbour: no label counts"
    ]  # fmt: skip


def test_the_numbers_are_there_without_a_script():
    text = page(PAIR, "a model")
    body = text[text.index("<tbody>") : text.index("</tbody>")]
    assert body.count("<tr>") == sum(t.counts for line in PAIR.lines for t in line.tokens)
    assert "<td>&minus;0.04</td><td>&minus;0.05</td><td>0.04</td>" in body
