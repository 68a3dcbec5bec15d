"""What a chapter's special places become on the site."""

import html
import re
from pathlib import Path

from builder.book import Chapter, Figure, Place, Section
from builder.markdown import Block
from builder.pandoc import Node, Target, attributes, node, plain, raw
from builder.problems import GuideError
from builder.site_code import code_block, known, output_block
from builder.site_page import Entry, Record, relative
from builder.site_places import EXPLORER, Places

EXACTNESS = {"measured": "as measured", "approx": "to within 2 %"}
"""What stands above an output that need not be the same to the last digit."""


class SiteTarget(Target):
    """Headings that link to themselves, highlighted code, figures, links, terms."""

    def __init__(self, places: Places, chapter: Chapter, address: str, in_book: bool) -> None:
        super().__init__(places.book, chapter)
        self._places, self._address, self._in_book = places, address, in_book
        self.contents: list[Entry] = []
        self.lines: dict[str, int] = {}
        self.terms: list[Record] = []
        self._lines = {link.target: link.line for link in reversed(chapter.links)}

    def heading(self, section: Section, title: list[Node]) -> list[Node]:
        if section.level > 1:
            target = f"{self._address}#{section.anchor}"
            self.contents.append(Entry(section.level, section.number, plain(title), target))
        number = []
        if section.number:
            kind = "Appendix " if section.number.isalpha() else "Chapter "
            shown = (kind if section.level == 1 else "") + section.number
            number = [_html(f'<span class="number">{shown}</span> ')]
        words = html.escape(f"Link to: {plain(title)}")
        link = _html(f' <a class="self" href="#{section.anchor}" aria-label="{words}">#</a>')
        return [
            node("Header", [section.level, attributes(section.anchor), [*number, *title, link]])
        ]

    def code(self, block: Block, source_line: int) -> list[Node]:
        text = block.text.rstrip("\n")
        if not known(block.language):
            message = f"code of the language {block.language!r} cannot be highlighted"
            raise GuideError([self.chapter.problem(block.line, message)])
        if block.language == "output" and self._in_book:
            word = next((EXACTNESS[each] for each in block.words if each in EXACTNESS), "")
            return [_html_block(output_block(text, word))]
        return [_html_block(code_block(text, block.language, self._origin(block, source_line)))]

    def figure(self, figure: Figure, caption: list[Node]) -> list[Node]:
        path = self.book.folder / "figures" / f"{figure.name}.svg"
        if not path.is_file():
            message = f"figures/{figure.name}.svg is missing: run build.py check --update"
            raise GuideError([self.chapter.problem(figure.line, message)])
        alt = html.escape(plain(caption))
        source = relative(self._address, f"figures/{figure.name}.svg")
        image = f'<img src="{source}" alt="{alt}"{_size(path)}>'
        begin = f'<figure id="figure-{figure.name}"><div class="plate">{image}</div><figcaption>'
        number = f'<span class="number">Figure {figure.number}</span> '
        return [
            _html_block(begin + number),
            node("Plain", caption),
            _html_block("</figcaption></figure>"),
        ]

    def link(self, place: Place, text: list[Node], target: str) -> list[Node]:
        to = self.address_of(place, target)
        outside = place.kind == "web"
        href = to if outside else relative(self._address, to)
        self.lines.setdefault(href, self._lines.get(target, 0))
        suffix = self.suffix(place, text) if self._in_book else []
        return [
            node("Link", [attributes("", ["web"] if outside else []), text, [href, ""]]),
            *suffix,
        ]

    def address_of(self, place: Place, target: str) -> str:
        """Where a link leads, seen from the site's folder; an address of the web as it is."""
        if place.kind == "explorer":
            return EXPLORER + (f"#{place.state}" if place.state else "")
        if place.kind == "figure":
            assert place.chapter is not None and place.figure is not None
            return f"{place.chapter.name}.html#figure-{place.figure.name}"
        if place.kind == "section":
            assert place.chapter is not None and place.section is not None
            page = self._places.chapter(place.chapter.name)
            first = place.section is place.chapter.sections[0] and "#" not in target
            return page if first else f"{page}#{place.section.anchor}"
        if place.kind == "file":
            assert place.path is not None
            if not place.path.exists():
                message = f"the link {target}: there is no such file"
                raise GuideError([self.chapter.problem(self._lines.get(target, 0), message)])
            return self._places.file(place.path, place.anchor)
        return target

    def term(self, text: list[Node]) -> list[Node]:
        if not self._in_book:
            return [node("Strong", text)]
        words = plain(text)
        name = "term-" + re.sub(r"\W+", "-", words.lower()).strip("-")
        if any(each.address.endswith(f"#{name}") for each in self.terms):
            return [node("Strong", text)]
        self.terms.append(Record("term", "", words, f"{self._address}#{name}", ""))
        return [node("Span", [attributes(name, ["term"]), [node("Strong", text)]])]

    def math(self, tex: str, display: bool) -> list[Node]:
        # \\cr ends a row as \\\\ does, which Markdown makes \\ of; pandoc knows only the latter
        made = super().math(re.sub(r"\\cr\b", lambda _: r"\\", tex), display)
        return [_html('<span class="display">'), *made, _html("</span>")] if display else made

    def _origin(self, block: Block, line: int) -> str:
        """What stands above an excerpt: its file and lines, which lead to the whole file."""
        if block.source is None:
            return ""
        path = (self.book.folder / "code" / block.source).resolve()
        name = html.escape(block.source.removeprefix("../"))
        if not path.is_file():
            return name
        last = line + block.text.strip("\n").count("\n")
        anchor = f"L{line}" if line else ""
        href = relative(self._address, self._places.file(path, anchor))
        lines = f", lines {line} to {last}" if 0 < line < last else f", line {line}" if line else ""
        return f'<a href="{href}">{name}</a>{lines}'


def _size(path: Path) -> str:
    """The width and height of an SVG as attributes, so that the text does not move on loading."""
    head = path.read_text(encoding="utf-8")[:2000]
    found = [
        re.search(rf'<svg[^>]*\s{side}="([\d.]+)(pt|px)?"', head) for side in ("width", "height")
    ]
    if not all(found):
        return ""
    width, height = (
        round(float(each[1]) * (4 / 3 if each[2] == "pt" else 1)) for each in found if each
    )
    return f' width="{width}" height="{height}"'


def _html(text: str) -> Node:
    return raw("html", text)


def _html_block(text: str) -> Node:
    return raw("html", text, block=True)
