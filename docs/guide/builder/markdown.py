"""Markdown read into the pieces that the guide is made of: headings, blocks, figures, links, terms.

CommonMark by markdown-it-py, with pipe tables and ``$mathematics$``. Every piece knows its line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin


@dataclass(frozen=True)
class Heading:
    """A heading as it is written, with the anchor that GitHub gives it."""

    level: int
    title: str
    anchor: str
    line: int


@dataclass(frozen=True)
class Block:
    """A fenced block. ``text`` ends with a newline unless it is empty."""

    language: str
    """The info string's first word: ``python``, ``output``, ``sh``, ``text``, or ''."""
    words: tuple[str, ...]
    """The info string's other words, such as ``raises``, ``measured`` or ``from=engine.py``."""
    text: str
    line: int
    """The line of the opening fence; the text begins on the next."""
    end: int
    """The line of the closing fence."""
    nested: bool = False
    """Whether it stands in a list or a quotation."""
    output: "Block | None" = None
    """The ``output`` block that follows this one directly."""

    @property
    def source(self) -> str | None:
        """The file of ``from=engine.py``."""
        for word in self.words:
            if word.startswith("from="):
                return word.removeprefix("from=")
        return None

    @property
    def runs(self) -> bool:
        """Whether the builder runs it: Python that is no excerpt."""
        return self.language == "python" and self.source is None


@dataclass(frozen=True)
class Image:
    """An image. One that is alone in its paragraph is a figure."""

    target: str
    alt: str
    """The Markdown between the brackets, in one line."""
    line: int
    alone: bool


@dataclass(frozen=True)
class Link:
    """A link's plain text, its target as written, and its line."""

    text: str
    target: str
    line: int


@dataclass(frozen=True)
class Term:
    """Bold words: a term where it is defined."""

    text: str
    line: int


@dataclass(frozen=True)
class NumberedList:
    """A numbered list that stands in no other list, with the count of its items."""

    items: int
    line: int


@dataclass
class Pieces:
    """What one Markdown file holds, each list in the file's order."""

    headings: list[Heading] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    """Without the outputs that belong to a block, but with an output that belongs to none."""
    images: list[Image] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    terms: list[Term] = field(default_factory=list)
    lists: list[NumberedList] = field(default_factory=list)
    texts: list[tuple[str, int]] = field(default_factory=list)
    """The pieces of plain text, each with its line: no code, no mathematics."""
    mathematics: list[tuple[str, int]] = field(default_factory=list)
    references: list[int] = field(default_factory=list)
    """The lines that define targets, ``[name]: target``."""
    html: list[int] = field(default_factory=list)
    """The lines with HTML."""
    indented: list[int] = field(default_factory=list)
    """The lines where an indented code block begins."""


@cache
def parser() -> MarkdownIt:
    """The one parser: CommonMark, tables, and mathematics by pandoc's rule for dollars."""
    made = MarkdownIt("commonmark").enable("table")
    return made.use(dollarmath_plugin, allow_space=False, allow_digits=False, allow_labels=False)


def read_pieces(text: str) -> Pieces:
    """The pieces of a Markdown text."""
    found, anchors = Pieces(), Anchors()
    environment: dict[str, Any] = {}
    tokens = parser().parse(text, environment)
    for reference in environment.get("references", {}).values():
        found.references.append(reference["map"][0] + 1)
    line, last = 1, -2  # the line of what is read; the token that closed the last fence
    for index, token in enumerate(tokens):
        if token.map is not None:
            line = token.map[0] + 1
        if token.type == "fence":
            block = _block(token)
            before = found.blocks[-1] if found.blocks else None
            if block.language == "output" and last == index - 1 and before is not None:
                found.blocks[-1] = _with_output(before, block)
            else:
                found.blocks.append(block)
                last = index
        elif token.type == "ordered_list_open" and token.level == 0:
            inside = _until(tokens, index)
            items = sum(each.type == "list_item_open" and each.level == 1 for each in inside)
            found.lists.append(NumberedList(items, line))
        elif token.type == "math_block":
            found.mathematics.append((token.content, line))
        elif token.type == "code_block":
            found.indented.append(line)
        elif token.type == "html_block":
            found.html.append(line)
        elif token.type == "inline":
            opened = tokens[index - 1]
            if opened.type == "heading_open":
                title = plain(token.children or [])
                level = int(opened.tag[1])
                found.headings.append(Heading(level, title, anchors.of(title), line))
            alone = opened.type == "paragraph_open" and len(token.children or []) == 1
            _inline(token.children or [], line, alone, found)
    return found


def _block(token: Token) -> Block:
    assert token.map is not None
    language, *words = token.info.split() or [""]
    start, end = token.map
    return Block(language, tuple(words), token.content, start + 1, end, token.level > 0)


def _with_output(block: Block, output: Block) -> Block:
    fields = (block.language, block.words, block.text, block.line, block.end, block.nested)
    return Block(*fields, output)


def _inline(children: list[Token], line: int, alone: bool, found: Pieces) -> None:
    """Images, links, terms and HTML of a paragraph, a heading or a table's cell."""
    for index, child in enumerate(children):
        if child.type == "image":
            alt = " ".join(child.content.split())
            found.images.append(Image(str(child.attrs["src"]), alt, line, alone))
        elif child.type == "link_open":
            inside = _until(children, index)
            found.links.append(Link(plain(inside), str(child.attrs["href"]), line))
        elif child.type == "strong_open":
            found.terms.append(Term(plain(_until(children, index)), line))
        elif child.type == "text":
            found.texts.append((child.content, line))
        elif child.type == "math_inline":
            found.mathematics.append((child.content, line))
        elif child.type == "html_inline":
            found.html.append(line)
        line += child.type in ("softbreak", "hardbreak") or child.content.count("\n")


def _until(tokens: list[Token], opened: int) -> list[Token]:
    """The tokens inside the pair that opens at an index."""
    closing, level = tokens[opened].type.replace("_open", "_close"), tokens[opened].level
    for end in range(opened + 1, len(tokens)):
        if tokens[end].type == closing and tokens[end].level == level:
            return tokens[opened + 1 : end]
    raise AssertionError(f"markdown-it left {closing} out")


def plain(children: list[Token]) -> str:
    """The text of inline tokens, without marks."""
    return "".join(_texts(children))


def _texts(children: list[Token]) -> Iterator[str]:
    for child in children:
        if child.type in ("softbreak", "hardbreak"):
            yield " "
        elif child.type == "math_inline":
            yield f"${child.content}$"
        elif child.type == "image":
            yield plain(child.children or [])
        else:
            yield child.content


class Anchors:
    """GitHub's anchors of one file: each title once, repeated ones with -1, -2, ..."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def of(self, title: str) -> str:
        """The anchor of the next heading."""
        first = anchor = re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
        while anchor in self._taken:
            self._taken[first] += 1
            anchor = f"{first}-{self._taken[first]}"
        self._taken[anchor] = 0
        return anchor
