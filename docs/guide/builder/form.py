"""The form of a chapter: headings, blocks, lines, mathematics; nothing that only some can show."""

import re
from collections.abc import Iterator

from builder.book import APPENDICES, CHAPTERS, Book, Chapter
from builder.markdown import Block
from builder.problems import Problem, shown

WIDTH = 88
"""Characters that a line of code or of output may have: what fits the printed page."""
WIDTH_OF_EXCERPTS = 90
"""The same for excerpts, as in code/ruff.toml. The PDF sets such blocks a little smaller."""
WORDS = {
    "python": ("raises", "measured"),
    "output": ("approx", "measured"),
    "sh": (),
    "text": (),
}
"""The languages of blocks, and the words that may follow (from=FILE aside)."""
MATHEMATICS = re.compile(r"\\(?:(?:re)?newcommand|def|tag|label|require)\b|\{align\*?\}")
"""What not every writer of mathematics understands."""
MARKS = re.compile(r"\n *([-+*>#]|\d{1,9}[.)])(?=\s|$)")
"""What begins a list, a quote or a heading, where a formula's second or later line begins."""


def form_problems(book: Book, whole: bool) -> Iterator[Problem]:
    """What is wrong with the form of the book's files; with ``whole``, also which are missing."""
    for part in [*book.parts, *([book.front] if book.front else [])]:
        if part.name == "solutions":
            continue
        yield from _headings(part)
        for block in part.blocks:
            yield from _block(part, block)
            if part not in book.chapters and (block.language == "python" or block.output):
                message = "only the chapters' snippets are run and compared: here it is ```text"
                yield part.problem(block.line, message)
        for line in part.pieces.html:
            yield part.problem(line, "HTML is not allowed: not every form of the guide can show it")
        for line in part.pieces.indented:
            yield part.problem(line, "code stands between fences (```), not indented")
        yield from _texts(part)
    if whole:
        yield from _files(book)


def _headings(part: Chapter) -> Iterator[Problem]:
    if not part.sections or part.sections[0].level != 1:
        yield part.problem(1, "a file begins with its title, # Title")
        return
    level = 1
    for section in part.sections[1:]:
        if section.level == 1:
            yield part.problem(section.line, "a file has one title (#); sections begin with ##")
        elif section.level > 3:
            yield part.problem(section.line, "headings go down to ###, no further")
        elif section.level > level + 1 and part.name != "sources":
            message = f"a heading of level {section.level} follows one of level {level}"
            yield part.problem(section.line, message)
        level = section.level
    for section in part.sections:
        if not section.title.strip():
            yield part.problem(section.line, "a heading has no words")
        if "$" in section.title:
            message = "mathematics in a heading has no sure anchor: say it in words or `code`"
            yield part.problem(section.line, message)
        if re.match(r"\d+(\.\d+)*[.:]?\s", section.title):
            message = f"remove the number from {section.title!r}: the builder numbers headings"
            yield part.problem(section.line, message)


def _block(part: Chapter, block: Block) -> Iterator[Problem]:
    if block.language not in WORDS:
        known = ", ".join(WORDS)
        named = f"the language {block.language!r}" if block.language else "no language"
        yield part.problem(block.line, f"a block has {named}; it may have one of {known}")
        return
    if block.nested:
        yield part.problem(block.line, "a block stands in a list or a quotation: move it out")
    rows = part.text.split("\n")
    for each in [block, *([block.output] if block.output else [])]:
        if not re.match(r"[\s>]*(```|~~~)", rows[each.end - 1]) or each.end == each.line:
            yield part.problem(each.line, "the block that begins here is not closed")
        for word in each.words:
            is_source = each.language == "python" and word.startswith("from=")
            if word not in WORDS[each.language] and not is_source:
                message = f"a block of {each.language} cannot be {word!r}"
                yield part.problem(each.line, message)
        room = WIDTH if each.source is None else WIDTH_OF_EXCERPTS
        for number, line in enumerate(each.text.split("\n"), each.line + 1):
            if len(line) > room:
                message = f"the line has {len(line)} characters; the page has room for {room}"
                yield part.problem(number, message)
    if block.language == "output":
        message = "an output block has to follow the block that prints it, with nothing between"
        yield part.problem(block.line, message)
    if block.output is not None and (block.language == "text" or block.source is not None):
        what = "an excerpt" if block.source is not None else "a block of text"
        yield part.problem(block.output.line, f"{what} is not run, so it has no output")
    if block.source is not None and len(block.words) > 1:
        yield part.problem(block.line, "an excerpt is not run, so it has no word but from=FILE")


def _texts(part: Chapter) -> Iterator[Problem]:
    for line in part.pieces.references:
        message = "a link's target stands with it, [text](target), not on a line of its own"
        yield part.problem(line, message)
    for text, line in part.pieces.texts:
        if re.search(r"\[\^[^\]]+\]", text):
            yield part.problem(line, "footnotes are not allowed: say it in the text")
        elif re.search(r"\]\[|\]\(", text):
            yield part.problem(line, f"a link that is not one, in {_part_of(text)!r}")
        elif "$" in text:
            message = f"a $ that is no mathematics, in {_part_of(text)!r}: put it into `code`"
            yield part.problem(line, message)
    for text, line in part.pieces.mathematics:
        wrong = MATHEMATICS.search(text)
        if wrong:
            yield part.problem(line, f"{wrong[0]} is not allowed in mathematics")
        mark = MARKS.search(text)
        if mark:
            count = text.count("\n", 0, mark.start()) + 1
            message = f"a line of mathematics begins with {mark[1]!r}, which pandoc takes for more"
            yield part.problem(line + count, f"{message} than mathematics: break it elsewhere")


def _part_of(text: str) -> str:
    """The words around what is wrong."""
    at = re.search(r"\]\[|\]\(|\$", text)
    assert at is not None
    return text[max(0, at.start() - 25) : at.end() + 25]


def _files(book: Book) -> Iterator[Problem]:
    """Files that are missing, and files that belong to nothing."""
    there = {part.name for part in book.parts}
    for name in (*CHAPTERS, *APPENDICES):
        if name not in there:
            what = "solutions/test_*.py" if name == "solutions" else f"{name}.md"
            yield Problem(shown(book.folder), 0, f"{what} is missing")
    if book.front is None:
        yield Problem(shown(book.folder), 0, "README.md is missing")
    known = {*CHAPTERS, "answers", "sources", "README"}
    for path in sorted(book.folder.glob("*.md")):
        if path.stem not in known:
            yield Problem(shown(path), 0, "this file belongs to no part of the guide")
