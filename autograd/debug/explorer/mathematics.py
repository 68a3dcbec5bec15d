"""The derivations of autograd/kernels/*/README.md as HTML, their formulas as MathML.

A browser draws MathML by itself: the page needs no font and no library. The HTML comes from our own
files alone, and HTML written in them is escaped.
"""

import re
from functools import cache
from html import escape, unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

KERNELS = Path(__file__).resolve().parents[2] / "kernels"

SPACE = {"width": "0.1667em"}  # TeX's thin space, between a function and its argument
FUNCTIONS = {"log", "sin", "cos", "tanh", "exp", "max", "min"}
OPENING, CLOSING = {"(", "[", "{"}, {")", "]", "}"}


@cache
def derivation(folder: str) -> str:
    """The README of a folder of autograd/kernels, from its derivation on, as HTML.

    Its last section is left out: it repeats the text of reference.py. A link to another derivation
    becomes ``<a data-folder="linear">``, which the page points to that operation's card.
    """
    text = (KERNELS / folder / "README.md").read_text(encoding="utf-8")
    text, _, rest = text.partition("\n## The same in NumPy\n")
    after = rest.partition("```python")[2].partition("```")[2]  # what the README says of the code
    return _markdown().render(f"{text}\n\n{after}")


@cache
def _markdown():
    """The parser: tables, formulas between dollar signs, no HTML."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    dollarmath_plugin(parser, allow_space=True, allow_digits=True)
    parser.add_render_rule("math_inline", lambda _, tokens, i, *__: mathml(tokens[i].content))
    parser.add_render_rule("math_block", _math_block)
    parser.add_render_rule("heading_open", _heading)
    parser.add_render_rule("heading_close", _heading)
    parser.add_render_rule("link_open", _link)
    parser.add_render_rule("image", _picture)
    parser.add_render_rule("table_open", lambda *_: '<div class="card-wide"><table>')
    parser.add_render_rule("table_close", lambda *_: "</table></div>")
    return parser


def _math_block(_, tokens, i, *__):
    return f'<div class="card-wide">{mathml(tokens[i].content, block=True)}</div>\n'


def _heading(_, tokens, i, *__):
    """Three levels below the README's: the page has an h1, and each view an h3."""
    token = tokens[i]
    level = min(6, int(token.tag[1:]) + 3)
    return f"<h{level}>" if token.nesting == 1 else f"</h{level}>\n"


def _link(_, tokens, i, *__):
    target = str(tokens[i].attrGet("href"))
    folder = re.fullmatch(r"\.\./(\w+)/README\.md", target)
    return f'<a data-folder="{folder[1]}">' if folder else "<a>"


def _picture(_, tokens, i, *__):
    """A picture's caption: the page is one file, without the README's pictures."""
    return f"<em>{escape(tokens[i].content)}</em>"


# --- formulas -------------------------------------------------------------------------------------


@cache
def mathml(latex: str, block: bool = False) -> str:
    """A LaTeX formula as a <math> element that every current browser draws."""
    from latex2mathml.converter import convert_to_element

    element = convert_to_element(latex.strip(), display="block" if block else "inline")
    del element.attrib["xmlns"]  # HTML knows the element
    _mend(element)
    return ET.tostring(element, encoding="unicode")


def _mend(parent: ET.Element) -> None:
    """Repair, in all of a formula, what the converter leaves to be wished for."""
    parent.text = unescape(parent.text) if parent.text else None  # the converter writes "&#x3D;"
    for child in parent:
        _mend(child)
    _join_letters(parent)
    _space_functions(parent)
    _sign_numbers(parent)
    tag, children = parent.tag, list(parent)
    if tag == "mover" and children[1].text in ("\u2015", "\u00af"):
        parent.set("class", "card-over")  # few fonts have a bar that stretches: CSS draws it
    elif tag == "mo" and parent.text == "\u23df":  # a brace below
        parent.set("stretchy", "true")
    elif tag == "mo" and parent.text in ("\u2016", "|"):  # the second may have a subscript
        parent.attrib |= {"stretchy": "false", "lspace": "0", "rspace": "0"}
    elif tag == "mo" and parent.text == "/":
        parent.attrib |= {"lspace": "0", "rspace": "0"}
    elif tag == "mo" and parent.text in ("\u2202", "\u221e"):  # partial d and infinity: symbols
        parent.tag = "mi"
    elif tag == "mtable" and parent.find("mtr/mtd[@columnalign='left']") is not None:
        parent.set("class", "card-left")  # columnalign is not part of MathML Core


def _join_letters(parent):
    """softmax is one name, not s o f t m a x."""
    previous: Any = None
    for child in list(parent):
        upright = child.tag == "mi" and child.get("mathvariant") == "normal"
        if upright and previous is not None:
            previous.text += child.text
            previous.attrib.pop("mathvariant", None)
            parent.remove(child)
        else:
            previous = child if upright else None


def _space_functions(parent):
    """log p with a space, max(1, n) without."""
    if parent.tag not in ("mrow", "math", "mtd", "msqrt"):
        return
    for name in list(parent):
        inner = name[0] if name.tag == "msub" else name
        if inner.text not in FUNCTIONS:
            continue
        inner.tag = "mi"  # <mo> would have a space on both sides
        i = list(parent).index(name)
        if i + 1 < len(parent) and parent[i + 1].text not in OPENING:
            parent.insert(i + 1, ET.Element("mspace", SPACE))
        if i > 0 and parent[i - 1].tag in ("mi", "mn", "msub"):
            parent.insert(i, ET.Element("mspace", SPACE))


def _sign_numbers(parent):
    """x = -1 with a sign, a - 1 with a difference."""
    for before, minus in zip(parent, list(parent)[1:], strict=False):
        if minus.text == "\u2212" and before.tag == "mo" and before.text not in CLOSING:
            minus.set("form", "prefix")
