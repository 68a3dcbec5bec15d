"""Checks of the finished site, which read its files as a browser would.

Every link and anchor leads somewhere, nothing comes from elsewhere, ids are there once, every
formula became MathML, and every page can be reached from the first.
"""

import posixpath
import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from builder.problems import GuideError, Problem
from builder.site_page import Page
from builder.site_places import EXPLORER

LOADED = {("img", "src"), ("script", "src"), ("link", "href"), ("source", "src"), ("iframe", "src")}
"""What a browser fetches by itself."""
ELSEWHERE = re.compile(r"@import|url\(\s*['\"]?(?:https?:)?//")
"""What a stylesheet would fetch from elsewhere."""


@dataclass
class _Seen:
    """What a page holds."""

    ids: set[str] = field(default_factory=set)
    links: list[tuple[str, int, bool]] = field(default_factory=list)
    """Each link's target, its line in the HTML, and whether the browser fetches it by itself."""
    problems: list[tuple[int, str]] = field(default_factory=list)


def check_site(folder: Path, pages: list[Page]) -> None:
    """Raise GuideError with everything that is wrong with a site."""
    by_address = {page.address: page for page in pages}
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    seen = {address: _read(folder / address) for address in sorted(by_address)}
    problems: list[Problem] = []
    for address, found in seen.items():
        page = by_address[address]
        problems += [Problem(f"site/{address}", line, message) for line, message in found.problems]
        for target, line, is_loaded in found.links:
            message = _link_problem(address, target, is_loaded, files, seen)
            if message:
                problems.append(_problem(page, target, line, message))
    for address in sorted(set(seen) - _reached(seen)):
        message = "no link leads from index.html to this page"
        problems.append(Problem(f"site/{address}", 0, message))
    for name in sorted(files):
        if name.endswith(".css") and ELSEWHERE.search((folder / name).read_text("utf-8")):
            problems.append(Problem(f"site/{name}", 0, "it loads something from elsewhere"))
    if problems:
        raise GuideError(problems)


def _problem(page: Page, target: str, line: int, message: str) -> Problem:
    """A link's mistake, in the Markdown where its line there is known, else in the HTML."""
    if page.source and page.lines.get(target):
        return Problem(page.source, page.lines[target], f"the link {target}: {message}")
    source = f" (made from {page.source})" if page.source else ""
    return Problem(f"site/{page.address}", line, f"the link {target}: {message}{source}")


def _link_problem(
    address: str, target: str, is_loaded: bool, files: set[str], seen: dict[str, _Seen]
) -> str | None:
    if target.startswith("data:"):
        return None
    if re.match(r"[a-z][a-z0-9+.-]*:|//", target, re.IGNORECASE):
        return "the page would load it from elsewhere" if is_loaded else None
    path, _, anchor = target.partition("#")
    folder = posixpath.dirname(address)
    to = posixpath.normpath(posixpath.join(folder, unquote(path))) if path else address
    if to not in files:
        return "there is no such file in the site"
    if anchor and to != EXPLORER and to in seen and unquote(anchor) not in seen[to].ids:
        return f"{to} has no anchor #{anchor}"
    return None


def _reached(seen: dict[str, _Seen]) -> set[str]:
    """The pages that links lead to from the first one."""
    reached, waiting = set(), ["index.html"]
    while waiting:
        address = waiting.pop()
        if address in reached or address not in seen:
            continue
        reached.add(address)
        folder = posixpath.dirname(address)
        for target, _, _ in seen[address].links:
            path = unquote(target.partition("#")[0])
            waiting.append(posixpath.normpath(posixpath.join(folder, path)))
    return reached


def _read(path: Path) -> _Seen:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    seen = reader.seen
    seen.ids = set(reader.ids)
    for name in sorted(name for name, count in reader.ids.items() if count > 1):
        seen.problems.append((0, f"the id {name!r} is there more than once"))
    if not reader.title.strip():
        seen.problems.append((0, "the page has no title"))
    if not reader.language:
        seen.problems.append((0, "the page does not say its language"))
    return seen


class _Reader(HTMLParser):
    """Collects what the checks need from a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen = _Seen()
        self.ids: Counter[str] = Counter()
        self.title, self.language = "", ""
        self._is_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        line = self.getpos()[0]
        if "id" in named:
            self.ids[named["id"]] += 1
        if tag == "html":
            self.language = named.get("lang", "")
        if tag == "img" and not named.get("alt", "").strip():
            self.seen.problems.append((line, f"the picture {named.get('src')} has no alt text"))
        if tag == "merror" or "math" in named.get("class", "").split():
            self.seen.problems.append((line, "a formula did not become MathML"))
        if tag == "a" and "href" in named:
            self.seen.links.append((named["href"], line, False))
        for element, name in LOADED:
            if tag == element and name in named:
                self.seen.links.append((named[name], line, True))
        self._is_title = tag == "title"

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._is_title = False

    def handle_data(self, data: str) -> None:
        if self._is_title:
            self.title += data
