"""A chapter as Typst sets it: its special places become calls of the functions in guide.typ."""

import re

from builder.book import Book, Chapter, Figure, Place, Section
from builder.form import WIDTH, WIDTH_OF_EXCERPTS
from builder.formulas import corrected
from builder.index import Index
from builder.markdown import Block
from builder.pandoc import (
    Node,
    Target,
    every,
    node,
    plain,
    raw,
    reference,
    transformed,
    words,
    written,
)
from builder.problems import GuideError

SHORT_TABLE = 40
"""Cells of a table that is kept on one page."""
LEAD = 200
"""Characters of a paragraph that is kept with what it leads to: about two lines."""
OPENING_PAGE = 2500
"""Characters of a chapter that its first page holds at most, where no figure may stand on top."""


def typst_source(book: Book, chapter: Chapter, index: Index) -> str:
    """A chapter in Typst; comments in it say which line of the Markdown each part comes from."""
    tree = transformed(book, chapter, PdfTarget(book, chapter, index))
    blocks: list[Node] = []
    for block, following in zip(tree["blocks"], [*tree["blocks"][1:], None], strict=True):
        if following is not None and _leads_to(block, following):
            content = [_raw("#lead["), *block["c"], _raw("];")]
            block = node("Para", content) | {"line": block["line"]}
        if block["t"] == "Table" and len(every([block], "Plain")) <= SHORT_TABLE:
            parts = [_raw_block("#whole["), block, _raw_block("];")]
        else:
            parts = [block]
        blocks += [_raw_block(f"// line {block['line']}"), *parts]
    _align_left(blocks)
    tree["blocks"] = blocks
    source = written(chapter, tree, "typst-smart")
    return '#import "guide.typ": *\n\n' + corrected(source)


def _raw(text: str) -> Node:
    return raw("typst", text)


def _raw_block(text: str) -> Node:
    return raw("typst", text, block=True)


def _leads_to(block: Node, following: Node) -> bool:
    """Whether a paragraph leads to what follows, so that no page ends between the two."""
    text = plain(block).rstrip()
    if block["t"] != "Para" or len(text) > LEAD:
        return False
    is_formula = any(each["c"][0]["t"] == "DisplayMath" for each in every([following], "Math"))
    return is_formula or text.endswith(":")


def _align_left(blocks: list[Node]) -> None:
    """Columns of no stated alignment go to the left; Typst would centre them."""
    for table in every(blocks, "Table"):
        for column in table["c"][2]:
            if column[0]["t"] == "AlignDefault":
                column[0] = node("AlignLeft")


class PdfTarget(Target):
    """What a chapter's special places become on paper: calls of the functions in guide.typ."""

    def __init__(self, book: Book, chapter: Chapter, index: Index) -> None:
        super().__init__(book, chapter)
        self._index = index
        self._root = book.folder.resolve().parents[1]

    def heading(self, section: Section, title: list[Node]) -> list[Node]:
        name = quoted(identifier(self.chapter, section))
        if self.chapter.name == "sources" and section.level > 2:
            call = f"#source-key({name}, {quoted(section.title)});"
            return [_raw_block(call)]
        keys = [] if self.chapter.is_appendix else self._index.keys_in(section.title)
        marks = "".join(f"{quoted(key)}, " for key in keys)
        number = quoted(section.number)
        if section.level == 1:
            kind = "Appendix" if self.chapter.is_appendix else "Chapter"
            call = f"#part({number}, {quoted(kind)}, {name}, ({marks}))["
        else:
            call = f"#section({section.level}, {number}, {name}, ({marks}))["
        return [node("Para", [_raw(call), *title, _raw("];")])]

    def code(self, block: Block, source_line: int) -> list[Node]:
        text = block.text.rstrip("\n")
        if self.chapter.name == "solutions":  # paper names the files: they are to be run
            file = str(block.source).removeprefix("../")
            lines = words(f", {len(text.splitlines())} lines.")
            return [node("Para", [node("Code", [["", [], []], file]), *lines])]
        self._check_widths(block, text)
        if block.language == "output":
            word = ', word: "as measured"' if "measured" in block.words else ""
            call = f"#output({quoted(text)}{word})"
        elif block.language == "text":
            call = f"#listing({quoted(text)})"
        else:
            options = [f"lang: {quoted(block.language)}"] if block.language else []
            if block.source is not None:
                file = block.source.removeprefix("../")
                options.append(f"file: {quoted(file)}, first: {source_line}")
            if block.language == "sh":
                options.append('word: "shell"')
            if block.output is not None:
                options.append("output-follows: true")
            call = f"#code({', '.join([quoted(text), *options])})"
        return [_raw_block(f"// line {block.line}\n{call}")]

    def figure(self, figure: Figure, caption: list[Node]) -> list[Node]:
        file = quoted(f"figures/{figure.name}.svg")
        name, alt = quoted(f"figure:{figure.name}"), quoted(plain(caption))
        before = self.chapter.text.split("\n")[: figure.line - 1]
        place = "bottom" if len("\n".join(before)) < OPENING_PAGE else "auto"
        call = f"#picture({quoted(figure.number)}, {name}, {file}, {alt}, {place})["
        return [node("Para", [_raw(call), *caption, _raw("];")])]

    def link(self, place: Place, text: list[Node], target: str) -> list[Node]:
        if place.kind == "web":
            return self._web(text, target)
        if place.kind == "explorer":
            command = f'tinygrad-llm explore --at "{place.state}"'
            return [*text, *words(" ("), node("Code", [["", [], []], command]), *words(")")]
        if place.kind == "file":
            return [*text, *self._path(place, text)]
        if place.kind == "section" and place.chapter not in self.book.parts:
            return text  # the front page, which the PDF does without
        call = f"#go({quoted(_identifier_of(place))})["
        return [_raw(call), *text, _raw("];"), *self.suffix(place, text)]

    def suffix(self, place: Place, text: list[Node]) -> list[Node]:
        """As for every target; in an appendix, whose sections have no numbers, the page as well."""
        if place.chapter is None or not place.chapter.is_appendix or not reference(place):
            return super().suffix(place, text)
        page = _raw(f"#on-page({quoted(_identifier_of(place))});")
        return [*words(f" (appendix\u00a0{place.chapter.number}, "), page, *words(")")]

    def term(self, text: list[Node]) -> list[Node]:
        call = f"#term({quoted(self._index.key(plain(text)))})["
        return [_raw(call), *text, _raw("];")]

    def math(self, tex: str, display: bool) -> list[Node]:
        call = f"#formula({quoted(' '.join(tex.split()))})["
        return [_raw(call), *super().math(tex, display), _raw("];")]

    def _check_widths(self, block: Block, text: str) -> None:
        """Raise GuideError for a line that would run out of the page."""
        limit = WIDTH if block.source is None else WIDTH_OF_EXCERPTS
        for count, line in enumerate(text.split("\n"), 1):
            if len(line) > limit:
                message = f"the line has {len(line)} characters; the page has room for {limit}"
                raise GuideError([self.chapter.problem(block.line + count, message)])

    def _web(self, text: list[Node], target: str) -> list[Node]:
        """A link into the web, with its address in a note: paper cannot be clicked."""
        bare = re.sub(r"^(https?://|mailto:)|/$", "", target)
        link = [_raw(f"#link({quoted(target)})["), *text, _raw("];")]
        if bare in plain(text) or bare == plain(text).replace("arXiv:", "arxiv.org/abs/"):
            return link  # the text says it
        if self.chapter.name == "sources":
            return [*link, *words(" ("), node("Code", [["", [], []], bare]), *words(")")]
        return [*link, node("Note", [node("Plain", [node("Code", [["", [], []], bare])])])]

    def _path(self, place: Place, text: list[Node]) -> list[Node]:
        """The path of a file outside the book, seen from the project's folder."""
        assert place.path is not None
        path = place.path.relative_to(self._root).as_posix()
        if path in plain(text):
            return []
        return [*words(" ("), node("Code", [["", [], []], path]), *words(")")]


def identifier(chapter: Chapter, section: Section) -> str:
    """The label of a section in the whole book."""
    return f"{chapter.name}:{section.anchor}"


def _identifier_of(place: Place) -> str:
    if place.figure is not None:
        return f"figure:{place.figure.name}"
    assert place.chapter is not None and place.section is not None
    return identifier(place.chapter, place.section)


def quoted(text: str) -> str:
    """A string as Typst writes it, in one line."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + '"'
