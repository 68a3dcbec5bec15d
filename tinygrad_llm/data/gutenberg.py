"""Project Gutenberg's headers and footers, found by their markers; nothing else is removed.

A book is the text between a start and an end marker; a file may contain several books. Before 2005
there were no such pairs: a legal notice, "the small print", was at the beginning or at the end, and
the last line said "End of Project Gutenberg's TITLE, by AUTHOR".

Text outside the markers is removed only if it can be a header or a footer: no longer than the
longest known one and, if it is most of the text, with the phrases that they all contain. Otherwise
the file merely quotes the markers and is left alone.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

# The licence of today has some 19,000 characters, the longest of the old notices 15,000.
LONGEST = 40_000

_NAME = r"(?:THE|THIS) PROJECT GUTENBERG E-?(?:BOOK|TEXT)"
# Anchored at the line start: prose and code that mention a marker within a line are left alone.
_MARKER = re.compile(
    rf"^(?:(?P<start>\*\*\* ?START OF {_NAME})|(?P<end>\*\*\* ?END OF {_NAME})"
    r"|(?P<notice>\*\*\* ?START ?\*\* ?THE SMALL PRINT!)"
    r"|(?P<notice_end>\*END ?\*? ?THE SMALL PRINT!))",
    re.MULTILINE | re.IGNORECASE,
)
_PHRASES = re.compile(
    r"The Project Gutenberg E-?(?:Book|text) of |This e-?(?:Book|text) is for the use of any"
    r"|gutenberg\.(?:org|net)|Project Gutenberg(?:-tm|\u2122)? Licen[sc]e"
    r"|Project Gutenberg Literary Archive Foundation|This file should be named"
    r"|Information about Project Gutenberg",
    re.IGNORECASE,
)
_LAST_LINE = re.compile(r"End of (?:the |this )?Project Gutenberg(?:'s|\u2019s)? ", re.IGNORECASE)
_WHOLE_LAST_LINE = re.compile(r"(?s:\S.*),\s+by\s|E-?(?:book|text)\b", re.IGNORECASE)


class Stripped(NamedTuple):
    """A text without headers and footers, and two facts for the report."""

    text: str
    mostly: bool = False  # more than half of the text was header and footer
    left: bool = False  # there are markers, but removing them would have taken most of the text


class _Marker(NamedTuple):
    kind: str
    begin: int
    end: int


def take_books(text: str) -> Stripped:
    """The books alone: the text between start and end markers.

    A text without markers is returned unchanged; with only one of the two, that side is cut.
    """
    markers = list(_markers(text))
    parts = [text[a:b] for a, b in _books(text, markers)]
    books = [_without_last_line(part) for part in parts]
    if not markers and books == parts:
        return Stripped(text)
    books = [part.strip() for part in books if part.strip()]
    result = "\n\n".join(books) + "\n" if books else ""
    outside = [text[a:b] for a, b in _gaps(text, markers)]
    unlike = sum(len(part.strip()) for part in outside if not _PHRASES.search(part))
    if unlike > len(result) or not books:
        return Stripped(text, left=True)
    return Stripped(result, mostly=2 * len(result) < len(text))


def _markers(text: str) -> Iterator[_Marker]:
    """Each marker, from its line's start to the end of its last line (a long title wraps)."""
    if not text.startswith("*") and "\n*" not in text:  # found fifty times faster than a marker
        return
    for match in _MARKER.finditer(text):
        line_end = _line_end(text, match.end())
        stop = line_end
        if match.lastgroup in ("start", "end"):
            for _ in range(5):
                if "***" in text[match.end() : stop]:
                    line_end = stop
                    break
                following = _line_end(text, stop + 1)
                if not text[stop:following].strip():
                    break
                stop = following
        yield _Marker(str(match.lastgroup), match.start(), line_end)


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _regions(text: str, markers: list[_Marker]) -> Iterator[tuple[int, int, bool]]:
    """(begin, end, whether it is a book) for everything except the markers themselves.

    A header comes before a start marker (unless a book has begun) or before a notice; a footer
    comes after an end marker, up to the next start. Both only if they are short enough.
    """
    edges = [_Marker("", 0, 0), *markers, _Marker("", len(text), len(text))]
    over = False  # a book has ended and no other has begun
    for i, (left, right) in enumerate(zip(edges, edges[1:], strict=False)):
        over = left.kind == "end" or (over and left.kind != "start")
        header = left.kind == "" and (
            right.kind == "start"
            or (right.kind in ("notice", "notice_end"))
            and _is_header(text, edges, i)
        )
        notice = left.kind == "notice" and right.kind == "notice_end"
        book = not (over or header or notice)
        yield left.end, right.begin, book or right.begin - left.end > LONGEST


def _is_header(text: str, edges: list[_Marker], i: int) -> bool:
    """Whether the text before a notice is a header, that is, shorter than the text after it.

    Some books have the notice at the end: there it is the other way round.
    """
    j = i + 1
    if edges[j].kind == "notice" and edges[j + 1].kind == "notice_end":
        j += 1
    before = text[edges[i].end : edges[i + 1].begin]
    after = text[edges[j].end : edges[j + 1].begin]
    return len(before.strip()) < len(after.strip())


def _books(text: str, markers: list[_Marker]) -> list[tuple[int, int]]:
    return [(a, b) for a, b, book in _regions(text, markers) if book]


def _gaps(text: str, markers: list[_Marker]) -> list[tuple[int, int]]:
    return [(a, b) for a, b, book in _regions(text, markers) if not book]


def _without_last_line(book: str) -> str:
    """The book without a last paragraph of "End of Project Gutenberg's TITLE, by AUTHOR".

    Only the last paragraph, and only in that form: prose may start a paragraph with these words.
    """
    stripped = book.rstrip()
    at = stripped.rfind("\n\n") + 2 if "\n\n" in stripped else 0
    paragraph = stripped[at:].lstrip()
    start = _LAST_LINE.match(paragraph)
    if start is None or paragraph.count("\n") > 3:
        return book
    whole = _WHOLE_LAST_LINE.match(paragraph, start.end())
    return stripped[:at] if whole is not None else book
