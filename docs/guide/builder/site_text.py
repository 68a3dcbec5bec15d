"""Chapters, appendices and the project's other Markdown pages as pages of the site."""

import html
import re
from pathlib import Path

from builder.book import Chapter
from builder.markdown import Block, parser, read_pieces
from builder.pandoc import Node, every, transformed, written
from builder.problems import GuideError
from builder.site_page import Page, Record, relative
from builder.site_places import Places
from builder.site_records import records_of
from builder.site_target import SiteTarget

COMMAND = re.compile(r"(?:pip install|python3? \S+\.py|pytest|git|tinygrad-llm [a-z]+)\b")
"""How an indented block of commands begins."""


def chapter_page(places: Places, chapter: Chapter) -> Page:
    """A chapter, an appendix, or the guide's front page."""
    if chapter.pieces.indented:  # the front page may have such code, as the other pages do
        chapter = _read(chapter.path, chapter.number, chapter.text)
    return _page(places, chapter, places.chapter(chapter.name), "guide")


def document_page(places: Places, path: Path) -> Page:
    """One of the project's other Markdown pages, read as a chapter without a number."""
    document = _read(path, "", path.read_text(encoding="utf-8"))
    return _page(places, document, places.pages[path], "docs")


def _read(path: Path, number: str, text: str) -> Chapter:
    """A text as a chapter, with its indented code among the blocks."""
    pieces = read_pieces(text)
    for token in parser().parse(text):
        if token.type == "code_block" and token.map is not None:
            start, end = token.map
            language = "sh" if COMMAND.match(token.content) else ""
            pieces.blocks.append(Block(language, (), token.content, start + 1, end))
    return Chapter(path, number, text, pieces)


def _page(places: Places, chapter: Chapter, address: str, part: str) -> Page:
    target = SiteTarget(places, chapter, address, part == "guide")
    tree = transformed(places.book, chapter, target)
    if part != "guide":
        for image in every(tree["blocks"], "Image"):
            _copy_picture(places, chapter, address, image)
    body = written(chapter, tree, "html5-smart", ["--mathml"])
    body = body.replace("<table", '<div class="table" tabindex="0"><table')
    body = body.replace("</table>", "</table></div>")
    page = Page(address, chapter.title.replace("`", ""), body, part, chapter.shown)
    page.lines, page.contents = target.lines, target.contents
    sections = records_of(body, address, page.title)
    page.records = [*sections, *(_with_context(term, sections) for term in target.terms)]
    return page


def _with_context(term: Record, sections: list[Record]) -> Record:
    """A term with the number of the section that defines it, and the words around it there."""
    for section in sections:
        at = section.text.find(term.title)
        if at >= 0:
            start = max(section.text.rfind(". ", 0, at) + 2, at - 80, 0) if at else 0
            text = section.text[start : at + 120].strip()
            return Record(term.kind, section.number, term.title, term.address, text)
    return term


def _copy_picture(places: Places, chapter: Chapter, address: str, image: Node) -> None:
    """Let an image show the copy of its picture that lies in the site."""
    target = image["c"][2][0]
    path = (chapter.path.parent / target).resolve()
    if re.match(r"[a-z]+:", target) or not path.is_file():
        message = f"the picture {target} is no file of the project"
        raise GuideError([chapter.problem(image.get("line", 0), message)])
    image["c"][2][0] = relative(address, places.file(path))


def contents_list(pages: list[Page]) -> str:
    """The chapters with their sections, as the guide's first page lists them."""
    rows = []
    for page in pages:
        sections = "".join(
            f'<li><a href="{each.address}">{_numbered(each.number, each.title)}</a></li>'
            for each in page.contents
            if each.level == 2
        )
        number = page.records[0].number
        inside = f"<ol>{sections}</ol>" if sections else ""
        shown = _numbered(number, page.title)
        rows.append(f'<li><a href="{page.address}">{shown}</a>{inside}</li>')
    heading = '<h2 id="all-chapters">All chapters and their sections</h2>'
    return f'<div class="unsearched">{heading}<ol class="book">{"".join(rows)}</ol></div>'


def _numbered(number: str, title: str) -> str:
    shown = f'<span class="number">{number}</span> ' if number else ""
    return shown + html.escape(title)
