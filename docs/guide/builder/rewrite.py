"""Markdown for the archive: headings with numbers, links that work outside the project."""

import re
from collections.abc import Callable

from builder.book import EXPLORER, Chapter, Section
from builder.markdown import Anchors, Link
from builder.problems import GuideError, Problem

INLINE = re.compile(
    r"(?P<code>(?P<ticks>`+)(?!`)(?:(?!\n\n).)+?(?<!`)(?P=ticks)(?!`))"
    r"|(?P<image>!\[(?:[^\[\]`]|`[^`]*`)*\]\([^()\s]+\))"
    r"|<(?P<address>https?://[^<>\s]+)>"
    r"|\[(?P<text>(?:[^\[\]`]|`[^`]*`|\[[^\[\]]*\])*)\]\((?P<target>(?:[^()\s]|\([^()\s]*\))*)\)",
    re.DOTALL,
)
"""What of a paragraph matters here: links, and what may look like one."""


def numbered_title(section: Section) -> str:
    """A heading's words with its number."""
    return f"{section.number} {section.title}".strip()


def numbered_anchors(chapter: Chapter) -> dict[int, str]:
    """The anchors of the numbered headings, by the headings' lines."""
    anchors = Anchors()
    return {section.line: anchors.of(numbered_title(section)) for section in chapter.sections}


def rewritten(chapter: Chapter, replace: Callable[[str, str], str]) -> str:
    """A chapter's Markdown with numbers in its headings, captions under its figures, other links.

    ``replace`` takes a link's Markdown text and target, and returns the Markdown to stand there.
    """
    rows = chapter.text.split("\n")
    for section in chapter.sections:
        if section.number:
            mark, _, title = rows[section.line - 1].partition(" ")
            rows[section.line - 1] = f"{mark} {section.number} {title.strip()}"
    fenced = set()
    for block in chapter.blocks:
        for each in [block, *([block.output] if block.output else [])]:
            fenced |= set(range(each.line - 1, each.end))
    parts: list[str] = []
    expected = list(chapter.links)
    start = 0
    while start < len(rows):
        end = start
        while end < len(rows) and (end in fenced) == (start in fenced):
            end += 1
        text = "\n".join(rows[start:end])
        parts.append(text if start in fenced else _relinked(chapter, text, expected, replace))
        start = end
    if expected:
        raise GuideError([_not_found(chapter, expected[0])])
    return "\n".join(parts)


def _not_found(chapter: Chapter, link: Link) -> Problem:
    message = f"the link {link.target} cannot be rewritten: write it as [text](target)"
    return chapter.problem(link.line, message)


def _relinked(
    chapter: Chapter, text: str, expected: list[Link], replace: Callable[[str, str], str]
) -> str:
    """A text with its links replaced; they are taken from those that the parser found.

    Under a figure come its number and its caption, which Markdown itself shows nowhere.
    """

    def link(match: re.Match[str]) -> str:
        if match["image"]:
            figure = next(each for each in chapter.figures if match[0].endswith(_end(each.name)))
            return f"{match[0]}\n\n*Figure {figure.number}.* {figure.caption}"
        target = match["target"] if match["text"] is not None else match["address"]
        if target is None:
            return match[0]
        if not expected:
            message = f"{match[0]} is no link: put it into `code`, or mend it"
            raise GuideError([chapter.problem(chapter.text.count("\n"), message)])
        if expected[0].target != target:
            raise GuideError([_not_found(chapter, expected[0])])
        expected.pop(0)
        return match[0] if match["text"] is None else replace(match["text"], target)

    return INLINE.sub(link, text)


def _end(figure: str) -> str:
    """How the Markdown of a figure's image ends."""
    return f"](figures/{figure}.svg)"


def with_command(text: str, target: str) -> str:
    """A link into the explorer as words and the command that opens it there."""
    state = target.removeprefix(f"{EXPLORER}#")
    return f'{text} (`tinygrad-llm explore --at "{state}"`)'
