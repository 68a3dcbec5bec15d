"""A page cut into what search finds: a record for each section, with its text."""

import re
from html.parser import HTMLParser

from builder.site_page import Record

SILENT = {"annotation", "script", "style"}
"""Elements whose text nobody sees: a formula's TeX stands in <annotation>."""
VOID = {"br", "img", "hr", "wbr", "col", "input", "meta", "link"}
BLOCKS = {"p", "li", "pre", "td", "th", "div", "figcaption", "dt", "dd", "br", "tr"}


def records_of(body: str, address: str, title: str) -> list[Record]:
    """The sections of a page's body, each from its heading to the next one."""
    parser = _Sections()
    parser.feed(body)
    parser.close()
    records = []
    for name, level, number, heading, words in parser.sections:
        text = " ".join(" ".join(words).split())
        kind = "page" if level <= 1 else "section"
        heading = " ".join(heading.split())
        if level == 0 and not text:
            continue  # nothing stands before the first heading
        target = address if level <= 1 or not name else f"{address}#{name}"
        shown = re.sub(r"^(Chapter|Appendix) ", "", number)
        records.append(Record(kind, shown, heading or title, target, text))
    return records


class _Sections(HTMLParser):
    """Reads headings with their ids and numbers, and the text after each."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sections: list[tuple[str, int, str, str, list[str]]] = []
        self._name, self._level, self._number, self._heading = "", 0, "", ""
        self._words: list[str] = []
        self._open: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if re.fullmatch(r"h[1-6]", tag):
            self._end()
            self._name, self._level = named.get("id") or "", int(tag[1])
        if tag in BLOCKS:
            self._words.append(" ")
        if tag not in VOID:
            self._open.append((tag, named.get("class") or ""))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tags = {tag for tag, _ in self._open}
        classes = {name for _, given in self._open for name in given.split()}
        if tags & SILENT or classes & {"self", "bar", "unsearched"}:
            return
        if any(re.fullmatch(r"h[1-6]", tag) for tag in tags):
            if "number" in classes:
                self._number += data
            else:
                self._heading += data
        else:
            self._words.append(data)

    def close(self) -> None:
        super().close()
        self._end()

    def _end(self) -> None:
        joined = re.sub(r"\s+", " ", "".join(self._words)).strip()
        self.sections.append((self._name, self._level, self._number, self._heading, [joined]))
        self._number, self._heading, self._words = "", "", []
