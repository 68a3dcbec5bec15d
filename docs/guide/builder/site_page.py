"""A page of the site before it has its frame: what it shows, and what search is to find of it."""

import posixpath
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Entry:
    """A line of a list of links: a heading of this page, or another page."""

    level: int
    number: str
    title: str
    address: str
    """Seen from the site's folder: "03-the-engine.html#newest-first"."""


@dataclass(frozen=True)
class Record:
    """What search can find: a section, a page, a name of the API, a term."""

    kind: str
    """One of "section", "page", "name", "term"."""
    number: str
    title: str
    address: str
    text: str


@dataclass
class Page:
    """A page. All addresses in the lists are seen from the site's folder."""

    address: str
    """Where it lies in the site: "03-the-engine.html", "api/autograd.ops.html"."""
    title: str
    body: str
    part: str
    """Which link of the header is its own: "guide", "docs", "api", "source", or ""."""
    source: str = ""
    """The file it is made from, as messages name it."""
    lines: dict[str, int] = field(default_factory=dict)
    """Links of the body, with the line in the source that each stands in."""
    contents: list[Entry] = field(default_factory=list)
    """The headings below the title."""
    records: list[Record] = field(default_factory=list)
    before: Entry | None = None
    after: Entry | None = None


def relative(start: str, address: str) -> str:
    """An address as a page at ``start`` writes it; both are seen from the site's folder."""
    path, mark, anchor = address.partition("#")
    if path == start and mark:
        return mark + anchor
    return posixpath.relpath(path, posixpath.dirname(start) or ".") + mark + anchor
